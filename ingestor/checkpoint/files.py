"""The files that the checkpoint knows, mirrored in memory: its rows, and both roles' acks."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

import orjson

from ingestor.checkpoint import schema
from ingestor.checkpoint.watermark import Intervals, watermark
from ingestor.model import Identity, KnownFile, Marker

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMNS = (
    "key, device, inode, fingerprint, fingerprint_length, marker_offset, marker_length, "
    "marker_digest, marker_earlier, path, origin, archived, session"
)
SELECT = f"SELECT {_COLUMNS} FROM files ORDER BY key"  # noqa: S608 - our own constants
_SELECT_FROM_FIRST = SELECT.replace("marker_earlier", "NULL")  # who only looks migrates nothing
PUT = f"INSERT OR REPLACE INTO files ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - our own constants

Row = tuple[Any, ...]
UNREADABLE = sqlite3.Error, ValueError, TypeError  # what reading rows raises that others wrote


class TrackedFile:
    """One file's row and what is acked of it, by this role (`own`) and by the `other`."""

    __slots__ = (
        "_known",
        "archived",
        "identity",
        "key",
        "marker",
        "origin",
        "other",
        "own",
        "path",
        "session",
    )

    def __init__(
        self,
        key: int,
        identity: Identity,
        marker: Marker | None,
        path: bytes,
        origin: int,
        session: int,
        *,
        archived: bool,
    ) -> None:
        self.key = key
        self.identity = identity
        self.marker = marker
        self.path = path
        self.origin = origin  # bytes
        self.archived = archived
        self.session = session
        self.own = Intervals()
        self.other = Intervals()
        self._known: KnownFile | None = None

    @property
    def watermark(self) -> int:
        """The offset up to which everything from the origin on is acked, by whichever role."""
        return watermark(self.origin, self.own, self.other)

    def known(self) -> KnownFile:
        """Build what the other rooms see; the same object as long as nothing changed."""
        if self._known is None:
            self._known = KnownFile(
                self.key,
                self.identity,
                self.marker,
                self.path,
                self.origin,
                self.watermark,
                self.archived,
            )
        return self._known

    def changed(self) -> None:
        """Drop the view that `known` gave: something in it is old."""
        self._known = None

    def take(self, newer: TrackedFile) -> None:
        """Take over a newer row's values, keeping the acks."""
        self.identity, self.marker, self.path = newer.identity, newer.marker, newer.path
        self.origin, self.archived = newer.origin, newer.archived
        self.session = max(self.session, newer.session)
        self._known = None

    def row(self) -> Row:
        """Build the row to be written."""
        marker = self.marker or (None, None, None, None)
        return (
            self.key,
            signed(self.identity.device),
            signed(self.identity.inode),
            self.identity.fingerprint,
            self.identity.fingerprint_length,
            *marker,
            self.path,
            self.origin,
            int(self.archived),
            self.session,
        )

    @classmethod
    def from_row(cls, row: Row) -> TrackedFile:
        """Build from a row. Raises ValueError for values that were never written by us."""
        key, device, inode, fingerprint, length, *marker, path, origin, archived, session = row
        marker_offset, marker_length, marker_digest, earlier = marker
        numbers = (key, device, inode, length, origin, archived, session)
        if not all(isinstance(number, int) for number in numbers) or origin < 0 or length < 0:
            raise ValueError(f"file {key!r}: a number is none")
        if not (isinstance(fingerprint, bytes) and isinstance(path, bytes)):
            raise TypeError(f"file {key!r}: bytes are none")
        identity = Identity(unsigned(device), unsigned(inode), fingerprint, length)
        found = None
        if marker_offset is not None:
            found = Marker(marker_offset, marker_length, marker_digest, earlier or b"")
        return cls(key, identity, found, path, origin, session, archived=bool(archived))


def load_files(connection: sqlite3.Connection) -> Iterator[TrackedFile]:
    """Every file in the checkpoint, without its acks. Raises ValueError for broken rows."""
    has_all = schema.check(connection) > 1
    return map(TrackedFile.from_row, connection.execute(SELECT if has_all else _SELECT_FROM_FIRST))


def load_spans(
    connection: sqlite3.Connection, role: str, file: int | None = None
) -> dict[int, Intervals]:
    """One role's acks by file, or those of one file. Raises ValueError for broken rows."""
    if file is None:
        rows = connection.execute(
            "SELECT file, start, stop FROM spans WHERE role = ? ORDER BY file, start", (role,)
        )
    else:
        rows = connection.execute(
            "SELECT file, start, stop FROM spans WHERE role = ? AND file = ? ORDER BY start",
            (role, file),
        )
    found: dict[int, Intervals] = {}
    try:
        for key, start, end in rows:
            found.setdefault(key, Intervals()).add(start, end)
    except TypeError as error:
        raise ValueError(f"acks of a file: {error}") from error
    for acks in found.values():
        acks.take_changes()
    return found


def written(value: object) -> str:
    """Write the counts of a source, or a note, as their rows have it: JSON."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()  # outcomes are names, too


def load_totals(connection: sqlite3.Connection, role: str) -> dict[str, dict[str, int]]:
    """One role's totals by source. Raises ValueError for broken rows."""
    rows = connection.execute("SELECT source, counts FROM totals WHERE role = ?", (role,))
    try:
        return {
            os.fsdecode(source): {
                name: int(number) for name, number in orjson.loads(counts).items()
            }
            for source, counts in rows
        }
    except (TypeError, AttributeError) as error:
        raise ValueError(f"totals: {error}") from error


def stored(source: str) -> str | bytes:
    """Give the name of a source as SQLite takes it: text, or bytes where a path is no UTF-8."""
    return source if source.isprintable() else os.fsencode(source)


def signed(number: int) -> int:
    """Fold a device or inode number (unsigned 64 bits) into SQLite's signed 64 bits."""
    return number - (1 << 64) if number >= 1 << 63 else number


def unsigned(number: int) -> int:
    """Turn `signed` around."""
    return number & ((1 << 64) - 1)
