"""Real files, a registry in a dict, a clock that stands still, and a reader that keeps score."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Protocol

import pytest

from ingestor.logfiles import Finding, Follower, FollowOptions, FollowSource, Start
from ingestor.logfiles.reader import LogFile
from ingestor.model import Chunk, Identity, KnownFile, Marker


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100_000.0  # the machine has run for a while: nothing may depend on that
        self._meanwhile: Iterator[Callable[[], object]] = iter(())

    def __call__(self) -> float:
        next(self._meanwhile, bool)()
        return self.now

    def meanwhile(self, asked: int, do: Callable[[], object]) -> None:
        """Let something happen when the time was asked for so many times: amid a look, say."""
        self._meanwhile = chain(repeat(bool, asked - 1), [do])

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class DictRegistry:
    """What the checkpoint does for files, without a disk."""

    def __init__(self) -> None:
        self.files: dict[int, KnownFile] = {}
        self.acked: dict[int, list[tuple[int, int]]] = {}
        self.copies: dict[tuple[int, int, int, int], int] = {}
        self.refused: set[int] = set()
        self.below_origin = False  # a backfill reads there
        self.takes_halves = False  # of lines, and the whole line later

    def known(self) -> Sequence[KnownFile]:
        return [replace(one, watermark=self.watermark(one.key)) for one in self.files.values()]

    def register(
        self, identity: Identity, path: bytes, *, origin: int = 0, archived: bool = False
    ) -> int:
        key = len(self.files) + 1
        self.files[key] = KnownFile(key, identity, None, path, origin, origin, archived)
        self.acked[key] = []
        return key

    def update(
        self,
        key: int,
        *,
        identity: Identity | None = None,
        path: bytes | None = None,
        marker: Marker | None = None,
        archived: bool | None = None,
        origin: int | None = None,
    ) -> None:
        given = {"identity": identity, "path": path, "marker": marker}
        given |= {"archived": archived, "origin": origin}
        changes = {name: value for name, value in given.items() if value is not None}
        self.files[key] = replace(self.files[key], **changes)  # type: ignore[arg-type]

    def unread(self, key: int, end: int) -> list[tuple[int, int]]:
        at = 0 if self.below_origin else self.files[key].origin
        stretches = []
        for start, stop in self.acked[key]:
            if at < start:
                stretches.append((at, min(start, end)))
            at = max(at, stop)
        stretches.append((at, end))
        return [one for one in stretches if one[0] < one[1]]

    def claim(self, key: int) -> bool:
        return key not in self.refused

    def release(self, key: int) -> None:
        """Everything was acked, or it would be kept."""
        assert self.unread(key, 1) == [], f"{key}: given back unread"

    def copy_of(self, device: int, inode: int, size: int, mtime_ns: int) -> int | None:
        return self.copies.get((device, inode, size, mtime_ns))

    def remember_copy(self, device: int, inode: int, size: int, mtime_ns: int, key: int) -> None:
        self.copies[device, inode, size, mtime_ns] = key

    def ack(self, key: int, start: int, end: int) -> None:
        merged: list[tuple[int, int]] = []
        for one, two in sorted([*self.acked[key], (start, end)]):
            if merged and one <= merged[-1][1]:
                assert self.takes_halves or one == merged[-1][1], f"{key}: {one} acked twice"
                merged[-1] = merged[-1][0], max(two, merged[-1][1])
            else:
                merged.append((one, two))
        self.acked[key] = merged

    def finish(self, chunk: Chunk, marker_at: Callable[[int, int], Marker | None]) -> None:
        """Ack a chunk, and keep the marker that goes with the watermark, as the pipeline does."""
        self.ack(chunk.file, chunk.start, chunk.end)
        watermark = self.watermark(chunk.file)
        marker = marker_at(chunk.file, watermark)
        if marker is not None:
            assert marker.offset <= watermark
            self.update(chunk.file, marker=marker)

    def watermark(self, key: int) -> int:
        origin = self.files[key].origin
        first = next((one for one in self.acked[key] if one[0] <= origin <= one[1]), None)
        return origin if first is None else first[1]


class Daemon:
    """Runs a follower as the pipeline would, and keeps what it delivered."""

    def __init__(self, clock: Clock, registry: DictRegistry) -> None:
        self.clock = clock
        self.registry = registry
        self.follower: Follower | None = None
        self.lines: list[bytes] = []
        self.chunks: list[Chunk] = []
        self.findings: list[Finding] = []
        self.acking = True

    def start(
        self,
        *sources: Path | FollowSource,
        first_start: bool = False,
        new_sources: Collection[int] = (),
        more_told: bool = False,
        start: Start = "end",
        options: FollowOptions | None = None,
    ) -> Follower:
        self.stop()
        made = [
            one if isinstance(one, FollowSource) else FollowSource(os.fsencode(one))
            for one in sources
        ]
        self.follower = Follower(
            made,
            self.registry,
            options or FollowOptions(),
            clock=self.clock,
            start=start,
            first_start=first_start,
            new_sources=new_sources,
            more_told=more_told,
        )
        self.turn()
        return self.follower

    def stop(self) -> None:
        if self.follower is not None:
            self.follower.close()
            self.follower = None

    def turn(self, seconds: float = 2.5) -> list[bytes]:
        """Rescan and read until nothing is left; gives the lines of this turn."""
        before = len(self.lines)
        self.clock.sleep(seconds)
        assert self.follower is not None
        self.findings += self.follower.rescan()
        self.poll()
        for _ in range(5):
            if not self.follower.rescan_due():
                break
            self.findings += self.follower.rescan()
            self.poll()
        return self.lines[before:]

    def poll(self) -> list[bytes]:
        """Look at the open files and read; no rescan."""
        before = len(self.lines)
        assert self.follower is not None
        for _ in range(10_000):
            if not self.follower.poll():
                break
            chunks = self.follower.read()
            for chunk in chunks:
                self.take(chunk)
            if not chunks and self.follower.rescan_due():
                break
        return self.lines[before:]

    def take(self, chunk: Chunk) -> None:
        assert chunk.start < chunk.end
        assert not chunk.data or len(chunk.data) == chunk.end - chunk.start
        self.chunks.append(chunk)
        self.lines += chunk.data.splitlines()
        if self.acking:
            self.ack(chunk)

    def ack(self, chunk: Chunk) -> None:
        assert self.follower is not None
        self.registry.finish(chunk, self.follower.marker_at)


class Meanwhile(Protocol):
    """What `meanwhile` gives."""

    def __call__(
        self, module: str, event: Callable[[Path], None], *, opened: bool = False
    ) -> None: ...


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Have something happen to the next log that a module looks at, once its head was read.

    Or ``opened``: once it is open, and before that.
    """

    def happen(module: str, event: Callable[[Path], None], *, opened: bool = False) -> None:
        to_come = [event]

        class Interrupted(LogFile):
            def __init__(self, path: bytes) -> None:
                super().__init__(path)
                if opened:
                    self.happen()

            def read_at(self, offset: int, length: int) -> bytes:
                data = super().read_at(offset, length)
                self.happen()
                return data

            def happen(self) -> None:
                while to_come:
                    to_come.pop()(Path(os.fsdecode(self.path)))

        monkeypatch.setattr(f"ingestor.logfiles.{module}.LogFile", Interrupted)

    return happen


@pytest.fixture
def write_meanwhile(meanwhile: Meanwhile) -> Callable[[str, bytes], None]:
    """Have a server write into the next log that a module looks at, once its head was read."""

    def write(module: str, rest: bytes) -> None:
        def append(path: Path) -> None:
            with path.open("ab") as log:
                log.write(rest)

        meanwhile(module, append)

    return write


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> DictRegistry:
    return DictRegistry()


@pytest.fixture
def daemon(clock: Clock, registry: DictRegistry) -> Iterator[Daemon]:
    daemon = Daemon(clock, registry)
    yield daemon
    daemon.stop()
