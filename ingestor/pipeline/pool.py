"""The processes that scan for a backfill, and the memory that chunks go to them through."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Self

from ingestor.pipeline.child import Child
from ingestor.pipeline.job import CHUNK, is_worth_processes
from ingestor.scan.slots import Slot
from ingestor.scan.worker import Question, RulesRecipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.config import Config
    from ingestor.model import Chunk
    from ingestor.pipeline.job import Job
    from ingestor.scan import Recipe
    from ingestor.scan.worker import Answer

log = logging.getLogger("ingestor")

BUNDLE = 512 * 1024  # bytes that are handed over in one go, at least: mostly one chunk
AHEAD = 5  # bundles that wait, to be scanned or for their turn, beside those being scanned
_SLOTS = 64  # at most: memory that more processes would seldom need
_SLOT = BUNDLE + CHUNK  # bytes: nearly enough of a bundle, and a chunk


class Bundle(NamedTuple):
    """Chunks that were handed over together."""

    chunks: list[Chunk]
    answers: asyncio.Future[list[Answer] | None]  # None: the process ended before
    slot: int | None = None  # that their data went through, and their answers will
    here: bool = False  # this process scanned them itself


class Pool:
    """``size`` processes with these rules. Use it as an asynchronous context manager.

    They are forked from this one when it is made: whoever makes it has no threads yet, handles no
    signals, and has opened nothing that they should not hold. Raises OSError where there can be
    none.
    """

    def __init__(self, rules: RulesRecipe, size: int) -> None:
        self.size = size
        self._slots = _slots(min(size + AHEAD, _SLOTS))
        self._free = list(range(len(self._slots)))  # that no bundle is in
        self._children: list[Child] = []
        self._fork(rules)

    async def __aenter__(self) -> Self:
        for child in self._children:
            await child.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._children:
            child.end()
        await asyncio.to_thread(self._join)
        for slot in self._slots:
            slot.close()

    def _fork(self, rules: RulesRecipe) -> None:
        # What a terminal sends to all of them is for this process, which drains: a signal that is
        # blocked now stays blocked in them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            for _ in range(self.size):
                lines = [child.line for child in self._children]
                self._children.append(Child(rules, self._slots, lines))
        except OSError:  # too many processes, too many open files
            for child in self._children:  # nobody else would ever end them
                child.end()
            self._join()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _join(self) -> None:
        for child in self._children:
            child.join()

    async def hand_over(
        self,
        chunks: list[Chunk],
        recipe: Callable[[Chunk], Awaitable[Recipe]],
        *,
        again: bool = False,
    ) -> Bundle:
        """Have chunks scanned by the process with the least to do.

        ``recipe`` is asked for what that process does not know yet, or, ``again``, for all.
        """
        child = min(self._children, key=attrgetter("is_lost", "load"))
        first = {chunk.file: chunk for chunk in reversed(chunks)}
        recipes = {key: await recipe(first[key]) for key in child.learns(first, all_=again)}
        number = self._filled(chunks)
        if number is None:
            return Bundle(chunks, child.ask(Question(chunks, recipes)))
        lengths = [len(chunk.data) for chunk in chunks]
        empty = [replace(chunk, data=b"") for chunk in chunks]
        return Bundle(chunks, child.ask(Question(empty, recipes, number, lengths)), number)

    async def answers(self, bundle: Bundle) -> list[Answer] | None:
        """Wait for what became of a bundle; None where its process ended before."""
        number = bundle.slot
        answers = await asyncio.shield(bundle.answers)  # its slot is in use even if nobody waits
        if number is None:
            return answers
        slot = self._slots[number]
        if answers is not None:
            answers = [
                answer
                if answer.place is None
                else answer._replace(packed=slot.read(*answer.place), place=None)
                for answer in answers
            ]
        self._free.append(number)  # nobody writes to it any more
        return answers

    def _filled(self, chunks: list[Chunk]) -> int | None:
        """Put the data of chunks into a free slot; None where there is none with room."""
        if chunks and self._free:
            number = self._free[-1]
            if self._slots[number].write([chunk.data for chunk in chunks]):
                return self._free.pop()
        return None


def pool_for(config: Config, job: Job) -> Pool | None:
    """Make the pool for a backfill; None where one process does it.

    They get ready while their parent loads what it sends page views with: so this comes before.
    """
    if not is_worth_processes(job):
        return None
    rules = RulesRecipe(config.pageviews, config.sites, job.since, job.until)
    return pool_of(rules, job.jobs - 1)


def pool_of(rules: RulesRecipe, size: int) -> Pool | None:
    """Make a pool; None, and it is said, where no processes can be started."""
    try:
        return Pool(rules, size)
    except OSError as error:
        log.warning("No other processes can be started to scan (%s): one does it all.", error)
        return None


def _slots(count: int) -> list[Slot]:
    """Make slots, as many as there is memory for; what finds none goes through pipes."""
    slots: list[Slot] = []
    try:
        while len(slots) < count:
            slots.append(Slot(_SLOT))
    except OSError as error:
        log.debug("No memory to share with other processes: %s", error)
    return slots
