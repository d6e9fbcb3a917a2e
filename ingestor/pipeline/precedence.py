"""Live page views go first: a daemon that is behind says so, and a backfill stands aside.

The sign is a lock on a file beside the checkpoint, which both processes know anyway: it costs no
commit, is seen before the very next request, and dies with the daemon. Latency alone could not
tell: a backfill that starts while the daemon is busy takes a busy Umami for the normal one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestor.checkpoint.locks import Lock, holder
from ingestor.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path


class Precedence:
    """The sign of one checkpoint, seen from either side."""

    def __init__(self, checkpoint: Path) -> None:
        self._path = checkpoint.with_name(f"{checkpoint.name}.behind.lock")
        self._lock: Lock | None = None

    def claim(self, *, behind: bool) -> None:
        """Let backfills stand aside, or go on; call it as often as you like."""
        if not behind:
            self.release()
        elif self._lock is None:
            try:
                self._lock = Lock.acquire(self._path, held_by="a daemon", patience_s=0.0)
            except CheckpointError:  # somebody looks at this very moment, or the disk is full
                return

    def release(self) -> None:
        """Let backfills go on."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def claimed(self) -> bool:
        """Whether a daemon is behind with live page views."""
        return holder(self._path) is not None
