"""What the ordinary lines of a format look like: texts that repeat, and values between them.

A layout takes no chance: what it describes, splitter and matcher read alike. Whatever else a line
may be, it is for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ingestor.formats.fields import Field, Literal, Part, Role, Shape

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LOCAL = re.compile(rb"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d( [+-]\d{4})?")
_ISO = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_EPOCH = re.compile(rb"[1-9]\d{9}(\.\d{1,12})?")
_REQUEST = (Role.REQUEST, Role.METHOD, Role.TARGET, Role.PATH, Role.PROTOCOL)
_WIDE = {Shape.TEXT, Shape.TIME, Shape.TRAILING, Shape.CAPTURE}
_FIRST = 0x2D  # "-": the lowest byte of a word


class Reach(StrEnum):
    """How far a value reaches, and what may stand in it."""

    QUOTED = "quoted"  # anything up to the next quote
    WORD = "word"  # visible ASCII from "-" on, without ; and ? and `Value.stop`
    NUMBER = "number"  # of JSON: digits, perhaps a fraction
    KEYWORD = "keyword"  # of JSON: true, false, null
    LOCAL = "local"  # 22/Nov/2026:10:11:12 +0100
    BARE = "bare"  # the same without its zone
    ISO = "iso"  # 2026-11-22T10:11:12.123+01:00
    EPOCH = "epoch"  # Unix seconds, perhaps with a fraction
    DIGITS = "digits"  # three of them: a status


_TIMES = {Reach.LOCAL, Reach.BARE, Reach.ISO, Reach.EPOCH}


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a line."""

    reach: Reach
    role: Role = Role.NONE
    example: bytes = b""  # of a time, by `alike`
    stop: int = 0  # a byte that ends a word; 0: none beside those that no word has
    filled: bool = False  # neither empty nor a hyphen; of digits: the first is no zero


Piece = bytes | Value


class Layout(NamedTuple):
    """The pieces of a line, and how many quotes are in it.

    ``printable``: nothing but visible ASCII and spaces may stand in it.
    """

    pieces: tuple[Piece, ...]
    quotes: int
    printable: bool


def layout_of(
    pieces: Sequence[Piece], needed: Collection[Role], *, printable: bool
) -> Layout | None:
    """Put pieces together; None where they do not tell a request and one time that can be read.

    ``needed`` roles have to be there as well.
    """
    roles = [piece.role for piece in pieces if isinstance(piece, Value)]
    target = Role.TARGET if Role.TARGET in roles else Role.PATH
    parts = {Role.METHOD, target, Role.PROTOCOL}
    times = [piece for piece in pieces if isinstance(piece, Value) and piece.role is Role.TIME]
    if len(times) != 1 or times[0].reach not in _TIMES:
        return None
    if not (Role.REQUEST in roles or parts.issubset(roles)) or not set(needed).issubset(roles):
        return None
    quotes = sum(piece.count(b'"') for piece in pieces if isinstance(piece, bytes))
    return Layout(tuple(pieces), quotes, printable)


def time_reach(time: bytes) -> Reach:
    """Tell by an example how times are written; WORD where it is none of these."""
    local = _LOCAL.fullmatch(time)
    if local is not None:
        return Reach.BARE if local[1] is None else Reach.LOCAL
    if _ISO.fullmatch(time) is not None:
        return Reach.ISO
    return Reach.EPOCH if _EPOCH.fullmatch(time) is not None else Reach.WORD


def alike(reach: Reach, time: bytes) -> bytes:
    """Give what a time shares with others of its month and zone, with zeros for the rest."""
    if reach in {Reach.LOCAL, Reach.BARE}:
        return b"00" + time[2:12] + b"00:00:00" + time[20:]
    if reach is Reach.ISO:
        return time[:8] + b"00T00:00:00" + time[19:].lstrip(b".0123456789")
    return b""


def text_layout(parts: Sequence[Part], captured: Sequence[Field], time: bytes) -> Layout | None:
    """Describe a definition's lines; None where it has values that could reach further.

    ``time`` is a line's own, as logged.
    """
    kept = {id(field) for field in captured}
    pieces: list[Piece] = []
    for at, part in enumerate(parts):
        if isinstance(part, Literal):
            if b"\t" in part.text or b"|" in part.text:  # other rules hold between these
                return None
            pieces.append(part.text)
            continue
        role = part.meaning.role if id(part) in kept else Role.NONE
        piece = _time(part, time) if role is Role.TIME else _piece(parts, at, part, role)
        if piece is None:
            return None
        pieces.append(piece)
    return layout_of(pieces, (), printable=False)


def _time(field: Field, example: bytes) -> Value | None:
    reach = time_reach(example)
    if reach != field.meaning.clock:
        return None
    return Value(reach, Role.TIME, alike(reach, example))


def _piece(parts: Sequence[Part], at: int, field: Field, role: Role) -> Piece | None:
    shape, after = field.meaning.shape, _text(parts, at + 1)
    is_quoted = _text(parts, at - 1)[-1:] == b'"' == after[:1]
    if role is Role.STATUS:
        return Value(Reach.DIGITS, role)
    if is_quoted:
        return Value(Reach.QUOTED, role, filled=role is Role.ADDRESS)
    if role is Role.NONE and (shape is Shape.TEXT or field.meaning.unused):
        return b"-"  # a user's name, say: mostly nothing, and then anything
    beside = not after and at + 1 < len(parts)  # another value, without anything in between
    if beside or role in _REQUEST or shape in _WIDE:
        return None
    stop = after[0] if after and after[0] >= _FIRST else 0
    return Value(Reach.WORD, role, stop=stop, filled=role is Role.ADDRESS)


def _text(parts: Sequence[Part], at: int) -> bytes:
    part = parts[at] if 0 <= at < len(parts) else None
    return part.text if isinstance(part, Literal) else b""
