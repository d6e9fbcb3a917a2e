"""The front of this room: page views in, acks and counts out, and back-pressure between.

Everything is put together here; `workers.py` has the work itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING

from ingestor.delivery.answers import NoSuchRoute, printable
from ingestor.delivery.batcher import Batcher
from ingestor.delivery.books import Books
from ingestor.delivery.burial import Burial
from ingestor.delivery.deadletters import DeadLetters
from ingestor.delivery.doubts import Doubts, Waits
from ingestor.delivery.listing import CannotTell
from ingestor.delivery.lookup import Lookup, NoLookup
from ingestor.delivery.pace import Bounds, Pace
from ingestor.delivery.parking import Parking
from ingestor.delivery.permits import Permits
from ingestor.delivery.probes import Probes
from ingestor.delivery.rate import Rate
from ingestor.delivery.resolving import Resolver
from ingestor.delivery.retry import Outage
from ingestor.delivery.routes import Routes
from ingestor.delivery.settling import Settling
from ingestor.delivery.suspects import Suspects
from ingestor.delivery.umami import ServerFacts, Umami
from ingestor.delivery.workers import Workers
from ingestor.errors import BadCredentials, StoppedByUmami, TryAgain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ingestor.delivery.answers import Raw
    from ingestor.delivery.options import DeliveryOptions, UmamiOptions
    from ingestor.delivery.ports import Journal, Report
    from ingestor.model import PageView

logger = logging.getLogger(__name__)

_SLACK = 15.0  # seconds on a busy machine
_BETWEEN = 10.0  # seconds between two readings that have to agree, at most
_ANSWERED = 10.0  # seconds until what a 500 of Umami's own left in doubt is looked up, at most
_BEHIND = 1.0  # seconds that page views wait one after the other for a request to carry them
_LAST_PROBES = 5.0  # seconds at the end of a backfill for what is not settled yet


def _name(file: int) -> bytes:
    return b"file %d" % file


def _nobody() -> bool:
    return False


def _as_it_is(line: bytes) -> bytes:
    return line


class Delivery:
    """Carries page views to Umami.

    ``park``: True (the daemon) parks a website that only a person can mend and goes on with the
    others; False (a backfill) ends everything with StoppedByUmami. ``kept``: the page views are
    dead letters already. ``background``: leave Umami nearly free for others;
    ``give_way``: whether somebody else's page views go first for now, asked before each request.
    ``file_path`` gives the path of a span's file, for dead letters; ``mask_line`` gives a raw line
    as it may be kept there. ``clock`` is monotonic, ``wall`` Unix seconds, ``draw`` gives random
    numbers of [0, 1).

    Build it inside of a running event loop.
    """

    def __init__(  # noqa: PLR0913 - clocks are injected one by one
        self,
        umami: UmamiOptions,
        options: DeliveryOptions,
        *,
        journal: Journal,
        report: Report,
        park: bool,
        kept: bool = False,
        background: bool = False,
        give_way: Callable[[], bool] = _nobody,
        file_path: Callable[[int], bytes] = _name,
        mask_line: Callable[[bytes], bytes] = _as_it_is,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._options = options
        self._park = park
        self._journal = journal
        self._report = report
        # Beside the workers: a probe, a parked website, a look-up.
        connections = options.workers + 3
        self._umami = Umami(
            umami, timeout=options.timeout, connections=connections, clock=clock, wall=wall
        )
        shortest, longest = options.retry_min, options.retry_max
        self._outage = Outage(
            shortest=shortest,
            longest=longest,
            report=report,
            clock=clock,
            wall=wall,
            sleep=sleep,
            draw=draw,
        )
        pace = _permits(options, background, give_way, clock, sleep)
        self._batcher = Batcher(
            room=options.room, size=pace.batch_size, linger=options.linger, clock=clock
        )
        self._routes = Routes(options.mode, self._umami, self._batcher)
        self._letters = _dead_letters(options, wall)
        settling = Settling(enabled=options.settle_bots, clock=clock)
        self._burial = Burial(self._letters, clock=clock, sleep=sleep)
        books = Books(
            journal=journal,
            report=report,
            batcher=self._batcher,
            settling=settling,
            burial=self._burial,
            file_path=file_path,
            mask_line=mask_line,
            wall=wall,
        )
        self._parking = Parking(self._umami, report, pause=longest, sleep=sleep)
        self._probes = Probes(self._umami, settling, books, self._outage, sleep=sleep)
        self._suspects = Suspects(
            self._umami,
            self._batcher,
            books,
            shortest=shortest,
            longest=longest,
            kept=kept,
            sleep=sleep,
            draw=draw,
        )
        self._lookup = _lookup(self._umami, umami, options, wall, sleep)
        resolver = Resolver(
            umami=self._umami,
            lookup=self._lookup or NoLookup(),
            routes=self._routes,
            outage=self._outage,
            pace=pace,
            books=books,
            settling=settling,
            suspects=self._suspects,
            report=report,
            between=min(_BETWEEN, options.settle / 4),
            clock=clock,
            sleep=sleep,
        )
        settle = options.settle if self.looks_up else shortest  # nobody asks: why wait
        self._doubts = Doubts(
            resolver=resolver,
            looks_up=self.looks_up,
            batcher=self._batcher,
            journal=journal,
            park=park,
            tag_prefix=options.tag_prefix,
            mask_line=mask_line,
            waits=Waits(settle, min(_ANSWERED, settle), shortest, longest),
            clock=clock,
            sleep=sleep,
        )
        self._workers = Workers(
            umami=self._umami,
            batcher=self._batcher,
            pace=pace,
            outage=self._outage,
            routes=self._routes,
            books=books,
            settling=settling,
            probes=self._probes,
            suspects=self._suspects,
            parking=self._parking,
            doubts=self._doubts,
            journal=journal,
            report=report,
            park=park,
            patience=longest,
        )

    async def start(self) -> ServerFacts:
        """Probe the server, for as long as it is away, and set the workers to work.

        Raises UmamiTooOld; BadCredentials where a website would not be parked.
        """
        await self.purge()
        facts = await self._ask_for_facts()
        self._routes.choose(facts)
        if self._options.exactly_once:
            await self._begin_exactly_once()
        await self._let_strays_go()
        self._doubts.take_up()
        self._workers.start(self._options.workers)
        self._probes.start()
        return facts

    async def submit(self, page_views: Sequence[PageView]) -> None:
        """Take page views over; wait while as many as may be in memory are under way.

        Page views of a parked website are handed back at once by ``Report.deferred``. Raises
        StoppedByUmami, or whatever broke a worker, once that ended delivery.
        """
        start = 0
        while start < len(page_views):
            end = start + await self._batcher.room()
            piece = page_views[start:end]
            start = end
            if self._parking:
                parked = [view for view in piece if view.website in self._parking]
                if parked:
                    self._report.deferred(parked)
                    piece = [view for view in piece if view.website not in self._parking]
            self._batcher.put(piece)

    async def drain(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - False, no exception
        """Wait until everything submitted is finished or handed back; False: time ran out.

        ``timeout`` in seconds, None for as long as it takes. With a timeout, what waits to be
        looked up with exactly-once is not waited for: the next start does that. Raises what
        ``submit`` raises, after the requests under way have come back.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        self._suspects.all_came = not self._park
        try:
            async with asyncio.timeout_at(end):
                if timeout is None or not self.looks_up:
                    await self._batcher.emptied()
                else:  # what is in doubt is on disk, and takes longer than anyone stops for
                    await self._batcher.at_rest()
                if self._batcher.error is not None:
                    await self._workers.come_home(self._options.timeout)
        except TimeoutError:
            return False
        if self._batcher.error is not None:
            raise self._batcher.error
        if not self._park:
            left = _LAST_PROBES if end is None else end - loop.time()
            await self._probes.finish(min(_LAST_PROBES, max(left, 0.0)))
        if timeout is None:
            await self._doubts.look_once_more()
        return True

    async def stop(self) -> None:
        """End at once. What is in flight stays in the journal. Call it last, and always."""
        await self._workers.close()
        await self._doubts.close()
        await self._probes.close()
        await self._suspects.close()
        await self._parking.close()
        await self._burial.close()
        await self._umami.close()

    async def purge(self) -> None:
        """Drop dead letters that are older than they may get."""
        if self._letters is not None:
            with contextlib.suppress(OSError):  # it will say so when there is something to write
                await asyncio.to_thread(self._letters.purge)

    @property
    def held(self) -> int:
        """Page views submitted and neither finished nor handed back."""
        return self._batcher.held

    @property
    def in_doubt(self) -> int:
        """Page views, of those held, that wait to be looked up with exactly-once."""
        return self._batcher.aside

    @property
    def looks_up(self) -> bool:
        """Whether what earlier runs left in doubt is looked up here, and not just sent again."""
        return self._lookup is not None

    @property
    def last_sign(self) -> float:
        """When something came back from Umami last, or when it may be asked again if later.

        Monotonic seconds. More than `patience` after it, with page views under way, delivery
        does not work any more.
        """
        return max(self._umami.last_heard, self._outage.resume, self._doubts.due, self._burial.due)

    @property
    def patience(self) -> float:
        """Seconds between two signs, at most, while page views are under way."""
        return self._options.timeout + self._options.retry_max + _SLACK

    def take_up(self) -> None:
        """Take up what another run left in doubt meanwhile."""
        self._doubts.take_up()

    async def _begin_exactly_once(self) -> None:
        """See whether it is possible."""
        if self._lookup is None:
            logger.warning(
                "delivery.exactly_once wants umami.username and umami.password to look up what "
                "Umami stored: without them, what is in doubt is sent again and may be double"
            )
            return
        try:
            await self._lookup.check()
        except (CannotTell, NoSuchRoute) as error:
            self._doubts.active = False
            logger.warning(
                "delivery.exactly_once is not possible with %s (%s): what is in doubt is sent "
                "again and may be double",
                self._umami.shown,
                printable(str(error)),
            )
        except BadCredentials as error:
            if not self._park:
                raise
            logger.error("page views that get in doubt will stay so: %s", printable(str(error)))  # noqa: TRY400 - for the operator
        except TryAgain as error:
            logger.debug("nothing can be looked up yet: %s", printable(str(error)))

    async def _let_strays_go(self) -> None:
        """Give up what earlier runs left for websites that neither the sites nor Umami know.

        It would be in doubt for ever. One that Umami knows may be another configuration's.
        """
        for website in self._journal.strays():
            with contextlib.suppress(TryAgain, StoppedByUmami):  # the next start asks again
                if not await self._umami.website_exists(website):
                    self._journal.let_go(website)

    @property
    def behind(self) -> bool:
        """Whether page views come faster than they can be sent: some wait all the time."""
        return self._batcher.waiting > _BEHIND

    async def _ask_for_facts(self) -> ServerFacts:
        heard: dict[bytes, Raw] = {}
        async for attempt in self._outage.retrying():
            with attempt:
                await self._outage.clear()
                left_in = self._outage.round
                try:
                    facts = await self._umami.facts(heard)
                except TryAgain as error:
                    self._outage.failed(error, left_in)
                    raise
                except BadCredentials as error:
                    if not self._park:
                        raise
                    if not self._outage.away:
                        logger.error("nothing can be sent: %s", printable(str(error), 1_000))  # noqa: TRY400 - for the operator
                    self._outage.failed(error, left_in)
                    raise TryAgain(str(error)) from error
                self._outage.succeeded()
                return facts
        raise AssertionError("tenacity ended an endless loop")


def _lookup(
    umami: Umami,
    login: UmamiOptions,
    options: DeliveryOptions,
    wall: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Lookup | None:
    if not options.exactly_once or login.username is None or login.password is None:
        return None
    return Lookup(umami, username=login.username, password=login.password, wall=wall, sleep=sleep)


def _permits(
    options: DeliveryOptions,
    background: bool,  # noqa: FBT001 - handed on
    give_way: Callable[[], bool],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Permits:
    bounds = Bounds(
        min(options.min_workers, options.workers),
        options.workers,
        min(options.min_batch_size, options.batch_size),
        options.batch_size,
    )
    return Permits(
        Pace(bounds, adaptive=options.pace == "auto", background=background),
        rate=Rate(options.max_rate) if options.max_rate else None,
        give_way=give_way,
        clock=clock,
        sleep=sleep,
    )


def _dead_letters(options: DeliveryOptions, wall: Callable[[], float]) -> DeadLetters | None:
    if options.dead_letters is None:
        return None
    return DeadLetters(
        options.dead_letters,
        max_bytes=options.dead_letter_max_bytes,
        max_age=options.dead_letter_max_age,
        wall=wall,
    )
