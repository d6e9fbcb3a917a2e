"""Writers and logrotate work on between any two system calls of the reader.

What a suspended process or a loaded machine makes of one look: a log may be copied, cut, moved,
compressed and written anew while it lasts. Nothing may be lost, and nothing read twice.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ingestor.logfiles import Backfill, FollowSource, Found, ReadOptions, discover

_CALLS = frozenset({os.close, os.fstat, os.open, os.pread, os.scandir, os.stat})


class Writer:
    """A server and its logrotate, step by step: each `yield` stands between two system calls."""

    def __init__(self, log: Path, chance: random.Random, wrote: list[bytes]) -> None:
        self._log = log
        self._chance = chance
        self._wrote = wrote

    def steps(self) -> Generator[None, None, None]:
        """Write and rotate."""
        yield from self._append(0, 1, 3, 30)
        for _ in range(self._chance.choice([1, 1, 2])):
            yield from self._append(0, 1, 2, 40, 400)
            yield from self._rotate()

    def _append(self, *counts: int) -> Iterator[None]:
        with self._log.open("ab", buffering=0) as file:
            for _ in range(self._chance.choice(counts)):
                words = b"x" * self._chance.choice([0, 10, 50, 150])
                line = b"%s %d %s" % (os.fsencode(self._log.name), len(self._wrote), words)
                self._wrote.append(line)
                file.write(line + b"\n")
                if self._chance.random() < 0.2:
                    yield
        yield

    def _rotate(self) -> Iterator[None]:
        log, rotated = self._log, self._generation(1)
        for number in (2, 1):
            for suffix in ("", ".gz"):
                old = self._generation(number, suffix)
                if old.exists():
                    old.rename(self._generation(number + 1, suffix))
                    yield
        if self._chance.random() < 0.5:
            with rotated.open("xb", buffering=0) as file:
                yield
                yield from self._pieces(file.write, log.read_bytes(), 300, 4096, 65536)
            yield
            os.truncate(log, 0)
        else:
            log.rename(rotated)
            yield
            log.touch()
        yield
        yield from self._append(0, 0, 1, 1, 30, 500)
        if self._chance.random() < 0.5:
            status = rotated.stat()
            archive = self._generation(1, ".gz")
            with archive.open("xb", buffering=0) as file:
                yield
                content = gzip.compress(rotated.read_bytes())
                yield from self._pieces(file.write, content, 20, 500, 65536)
            os.utime(archive, ns=(status.st_mtime_ns, status.st_mtime_ns))
            yield
            rotated.unlink()
            yield

    def _pieces(
        self, write: Callable[[bytes], object], content: bytes, *sizes: int
    ) -> Iterator[None]:
        size = self._chance.choice(sizes)
        for at in range(0, len(content), size):
            write(content[at : at + size])
            yield

    def _generation(self, number: int, suffix: str = "") -> Path:
        return self._log.with_name(f"{self._log.name}.{number}{suffix}")


class Interrupter:
    """Before some system calls of this thread, lets writers do some steps."""

    def __init__(self, writers: list[Generator[None, None, None]], chance: random.Random) -> None:
        self._writers = writers
        self._chance = chance
        self._share = chance.choice([0.005, 0.02, 0.1, 0.3])
        self._works = False

    def __call__(self, _: FrameType, event: str, called: Any) -> None:
        """Do what `sys.setprofile` asks for."""
        if event != "c_call" or called not in _CALLS or self._works:
            return
        if self._chance.random() < self._share:
            self._works = True
            for _ in range(self._chance.choice([1, 1, 2, 5, 20])):
                self._step()
            self._works = False

    def _step(self) -> None:
        if self._writers:
            writer = self._chance.choice(self._writers)
            if next(writer, writer) is writer:
                self._writers.remove(writer)


@pytest.mark.parametrize("seed", range(300))
def test_nothing_is_lost_or_doubled_whenever_logrotate_works(
    tmp_path: Path, daemon: Any, seed: int
) -> None:
    chance = random.Random(seed)
    wrote: list[bytes] = []
    writers = writers_in(tmp_path, chance, wrote)
    daemon.start(tmp_path)
    with interrupted_by(writers, chance):
        for _ in range(300):
            if not writers:
                break
            daemon.turn(chance.choice([0.0, 0.3, 2.5]))
    for writer in writers:
        deque(writer, maxlen=0)
    for seconds in (1, 1, 15, 15, 15, 150):  # a look that met a change is soon followed by another
        daemon.turn(seconds)
    assert Counter(daemon.lines) == Counter(wrote)


@pytest.mark.parametrize("seed", range(200))
def test_backfills_lose_and_double_nothing_whenever_logrotate_works(
    tmp_path: Path, registry: Any, seed: int
) -> None:
    """Of what the first meet in the midst, later ones read the rest."""
    chance = random.Random(seed)
    wrote: list[bytes] = []
    read: list[bytes] = []
    writers = writers_in(tmp_path, chance, wrote)
    for writer in writers:
        deque(islice(writer, chance.choice([1, 10, 60])), maxlen=0)
    with interrupted_by(writers, chance):
        for _ in range(chance.choice([1, 3, 10])):
            read += backfilled(tmp_path, registry, chance.choice([500, 2000, 1024 * 1024]))
    for writer in writers:
        deque(writer, maxlen=0)
    for _ in range(3):
        read += backfilled(tmp_path, registry, 1024 * 1024)
    assert Counter(read) == Counter(wrote)


def writers_in(
    directory: Path, chance: random.Random, wrote: list[bytes]
) -> list[Generator[None, None, None]]:
    logs = [directory / name for name in ("access.log", "other-access.log")]
    return [Writer(log, chance, wrote).steps() for log in logs[: chance.choice([1, 2])]]


@contextlib.contextmanager
def interrupted_by(
    writers: list[Generator[None, None, None]], chance: random.Random
) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(Interrupter(writers, chance))
    try:
        yield
    finally:
        sys.setprofile(before)


def backfilled(directory: Path, registry: Any, chunk_bytes: int) -> list[bytes]:
    """Read whatever a backfill finds now."""

    def files() -> list[Found]:
        return discover([FollowSource(os.fsencode(directory))], generations=False).files

    reading = Backfill(files(), registry, ReadOptions(chunk_bytes=chunk_bytes), again=files)
    read = []
    for chunk in reading:
        read += chunk.data.splitlines()
        registry.finish(chunk, reading.marker_at)
    reading.settle()
    return read
