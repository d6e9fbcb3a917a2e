"""A definition's parts become a format: a fast splitter and an exact matcher that always agree."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.formats.clocks import NO_ZONE, clock_named, needs_zone
from ingestor.formats.fields import (
    FREE_TEXT,
    QUERY,
    TARGET,
    UNNAMED,
    Decoding,
    Escape,
    Field,
    Literal,
    Meaning,
    Part,
    Role,
    Shape,
)
from ingestor.formats.format import END, Extent, Format
from ingestor.formats.hits import builder, hit_fields, time_reader
from ingestor.formats.layouts import text_layout
from ingestor.formats.matcher import Matcher, columns_of
from ingestor.formats.splitter import splitter
from ingestor.model import Hit, Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    from ingestor.formats.hits import Columns
    from ingestor.formats.layouts import Layout


class TextFormat(Format):
    """A format of fixed text and fields: nginx, Apache, and all that write likewise."""

    def __init__(
        self,
        definition: str,
        parts: Sequence[Part],
        *,
        name: str,
        escape: Escape = Escape.DEFAULT,
        zone: tzinfo | None = None,
    ) -> None:
        """Compile; raises FormatError where a line could not be read with certainty.

        ``zone`` is where times without one were written; without it such formats are refused.
        """
        parts = with_address(merged(parts))
        captured = named_fields(parts, definition)
        columns = _columns(captured)
        clock = clock_named(_clock_kind(captured, zone), zone)
        escaped = self._escaped = escape is not Escape.NONE
        self.name, self.definition = name, definition
        self.columns = MappingProxyType(columns)
        self.fields = hit_fields(columns)
        self._matcher = Matcher(parts, escape)
        # Compiled for the first line that may fit: dozens are asked which of them a file has.
        self._fullmatch: Callable[[bytes], re.Match[bytes] | None] | None = None
        self._columns_of: Callable[[re.Match[bytes]], Columns] = re.Match.groups
        self._literals = [part.text for part in parts if isinstance(part, Literal)]
        self._build = builder(
            columns,
            clock,
            escaped=escaped,
            decodings={
                field.meaning.role: field.meaning.decoding
                for field in captured
                if field.meaning.decoding is not Decoding.NONE
                and (field.meaning.decoding is not Decoding.HYPHEN or escape is Escape.DEFAULT)
            },
            decoded_path=True,  # $uri and %U are
            always_address=not any(map(_is_sent_address, captured)),
        )
        # Bound straight to the instance: the hot loop saves a call a line.
        vars(self)["hit"] = self._build
        self._time_of = vars(self)["time_of"] = time_reader(columns, clock)
        fast = None if self._matcher.counts else splitter(parts, captured, escaped=escaped)
        self.parts, self.captured = tuple(parts), tuple(captured)
        self._of_haproxy = any(field.meaning.decoding is Decoding.HASH for field in captured)
        purposes = sum(map(_tells_purpose, captured))
        self.is_plain = purposes < 2 and all(  # noqa: PLR2004 - "several"
            field.meaning.decoding is Decoding.NONE for field in captured
        )
        self.is_simple = fast is not None  # ordinary lines can be split
        if fast is not None:
            vars(self)["split"] = fast

    @property
    def likeness(self) -> object:
        """Be equal for two formats that read every line alike."""
        return self._matcher.expression(()), tuple(self.columns.items())

    def match(self, line: bytes) -> Columns | None:
        """Give the raw columns of a line, by the exact matcher."""
        line = line[:-1] if line[-1:] == b"\r" else line
        fullmatch = self._fullmatch or self._compiled(line)
        found = None if fullmatch is None else fullmatch(line)
        return None if found is None else self._columns_of(found)

    def _compiled(self, line: bytes) -> Callable[[bytes], re.Match[bytes] | None] | None:
        """Compile the expression; None, and nothing is done, where this line cannot fit it."""
        if not _stand_in(line, self._literals):
            return None
        pattern = self._matcher.compile(self.captured)
        self._columns_of, self._fullmatch = columns_of(pattern), pattern.fullmatch
        return self._fullmatch

    def parse(self, line: bytes, latest: int) -> Hit | Malformed | Reason:
        """Read one line exactly."""
        columns = self.match(line)
        if columns is not None:
            return self._build(columns, latest)
        return Malformed.REQUEST if self._lacks_captures(line) else Malformed.NO_MATCH

    def _lacks_captures(self, line: bytes) -> bool:
        """Tell whether HAProxy found no request: then it writes none of the headers either."""
        return self._of_haproxy and b'"<BADREQ>"' in line

    def split(self, line: bytes) -> Columns | None:
        """Give the raw columns by the matcher, where no splitter could be made; None: escapes."""
        return None if self._escaped and b"\\" in line else self.match(line)

    def hit(self, columns: Columns, latest: int) -> Hit | Malformed:
        """Make a hit of columns."""
        return self._build(columns, latest)

    def time_of(self, columns: Columns) -> int | None:
        """Read the time of columns."""
        return self._time_of(columns)

    def layout(self, line: bytes) -> Layout | None:
        """Describe ordinary lines of the month and zone of this one."""
        columns = self.split(line) if self.is_simple and self.is_plain else None
        if columns is None:
            return None
        return text_layout(self.parts, self.captured, columns[self.columns[Role.TIME]])

    def extent(self, line: bytes) -> Extent:
        """Tell how much of a line is explained, and what was expected there."""
        end, part = self._matcher.reach(line.removesuffix(b"\r"))
        if part is None:
            return Extent(end, END)
        return Extent(end, part.text if isinstance(part, Field) else repr(part.text.decode()))


def _stand_in(line: bytes, literals: Sequence[bytes]) -> bool:
    """Tell whether a line has these texts one behind the other, as it must to be matched."""
    end = 0
    for text in literals:
        at = line.find(text, end)
        if at < 0:
            return False
        end = at + len(text)
    return True


def merged(parts: Sequence[Part]) -> list[Part]:
    """Join what stands side by side: texts, unnamed fields, and a path with its query."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Literal):
            if not part.text:
                continue
            if isinstance(last, Literal):
                joined[-1] = Literal(last.text + part.text, last.place)
                continue
        elif isinstance(last, Field):
            both = _together(last.meaning, part.meaning)
            if both is not None:
                joined[-1] = Field(last.text + part.text, last.place, both)
                continue
        joined.append(part)
    return joined


