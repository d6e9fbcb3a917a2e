"""How logs are followed: the program's documented defaults."""

from __future__ import annotations

from dataclasses import dataclass

from ingestor.errors import require
from ingestor.logfiles.reader import ReadOptions

_MOST = 64 * 1024**2  # bytes that are held at once for one file


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How logs are followed."""

    poll_interval: float = 0.25  # seconds between looks at the open files
    rescan_interval: float = 2.0  # seconds between looks at the directories
    grace: float = 10.0  # seconds a rotated file stays open after its last growth
    max_line_bytes: int = 65_536  # a longer line is passed over and counted as oversized
    chunk_bytes: int = 262_144  # read at a time
    max_open_files: int = 8192  # and never more than the process may open, less some to spare
    max_deleted_bytes: int = 8 * 1024**3  # kept on disk by holding deleted files that are unread
    watchdog: bool = True  # let the system say when a directory changed; False: rescans alone

    def __post_init__(self) -> None:
        wrong = {
            "poll_interval is at least 10ms": not self.poll_interval >= 0.01,  # noqa: PLR2004 - said beside it
            "rescan_interval is at least 100ms": not self.rescan_interval >= 0.1,  # noqa: PLR2004 - likewise
            "grace is not negative": not self.grace >= 0,
            "max_line_bytes is 128 to 64MiB": not 128 <= self.max_line_bytes <= _MOST,  # noqa: PLR2004 - likewise
            "chunk_bytes is 64 to 64MiB": not 64 <= self.chunk_bytes <= _MOST,  # noqa: PLR2004 - likewise
            "max_open_files is at least 1": self.max_open_files < 1,
            "max_deleted_bytes is not negative": self.max_deleted_bytes < 0,
        }
        require("follow", wrong)

    @property
    def read(self) -> ReadOptions:
        """The part that concerns reading."""
        return ReadOptions(chunk_bytes=self.chunk_bytes, max_line_bytes=self.max_line_bytes)
