"""Settles user agents in the background by the traceless identify probe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from ingestor.delivery.answers import printable
from ingestor.errors import StoppedByUmami, TryAgain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.delivery.books import Books
    from ingestor.delivery.retry import Outage
    from ingestor.delivery.settling import Settling
    from ingestor.delivery.umami import Umami

logger = logging.getLogger(__name__)

_REST = 60.0  # seconds without probes after one that gave no verdict


class Probes:
    """One probe at a time, beside the workers and never before them."""

    def __init__(
        self,
        umami: Umami,
        settling: Settling,
        books: Books,
        outage: Outage,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._umami = umami
        self._settling = settling
        self._books = books
        self._outage = outage
        self._sleep = sleep
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to probe whenever there is something to settle and a budget."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """There may be something to settle."""
        self._due.set()

    async def finish(self, seconds: float) -> None:
        """Spend what is left of the budget, for at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._probe_on()

    async def close(self) -> None:
        """Stop probing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            if not await self._probe_on():
                await self._sleep(_REST)

    async def _probe_on(self) -> bool:
        """Probe until all is settled or the budget is spent; False: no verdict is to be had."""
        while not self._outage.away and (probe := self._settling.next_probe()):
            try:
                bot = await self._umami.is_bot(probe.website, probe.token, probe.user_agent)
            except (TryAgain, StoppedByUmami) as error:
                logger.debug("a probe of a user agent failed: %s", printable(str(error)))
                return False
            self._books.learn(probe.user_agent, bot=bot)
        return True
