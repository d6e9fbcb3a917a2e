"""Websites whose page views only a person can set going again: a wrong id, a refused API key.

Nothing of them is kept in memory: their page views are handed back, the log keeps them. Each is
tried again, without a trace, until Umami takes it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ingestor.delivery.answers import printable
from ingestor.errors import StoppedByUmami, TryAgain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.delivery.ports import Report
    from ingestor.delivery.umami import Umami

logger = logging.getLogger(__name__)

_NAMED = 20  # as many are told one by one


class Parking:
    """The parked websites. ``pause`` seconds lie between two attempts."""

    def __init__(
        self,
        umami: Umami,
        report: Report,
        *,
        pause: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._umami = umami
        self._report = report
        self._pause = pause
        self._sleep = sleep
        self._parked: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, website: str) -> bool:
        return website in self._parked

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, website: str, error: StoppedByUmami) -> None:
        """Park a website, unless it is parked already."""
        if website in self._parked:
            return
        self._tell(website, error)
        self._parked[website] = asyncio.create_task(self._try_again(website))
        self._report.parked(website)

    def _tell(self, website: str, error: StoppedByUmami) -> None:
        """A wrong API key parks all at once; hundreds of lines would hide what else is said."""
        if len(self._parked) < _NAMED:
            logger.error(
                "website %s is parked, its page views wait in the logs: %s",
                printable(website),
                printable(str(error), 1_000),
            )
        elif len(self._parked) == _NAMED:
            logger.error("more than %d websites are parked; `ingestor status` names all", _NAMED)

    async def close(self) -> None:
        """Stop trying."""
        tasks = list(self._parked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _try_again(self, website: str) -> None:
        while True:
            await self._sleep(self._pause)
            try:
                if await self._umami.website_exists(website):
                    break
            except (TryAgain, StoppedByUmami):
                continue
        del self._parked[website]
        logger.info("website %s is no longer parked", printable(website))
        self._report.unparked(website)
