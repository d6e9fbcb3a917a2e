"""One compressed log: its unread stretches, a bounded step at a time, and its marker on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestor.logfiles.compression import Damage
from ingestor.logfiles.identity import WINDOW, marker_of

if TYPE_CHECKING:
    from ingestor.logfiles.reader import LogFile, Reading, ReadOptions
    from ingestor.model import Chunk, Marker

_NO_WORK = 1024 * 1024  # bytes passed over before a reader of an archive lets others work


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
