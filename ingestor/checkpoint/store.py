"""The checkpoint file: which logs are known, what of them is finished, what was sent unanswered.

One SQLite file serves one daemon and one backfill at a time. Whatever a caller reports changes
memory at once and the disk with the next `commit`; a commit that fails loses nothing. Only what
two processes could disagree about (a new file, a claim) goes to the disk at once.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import orjson

from ingestor.checkpoint import database, files
from ingestor.checkpoint.disk import Disk, is_held, opening, resolved
from ingestor.checkpoint.journal import Role, left_as, load_journal, pack, row_of, spans_of
from ingestor.checkpoint.pending import Pending
from ingestor.checkpoint.registry import Flying, Registry
from ingestor.checkpoint.watermark import union
from ingestor.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ingestor.checkpoint.journal import JournalEntry
    from ingestor.checkpoint.options import CheckpointOptions
    from ingestor.model import Batch, Span, Tally

_log = logging.getLogger(__name__)

Note = str | int | float | bool | None

_BATCH_BITS = 36  # batches in one session: two years at a thousand a second
_FIRST_SESSIONS = 1 << 26  # a fresh checkpoint starts somewhere in here


class Store(Registry):
    """The open checkpoint of one role. Use `open`, and close it; it is a context manager.

    Any thread may call any public method. ``session`` counts openings: it never repeats within a
    checkpoint, and hardly among several. ``quarantined`` is the name that a damaged checkpoint
    was given, else None: then all that was known is gone, and `run.start` decides anew.
    """

    def __init__(self, disk: Disk, options: CheckpointOptions, role: Role) -> None:
        self.path = disk.path
        self.quarantined: Path | None = None
        self._totals: dict[str, dict[str, int]] = {}
        self._dirty_totals: set[str] = set()
        self._notes: dict[str, Note] = {}
        self._writing = False
        self._blind = False  # the last commit went without a look
        self._closed = False
        with _reading(disk.path):
            super().__init__(disk, options, role, _begin_session(disk, role))
        self._batches = iter(range((self.session << _BATCH_BITS) + 1, 1 << 63))

    @classmethod
    def open(cls, options: CheckpointOptions, role: Role) -> Self:
        """Open the checkpoint for a role, making a fresh one where there is none.

        Raises CheckpointError: held by another process of that role, of a newer version, not
        ours, directory missing or not writable.
        """
        path = resolved(options.path)
        with opening(options):
            with suppress(database.Damaged):
                return cls._opened(options, role)
            # A disk that could not be read for a moment makes a sound file look like that.
            database.read_through(path)
            try:
                return cls._opened(options, role)
            except database.Damaged as error:
                if is_held(path, role.other):
                    raise CheckpointError(
                        f"the checkpoint {path} is damaged ({error}) while another ingestor works "
                        f"with it; stop that one, then start again"
                    ) from error
                aside = database.set_aside(path, str(error))
            store = cls._opened(options, role)
            store.quarantined = aside
            return store

    @classmethod
    def _opened(cls, options: CheckpointOptions, role: Role) -> Self:
        disk = Disk.open(options, role)
        try:
            return cls(disk, options, role)
        except BaseException:
            disk.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give every claim back, commit, and let go of the file; a second call does nothing.

        Raises CheckpointUnavailable where that commit failed; the file is let go all the same.
        """
        with self._disk.guard:
            if self._closed:
                return
            self._closed = True
            try:
                for key in list(self._claimed):
                    self.release(key)
                self.commit()
            finally:
                self._disk.close()

    def count(self, source: str, counts: Mapping[str, int]) -> None:
        """Add to the totals of a source: outcome or reason → lines."""
        with self._memory:
            totals = self._totals.setdefault(source, {})
            for name, number in counts.items():
                totals[name] = totals.get(name, 0) + number
            self._dirty_totals.add(source)

    def count_tally(self, source: str, tally: Tally) -> None:
        """Add a chunk's malformed and filtered lines, as `malformed.time` or `filtered.bot`."""
        counts = {f"malformed.{name}": number for name, number in tally.malformed.items()}
        counts.update((f"filtered.{name}", number) for name, number in tally.filtered.items())
        if counts:
            self.count(source, counts)

    def totals(self) -> dict[str, dict[str, int]]:
        """Everything this role ever counted, by source."""
        with self._memory:
            return {source: dict(counts) for source, counts in self._totals.items()}

    def next_batch_id(self) -> int:
        """Draw a number for a batch: unique in the checkpoint, rising within a role."""
        with self._memory:
            return next(self._batches)

    def journal(self, batch: Batch, *, bodies: bytes | None = None) -> None:
        """Note a batch that is about to be sent; on disk with the next commit.

        `bodies` is what is needed to send it again (with exactly-once), given back by `in_doubt`.
        """
        spans = spans_of(batch)
        row = (
            batch.id,
            self.role,
            batch.website,
            len(batch.page_views),
            pack(spans),
            batch.tag,
            bodies,
            int(time.time()),
        )
        with self._memory:
            self._flying[batch.id] = Flying(spans, row)
            self._pending.journal[batch.id] = row

    def mark_in_doubt(self, batch_id: int) -> None:
        """Say that a sent batch's answer did not come, for `status`."""
        with self._memory:
            if batch_id in self._flying:
                self._pending.doubts.add(batch_id)

    def answered(self, batch_id: int, acked: Iterable[Span] = ()) -> None:
        """Strike a batch off and ack spans of it, in one transaction.

        What is not among `acked` is unread again: journal a new batch with it in the same
        breath, or read it once more. With no spans at all this gives the whole batch up.
        """
        with self._memory:
            self.ack(acked)
            self._flying.pop(batch_id, None)
            self._left.pop(batch_id, None)
            self._pending.doubts.discard(batch_id)
            self._pending.journal.pop(batch_id, None)
            self._pending.struck.add(batch_id)  # though unwritten: a failed commit may have landed

    def finished(self, batch_id: int) -> Sequence[Span]:
        """Strike a batch of this session off and ack all of it; gives its spans, joined."""
        with self._memory:
            spans = self._flying[batch_id].spans
            self.answered(batch_id, spans)
            return spans

    def in_doubt(self) -> list[JournalEntry]:
        """Batches of this role that an earlier session sent and saw no answer to, oldest first.

        Each stays until `answered`. Without bodies, its spans are unread and will be sent again.
        """
        with self._memory:
            return list(self._left.values())

    def leave(self, batch_id: int) -> None:
        """Take a batch of this session as one that an earlier one left in doubt.

        So its sender may end, and another of the same process take it up by `in_doubt`.
        """
        with self._memory:
            flying = self._flying.pop(batch_id, None)
            if flying is not None:
                self._left[batch_id] = left_as(flying.row)
                self._pending.doubts.add(batch_id)

    def adopt(self, websites: Collection[str]) -> int:
        """Take over what a dead process of the other role left in doubt and could send again.

        Only of these websites, and only with bodies; then `in_doubt` lists them too. Returns how
        many. Raises CheckpointUnavailable.
        """
        with self._disk.guard, self._memory, self._disk.speaking():
            left = "SELECT 1 FROM journal WHERE role = ? AND bodies IS NOT NULL LIMIT 1"
            if self._disk.connection.execute(left, (self.role.other,)).fetchone() is None:
                return 0  # nearly always, and it is asked again and again
            guard = self._disk.lock_other()
            if guard is None:
                return 0
            try:
                with self._disk.transaction() as connection:
                    found = [
                        replace(entry, role=self.role, in_doubt=True)
                        for entry in load_journal(connection, self.role.other)
                        if entry.website in websites and entry.bodies is not None
                    ]
                    connection.executemany(
                        "UPDATE journal SET role = ?, doubt = 1 WHERE id = ?",
                        [(self.role, entry.id) for entry in found],
                    )
            finally:
                guard.release()
            self._left.update((entry.id, entry) for entry in found)
            return len(found)

    def orphans(self) -> list[JournalEntry]:
        """What a dead process of the other role sent, saw no answer to, and cannot send by itself.

        Their spans are unread for both roles; empty where it cannot be told.
        """
        with self._disk.guard:
            try:
                if self._disk.other_lives():
                    return []
                return [
                    entry
                    for entry in load_journal(self._disk.connection, self.role.other)
                    if entry.bodies is None
                ]
            except files.UNREADABLE as error:
                _log.debug("cannot look at the checkpoint: %s", error)
                return []

    def websites_left(self) -> set[str]:
        """Websites of what either role sent and could send again; empty where it cannot be told."""
        with self._disk.guard:
            try:
                rows = self._disk.connection.execute(
                    "SELECT DISTINCT website FROM journal WHERE bodies IS NOT NULL"
                )
                return {website for (website,) in rows}
            except sqlite3.Error as error:
                _log.debug("cannot look at the checkpoint: %s", error)
                return set()

    def note(self, name: str, value: Note) -> None:
        """Remember a small fact under a name, or forget it with None."""
        with self._memory:
            if value is None:
                self._notes.pop(name, None)
            else:
                self._notes[name] = value
            self._pending.notes[name] = None if value is None else files.written(value)

    def noted(self, name: str) -> Note:
        """What `note` was given last, by this process or an earlier one; None if nothing."""
        with self._memory:
            return self._notes.get(name)

    @property
    def uncommitted(self) -> bool:
        """Whether anything waits for a commit, or for the end of one, or for a look after one."""
        with self._memory:
            waiting = self._dirty_spans or self._dirty_totals or self._dirty_files or self._pending
            return bool(self._writing or self._blind or waiting)

    def commit(self, *, look: bool = True) -> None:
        """Write everything that waits, in one transaction.

        Raises CheckpointUnavailable where the disk refuses; then all of it goes on waiting. A
        file that was removed or damaged under us is built anew from memory, which is said at
        ERROR. Without a ``look``, for whoever just had one, removal is found by a later commit.
        """
        with self._disk.guard:
            if not self.uncommitted:
                return
            try:
                if look:
                    self._disk.look_for_the_file()
                self._blind = not look
                self._commit()
            except database.CheckpointUnavailable as error:
                if not error.lost:
                    raise
                self._disk.begin_anew(str(error))
                _log.error("%s: built anew from memory", error)
                self._mark_all_changed()
                self._blind = False
                self._commit()

    # -- behind the curtain --------------------------------------------------------------------

    def _load(self) -> None:
        super()._load()
        connection = self._disk.connection
        self._left = {entry.id: entry for entry in load_journal(connection, self.role)}
        self._totals = files.load_totals(connection, self.role)
        for name, value in connection.execute("SELECT name, value FROM notes"):
            self._notes[name] = orjson.loads(value)

    def _commit(self) -> None:
        with self._memory:
            self._writing = True
            pending = self._take()
        try:
            with self._disk.speaking(), self._disk.transaction() as connection:
                pending.write(connection, self.role)
        except BaseException:
            with self._memory:
                self._give_back(pending)
            raise
        finally:
            self._writing = False

    def _mark_all_changed(self) -> None:
        """Make the next commit write all that memory holds, into a fresh file."""
        with self._memory:
            for file in self._files.values():
                file.own = union(file.own, file.other)
                file.own.mark_all_changed()
            self._dirty_files.update(self._files)
            self._dirty_spans.update(self._files)
            self._dirty_totals.update(self._totals)
            pending = self._pending
            pending.notes = {name: files.written(value) for name, value in self._notes.items()}
            pending.notes["session"] = str(self.session)
            pending.copies = dict(self._copies)
            pending.claims = dict(self._claimed)
            pending.journal = {number: batch.row for number, batch in self._flying.items()}
            pending.journal.update((entry.id, row_of(entry)) for entry in self._left.values())
            pending.doubts.update(self._left)

    def _take(self) -> Pending:
        pending, self._pending = self._pending, Pending()
        for key in self._dirty_files:
            pending.files[key] = self._files[key].row()
        for key in self._dirty_spans:
            changes = self._files[key].own.take_changes()
            if changes:
                pending.spans[key] = changes
        for source in self._dirty_totals:
            pending.totals[source] = files.written(self._totals[source])
        self._dirty_files.clear()
        self._dirty_spans.clear()
        self._dirty_totals.clear()
        return pending

    def _give_back(self, old: Pending) -> None:
        """Put what could not be written under what came since."""
        new = self._pending
        self._dirty_files |= old.files.keys() & self._files.keys()
        for key in old.spans.keys() & self._files.keys():
            self._files[key].own.restore_changes(old.spans[key])
            self._dirty_spans.add(key)
        self._dirty_totals |= old.totals.keys()
        for key, whole in old.claims.items():
            if (key in self._claimed) == (whole is not None):  # nothing newer is on disk
                new.claims.setdefault(key, whole)
        new.notes = {**old.notes, **new.notes}
        new.copies = {**old.copies, **new.copies}
        new.doubts |= old.doubts & (self._flying.keys() | self._left.keys())
        new.struck |= old.struck
        new.forgotten |= old.forgotten
        unanswered = {
            number: row
            for number, row in old.journal.items()
            if number in self._flying or number in self._left
        }
        new.journal = {**unanswered, **new.journal}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Take rows that make no sense for damage. Raises Damaged and CheckpointError."""
    with database.speaking(path):
        try:
            yield
        except (ValueError, TypeError) as error:
            raise database.Damaged(f"a row cannot be read: {error}") from error


def _begin_session(disk: Disk, role: Role) -> int:
    """Count this opening, void the claims of the last one, and take its open batches for lost."""
    with disk.transaction() as connection:
        row = connection.execute("SELECT value FROM notes WHERE name = 'session'").fetchone()
        session = 1 + (secrets.randbelow(_FIRST_SESSIONS) if row is None else int(row[0]))
        connection.execute(
            "INSERT OR REPLACE INTO notes (name, value) VALUES ('session', ?)", (str(session),)
        )
        connection.execute("DELETE FROM claims WHERE role = ?", (role,))
        connection.execute("UPDATE journal SET doubt = 1 WHERE role = ?", (role,))
    return session