def _together(first: Meaning, second: Meaning) -> Meaning | None:
    """Give what two fields without anything between them tell together, or None."""
    if first.role in {Role.PATH, Role.TARGET} and second.role is Role.QUERY:
        return replace(TARGET, decoding=second.decoding or first.decoding)
    if first.role is second.role is Role.QUERY:
        return QUERY
    if first.role is second.role is Role.NONE and Shape.TRAILING not in {
        first.shape,
        second.shape,
    }:
        return UNNAMED if first.shape is second.shape is Shape.TOKEN else FREE_TEXT
    return None


def with_address(parts: Sequence[Part]) -> list[Part]:
    """Let a proxy's word for the client's address stand in where nothing else tells one."""
    roles = {part.meaning.role for part in parts if isinstance(part, Field)}
    if Role.ADDRESS in roles:
        return list(parts)
    return [
        replace(part, meaning=replace(part.meaning, role=Role.ADDRESS))
        if isinstance(part, Field) and part.meaning.role is Role.REAL_IP
        else part
        for part in parts
    ]


def named_fields(parts: Sequence[Part], definition: str) -> list[Field]:
    """Choose the fields that tell something: of each role the variable that tells it best.

    Of the headers that tell a prefetch all: each browser has its own. Raises FormatError where
    the definition tells no time, no address or no target.
    """
    best: dict[Role, Field] = {}
    for part in parts:
        if isinstance(part, Field) and part.meaning.role is not Role.NONE:
            present = best.get(part.meaning.role)
            if present is None or part.meaning.rank < present.meaning.rank:
                best[part.meaning.role] = part
    if Role.REQUEST in best:
        for role in (Role.METHOD, Role.TARGET, Role.PATH, Role.QUERY, Role.PROTOCOL):
            best.pop(role, None)
    if Role.TARGET in best:
        best.pop(Role.PATH, None)
    target = best.get(Role.TARGET) or best.get(Role.PATH)
    if target is None or target.meaning.has_query:
        best.pop(Role.QUERY, None)
    _require(best, definition)
    times = [best[Role.TIME]]
    if times[0].meaning.clock.startswith("strftime:"):  # date and time may stand apart
        times = _pieces(parts, times[0].meaning.rank)
    chosen = {id(field) for field in (*best.values(), *times)}
    chosen |= {id(part) for part in parts if _tells_purpose(part)}
    return [part for part in parts if isinstance(part, Field) and id(part) in chosen]


def _tells_purpose(part: Part) -> bool:
    return isinstance(part, Field) and part.meaning.role is Role.PURPOSE


def _is_sent_address(part: Part) -> bool:
    """Whether a part is a header with an address in it, which not every request has."""
    return isinstance(part, Field) and part.meaning.role is Role.ADDRESS and part.meaning.sent


def _require(best: dict[Role, Field], definition: str) -> None:
    needs = {
        "the time": Role.TIME in best,
        "the client's address": Role.ADDRESS in best or Role.FORWARDED_FOR in best,
        "the request": bool({Role.REQUEST, Role.TARGET, Role.PATH} & set(best)),
    }
    missing = [what for what, present in needs.items() if not present]
    if missing:
        raise FormatError(f"no field tells {' or '.join(missing)} in {definition!r}")


def _pieces(parts: Sequence[Part], rank: int) -> list[Field]:
    """Give the fields that tell the time together, the first of each text."""
    pieces: dict[str, Field] = {}
    for part in parts:
        if (
            isinstance(part, Field)
            and part.meaning.clock.startswith("strftime:")
            and part.meaning.rank == rank
        ):
            pieces.setdefault(part.meaning.clock, part)
    return list(pieces.values())


def _columns(captured: Sequence[Field]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for at, field in enumerate(captured):
        name = field.meaning.role.value
        columns[name if name not in columns else f"{name}_{at}"] = at
    return columns


def _clock_kind(captured: Sequence[Field], zone: tzinfo | None) -> str:
    """Name the clock for the time field, or for several that tell it together."""
    times = [field for field in captured if field.meaning.role is Role.TIME]
    kind = times[0].meaning.clock
    if len(times) > 1:
        texts = [field.meaning.clock.removeprefix("strftime:") for field in times]
        kind = "strftime:" + "\0".join(texts)
    if needs_zone(kind) and zone is None:
        raise FormatError(f"{times[0].text} {NO_ZONE}")
    return kind
