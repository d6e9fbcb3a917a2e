"""Chunks in, scanned chunks out, in the same order: in this process, or in several.

With jobs, this process reads, cuts and delivers, and others scan. Chunks of one file go to any
of them, each scanned as if the file began with it. Where a format learnt something in between,
that is not true, so from there on the file is scanned here. Whatever happens to a process, its
chunks are scanned again: nothing was remembered of them.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self

from ingestor.pipeline.scanners import without_lines
from ingestor.scan.packing import unpack
from ingestor.scan.slots import Slot
from ingestor.scan.worker import Answer, RulesRecipe, begin, scan, scan_slot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from ingestor.model import Chunk, Scanned
    from ingestor.scan import Recipe, Scanner
    from ingestor.scan.worker import About

log = logging.getLogger("ingestor")

_BUNDLE = 1024 * 1024  # bytes that are scanned in one go: handing over costs as much as 50 lines
_SLOT = 5 * _BUNDLE // 2  # bytes: a bundle may have most of a chunk more than is enough
_CHUNKS = 64  # … at most: many small files would be more than a process can keep scanners of
_AHEAD = 4  # bundles that wait, beside those that are being scanned
_RECIPES = 64  # kept for processes that did not get them yet


class Files(NamedTuple):
    """Who knows the files that chunks come from. All may be asked more than once for a file."""

    known: Callable[[int], Scanner | None]  # this process's own by the file's key, if it is made
    scanner: Callable[[Chunk], Scanner | None]  # the same, made where needed; None: unexplained
    recipe: Callable[[Chunk], Recipe]  # what other processes make theirs from
    about: Callable[[Chunk, About], None]  # is told what format a file has
    unexplained: Callable[[Chunk, str], None]  # is told that none explains it, and why

    async def made(self, chunk: Chunk) -> Scanner | None:
        """Give this process's own scanner; making it reads the file, so it is done in a thread."""
        return self.known(chunk.file) or await asyncio.to_thread(self.scanner, chunk)


class Alone:
    """One process does it all."""

    def __init__(self, files: Files, *, ahead: bool = True) -> None:
        self._files = files
        self._bundle = _BUNDLE if ahead else 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def scanned(self, chunks: Iterator[Chunk]) -> AsyncGenerator[Scanned, None]:
        """Scan all chunks; those of files that no format explains are left out."""
        while bundle := await asyncio.to_thread(_next_bundle, chunks, self._bundle):
            for chunk in bundle:
                if not chunk.data:
                    yield without_lines(chunk)
                    continue
                scanner = await self._files.made(chunk)
                if scanner is not None:
                    yield scanner.scan(chunk)


class _Bundle(NamedTuple):
    """Chunks that were handed over together."""

    chunks: list[Chunk]
    answers: Future[list[Answer]]
    slot: Slot | None  # that their data went through, and their answers will


