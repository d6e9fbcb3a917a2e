"""The processes that scan for a backfill, and the memory that chunks go to them through."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, NamedTuple, Self

from ingestor.pipeline.job import CHUNK
from ingestor.scan.slots import Slot
from ingestor.scan.worker import Answer, RulesRecipe, begin, scan, scan_slot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.context import ForkServerContext, SpawnContext

    from ingestor.model import Chunk
    from ingestor.scan import Recipe

log = logging.getLogger("ingestor")

BUNDLE = 512 * 1024  # bytes that are handed over in one go, at least: mostly one chunk
AHEAD = 3  # bundles that wait, beside those that are being scanned
_SLOTS = 64  # at most; a process can be given no more than some 250 descriptors
_SLOT = BUNDLE + CHUNK  # bytes: nearly enough of a bundle, and a chunk


class Bundle(NamedTuple):
    """Chunks that were handed over together."""

    chunks: list[Chunk]
    answers: Future[list[Answer]]
    slot: int | None = None  # that their data went through, and their answers will
    here: bool = False  # this process scanned them itself


class Pool:
    """``size`` processes with these rules. Use it as an asynchronous context manager.

    They are forked from a server, a process that has no threads, as this one has, and has read
    the program once for all. It does that while whoever made the pool does something else.
    """

    def __init__(self, rules: RulesRecipe, size: int) -> None:
        self.size = size
        self._slots = _slots(min(size + AHEAD, _SLOTS))
        self._free = list(range(len(self._slots)))  # that no bundle is in
        self._broken: BrokenProcessPool | None = None
        self._executor = ProcessPoolExecutor(
            size, mp_context=_context(), initializer=begin, initargs=(rules, self._slots)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
        for slot in self._slots:
            slot.close()

    def hand_over(self, chunks: list[Chunk], recipes: Mapping[int, Recipe]) -> Bundle:
        """Have chunks scanned; ``recipes`` are those that a process may not know yet."""
        if self._broken is not None:
            return self._lost(chunks, self._broken)
        number = self._filled(chunks)
        answers: Future[list[Answer]]
        try:
            if number is None:
                answers = self._executor.submit(scan, chunks, recipes)
            else:
                lengths = [len(chunk.data) for chunk in chunks]
                empty = [replace(chunk, data=b"") for chunk in chunks]
                answers = self._executor.submit(scan_slot, number, empty, lengths, recipes)
        except (BrokenProcessPool, OSError, EOFError, ValueError) as error:
            # One died, or cannot be started. What was submitted is in the queue all the same, so
            # that slot is never free again, and nobody is asked for anything any more.
            self._broken = BrokenProcessPool(str(error))
            self._executor.shutdown(wait=False, cancel_futures=True)
            return self._lost(chunks, self._broken)
        return Bundle(chunks, answers, number)

    def _lost(self, chunks: list[Chunk], error: BrokenProcessPool) -> Bundle:
        answers: Future[list[Answer]] = Future()
        answers.set_exception(error)
        return Bundle(chunks, answers)

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


def pool_of(rules: RulesRecipe, size: int) -> Pool | None:
    """Make a pool; None, and it is said, where this machine or user can start no processes."""
    why = f"this user may not read {sys.prefix}"  # as after root became the checkpoint's user
    if os.access(sys.executable, os.X_OK) and os.access(__file__, os.R_OK):
        try:
            return Pool(rules, size)
        except (OSError, ImportError, NotImplementedError) as error:  # no semaphores, say
            why = str(error)
    log.warning("No other processes can be started to scan (%s): one does it all.", why)
    return None


def _context() -> ForkServerContext | SpawnContext:
    """Start the server; where there is no place for its socket, each process begins anew."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([scan.__module__, "ingestor.formats.blocks"])
    resource_tracker.ensure_running()  # which lets Ctrl-C through again at its end
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it is for this process
    try:
        forkserver.ensure_running()
    except OSError as error:
        log.debug("No server to fork processes from: %s", error)
        return multiprocessing.get_context("spawn")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _slots(count: int) -> list[Slot]:
    """Make slots, as many as there is memory for; what finds none goes through pipes."""
    slots: list[Slot] = []
    try:
        while len(slots) < count:
            slots.append(Slot(_SLOT))
    except OSError as error:
        log.debug("No memory to share with other processes: %s", error)
    return slots
