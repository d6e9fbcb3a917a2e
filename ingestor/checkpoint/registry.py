"""Which logs are known, how far each is read, and which process reads what of it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, NamedTuple

from ingestor.checkpoint import files
from ingestor.checkpoint.files import TrackedFile
from ingestor.checkpoint.journal import Role, unpack
from ingestor.checkpoint.pending import Pending
from ingestor.checkpoint.watermark import Intervals, union

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ingestor.checkpoint.disk import Disk
    from ingestor.checkpoint.journal import JournalEntry
    from ingestor.checkpoint.options import CheckpointOptions
    from ingestor.checkpoint.pending import CopyKey, Row
    from ingestor.model import Identity, KnownFile, Marker, Span

_log = logging.getLogger(__name__)

_KEY_BITS = 28  # new files in one session


class Flying(NamedTuple):
    """A batch that was sent in this session and is not answered."""

    spans: Sequence[Span]
    row: Row  # as the journal has it


class Registry:
    """The half of the store that the readers of logs use; see Store."""

    def __init__(self, disk: Disk, options: CheckpointOptions, role: Role, session: int) -> None:
        self.role = role
        self.session = session
        self.options = options
        self._disk = disk  # its guard is taken before _memory, never after
        self._memory = threading.RLock()  # guards everything below
        self._pending = Pending()
        self._dirty_files: set[int] = set()
        self._dirty_spans: set[int] = set()
        self._files: dict[int, TrackedFile] = {}
        self._unseen: list[TrackedFile] = []  # the other role's, since the last `known`
        self._copies: dict[CopyKey, int] = {}
        self._claimed: dict[int, bool] = {}  # key → whole, or only what is before the origin
        self._flying: dict[int, Flying] = {}  # this session's unanswered batches
        self._left: dict[int, JournalEntry] = {}  # this role's, left by a crash
        self._version = -1  # SQLite's data_version at the last look
        self._keys = iter(range(session << _KEY_BITS, 1 << 63))
        self._load()

    def known(self) -> Sequence[KnownFile]:
        """Every file that the checkpoint knows, in the order in which they were met."""
        with self._disk.guard, self._memory:
            try:
                self._refresh()
            except files.UNREADABLE as error:  # what is known stays known
                _log.debug("cannot look at the checkpoint: %s", error)
            self._unseen.clear()
            return [file.known() for file in self._files.values()]

    def register(
        self, identity: Identity, path: bytes, *, origin: int = 0, archived: bool = False
    ) -> int:
        """Add a file that nobody knew, and return its key.

        Where the other role's process added the same file since the last `known`, that one's key
        is returned. `origin` is in bytes: the daemon reads from there on.
        """
        with self._disk.guard, self._memory:
            file = TrackedFile(
                next(self._keys), identity, None, path, origin, self.session, archived=archived
            )
            twin = None
            try:
                with self._disk.transaction(hard=False) as connection:
                    self._refresh()
                    twin = self._met_meanwhile(identity)
                    if twin is None:
                        connection.execute(files.PUT, file.row())
            except files.UNREADABLE as error:  # the next commit carries it
                _log.debug("a new file waits for the checkpoint: %s", error)
                self._dirty_files.add(file.key)
            if twin is not None:
                if origin > twin.origin:  # only the daemon has one
                    self.update(twin.key, origin=origin)
                return twin.key
            self._files[file.key] = file
            return file.key

    def update(
        self,
        key: int,
        *,
        identity: Identity | None = None,
        path: bytes | None = None,
        marker: Marker | None = None,
        archived: bool | None = None,
        origin: int | None = None,
    ) -> None:
        """Change what is remembered of a file; None leaves a value as it is.

        Raises KeyError for an unknown key, as does every method that takes one.
        """
        with self._memory:
            file = self._files[key]
            before = (file.identity, file.path, file.marker, file.archived, file.origin)
            file.identity = file.identity if identity is None else identity
            file.path = file.path if path is None else path
            if marker is not None and file.marker is not None and not marker.earlier:
                marker = marker._replace(earlier=file.marker.earlier)  # they are as true as before
            file.marker = file.marker if marker is None else marker
            file.archived = file.archived if archived is None else archived
            file.origin = file.origin if origin is None else origin
            if before != (file.identity, file.path, file.marker, file.archived, file.origin):
                file.session = self.session
                file.changed()
                self._dirty_files.add(key)

    def set_marker(self, key: int, marker: Marker) -> None:
        """Remember the hash of the bytes before an offset, at or below the watermark."""
        self.update(key, marker=marker)

    def unread(self, key: int, end: int) -> list[tuple[int, int]]:
        """What of [0, end) this role has still to read: sorted, disjoint [start, end) in bytes.

        That is what nobody acked, whatever is under way in this process; for the daemon only
        from the origin on; for a backfill only before it while a live daemon follows the file.
        Left out is what a batch in doubt can send again by itself: one of an earlier session, or
        of the other role, that has bodies.
        """
        with self._disk.guard, self._memory:
            file = self._files[key]
            start = 0
            if self.role is Role.RUN:
                start = file.origin
            elif not self._may_read_whole(file):
                end = min(end, file.origin)
            taken = union(file.own, self._others_acks(file), self._kept_for_sending(key))
            return taken.gaps(start, end)

    def left(self, key: int) -> int:
        """How many bytes below the daemon's origin nobody acked: they are a backfill's.

        Of an archive that is a backfill's alone it is its origin, where none of it is acked, or 0.
        """
        with self._disk.guard, self._memory:
            file = self._files[key]
            acked = union(file.own, self._others_acks(file))
            if file.archived:
                return 0 if acked else file.origin
            return sum(end - start for start, end in acked.gaps(0, file.origin))

    def claim(self, key: int) -> bool:
        """Take a file for this role, until `release` or `close`.

        False while a live process of the other role holds it in a way that leaves nothing to
        read: ask again later. A claim of a dead process is void.
        """
        with self._disk.guard, self._memory:
            file = self._files[key]
            if key in self._claimed:
                return True
            try:
                with self._disk.transaction(hard=False) as connection:
                    whole = self._free_part(file)
                    if whole is None:
                        return False
                    Pending(claims={key: whole}).write(connection, self.role)
            except sqlite3.Error as error:
                if self._disk.other_lives():
                    return False
                _log.debug("a claim waits for the checkpoint: %s", error)
                whole = self._pending.claims[key] = True
            else:
                self._pending.claims.pop(key, None)  # perhaps a release that is not written yet
            self._claimed[key] = whole
            return True

    def release(self, key: int) -> None:
        """Give a claimed file back; nothing happens where it is not claimed."""
        with self._memory:
            if self._claimed.pop(key, None) is not None:
                self._pending.claims[key] = None

    def copy_of(self, device: int, inode: int, size: int, mtime_ns: int) -> int | None:
        """Which known file's content this one on disk, unchanged, was found to hold; else None."""
        with self._memory:
            key = self._copies.get(_folded(device, inode, size, mtime_ns))
            return key if key in self._files else None

    def remember_copy(self, device: int, inode: int, size: int, mtime_ns: int, key: int) -> None:
        """Remember that a file on disk, as it is now, holds a known file's content."""
        with self._memory:
            copy = _folded(device, inode, size, mtime_ns)
            if self._copies.get(copy) == key:
                return
            self._copies[copy] = self._pending.copies[copy] = key
            while len(self._copies) > self.options.max_copies:
                oldest = next(iter(self._copies))
                del self._copies[oldest]
                self._pending.copies[oldest] = None

    def watermark(self, key: int) -> int:
        """The offset up to which everything from the origin on is acked, by whichever role."""
        with self._memory:
            return self._files[key].watermark

    def ack(self, spans: Iterable[Span]) -> None:
        """Take spans for finished, whatever their outcome."""
        with self._memory:
            file = start = end = -1
            for key, first, last in spans:  # mostly one behind the other: they are joined first
                if first == end and key == file:
                    end = last
                    continue
                if file >= 0:
                    self._take_for_finished(file, start, end)
                file, start, end = key, first, last
            if file >= 0:
                self._take_for_finished(file, start, end)

    def prune(self, present: Collection[int]) -> int:
        """Forget the oldest of the files that are gone from disk, beyond `max_files`.

        `present` are the keys of all files that are on disk now; call it after a complete look,
        now and then. No clock decides, since clocks jump. Returns how many were forgotten.
        """
        with self._disk.guard, self._memory:
            for key in present:
                file = self._files[key]
                if file.session != self.session:
                    file.session = self.session
                    self._dirty_files.add(key)
            if self._disk.other_lives():  # it may be looking at one of them
                return 0
            busy = {span.file for batch in self._flying.values() for span in batch.spans}
            busy |= {span.file for entry in self._left.values() for span in entry.spans}
            gone = self._files.keys() - set(present) - busy - self._claimed.keys()
            surplus = max(0, len(gone) - self.options.max_files)
            oldest = sorted(gone, key=lambda key: (self._files[key].session, key))[:surplus]
            for key in oldest:
                del self._files[key]
            self._copies = {copy: key for copy, key in self._copies.items() if key in self._files}
            self._dirty_files.difference_update(oldest)
            self._dirty_spans.difference_update(oldest)
            self._pending.forgotten.update(oldest)
            return len(oldest)

    # -- behind the curtain --------------------------------------------------------------------

    def _take_for_finished(self, key: int, start: int, end: int) -> None:
        file = self._files[key]
        file.own.add(start, end)
        file.changed()
        self._dirty_spans.add(key)

    def _load(self) -> None:
        self._refresh()
        self._unseen.clear()
        for key, acks in files.load_spans(self._disk.connection, self.role).items():
            if key in self._files:
                self._files[key].own = acks

    def _refresh(self) -> None:
        """Take over what the other process committed since the last look."""
        connection = self._disk.connection
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        for row in connection.execute(files.SELECT):
            key = row[0]
            if key in self._pending.forgotten:  # its row is there until the next commit
                continue
            mine = self._files.get(key)
            if mine is None:
                self._files[key] = file = TrackedFile.from_row(row)
                self._unseen.append(file)
            elif key not in self._dirty_files and mine.row() != row:
                mine.take(TrackedFile.from_row(row))
        for key, acks in files.load_spans(connection, self.role.other).items():
            if key in self._files and self._files[key].other != acks:
                self._files[key].other = acks
                self._files[key].changed()
        for device, inode, size, mtime_ns, key in connection.execute(
            "SELECT device, inode, size, mtime_ns, file FROM copies ORDER BY rowid"
        ):
            self._copies.setdefault((device, inode, size, mtime_ns), key)
        self._version = version

    def _met_meanwhile(self, identity: Identity) -> TrackedFile | None:
        for file in self._unseen:
            theirs = file.identity
            if (theirs.device, theirs.inode) == (identity.device, identity.inode):
                return file
            if theirs.fingerprint_length and theirs[2:] == identity[2:]:
                return file
        return None

    def _others_acks(self, file: TrackedFile) -> Intervals:
        try:
            found = files.load_spans(self._disk.connection, self.role.other, file.key)
        except files.UNREADABLE:
            return file.other
        return found.get(file.key, Intervals())

    def _kept_for_sending(self, key: int) -> Intervals:
        """What batches in doubt carry with their bodies, and will ack or give back themselves."""
        lists = [entry.spans for entry in self._left.values() if entry.bodies is not None]
        try:
            rows = self._disk.connection.execute(
                "SELECT spans FROM journal WHERE role = ? AND bodies IS NOT NULL",
                (self.role.other,),
            )
            lists.extend(unpack(packed) for (packed,) in rows)
        except files.UNREADABLE as error:
            _log.debug("cannot look at the checkpoint: %s", error)
        return Intervals(
            (span.start, span.end) for spans in lists for span in spans if span.file == key
        )

    def _may_read_whole(self, file: TrackedFile) -> bool:
        if file.key in self._claimed:
            return self._claimed[file.key]
        try:
            return self._free_part(file) is True
        except sqlite3.Error:
            return not self._disk.other_lives()

    def _free_part(self, file: TrackedFile) -> bool | None:
        """True: all of the file; False: only what is before its origin; None: nothing."""
        row = self._disk.connection.execute(
            "SELECT whole FROM claims WHERE file = ? AND role = ?", (file.key, self.role.other)
        ).fetchone()
        if row is None or not self._disk.other_lives():
            return True
        if self.role is Role.RUN:
            return None if row[0] else True
        return False if file.origin > 0 else None


def _folded(device: int, inode: int, size: int, mtime_ns: int) -> CopyKey:
    """As the rows have it: SQLite's numbers are signed."""
    return files.signed(device), files.signed(inode), size, mtime_ns
