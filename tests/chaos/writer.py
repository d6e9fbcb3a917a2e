"""The first actor: web servers that write logs, each page view with an id of its own.

What stands whole on disk is found out by reading the disk, not by a model of it: after every act
that may destroy something, the world looks which lines are nowhere any more.
"""

from __future__ import annotations

import bz2
import lzma
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import zstandard
from parts import CHROME

HOSTNAME = "example.com"
MAX_LINE = 4096  # bytes, as the program is configured
POISON = "poison"
AGENTS = (
    CHROME,
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
)
_BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


class View(NamedTuple):
    """A page view as Umami must have it; its ``id`` is the path."""

    id: str
    time: int
    query: str
    referrer: tuple[str, str]
    address: str
    agent: str


@dataclass
class World:
    """Everything that was written, when, and since when it is nowhere on disk any more."""

    roots: list[Path]
    views: dict[str, View] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)  # monotonic, when it was whole
    destroyed: dict[str, float] = field(default_factory=dict)
    torn: set[str] = field(default_factory=set)  # never whole anywhere: may count or not
    lines: dict[bytes, str] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def whole(self, line: bytes, id_: str) -> None:
        """Note a line that is complete, its newline included."""
        with self.guard:
            self.lines[line] = id_
            self.written[id_] = time.monotonic()

    def look(self) -> None:
        """Find out what was destroyed."""
        with self.guard:
            before = set(self.written) - set(self.destroyed)
        there = self.on_disk()
        now = time.monotonic()
        for id_ in before - there:
            self.destroyed[id_] = now

    def on_disk(self) -> set[str]:
        """Ids of the lines that stand whole in some file that has a name."""
        found: set[str] = set()
        with self.guard:
            lines = dict(self.lines)
        for root in self.roots:
            for path in root.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    for line in content_of(path).split(b"\n"):
                        id_ = lines.get(line.strip(b"\0\r"))
                        if id_ is not None:
                            found.add(id_)
        return found


