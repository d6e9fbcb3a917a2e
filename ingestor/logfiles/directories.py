"""Directories' times: whether anything was made, renamed or removed in them since the last look."""

# ruff: noqa: PTH116 - names are bytes, and pathlib takes only text
from __future__ import annotations

import os

_TRUSTED = 2.0  # seconds a directory's time must have stood still: longer than any clock's tick


class DirectoryTimes:
    """The modification times of all directories that were listed at the last look."""

    def __init__(self) -> None:
        self.directories: set[bytes] = set()
        self._times: dict[bytes, tuple[int, float]] = {}  # mtime in ns; monotonic: since when
        self._trusted: dict[bytes, int] = {}

    def before(self, now: float) -> None:
        """Note the times, just before the directories are listed."""
        self._trusted.clear()
        for directory in self.directories:
            mtime = mtime_of(directory)
            known, since = self._times.get(directory, (0, now))
            if mtime != known:
                since = now
            elif now - since >= _TRUSTED and mtime:
                self._trusted[directory] = mtime
            self._times[directory] = mtime, since

    def after(self, directories: set[bytes]) -> None:
        """Take in which directories there are."""
        self.directories = directories
        for directory in [one for one in self._times if one not in directories]:
            del self._times[directory]

    def may_have_changed(self) -> bool:
        """Whether something may have changed in any of them since they were listed."""
        return any(
            self._trusted.get(directory) != mtime_of(directory) for directory in self.directories
        )


def mtime_of(directory: bytes) -> int:
    """Modification time in ns; 0 where it cannot be had."""
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return 0
