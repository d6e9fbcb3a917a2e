"""Follows the live logs of all sources across every rotation.

A plain synchronous engine: the caller says when to look (`poll`, `rescan`) and when to read, and
the clock is injected. A rescan is the truth; everything else only makes it come sooner. One
descriptor is held for each live file; a file is known by its content (see `recognition`).
"""

# ruff: noqa: PTH116, PTH119 - names are bytes, and pathlib takes only text
from __future__ import annotations

import errno
import os
import resource
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ingestor.logfiles.compression import Damage, Incomplete, is_readable, is_supported
from ingestor.logfiles.discovery import Discovered, FollowSource, Found, discover, lineage_of
from ingestor.logfiles.findings import Finding
from ingestor.logfiles.followed import FileState, Followed, Place, PlaceKind, Start, youngest
from ingestor.logfiles.generations import parse
from ingestor.logfiles.identity import HEAD, Catalogue, identity_of, marker_at
from ingestor.logfiles.reader import (
    ArchiveReader,
    LogFile,
    Reading,
    ReadOptions,
    Rewritten,
    WrongContent,
    last_line_end,
    read_last,
    read_plain,
)
from ingestor.logfiles.recognition import Home, Relation, Verdict, recognize
from ingestor.logfiles.registry import END, Registry
from ingestor.logfiles.rereading import Rereads
from ingestor.model import Chunk, KnownFile, Marker, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SPARE_DESCRIPTORS = 96  # left to connections, the checkpoint, watches
_MAX_RETRY = 60.0  # seconds between tries of a file that cannot be opened or read
_CLAIM_RETRY = 20.0  # seconds until a content that another process reads is asked for again
_UNFINISHED_ARCHIVE = 120.0  # seconds without change until an incomplete archive is called so
_SETTLE = 20.0  # seconds between looks whether an archive's lines are all acked
_FORGET = 3600.0  # seconds until a closed content that is nowhere any more is forgotten
_SAY_AGAIN = 3600.0  # seconds until a finding is worth repeating
_ABANDONED = 30  # graces after which a file out of sight is closed without a successor
_BUSY_SHARE = 30  # a rescan may take one part in this of the time


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