class Together:
    """Several processes scan. Use it as an asynchronous context manager."""

    def __init__(self, files: Files, rules: RulesRecipe, jobs: int) -> None:
        self._files = files
        self._jobs = jobs
        self._rules = rules
        self._executor: ProcessPoolExecutor | None = None
        self._is_broken = False
        self._recipes: dict[int, Recipe] = {}
        self._given: dict[int, int] = {}  # file → bundles that its recipe went along with
        self._alone: set[int] = set()  # files that only this process scans
        self._slots: list[Slot] = []  # that no bundle is in

    async def __aenter__(self) -> Self:
        # Spawned, not forked: this process has threads.
        self._executor = ProcessPoolExecutor(
            self._jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=begin,
            initargs=(self._rules,),
        )
        try:
            while len(self._slots) < self._jobs + _AHEAD:
                self._slots.append(Slot(_SLOT))
        except OSError as error:  # then it goes through pipes
            log.debug("No memory to share with other processes: %s", error)
        return self

    async def __aexit__(self, *_: object) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        for slot in self._slots:
            slot.close()
        self._slots.clear()

    async def scanned(self, chunks: Iterator[Chunk]) -> AsyncGenerator[Scanned, None]:
        """Scan all chunks; those of files that no format explains are left out."""
        waiting: deque[_Bundle] = deque()
        more = True
        while more or waiting:
            while more and len(waiting) < self._jobs + _AHEAD:
                bundle = await asyncio.to_thread(_next_bundle, chunks, _BUNDLE)
                more = bool(bundle)
                if bundle:
                    waiting.append(await self._submit(bundle))
            if waiting:
                async for scanned in self._received(waiting.popleft()):
                    yield scanned

    async def _submit(self, chunks: list[Chunk], *, again: bool = False) -> _Bundle:
        recipes: dict[int, Recipe] = {}
        for chunk in chunks:
            key = chunk.file
            given = self._given.get(key, 0)
            if key not in recipes and (again or given < self._jobs):
                recipes[key] = await self._recipe(chunk)
                self._given[key] = given + 1
        assert self._executor is not None  # noqa: S101 - it was entered
        slot = self._filled(chunks)
        try:
            if slot is None:
                return _Bundle(chunks, self._executor.submit(scan, chunks, recipes), None)
            lengths = [len(chunk.data) for chunk in chunks]
            empty = [replace(chunk, data=b"") for chunk in chunks]
            answers = self._executor.submit(scan_slot, slot.path, empty, lengths, recipes)
            return _Bundle(chunks, answers, slot)
        except BrokenProcessPool as error:
            failed: Future[list[Answer]] = Future()
            failed.set_exception(error)
            return _Bundle(chunks, failed, slot)

    def _filled(self, chunks: list[Chunk]) -> Slot | None:
        """Put the data of chunks into a free slot; None where there is none with room."""
        if self._slots and self._slots[-1].write([chunk.data for chunk in chunks]):
            return self._slots.pop()
        return None

    async def _recipe(self, chunk: Chunk) -> Recipe:
        recipe = self._recipes.get(chunk.file)
        if recipe is None:
            recipe = await asyncio.to_thread(self._files.recipe, chunk)
            if len(self._recipes) >= _RECIPES:
                self._recipes.clear()
            self._recipes[chunk.file] = recipe
        return recipe

    async def _received(self, bundle: _Bundle) -> AsyncGenerator[Scanned, None]:
        try:
            answers = await self._answers(bundle)
            if any(answer.missing for answer in answers):
                answers = await self._answers(await self._submit(bundle.chunks, again=True))
        except BrokenProcessPool:
            if not self._is_broken:
                self._is_broken = True
                log.warning("A process that scans has died; the rest is scanned in one process.")
            answers = [Answer(missing=True)] * len(bundle.chunks)
        for chunk, answer in zip(bundle.chunks, answers, strict=True):
            scanned = await self._take(chunk, answer)
            if scanned is not None:
                yield scanned

    async def _answers(self, bundle: _Bundle) -> list[Answer]:
        """Wait for the answers, and give the slot free."""
        slot = bundle.slot
        try:
            answers = await asyncio.wrap_future(bundle.answers)
            if slot is None:
                return answers
            return [
                answer
                if answer.place is None
                else answer._replace(packed=slot.read(*answer.place), place=None)
                for answer in answers
            ]
        finally:
            if slot is not None:
                self._slots.append(slot)

    async def _take(self, chunk: Chunk, answer: Answer) -> Scanned | None:
        if not chunk.data:
            return without_lines(chunk)
        if answer.unexplained:  # to a process that knows this file alone
            scanner = await self._files.made(chunk)
            if scanner is not None:
                return scanner.scan(chunk)
            self._files.unexplained(chunk, answer.unexplained)
            return None
        if answer.about is not None:
            self._files.about(chunk, answer.about)
        if answer.changed:
            self._alone.add(chunk.file)
        if answer.packed is None or chunk.file in self._alone:
            self._alone.add(chunk.file)
            scanner = await self._files.made(chunk)
            return None if scanner is None else scanner.scan(chunk)
        return unpack(answer.packed, chunk)


def _next_bundle(chunks: Iterator[Chunk], enough: int) -> list[Chunk]:
    """Read until there are ``enough`` bytes to hand over; empty at the end."""
    bundle: list[Chunk] = []
    size = 0
    for chunk in chunks:
        bundle.append(chunk)
        size += len(chunk.data)
        if size >= enough or len(bundle) >= _CHUNKS:
            break
    return bundle
