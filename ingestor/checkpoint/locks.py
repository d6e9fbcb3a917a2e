"""One lock a role, held by the operating system: it dies with its process, so none is ever stale.

A lock file stays behind when its holder ends, with the pid of the last holder in it; it means
nothing until somebody holds the flock.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

from ingestor.errors import CheckpointError
from ingestor.words import what_helps

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S = 0.2  # a live holder keeps it longer; a look by `holder` only for microseconds
_PAUSE_S = 0.02


class Lock:
    """A held lock; `release` gives it back, and so does the end of the process."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path, *, held_by: str, patience_s: float = _PATIENCE_S) -> Lock:
        """Take the lock, waiting for at most `patience_s` seconds.

        `held_by` names who else would hold it, for the message. Raises CheckpointError where
        another process holds it (naming its pid), or where the lock file cannot be made.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise CheckpointError(_no_lock_file(path, error)) from error
            try:
                if cls._try(descriptor, path):
                    return cls(path, descriptor)
            except OSError as error:
                os.close(descriptor)
                raise CheckpointError(
                    f"cannot lock {path}: {error.strerror}; the checkpoint needs a local disk"
                ) from error
            pid = _pid(descriptor)
            os.close(descriptor)
            if time.monotonic() >= deadline:
                who = f"{held_by} (process {pid})" if pid else held_by
                raise CheckpointError(
                    f"{path.with_suffix('').with_suffix('')} is in use by {who}; "
                    f"stop it first, or name another checkpoint"
                )
            time.sleep(_PAUSE_S)

    @staticmethod
    def _try(descriptor: int, path: Path) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not _is_at(descriptor, path):  # removed between our open and our flock
            return False
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # a full disk: the lock holds all the same, only its holder stays unnamed
        return True

    def is_on_disk(self) -> bool:
        """Whether the lock file is still at its path: others do not see the lock of another."""
        return self._descriptor is not None and _is_at(self._descriptor, self.path)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> int | None:
    """Who holds the lock: its pid, 0 where that cannot be told, None while nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(descriptor)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at a path. Raises OSError."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _pid(descriptor: int) -> int:
    try:
        return int(os.pread(descriptor, 20, 0))
    except (OSError, ValueError):
        return 0


def _no_lock_file(path: Path, error: OSError) -> str:
    directory = path.parent
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"the checkpoint's directory {directory} does not exist; create it"
    rights = (
        f"the user that runs ingestor must own the checkpoint's files and have write permission "
        f"in {directory}"
    )
    return f"cannot write {path}: {error.strerror}; {what_helps(error, rights)}"
