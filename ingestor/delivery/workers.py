"""The workers that carry page views to Umami, and what they do about each kind of answer.

A worker takes a parcel, journals it as a batch, asks Umami until an answer can be believed, and
enters that answer; what it leaves unfinished is tried again, in smaller parts where that helps.
Only `StoppedByUmami` ends anything, and it skips nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ingestor.delivery.answers import (
    Forbidden,
    NoSuchRoute,
    Reading,
    Readings,
    TooLarge,
    TooManyRequests,
    Verdict,
    printable,
)
from ingestor.delivery.settling import agent_of
from ingestor.delivery.umami import encode
from ingestor.errors import StoppedByUmami, TryAgain, UnknownWebsite
from ingestor.model import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.delivery.batcher import Batcher, Parcel
    from ingestor.delivery.books import Books, Rest
    from ingestor.delivery.doubts import Doubts
    from ingestor.delivery.parking import Parking
    from ingestor.delivery.permits import Permits
    from ingestor.delivery.ports import Journal, Report
    from ingestor.delivery.probes import Probes
    from ingestor.delivery.retry import Outage
    from ingestor.delivery.routes import Routes
    from ingestor.delivery.settling import Settling
    from ingestor.delivery.suspects import Suspects
    from ingestor.delivery.umami import Umami
    from ingestor.model import PageView

logger = logging.getLogger(__name__)

_OBSTINATE = 4  # failures of one batch, each after others were stored, before it makes way
_UNANSWERED = 3  # requests for one batch without an answer, before it goes on in halves


class _MakeWay(Exception):
    """The batch fails while others are stored, or the route has changed: regroup it."""


class _Unanswered(Exception):
    """The request left again and again, and no whole answer came: it may be too large for that."""


class _InDoubt(Exception):
    """With exactly-once: the request left, and no whole answer came. It must not leave again."""


class _GiveUp(Exception):
    """Delivery is ending, or the website was parked meanwhile."""


class _Exchange(NamedTuple):
    """A request and its answer."""

    readings: Readings
    left_in: int  # the outage's round in which the request left
    seconds: float = 0.0  # until the answer was there
    beside: int = 0  # requests in flight with it, itself included; 0: none was


class Workers:
    """The pool. It is given everything that delivery consists of, and puts it together.

    ``park``: see `Delivery`.
    """

    def __init__(  # noqa: PLR0913 - the room's parts meet here
        self,
        *,
        umami: Umami,
        batcher: Batcher,
        pace: Permits,
        outage: Outage,
        routes: Routes,
        books: Books,
        settling: Settling,
        probes: Probes,
        suspects: Suspects,
        parking: Parking,
        doubts: Doubts,
        journal: Journal,
        report: Report,
        park: bool,
        patience: float,
    ) -> None:
        self._umami = umami
        self._batcher = batcher
        self._pace = pace
        self._outage = outage
        self._routes = routes
        self._books = books
        self._settling = settling
        self._probes = probes
        self._suspects = suspects
        self._parking = parking
        self._doubts = doubts
        self._journal = journal
        self._report = report
        self._park = park
        self._patience = patience  # seconds an obstinate page view waits between tries
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, count: int) -> None:
        """Set ``count`` workers to work."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(count)]

    async def come_home(self, seconds: float) -> None:
        """Wait, after delivery was closed by an error, until every worker is back."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """Stop all workers at once. What is in flight stays in the journal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- one parcel after the other ------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while await self._batcher.wait():
                await self._pace.acquire()
                try:
                    await self._carry_next()
                finally:
                    self._pace.release()
        except Exception as error:  # noqa: BLE001 - whoever submits and drains is told
            self._batcher.close(error)

    async def _carry_next(self) -> None:
        parcel = self._batcher.take(self._settling.alone)
        todo = [parcel] if parcel else []
        while todo and self._batcher.error is None:
            todo.extend(reversed(await self._deliver(todo.pop())))
        if parcel:
            self._suspects.tried(parcel)
        if parcel and len(parcel.page_views) == 1:
            self._settling.came_back(parcel.page_views[0])

    async def _deliver(self, parcel: Parcel) -> list[Parcel]:
        """Send a parcel; what of it the same worker shall send next."""
        if parcel.kept is not None:
            self._journal.answered(parcel.kept, {})
            parcel = replace(parcel, kept=None)
        if parcel.website in self._parking:
            self._hand_back(parcel.page_views)
            return []
        views = self._without_bots(parcel)
        if not views:
            return []
        return await self._send(replace(parcel, page_views=views))

    async def _send(self, parcel: Parcel) -> list[Parcel]:
        """Make a batch of a parcel that is worth a request, or split it where it must be."""
        views = parcel.page_views
        if not self._routes.batches and len(views) > 1:
            return parcel.singles()
        number = self._journal.next_batch_id()
        batch = Batch(number, parcel.website, views, self._doubts.tag(number))
        as_array = self._routes.as_array(len(views))
        body = encode(batch, as_array=as_array)
        if len(views) > 1 and not self._routes.fits(len(body)):
            return parcel.halves()
        await self._journal.before_send(batch, self._doubts.bodies(batch))
        if parcel.doubted:
            self._journal.leaving(batch)  # it has left before, in another batch
        return await self._exchange(parcel, batch, body, as_array=as_array)

    def _without_bots(self, parcel: Parcel) -> tuple[PageView, ...]:
        """The page views of a parcel whose user agents are no known bots; the others end here."""
        views = parcel.page_views
        bots = self._settling.bots_among(views)
        if bots:
            known = [view for view in views if agent_of(view) in bots]
            self._books.enter_known_bots(known)
            views = tuple(view for view in views if agent_of(view) not in bots)
        return views

    async def _exchange(  # noqa: PLR0911 - one for each end of a request
        self, parcel: Parcel, batch: Batch, body: bytes, *, as_array: bool
    ) -> list[Parcel]:
        """Ask until there is an answer, and act on it."""
        stored = self._books.stored
        try:
            exchange = await self._ask(batch, body, as_array=as_array, doubted=parcel.doubted)
        except TooLarge as refusal:
            return await self._halve(parcel, batch, body, refusal)
        except StoppedByUmami as error:
            if not parcel.tries:  # what is stored meanwhile proves something already
                parcel = replace(parcel, tries=1, mark=stored)
            return await self._refused(parcel, batch, error)
        except _Unanswered:
            return await self._in_halves(parcel, batch)
        except _MakeWay:
            self._journal.answered(batch, {})
            return self._make_way(parcel)
        except (_InDoubt, _GiveUp) as end:
            if isinstance(end, _InDoubt):
                self._doubts.unanswered(batch)
            elif parcel.website in self._parking:
                self._journal.answered(batch, {})
                self._hand_back(parcel.page_views)
            return []
        doubtful = batch.tag is not None
        rest = await self._books.enter(batch, exchange.readings, doubtful=doubtful)
        if not doubtful or not (rest.again or rest.suspects):
            return await self._follow_up(parcel, rest, exchange)
        self._doubts.half_answered(batch, exchange.readings)
        self._put_aside(parcel, rest, exchange)
        return []

    async def _ask(self, batch: Batch, body: bytes, *, as_array: bool, doubted: bool) -> _Exchange:
        """Ask Umami, without end, until it answers."""
        unanswered = 0
        try:
            return await self._request(batch, body, as_array=as_array, doubted=doubted)
        except TryAgain as error:
            unanswered += error.in_doubt
        beside = 0  # failures before which others were stored
        stored = self._books.stored
        async for attempt in self._outage.retrying():
            with attempt:
                await self._pace.pass_on()
                await self._outage.clear()
                if self._batcher.error is not None or batch.website in self._parking:
                    raise _GiveUp
                if beside >= _OBSTINATE or (as_array and not self._routes.batches):
                    raise _MakeWay
                if unanswered >= _UNANSWERED and len(batch.page_views) > 1:
                    raise _Unanswered
                proved = self._books.stored > stored
                stored = self._books.stored
                try:
                    return await self._request(batch, body, as_array=as_array, doubted=doubted)
                except TryAgain as error:
                    unanswered += error.in_doubt
                    beside += proved and not isinstance(error, TooManyRequests)
                    raise
        raise AssertionError("tenacity ended an endless loop")

    async def _request(
        self, batch: Batch, body: bytes, *, as_array: bool, doubted: bool
    ) -> _Exchange:
        await self._pace.may_leave(len(batch.page_views))
        await self._outage.clear()
        left_in = self._outage.round
        self._settling.requested()
        try:
            with self._pace.flight() as flight:
                self._journal.leaving(batch)
                if as_array:
                    readings = await self._umami.batch(body, len(batch.page_views))
                else:
                    reading, token = await self._umami.send(body)
                    readings = Readings([reading], token)
        except TryAgain as error:
            if not error.in_doubt:
                self._journal.refused(batch)
            self._failed(error, left_in)
            if error.in_doubt and batch.tag is not None:
                raise _InDoubt from error
            if error.in_doubt:
                self._report.doubted(batch.website, len(batch.page_views), told=doubted)
            if as_array and isinstance(error, NoSuchRoute):
                await self._routes.look_again()
            raise
        return _Exchange(readings, left_in, flight.seconds, flight.beside)

    # -- what an answer leaves to do -----------------------------------------------------------

    def _put_aside(self, parcel: Parcel, rest: Rest, exchange: _Exchange) -> None:
        """With exactly-once, act on 500s; the page views themselves wait to be looked up."""
        self._took(parcel, rest, exchange)
        if rest.again or not rest.took:
            was_away = self._outage.away
            self._failed(_trouble("Umami fails", rest), exchange.left_in)
            alone = exchange.readings.whole and rest.suspects and self._routes.mode == "auto"
            if alone and not was_away:
                self._routes.spoiled(self._books.stored)

    async def _follow_up(self, parcel: Parcel, rest: Rest, exchange: _Exchange) -> list[Parcel]:
        """Act on what an answer left unfinished."""
        self._took(parcel, rest, exchange)
        todo = []
        if rest.suspects:
            todo = await self._suspect(_part(parcel, rest.suspects), rest, exchange)
        if rest.again:
            self._failed(_trouble("Umami's database fails", rest), exchange.left_in)
            todo.append(self._doubted(_part(parcel, rest.again)))
        return todo

    def _doubted(self, parcel: Parcel) -> Parcel:
        """Report, once, that a 500 may have come after page views were stored."""
        if not parcel.doubted:
            self._report.doubted(parcel.website, len(parcel.page_views), answered=True)
        return replace(parcel, doubted=True)

    def _took(self, parcel: Parcel, rest: Rest, exchange: _Exchange) -> None:
        """Act on what of a parcel was taken, and on a website that Umami does not know."""
        if (rest.took or rest.homeless) and not rest.again:
            self._outage.succeeded()
            size = len(parcel.page_views)
            self._pace.answered(size, exchange.seconds, exchange.beside)
            self._routes.resize(self._pace.batch_size)
        if rest.took:
            self._probes.wake()
            if len(parcel.page_views) > 1:
                self._routes.batch_worked()
        if rest.homeless:
            self._stopped(self._unknown(parcel.website), _part(parcel, rest.homeless))

    async def _suspect(self, suspects: Parcel, rest: Rest, exchange: _Exchange) -> list[Parcel]:
        """Deal with 500s that tell nothing about themselves; what is to be sent at once."""
        trouble = _trouble("Umami fails without saying why", rest)
        if exchange.beside:  # else it never came to Umami
            suspects = self._doubted(suspects)
        if rest.took:
            self._suspects.failed_beside_others(suspects)
        elif len(suspects.page_views) == 1:
            guilty, outage = await self._suspects.failed_alone(suspects)
            if guilty:
                why = "Umami fails over it each time, and stores others"
                await self._books.reject(suspects.page_views[0], why, rest.words)
            elif outage:
                self._failed(trouble, exchange.left_in)
        else:
            was_away = self._outage.away
            self._failed(trouble, exchange.left_in)
            if exchange.readings.whole and self._routes.mode == "auto" and not was_away:
                if self._routes.spoiled(self._books.stored):
                    return suspects.singles()
                return suspects.first_and_others()
            self._suspects.failed_together(suspects)
        return []

    async def _halve(
        self, parcel: Parcel, batch: Batch, body: bytes, refusal: TooLarge
    ) -> list[Parcel]:
        """Too large, or spoiled by one of its page views: find out by halves."""
        if len(parcel.page_views) > 1:
            if refusal.by_size:
                self._routes.too_large(len(body))
            self._journal.answered(batch, {})
            return self._suspects.refused_together(parcel)
        readings = Readings([Reading(Verdict.SUSPECT, refusal.words)])
        rest = await self._books.enter(batch, readings)
        return await self._follow_up(parcel, rest, _Exchange(readings, self._outage.round))

    async def _refused(self, parcel: Parcel, batch: Batch, error: StoppedByUmami) -> list[Parcel]:
        """Access was refused: to this program, or by a firewall to what the page views hold."""
        self._journal.answered(batch, {})
        if isinstance(error, Forbidden) and await self._suspects.umami_works(parcel.website):
            return await self._disliked(parcel, error)
        self._stopped(error, parcel)
        return []

    async def _disliked(self, parcel: Parcel, refusal: Forbidden) -> list[Parcel]:
        """What asks for nothing passes the firewall: find out which page view does not."""
        if len(parcel.page_views) > 1:
            return self._suspects.refused_together(parcel)
        nothing_passes = self._suspects.proves_nothing(parcel)
        if refusal.before_3 and self._umami.is_before_3:
            why = "Umami refuses it for ever"
        elif nothing_passes and not self._park:
            self._stopped(refusal, parcel)
            return []
        else:
            guilty, _ = await self._suspects.failed_alone(parcel, refused=True)
            if not guilty:
                if nothing_passes:
                    self._failed(TryAgain(str(refusal)), self._outage.round)
                return []
            why = "it is refused each time, and what else is asked passes"
        await self._books.reject(parcel.page_views[0], why, str(refusal))
        return []

    async def _in_halves(self, parcel: Parcel, batch: Batch) -> list[Parcel]:
        """Split what may be stored; the half that waits is in the journal meanwhile."""
        first, second = replace(parcel, doubted=True).halves()
        kept = Batch(self._journal.next_batch_id(), parcel.website, second.page_views)
        await self._journal.before_send(kept)
        self._journal.leaving(kept)
        self._journal.answered(batch, {})
        return [first, replace(second, kept=kept)]

    def _make_way(self, parcel: Parcel) -> list[Parcel]:
        """Let others go first: this batch fails while they are stored, or must go alone now."""
        if len(parcel.page_views) > 1:
            if not self._routes.batches:
                return parcel.singles()
            for half in parcel.halves():
                self._suspects.set_aside(half)
            return []
        view = parcel.page_views[0]
        logger.warning(
            "a page view fails again and again while others are stored; it is tried on: the one "
            "at offset %d of %s",
            view.line_start,
            printable(self._books.file_of(view)),
        )
        self._suspects.set_aside(parcel, seconds=self._patience)
        return []

    # -- what only a person can mend, and what only time can ------------------------------------

    def _unknown(self, website: str) -> UnknownWebsite:
        msg = (
            f"the Umami at {self._umami.shown} knows no website {printable(website)}: "
            "copy the id from Umami's settings"
        )
        return UnknownWebsite(website, msg)

    def _stopped(self, error: StoppedByUmami, parcel: Parcel) -> None:
        """Park the website, or end everything. Nothing is skipped either way."""
        if not self._park:
            self._batcher.close(error)
            return
        self._parking.park(parcel.website, error)
        self._hand_back(parcel.page_views)
        queued = self._batcher.drop(parcel.website)
        if queued:
            self._report.deferred(queued)

    def _hand_back(self, page_views: Sequence[PageView]) -> None:
        self._batcher.release(len(page_views))
        self._report.deferred(page_views)

    def _failed(self, error: TryAgain, left_in: int) -> None:
        self._pace.failed()
        self._settling.forget_token()
        self._outage.failed(error, left_in)


def _part(parcel: Parcel, page_views: Sequence[PageView]) -> Parcel:
    return replace(parcel, page_views=tuple(page_views))


def _trouble(what: str, rest: Rest) -> TryAgain:
    return TryAgain(f"{what}: {printable(rest.words)}")
