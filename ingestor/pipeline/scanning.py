"""Chunks in, scanned chunks out, in the same order: in this process, or in several.

With jobs, this process reads, cuts and delivers, others scan, and while it would have to wait for
them, it scans as well. Chunks of one file go to any of them, each scanned as if the file began
with it. Where a format learnt something in between, that is not true, so from there on the file is
scanned here, in order. Whatever happens to a process, its chunks are scanned again: nothing was
remembered of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ingestor.pipeline.pool import AHEAD, BUNDLE, Bundle
from ingestor.pipeline.scanners import without_lines
from ingestor.scan.packing import unpack
from ingestor.scan.worker import Answer, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from ingestor.model import Chunk, Scanned
    from ingestor.pageviews import Rules
    from ingestor.pipeline.pool import Pool
    from ingestor.scan import Recipe, Scanner
    from ingestor.scan.worker import About

log = logging.getLogger("ingestor")

_CHUNKS = 64  # of a bundle: many small files would be more than a process can keep scanners of
_AHEAD = 1024 * 1024  # bytes that are read in one go, in a thread
_HERE = 2  # bundles that this process scans before their turn
_MANY = 3  # where one line in so many is a page view, these are more work than the lines
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
        self._bundle = _AHEAD if ahead else 1

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


class Together:
    """The processes of a pool scan, and this one while it would have to wait, and what only it can.

    ``rules`` are those that the pool has.
    """

    def __init__(self, files: Files, pool: Pool, rules: Rules) -> None:
        self._files = files
        self._pool = pool
        self._worker = Worker(rules)
        self._warm: asyncio.Future[None] | None = None  # done when this process can scan at once
        self._lines = self._page_views = 0  # so far
        self._is_broken = False
        self._recipes: dict[int, Recipe] = {}
        self._alone: set[int] = set()  # files that only this process scans
        self._read: deque[list[Chunk]] = deque()  # in one go, and not given to anybody yet

    async def scanned(self, chunks: Iterator[Chunk]) -> AsyncGenerator[Scanned, None]:
        """Scan all chunks; those of files that no format explains are left out."""
        waiting: deque[Bundle] = deque()
        more = True
        while more or waiting:
            handed_over = sum(not bundle.here for bundle in waiting)
            here = handed_over >= self._pool.size + AHEAD
            ahead = len(waiting) - handed_over
            if more and (not here or (ahead < _HERE and self._would_wait(waiting))):
                bundle = await self._next_bundle(chunks)
                more = bool(bundle)
                if not bundle:
                    continue
                waiting.append(
                    await self._scan_here(bundle)
                    if here
                    else await self._pool.hand_over(bundle, self._recipe)
                )
            else:
                async for scanned in self._received(waiting.popleft()):
                    self._lines += scanned.tally.lines
                    self._page_views += len(scanned.page_views)
                    yield scanned

    async def _next_bundle(self, chunks: Iterator[Chunk]) -> list[Chunk]:
        if not self._read:
            self._read.extend(await asyncio.to_thread(_next_bundles, chunks))
        return self._read.popleft() if self._read else []

    def _would_wait(self, waiting: deque[Bundle]) -> bool:
        """Whether there is nothing better to do; many page views are enough to do, and to hold."""
        if self._warm is None:  # not before the others have something to do
            self._warm = asyncio.get_running_loop().run_in_executor(None, self._worker.warm_up)
        has_time = _MANY * self._page_views < self._lines  # as far as is known
        return has_time and self._warm.done() and not waiting[0].answers.done()

    async def _scan_here(self, chunks: list[Chunk]) -> Bundle:
        """Scan chunks as another process would."""
        answers = []
        for chunk in chunks:
            self._worker.learn({chunk.file: await self._recipe(chunk)})
            answers.append(self._worker.scan(chunk, here=True))
            await asyncio.sleep(0)  # let others go on
        scanned: asyncio.Future[list[Answer] | None] = asyncio.get_running_loop().create_future()
        scanned.set_result(answers)
        return Bundle(chunks, scanned, here=True)

    async def _recipe(self, chunk: Chunk) -> Recipe:
        recipe = self._recipes.get(chunk.file)
        if recipe is None:
            recipe = await asyncio.to_thread(self._files.recipe, chunk)
            if len(self._recipes) >= _RECIPES:
                self._recipes.clear()
            self._recipes[chunk.file] = recipe
        return recipe

    async def _received(self, bundle: Bundle) -> AsyncGenerator[Scanned, None]:
        answers = await self._pool.answers(bundle)
        if answers is None and not self._is_broken:
            self._is_broken = True
            log.warning("A process that scans has died; what it was given is scanned again.")
        if answers is None or any(answer.missing for answer in answers):
            bundle = await self._pool.hand_over(bundle.chunks, self._recipe, again=True)
            answers = await self._pool.answers(bundle)
        if answers is None:  # nobody is left
            answers = [Answer(missing=True)] * len(bundle.chunks)
        for chunk, answer in zip(bundle.chunks, answers, strict=True):
            scanned = await self._take(chunk, answer)
            if scanned is not None:
                yield scanned

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
        if chunk.file not in self._alone:
            if answer.scanned is not None:
                return answer.scanned
            if answer.packed is not None:
                return unpack(answer.packed, chunk)
            self._alone.add(chunk.file)
        scanner = await self._files.made(chunk)
        return None if scanner is None else scanner.scan(chunk)


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


def _next_bundles(chunks: Iterator[Chunk]) -> list[list[Chunk]]:
    """Read several bundles: to go to a thread and back takes as long as reading one."""
    bundles: list[list[Chunk]] = []
    for _ in range(_AHEAD // BUNDLE):
        bundle = _next_bundle(chunks, BUNDLE)
        if not bundle:
            break
        bundles.append(bundle)
    return bundles
