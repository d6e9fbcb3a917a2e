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
    PIECE,
    Damage,
    Stream,
    compression_of,
    is_supported,
    open_stream,
)
from ingestor.logfiles.identity import WINDOW, Marks, marker_of
from ingestor.logfiles.lines import LineCutter, Within, unfinished
from ingestor.logfiles.registry import END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ingestor.model import Chunk, Marker

_MAGIC_BYTES = 6
_NO_WORK = 1024 * 1024  # bytes passed over before a reader of an archive lets others work


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
            self.compression = compression_of(os.pread(self.fd, _MAGIC_BYTES, 0))
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


def _regular(fd: int) -> os.stat_result:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    return status


def _pread_fully(fd: int, length: int, offset: int) -> bytes:
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    pieces = [data]
    got = len(data)
    while got < length and (data := os.pread(fd, length - got, offset + got)):
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


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


def read_plain(file: LogFile, reading: Reading, options: ReadOptions) -> tuple[list[Chunk], bool]:
    """Read the next block of a plain file, after a look at the bytes just before it.

    Gives chunks, and whether there is more to read at once.

    Raises:
        Rewritten: those bytes changed; nothing was read.
        OSError: the file cannot be read.

    """
    at = reading.position
    tail = tail_of(file, reading)
    want = min(options.block_bytes, reading.room)
    data = os.pread(file.fd, len(tail) + want, at - len(tail))
    if not data.startswith(tail):
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


def read_surely(file: LogFile, reading: Reading, options: ReadOptions) -> list[Chunk]:
    """Read the next block of a stretch that is known to be there.

    Raises:
        Rewritten: it is not there any more.
        OSError: the file cannot be read.

    """
    at = reading.position
    chunks, _ = read_plain(file, reading, options)
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


class WrongContent(Exception):
    """The archive has the head of a known log, and goes on differently."""


class ArchiveReader:
    """Reads the unread stretches of one archive, a bounded step at a time.

    ``marker``, where given, is checked as the stream passes it, before anything behind it is
    given; a stretch that begins before the marker's offset costs one pass more.
    """

    def __init__(
        self, file: LogFile, reading: Reading, options: ReadOptions, marker: Marker | None = None
    ) -> None:
        self.file = file
        self.reading = reading
        self.decompressed = 0  # bytes of content seen
        self._options = options
        self._marker = marker
        self._stream = file.stream()
        self._rest = b""  # content from reading.position on
        self._before = b""  # content just before `decompressed`: a line of it, or `WINDOW`
        self._damage: Damage | None = None

    def check(self) -> None:
        """Look for the marker, if it lies behind the first unread byte.

        Raises:
            WrongContent: other bytes are there.

        """
        marker = self._marker
        if marker is None or marker.offset <= self.reading.position:
            return
        window = self.file.read_at(marker.offset - marker.length, marker.length)
        if len(window) < marker.length:
            return  # cut off before: nothing in it contradicts
        self._marker = None
        if marker_of(window, marker.offset).digest != marker.digest:
            raise WrongContent

    def step(self) -> list[Chunk] | None:
        """Decompress a bounded amount; None at the archive's end.

        Raises:
            WrongContent: the marker is not there; nothing behind it was given.
            Damage: nothing more can be had; all whole lines before it were given.

        """
        if self._damage is not None:
            raise self._damage
        if self.reading.finished:
            return None
        worked = 0
        while worked < _NO_WORK and not self.reading.finished:
            try:
                block = self._stream.read()
            except Damage as damage:
                self._damage = damage  # what is whole goes out first
                return self._flush()
            if not block:
                return self._end()
            worked += len(block)
            self._take(block)
            if len(self._rest) >= self._options.chunk_bytes and (chunks := self._flush()):
                return chunks
        return self._flush() if self._rest else []

    def _take(self, block: bytes) -> None:
        start = self.decompressed
        self.decompressed += len(block)
        self._check_marker(block, start)
        wanted = self.reading.position + len(self._rest)
        if self.decompressed > wanted:
            cut = max(0, wanted - start)
            if not self._rest:
                self._begin(self._before + block[:cut], block[cut : cut + 1])
            self._rest += block[cut:]
        keep = WINDOW if self._rest else max(WINDOW, self._options.max_line_bytes)
        self._before = block[-keep:] if len(block) >= keep else (self._before + block)[-keep:]

    def _begin(self, before: bytes, after: bytes) -> None:
        """The position is reached, with nothing in hand: know what is before it."""
        self.reading.tail = before[-WINDOW:]
        if back := self.reading.begin_line_again(before, after):
            self._rest = before[-back:]

    def _check_marker(self, block: bytes, start: int) -> None:
        marker = self._marker
        if marker is None or marker.offset > start + len(block):
            return
        self._marker = None
        window = (self._before + block[: marker.offset - start])[-marker.length :]
        if marker.length and marker_of(window, marker.offset).digest != marker.digest:
            raise WrongContent

    def _flush(self, *, final: bool = False) -> list[Chunk]:
        reading, chunks = self.reading, []
        while self._rest and not reading.finished:
            at, room = reading.position, reading.room
            fed = self._rest if len(self._rest) <= room else self._rest[:room]
            chunks += reading.feed(fed, final=final and len(fed) == len(self._rest))
            moved = reading.position - at
            if moved == 0:
                break
            if reading.tail is None and moved <= len(self._rest):
                reading.tail = self._rest[max(0, moved - WINDOW) : moved]
            self._rest = self._rest[moved:]
        return chunks

    def _end(self) -> list[Chunk] | None:
        chunks = self._flush(final=True)
        self.reading.close()
        return chunks or None


def has_content_beyond(archive: LogFile, offset: int) -> bool:
    """Whether an archive's content is longer than ``offset`` bytes; decompresses up to there."""
    position, stream = 0, archive.stream()
    while position <= offset:
        try:
            block = stream.read()
        except Damage:
            return False
        if not block:
            return False
        position += len(block)
    return True


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


class _GivenUp(Exception):
    """Nobody waits any longer for what a pipe may bring."""


def read_descriptor(
    fd: int, key: int, options: ReadOptions, wait: Callable[[], bool] = lambda: True
) -> Iterator[Chunk]:
    """Read a pipe (standard input) to its end: plain, or compressed by its first bytes.

    Gives lines as soon as they come. Offsets count from the first byte read. ``wait`` returns
    when there is something to read, or False: then this ends, and half a line is left alone.

    Raises:
        Damage: the compressed data is incomplete or corrupt; whole lines before it were given.
        Unsupported: not a compression that is read here.

    """
    reading = Reading(key, [(0, END)], options)
    rest = b""
    try:
        read = _pipe_reader(fd, wait)
        while block := read():
            rest += block
            at = reading.position
            yield from reading.feed(rest)
            rest = rest[reading.position - at :]
    except _GivenUp:
        return
    while rest:
        at = reading.position
        yield from reading.feed(rest, final=True)
        rest = rest[reading.position - at :]


def _pipe_reader(fd: int, wait: Callable[[], bool]) -> Callable[[], bytes]:
    def piece(length: int = PIECE) -> bytes:
        if not wait():
            raise _GivenUp
        return os.read(fd, length)

    first = b""
    while len(first) < _MAGIC_BYTES and (more := piece()):
        first += more
    pending = [first]

    def read(length: int = PIECE, _at: int = 0) -> bytes:
        return pending.pop() if pending else piece(length)

    compression = compression_of(first)
    if compression is None:
        return read
    if not is_supported(compression):
        raise Unsupported(f"it is compressed as {compression}")
    return open_stream(compression, read, seekable=False).read
