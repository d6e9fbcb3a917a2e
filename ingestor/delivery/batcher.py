"""Page views on their way to a worker: gathered by website, bounded, and fair.

An idle worker gets what is there at once. While all are busy, page views gather; the next free
worker takes a website whose batch is full or has waited long enough, in turn, else whichever is
next. The room for page views counts them until they are finished, so that readers wait while
workers are behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from ingestor.model import Batch, PageView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_website = itemgetter(0)  # of a page view: half the price of its name
_line = itemgetter(6)
_HEAVY = 12 * 1024 * 1024  # bytes of lines: with so many in memory, there is no room for more
_BATCH = 1024 * 1024  # bytes of lines: a batch has no more, but of one page view
_ASIDE = 4  # what waits to be looked up may fill the room so many times, beside it


@dataclass(frozen=True, slots=True)
class Parcel:
    """Page views of one website that a worker takes on together.

    ``tries``: how often it failed so that it may be its own fault; ``points``: how much of that
    was beside proof that Umami works; ``mark``: how many page views Umami had stored in this
    process at the last such failure. ``doubted``: they are reported as perhaps double. ``kept``:
    the batch that tells of them in the journal until they leave again.
    """

    website: str
    page_views: tuple[PageView, ...]
    tries: int = 0
    points: int = 0
    mark: int = 0
    doubted: bool = False
    kept: Batch | None = None

    def halves(self) -> list[Parcel]:
        """Split it in two, to find out which part is at fault."""
        middle = len(self.page_views) // 2
        return [
            replace(self, page_views=half)
            for half in (self.page_views[:middle], self.page_views[middle:])
        ]

    def first_and_others(self) -> list[Parcel]:
        """Split its first page view off."""
        return [
            replace(self, page_views=self.page_views[:1]),
            replace(self, page_views=self.page_views[1:]),
        ]

    def singles(self) -> list[Parcel]:
        """Split it into its page views."""
        return [replace(self, page_views=(page_view,)) for page_view in self.page_views]


@dataclass(slots=True)
class _Queue:
    page_views: deque[PageView]
    since: float  # monotonic; when its oldest began to wait


class Batcher:
    """The only place where page views wait. ``room`` bounds those held in every state.

    So does memory, and that of a batch, where their lines are long: what they take is known when
    they come, and taken for equally shared among those that are held.
    """

    def __init__(self, *, room: int, size: int, linger: float, clock: Callable[[], float]) -> None:
        self._room = room
        self._linger = linger
        self._clock = clock
        self.size = size  # page views a batch
        self.held = 0  # page views from submission to their end
        self.aside = 0  # of them, those that wait to be looked up
        self._bytes = 0  # of their lines
        self._queues: dict[str, _Queue] = {}  # in the order of their turns
        self._queued_since = 0.0  # monotonic; when the first of them came to no others
        self._returned: deque[Parcel] = deque()  # tried before, to be taken as they are …
        self._took_returned = False  # … in turn with the others, since they may fail for ever
        self._workers: deque[asyncio.Future[None]] = deque()  # idle ones
        self._entrance: deque[asyncio.Future[None]] = deque()  # submitters without room
        self._granted = False  # one of them was let in and has not put yet: nobody overtakes
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self.error: Exception | None = None  # what ended delivery

    async def room(self) -> int:
        """Wait for one's turn and for room; how many page views there is room for, at most a batch.

        0 where what earlier runs left has taken it by then: ask again. Raises the error that
        delivery was closed with. Whoever asked calls ``put`` before it awaits anything else.
        """
        if self.error is None and (self._granted or self._entrance or self._free <= 0):
            turn = asyncio.get_running_loop().create_future()
            self._entrance.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the turn came, and is not used
                    self._granted = False
                    self._admit()
                raise
        if self.error is not None:
            raise self.error
        return max(0, min(self._free, self.size))

    @property
    def _free(self) -> int:
        """How many page views there is room for. What waits aside has room of its own, bounded."""
        aside = min(self.aside, _ASIDE * self._room)
        if self.held:
            bytes_aside = min(self._bytes * aside // self.held, _ASIDE * _HEAVY)
            if self._bytes - bytes_aside >= _HEAVY:
                return 0
        return self._room - self.held + aside

    def put(self, page_views: Sequence[PageView]) -> None:
        """Queue page views that there is room for, and wake workers."""
        if not self._queues:
            self._queued_since = self._clock()
        for website, of_website in groupby(page_views, _website):
            queue = self._queues.get(website)
            if queue is None:
                queue = self._queues[website] = _Queue(deque(), self._clock())
            queue.page_views.extend(of_website)
        self.held += len(page_views)
        self._bytes += bytes_of(page_views)
        self._note_rest()
        self._wake(-(-len(page_views) // self.size))
        self._granted = False
        self._admit()

    def give_back(self, parcel: Parcel) -> None:
        """Queue a parcel that was tried before; its page views still have their room."""
        self._returned.append(parcel)
        self._wake(1)

    async def wait(self) -> bool:
        """Wait until something is queued; False: delivery was closed."""
        while self.error is None and not (self._returned or self._queues):
            idle = asyncio.get_running_loop().create_future()
            self._workers.append(idle)
            await idle
        return self.error is None

    def take(self, alone: Callable[[PageView], bool]) -> Parcel | None:
        """Take the next parcel, or None where nothing is queued.

        ``alone(page_view)`` says of the first page view whether it shall travel by itself.
        """
        website = self._next()
        if self._returned and (website is None or not self._took_returned):
            self._took_returned = True
            return self._returned.popleft()
        self._took_returned = False
        if website is None:
            return None
        queue = self._queues.pop(website)
        waiting = queue.page_views
        count = min(self.size, len(waiting))
        if self._bytes * count > _BATCH * self.held:
            count = max(1, _BATCH * self.held // self._bytes)
        if count > 1 and alone(waiting[0]):
            count = 1
        if count == len(waiting):
            taken = tuple(waiting)
        else:
            taken = tuple([waiting.popleft() for _ in range(count)])
            queue.since = self._clock()
            self._queues[website] = queue  # at the end of the turns
        if self._queues:
            self._wake(1)
        return Parcel(website, taken)

    def drop(self, website: str) -> list[PageView]:
        """Give up everything queued of a website, with its room."""
        queue = self._queues.pop(website, None)
        dropped = list(queue.page_views) if queue else []
        for parcel in [p for p in self._returned if p.website == website]:
            self._returned.remove(parcel)
            dropped.extend(parcel.page_views)
        self.release(len(dropped))
        return dropped

    def release(self, count: int, *, aside: bool = False) -> None:
        """Give up the room of ``count`` page views that are finished or handed back."""
        if self.held:
            self._bytes -= self._bytes * count // self.held
        self.held -= count
        if aside:
            self.aside -= count
        self._note_rest()
        self._admit()

    def hold(self, page_views: Sequence[PageView]) -> None:
        """Count page views as held that never stood in a queue here."""
        self.held += len(page_views)
        self._bytes += bytes_of(page_views)
        self._note_rest()

    def put_aside(self, count: int) -> None:
        """Count page views, held already, as waiting for a look-up: others get room."""
        self.aside += count
        self._note_rest()
        self._admit()

    @property
    def waiting(self) -> float:
        """For how many seconds the queue has not been empty."""
        return self._clock() - self._queued_since if self._queues else 0.0

    async def emptied(self) -> None:
        """Wait until no page view is held, or delivery was closed."""
        await self._emptied.wait()

    async def at_rest(self) -> None:
        """Wait until no page view is held but those aside, or delivery was closed."""
        await self._at_rest.wait()

    def close(self, error: Exception) -> None:
        """End everything by an error (the first one stays), and let nobody wait any more."""
        if self.error is not None:
            return
        self.error = error
        self._note_rest()
        self._wake(len(self._workers))
        for turn in self._entrance:
            if not turn.done():
                turn.set_result(None)
        self._entrance.clear()

    def _note_rest(self) -> None:
        for event, busy in ((self._emptied, self.held), (self._at_rest, self.held - self.aside)):
            if busy and self.error is None:
                event.clear()
            else:
                event.set()

    def _next(self) -> str | None:
        """Whose turn is it? A full batch or one that waited first; else the first in turn."""
        ripe = self._clock() - self._linger
        for website, queue in self._queues.items():
            if len(queue.page_views) >= self.size or queue.since <= ripe:
                return website
        return next(iter(self._queues), None)

    def _wake(self, workers: int) -> None:
        while workers > 0 and self._workers:
            idle = self._workers.popleft()
            if not idle.done():
                idle.set_result(None)
                workers -= 1

    def _admit(self) -> None:
        """Let the submitter in who waited longest, one at a time, if there is room."""
        while self._entrance and not self._granted and self._free > 0:
            turn = self._entrance.popleft()
            if not turn.done():
                turn.set_result(None)
                self._granted = True


def bytes_of(page_views: Sequence[PageView]) -> int:
    """How many bytes their lines have, without newlines."""
    return sum(map(len, map(_line, page_views)))
