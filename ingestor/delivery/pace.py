"""How many requests are in flight at a time.

For now a fixed limit, behind the calls that an adaptive law needs: every answer is observed with
its size and latency, every outage is told. After an outage the limit starts at one and doubles
with each answer (TCP's slow start), so that Umami's return meets no stampede.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Pace:
    """Permits to have a request in flight, first come, first served."""

    def __init__(self, *, limit: int, batch_size: int) -> None:
        self._ceiling = limit
        self.limit = limit  # requests in flight, for now
        self.batch_size = batch_size  # page views a request, for now
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a permit."""
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

    def release(self) -> None:
        """Give a permit back."""
        self.in_flight -= 1
        self._grant()

    async def pass_on(self) -> None:
        """Give the permit to whoever waits, and get in line again behind them."""
        self.release()
        try:
            await self.acquire()
        except asyncio.CancelledError:
            self.in_flight += 1  # the caller goes on to release what it holds
            raise

    def answered(self, page_views: int, seconds: float) -> None:  # noqa: ARG002 - an adaptive law reads them
        """Observe a request that Umami answered as it should: its size and its latency."""
        if self.limit < self._ceiling:
            self.limit = min(self.limit * 2, self._ceiling)
            self._grant()

    def failed(self) -> None:
        """Observe an outage: one request at a time from here on."""
        self.limit = 1

    def _grant(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            permit = self._waiting.popleft()
            if not permit.done():
                self.in_flight += 1
                permit.set_result(None)
