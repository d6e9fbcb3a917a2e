"""The control law: how many requests may be in flight, and how many page views travel in one.

Pure: no asyncio, and the time is handed in.

*Requests in flight* follow TCP Vegas (Brakmo and Peterson, "TCP Vegas: New Techniques for
Congestion Detection and Avoidance", 1994) as Netflix's concurrency-limits applies it to servers
(``VegasLimit``): of ``n`` requests in flight ``n x (1 - alone / now)`` stand in a queue, where
``now`` is what a request takes and ``alone`` what it takes with nothing beside it. A short queue
keeps the server busy; a longer one gains nothing. The queue aimed at is the root of ``n``, as in
Netflix's ``GradientLimit``. What a request takes alone is measured anew now and then, by going down
to one in flight for a moment, as BBR's ProbeRTT does (Cardwell et al., "BBR", 2016).

*In the background* less than one request is to stand in a queue, so that whoever else asks finds
the server nearly free: a scavenger, as LEDBAT is to TCP (RFC 6817).

*A batch* is as large as is answered in two or three seconds, as pt-online-schema-change sizes its
chunks by time: large enough that the request itself costs little, small enough that little is in
doubt when it breaks.

*After an outage* one request is in flight, and each answer doubles that (TCP's slow start), so that
Umami's return meets no stampede.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_REQUEST = 2.5  # seconds that a request is to take
_START_SIZE = 25  # page views a request before anything is measured
_SIZE_STEP = 1 / 3  # changes of the batch size by a smaller part are noise

# Requests in a queue: with fewer than the first the limit grows, with more than the second it
# shrinks. On the measured Umami the background holds two in flight by that.
_BACKGROUND_QUEUE = (0.35, 0.85)
_FULL_QUEUE = 1.25  # times the root of the limit; on the measured Umami four to six …
_FULL_BAND = 2.0  # … and so many more

# Waiting that nobody notices, whatever its share: seconds a request, and seconds a page view.
_UNNOTICED_REQUEST = 0.010
_UNNOTICED_PAGE_VIEW = 0.0005

_WINDOW = 8  # answers, at least, behind a decision; while the limit doubles, _HASTY
_HASTY = 2
_PROBE = 4  # answers in a probe, to requests of a quarter of the size, alone
_PROBE_FIRST, _PROBE_LAST = 30.0, 600.0  # seconds from one probe to the next, growing
_HOLD_FIRST, _HOLD_LAST = 5.0, 300.0  # seconds without growth after the limit shrank, doubling
_REMEMBERED = 24  # answers to requests alone; older ones fade


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the law keeps to: requests in flight and page views a request, ends included."""

    limit_min: int
    limit_max: int
    size_min: int
    size_max: int

    def limit(self, wanted: int) -> int:
        """Give the nearest allowed number of requests in flight."""
        return max(self.limit_min, min(wanted, self.limit_max))

    def size(self, wanted: int) -> int:
        """Give the nearest allowed number of page views a request."""
        return max(self.size_min, min(wanted, self.size_max))


