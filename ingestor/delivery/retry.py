"""An outage of Umami, shared by all workers: who waits how long, and who is told.

Retries never end: the log file is the queue. The pause is shared, so that a day without Umami
sees one request a minute and not one a worker; it grows exponentially with jitter, and a
Retry-After of the server's is obeyed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_never

from ingestor.delivery.answers import printable
from ingestor.errors import TryAgain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.delivery.ports import Report

logger = logging.getLogger(__name__)

_QUIET = 60.0  # seconds between two warnings, at least
_EXPONENT_MAX = 30


class Outage:
    """Whether Umami is away, since when, and when it may be asked again.

    ``clock`` is monotonic and decides about pauses; ``wall`` (Unix seconds) is only shown.
    ``draw`` gives a random number of [0, 1).
    """

    def __init__(
        self,
        *,
        shortest: float,
        longest: float,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._shortest = shortest
        self._longest = longest
        self._report = report
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._draw = draw
        self._since: float | None = None  # monotonic
        self._failures = 0  # in a row; failures of requests that flew together count once
        self._resume = 0.0  # monotonic; no request leaves before
        self._quiet_until = 0.0
        self._warned = False
        self.round = 0  # grows with every failure that counts; a request notes it when it leaves

    @property
    def away(self) -> bool:
        """No request succeeded since the last failure."""
        return self._since is not None

    @property
    def resume(self) -> float:
        """Monotonic seconds before which no request leaves; long past while nothing is wrong."""
        return self._resume

    @property
    def remaining(self) -> float:
        """Seconds until Umami may be asked again."""
        return max(0.0, self._resume - self._clock())

    def failed(self, error: Exception, left_in: int) -> None:
        """Note an outage; ``left_in`` is the round in which the request left."""
        now = self._clock()
        if self._since is None:
            self._since = now
            self._report.away(self._wall())
        if left_in == self.round:
            self.round += 1
            self._failures += 1
            self._resume = max(self._resume, now + self._pause())
        wish = getattr(error, "retry_after", None)
        if wish is not None:  # jitter only adds: never earlier than the server wishes
            self._resume = max(self._resume, now + wish * (1 + 0.1 * self._draw()))
        self._warn(error, now)

    def succeeded(self) -> None:
        """Umami stored or refused something as it should."""
        if self._since is None:
            return
        lasted = self._clock() - self._since
        self._since = None
        self._failures = 0
        self._report.away(None)
        if self._warned:
            self._warned = False
            logger.info("Umami answers again after %.0f s", lasted)

    async def clear(self) -> None:
        """Wait until Umami may be asked again."""
        while (seconds := self.remaining) > 0:
            await self._sleep(seconds)

    def retrying(self) -> AsyncRetrying:
        """Tenacity's loop over one request: endless, on TryAgain alone, at the shared pause."""
        return AsyncRetrying(
            retry=retry_if_exception_type(TryAgain),
            stop=stop_never,
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )

    def _wait(self, _state: RetryCallState) -> float:
        return self.remaining

    def _pause(self) -> float:
        """Exponential, half of it random."""
        whole = self._shortest * 2.0 ** min(self._failures - 1, _EXPONENT_MAX)
        return min(whole, self._longest) * (0.5 + 0.5 * self._draw())

    def _warn(self, error: Exception, now: float) -> None:
        if now < self._quiet_until or self._since is None:
            return
        lasted = now - self._since
        self._quiet_until = now + max(_QUIET, lasted)  # at 0, 1, 2, 4, … minutes of an outage
        self._warned = True
        logger.warning(
            "Umami is away (%.0f s so far): %s; reading waits, nothing is lost",
            lasted,
            printable(str(error)),
        )
