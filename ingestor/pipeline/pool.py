"""The processes that scan for a backfill, and the memory that chunks go to them through."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ingestor.pipeline.job import CHUNK, is_worth_processes
from ingestor.scan.slots import Slot
from ingestor.scan.worker import Answer, RulesRecipe, begin, scan, scan_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingestor.config import Config
    from ingestor.model import Chunk
    from ingestor.pipeline.job import Job
    from ingestor.scan import Recipe

log = logging.getLogger("ingestor")

BUNDLE = 512 * 1024  # bytes that are handed over in one go, at least: mostly one chunk
AHEAD = 3  # bundles that wait, beside those that are being scanned
_SLOTS = 64  # at most: memory that more processes would seldom need
_SLOT = BUNDLE + CHUNK  # bytes: nearly enough of a bundle, and a chunk


class Bundle(NamedTuple):
    """Chunks that were handed over together."""

    chunks: list[Chunk]
    answers: Future[list[Answer]]
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
        self._executor = ProcessPoolExecutor(
            size,
            mp_context=multiprocessing.get_context("fork"),
            initializer=begin,
            initargs=(rules, self._slots),
        )
        self._fork()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
        for slot in self._slots:
            slot.close()

    def _fork(self) -> None:
        # What a terminal sends to all of them is for this process, which drains: a signal that is
        # blocked now stays blocked in them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            self._executor.submit(scan, [], {})  # the first task starts them all
        except (OSError, RuntimeError) as error:  # too many processes, too many threads
            for process in multiprocessing.active_children():  # nobody would ever end them
                process.terminate()
            raise OSError(str(error)) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def hand_over(self, chunks: list[Chunk], recipes: Mapping[int, Recipe]) -> Bundle:
        """Have chunks scanned; ``recipes`` are those that a process may not know yet."""
        number = self._filled(chunks)
        if number is None:
            return Bundle(chunks, self._submit(scan, chunks, recipes))
        lengths = [len(chunk.data) for chunk in chunks]
        empty = [replace(chunk, data=b"") for chunk in chunks]
        return Bundle(chunks, self._submit(scan_slot, number, empty, lengths, recipes), number)

    def _submit(self, task: Callable[..., list[Answer]], *arguments: Any) -> Future[list[Answer]]:
        try:
            return self._executor.submit(task, *arguments)
        except BrokenProcessPool as error:  # one died: nobody is asked for anything any more
            lost: Future[list[Answer]] = Future()
            lost.set_exception(error)
            return lost

    async def answers(self, bundle: Bundle) -> list[Answer]:
        """Wait for what became of a bundle. Raises BrokenProcessPool where a process died."""
        number = bundle.slot
        try:
            answers = await asyncio.wrap_future(bundle.answers)
            if number is None:
                return answers
            slot = self._slots[number]
            return [
                answer
                if answer.place is None
                else answer._replace(packed=slot.read(*answer.place), place=None)
                for answer in answers
            ]
        finally:
            if number is not None and bundle.answers.done():  # nobody writes to it any more
                self._free.append(number)

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
    except (OSError, ImportError, NotImplementedError) as error:  # no semaphores, say
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
