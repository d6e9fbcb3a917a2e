"""How fast page views go out, and how long it goes on: told before, while and after it sends."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from ingestor.observe import human_bytes
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.checkpoint import Store
    from ingestor.config import Config
    from ingestor.observe import Counts
    from ingestor.pipeline.forecast import Forecast

log = logging.getLogger("ingestor")

_FIRST = 10.0  # seconds of sending until the pace is known …
_EVERY = 60.0  # … and between two lines about it
_PACE = "backfill.pace"  # the checkpoint's note of page views a second
_WORTH = 500  # page views of a run that a pace can be told by
_MINUTE, _HOUR = 60, 3600  # seconds


class Progress:
    """The progress of a backfill, or of dead letters. ``clock`` is monotonic."""

    def __init__(
        self,
        config: Config,
        counts: Counts,
        store: Store | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._umami = config.umami
        self._counts = counts
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._expected = 0

    def begin(self, forecast: Forecast) -> None:
        """Say what is about to be sent, and how long that takes at the last run's pace."""
        self._began = self._clock()
        self._expected = forecast.count
        if not forecast.count:
            log.info("There is nothing to send.")
            return
        where, billed = self._where()
        about = ""
        if forecast.is_estimate:
            read, whole = human_bytes(forecast.read), human_bytes(forecast.whole)
            about = f" (estimated by the first {read} of about {whole})"
        some = "about " if forecast.is_estimate else ""
        log.info(
            "About to send %s%s%s%s%s.",
            some,
            counted(forecast.count, "page view"),
            where,
            about,
            billed,
        )
        pace = None if self._store is None else self._store.noted(_PACE)
        if isinstance(pace, int | float) and pace > 0:
            log.info(
                "At the %s page views a second of the last run that takes %s.",
                f"{pace:,.0f}",
                span(forecast.count / pace),
            )

    def begin_again(self, letters: int) -> None:
        """Say that so many dead letters are about to be sent again."""
        self._began = self._clock()
        self._expected = letters
        where, billed = self._where()
        log.info("About to send %s again%s%s.", counted(letters, "dead letter"), where, billed)

    def need_not(self, count: int) -> None:
        """Expect so many less: they are not sent."""
        self._expected -= count

    def _where(self) -> tuple[str, str]:
        where = "" if self._umami is None else f" to {self._umami.shown}"
        billed = "; Umami Cloud bills each" if self._umami and self._umami.api_key else ""
        return where, billed

    async def tell(self) -> None:
        """Say now and then how far it is; ends by being cancelled."""
        await self._sleep(_FIRST)
        while True:
            done, pace = self._done(), self.pace()
            left = max(0, self._expected - done)
            if pace:
                log.info(
                    "%s of %s page views are done; at the measured %s a second the rest takes %s.",
                    f"{done:,}",
                    f"{max(self._expected, done):,}",
                    f"{pace:,.0f}",
                    span(left / pace),
                )
            await self._sleep(_EVERY)

    def end(self) -> None:
        """Note the pace for the next run."""
        if self._store is not None and self._done() >= _WORTH:
            self._store.note(_PACE, round(self.pace(), 1))

    def pace(self) -> float:
        """Page views a second since the beginning."""
        passed = self._clock() - self._began
        return self._done() / passed if passed > 0 else 0.0

    def _done(self) -> int:
        counts = self._counts
        return counts.accepted + counts.refused_as_bot + counts.rejected


def span(seconds: float) -> str:
    """``about 25 min``: as exact as such a guess is."""
    if seconds < 2 * _MINUTE:
        return f"about {max(1, round(seconds))} s"
    if seconds < 2 * _HOUR:
        return f"about {seconds / _MINUTE:.0f} min"
    return f"about {seconds / _HOUR:.1f} h"
