"""A checkpoint beside whoever works with it: `status`, `checkpoint show`, `forget`, `amend`.

A look is one short read transaction of its own connection. SQLite's write-ahead log lets it see
one consistent moment, without waiting for a writer and without making one wait.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ingestor.checkpoint import database, files, schema
from ingestor.checkpoint.disk import lock_path, resolved
from ingestor.checkpoint.journal import JournalEntry, Role, load_journal
from ingestor.checkpoint.locks import Lock, holder
from ingestor.checkpoint.pending import PUT_TOTAL
from ingestor.checkpoint.pending import forget as delete
from ingestor.checkpoint.watermark import Intervals, union, watermark
from ingestor.errors import CheckpointError
from ingestor.model import KnownFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AMENDED = "amended"  # in the place of a role, of which nobody's rows are touched
_BUSY_S = 2.0  # only where the file has to be recovered after a crash first


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSnapshot(KnownFile):
    """What the checkpoint says of one file; sizes and offsets in decompressed bytes."""

    from_start: int  # everything from 0 up to here is acked, by a backfill where origin is later
    acked: int  # bytes, wherever they are
    beyond: int  # acked bytes past the watermark
    holes: int  # stretches between the watermark and the last ack that are not acked
    claimed_by: tuple[Role, ...]  # by live processes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The checkpoint at one moment."""

    path: Path
    files: tuple[FileSnapshot, ...]  # in the order in which they were met
    journal: tuple[JournalEntry, ...]  # oldest first
    totals: dict[Role, dict[str, dict[str, int]]]  # role → source → outcome or reason → lines
    notes: dict[str, Any]
    alive: dict[Role, int] = field(default_factory=dict)  # role → pid, 0 where it hides
    # Other files with the content of one of these, acked whole: device, inode, size, mtime in ns.
    copies: frozenset[tuple[int, int, int, int]] = frozenset()
    amended: dict[str, dict[str, int]] = field(default_factory=dict)  # by `amend`, as of totals

    @property
    def in_flight(self) -> int:
        """Page views in batches that live processes sent and that may still be answered."""
        return sum(entry.count for entry in self.journal if not self._is_in_doubt(entry))

    @property
    def in_doubt(self) -> int:
        """Page views in batches whose answer did not come: so many may be stored double."""
        return sum(entry.count for entry in self.journal if self._is_in_doubt(entry))

    def _is_in_doubt(self, entry: JournalEntry) -> bool:
        return entry.in_doubt or entry.role not in self.alive


def read(path: Path) -> Snapshot:
    """Look at a checkpoint, whether or not somebody works with it.

    Raises CheckpointError where there is none, or where it cannot be read.
    """
    path = resolved(path)
    alive = {role: pid for role in Role if (pid := holder(lock_path(path, role))) is not None}
    with _speaking(path), closing(_connect(path)) as connection:
        schema.check(connection)
        connection.execute("BEGIN")
        claims: dict[int, list[Role]] = {}
        for file, role in connection.execute("SELECT file, role FROM claims ORDER BY role DESC"):
            if role in alive:
                claims.setdefault(file, []).append(Role(role))
        run = files.load_spans(connection, Role.RUN)
        backfill = files.load_spans(connection, Role.BACKFILL)
        none = Intervals()
        seen = tuple(
            _snap(
                file,
                run.get(file.key, none),
                backfill.get(file.key, none),
                tuple(claims.get(file.key, ())),
            )
            for file in files.load_files(connection)
        )
        totals = {role: files.load_totals(connection, role) for role in Role}
        notes = {
            name: orjson.loads(value)
            for name, value in connection.execute("SELECT name, value FROM notes")
        }
        copies = frozenset(
            (files.unsigned(device), files.unsigned(inode), size, mtime_ns)
            for device, inode, size, mtime_ns in connection.execute(
                "SELECT device, inode, size, mtime_ns FROM copies"
                " WHERE file IN (SELECT key FROM files)"
            )
        )
        journal = tuple(load_journal(connection))
        amended = files.load_totals(connection, _AMENDED)
        return Snapshot(path, seen, journal, totals, notes, alive, copies, amended)


def examine(path: Path) -> None:
    """Look whether a checkpoint can be worked with; nothing is changed.

    Raises CheckpointError where `run` would refuse it, or set it aside as damaged.
    """
    path = resolved(path)
    with _speaking(path):
        database.look_at(path)
        if path.exists():
            with closing(_connect(path)) as connection:
                database.prove(connection)


def forget(path: Path, file: bytes) -> int:
    """Forget every file that was seen last under this path: it will be read like a new one.

    Returns how many there were. Raises CheckpointError while a process works with the
    checkpoint, where there is none, or where it cannot be written.
    """
    path = resolved(path)
    with _speaking(path):
        if not path.exists():
            raise CheckpointError(f"there is no checkpoint {path}")
        database.refuse_others(path)
    locks: list[Lock] = []
    try:
        for role in Role:
            locks.append(Lock.acquire(lock_path(path, role), held_by=f"`ingestor {role}`"))  # noqa: PERF401 - each is to be released
        with _speaking(path), closing(database.open_database(path, "full")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute("SELECT key FROM files WHERE path = ?", (file,)).fetchall()
            delete(connection, [key for (key,) in rows])
            connection.execute("COMMIT")
            return len(rows)
    finally:
        for lock in locks:
            lock.release()


def amend(path: Path, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Add to the totals by source, beside whoever works with the checkpoint.

    Does nothing where there is none. Raises CheckpointError where it cannot be written.
    """
    path = resolved(path)
    with _speaking(path):
        database.look_at(path)
        if not path.exists():
            return
        uri = f"{path.as_uri()}?mode=rw"
        with closing(
            sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)
        ) as connection:
            schema.check(connection)
            connection.execute("BEGIN IMMEDIATE")
            known = files.load_totals(connection, _AMENDED)
            for source, more in counts.items():
                added = Counter(known.get(source, {}))
                added.update(more)
                row = (_AMENDED, files.stored(source), files.written(added))
                connection.execute(PUT_TOTAL, row)
            connection.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    try:
        database.refuse_irregular(path)
        with path.open("rb"):
            database.refuse_others(path)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"there is no checkpoint {path}; it appears when `ingestor run` or `backfill` starts"
        ) from error
    except PermissionError as error:
        raise CheckpointError(
            f"may not read the checkpoint {path}; run this as root or as the user of the service"
        ) from error
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_S
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        connection.close()
        write_ahead = path.with_name(path.name + "-wal")
        if not isinstance(error, sqlite3.OperationalError) or write_ahead.exists():
            raise
        # No write-ahead log and no right to make one: nobody writes, so the file stands still.
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None
        )
    return connection


@contextmanager
def _speaking(path: Path) -> Iterator[None]:
    try:
        with database.speaking(path):
            yield
    except (database.Damaged, ValueError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is damaged ({error}); the next `run` or `backfill` sets it "
            "aside"
        ) from error


def _snap(
    file: files.TrackedFile, run: Intervals, backfill: Intervals, claimed_by: tuple[Role, ...]
) -> FileSnapshot:
    acked = union(run, backfill)
    reached = watermark(file.origin, acked)
    return FileSnapshot(
        key=file.key,
        path=file.path,
        identity=file.identity,
        marker=file.marker,
        origin=file.origin,
        watermark=reached,
        from_start=watermark(0, acked),
        acked=acked.size(),
        beyond=acked.size(reached),
        holes=sum(1 for start, _ in acked if start > reached),
        archived=file.archived,
        claimed_by=claimed_by,
    )
