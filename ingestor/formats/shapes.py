r"""A line of JSON like the ones before: read by one regular expression instead of a parser.

A server writes the same keys in the same order, so a line tells the shape of those that follow:
all its text but for the values. An expression made of it takes a line apart in a quarter of the
time that a parser needs. It matches only plain values, ASCII without a backslash, in which nothing
can hide; what it does not match is for the parser, and so is what it might read otherwise.
"""

from __future__ import annotations

import re
from operator import methodcaller
from typing import TYPE_CHECKING

from ingestor.formats.extractor import is_status
from ingestor.formats.fields import Role
from ingestor.formats.layouts import Reach, Value, alike, time_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ingestor.formats.extractor import Path, Source
    from ingestor.formats.layouts import Piece

    Columns = tuple[bytes, ...]
    Shape = Callable[[bytes], Columns | None]
    """A line → its columns, None: this is another shape."""
    Read = Callable[[re.Match[bytes]], Columns]
    """A match → the columns of its line."""

_TOKEN = re.compile(
    rb'[ \t]*(?:([{}\[\],:])|("[ !#-\[\]-~]*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)'
    rb"|(true|false|null))"
)
_LONGEST = 16_384  # bytes of a line that a shape is made of
_MOST = 200  # values in it

_TEXT = rb"[ !#-\[\]-~]*+"
_NUMBER = rb"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,18}|)(?:[eE][+-]?[0-9]{1,2}|)"
_WHOLE = rb"(?:0|[1-9][0-9]{0,14})"
_MOMENT = _WHOLE + rb"(?:\.(?!9{6})[0-9]{1,12}|)"  # so many nines a parser might round up
_FILLED = rb'(?!-?")'  # neither empty nor a hyphen, which stands for nothing
_OF_REQUEST = (Role.REQUEST, Role.METHOD, Role.TARGET, Role.PATH, Role.QUERY, Role.PROTOCOL)
_NEEDED = {Role.STATUS, *_OF_REQUEST}
_FILLED_ROLES = {Role.ADDRESS, *_NEEDED}


class _NoShapeError(Exception):
    """Lines like this one are for the parser."""


def shape_of(
    line: bytes,
    plan: Mapping[Role, Sequence[Source]],
    roles: Sequence[Role],
    literal: Sequence[str],
) -> Shape | None:
    """Make the reader for lines like this one, which is known to be sound; None: there is none.

    ``plan`` tells where roles may stand, the first that is filled counting; ``roles`` are the
    columns in their order. Values under the keys of ``literal`` have to stay what they are.
    """
    try:
        return _Shape(line, plan, literal).reader(roles)
    except _NoShapeError:
        return None


def pieces_like(
    line: bytes, plan: Mapping[Role, Sequence[Source]], literal: Sequence[str], time: bytes
) -> list[Piece] | None:
    """Describe lines of this shape, with all that has to be there so that a line counts.

    ``time`` is the line's own. None where lines like this are for the parser.
    """
    try:
        return _Shape(line, plan, literal).pieces(time_reach(time))
    except _NoShapeError:
        return None


