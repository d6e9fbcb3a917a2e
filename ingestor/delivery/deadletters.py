"""Rejected page views, kept with their line, file, offset and Umami's words.

JSON lines, one dead letter each, only ever appended. The file is for people and for sending
again after a repair; its size and age are bounded by two halves: ``dead-letters.jsonl`` is
written, ``dead-letters.jsonl.1`` is the older half, which goes when the next one takes its place
or when it is too old. A line is kept without loss: as ``line`` where it is UTF-8, else as
``line_base64``.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import logging
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ingestor.delivery.answers import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

_LINE_MAX = 1024 * 1024  # bytes of a line that are kept


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One rejected page view."""

    time: int  # Unix seconds, UTC: when it was rejected
    reason: str  # ours, in words
    answer: str  # Umami's words, printable, cut
    file: str  # the log's path when it was read; bytes that are no UTF-8 as \\xNN
    offset: int  # bytes; where the line starts in the log's (decompressed) content
    website: str
    line: bytes  # without its newline, masked where that is configured
    payload: dict[str, str | int] | None = None


class DeadLetters:
    """The dead-letter file. Its methods block on the disk: call them off the event loop."""

    def __init__(
        self, path: Path, *, max_bytes: int, max_age: float, wall: Callable[[], float]
    ) -> None:
        self.path = path
        self._older = path.with_name(path.name + ".1")
        self._half = max_bytes // 2
        self._half_age = max_age / 2
        self._wall = wall

    def append(self, letters: Iterable[DeadLetter]) -> None:
        """Write dead letters, all or none; return when they are on disk. Raises OSError."""
        block = b"".join(map(_line, letters))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with alone(self.path):
            self._make_room(len(block))
            descriptor = os.open(self.path, flags, 0o600)
            try:
                os.fchmod(descriptor, 0o600)  # also where the umask or a person set another mode
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    block = b"\n" + block  # a torn line must not swallow the next one
                _write_or_undo(descriptor, block, size)
            finally:
                os.close(descriptor)

    def purge(self) -> None:
        """Drop what is too old. Raises OSError."""
        if self.path.exists() or self._older.exists():
            with alone(self.path):
                self._make_room(0)

    def _make_room(self, wanted: int) -> None:
        now = self._wall()
        if self._age(self._older, now, by_first=False) >= self._half_age:
            logger.info("dead letters older than they may get are dropped from %s", self._older)
            self._older.unlink(missing_ok=True)
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return
        full = size > 0 and size + wanted > self._half
        if not full and self._age(self.path, now, by_first=True) < self._half_age:
            return
        if full and self._older.exists():
            logger.error(
                "dead letters fill their space: the older half of %s is dropped (%d bytes); look "
                "into the rest, or raise delivery.dead_letter_max_bytes",
                self.path,
                self._older.stat().st_size,
            )
        self.path.replace(self._older)

    def _age(self, path: Path, now: float, *, by_first: bool) -> float:
        """Seconds since the file's first letter was written, or since its last; 0 without one."""
        try:
            if not by_first:
                return now - path.stat().st_mtime
            first = next(read(path), None)
        except FileNotFoundError:
            return 0.0
        return now - first.time if first is not None else 0.0


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time change the dead letters in ``path``; waits for the other.

    The lock lies beside the file, for the file itself is replaced, and dies with its holder.
    Raises OSError.
    """
    lock = path.with_name(path.name + ".lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(lock, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read(path: Path) -> Iterator[DeadLetter]:
    """Read the dead letters of one file, oldest first. Raises OSError.

    What is no dead letter (a torn last line after a power loss, a person's edit) is passed over.
    """
    with path.open("rb") as file:
        for raw in file:
            letter = letter_of(raw)
            if letter is not None:
                yield letter


def _line(letter: DeadLetter) -> bytes:
    """One JSON line. orjson escapes control characters, so no newline can get in."""
    fields: dict[str, object] = {
        "time": letter.time,
        "reason": letter.reason,
        "answer": letter.answer,
        "file": letter.file,
        "offset": letter.offset,
        "website": letter.website,
        "payload": letter.payload,
    }
    line = letter.line[:_LINE_MAX]
    try:
        fields["line"] = line.decode("utf-8")
    except UnicodeDecodeError:
        fields["line_base64"] = base64.b64encode(line).decode("ascii")
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a payload that is no UTF-8: its line tells all
        fields["payload"] = None
        fields["answer"] = printable(letter.answer.encode("utf-8", "replace"), 2_000)
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def letter_of(raw: bytes) -> DeadLetter | None:
    """Read one line of the file; None where it is no dead letter."""
    try:
        fields = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))  # an editor's mark
        encoded = fields.get("line_base64")
        line = (
            base64.b64decode(encoded, validate=True)
            if encoded is not None
            else fields["line"].encode("utf-8")
        )
        payload = fields["payload"]
        return DeadLetter(
            time=int(fields["time"]),
            reason=str(fields["reason"]),
            answer=str(fields["answer"]),
            file=str(fields["file"]),
            offset=int(fields["offset"]),
            website=str(fields["website"]),
            line=line,
            payload=payload if isinstance(payload, dict) else None,
        )
    except (
        orjson.JSONDecodeError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        binascii.Error,
    ):
        return None


def _write_or_undo(descriptor: int, block: bytes, size: int) -> None:
    """Append a block to a file of so many bytes, and have it on disk; else leave it as it was."""
    try:
        write_whole(descriptor, block)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def write_whole(descriptor: int, block: bytes) -> None:
    """Write all of a block, however little the system takes at a time. Raises OSError."""
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
