"""What the follower keeps of one log's content, and of one physical file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

from ingestor.logfiles.archives import ArchiveReader
from ingestor.logfiles.discovery import Found, lineage_of
from ingestor.logfiles.identity import WINDOW, Beginning, beginning_of, marker_of
from ingestor.logfiles.reader import LogFile, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingestor.model import Marker

Start = Literal["end", "beginning"] | int
"""Where to begin with files present at the very first start: a date is Unix seconds, and skips
files last written before it; lines before it in other files are for the caller to filter."""


class PlaceKind(Enum):
    """What a physical file is to the follower."""

    FOLLOWED = "the home of a content that is being read"
    CLOSED = "a plain file read to its end: looked at again when it changes"
    DONE = "an archive that was dealt with"
    COPY = "the same content as another place, which is the one to read"
    WAITING = "cannot be told or read yet"


@dataclass(slots=True)
class Place:
    """One physical file, found at the last rescan or held open."""

    path: bytes
    size: int
    mtime_ns: int
    kind: PlaceKind = PlaceKind.WAITING
    key: int = 0  # 0: not identified
    retry_at: float = 0.0  # monotonic seconds
    since: float = 0.0  # monotonic seconds of the last change of size or time
    failures: int = 0
    measured: bool = True  # a copy: known to have no more than the log
    cut: bool = False  # a copy that ends before what was finished of the content
    cut_since: float = 0.0  # monotonic seconds; for a while it may be a copy that is being made
    copied: Beginning | None = None  # of a plain copy: what it has of the log
    site: str | None = None  # whose log it is

    def is_unchanged(self, found: Found) -> bool:
        """Whether size and modification time are what they were."""
        return self.size == found.size and self.mtime_ns == found.mtime_ns

    def take(self, found: Found, now: float) -> None:
        """Note what the file looks like now."""
        if not self.is_unchanged(found):
            self.since = now
        self.path, self.size, self.mtime_ns = found.path, found.size, found.mtime_ns


@dataclass(frozen=True, slots=True)
class FileState:
    """One followed content, for a status display."""

    key: int
    path: bytes
    source: int
    position: int  # bytes handed out, or passed over
    size: int  # bytes of content, as far as it is known
    backlog: int  # bytes written and not yet handed out
    state: str  # live, rotated, deleted, archive, waiting, closed


@dataclass(slots=True, eq=False)
class Followed:
    """One content: where it is now, and how far it was read."""

    key: int
    source: int
    path: bytes
    home: tuple[int, int]  # device and inode of the file it is read from
    reading: Reading
    order: int  # counts up: a smaller one appeared earlier
    archived: bool = False
    head: bytes = b""  # of a plain file; an archive is known by its fingerprint alone
    file: LogFile | None = None
    archive: ArchiveReader | None = None
    size: int = 0  # as fstat said last
    owned: int = 0  # … when what is before the position was last seen to be its own
    mtime_ns: int = 0
    changed_at: float = 0.0  # monotonic seconds
    deleted: bool = False
    present: bool = True  # found at the last rescan
    cut: bool = False  # the file is only a beginning of it
    site: str | None = None  # whose log it is
    lost_home: bool = False  # truncated or gone: whatever is left of it is elsewhere

    @property
    def lineage(self) -> bytes:
        """Directory and live name: the same for all generations of one log."""
        return lineage_of(self.path)

    @property
    def position(self) -> int:
        """Offset of the next byte to look at."""
        return self.reading.position

    @property
    def backlog(self) -> int:
        """Bytes written and not yet handed out; 0 for an archive, whose length nobody knows."""
        if self.archived or self.lost_home or self.reading.finished:
            return 0
        return max(0, self.size - self.reading.cutter.start)

    def own_marker(self) -> Marker | None:
        """Tell what was read last: the marker at the position."""
        tail = self.reading.tail
        if tail is None or len(tail) < min(WINDOW, self.position):
            return None
        return marker_of(tail, self.position)

    def beginning(self) -> Beginning | None:
        """Tell what was read of a plain file."""
        marker = None if self.archived else self.own_marker()
        return None if marker is None else beginning_of(self.head, marker)

    def has_tail(self, file: LogFile) -> bool:
        """Whether a plain file still has what was read of it last. Raises OSError."""
        tail = self.reading.tail or b""
        return file.read_at(self.position - len(tail), len(tail)) == tail

    def is_intact(self) -> bool:
        """Whether a plain file that is open begins as it did as well. Raises OSError."""
        if self.file is None or self.archived:
            return True
        return self.has_tail(self.file) and self.file.read_at(0, len(self.head)) == self.head

    def close(self) -> None:
        """Give descriptors back; what was read stays known."""
        self.archive = None
        if self.file is not None:
            self.file.close()
            self.file = None

    def state(self, *, is_youngest: bool) -> FileState:
        """Describe it; ``is_youngest``: its log has no younger generation."""
        return FileState(
            self.key,
            self.path,
            self.source,
            self.position,
            self.position if self.archived else self.size,
            self.backlog,
            self._word(is_youngest=is_youngest),
        )

    def _word(self, *, is_youngest: bool) -> str:
        if self.lost_home:
            return "waiting"
        if self.deleted and self.file is not None:
            return "deleted"
        if self.archived:
            return "archive"
        if self.file is None:
            return "closed"
        is_live = is_youngest or self.lineage == self.path  # dated names: the newest is written
        return "live" if self.present and is_live else "rotated"


def youngest(logs: Iterable[Followed]) -> dict[bytes, int]:
    """For each lineage, the order of the content that appeared last."""
    last: dict[bytes, int] = {}
    for log in logs:
        if not log.lost_home:
            lineage = log.lineage
            last[lineage] = max(last.get(lineage, 0), log.order)
    return last
