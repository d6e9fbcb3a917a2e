"""A pipe, such as standard input, as chunks of whole lines: there is no way back in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ingestor.logfiles.compression import (
    MAGIC_BYTES,
    PIECE,
    compression_of,
    is_supported,
    open_stream,
)
from ingestor.logfiles.reader import Reading, Unsupported
from ingestor.logfiles.registry import END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingestor.logfiles.reader import ReadOptions
    from ingestor.model import Chunk


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
    while len(first) < MAGIC_BYTES and (more := piece()):
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
