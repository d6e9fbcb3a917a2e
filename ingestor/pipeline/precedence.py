"""Live page views go first: a daemon that is behind says so, and a backfill stands aside.

The sign is a lock on a file beside the checkpoint, which both processes know anyway: it costs no
commit, is seen before the next requests, and dies with the daemon. Latency alone could not
tell: a backfill that starts while the daemon is busy takes a busy Umami for the normal one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ingestor.checkpoint.locks import Lock, holder
from ingestor.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FRESH_S: Final = 0.05  # so long a look is good for: it costs two system calls, requests are many


class Precedence:
    """The sign of one checkpoint, seen from either side. ``clock`` gives monotonic seconds."""

    def __init__(self, checkpoint: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = checkpoint.with_name(f"{checkpoint.name}.behind.lock")
        self._clock = clock
        self._lock: Lock | None = None
        self._seen = False
        self._seen_until = float("-inf")

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
        """Whether a daemon is behind with live page views, or was a moment ago."""
        now = self._clock()
        if now >= self._seen_until:
            self._seen = holder(self._path) is not None
            self._seen_until = now + _FRESH_S
        return self._seen
