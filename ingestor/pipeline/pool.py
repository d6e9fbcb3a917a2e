"""The processes that scan for a backfill, and the memory that chunks go to them through."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import forkserver
from typing import TYPE_CHECKING, NamedTuple, Self

from ingestor.scan.slots import Slot
from ingestor.scan.worker import Answer, RulesRecipe, begin, scan, scan_slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingestor.model import Chunk
    from ingestor.scan import Recipe

log = logging.getLogger("ingestor")

BUNDLE = 384 * 1024  # bytes that are handed over in one go, at least: mostly one chunk
AHEAD = 6  # bundles that wait, beside those that are being scanned
_SLOT = 896 * 1024  # bytes: nearly enough of a bundle, and a chunk


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
        self._slots = _slots(size + AHEAD)
        self._free = list(range(len(self._slots)))  # that no bundle is in
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([scan.__module__, "ingestor.formats.blocks"])
        try:
            forkserver.ensure_running()
        except OSError as error:  # no place for its socket, say
            log.debug("No server to fork processes from: %s", error)
        self._executor = ProcessPoolExecutor(
            size, mp_context=context, initializer=begin, initargs=(rules, self._slots)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
        for slot in self._slots:
            slot.close()

    def hand_over(self, chunks: list[Chunk], recipes: Mapping[int, Recipe]) -> Bundle:
        """Have chunks scanned; ``recipes`` are those that a process may not know yet."""
        number = self._filled(chunks)
        answers: Future[list[Answer]]
        try:
            if number is None:
                answers = self._executor.submit(scan, chunks, recipes)
            else:
                lengths = [len(chunk.data) for chunk in chunks]
                empty = [replace(chunk, data=b"") for chunk in chunks]
                answers = self._executor.submit(scan_slot, number, empty, lengths, recipes)
        except (BrokenProcessPool, OSError, EOFError) as error:  # died, or cannot be started
            answers = Future()
            answers.set_exception(BrokenProcessPool(str(error)))
        return Bundle(chunks, answers, number)

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


def _slots(count: int) -> list[Slot]:
    """Make slots, as many as there is memory for; what finds none goes through pipes."""
    slots: list[Slot] = []
    try:
        while len(slots) < count:
            slots.append(Slot(_SLOT))
    except OSError as error:
        log.debug("No memory to share with other processes: %s", error)
    return slots
