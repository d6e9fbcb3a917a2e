"""One batch in doubt: what of it is stored, and sending the rest again under the same tag.

Page views are sent again one by one, for then each answer tells what became of it: stored,
dropped as a bot's, refused for ever. Where Umami cannot tell what it stored they are sent again
all the same, and reported as perhaps double.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingestor.delivery.answers import (
    Forbidden,
    Reading,
    TooLarge,
    Verdict,
    is_umamis_own,
    printable,
)
from ingestor.delivery.listing import CannotTell
from ingestor.delivery.lookup import SAID, Lookup, NoLookup, Tagged
from ingestor.delivery.matching import Match, match
from ingestor.delivery.settling import agent_of
from ingestor.delivery.stored import Stored, as_stored
from ingestor.delivery.suspects import ENOUGH, points_after
from ingestor.delivery.umami import encode
from ingestor.errors import StoppedByUmami, TryAgain, UnknownWebsite
from ingestor.model import Batch, Outcome, PageView
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ingestor.delivery.books import Books
    from ingestor.delivery.permits import Permits
    from ingestor.delivery.ports import Report
    from ingestor.delivery.retry import Outage
    from ingestor.delivery.routes import Routes
    from ingestor.delivery.settling import Settling
    from ingestor.delivery.suspects import Suspects
    from ingestor.delivery.umami import Umami

logger = logging.getLogger(__name__)

_LAGS_MAX = 8  # two minutes of them, by the default pauses


@dataclass(eq=False, slots=True)
class Doubt:
    """A batch in doubt; page views are named by their places in it."""

    batch: Batch  # as the journal has it: everything that was sent under its tag
    open: list[int]  # without an end
    taken: set[int] = field(default_factory=set)  # Umami has them, or dropped them as bots'
    resent: bool = False
    doubled: int = 0  # rows too many that were reported
    failures: Counter[int] = field(default_factory=Counter)
    points: Counter[int] = field(default_factory=Counter)  # see suspects.py
    lags: int = 0  # readings that lacked what is known to be stored
    mark: int | None = None  # page views that Umami had stored at the last failure

    def close(self, place: int, *, taken: bool = False) -> None:
        """Note that a page view came to its end."""
        self.open.remove(place)
        if taken:
            self.taken.add(place)


@dataclass(slots=True)
class Round:
    """Page views that came to an end in one round."""

    finished: dict[Outcome, list[PageView]] = field(default_factory=dict)
    rejected: list[tuple[PageView, str]] = field(default_factory=list)  # with Umami's words

    def end(self, page_view: PageView, outcome: Outcome) -> None:
        """Note the end of one."""
        self.finished.setdefault(outcome, []).append(page_view)


class _InDoubt(Exception):
    """It left again, and no answer came."""


class _Later(Exception):
    """Umami fails over it: go on in the next round."""


class Resolver:
    """Looks batches up. ``between``: seconds between two readings that have to agree."""

    def __init__(  # noqa: PLR0913 - the room's parts meet here
        self,
        *,
        umami: Umami,
        lookup: Lookup | NoLookup,
        routes: Routes,
        outage: Outage,
        pace: Permits,
        books: Books,
        settling: Settling,
        suspects: Suspects,
        report: Report,
        between: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._umami = umami
        self._lookup = lookup
        self._routes = routes
        self._outage = outage
        self._pace = pace
        self._books = books
        self._settling = settling
        self._suspects = suspects
        self._report = report
        self._between = between
        self._clock = clock
        self._sleep = sleep
        self._told = {SAID}

    async def resolve(self, doubt: Doubt) -> bool | None:
        """Bring a batch as far as it goes. None: all of it has its end.

        True: a request left again and was not answered; False: it was answered by a 500. Raises
        TryAgain where nothing can be looked up now, and StoppedByUmami.
        """
        ended = Round()
        try:
            missing = await self._look(doubt, ended)
        except CannotTell as why:
            missing = list(doubt.open)
            self._repeat_blindly(doubt, missing, str(why))
        error: Exception | None = None
        try:
            await self._send_missing(doubt, missing, ended)
        except (_InDoubt, _Later, TryAgain, StoppedByUmami) as raised:
            error = raised
        await self._books.enter_resolved(
            doubt.batch, ended.finished, ended.rejected, done=not doubt.open
        )
        if not doubt.open:
            return None
        if isinstance(error, TryAgain | StoppedByUmami):
            raise error
        return isinstance(error, _InDoubt)

    async def count_doubles(self, doubt: Doubt) -> None:
        """Report what is stored more often than it was sent. Raises what `Lookup` raises."""
        try:
            reset = await self._lookup.reset_at(doubt.batch.website)
            taken = _visible(doubt, doubt.taken, reset)
            if taken:
                listed = await self._lookup.stored(_tagged(doubt, taken))
                self._report_doubles(doubt, match(listed, {}, self._keys(doubt, taken)))
        except CannotTell:
            return

    # -- what is stored ------------------------------------------------------------------------

    async def _look(self, doubt: Doubt, ended: Round) -> list[int]:
        """End what is stored; the places of what is missing."""
        reset = await self._lookup.reset_at(doubt.batch.website)
        visible = _visible(doubt, doubt.open, reset)
        hidden = [place for place in doubt.open if place not in set(visible)]
        if hidden:
            self._repeat_blindly(doubt, hidden, "the website was reset after them")
        if not visible:
            return hidden
        taken = _visible(doubt, doubt.taken, reset)
        listed = await self._agreed(_tagged(doubt, [*visible, *taken]))
        self._see_it_keeps_up(doubt, listed, taken)
        found = self._match(doubt, listed, visible, taken)
        if found.unclear:
            await self._settle(doubt, found.unclear)
            found = self._match(doubt, listed, visible, taken)
        logger.debug("of %d page views in doubt, %d are stored", len(visible), len(found.found))
        for place in found.found:
            doubt.close(place, taken=True)
            ended.end(doubt.batch.page_views[place], Outcome.ACCEPTED)
        self._report_doubles(doubt, found)
        if len(found.found) == len(visible):
            self._outage.succeeded()  # its database answers, and had stored them
        return sorted(set(visible).difference(found.found).union(hidden))

    async def _agreed(self, tagged: Tagged) -> Counter[Stored]:
        """What two readings in a row say. A server that still works on it is waited for."""
        last = await self._lookup.stored(tagged)
        while True:
            await self._sleep(self._between)
            listed = await self._lookup.stored(tagged)
            if listed == last:
                return listed
            last = listed

    def _see_it_keeps_up(self, doubt: Doubt, listed: Counter[Stored], taken: list[int]) -> None:
        """Disbelieve a list without what Umami said it had stored: a replica may lag behind.

        Raises TryAgain, and CannotTell when it does so again and again.
        """
        views = doubt.batch.page_views
        people = [p for p in taken if self._settling.verdict_on(views[p]) is False]
        missing = Counter(key.bare for key in self._keys(doubt, people).values() if key)
        missing.subtract(row.bare for row in listed.elements())
        if all(count <= 0 for count in missing.values()):
            return
        doubt.lags += 1
        if doubt.lags > _LAGS_MAX:
            raise CannotTell("it does not list what it said it had stored")
        raise TryAgain("Umami does not list yet what it said it had stored")

    def _match(
        self, doubt: Doubt, listed: Counter[Stored], visible: Iterable[int], taken: Iterable[int]
    ) -> Match:
        """Known bots leave holes: they are neither expected nor found."""
        return match(listed, self._keys(doubt, visible), self._keys(doubt, taken))

    def _keys(self, doubt: Doubt, places: Iterable[int]) -> dict[int, Stored | None]:
        views = doubt.batch.page_views
        return {
            place: as_stored(views[place].payload)
            for place in places
            if self._settling.verdict_on(views[place]) is not True
        }

    async def _settle(self, doubt: Doubt, unclear: Iterable[int]) -> None:
        """Ask for Umami's verdict on the user agents that decide who is missing."""
        for place in unclear:
            view = doubt.batch.page_views[place]
            if self._settling.verdict_on(view) is None:
                self._books.learn(agent_of(view), bot=await self._umami.is_bots_visit(view))

    def _report_doubles(self, doubt: Doubt, found: Match) -> None:
        more = found.surplus - doubt.doubled
        if more > 0:
            doubt.doubled += more
            self._report.doubted(doubt.batch.website, more, answered=True)
            logger.warning(
                "website %s has %s double: Umami stored what was sent later than it could be "
                "waited for (tag %s)",
                printable(doubt.batch.website),
                counted(more, "page view"),
                doubt.batch.tag,
            )

    def _repeat_blindly(self, doubt: Doubt, places: list[int], why: str) -> None:
        self._report.doubted(doubt.batch.website, len(places))
        if why not in self._told:
            self._told.add(why)
            logger.warning(
                "Umami cannot tell what it stored (%s): sending %s again, which may be double",
                why,
                counted(len(places), "page view"),
            )

    # -- what is missing -----------------------------------------------------------------------

    async def _send_missing(self, doubt: Doubt, missing: list[int], ended: Round) -> None:
        """Send page views again, those that failed before last. Raises where it has to stop."""
        for place in sorted(missing, key=lambda place: (doubt.failures[place], place)):
            view = doubt.batch.page_views[place]
            if self._settling.verdict_on(view) is True:
                doubt.close(place)
                ended.end(view, Outcome.REFUSED_AS_BOT)
                continue
            over = True  # Umami's work on it
            try:
                reading = await self._send(doubt, view)
                over = is_umamis_own(reading)
            except TooLarge as refusal:
                reading = Reading(Verdict.SUSPECT, refusal.words)
            except Forbidden as refusal:
                if not await self._suspects.umami_works(view.website):
                    raise
                reading = Reading(Verdict.SUSPECT, str(refusal))
            if not await self._enter(doubt, place, reading, ended):
                raise _Later if over else _InDoubt

    async def _enter(self, doubt: Doubt, place: int, reading: Reading, ended: Round) -> bool:
        """Enter the answer to one page view; False: it failed, and is in doubt again."""
        view = doubt.batch.page_views[place]
        verdict = reading.verdict
        if verdict in {Verdict.STORED, Verdict.BOT}:
            bot = verdict is Verdict.BOT
            self._books.learn(agent_of(view), bot=bot)
            self._outage.succeeded()
            doubt.resent |= not bot
            doubt.close(place, taken=not bot)
            ended.end(view, Outcome.REFUSED_AS_BOT if bot else Outcome.ACCEPTED)
        elif verdict is Verdict.REJECTED or await self._is_guilty(doubt, place, verdict):
            doubt.close(place)
            ended.rejected.append((view, reading.words))
        elif verdict is Verdict.UNKNOWN_WEBSITE:
            msg = f"Umami knows no website {printable(view.website)}: its id must have changed"
            raise UnknownWebsite(view.website, msg)
        else:
            self._failed(TryAgain(f"Umami fails: {printable(reading.words)}"))
            return False
        return True

    async def _is_guilty(self, doubt: Doubt, place: int, verdict: Verdict) -> bool:
        """A 500 without a word why, again and again, beside others that are stored."""
        if verdict is not Verdict.SUSPECT:
            return False
        proved = doubt.mark is not None and self._books.stored > doubt.mark
        doubt.failures[place] += 1
        if await self._suspects.umami_works(doubt.batch.website):
            known = self._suspects.kept
            doubt.points[place] = points_after(
                doubt.points[place], proved=proved, alone=True, known=known
            )
        doubt.mark = self._books.stored
        return doubt.points[place] >= ENOUGH

    async def _send(self, doubt: Doubt, view: PageView) -> Reading:
        """Send one page view again under its tag; waits while Umami is known to be away."""
        batch = Batch(doubt.batch.id, view.website, (view,), doubt.batch.tag)
        as_array = self._routes.as_array(1)
        body = encode(batch, as_array=as_array)
        async for attempt in self._outage.retrying():
            with attempt:
                await self._outage.clear()
                await self._pace.acquire()
                try:
                    await self._pace.may_leave(1)
                    return await self._request(body, as_array=as_array)
                finally:
                    self._pace.release()
        raise AssertionError("tenacity ended an endless loop")

    async def _request(self, body: bytes, *, as_array: bool) -> Reading:
        self._settling.requested()
        left_in, began = self._outage.round, self._clock()
        try:
            if as_array:
                readings = await self._umami.batch(body, 1)
                (reading,), token = readings.readings, readings.token
                if reading.verdict is Verdict.COUNTED:  # a batch of bots has no token
                    reading = Reading(Verdict.BOT if token is None else Verdict.STORED)
            else:
                reading, token = await self._umami.send(body)
        except TryAgain as error:
            self._failed(error, left_in)
            if error.in_doubt:
                raise _InDoubt from error
            raise
        if reading.verdict is Verdict.STORED:
            self._pace.answered(1, self._clock() - began)
        return reading

    def _failed(self, error: TryAgain, left_in: int | None = None) -> None:
        self._pace.failed()
        self._settling.forget_token()
        self._outage.failed(error, self._outage.round if left_in is None else left_in)


def _visible(doubt: Doubt, places: Iterable[int], reset: float) -> list[int]:
    """Of these places, those that Umami lists: not older than the website's reset (Unix ms)."""
    return sorted(place for place in places if _second(doubt, place) * 1000 >= reset)


def _tagged(doubt: Doubt, places: Iterable[int]) -> Tagged:
    seconds = [_second(doubt, place) for place in places]
    batch = doubt.batch
    return Tagged(batch.website, batch.tag or "", min(seconds), max(seconds), len(batch.page_views))


def _second(doubt: Doubt, place: int) -> int:
    return doubt.batch.page_views[place].time
