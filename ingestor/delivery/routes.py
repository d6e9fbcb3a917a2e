"""/api/batch or /api/send: which is used, and how large a request may be.

`auto` takes /api/batch where the server has it, and leaves it where it turns out to be broken:
2.17 to 2.20 and 3.0.0 to 3.0.1 on Node 24 answer every batch with a 500 and store nothing, while
/api/send works.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ingestor.errors import StoppedByUmami, TryAgain, UmamiTooOld

if TYPE_CHECKING:
    from ingestor.delivery.batcher import Batcher
    from ingestor.delivery.options import Mode
    from ingestor.delivery.umami import ServerFacts, Umami

logger = logging.getLogger(__name__)


class Routes:
    """What this server was found to take. ``batches``: page views may travel together."""

    def __init__(self, mode: Mode, umami: Umami, batcher: Batcher) -> None:
        self.mode = mode
        self._umami = umami
        self._batcher = batcher
        self.batches = True
        self._spoiled_at: int | None = None  # page views stored when a batch failed as a whole
        self._too_large: int | None = None  # bytes: the smallest body that met a 413
        if mode == "send":
            self.use_send()

    def choose(self, facts: ServerFacts) -> None:
        """Choose by what the probe at the start found. Raises UmamiTooOld."""
        if facts.batch:
            return
        if self.mode == "batch":
            raise UmamiTooOld(f"{self._umami.shown} has no /api/batch: set delivery.mode to auto")
        self.use_send()

    def as_array(self, count: int) -> bool:
        """Say whether ``count`` page views go to /api/batch.

        One alone goes to /api/send, whose answer tells a bot, unless only batches are wanted.
        """
        return self.batches and (count > 1 or self.mode == "batch")

    def fits(self, length: int) -> bool:
        """Say whether a body of ``length`` bytes is smaller than all that were too large."""
        return self._too_large is None or length < self._too_large

    def too_large(self, length: int) -> None:
        """Note a 413 for a body of ``length`` bytes."""
        self._too_large = length if self._too_large is None else min(length, self._too_large)

    def batch_worked(self) -> None:
        """Note that a batch was answered as it should be."""
        self._spoiled_at = None

    def spoiled(self, stored: int) -> bool:
        """Note that /api/batch failed as a whole, with ``stored`` page views stored so far.

        True: page views were stored alone since it last did, so that /api/send is used from now.
        """
        if self._spoiled_at is not None and stored > self._spoiled_at:
            logger.warning("/api/batch of this Umami fails and /api/send works: upgrade Umami")
            self.use_send()
            return True
        self._spoiled_at = stored
        return False

    async def look_again(self) -> None:
        """/api/batch has vanished: an older Umami was put back, or all of it is gone."""
        if self.mode != "auto":
            return
        try:
            facts = await self._umami.facts()
        except (TryAgain, StoppedByUmami):
            return
        if not facts.batch:
            logger.warning("this Umami no longer has /api/batch; /api/send is used")
            self.use_send()

    def resize(self, batch_size: int) -> None:
        """Gather so many page views a request from now on, where they may travel together."""
        if self.batches:
            self._batcher.size = batch_size

    def use_send(self) -> None:
        """Send every page view alone from now on."""
        self.batches = False
        self._batcher.size = 1