class _Shape:
    """The values of one line, and what they tell."""

    def __init__(
        self, line: bytes, plan: Mapping[Role, Sequence[Source]], literal: Sequence[str]
    ) -> None:
        values = _values(line.removesuffix(b"\r"))
        self._line = line.removesuffix(b"\r")
        self._values = values
        self._literal = literal
        self._places: dict[Path, Role] = {}
        self._groups: dict[Role, int] = {}
        self._fixed: set[Path] = set()
        self._is_shared = False  # what stands in for the address
        for role, sources in plan.items():
            self._choose(role, [source for source in sources if source.path in values])
        if Role.QUERY in self._places.values():
            raise _NoShapeError
        if Role.REQUEST in self._places.values():
            for path, role in list(self._places.items()):
                if role in _OF_REQUEST and role is not Role.REQUEST:
                    del self._places[path]
        roles = set(self._places.values())
        if Role.PATH in roles and Role.TARGET not in roles:  # decoded: not all of it is sent so
            raise _NoShapeError

    def _choose(self, role: Role, present: Sequence[Source]) -> None:
        if not present or role is Role.HANDLED:
            return
        at = self._status_among(present) if role is Role.STATUS else 0
        chosen = present[at]
        self._fixed.update(source.path for source in present[:at])
        if role is Role.REAL_IP and self._places.get(chosen.path) is Role.ADDRESS:
            self._is_shared = True
            return
        if not chosen.alone or chosen.path in self._places:
            raise _NoShapeError
        self._places[chosen.path] = role
        if len(present) > 1:
            self._values[chosen.path] = (*self._values[chosen.path][:2], True)

    def _status_among(self, present: Sequence[Source]) -> int:
        """Tell which of several values is a status; those before it have to stay what they are."""
        texts = [self._line[slice(*self._values[source.path][:2])] for source in present]
        return next((at for at, text in enumerate(texts) if is_status(text.strip(b'"'))), 0)

    def reader(self, roles: Sequence[Role]) -> Shape:
        """Give the function for a line."""
        pattern = b"".join(
            re.escape(text) + self._plain(path, value, filled)
            for text, path, value, filled in self._texts()
        )
        match = re.compile(pattern + rb"\r?()").fullmatch
        read = self._read(roles)
        return lambda line: None if (found := match(line)) is None else read(found)

    def pieces(self, time: Reach) -> list[Piece]:
        """Give texts and values in the line's order; ``time`` is how its time is written."""
        pieces: list[Piece] = []
        for text, path, value, filled in self._texts():
            pieces.append(text)
            piece = self._piece(path, value, filled, time)
            if isinstance(piece, bytes):
                pieces[-1] = text + piece
            elif value[:1] == b'"':
                pieces[-1:] = [text + b'"', piece, b'"']
            else:
                pieces.append(piece)
        return pieces

    def _read(self, roles: Sequence[Role]) -> Read:
        """Give what takes the columns out of a match, whose last group is empty."""
        groups = self._groups
        nothing = len(groups) + 1
        if self._is_shared:
            groups[Role.REAL_IP] = groups[Role.ADDRESS]
        columns_of = methodcaller("group", *(groups.get(role, nothing) for role in roles))
        if Role.REQUEST in groups:
            return columns_of
        target = groups.get(Role.TARGET) or groups.get(Role.PATH)
        if target is None or Role.METHOD not in groups or Role.PROTOCOL not in groups:
            raise _NoShapeError
        parts_of = methodcaller("group", groups[Role.METHOD], target, groups[Role.PROTOCOL])
        at = roles.index(Role.REQUEST)

        def read(match: re.Match[bytes]) -> Columns:
            columns = columns_of(match)
            return (*columns[:at], b"%b %b %b" % parts_of(match), *columns[at + 1 :])

        return read

    def _texts(self) -> Iterator[tuple[bytes, Path, bytes, bool]]:
        """Give the line as texts, each with the value behind it; the last value is none."""
        at = 0
        for path, (start, end, filled) in self._values.items():
            yield self._line[at:start], path, self._line[start:end], filled
            at = end
        yield self._line[at:], (), b"", False

    def _plain(self, path: Path, text: bytes, filled: bool) -> bytes:  # noqa: FBT001 - of a piece
        """Match a value, and capture it where it has a role."""
        role = self._places.get(path)
        if not text:
            return b""
        if self._stays(path):
            return re.escape(text)
        if role is None:
            return self._any(text)
        if text == b"null" and not filled:
            return text
        self._groups[role] = len(self._groups) + 1
        return self._group(role, text, filled=filled)

    def _stays(self, path: Path) -> bool:
        return path[0] in self._literal or path in self._fixed

    def _group(self, role: Role, text: bytes, *, filled: bool) -> bytes:
        if role is Role.STATUS and filled:  # another may stand in for one that is none
            return rb'"([0-9]{3})"' if text[:1] == b'"' else rb"([1-9][0-9]{2})"
        if text[:1] == b'"':
            if role is Role.PROTOCOL:
                return rb'"(HTTP/[0-9](?:\.[0-9]{1,2}|))"'
            return b'"' + (_FILLED if filled or role in _NEEDED else b"") + b"(" + _TEXT + b')"'
        if text[:1].isdigit() and role in {Role.TIME, Role.STATUS}:
            return b"(" + (_MOMENT if role is Role.TIME else _WHOLE) + b")"
        raise _NoShapeError

    def _piece(self, path: Path, text: bytes, filled: bool, time: Reach) -> Piece:  # noqa: FBT001 - of a piece
        """Describe a value, or give it where it has to stay as it is."""
        role = self._places.get(path)
        if not text or self._stays(path) or (text == b"null" and role and not filled):
            return text
        quoted = text[:1] == b'"'
        if role is None and not quoted:
            return Value(Reach.KEYWORD if text.isalpha() else Reach.NUMBER)
        if role is Role.TIME and quoted is (time in {Reach.LOCAL, Reach.ISO}):
            return Value(time, role, alike(time, text.strip(b'"')))
        if role is Role.STATUS and (quoted or text.isdigit()):
            return Value(Reach.DIGITS, role, filled=not quoted)
        if not quoted or role is Role.TIME:
            raise _NoShapeError
        return Value(Reach.QUOTED, role or Role.NONE, filled=filled or role in _FILLED_ROLES)

    def _any(self, text: bytes) -> bytes:
        if text[:1] == b'"':
            return b'"' + _TEXT + b'"'
        return b"(?:true|false|null)" if text.isalpha() else _NUMBER


def _values(line: bytes) -> dict[Path, tuple[int, int, bool]]:
    """Find the values of an object that are no containers: their start, their end, False."""
    if len(line) > _LONGEST:
        raise _NoShapeError
    found: dict[Path, tuple[int, int, bool]] = {}
    path: list[str | int] = []
    at, is_key = 0, False
    while at < len(line):
        token = _TOKEN.match(line, at)
        if token is None or len(found) > _MOST:
            raise _NoShapeError
        at = token.end()
        mark, text = token[1], token[2]
        if mark in (b"{", b"["):
            path.append("" if mark == b"{" else 0)
            is_key = mark == b"{"
        elif mark in (b"}", b"]"):
            path.pop()
        elif mark == b",":
            last = path[-1]
            is_key = isinstance(last, str)
            if isinstance(last, int):
                path[-1] = last + 1
        elif mark == b":":
            is_key = False
        elif is_key and text is not None:
            path[-1] = text[1:-1].decode("ascii")
        else:
            start, end = token.span(token.lastindex or 0)
            found[tuple(path)] = (start, end, False)
    return found
