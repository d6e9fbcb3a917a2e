"""The open checkpoint file and the locks around it: transactions, and who else is at work."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ingestor.checkpoint import database
from ingestor.checkpoint.database import CheckpointUnavailable
from ingestor.checkpoint.locks import Lock, holder
from ingestor.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingestor.checkpoint.journal import Role
    from ingestor.checkpoint.options import CheckpointOptions

_STARTING_S = 10.0


class Disk:
    """One role's connection. Whoever uses it holds `guard`: any thread may."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        role: Role,
        options: CheckpointOptions,
        *,
        path: Path,
        lock: Lock,
    ) -> None:
        self.connection = connection
        self.guard = threading.RLock()
        self.path = path
        self._role = role
        self._options = options
        self._inode = path.stat().st_ino
        self._lock = lock

    @classmethod
    def open(cls, options: CheckpointOptions, role: Role) -> Disk:
        """Lock the role, open its file, or begin one. Raises CheckpointError and Damaged."""
        path = resolved(options.path)
        lock = Lock.acquire(lock_path(path, role), held_by=f"another `ingestor {role}`")
        try:
            connection = database.open_database(path, options.sync)
        except BaseException:
            lock.release()
            raise
        return cls(connection, role, options, path=path, lock=lock)

    def close(self) -> None:
        """Let go of the file, then of the lock."""
        self.connection.close()
        self._lock.release()

    def transaction(self, *, hard: bool = True) -> _Transaction:
        """One transaction, as a context manager. Raises sqlite3.Error, with everything undone.

        A soft one skips the fsync of `sync: full`. That is safe for what nothing depends on yet:
        the write-ahead log keeps its order, so the next hard one syncs all that came before.
        """
        return _Transaction(self.connection, soft=not hard and self._options.sync == "full")

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Turn sqlite3.Error into CheckpointUnavailable, which says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            code = database.primary_code(error)
            raise CheckpointUnavailable(
                f"cannot write the checkpoint {self.path}: {database.advice(error)}",
                locked=code == sqlite3.SQLITE_BUSY,
                lost=code in database.DAMAGE,
            ) from error

    def look_for_the_file(self) -> None:
        """Raise CheckpointUnavailable where the file was removed or replaced under us.

        SQLite goes on writing into a removed file; nobody would ever find it again. A lock file
        that was removed is made again, before another process of the role starts beside us.
        """
        try:
            if self.path.stat().st_ino == self._inode:
                self._renew_lock()
                return
            lost = self._inode == 0  # we closed it, and could not begin a new one yet
            message = f"the checkpoint {self.path} was replaced while in use; restart ingestor"
        except FileNotFoundError:
            lost = True
            message = f"the checkpoint {self.path} was removed while in use"
        except OSError as error:
            lost = False
            message = f"cannot see the checkpoint {self.path}: {error.strerror}"
        except CheckpointError as error:
            lost = False
            message = f"the lock of the checkpoint was removed while in use, and {error}"
        raise CheckpointUnavailable(message, lost=lost)

    def begin_anew(self, why: str) -> None:
        """Put a fresh file in the place of one that was lost while in use.

        Raises CheckpointUnavailable where that cannot be done now, or not while the other role's
        process uses the lost one.
        """
        if self.other_lives():
            raise CheckpointUnavailable(
                f"{why}; it can be built anew only when no other ingestor uses it: stop the other "
                f"one, or restart this one"
            )
        self._inode = 0
        try:
            self._renew_lock()
            with opening(self._options):
                with suppress(sqlite3.Error):
                    self.connection.close()
                if self.path.exists():
                    consequence = "what this process knows is written into it, so nothing is lost"
                    database.set_aside(self.path, why, consequence)
                for suffix in database.SIDECARS:
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                self.connection = database.open_database(self.path, self._options.sync)
                self._inode = self.path.stat().st_ino
        except (CheckpointError, database.Damaged, OSError) as error:
            raise CheckpointUnavailable(f"{why}, and cannot be built anew: {error}") from error

    def _renew_lock(self) -> None:
        """Lock the role again where the lock file was removed, too. Raises CheckpointError."""
        if self._lock.is_on_disk():
            return
        lost = self._lock
        path = lock_path(self.path, self._role)
        self._lock = Lock.acquire(path, held_by=f"another `ingestor {self._role}`", patience_s=0.0)
        lost.release()

    def other_lives(self) -> bool:
        """Whether a process of the other role has the checkpoint open."""
        return is_held(self.path, self._role.other)

    def lock_other(self) -> Lock | None:
        """Keep the other role from starting; None where it runs, or nobody could."""
        try:
            return Lock.acquire(
                lock_path(self.path, self._role.other), held_by="the other", patience_s=0.0
            )
        except CheckpointError:
            return None


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT; a class because commits are counted in microseconds."""

    __slots__ = ("_connection", "_soft")

    def __init__(self, connection: sqlite3.Connection, *, soft: bool) -> None:
        self._connection = connection
        self._soft = soft

    def __enter__(self) -> sqlite3.Connection:
        if self._soft:
            self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._harden()
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._harden()

    def _harden(self) -> None:
        if self._soft:
            self._connection.execute("PRAGMA synchronous = FULL")


@contextmanager
def opening(options: CheckpointOptions) -> Iterator[None]:
    """Let one process at a time make, migrate or set aside a file. Raises CheckpointError."""
    path = resolved(options.path)
    with database.speaking(path):
        database.refuse_others(path)  # before a lock file is laid beside it
    gate = Lock.acquire(
        lock_path(path),
        held_by="another ingestor that is starting",
        patience_s=_STARTING_S,
    )
    try:
        yield
    finally:
        gate.release()


def is_held(path: Path, role: Role) -> bool:
    """Whether a process of this role has the checkpoint open."""
    return holder(lock_path(path, role)) is not None


def lock_path(path: Path, role: Role | None = None) -> Path:
    """Where a role's lock is, or the one that is held while a checkpoint is opened."""
    return path.with_name(f"{path.name}.{role or 'opening'}.lock")


def resolved(path: Path) -> Path:
    """Follow symlinks: a checkpoint with two names has one set of locks."""
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"cannot use the checkpoint {path}: {error}") from error