class Pace:
    """The limit and the batch size for now, by what is told of answers and failures.

    ``adaptive`` False: both stay at their most, but for the slow start after an outage.
    """

    def __init__(self, bounds: Bounds, *, adaptive: bool = True, background: bool = False) -> None:
        self._bounds = bounds
        self._adaptive = adaptive
        self._background = background
        self.limit = bounds.limit_min if adaptive else bounds.limit_max  # requests in flight
        self._size = bounds.size(_START_SIZE) if adaptive else bounds.size_max
        self._alone = _Alone()
        self._window = _Window()
        self._passing = 0  # answers still to come that belong to another limit
        self._doubling = True
        self._hold = _HOLD_FIRST  # seconds
        self._grow_at = -math.inf
        self._probe_every = _PROBE_FIRST
        self._probe_at: float | None = None
        self._probes_left = 0
        self._goal: int | None = None  # the limit to come back to after a probe or an outage

    @property
    def batch_size(self) -> int:
        """Page views a request."""
        return self._bounds.size(self._size // _PROBE) if self._probes_left else self._size

    def answered(self, page_views: int, seconds: float, beside: int, now: float) -> None:
        """Observe a request that Umami answered as it should.

        ``seconds``: from its first byte to its answer. ``beside``: requests in flight with it,
        itself included, the larger number of when it left and when it came back; 0 where that was
        not measured, so that it only proves that Umami answers. ``now`` is monotonic.
        """
        if beside == 1:
            self._alone.add(page_views, seconds)
        if self._probes_left:
            self._probed(beside)
        elif self._goal is not None:
            self._recover(self._goal)
        elif self._adaptive and beside:
            self._observe(page_views, seconds, beside, now)

    def failed(self) -> None:
        """Observe an outage: one request at a time from here on."""
        if self._goal is None or self._probes_left:
            before = self.limit if self._goal is None else self._goal
            self._goal = before
            if self._adaptive:  # overload fails, too: multiplicative decrease, as in AIMD
                self._goal = max(self._bounds.limit_min, before // 2)
                self._size = self._bounds.size(self._size // 2)
        self._probes_left = 0
        self._set_limit(1)

    # -- the limit -----------------------------------------------------------------------------

    def _observe(self, page_views: int, seconds: float, beside: int, now: float) -> None:
        if not self.limit < beside * 2 <= self.limit * 2:
            return  # too little was to do to fill the limit, or it is not down to it yet
        if self._passing:
            self._passing -= 1
            return
        window = self._window
        window.add(page_views, seconds, beside, self._alone.seconds(page_views))
        enough = max(self.limit, _HASTY if self._doubling else _WINDOW)
        if window.count < enough:
            return
        if window.count < enough * 2 and window.queue > self._band[1]:
            return  # a slow moment, or too many in flight: look twice before shrinking
        self._window = _Window()
        self._fit_size(window)
        self._steer(window.queue, now)

    @property
    def _band(self) -> tuple[float, float]:
        if self._background:
            return _BACKGROUND_QUEUE
        least = _FULL_QUEUE * math.sqrt(self.limit)
        return least, least + _FULL_BAND

    def _steer(self, queue: float, now: float) -> None:
        least, most = self._band
        if queue > most:
            self._doubling = False
            if self.limit > self._bounds.limit_min:
                self._grow_at = now + self._hold
                self._hold = min(self._hold * 2, _HOLD_LAST)
                excess = max(1, round(queue - (least + most) / 2))
                self._set_limit(self._bounds.limit(self.limit - excess))
        elif queue >= least:
            self._doubling = False
        elif self.limit < self._bounds.limit_max and now >= self._grow_at:
            wanted = self.limit * 2 if self._doubling else self.limit + 1
            self._set_limit(self._bounds.limit(wanted))
        if self._probe_at is None:
            self._probe_at = now + self._probe_every
        elif now >= self._probe_at and self.limit > 1:
            self._probe(now)

    def _set_limit(self, limit: int) -> None:
        # Those in flight left under the old limit, and say nothing about the new one.
        self._passing = min(limit, self.limit)
        self.limit = limit
        self._window = _Window()

    def _probe(self, now: float) -> None:
        self._goal = self.limit
        self._probes_left = _PROBE
        self._set_limit(1)
        self._probe_every = min(self._probe_every * 4, _PROBE_LAST)
        self._probe_at = now + self._probe_every

    def _probed(self, beside: int) -> None:
        """Take an answer during a probe; requests that left before it do not count."""
        if beside > 1:
            return
        self._probes_left -= 1
        if not self._probes_left and self._goal is not None:
            self._set_limit(self._goal)
            self._goal = None

    def _recover(self, goal: int) -> None:
        self._set_limit(min(self.limit * 2, goal))
        if self.limit >= goal:
            self._goal = None

    # -- the batch size ------------------------------------------------------------------------

    def _fit_size(self, window: _Window) -> None:
        if window.page_views * 2 < self._size * window.count:
            return  # the batches are not full: it is not their size that limits anything
        wanted = int(_REQUEST * window.page_views / max(window.seconds, 1e-9))
        wanted = max(self._size // 2, min(wanted, self._size * 2))
        wanted = self._bounds.size(wanted)
        if abs(wanted - self._size) > self._size * _SIZE_STEP:
            self._size = wanted


class _Alone:
    """What a request takes with nothing beside it: so much itself, and so much a page view.

    Fitted by least squares over the answers to requests that were alone; their spread grows with
    their size, so that they weigh by its inverse. Older ones fade.
    """

    __slots__ = ("_count", "_inverse", "_page_view", "_rate", "_request", "_seconds", "_size")

    def __init__(self) -> None:
        self._count = 0.0  # answers
        self._size = 0.0  # sum of their page views
        self._inverse = 0.0  # sum of 1 / page views
        self._seconds = 0.0  # sum of what they took
        self._rate = 0.0  # sum of what they took / page views
        self._request = 0.0  # seconds
        self._page_view = 0.0  # seconds

    def add(self, page_views: int, seconds: float) -> None:
        """Note a request that was alone."""
        keep = 1.0 if self._count < _REMEMBERED else 1 - 1 / _REMEMBERED
        self._count = self._count * keep + 1
        self._size = self._size * keep + page_views
        self._inverse = self._inverse * keep + 1 / page_views
        self._seconds = self._seconds * keep + seconds
        self._rate = self._rate * keep + seconds / page_views
        self._request, self._page_view = self._fit()

    def seconds(self, page_views: int) -> float:
        """Say what a request of this size would take alone."""
        return self._request + self._page_view * page_views

    def _fit(self) -> tuple[float, float]:
        spread = self._inverse * self._size - self._count**2
        if spread > 0.05 * self._count**2:  # else they are all of about one size
            request = (self._rate * self._size - self._seconds * self._count) / spread
            page_view = (self._inverse * self._seconds - self._count * self._rate) / spread
            if page_view <= 0:
                return self._seconds / self._count, 0.0
            if request > 0:
                return request, page_view
        return 0.0, self._seconds / self._size


@dataclass(slots=True)
class _Window:
    """Sums over the answers behind one decision."""

    count: int = 0
    page_views: int = 0
    seconds: float = 0.0
    alone: float = 0.0  # seconds that they would have taken alone
    beside: int = 0

    def add(self, page_views: int, seconds: float, beside: int, alone: float) -> None:
        self.count += 1
        self.page_views += page_views
        self.seconds += seconds
        self.beside += beside
        self.alone += alone

    @property
    def queue(self) -> float:
        """How many of the requests in flight stand in a queue."""
        waited = self.seconds - self.alone
        if waited < min(_UNNOTICED_REQUEST * self.count, _UNNOTICED_PAGE_VIEW * self.page_views):
            return 0.0
        return self.beside / self.count * waited / self.seconds
