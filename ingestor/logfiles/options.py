"""How logs are followed: the program's documented defaults."""

from __future__ import annotations

from dataclasses import dataclass

from ingestor.logfiles.reader import ReadOptions


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

    @property
    def read(self) -> ReadOptions:
        """The part that concerns reading."""
        return ReadOptions(chunk_bytes=self.chunk_bytes, max_line_bytes=self.max_line_bytes)
