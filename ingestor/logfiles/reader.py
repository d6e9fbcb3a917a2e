"""One physical log file, plain or compressed, as chunks of whole lines with their offsets.

Offsets always count decompressed bytes. Plain synchronous code: it runs in a thread or inline.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ingestor.logfiles.compression import (
    MAGIC_BYTES,
    Damage,
    Stream,
    compression_of,
    is_supported,
    open_stream,
)
from ingestor.logfiles.identity import HEAD, WINDOW, Marks
from ingestor.logfiles.lines import LineCutter, Within, unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.model import Chunk, Marker


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files are cut into chunks."""

    chunk_bytes: int = 262_144  # about this much of a file is in one chunk
    max_line_bytes: int = 65_536  # a longer line is passed over and counted as oversized

    @property
    def block_bytes(self) -> int:
        """How much is read at a time: enough to tell that a line is too long."""
        return max(self.chunk_bytes, self.max_line_bytes + 2)


class Unsupported(Exception):
    """The file is compressed in a way that is not read here."""


class LogFile:
    """An open file. Descriptors are never inherited, and opening never waits on a FIFO.

    Raises:
        OSError: it cannot be opened, or it is no regular file.

    """

    __slots__ = ("compression", "device", "fd", "inode", "path")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = _regular(self.fd)
            self.device, self.inode = status.st_dev, status.st_ino
            self.compression = compression_of(os.pread(self.fd, MAGIC_BYTES, 0))
        except BaseException:
            self.close()
            raise

    def duplicate(self) -> LogFile:
        """Share the open file under a descriptor of its own."""
        twin = LogFile.__new__(LogFile)
        twin.path, twin.compression = self.path, self.compression
        twin.device, twin.inode = self.device, self.inode
        twin.fd = os.dup(self.fd)
        return twin

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode

    @property
    def length(self) -> int | None:
        """Bytes of content now; None for an archive, which only reading it all would tell."""
        return os.fstat(self.fd).st_size if self.compression is None else None

    def stream(self) -> Stream:
        """Decompress from the beginning.

        Raises:
            Unsupported: not a compression that is read here.

        """
        if self.compression is None or not is_supported(self.compression):
            raise Unsupported(f"it is compressed as {self.compression}")
        return open_stream(self.compression, lambda length, at: os.pread(self.fd, length, at))

    def read_at(self, offset: int, length: int) -> bytes:
        """Read content at an offset. An archive is decompressed up to there; a damage ends it."""
        if self.compression is None:
            return _pread_fully(self.fd, length, offset)
        pieces: list[bytes] = []
        position, stream = 0, self.stream()
        while position < offset + length:
            try:
                block = stream.read()
            except Damage:
                break
            if not block:
                break
            pieces.append(block[max(0, offset - position) : max(0, offset + length - position)])
            position += len(block)
        return b"".join(pieces)


def came_after_opening(file: LogFile, head: bytes) -> bool:
    """Whether an archive's first bytes were not there yet when it was opened: it passes for plain.

    A compressor creates its file, and writes a small one all at once at its end.
    """
    return file.compression is None and compression_of(head) is not None


def _regular(fd: int) -> os.stat_result:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    return status


def _pread_fully(fd: int, length: int, offset: int) -> bytes:
    """Read up to the end, or ``length`` bytes: of one content, though it be replaced meanwhile."""
    data = os.pread(fd, length, offset)
    while 0 < len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
        again = os.pread(fd, len(data), offset)
        data = data + more if again == data else again  # it was cut, and written anew
    return data


class Reading:
    """How far one content was read: its stretches, the cutter, and the bytes just before.

    ``tail`` holds up to `WINDOW` bytes before `position`; None where they were not read yet.
    """

    __slots__ = ("_options", "_stretches", "cutter", "key", "marks", "tail")

    def __init__(
        self,
        key: int,
        stretches: Sequence[tuple[int, int]],
        options: ReadOptions,
        marker: Marker | None = None,
    ) -> None:
        self.key = key
        self.marks = Marks(marker)
        self.tail: bytes | None = None
        self._options = options
        self._stretches = [stretch for stretch in stretches if stretch[0] < stretch[1]]
        first = self._stretches[0][0] if self._stretches else 0
        self.cutter = LineCutter(key, first, options.max_line_bytes)

    @property
    def finished(self) -> bool:
        """Whether no stretch remains."""
        return not self._stretches

    @property
    def position(self) -> int:
        """Offset of the next byte to feed."""
        return self.cutter.position

    @property
    def room(self) -> int:
        """Bytes left in the stretch at hand."""
        return self._stretches[0][1] - self.position if self._stretches else 0

    def feed(self, data: bytes, begin: int = 0, *, final: bool = False) -> list[Chunk]:
        """Cut ``data[begin:]``, which stands at `position` and does not pass the stretch's end.

        ``data[:begin]`` is the `tail`, if anything. Gives chunks and moves on; where the stretch
        ends, to the next one.
        """
        at = self.position
        ends = len(data) - begin >= self.room
        chunks = self.cutter.cut(data, begin, final=final or ends)
        before = b"" if begin else self.tail or b""
        self.marks.note(chunks, before, data, at - begin)
        used = self.position - at + begin
        self.tail = (
            data[max(0, used - WINDOW) : used] if used >= WINDOW else (before + data[:used])
        )[-WINDOW:]
        if self.room <= 0 and self._stretches and self.cutter.within is Within.LINES:
            self._next_stretch()
        return chunks

    def jump(self, position: int) -> None:
        """Go on behind a hole, all of whose bytes are NUL."""
        zeros = bytes(min(WINDOW, position - self.position))
        self.tail = ((self.tail or b"") + zeros)[-WINDOW:]
        self.cutter.jump(position)

    def begin_line_again(self, before: bytes, after: bytes) -> int:
        """Go back to where a line begins whose first part was taken for a whole line.

        Its server had not written all of it for a while. ``before`` stands just before the
        position, ``after`` from there on. Gives how many bytes were gone back.
        """
        if self.finished or self.cutter.within is not Within.LINES:
            return 0
        back = len(unfinished(before, after))
        if back == 0 or back == len(before) < self.position:
            return 0  # in the latter case its beginning is out of sight
        start = self.position - back
        self._stretches[0] = start, self._stretches[0][1]
        self.tail = before[:-back][-WINDOW:]
        self.cutter = LineCutter(self.key, start, self._options.max_line_bytes)
        return back

    def left(self) -> list[tuple[int, int]]:
        """Give what is not read yet."""
        rest = [(max(start, self.cutter.start), end) for start, end in self._stretches]
        return [stretch for stretch in rest if stretch[0] < stretch[1]]

    def close(self) -> None:
        """Nothing follows: forget what remains of the stretches."""
        self._stretches.clear()

    def retire(self) -> None:
        """Take little room: of this content nothing is ever read again, not here."""
        self.close()
        self.tail = None
        self.marks.pack()

    def reopen(self, unread: Sequence[tuple[int, int]]) -> None:
        """Something may follow after all: what is unread from `position` on."""
        rest = [(max(start, self.position), end) for start, end in unread]
        self._stretches = [stretch for stretch in rest if stretch[0] < stretch[1]]
        self._begin_stretch()

    def end_at(self, length: int) -> None:
        """The content turned out to be ``length`` bytes long."""
        cut = [(start, min(end, length)) for start, end in self._stretches]
        self._stretches = [stretch for stretch in cut if stretch[0] < stretch[1]]

    def _next_stretch(self) -> None:
        self._stretches.pop(0)
        self._begin_stretch()

    def _begin_stretch(self) -> None:
        if self._stretches and self._stretches[0][0] != self.position:
            start = self._stretches[0][0]
            self.cutter = LineCutter(self.key, start, self._options.max_line_bytes)
            self.tail = None


