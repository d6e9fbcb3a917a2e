"""What the journal keeps of a batch: enough to know what a crash left in doubt."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ingestor.model import Batch, Span

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_WIDTH = 24  # bytes of one packed span


class Role(StrEnum):
    """Who works with the checkpoint: at most one process of each at a time."""

    RUN = "run"  # the daemon
    BACKFILL = "backfill"

    @property
    def other(self) -> Role:
        """The role that may work beside this one."""
        return Role.BACKFILL if self is Role.RUN else Role.RUN


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A batch that was written down before it was sent, and not struck off yet."""

    id: int
    role: Role
    website: str
    count: int  # page views
    spans: tuple[Span, ...]  # sorted within a file, adjacent ones joined
    tag: str | None
    bodies: bytes | None  # what was handed over for sending it again, with exactly-once
    sent_at: int  # Unix seconds when it was written down; for people, clocks jump
    in_doubt: bool  # its answer did not come, or its process died


def spans_of(batch: Batch) -> list[Span]:
    """Where a batch's page views came from, adjacent spans joined, in the batch's order."""
    joined: list[Span] = []
    file = start = end = -1
    for page_view in batch.page_views:
        span = page_view.span
        if span[1] == end and span[0] == file:
            end = span[2]
            continue
        if end >= 0:
            joined.append(Span(file, start, end))
        file, start, end = span
    if end >= 0:
        joined.append(Span(file, start, end))
    return joined


def pack(spans: Iterable[Span]) -> bytes:
    """Spans as little-endian 64-bit numbers, three each."""
    numbers = [number for span in spans for number in span]
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def unpack(packed: bytes) -> tuple[Span, ...]:
    """Turn `pack` around. Raises ValueError for what it never wrote."""
    if len(packed) % _WIDTH:
        raise ValueError("a torn list of spans in the journal")
    return tuple(Span(*numbers) for numbers in struct.iter_unpack("<3Q", packed))


def row_of(entry: JournalEntry) -> tuple[Any, ...]:
    """Build the row that an entry came from."""
    return (
        entry.id,
        entry.role,
        entry.website,
        entry.count,
        pack(entry.spans),
        entry.tag,
        entry.bodies,
        entry.sent_at,
    )


def left_as(row: tuple[Any, ...]) -> JournalEntry:
    """Turn `row_of` around, for a batch whose sender has ended."""
    number, role, website, count, spans, tag, bodies, sent_at = row
    return JournalEntry(
        number, Role(role), website, count, unpack(spans), tag, bodies, sent_at, in_doubt=True
    )


def load_journal(connection: sqlite3.Connection, role: Role | None = None) -> list[JournalEntry]:
    """What the journal holds, of one role or of both, oldest first. Raises ValueError."""
    rows = connection.execute(
        "SELECT id, role, website, count, spans, tag, bodies, sent, doubt FROM journal ORDER BY id"
    )
    entries = (
        JournalEntry(number, Role(who), website, count, unpack(spans), tag, bodies, sent, doubt > 0)
        for number, who, website, count, spans, tag, bodies, sent, doubt in rows
    )
    return [entry for entry in entries if role is None or entry.role is role]
