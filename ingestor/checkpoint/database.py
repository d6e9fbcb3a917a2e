"""Opening the checkpoint file: made whole or not at all, proven sound, and set aside when damaged.

A fresh file is built under another name and moved into place, so that an empty or half-made one
is always damage and never a beginning.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingestor.checkpoint import schema
from ingestor.errors import CheckpointError, IngestorError
from ingestor.words import what_helps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingestor.checkpoint.options import Sync

_log = logging.getLogger(__name__)

_BUSY_S = {"normal": 0.25, "full": 5.0}  # a commit's wait for another process's: one is on the loop
_OPEN_BUSY_S = 5.0
_OUR_SUFFIXES = (".db", ".sqlite", ".sqlite3")  # what has one was meant to be a checkpoint
_MAGIC = b"SQLite format 3\0"
_SMALLEST_PAGE = 512
_AT_ONCE = 1024 * 1024  # bytes
SIDECARS = ("-wal", "-shm", "-journal")
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class CheckpointUnavailable(IngestorError):
    """The checkpoint cannot be written at the moment: disk full, I/O error, locked.

    Nothing that was to be written is lost: it stays in memory, and a later commit carries it.
    ``locked`` is true where another process was writing, which passes by itself; ``lost`` where
    the file is damaged or gone, and only a new one helps.
    """

    def __init__(self, message: str, *, locked: bool = False, lost: bool = False) -> None:
        super().__init__(message)
        self.locked = locked
        self.lost = lost


class Damaged(Exception):
    """The file is no checkpoint, or not a whole one; ``str`` says what was found."""


def open_database(path: Path, sync: Sync) -> sqlite3.Connection:
    """Open the checkpoint for writing, making or migrating it where needed.

    The caller holds the opening lock. The connection is in autocommit mode and writes a WAL.
    Raises CheckpointError, and Damaged where the file must be set aside first.
    """
    with speaking(path):
        look_at(path)
        if not path.exists():
            _make(path)
        connection = _connect(path)
        try:
            _verify(connection, path)
            _keep_private(path)
            _configure(connection, path, sync)
        except BaseException:
            connection.close()
            raise
    return connection


def read_through(path: Path) -> None:
    """Read all of the file. Raises CheckpointError: what cannot be read may yet be sound."""
    with speaking(path):
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError), path.with_name(path.name + suffix).open("rb") as file:
                while file.read(_AT_ONCE):
                    pass


_ALL_UNKNOWN = "what was read before is not known any more, so run.start applies"


def set_aside(path: Path, why: str, consequence: str = _ALL_UNKNOWN) -> Path:
    """Rename a damaged checkpoint and what belongs to it, and say so; returns its new name."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{moment}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{moment}-{number}")
    with speaking(path):
        for suffix in ("", *SIDECARS):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        _sync_directory(path.parent)
    _log.error(
        "the checkpoint %s is damaged (%s): kept as %s for a look, and a fresh one begun; %s",
        path,
        why,
        aside.name,
        consequence,
    )
    return aside


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """Turn what the system and SQLite say while opening into CheckpointError or Damaged."""
    try:
        yield
    except sqlite3.Error as error:
        code = primary_code(error)
        if code in DAMAGE or str(error).startswith("no such "):  # table or column
            raise Damaged(str(error)) from error
        raise CheckpointError(f"cannot open the checkpoint {path}: {advice(error)}") from error
    except schema.NotOurs as error:
        raise CheckpointError(
            f"{path} is the database of some other program; name another file as checkpoint.path"
        ) from error
    except schema.Newer as error:
        raise CheckpointError(
            f"the checkpoint {path} was written by a newer ingestor (its schema is "
            f"{error.version}, this one knows {len(schema.STEPS)}); upgrade ingestor again, or "
            f"name another checkpoint"
        ) from error
    except OSError as error:
        rights = (
            f"the user that runs ingestor must own the file and have write permission in "
            f"{path.parent}"
        )
        raise CheckpointError(
            f"cannot use the checkpoint {path}: {error.strerror}; {what_helps(error, rights)}"
        ) from error


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 where Python raised the error itself."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def advice(error: sqlite3.Error) -> str:
    """SQLite's words, and what a person can do about them."""
    hints = {
        sqlite3.SQLITE_FULL: "make room on that disk",
        sqlite3.SQLITE_IOERR: "check the disk and the system's log, and whether there is room",
        sqlite3.SQLITE_BUSY: "another program keeps it locked; close it",
        sqlite3.SQLITE_READONLY: "the file or its file system is read-only for this user",
        sqlite3.SQLITE_CANTOPEN: "check that the directory exists and may be written",
        sqlite3.SQLITE_PROTOCOL: "it needs a local disk",
        sqlite3.SQLITE_CORRUPT: "the file is damaged; stop ingestor and start it again",
        sqlite3.SQLITE_NOTADB: "the file is damaged; stop ingestor and start it again",
    }
    hint = hints.get(primary_code(error))
    return f"{error}; {hint}" if hint else str(error)


