"""Permits to have a request in flight: the law of pace put into effect among the workers.

`pace.py` decides how many and how large, here is who waits, and the measuring. A permit's holder
also waits where the configured rate is spent, and, in a backfill, while the daemon is behind with
live page views: those go first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ingestor.delivery.pace import Pace
    from ingestor.delivery.rate import Rate

_LOOK_AGAIN = 0.25  # seconds between looks whether live page views still wait


@dataclass(slots=True)
class Flight:
    """One request in flight. ``beside``: how many were, itself included; see `Pace.answered`."""

    beside: int
    seconds: float = 0.0


class Permits:
    """Permits to have a request in flight, first come, first served.

    ``rate`` None: as fast as the pace allows. ``give_way``: whether somebody else is to go first.
    ``clock`` is monotonic.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        rate: Rate | None,
        give_way: Callable[[], bool],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._pace = pace
        self._rate = rate
        self._give_way = give_way
        self._clock = clock
        self._sleep = sleep
        self.in_flight = 0  # permits that are out
        self._flying = 0  # requests that are out
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Permits there are, for now."""
        return self._pace.limit

    @property
    def batch_size(self) -> int:
        """Page views that a request is to carry at most, for now."""
        if self._rate is None:
            return self._pace.batch_size
        return min(self._pace.batch_size, self._rate.page_views)

    async def acquire(self) -> None:
        """Wait for a permit."""
        await self._queue_up()
        try:
            while self._give_way():
                await self._sleep(_LOOK_AGAIN)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give a permit back."""
        self.in_flight -= 1
        self._grant()

    async def pass_on(self) -> None:
        """Give the permit to whoever waits, and get in line again behind them."""
        self.release()
        try:
            await self._queue_up()
        except asyncio.CancelledError:
            self.in_flight += 1  # the caller goes on to release what it holds
            raise

    async def may_leave(self, page_views: int) -> None:
        """Wait until the configured rate lets so many page views leave."""
        if self._rate is not None:
            seconds = self._rate.wait(page_views, self._clock())
            if seconds > 0:
                await self._sleep(seconds)

    @contextlib.contextmanager
    def flight(self) -> Iterator[Flight]:
        """Measure a request, from its first byte to its answer."""
        self._flying += 1
        flight = Flight(self._flying)
        began = self._clock()
        try:
            yield flight
        finally:
            flight.beside = max(flight.beside, self._flying)
            flight.seconds = self._clock() - began
            self._flying -= 1

    def answered(self, page_views: int, seconds: float, beside: int = 0) -> None:
        """Observe a request that Umami answered as it should: its size and its latency.

        ``beside`` 0: not measured.
        """
        self._pace.answered(page_views, seconds, beside, self._clock())
        self._grant()

    def failed(self) -> None:
        """Observe an outage: one request at a time from here on."""
        self._pace.failed()

    async def _queue_up(self) -> None:
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
            return
        permit = asyncio.get_running_loop().create_future()
        self._waiting.append(permit)
        try:
            await permit  # whoever grants it has counted it already
        except asyncio.CancelledError:
            if permit.done() and not permit.cancelled():
                self.release()
            raise

    def _grant(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            permit = self._waiting.popleft()
            if not permit.done():
                self.in_flight += 1
                permit.set_result(None)