class Rewritten(Exception):
    """The bytes before the position are not what they were: truncated, or written anew."""


def read_plain(
    file: LogFile, reading: Reading, options: ReadOptions, head: bytes | None = None
) -> tuple[list[Chunk], bool]:
    """Read the next block of a plain file, and look at the bytes just before it.

    ``head``: up to `HEAD` bytes that its content was known by just now; nothing of what came since
    is read. None: it is known by more. Gives chunks, and whether there is more to read at once.

    Raises:
        Rewritten: those bytes changed; nothing was read.
        OSError: the file cannot be read.

    """
    at = reading.position
    tail = tail_of(file, reading)
    want = min(options.block_bytes, reading.room)
    if head is not None and len(head) < HEAD:
        want = min(want, max(0, len(head) - at))
    data = os.pread(file.fd, len(tail) + want, at - len(tail))
    begun = b"" if head is None else head[at - len(tail) :]
    if not data.startswith(tail) or not data.startswith(begun[: len(data)]):
        raise Rewritten
    if reading.cutter.within is Within.LINES and not tail.endswith(b"\n"):
        length = min(options.max_line_bytes, at)
        before = file.read_at(at - length, length)
        if reading.begin_line_again(before, data[len(tail) : len(tail) + 1]):
            return [], True
    chunks = reading.feed(data, len(tail)) if len(data) > len(tail) else []
    if not chunks and reading.cutter.within is not Within.LINES:
        _pass_hole(file, reading)
    moved = reading.position - at
    return chunks, moved > 0 and not reading.finished and len(data) - len(tail) == want


def tail_of(file: LogFile, reading: Reading) -> bytes:
    """Give the bytes before the position, as they were when they were first looked at.

    That is to be when the file was just recognised: they are what tells a later rewriting.
    Raises OSError.
    """
    if reading.tail is None:
        window = min(WINDOW, reading.position)
        reading.tail = file.read_at(reading.position - window, window)
    return reading.tail


def read_surely(
    file: LogFile, reading: Reading, options: ReadOptions, head: bytes | None = None
) -> list[Chunk]:
    """Read the next block of a stretch that is known to be there; ``head`` as for `read_plain`.

    Raises:
        Rewritten: it is not there any more.
        OSError: the file cannot be read.

    """
    at = reading.position
    chunks, _ = read_plain(file, reading, options, head)
    if reading.position == at and not reading.finished:
        raise Rewritten
    return chunks


def _pass_hole(file: LogFile, reading: Reading) -> None:
    """Where a sparse file has no data, nobody needs to read its NULs."""
    at = reading.position
    try:
        data_at = os.lseek(file.fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:  # no data up to the end; else: not known here
            return
        data_at = os.fstat(file.fd).st_size
    data_at = min(data_at, at + reading.room)
    if data_at > at:
        reading.jump(data_at)


def read_last(file: LogFile, reading: Reading, options: ReadOptions) -> list[Chunk]:
    """Read what is left of a plain file that nobody writes any more: its unfinished last line.

    Raises:
        Rewritten: the bytes before the position changed.
        OSError: the file cannot be read.

    """
    chunks, _ = read_plain(file, reading, options)
    if reading.finished:
        return chunks
    rest = file.read_at(reading.position, min(options.block_bytes, reading.room))
    return chunks + reading.feed(rest, final=True)


def last_line_end(file: LogFile, size: int) -> int:
    """Offset just past the last newline of a plain file's first ``size`` bytes; 0 without one."""
    end = size
    while end > 0:
        begin = max(0, end - 65536)
        newline = file.read_at(begin, end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0
