r"""Cuts bytes into chunks of whole lines, in bounded memory whatever the bytes are.

Pure. What is no line that can be parsed becomes a chunk without data: a run of NULs where a
line should begin (the hole that a writer without O_APPEND leaves after copytruncate), a byte
order mark at the very beginning, and a line longer than the limit, which is passed over to its
newline and counted.
"""

from __future__ import annotations

import re
from enum import Enum

from ingestor.model import Chunk

MAX_CHUNKS = 64  # a call of `cut` gives at most about this many, however the bytes are mixed

_MARK = b"\xef\xbb\xbf"  # UTF-8's byte order mark: some editors begin a file with it
_NOT_NUL = re.compile(rb"[^\0]")


def unfinished(before: bytes, after: bytes) -> bytes:
    """Give the line at the end of ``before`` that was taken for a whole one, and goes on after it.

    Nothing where ``before`` ends as everything ends that was taken whole, or where only the
    newline was missing.
    """
    if not after or after[0] in b"\r\n\0" or before.endswith((b"\n", b"\0")):
        return b""
    return before[before.rfind(b"\n") + 1 :].lstrip(b"\0").removeprefix(_MARK)


class Within(Enum):
    """What the bytes at the position belong to."""

    LINES = "a line begins here"
    NULS = "a run of NULs, from `start` on"
    LONG_LINE = "a line that is too long, from `start` on"


class LineCutter:
    """One pass over one stretch of a file.

    ``start`` is the offset of the first byte that is in no chunk yet; ``position`` that of the
    next byte to feed. They differ only within something that is being passed over.
    """

    __slots__ = ("file", "max_line_bytes", "position", "start", "within")

    def __init__(self, file: int, start: int, max_line_bytes: int) -> None:
        self.file = file
        self.start = start
        self.position = start
        self.max_line_bytes = max_line_bytes
        self.within = Within.LINES

    def cut(self, data: bytes, begin: int = 0, *, final: bool = False) -> list[Chunk]:
        """Cut ``data[begin:]``, which stands at `position`, and move `position` past what is done.

        What remains (the beginning of a line, at most `max_line_bytes`; or more after about
        `MAX_CHUNKS` chunks) is to be fed again with what follows it. With ``final``, nothing
        follows: the last line may lack its newline.
        """
        chunks: list[Chunk] = []
        base = self.position - begin  # the offset of data[0]
        at, size = begin, len(data)
        if self.position == 0 and data.startswith(_MARK, at):
            at += len(_MARK)
            chunks.append(Chunk(self.file, 0, len(_MARK), b""))
        while at < size and len(chunks) < MAX_CHUNKS:
            if self.within is Within.LONG_LINE:
                at = self._pass_long_line(data, at, base, chunks)
            elif data[at] == 0 or self.within is Within.NULS:
                at = self._pass_nuls(data, at, base, chunks)
            else:
                here = at
                at = self._take_lines(data, at, base, chunks)
                if at == here and self.within is Within.LINES:
                    break  # the beginning of a line
        if final and len(chunks) < MAX_CHUNKS:
            at = self._finish(data, at, base, chunks)
        self.position = base + at
        if self.within is Within.LINES:
            self.start = self.position
        return chunks

    def jump(self, position: int) -> None:
        """Go on at ``position``: everything up to it are NULs (a hole), none of them a line."""
        if self.within is Within.LINES:
            self.within = Within.NULS
        self.position = position

    def _pass_long_line(self, data: bytes, at: int, base: int, chunks: list[Chunk]) -> int:
        newline = data.find(b"\n", at)
        if newline < 0:
            return len(data)
        end = newline + 1
        chunks.append(Chunk(self.file, self.start, base + end, b"", oversized=1))
        self._resume(base + end)
        return end

    def _pass_nuls(self, data: bytes, at: int, base: int, chunks: list[Chunk]) -> int:
        if self.within is Within.LINES:
            self.within = Within.NULS
            self.start = base + at
        other = _NOT_NUL.search(data, at)
        if other is None:
            return len(data)
        end = other.start()
        chunks.append(Chunk(self.file, self.start, base + end, b""))
        self._resume(base + end)
        return end

    def _resume(self, offset: int) -> None:
        self.within = Within.LINES
        self.start = offset

    def _take_lines(self, data: bytes, at: int, base: int, chunks: list[Chunk]) -> int:
        """Take whole lines up to NULs, a line that is too long, or the last newline."""
        limit = self.max_line_bytes + 1  # with its newline
        nuls = data.find(b"\n\0", at) if data.find(b"\0", at) >= 0 else -1
        stop = len(data) if nuls < 0 else nuls + 1
        end = at
        while end < stop:
            newline = data.rfind(b"\n", end, min(end + limit, stop))
            if newline < 0:
                break
            end = newline + 1
        if end > at:
            taken = data if at == 0 and end == len(data) else data[at:end]
            chunks.append(Chunk(self.file, base + at, base + end, taken))
        if end < stop and stop - end >= limit:
            self.within = Within.LONG_LINE
            self.start = base + end
        return end

    def _finish(self, data: bytes, at: int, base: int, chunks: list[Chunk]) -> int:
        size = len(data)
        if self.within is not Within.LINES:
            long = self.within is Within.LONG_LINE
            if self.start < base + size:
                chunks.append(Chunk(self.file, self.start, base + size, b"", oversized=int(long)))
            self._resume(base + size)
        elif at < size:
            chunks.append(Chunk(self.file, base + at, base + size, data[at:]))
        return size
