"""Lets the system say that a directory changed, so that a rescan comes sooner.

Only hints: everything works without it. Files are created, moved and deleted; appended bytes are
none of its business (a modify notice costs 100 µs an append, a look at an open file 2 µs).
"""

# ruff: noqa: PTH100 - names are bytes, and pathlib takes only text
from __future__ import annotations

import contextlib
import errno
import logging
import os
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from ingestor.logfiles.discovery import id_at
from ingestor.logfiles.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from watchdog.observers.api import BaseObserver, ObservedWatch

_KINDS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]
_MAX_DIRECTORIES = 128  # each costs watchdog a thread; the others are rescanned like all
_LIMITS = (errno.ENOSPC, errno.EMFILE, errno.ENFILE)
_log = logging.getLogger(__name__)


class _Relay(logging.Handler):
    """What watchdog says goes into our log; without a handler Python would print it bare.

    It calls an error what is ordinary: an emitter is stopped while its thread waits for the next
    notice, wakes up for that, and finds itself stopped (watchdog 7.1, `queue_events`). So it is
    with every directory that is replaced. What matters about its threads is found by looking.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on, at most as a hint for those who search for a fault."""
        _log.debug("watchdog: %s", record.getMessage())


_RELAY = _Relay()


class _Waker(FileSystemEventHandler):
    """Runs in watchdog's thread, where an exception would silence it for good."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        del event
        with contextlib.suppress(Exception):
            self._hint()


class Watcher:
    """Watches directories and rebuilds what died; ``hint`` is called from another thread."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self._waker = _Waker(hint)
        self._observer: BaseObserver | None = None
        self._watches: dict[bytes, tuple[ObservedWatch, tuple[int, int]]] = {}
        self._said: set[tuple[bytes, str]] = set()
        logging.getLogger("watchdog").addHandler(_RELAY)  # once, however often

    def check(self, directories: Iterable[bytes]) -> list[Finding]:
        """Watch these directories and no others; rebuild what died or was replaced.

        To be called after each rescan. Gives what an operator should hear, once.
        """
        wanted = dict.fromkeys(sorted(os.path.abspath(one) for one in directories))
        findings: list[Finding] = []
        if self._observer is not None and not self._observer.is_alive():
            self.close()
        for directory in [one for one in self._watches if one not in wanted]:
            self._drop(directory)
        for directory in self._dead():
            self._drop(directory)
        for directory in wanted:
            if directory in self._watches:
                continue
            if len(self._watches) >= _MAX_DIRECTORIES:
                break
            finding = self._add(directory)
            if finding is not None:
                findings.append(finding)
                break
        fresh = [one for one in findings if (one.path, one.what) not in self._said]
        self._said.update((one.path, one.what) for one in fresh)
        return fresh

    @property
    def watched(self) -> set[bytes]:
        """The directories that are watched now."""
        return set(self._watches)

    def close(self) -> None:
        """Stop watching; may be called twice."""
        observer, self._observer = self._observer, None
        self._watches.clear()
        if observer is not None:
            with contextlib.suppress(Exception):
                observer.stop()
            if observer.is_alive():
                observer.join(timeout=5)

    def _dead(self) -> list[bytes]:
        """Watched directories that are not the ones at their paths, or whose thread has ended."""
        if self._observer is None:
            return []
        alive = {
            os.fsencode(emitter.watch.path)
            for emitter in self._observer.emitters
            if emitter.is_alive()
        }
        dead: list[bytes] = []
        for directory, (_, mark) in self._watches.items():
            if directory not in alive or id_at(directory) != mark:
                dead.append(directory)
        return dead

    def _add(self, directory: bytes) -> Finding | None:
        """Watch one more; a finding only where the system's limits are reached."""
        mark = id_at(directory)
        if mark is None:
            return None  # not there yet, or no more: the rescan sees it come
        try:
            if self._observer is None:
                observer = Observer()
                observer.start()
                self._observer = observer
            watch = self._observer.schedule(
                self._waker, os.fsdecode(directory), event_filter=_KINDS
            )
        except OSError as error:
            if error.errno not in _LIMITS:
                return None
            what = "the system's limit for watching directories is reached; rescans go on"
            advice = (
                "raise fs.inotify.max_user_watches and max_user_instances, or set follow.watchdog: "
                "false"
            )
            return Finding(directory, what, advice)
        except RuntimeError:  # no thread could be started
            return Finding(directory, "cannot be watched; rescans go on", "check the thread limit")
        self._watches[directory] = watch, mark
        return None

    def _drop(self, directory: bytes) -> None:
        watch, _ = self._watches.pop(directory)
        if self._observer is not None:
            # Its thread or its inotify watch may be gone already, in more ways than are listed.
            with contextlib.suppress(Exception):
                self._observer.unschedule(watch)
