"""Reads the open files in turn: what grew, what was truncated, which generation comes first."""

# ruff: noqa: PTH116 - names are bytes, and pathlib takes only text
from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from ingestor.logfiles.archives import ArchiveReader, WrongContent
from ingestor.logfiles.compression import Damage, Incomplete, compression_of, is_tar
from ingestor.logfiles.discovery import Found
from ingestor.logfiles.findings import Finding
from ingestor.logfiles.followed import Followed, PlaceKind
from ingestor.logfiles.identity import HEAD
from ingestor.logfiles.reader import LogFile, Rewritten, read_plain

if TYPE_CHECKING:
    from ingestor.logfiles.roster import Roster
    from ingestor.model import Chunk

_UNFINISHED_ARCHIVE = 120.0  # seconds without change until an incomplete archive is called so


class Turns:
    """Looks at open files and reads them, a block at a time."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        # Content → the generations of its log, oldest first, and how many of them are older.
        self._elders: dict[int, tuple[list[int], int]] = {}

    def poll(self) -> None:
        """Look at the open files: what grew becomes ready, what shrank is broken."""
        now = self._roster.clock()
        for log in list(self._roster.open.values()):
            assert log.file is not None  # noqa: S101 - what being open means
            try:
                status = os.fstat(log.file.fd)
            except OSError as error:
                self._roster.failed(log, error)
                continue
            if status.st_mtime_ns != log.mtime_ns or status.st_size != log.size:
                self._grew(log, status, now)
        for log in list(self._roster.parked.values()):
            self._poll_parked(log, now)

    def _grew(self, log: Followed, status: os.stat_result, now: float) -> None:
        if status.st_size < max(log.position, log.size):  # a log that is only written never shrinks
            self._roster.broke(log)
            return
        log.size, log.mtime_ns, log.changed_at = status.st_size, status.st_mtime_ns, now
        self._roster.ready[log.key] = None

    def verify_open(self) -> None:
        """Find out which files were truncated and have grown to the offset, or past it, again.

        All of them, for a file's time may stand still. The others' heads grow before new files
        are held against them.
        """
        for log in [*self._roster.open.values(), *self._roster.parked.values()]:
            if log.file is None and (
                log.key not in self._roster.ready or not self._roster.reopen(log)
            ):
                continue
            assert log.file is not None  # noqa: S101 - what being open means
            try:
                if log.has_tail(log.file):
                    self._grow_head(log)
                    log.owned = log.size
                else:
                    self._roster.broke(log)
            except Rewritten:
                self._roster.broke(log)
            except OSError as error:
                self._roster.failed(log, error)

    def _poll_parked(self, log: Followed, now: float) -> None:
        try:
            status = os.stat(log.path)
        except OSError:
            self._roster.urgent = True
            return
        if (status.st_dev, status.st_ino) != log.home:
            self._roster.urgent = True
        elif (status.st_size, status.st_mtime_ns) != (log.size, log.mtime_ns):
            if log.head:
                self._grew(log, status, now)
            else:  # it was empty: nothing tells that it is still the same
                self._roster.urgent = True

    def read_next(self) -> list[Chunk]:
        """Read one block of the plain file whose turn it is."""
        key = next(iter(self._roster.ready))
        key = self._older_generation(key)
        if key not in self._roster.ready:  # an archive: first things first
            return self.step_archive()
        del self._roster.ready[key]
        log = self._roster.logs[key]
        if log.file is None and not self._roster.reopen(log):
            return []
        assert log.file is not None  # noqa: S101 - what being open means
        try:
            self._grow_head(log)
            head = None if log.cut else log.head
            chunks, more = read_plain(log.file, log.reading, self._roster.read_options, head)
        except Rewritten:
            self._roster.broke(log)
            return []
        except OSError as error:
            self._roster.failed(log, error)
            return []
        log.owned = log.size
        if more:
            self._roster.ready[key] = None
        if log.cut and log.reading.finished:
            self._roster.read_what_is_left(log)
        return chunks

    def _older_generation(self, key: int) -> int:
        """Give the oldest generation of the same log that has something unread, or the key."""
        for elder in islice(*self._elders.get(key, ([], 0))):
            if elder in self._roster.ready or elder in self._roster.archives:
                return elder
        return key

    def note_elders(self) -> None:
        """Index, for each content, the older generations of its log, oldest first.

        Archives queue by age, behind the one that is being read.
        """
        queued = sorted(
            self._roster.archives,
            key=lambda key: (self._roster.logs[key].archive is None, self._roster.logs[key].order),
        )
        self._roster.archives = dict.fromkeys(queued)
        families: dict[bytes, list[int]] = {}
        for log in sorted(self._roster.logs.values(), key=lambda one: one.order):
            if not log.lost_home and not (log.archived and log.reading.finished):
                families.setdefault(log.lineage, []).append(log.key)
        self._elders = {
            key: (family, index)
            for family in families.values()
            for index, key in enumerate(family)
            if index
        }

    def _grow_head(self, log: Followed) -> None:
        """Let the fingerprint grow with the file, before what is read can be finished.

        A log that was cut and filled again may have, before the position, the bytes that were
        there: its lines may be as long as the old ones, and all end alike. They begin otherwise.
        """
        if log.file is None:
            return
        head = log.file.read_at(0, HEAD)
        if not head.startswith(log.head):
            raise Rewritten
        if log.cut or len(head) == len(log.head):
            return
        is_archive = compression_of(head) is not None or is_tar(head)
        if not log.head and (is_archive or self._roster.resembles_another(log, head)):
            log.owned = 0  # nothing is missing
            raise Rewritten
        self._roster.head_grew(log, head)

    def step_archive(self) -> list[Chunk]:
        """Read a bounded amount of the archive whose turn it is, or pass over it."""
        key = next(iter(self._roster.archives))
        log = self._roster.logs[key]
        try:
            if log.archive is None and not self._open_archive(log):
                return []
            assert log.archive is not None  # noqa: S101 - just opened
            chunks = log.archive.step()
        except WrongContent:
            del self._roster.archives[key]
            self._roster.broke(log)
            return []
        except Damage as damage:
            del self._roster.archives[key]
            self._damaged(log, damage)
            return []
        except OSError as error:
            del self._roster.archives[key]
            self._roster.failed(log, error)
            return []
        if chunks is None or log.reading.finished:
            del self._roster.archives[key]
            self._archive_ended(log)
        return chunks or []

    def _open_archive(self, log: Followed) -> bool:
        file = LogFile(log.path)
        if file.id != log.home or file.compression is None:  # its inode may be another's now
            file.close()
            del self._roster.archives[log.key]
            self._roster.gone(log)
            return False
        log.file = file
        known = self._roster.known().get(log.key)
        marker = log.own_marker() or (known.marker if known is not None else None)
        log.archive = ArchiveReader(file, log.reading, self._roster.read_options, marker)
        log.archive.check()
        return True

    def _archive_ended(self, log: Followed) -> None:
        length = log.archive.decompressed if log.archive is not None else log.position
        log.close()
        place = self._roster.places.get(log.home)
        if place is None:
            return
        place.kind = PlaceKind.DONE
        found = Found(place.path, log.source, *log.home, place.size, place.mtime_ns)
        self._roster.settling[log.home] = log.key, found, length

    def _damaged(self, log: Followed, damage: Damage) -> None:
        """An archive ends in the middle: wait for the rest, or say that it is broken."""
        log.close()
        place = self._roster.places.get(log.home)
        if place is None:
            return
        waited = self._roster.clock() - place.since
        if isinstance(damage, Incomplete) and waited < _UNFINISHED_ARCHIVE:
            self._roster.wait(place, self._roster.options.rescan_interval)
            return
        place.kind = PlaceKind.DONE
        what = f"{damage}; lines were read up to offset {log.reading.cutter.start}"
        self._roster.say(
            Finding(log.path, what, "what follows is read if the file is mended", lost=True)
        )