def look_at(path: Path) -> None:
    """Raise what is wrong about the file before SQLite puts it less clearly.

    That is CheckpointError, or Damaged; and OSError.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        if any(path.with_name(path.name + suffix).exists() for suffix in SIDECARS):
            # SQLite would play an orphaned log into a fresh file.
            raise Damaged("the file itself is gone, its write-ahead log is still there") from None
        return
    refuse_others(path)
    if found.st_size < _SMALLEST_PAGE:  # SQLite would take it for a database without tables
        raise Damaged(f"it has only {found.st_size} bytes")


def refuse_irregular(path: Path) -> None:
    """Raise CheckpointError for a directory or a FIFO: to open the latter would wait for ever.

    Raises OSError as well: where there is nothing, or it may not be seen.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise CheckpointError(f"{path} is not a regular file; checkpoint.path names a file")


def refuse_others(path: Path) -> None:
    """Raise CheckpointError for somebody's log or archive: it must not be moved away as damaged.

    A damaged checkpoint has SQLite's beginning or zeros, or is known by its name or what lies
    beside it.
    """
    with suppress(FileNotFoundError):
        refuse_irregular(path)
    if path.suffix in _OUR_SUFFIXES or path.with_name(f"{path.name}-wal").exists():
        return
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        return
    if start.rstrip(b"\0") and start != _MAGIC:
        raise CheckpointError(f"{path} is no checkpoint; name another file as checkpoint.path")


def _keep_private(path: Path) -> None:
    for suffix in ("", *SIDECARS):
        part = path.with_name(path.name + suffix)
        if part.exists() and part.stat().st_mode & 0o077:
            part.chmod(0o600)


def _make(path: Path) -> None:
    fresh = path.with_name(f"{path.name}.new")
    for suffix in ("", *SIDECARS):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        connection = sqlite3.connect(fresh, isolation_level=None)
        try:
            schema.migrate(connection)
        finally:
            connection.close()
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, isolation_level=None, timeout=_OPEN_BUSY_S, check_same_thread=False
    )


def prove(connection: sqlite3.Connection) -> None:
    """See that it is a checkpoint, and a sound one. Raises what `speaking` puts into words."""
    schema.check(connection)
    problems = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if problems != ["ok"]:
        raise Damaged("; ".join(str(problem) for problem in problems)[:300])


def _verify(connection: sqlite3.Connection, path: Path) -> None:
    prove(connection)  # before anything is written: it may be somebody else's
    steps = schema.migrate(connection)
    if steps:
        _log.info("the checkpoint %s was brought to schema %d", path, len(schema.STEPS))


def _configure(connection: sqlite3.Connection, path: Path, sync: Sync) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise CheckpointError(
            f"{path} is on a file system without shared memory, which SQLite's write-ahead log "
            f"needs; put the checkpoint on a local disk"
        )
    connection.execute(f"PRAGMA synchronous = {sync.upper()}")
    connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_S[sync] * 1000)}")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA secure_delete = FAST")  # visitors' data leaves with its row
