"""The tables of the checkpoint, built step by step, so that an older file becomes a newer one.

`PRAGMA application_id` says that a SQLite file is ours, `PRAGMA user_version` how many of the
steps it has seen. A step, once released, is never changed; a new version appends one. No step
uses what SQLite learnt after 3.34 (STRICT, RETURNING), since long-lived systems ship that.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

APPLICATION_ID = 0x494E4753  # "INGS"

_FIRST = """
CREATE TABLE files (
  key INTEGER PRIMARY KEY,
  device INTEGER NOT NULL,              -- device and inode as signed 64-bit numbers
  inode INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,
  fingerprint_length INTEGER NOT NULL,  -- bytes
  marker_offset INTEGER,                -- bytes; the three are NULL together
  marker_length INTEGER,
  marker_digest BLOB,
  path BLOB NOT NULL,                   -- where it was seen last
  origin INTEGER NOT NULL,              -- bytes; the daemon's part begins here
  archived INTEGER NOT NULL,
  session INTEGER NOT NULL              -- the last session that saw it
);
CREATE TABLE spans (                    -- acked; a role writes only its own rows
  file INTEGER NOT NULL,
  role TEXT NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL,                -- exclusive
  PRIMARY KEY (file, role, start)
) WITHOUT ROWID;
CREATE TABLE claims (                   -- void once the role's lock is free
  file INTEGER NOT NULL,
  role TEXT NOT NULL,
  whole INTEGER NOT NULL,               -- 0: only what is before the origin
  PRIMARY KEY (file, role)
) WITHOUT ROWID;
CREATE TABLE journal (                  -- written before sending, struck off when answered
  id INTEGER PRIMARY KEY,
  role TEXT NOT NULL,
  website TEXT NOT NULL,
  count INTEGER NOT NULL,               -- page views
  spans BLOB NOT NULL,                  -- (file, start, end) as little-endian 64-bit numbers
  tag TEXT,
  bodies BLOB,                          -- the ordered page views, with exactly-once
  sent INTEGER NOT NULL,                -- Unix seconds, for people only
  doubt INTEGER NOT NULL                -- 1: its answer did not come
);
CREATE TABLE totals (
  role TEXT NOT NULL,
  source TEXT NOT NULL,
  counts TEXT NOT NULL,                 -- a JSON object of numbers
  PRIMARY KEY (role, source)
) WITHOUT ROWID;
CREATE TABLE copies (                   -- other files with the content of a known one
  device INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  file INTEGER NOT NULL,
  PRIMARY KEY (device, inode, size, mtime_ns)
);
CREATE TABLE notes (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL                   -- JSON
) WITHOUT ROWID;
"""

_EARLIER_MARKERS = "ALTER TABLE files ADD COLUMN marker_earlier BLOB;  -- packed; NULL: none\n"

STEPS: Sequence[str] = (_FIRST, _EARLIER_MARKERS)


class NotOurs(Exception):
    """A sound SQLite database of some other program."""


class Newer(Exception):
    """Written by a later version of this program: `version` is its schema's number."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def migrate(connection: sqlite3.Connection, steps: Sequence[str] = STEPS) -> int:
    """Bring the open database to the newest schema, in one transaction.

    Returns how many steps ran. The connection is in autocommit mode (``isolation_level=None``).
    Raises NotOurs or Newer, leaving the file untouched, and sqlite3.Error.
    """
    version = check(connection, len(steps))
    if version == len(steps):
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(steps) - version


def check(connection: sqlite3.Connection, newest: int = len(STEPS)) -> int:
    """Tell which schema the database has, 0 for an empty one. Raises NotOurs or Newer."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application or version or tables:
            raise NotOurs
        return 0
    if not 0 <= version <= newest:
        raise Newer(version)
    return int(version)


def _statements(script: str) -> list[str]:
    """Split a script; ``executescript`` would commit between the statements."""
    found, statement = [], ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found