class Log:
    """One log as its server sees it: a descriptor, which rotation may leave behind."""

    def __init__(self, world: World, live: Path, base: int, *, append: bool, head: bytes) -> None:
        self.world = world
        self.live = live
        self.append = append  # without it, a hole of NULs follows a truncation
        self.head = head  # what every new file begins with
        self.name = live.name.split(".")[0].replace("-access", "")
        self.base = base  # Unix seconds of the first line
        self.count = 0
        self.fd = -1
        self.at = 0
        self.guard = threading.RLock()
        self.unfinished: tuple[bytes, bytes, str] | None = None
        self.storms: list[threading.Thread] = []
        self.open()

    def open(self) -> None:
        """Open the live file, as a server does at its start and when it is told to reopen."""
        self.finish()
        with self.guard:
            if self.fd >= 0:
                os.close(self.fd)
            self.live.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self.append else 0)
            self.fd = os.open(self.live, flags, 0o644)
            self.at = os.fstat(self.fd).st_size
            if self.at == 0 and self.head:
                self._put(self.head)

    def close(self) -> None:
        """Finish and give the descriptor back."""
        for storm in self.storms:
            storm.join()
        self.storms.clear()
        self.finish()
        os.close(self.fd)

    def write(self, n: int, *, end: bytes = b"\n", poison: bool = False) -> None:
        """Write page views, each with an id that never comes again."""
        for _ in range(n):
            line, id_ = self._next(POISON if poison else "")
            with self.guard:
                self.finish()  # a server writes one line after the other
                self._put(line + end)
                self._wrote(line, id_)

    def burst(self, n: int) -> None:
        """Write many page views at once."""
        made = [self._next("") for _ in range(n)]
        with self.guard:
            self.finish()
            self._put(b"".join(line + b"\n" for line, _ in made))
            for line, id_ in made:
                self._wrote(line, id_)

    def storm(self, n: int, pause: float) -> None:
        """Write page views one by one beside everything else."""

        def write() -> None:
            for _ in range(n):
                self.write(1)
                time.sleep(pause)

        thread = threading.Thread(target=write)
        thread.start()
        self.storms.append(thread)

    def calm(self) -> None:
        """Wait for the end of the storms."""
        for storm in self.storms:
            storm.join()
        self.storms.clear()

    def begin(self, share: float) -> None:
        """Write the first part of a line."""
        line, id_ = self._next("")
        cut = max(1, min(len(line) - 1, int(len(line) * share)))
        with self.guard:
            self.finish()
            self._put(line[:cut])
            self.unfinished = (line, line[cut:], id_)

    def finish(self) -> None:
        """Write the rest of that line; it is torn where its halves ended in different files."""
        with self.guard:
            if self.unfinished is None:
                return
            line, rest, id_ = self.unfinished
            self.unfinished = None
            self._put(rest + b"\n")
            self._wrote(line, id_)
        if id_ not in self.world.destroyed and id_ not in self.world.on_disk():
            self.world.torn.add(id_)

    def junk(self, kind: str) -> None:
        """Write what is no page view."""
        with self.guard:
            self.finish()
            self._put(self._junk(kind))

    def _junk(self, kind: str) -> bytes:
        match kind:
            case "nuls":
                return b"\0" * 5000
            case "huge":
                line, _ = self._next("huge")
                return line[:-1] + b"x" * (3 * MAX_LINE) + b'"\n'
            case "tls":
                return (
                    b'192.0.2.1 - - [01/Jan/2024:00:00:00 +0000] "\\x16\\x03\\x01" 400 0 "-" "-"\n'
                )
            case "bytes":
                return bytes(range(11, 256)) + b"\n\n\r\n"
            case "bot":
                line, _ = self._next("bot")
                return line.replace(b'" "Mozilla', b'" "' + _BOT.encode() + b" Mozilla") + b"\n"
            case _:
                line, _ = self._next("asset.css")
                return line + b"\n"

    def _next(self, mark: str) -> tuple[bytes, str]:
        with self.guard:
            n = self.count
            self.count += 1
        id_ = f"/p/{self.name}-{n}" + (f"-{mark}" if mark else "")
        view = View(
            id_,
            self.base + n,
            f"n={n}&log={self.name}",
            ("ref.example", f"/from/{self.name}/{n}"),
            f"198.51.{n // 250 % 250}.{n % 250 + 1}",
            AGENTS[n % len(AGENTS)],
        )
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(view.time))
        line = (
            f'{view.address} - - [{stamp}] "GET {id_}?{view.query} HTTP/1.1" 200 512 '
            f'"https://{view.referrer[0]}{view.referrer[1]}" "{view.agent}"'
        ).encode()
        if not mark or mark == POISON:
            self.world.views[id_] = view
        return line, id_

    def _put(self, data: bytes) -> None:
        if not self.append:
            os.lseek(self.fd, self.at, os.SEEK_SET)
        while data:
            done = os.write(self.fd, data)
            self.at += done
            data = data[done:]

    def _wrote(self, line: bytes, id_: str) -> None:
        self.world.whole(line, id_)
        if os.fstat(self.fd).st_nlink == 0:
            self.world.destroyed[id_] = time.monotonic()


def content_of(path: Path) -> bytes:
    """A file's content, decompressed as far as it goes."""
    try:
        raw = path.read_bytes()
    except OSError:
        return b""
    for magic, make in _DECOMPRESSORS:
        if raw.startswith(magic):
            return b"".join(_pieces(raw, make))
    return raw


def _pieces(raw: bytes, make: Callable[[], object]) -> Iterable[bytes]:
    try:
        yield make().decompress(raw)  # type: ignore[attr-defined]
    except (zlib.error, OSError, lzma.LZMAError, zstandard.ZstdError, EOFError, ValueError):
        return


_DECOMPRESSORS: tuple[tuple[bytes, Callable[[], object]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", lambda: zstandard.ZstdDecompressor().decompressobj()),
)
