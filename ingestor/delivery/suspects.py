"""Page views that fail for a reason nobody told: an outage, or something in themselves.

A server before 3.0, and any unknown error, answers 500 to both, and a proxy that is set up wrong
413 to whatever it is. They wait aside, are tried alone or in halves, and a try counts only beside
proof that Umami works: that it stored others since the last one. So one poison page view ends as
a dead letter, and an outage never makes one.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from ingestor.errors import StoppedByUmami, TryAgain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.delivery.batcher import Batcher, Parcel
    from ingestor.delivery.books import Books
    from ingestor.delivery.umami import Umami

ENOUGH = 10  # points that convict
_BESIDE_STORED = 2
_BESIDE_A_PROBE = 1
_LONGEST = 10.0  # seconds between two tries
_EXPONENT_MAX = 20


def points_after(points: int, *, proved: bool, alone: bool, known: bool = False) -> int:
    """The points of a page view that failed once more, while Umami's database can be read.

    ``proved``: others were stored since it failed last. ``alone``: nothing is left to compare it
    with, but others like it at the end of a backfill; then a failure counts half, and only after
    one beside stored ones: without any, all of Umami's storing may be what fails, unless it is
    ``known`` that it does not.
    """
    if proved:
        return points + _BESIDE_STORED
    return points + _BESIDE_A_PROBE if alone and (points or known) else points


class Suspects:
    """Who waits aside, and what their failures prove.

    ``kept``: they are dead letters already, and lose nothing by being rejected again.
    """

    def __init__(
        self,
        umami: Umami,
        batcher: Batcher,
        books: Books,
        *,
        shortest: float,
        longest: float,
        kept: bool,
        sleep: Callable[[float], Awaitable[None]],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._umami = umami
        self._batcher = batcher
        self._books = books
        self._shortest = shortest
        self._longest = longest
        self.kept = kept
        self._sleep = sleep
        self._draw = draw
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0  # page views aside
        self._pointed = 0  # page views with points, aside and tried again
        self.all_came = False  # a backfill's end: no page view follows that could prove something

    def set_aside(self, parcel: Parcel, *, seconds: float | None = None) -> None:
        """Give a parcel back to the batcher after a while (by default, one that grows)."""
        if seconds is None:
            whole = self._shortest * 2.0 ** min(parcel.tries, _EXPONENT_MAX)
            seconds = min(whole, self._longest, _LONGEST) * (0.5 + 0.5 * self._draw())
        task = asyncio.create_task(self._wait(parcel, seconds))
        self._waiting += len(parcel.page_views)
        if parcel.points:
            self._pointed += len(parcel.page_views)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def tried(self, parcel: Parcel) -> None:
        """Note that a parcel came to its end, or waits aside once more."""
        if parcel.points:
            self._pointed -= len(parcel.page_views)

    def failed_beside_others(self, parcel: Parcel) -> None:
        """Some of one batch failed while Umami stored the others: each is tried alone."""
        for single in parcel.singles():
            self.set_aside(replace(single, tries=1, points=_BESIDE_STORED, mark=self._books.stored))

    def failed_together(self, parcel: Parcel) -> None:
        """None of several was taken: an outage, unless others were stored in between."""
        again = replace(parcel, tries=parcel.tries + 1, mark=self._books.stored)
        proved = parcel.tries > 0 and self._books.stored > parcel.mark
        for part in again.halves() if proved or self.kept else [again]:
            self.set_aside(part)

    def refused_together(self, parcel: Parcel) -> list[Parcel]:
        """Something in one of several is refused before Umami: its halves tell where."""
        marked = replace(parcel, tries=max(parcel.tries, 1), mark=self._books.stored)
        return marked.halves()

    def proves_nothing(self, parcel: Parcel) -> bool:
        """Whether a page view was refused often enough, and nothing was stored beside it."""
        tried = not self.kept and parcel.tries >= ENOUGH
        return tried and not parcel.points and self._books.stored <= parcel.mark

    async def failed_alone(self, parcel: Parcel, *, refused: bool = False) -> tuple[bool, bool]:
        """One page view failed by itself: (is it guilty, does it look like an outage).

        ``refused``: before Umami, which answers. Where it is not guilty it waits aside.
        """
        works = refused or await self.umami_works(parcel.website)
        proved = parcel.tries > 0 and self._books.stored > parcel.mark
        last = self._waiting == 0 and self._batcher.held == 1
        points = parcel.points
        if works:
            known = self.kept or (refused and last and self.all_came and self._books.stored > 0)
            alone = last or self.kept or self._are_all_pointed
            points = points_after(points, proved=proved, alone=alone, known=known)
        if points >= ENOUGH:
            return True, False
        self.set_aside(
            replace(parcel, tries=parcel.tries + 1, points=points, mark=self._books.stored)
        )
        return False, not works or points == parcel.points

    @property
    def _are_all_pointed(self) -> bool:
        """Whether all that is left failed beside stored ones: alone with each other, at the end."""
        return self.all_came and self._pointed == self._batcher.held

    async def umami_works(self, website: str) -> bool:
        """Say whether Umami answers, with its database, to a request that is known to be good."""
        try:
            await self._umami.website_exists(website)
        except (TryAgain, StoppedByUmami):
            return False
        return True

    async def close(self) -> None:
        """Forget who waits; their page views stay unfinished."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self, parcel: Parcel, seconds: float) -> None:
        await self._sleep(seconds)
        self._waiting -= len(parcel.page_views)
        self._batcher.give_back(parcel)