class Follower:
    """All files of all sources of one daemon. Not thread-safe: one call at a time."""

    def __init__(
        self,
        sources: Sequence[FollowSource],
        registry: Registry,
        options: FollowOptions,
        *,
        clock: Callable[[], float],
        start: Start = "end",
        first_start: bool = False,
    ) -> None:
        self._sources = sources
        self._registry = registry
        self._options = options
        self._read_options = options.read
        self._clock = clock
        self._start = start
        self._first_start = first_start
        self._first_ids: set[tuple[int, int]] = set()  # there at the first start, not yet readable
        self._logs: dict[int, Followed] = {}
        self._open: dict[int, Followed] = {}  # plain files with a descriptor
        self._parked: dict[int, Followed] = {}  # plain files closed to stay within the limit
        self._ready: dict[int, None] = {}  # keys of plain files with something to read, in turn
        self._archives: deque[int] = deque()  # keys; only the first is being read
        self._pending: deque[Chunk] = deque()
        self._places: dict[tuple[int, int], Place] = {}
        self._not_it: set[tuple[tuple[int, int], int, int]] = set()  # place, its time, content
        self._done_before: dict[tuple[int, int], Place] = {}  # archives and copies acked earlier
        self._settling: dict[tuple[int, int], tuple[int, Found, int]] = {}  # key, file, length
        self._claimed: set[int] = set()
        self._catalogue: Catalogue | None = None
        self._present: set[tuple[int, int]] = set()
        self._said: dict[tuple[bytes, str], float] = {}
        self._findings: list[Finding] = []
        self._directories: set[bytes] = set()
        self._elders: dict[int, list[int]] = {}
        self._ages: dict[tuple[int, int], int] = {}  # orders of the files at hand
        self._order = 0
        self._urgent = True
        self._next_rescan = clock()
        self._next_settle = clock() + _SETTLE
        self._limit = self._descriptor_limit()
        self._rereads = Rereads(self._read_options, self._locate)

    # ---------------------------------------------------------------- what the caller asks

    def rescan_due(self) -> bool:
        """Whether it is time for `rescan`: the interval passed, or `poll` or `read` saw a need."""
        return self._urgent or self._clock() >= self._next_rescan

    def hint(self) -> None:
        """Make the next `rescan_due` say yes."""
        self._urgent = True

    def rescan(self) -> list[Finding]:
        """Look at all sources; take in what is new, renamed, truncated or gone.

        Gives what an operator should hear and has not heard within the last hour.
        """
        began = self._clock()
        self._catalogue = None
        discovered = discover(self._sources)
        self._directories = discovered.directories
        for finding in discovered.findings:
            self._say(finding)
        self.poll()
        self._verify_open()
        self._urgent = False  # what it was urgent for happens now
        self._ages = {found.id: self._order + i for i, found in enumerate(discovered.files)}
        self._order += len(discovered.files)
        self._present = set(self._ages)
        self._note_present(discovered)
        self._look_at_all(discovered.files)
        self._first_start = False
        self._report_lost()
        self._close_finished(discovered.files)
        self._limit_deleted()
        self._forget_vanished()
        self._settle()
        self._note_elders()
        self._rereads.look_again()
        self._catalogue = None
        took = self._clock() - began
        self._next_rescan = began + max(self._options.rescan_interval, took * _BUSY_SHARE)
        findings, self._findings = self._findings, []
        return findings

    def poll(self) -> bool:
        """Look at the open files; cheap. Gives whether there is something to read."""
        now = self._clock()
        for log in list(self._open.values()):
            assert log.file is not None  # noqa: S101 - what `_open` means
            try:
                status = os.fstat(log.file.fd)
            except OSError as error:
                self._failed(log, error)
                continue
            if status.st_mtime_ns != log.mtime_ns or status.st_size != log.size:
                self._grew(log, status, now)
        for log in list(self._parked.values()):
            self._poll_parked(log, now)
        return self.has_unread

    @property
    def has_unread(self) -> bool:
        """Whether `read` may give something."""
        return bool(self._ready or self._archives or self._pending or self._rereads.ready)

    def read(self, max_chunks: int = 16) -> list[Chunk]:
        """Read on, one block of each file in turn, older generations of a log first.

        Gives about ``max_chunks`` chunks at most; fewer, even none, do not mean that there is no
        more: `has_unread` says that.
        """
        chunks: list[Chunk] = []
        steps = 0
        while len(chunks) < max_chunks and steps < max_chunks:
            steps += 1
            while self._pending and len(chunks) < max_chunks:
                chunks.append(self._pending.popleft())
            chunks += self._rereads.step()
            if self._ready:
                chunks += self._read_next()
            elif self._archives:
                chunks += self._step_archive(self._archives[0])
            elif not self._rereads.ready and not self._pending:
                break
        return chunks

    def reread(self, spans: Sequence[Span]) -> None:
        """Deliver again, with ``Chunk.again``, what was handed out and is not acked."""
        self._rereads.add(spans)

    def files(self) -> list[FileState]:
        """Describe all contents that are followed, or were until lately."""
        return [log.state() for log in self._logs.values()]

    def directories(self) -> set[bytes]:
        """Tell where a new file could appear: what a watcher should watch."""
        return self._directories

    def source_of(self, key: int) -> int | None:
        """Index of the source that a content belongs to."""
        log = self._logs.get(key)
        return None if log is None else log.source

    def path_of(self, key: int) -> bytes | None:
        """Where a content was seen last."""
        log = self._logs.get(key)
        return None if log is None else log.path

    def marker_at(self, key: int, offset: int) -> Marker | None:
        """Give the marker of the last chunk's end at or below ``offset``, a watermark.

        None where no chunk ended there lately. Asking with a watermark drops what is below it.
        """
        log = self._logs.get(key)
        return None if log is None else log.reading.marks.at(offset)

    def sample(self, key: int, size: int = 65_536) -> tuple[bytes, bytes]:
        """Give the first and the last ``size`` bytes of a content, to tell its format by.

        The end is empty for an archive; both are, where the file cannot be read.
        """
        file = self._locate(key)
        if file is None:
            return b"", b""
        with file:
            try:
                length = file.length
                start = file.read_at(0, size)
                end = b"" if length is None else file.read_at(max(0, length - size), size)
            except OSError:
                return b"", b""
        return start, end

    def close(self) -> None:
        """Give all descriptors back; to be called while the registry still answers."""
        self._next_settle = self._clock()
        self._settle()
        for log in self._logs.values():
            log.close()
        self._open.clear()
        self._rereads.close()

    # ---------------------------------------------------------------- looking at places

    def _note_present(self, discovered: Discovered) -> None:
        for log in self._logs.values():
            log.present = log.home in self._present
            if log.file is not None:
                try:
                    log.deleted = os.fstat(log.file.fd).st_nlink == 0
                except OSError:
                    log.deleted = False
        for found in discovered.files:
            place = self._places.get(found.id)
            if place is not None and place.key and place.path != found.path:
                self._moved(place, found)

    def _moved(self, place: Place, found: Found) -> None:
        place.path = found.path
        log = self._logs.get(place.key)
        if place.kind is not PlaceKind.COPY:
            self._registry.update(place.key, path=found.path)
            if log is not None and log.home == found.id:
                log.path = found.path

    def _look_at_all(self, files: Sequence[Found]) -> None:
        """Identify what is unknown: first what stands where it was, for others may be copies of it.

        Small files come last, the larger first: a hash does not tell whether they are a beginning
        of another, but its bytes do.
        """
        unknown = [found for found in files if self._needs_a_look(found)]
        order = {found.id: self._first_sight(found) for found in unknown}
        unknown.sort(key=lambda found: order[found.id])
        for found in unknown:
            self._identify(found)

    def _first_sight(self, found: Found) -> tuple[bool, int]:
        """Sort key: what is at its known place first, then by the length of the head."""
        head = self._read_head(found.path)
        at_home = self._known().stands_at(found.device, found.inode, head)
        return not at_home, -len(head)

    def _needs_a_look(self, found: Found) -> bool:
        now = self._clock()
        place = self._places.get(found.id)
        if place is None:
            self._places[found.id] = Place(found.path, found.size, found.mtime_ns, since=now)
            return True
        unchanged = place.is_unchanged(found)
        place.take(found, now)
        match place.kind:
            case PlaceKind.FOLLOWED:
                parked = self._parked.get(place.key)
                if parked is None or unchanged:
                    return False
                self._gone(parked)  # no descriptor proves that it is still the same
                return True
            case PlaceKind.CLOSED | PlaceKind.DONE:
                if not unchanged:  # perhaps another file, with the same inode
                    self._wait(place, 0.0)
                    self._done_before.pop(found.id, None)
                return not unchanged
            case PlaceKind.COPY:
                if place.cut and not unchanged:
                    self._not_it.add((found.id, found.mtime_ns, place.key))
                unmeasured = not place.measured and now >= place.retry_at
                return not unchanged or unmeasured or self.home_of(place.key) is None
            case _:
                return now >= place.retry_at

    def _known(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = Catalogue(self._registry.known())
        return self._catalogue

    def _identify(self, found: Found) -> None:
        place = self._places[found.id]
        self._make_room()
        try:
            file = LogFile(found.path)
        except OSError as error:
            self._cannot_open(found, place, error)
            return
        try:
            if file.id != found.id:
                self._wait(place, 0.0)
                self._urgent = True
            elif not self._identify_open(found, file, place):
                file.close()
                return
        except OSError as error:
            self._cannot_open(found, place, error)
        except BaseException:
            file.close()
            raise
        if (log := self._logs.get(place.key)) is None or log.file is not file:
            file.close()

    def _cannot_open(self, found: Found, place: Place, error: OSError) -> None:
        if self._first_start:
            self._first_ids.add(found.id)
        place.failures += 1
        self._wait(place, min(_MAX_RETRY, 0.5 * 2 ** min(place.failures, 10)))
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self._limit = max(1, len(self._open) - 1)
            advice = "raise LimitNOFILE or lower max_open_files"
        elif error.errno in (errno.EACCES, errno.EPERM):
            advice = "give the program's user the right to read it; it is tried again"
        else:
            advice = "it is tried again"
        if error.errno != errno.ENOENT:
            what = os.strerror(error.errno) if error.errno else str(error)
            self._say(Finding(found.path, f"cannot be read: {what}", advice))

    def _wait(self, place: Place, seconds: float) -> None:
        place.kind = PlaceKind.WAITING
        place.retry_at = self._clock() + seconds

    def _identify_open(self, found: Found, file: LogFile, place: Place) -> bool:
        """Find out what an open file is, and follow it if that is wanted; whether it was kept."""
        if file.compression is not None and not is_supported(file.compression):
            what = f"compressed as {file.compression}, which is not read"
            self._say(Finding(found.path, what, "compress it as gz, bz2, xz or zst"))
            place.kind = PlaceKind.DONE
            return False
        key = self._registry.copy_of(*found.id, found.size, found.mtime_ns)
        if key is not None and (file.compression is not None or not self._is_home(key, found)):
            place.kind, place.key = PlaceKind.DONE, key
            self._done_before[found.id] = place
            return False
        head = file.read_at(0, HEAD)
        if self._is_unfinished(found, file, head, place):
            self._wait(place, self._options.rescan_interval)
            if self._first_start:
                self._first_ids.add(found.id)
            return False
        if not head and file.compression is not None:  # an empty log, compressed
            place.kind = PlaceKind.DONE
            return False
        excluded = {
            key for place, time, key in self._not_it if (place, time) == (found.id, found.mtime_ns)
        }
        verdict = recognize(found, file, head, self._known(), self, excluded)
        if verdict.started_over is not None:
            what = "shorter than what was read of it: it is read from its start"
            self._say(Finding(found.path, what))
        return self._act(verdict, found, file, head)

    def _is_unfinished(self, found: Found, file: LogFile, head: bytes, place: Place) -> bool:
        """Whether an archive is still too short to be recognised."""
        named = parse(os.fsdecode(os.path.basename(found.path))).compressed
        if len(head) >= HEAD or not (named or file.compression):
            return False
        if self._clock() - place.since >= _UNFINISHED_ARCHIVE:
            return False
        if file.compression is None:
            return not head
        stream = file.stream()
        try:
            while stream.read():
                pass
        except Damage as damage:
            return isinstance(damage, Incomplete)
        return False

    def _act(self, verdict: Verdict, found: Found, file: LogFile, head: bytes) -> bool:
        place, known = self._places[found.id], verdict.known
        if known is None:
            return self._take_in(found, file, head)
        was_copy = place.kind is PlaceKind.COPY and place.key == known.key and place.measured
        relation = verdict.relation
        if relation is Relation.LONGER and self._has_nothing_new(known, file):
            relation = Relation.COPY
        match relation:
            case Relation.COPY:
                self._set_aside(known.key, found, file, cut=False)
                place.measured = verdict.measured
                place.retry_at = self._clock() + self._options.grace
                if not verdict.measured:
                    del self._settling[found.id]
                return False
            case Relation.CUT if known.key in self._logs or not self._unread(known.key, file):
                self._set_aside(known.key, found, file, cut=True)
                return False
            case _:
                return self._attach(known, found, file, head, was_copy=was_copy)

    def _has_nothing_new(self, known: KnownFile, file: LogFile) -> bool:
        """Whether a plain file ends where the log was read to, or before."""
        log = self._logs.get(known.key)
        read = known.watermark if log is None else log.position
        return file.length is not None and file.length <= read

    def _set_aside(self, key: int, found: Found, file: LogFile, *, cut: bool) -> None:
        """Leave a copy unread; remember it when what it holds is acked."""
        place = self._places[found.id]
        place.kind, place.key, place.cut = PlaceKind.COPY, key, cut
        log = self._logs.get(key)
        length = file.length if log is None or file.length is not None else log.position
        if length is not None:  # an archive has no more than what it is a copy of
            self._settling[found.id] = key, found, length

    def _is_home(self, key: int, found: Found) -> bool:
        """Whether a plain file is where its content was followed last: it may go on there."""
        known = self._known().get(key)
        return known is not None and known.identity[:2] == found.id

    def _unread(self, key: int, file: LogFile) -> list[tuple[int, int]]:
        return self._registry.unread(key, file.length or 0)

    # ---------------------------------------------------------------- taking contents in

    def _take_in(self, found: Found, file: LogFile, head: bytes) -> bool:
        """Register new content, and read it from 0; or as `start` says at the first start."""
        archived = file.compression is not None
        identity = identity_of(found.device, found.inode, head)
        origin = 0
        if (self._first_start or found.id in self._first_ids) and self._is_skipped(found):
            origin = END if archived else last_line_end(file, file.length or 0)
        self._first_ids.discard(found.id)
        key = self._registry.register(identity, found.path, origin=origin, archived=archived)
        marker = None
        if 0 < origin < END:
            marker = marker_at(file, origin)
            self._registry.update(key, marker=marker)
        known = KnownFile(key, identity, marker, found.path, origin, origin, archived)
        self._known().add(known)
        return self._attach(known, found, file, head)

    def _is_skipped(self, found: Found) -> bool:
        if self._start == "end":
            return True
        return not isinstance(self._start, str) and found.mtime_ns < self._start * 1_000_000_000

    def _attach(
        self, known: KnownFile, found: Found, file: LogFile, head: bytes, *, was_copy: bool = False
    ) -> bool:
        """Read a content from this file from now on; whether the file was kept open."""
        key, place = known.key, self._places[found.id]
        if key not in self._claimed:
            if not self._registry.claim(key):
                self._wait(place, _CLAIM_RETRY)
                what = "read by another process at the moment"
                self._say(Finding(found.path, what, "it is asked for again every few seconds"))
                return False
            self._claimed.add(key)
        log = self._logs.get(key)
        whole = log is not None and was_copy and self._was_read_whole(log)
        if log is None:
            log = self._follow(key, found)
        self._leave_home(log, found.id)
        archived = file.compression is not None
        self._place_at(log, known, found, head, archived=archived)
        place.kind, place.key, place.failures = PlaceKind.FOLLOWED, key, 0
        if archived:
            if whole or log.reading.finished:
                place.kind = PlaceKind.DONE
                self._settling[found.id] = key, found, log.position
            else:
                self._archives.append(key)
            return False
        log.file = file
        self._open[key] = log
        self._ready[key] = None
        status = os.fstat(file.fd)
        log.size, log.mtime_ns, log.changed_at = status.st_size, status.st_mtime_ns, self._clock()
        return True

    def _follow(self, key: int, found: Found) -> Followed:
        reading = Reading(key, self._registry.unread(key, END), self._read_options)
        log = Followed(key, found.source, found.path, found.id, reading, self._ages[found.id])
        self._logs[key] = log
        return log

    def _was_read_whole(self, log: Followed) -> bool:
        return not log.archived and log.file is None and not log.lost_home and log.backlog == 0

    def _leave_home(self, log: Followed, home: tuple[int, int]) -> None:
        log.close()
        self._open.pop(log.key, None)
        self._parked.pop(log.key, None)
        self._ready.pop(log.key, None)
        if log.key in self._archives:
            self._archives.remove(log.key)
        old = self._places.get(log.home)
        if log.home != home and old is not None and old.key == log.key:
            old.kind = PlaceKind.COPY
            old.measured = not log.archived  # an archive may have more than what replaces it
            old.retry_at = self._clock() + self._options.grace

    def _place_at(
        self, log: Followed, known: KnownFile, found: Found, head: bytes, *, archived: bool
    ) -> None:
        log.home, log.path, log.source = found.id, found.path, found.source
        log.archived, log.lost_home, log.present, log.deleted = archived, False, True, False
        log.head = head
        identity = identity_of(found.device, found.inode, head)
        if (identity, found.path, archived) != (known.identity, known.path, known.archived):
            self._registry.update(log.key, identity=identity, path=found.path, archived=archived)
            self._known().add(replace(known, identity=identity, path=found.path))

    # ---------------------------------------------------------------- reading

    def _grew(self, log: Followed, status: os.stat_result, now: float) -> None:
        if status.st_size < log.position:
            self._broke(log)
            return
        log.size, log.mtime_ns, log.changed_at = status.st_size, status.st_mtime_ns, now
        self._ready[log.key] = None

    def _verify_open(self) -> None:
        """Find out which files were truncated and have grown to the offset, or past it, again.

        All of them, for a file's time may stand still. The others' heads grow before new files
        are held against them.
        """
        for log in [*self._open.values(), *self._parked.values()]:
            if log.file is None and (log.key not in self._ready or not self._reopen(log)):
                continue
            assert log.file is not None  # noqa: S101 - just opened
            tail = log.reading.tail or b""
            try:
                if log.file.read_at(log.position - len(tail), len(tail)) == tail:
                    self._grow_head(log)
                else:
                    self._broke(log)
            except Rewritten:
                self._broke(log)
            except OSError as error:
                self._failed(log, error)

    def _poll_parked(self, log: Followed, now: float) -> None:
        try:
            status = os.stat(log.path)
        except OSError:
            self._urgent = True
            return
        if (status.st_dev, status.st_ino) != log.home:
            self._urgent = True
        elif (status.st_size, status.st_mtime_ns) != (log.size, log.mtime_ns):
            if log.head:
                self._grew(log, status, now)
            else:  # it was empty: nothing tells that it is still the same
                self._urgent = True

    def _read_next(self) -> list[Chunk]:
        """Read one block of the plain file whose turn it is."""
        key = next(iter(self._ready))
        key = self._older_generation(key)
        if key not in self._ready:  # an archive: first things first
            return self._step_archive(self._archives[0])
        del self._ready[key]
        log = self._logs[key]
        if log.file is None and not self._reopen(log):
            return []
        assert log.file is not None  # noqa: S101 - just opened
        try:
            self._grow_head(log)
            chunks, more = read_plain(log.file, log.reading, self._read_options)
        except Rewritten:
            self._broke(log)
            return []
        except OSError as error:
            self._failed(log, error)
            return []
        if more:
            self._ready[key] = None
        return chunks

    def _older_generation(self, key: int) -> int:
        """Give the oldest generation of the same log that has something unread, or the key."""
        for elder in self._elders.get(key, ()):
            if elder in self._ready or elder in self._archives:
                return elder
        return key

    def _note_elders(self) -> None:
        """Index, for each content, the older generations of its log, oldest first.

        Archives queue by age, behind the one that is being read.
        """
        queued = sorted(
            self._archives,
            key=lambda key: (self._logs[key].archive is None, self._logs[key].order),
        )
        self._archives = deque(queued)
        families: dict[bytes, list[int]] = {}
        for log in sorted(self._logs.values(), key=lambda one: one.order):
            if not log.lost_home and not (log.archived and log.reading.finished):
                families.setdefault(log.lineage, []).append(log.key)
        self._elders = {
            key: family[:index]
            for family in families.values()
            for index, key in enumerate(family)
            if index
        }

    def _grow_head(self, log: Followed) -> None:
        """Let the fingerprint grow with the file, before what is read can be finished."""
        if len(log.head) >= HEAD or log.file is None:
            return
        head = log.file.read_at(0, HEAD)
        if not head.startswith(log.head):
            raise Rewritten
        if len(head) == len(log.head):
            return
        log.head = head
        self._registry.update(log.key, identity=identity_of(*log.home, head))

    def _reopen(self, log: Followed) -> bool:
        self._parked.pop(log.key, None)
        self._make_room()
        try:
            file = LogFile(log.path)
        except OSError as error:
            self._failed(log, error)
            return False
        if file.id != log.home or file.compression is not None:
            file.close()
            self._gone(log)
            return False
        log.file = file
        self._open[log.key] = log
        return True

    def _step_archive(self, key: int) -> list[Chunk]:
        log = self._logs[key]
        try:
            if log.archive is None and not self._open_archive(log):
                return []
            assert log.archive is not None  # noqa: S101 - just opened
            chunks = log.archive.step()
        except WrongContent:
            self._archives.popleft()
            self._broke(log)
            return []
        except Damage as damage:
            self._archives.popleft()
            self._damaged(log, damage)
            return []
        except OSError as error:
            self._archives.popleft()
            self._failed(log, error)
            return []
        if chunks is None or log.reading.finished:
            self._archives.popleft()
            self._archive_ended(log)
        return chunks or []

    def _open_archive(self, log: Followed) -> bool:
        file = LogFile(log.path)
        if file.id != log.home:
            file.close()
            self._archives.popleft()
            self._gone(log)
            return False
        log.file = file
        known = self._known().get(log.key)
        marker = log.own_marker() or (known.marker if known is not None else None)
        log.archive = ArchiveReader(file, log.reading, self._read_options, marker)
        log.archive.check()
        return True

    def _archive_ended(self, log: Followed) -> None:
        length = log.archive.decompressed if log.archive is not None else log.position
        log.close()
        place = self._places.get(log.home)
        if place is None:
            return
        place.kind = PlaceKind.DONE
        found = Found(place.path, log.source, *log.home, place.size, place.mtime_ns)
        self._settling[log.home] = log.key, found, length

    def _damaged(self, log: Followed, damage: Damage) -> None:
        """An archive ends in the middle: wait for the rest, or say that it is broken."""
        log.close()
        place = self._places.get(log.home)
        if place is None:
            return
        waited = self._clock() - place.since
        if isinstance(damage, Incomplete) and waited < _UNFINISHED_ARCHIVE:
            self._wait(place, self._options.rescan_interval)
            return
        place.kind = PlaceKind.DONE
        what = f"{damage}; lines were read up to offset {log.reading.cutter.start}"
        self._say(Finding(log.path, what, "what follows is read if the file is mended", lost=True))

    # ---------------------------------------------------------------- when a file is not the same

    def _broke(self, log: Followed) -> None:
        """The file at this place has other content now: truncated, rewritten, or never it."""
        place = self._places.pop(log.home, None)
        if log.archived and place is not None:
            self._not_it.add((log.home, place.mtime_ns, log.key))
        self._gone(log)

    def _gone(self, log: Followed) -> None:
        """The content is not where it was: the next rescan looks for it."""
        self._leave_home(log, (-1, -1))
        self._ready.pop(log.key, None)
        log.lost_home = True
        self._urgent = True
        if (place := self._places.get(log.home)) is not None and place.key == log.key:
            self._wait(place, 0.0)

    def _failed(self, log: Followed, error: OSError) -> None:
        """Reading failed (EIO, ESTALE, EACCES, …): close, and try again a little later."""
        self._leave_home(log, (-1, -1))
        self._ready.pop(log.key, None)
        place = self._places.get(log.home)
        if place is None:
            self._urgent = True
            return
        place.key = log.key
        size, mtime_ns = place.size, place.mtime_ns
        self._cannot_open(Found(log.path, log.source, *log.home, size, mtime_ns), place, error)

    def _report_lost(self) -> None:
        for log in self._logs.values():
            if log.lost_home and log.size > log.reading.cutter.start and not log.archived:
                lost = log.size - log.reading.cutter.start
                what = f"cut or replaced before {lost:,} bytes of it were read"
                advice = "rotate by rename and create, or let the source cover the copies"
                self._say(Finding(log.path, what, advice, lost=True))
                log.size = log.reading.cutter.start

    # ---------------------------------------------------------------- closing

    def _close_finished(self, files: Sequence[Found]) -> None:
        """Close what ended, was quiet for a while, and has a successor."""
        now = self._clock()
        last = youngest(self._logs.values())
        at_path = {found.path: found.id for found in files}
        for log in list(self._open.values()):
            quiet = now - log.changed_at
            if log.key in self._ready or quiet < self._options.grace:
                continue
            succeeded = last.get(log.lineage, 0) > log.order or (
                at_path.get(log.path, log.home) != log.home
            )
            out_of_sight = not log.present and quiet >= _ABANDONED * self._options.grace
            if succeeded or out_of_sight:
                self._finish(log)
        for log in list(self._parked.values()):
            if not log.backlog and last.get(log.lineage, 0) > log.order:
                del self._parked[log.key]
                self._closed(log)

    def _finish(self, log: Followed) -> None:
        """Hand out an unfinished last line; close, unless the file is needed for a reread."""
        if log.file is None:
            return
        if log.backlog:
            try:
                self._pending += read_last(log.file, log.reading, self._read_options)
            except Rewritten:
                self._broke(log)
                return
            except OSError as error:
                self._failed(log, error)
                return
            log.changed_at = self._clock()
        elif not log.deleted or not self._registry.unread(log.key, log.position):
            log.close()
            del self._open[log.key]
            self._closed(log)

    def _closed(self, log: Followed) -> None:
        if (place := self._places.get(log.home)) is not None and place.key == log.key:
            place.kind = PlaceKind.CLOSED
            place.size, place.mtime_ns = log.size, log.mtime_ns

    def _limit_deleted(self) -> None:
        """Keep the disk from filling with deleted files: past the limit the oldest is given up."""
        held = [log for log in self._open.values() if log.deleted]
        total = sum(log.size for log in held)
        for log in sorted(held, key=lambda one: one.order):
            if log.backlog:
                what = f"deleted with {log.backlog:,} bytes unread; held open until they are read"
                self._say(Finding(log.path, what, "its disk space is free again after that"))
            if total <= self._options.max_deleted_bytes:
                continue
            total -= log.size
            what = f"deleted files hold too much disk: {log.backlog:,} unread bytes are given up"
            self._say(Finding(log.path, what, "see max_deleted_bytes", lost=bool(log.backlog)))
            self._ready.pop(log.key, None)
            log.close()
            del self._open[log.key]
            log.lost_home, log.size = True, log.reading.cutter.start

    def _make_room(self) -> None:
        """Close the file that is missed least, if as many are open as may be."""
        if len(self._open) < self._limit:
            return
        candidates = [log for log in self._open.values() if not log.deleted and log.present]
        if not candidates:
            return
        least = min(candidates, key=lambda log: (log.key in self._ready, log.changed_at))
        least.close()
        del self._open[least.key]
        self._parked[least.key] = least

    def _descriptor_limit(self) -> int:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return self._options.max_open_files
        return max(1, min(self._options.max_open_files, soft - _SPARE_DESCRIPTORS))

    def _forget_vanished(self) -> None:
        """Forget places that are gone, and contents of which nothing is left to do."""
        held = {log.home for log in self._open.values()} | self._present
        for mark in [mark for mark in self._places if mark not in held]:
            del self._places[mark]
            self._done_before.pop(mark, None)
        self._not_it = {entry for entry in self._not_it if entry[0] in held}
        now = self._clock()
        for log in list(self._logs.values()):
            if log.file is None and log.home not in self._present and log.key not in self._parked:
                if now - log.changed_at < _FORGET:
                    continue
                if not self._registry.unread(log.key, log.position):
                    del self._logs[log.key]

    def _settle(self) -> None:
        """Note which archives and copies are acked whole: they are never looked into again."""
        now = self._clock()
        if now < self._next_settle or not self._settling:
            return
        self._next_settle = now + _SETTLE
        for place, (key, found, length) in list(self._settling.items()):
            known = self._known().get(key)
            if known is None or known.origin > 0:  # a backfill may want what is before
                del self._settling[place]
            elif not self._registry.unread(key, length):
                self._registry.remember_copy(*found.id, found.size, found.mtime_ns, key)
                del self._settling[place]

    # ---------------------------------------------------------------- surroundings

    def home_of(self, key: int) -> Home | None:
        """Where a content lives now (for `recognize`)."""
        log = self._logs.get(key)
        if log is None:
            return self._done_home(key)
        if log.lost_home:
            return None
        if log.file is not None and log.archive is None:
            return Home(log.home, log.path, log.file, log.deleted)
        place = self._places.get(log.home)
        told = place is not None and place.kind is not PlaceKind.WAITING and place.key == key
        if place is not None and told and log.home in self._present:
            length = log.position if log.archived else None
            return Home(log.home, place.path, None, length=length)
        return None

    def _done_home(self, key: int) -> Home | None:
        """Where a content lives that was acked whole, and is not followed in this run."""
        known = self._known().get(key)
        for id_, place in self._done_before.items():
            if place.key == key and id_ in self._present and known is not None:
                return Home(id_, place.path, None, length=known.watermark)
        return None

    def own_marker(self, key: int) -> Marker | None:
        """Tell how far this process has read a content (for `recognize`)."""
        log = self._logs.get(key)
        return None if log is None else log.own_marker()

    def with_longer_head(self, head: bytes, path: bytes) -> Iterable[int]:
        """Contents of which ``head`` is only a beginning (for `recognize`)."""
        if len(head) >= HEAD:
            return []
        logs = ((log.key, log.head) for log in self._logs.values())
        keys = [key for key, other in logs if len(other) > len(head) and other.startswith(head)]
        for place in self._done_before.values():
            if place.key not in self._logs and lineage_of(place.path) == lineage_of(path):
                other = self._read_head(place.path)
                if len(other) > len(head) and other.startswith(head):
                    keys.append(place.key)
        return keys

    def _read_head(self, path: bytes) -> bytes:
        """Read up to `HEAD` bytes of content; nothing where that fails."""
        try:
            with LogFile(path) as file:
                return file.read_at(0, HEAD) if is_readable(file.compression) else b""
        except OSError:
            return b""

    def _locate(self, key: int) -> LogFile | None:
        """Open a content for another look, wherever it is."""
        home = self.home_of(key)
        if home is None:
            return None
        try:
            return home.open()
        except OSError:
            return None

    def _say(self, finding: Finding) -> None:
        now = self._clock()
        said = finding.path, finding.what
        if now - self._said.get(said, -_SAY_AGAIN) < _SAY_AGAIN:
            return
        if len(self._said) > 10_000:  # noqa: PLR2004 - bounded, whatever the directories hold
            self._said.clear()
        self._said[said] = now
        self._findings.append(finding)
