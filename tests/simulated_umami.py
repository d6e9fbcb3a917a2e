"""Umami as a queue, on a clock that only the simulation moves: what the law of pace is tried on.

A request is worked off page view by page view, as /api/batch does it: each waits for the database
(beside others), then for one of the server's threads (behind others). That is a closed network of
one delay and one queue. `MEASURED` has the figures that fit the table of a real Umami 3.1 on two
cores: 82 page views a second by /api/send and 124 by batches of 50 one at a time, 186 by two, 213
by four; seen were 82, 134, 184 and 209.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field
from itertools import cycle
from typing import Protocol

DRAWS = 10_007  # of the jitter, in a run; then they come again


class Law(Protocol):
    """What decides how many requests are in flight, and how large they are."""

    limit: int
    batch_size: int

    def answered(self, page_views: int, seconds: float, beside: int, now: float) -> None: ...


@dataclass
class Fixed:
    """One setting of a sweep."""

    limit: int
    batch_size: int

    def answered(self, page_views: int, seconds: float, beside: int, now: float) -> None:
        pass


@dataclass(frozen=True)
class Model:
    """A server. Times in seconds; ``jitter`` is the sigma of a lognormal factor of mean 1."""

    name: str
    threads: int  # that work
    entry: float  # of a thread, a page view
    request: float  # of a thread, a request
    wait: float  # for the database, a page view
    network: float  # a request
    jitter: float
    stall_every: float = math.inf  # mean time between two moments in which nothing moves …
    stall: float = 0.0  # … and how long they last
    client: float = 0.001  # between an answer and the next request


FAST = Model("fast", threads=4, entry=0.004, request=0.002, wait=0.004, network=0.010, jitter=0.5)
MEASURED = Model(
    "like the measured Umami",
    threads=1,
    entry=0.0046,
    request=0.0035,
    wait=0.0034,
    network=0.0005,
    jitter=0.83,
)
SLOW = Model(
    "slow and jittery",
    threads=2,
    entry=0.020,
    request=0.010,
    wait=0.040,
    network=0.030,
    jitter=1.0,
    stall_every=20.0,
    stall=1.0,
)
MODELS = (FAST, MEASURED, SLOW)


@dataclass
class Run:
    """What a run came to."""

    page_views: int = 0  # answered
    seconds: float = 0.0  # that it took
    latencies: list[float] = field(default_factory=list)  # seconds, of requests
    tracked: list[float] = field(default_factory=list)  # seconds, of a foreign tracker's requests

    @property
    def rate(self) -> float:
        """Page views a second."""
        return self.page_views / self.seconds


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


@dataclass(slots=True)
class _Request:
    size: int
    left: float
    beside: int
    foreign: bool = False
    done: int = -1  # page views; the request itself comes before them


class SimulatedUmami:
    """One server, one sender that has always something to send, perhaps a foreign tracker.

    ``tracker``: its requests a second, one page view each, at random moments.
    """

    def __init__(self, model: Model, law: Law | None, *, seed: int, tracker: float = 0.0) -> None:
        self.model = model
        self.law = law
        self.now = 0.0
        self._random = random.Random(seed)
        self._tracker = tracker
        self._in_flight = 0
        self._run = Run()
        self._order = 0
        self._at: list[tuple[float, int, _Request | None]] = []
        self._threads = [0.0] * model.threads
        sigma = model.jitter
        draws = [self._random.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(DRAWS)]
        mean = sum(draws) / DRAWS
        self._factors = cycle([draw / mean for draw in draws])
        self._next_stall = self._draw_stall()

    def run(self, *, page_views: int = 0, seconds: float = math.inf) -> Run:
        """Go on until so many page views are answered, or so long."""
        run = self._run
        if self._tracker:
            self._visit()
        self._fill()
        at = self._at
        while at and at[0][0] <= seconds and (not page_views or run.page_views < page_views):
            self.now, _, request = heapq.heappop(at)
            if request is None:
                self._fill()
            elif request.done == request.size:
                self._answer(request)
            else:
                self._step(request)
        run.seconds = self.now
        return run

    def _push(self, after: float, request: _Request | None) -> None:
        self._order += 1
        heapq.heappush(self._at, (self.now + after, self._order, request))

    def _visit(self) -> None:
        """The tracker's next request."""
        after = self._random.expovariate(self._tracker)
        self._push(after, _Request(1, self.now + after, 0, foreign=True))

    def _fill(self) -> None:
        law = self.law
        while law is not None and self._in_flight < law.limit:
            self._in_flight += 1
            request = _Request(law.batch_size, self.now, self._in_flight)
            self._push(self.model.network, request)

    def _step(self, request: _Request) -> None:
        """The request's turn at a thread."""
        model = self.model
        if request.foreign and request.done < 0:
            self._visit()
        work = model.request if request.done < 0 else model.entry
        request.done += 1
        while self._next_stall + model.stall < self.now:  # nobody was there to see it
            self._next_stall += model.stall + self._draw_stall()
        free = heapq.heappop(self._threads)
        end = max(self.now, free) + work * next(self._factors)
        if end > self._next_stall:
            end = max(end, self._next_stall) + model.stall
            self._threads = [max(thread, end) for thread in self._threads]
            self._next_stall = end + self._draw_stall()
        heapq.heappush(self._threads, end)
        after = end - self.now
        if request.done < request.size:
            after += model.wait * next(self._factors)
        self._push(after, request)

    def _answer(self, request: _Request) -> None:
        took = self.now - request.left
        if request.foreign:
            self._run.tracked.append(took)
            return
        assert self.law is not None
        self._run.page_views += request.size
        self._run.latencies.append(took)
        beside = max(request.beside, self._in_flight)
        self._in_flight -= 1
        self.law.answered(request.size, took, beside, self.now)
        self._push(self.model.client, None)

    def _draw_stall(self) -> float:
        every = self.model.stall_every
        return self._random.expovariate(1 / every) if every < math.inf else math.inf
