"""Batches in doubt: sent, and nobody said what became of them. With exactly-once they wait here.

Each waits aside, for Umami works on after its client hung up; then it is looked up, and exactly
what is missing is sent again (`resolving.py`). Its entry stays in the journal, with its page
views, until the last of them has its end; so a crash at any moment only means to ask once more.
Without a look-up, what an earlier run with exactly-once left here is sent again from the journal:
its log may be gone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from ingestor.delivery.answers import Readings, Verdict, is_umamis_own, printable
from ingestor.delivery.bodies import pack, unpack
from ingestor.delivery.resolving import Doubt
from ingestor.delivery.suspects import points_after
from ingestor.errors import StoppedByUmami, TryAgain
from ingestor.model import Batch
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.delivery.batcher import Batcher
    from ingestor.delivery.ports import Journal
    from ingestor.delivery.resolving import Resolver

logger = logging.getLogger(__name__)

_LATER_MAX = 1_000  # batches whose last reading is still to come
_EXPONENT_MAX = 20
_TELL = 4  # attempts to look one batch up that failed in a row, before it is said


class Waits(NamedTuple):
    """Seconds."""

    settle: float  # until a request without a whole answer is looked up
    answered: float  # … and one that Umami itself answered: its work on it is over
    shortest: float  # between two attempts to look up: the first pause …
    longest: float  # … and the longest


class Doubts:
    """Who is in doubt, and until when. ``active``: exactly-once is asked for and possible.

    ``looks_up``: there is a login to ask with. ``park``: as `Delivery` has it. ``clock`` is
    monotonic.
    """

    def __init__(  # noqa: PLR0913 - the room's parts meet here
        self,
        *,
        resolver: Resolver,
        looks_up: bool,
        batcher: Batcher,
        journal: Journal,
        park: bool,
        tag_prefix: str,
        mask_line: Callable[[bytes], bytes],
        waits: Waits,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.active = looks_up
        self._looks_up = looks_up
        self._resolver = resolver
        self._batcher = batcher
        self._journal = journal
        self._park = park
        self._tag_prefix = tag_prefix
        self._mask_line = mask_line
        self._waits = waits
        self._clock = clock
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: dict[Doubt, asyncio.Task[None]] = {}
        self._due: dict[Doubt, float] = {}  # monotonic; of those that sleep
        self._complained: set[str] = set()
        self._told = False  # that nothing can be looked up

    @property
    def due(self) -> float:
        """When the first of them is looked up, monotonic; 0 where none waits."""
        return min(self._due.values(), default=0.0)

    def tag(self, batch_id: int) -> str | None:
        """Give the tag that the page views of a batch are sent with; None without exactly-once."""
        return f"{self._tag_prefix}{self._journal.tag(batch_id)}" if self.active else None

    def bodies(self, batch: Batch) -> bytes | None:
        """What the journal has to keep of a batch, so that it can be looked up after a crash."""
        return pack(batch.page_views, self._mask_line) if batch.tag is not None else None

    def unanswered(self, batch: Batch) -> None:
        """Take over a batch whose request left, and no whole answer came."""
        self._wait_for(Doubt(batch, list(range(len(batch.page_views)))), self._waits.settle)

    def half_answered(self, batch: Batch, readings: Readings) -> None:
        """Take over what of a batch, which stays in the journal, was answered by a 500."""
        doubt = Doubt(batch, [])
        for place, reading in enumerate(readings.readings):
            if reading.verdict in {Verdict.AGAIN, Verdict.SUSPECT}:
                doubt.open.append(place)
            elif reading.verdict in {Verdict.STORED, Verdict.COUNTED}:
                doubt.taken.add(place)
        for place in doubt.open:
            if doubt.taken and readings.readings[place].verdict is Verdict.SUSPECT:
                doubt.points[place] = points_after(0, proved=True, alone=False)
        ended = all(is_umamis_own(readings.readings[place]) for place in doubt.open)
        self._wait_for(doubt, self._waits.answered if ended else self._waits.settle)

    def take_up(self) -> None:
        """Take over what earlier runs left in doubt. Their server may still be at work."""
        for left in self._journal.left_in_doubt():
            try:
                views = unpack(left.bodies, left.website)
            except ValueError as error:
                logger.warning(
                    "%s; the next start reads them from their log again", printable(str(error))
                )
                self._journal.answered(Batch(left.id, left.website, (), left.tag), {})
                continue
            self._batcher.hold(views)
            self.unanswered(Batch(left.id, left.website, views, left.tag))

    async def look_once_more(self) -> None:
        """Look now, before the end, at what was sent again and would be looked at later."""
        waiting = list(self._later)
        for task in self._later.values():
            task.cancel()
        for doubt in waiting:
            await self._look_for_doubles(doubt)

    async def close(self) -> None:
        """Let go of all. What is in doubt stays in the journal."""
        tasks = [*self._tasks, *self._later.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._batcher.aside:
            logger.info(
                "%s in doubt: the next start %s",
                counted(self._batcher.aside, "page view"),
                "asks Umami which of them it stored" if self._looks_up else "sends them again",
            )

    # -- behind the curtain --------------------------------------------------------------------

    def _wait_for(self, doubt: Doubt, seconds: float) -> None:
        if self._looks_up and not self._batcher.aside:
            logger.info(
                "page views are in doubt; Umami is asked in %.0f s which of them it stored", seconds
            )
        self._batcher.put_aside(len(doubt.open))
        self._journal.put_in_doubt(doubt.batch)
        self._tasks.add(task := asyncio.create_task(self._resolve(doubt, seconds)))
        task.add_done_callback(self._tasks.discard)

    async def _resolve(self, doubt: Doubt, seconds: float) -> None:
        failures = 0
        while True:
            await self._sleep_until_due(doubt, seconds)
            try:
                again = await self._resolver.resolve(doubt)
            except TryAgain as error:
                failures += 1
                self._tell(error, failures)
                seconds = self._pause(error, failures)
            except StoppedByUmami as error:
                if not self._park:
                    self._batcher.close(error)
                    return
                self._complain(error)
                seconds = self._waits.longest
            except Exception as error:  # noqa: BLE001 - whoever submits and drains is told
                self._batcher.close(error)
                return
            else:
                self._told = False
                if again is None:
                    break
                failures = 0
                seconds = self._waits.settle if again else self._waits.answered
        self._resolved(doubt)

    async def _sleep_until_due(self, doubt: Doubt, seconds: float) -> None:
        self._due[doubt] = self._clock() + seconds
        try:
            await self._sleep(seconds)
        finally:
            del self._due[doubt]

    def _tell(self, error: TryAgain, failures: int) -> None:
        if failures >= _TELL and not self._told:
            self._told = True
            logger.warning(
                "Umami does not tell which page views it stored: %s; they wait in doubt, and it is "
                "asked again",
                printable(str(error)),
            )

    def _pause(self, error: TryAgain, failures: int) -> float:
        logger.debug("nothing can be looked up: %s", printable(str(error)))
        pause = self._waits.shortest * 2.0 ** min(failures, _EXPONENT_MAX)
        return max(min(pause, self._waits.longest), error.retry_after or 0.0)

    def _complain(self, error: StoppedByUmami) -> None:
        why = printable(str(error), 1_000)
        if why not in self._complained:
            self._complained.add(why)
            logger.error("page views stay in doubt: %s", why)

    def _resolved(self, doubt: Doubt) -> None:
        if not self._batcher.aside:
            logger.info("nothing is in doubt any more")
        if self._looks_up and doubt.resent and len(self._later) < _LATER_MAX:
            self._later[doubt] = asyncio.create_task(self._look_later(doubt))

    async def _look_later(self, doubt: Doubt) -> None:
        """See, when all must be over, whether the server stored late after all."""
        try:
            await self._sleep(self._waits.settle)
            await self._look_for_doubles(doubt)
        finally:
            self._later.pop(doubt, None)

    async def _look_for_doubles(self, doubt: Doubt) -> None:
        try:
            await self._resolver.count_doubles(doubt)
        except (TryAgain, StoppedByUmami) as error:
            logger.debug("no last look at a batch: %s", printable(str(error)))
