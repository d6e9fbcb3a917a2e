"""What waits for the next commit, and how one transaction writes it.

Every value is absolute (a row, not a difference), so that writing the same thing twice, after a
commit whose fate was unclear, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingestor.checkpoint import files

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from ingestor.checkpoint.journal import Role

Row = tuple[Any, ...]
CopyKey = tuple[int, int, int, int]  # device, inode, size, mtime_ns

_PUT_SPAN = "INSERT OR REPLACE INTO spans (file, role, start, stop) VALUES (?,?,?,?)"
_DROP_SPAN = "DELETE FROM spans WHERE file = ? AND role = ? AND start = ?"
_PUT_BATCH = (
    "INSERT OR REPLACE INTO journal (id, role, website, count, spans, tag, bodies, sent, doubt) "
    "VALUES (?,?,?,?,?,?,?,?,0)"
)
_STRIKE = "DELETE FROM journal WHERE id = ?"
PUT_TOTAL = "INSERT OR REPLACE INTO totals (role, source, counts) VALUES (?,?,?)"
_PUT_NOTE = "INSERT OR REPLACE INTO notes (name, value) VALUES (?,?)"
_PUT_CLAIM = "INSERT OR REPLACE INTO claims (file, role, whole) VALUES (?,?,?)"
_DROP_CLAIM = "DELETE FROM claims WHERE file = ? AND role = ?"
_PUT_COPY = "INSERT OR REPLACE INTO copies (device, inode, size, mtime_ns, file) VALUES (?,?,?,?,?)"
_DROP_COPY = "DELETE FROM copies WHERE device = ? AND inode = ? AND size = ? AND mtime_ns = ?"


@dataclass(slots=True)
class Pending:
    """One commit's worth of changes."""

    files: dict[int, Row] = field(default_factory=dict)
    spans: dict[int, dict[int, int | None]] = field(default_factory=dict)  # by file, see Intervals
    claims: dict[int, bool | None] = field(default_factory=dict)  # None: given back
    journal: dict[int, Row] = field(default_factory=dict)
    doubts: set[int] = field(default_factory=set)
    struck: set[int] = field(default_factory=set)
    totals: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str | None] = field(default_factory=dict)
    copies: dict[CopyKey, int | None] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(
            self.spans
            or self.journal
            or self.struck
            or self.totals
            or self.files
            or self.claims
            or self.doubts
            or self.notes
            or self.copies
            or self.forgotten
        )

    def write(self, connection: sqlite3.Connection, role: Role) -> None:
        """Write everything inside the open transaction. Raises sqlite3.Error."""
        execute = connection.execute
        for row in self.files.values():
            execute(files.PUT, row)
        for file, changes in self.spans.items():
            for start, end in changes.items():
                if end is None:
                    execute(_DROP_SPAN, (file, role, start))
                else:
                    execute(_PUT_SPAN, (file, role, start, end))
        for row in self.journal.values():
            execute(_PUT_BATCH, row)
        for batch in self.struck:
            execute(_STRIKE, (batch,))
        for source, counts in self.totals.items():
            execute(PUT_TOTAL, (role, files.stored(source), counts))
        if self.claims or self.doubts or self.notes or self.copies or self.forgotten:
            self._write_the_rest(connection, role)

    def _write_the_rest(self, connection: sqlite3.Connection, role: Role) -> None:
        execute = connection.execute
        for file, whole in self.claims.items():
            if whole is None:
                execute(_DROP_CLAIM, (file, role))
            else:
                execute(_PUT_CLAIM, (file, role, int(whole)))
        connection.executemany(
            "UPDATE journal SET doubt = 1 WHERE id = ?", ((batch,) for batch in self.doubts)
        )
        for name, value in self.notes.items():
            if value is None:
                execute("DELETE FROM notes WHERE name = ?", (name,))
            else:
                execute(_PUT_NOTE, (name, value))
        for copy, copied in self.copies.items():
            if copied is None:
                execute(_DROP_COPY, copy)
            else:
                execute(_PUT_COPY, (*copy, copied))
        forget(connection, self.forgotten)


def forget(connection: sqlite3.Connection, keys: Iterable[int]) -> None:
    """Delete everything about these files but what the journal says of them."""
    for key in keys:
        connection.execute("DELETE FROM files WHERE key = ?", (key,))
        connection.execute("DELETE FROM spans WHERE file = ?", (key,))
        connection.execute("DELETE FROM claims WHERE file = ?", (key,))
        connection.execute("DELETE FROM copies WHERE file = ?", (key,))
