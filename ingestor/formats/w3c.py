"""W3C extended logs: IIS, CloudFront and others. The file's ``#Fields:`` line is the definition.

Sources: W3C working draft WD-logfile-960323; the IIS documentation ("W3C Logging"); the CloudFront
developer guide ("Standard logging reference"). Times are UTC by that specification.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.formats.clocks import clock_named
from ingestor.formats.compiler import named_fields, with_address
from ingestor.formats.fields import (
    METHOD,
    PATH,
    PROTOCOL,
    QUERY,
    STATUS,
    TARGET,
    UNNAMED,
    Decoding,
    Field,
    Meaning,
    Role,
    Shape,
    address,
    header,
    host,
    moment,
)
from ingestor.formats.format import Extent, Format
from ingestor.formats.hits import Build, builder, hit_fields, time_reader
from ingestor.model import Hit, Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from ingestor.formats.hits import Columns

DIRECTIVE = b"#"
_KEPT = 16  # layouts remembered of one file
_MOST = 200  # columns; of IIS and CloudFront there are some thirty, and compiling takes its time
_FIELDS = re.compile(rb"#\s*Fields:\s*(.*?)\s*", re.IGNORECASE | re.DOTALL)
_OF_IIS = {"sc-substatus", "sc-win32-status", "s-sitename", "s-computername"}
_HEADER = re.compile(r"cs\((.+)\)", re.IGNORECASE)
# A quoted value, or whatever is none: the two exclude each other.
_QUOTED = rb'"[^"]*+(?:""[^"]*+)*"(?=%b|\Z)'
_WORD = rb"(" + _QUOTED + rb"|(?!" + _QUOTED + rb")[^%b]*+)"

_MEANINGS: dict[str, Meaning] = {
    "c-ip": address(0),
    "x-client-ip": address(1),
    "date": moment("strftime:%Y-%m-%d"),
    "time": moment("strftime:%H:%M:%S"),
    "timestamp": moment("epoch", 1),
    "date-local": moment("strftime:%Y-%m-%d", 5),  # IIS Advanced Logging
    "time-local": moment("strftime:%H:%M:%S", 5),
    "cs-method": METHOD,
    "cs-uri": TARGET,
    "cs-uri-stem": PATH,
    "cs-uri-query": QUERY,
    "cs-version": PROTOCOL,
    "cs-protocol-version": PROTOCOL,
    "sc-status": STATUS,
    "cs-host": host(1),
    "x-host-header": host(0),  # CloudFront: what the visitor asked for
    "cs(host)": host(2),  # … and this is the distribution
    "s-dns": host(3),
    "cs-protocol": Meaning(Role.SCHEME, 0),
    "x-forwarded-for": Meaning(Role.FORWARDED_FOR, 1, Shape.TEXT),
}


class _Layout:
    """What one ``#Fields:`` line says; ``zone`` is where times that are called local were."""

    def __init__(self, definition: str, zone: tzinfo | None) -> None:
        names = definition.split()
        if len(names) > _MOST:
            raise FormatError(f"#Fields: names {len(names)} columns, and {_MOST} is the most")
        percent = any(name.startswith("x-edge-") for name in names)
        plus = any(name.lower() in _OF_IIS for name in names)
        parts = [_field(name, at, percent=percent, plus=plus) for at, name in enumerate(names)]
        captured = named_fields(with_address(parts), definition)
        self.names = names
        self.indexes = [field.place for field in captured]
        self.columns: Mapping[str, int] = MappingProxyType(
            {_column(field): at for at, field in enumerate(captured)}
        )
        times = [field for field in captured if field.meaning.role is Role.TIME]
        if not any(field.text.lower().endswith("-local") for field in times):
            zone = UTC
        elif zone is None:
            raise FormatError(
                f"{times[0].text} names no time zone: set `timezone`, for example Europe/Berlin"
            )
        kinds = [field.meaning.clock for field in times]
        kind = kinds[0]
        if len(kinds) > 1:
            kind = "strftime:" + "\0".join(each.removeprefix("strftime:") for each in kinds)
        clock = clock_named(kind, zone)
        self.time_of = time_reader(self.columns, clock)
        self.build: Build = builder(
            self.columns,
            clock,
            escaped=False,
            decodings={field.meaning.role: field.meaning.decoding for field in captured},
        )
        self._patterns: dict[bytes, re.Pattern[bytes]] = {}  # by separator

    def split(self, line: bytes) -> Columns | None:
        """Split a line without quotes; None where its number of words is another."""
        if b'"' in line:
            return None
        words = line.split(b"\t" if b"\t" in line else b" ")
        if len(words) != len(self.names):
            return None
        return [words[index] for index in self.indexes]

    def match(self, line: bytes) -> Columns | None:
        """Split any line; quoted words lose their quotes."""
        separator = b"\t" if b"\t" in line else b" "
        pattern = self._patterns.get(separator)
        if pattern is None:
            if line.count(separator) < len(self.names) - 1:
                return None
            pattern = self._patterns[separator] = self._compiled(separator)
        match = pattern.fullmatch(line)
        if match is None:
            return None
        words = match.groups()
        return [_unquoted(words[index]) for index in self.indexes]

    def _compiled(self, separator: bytes) -> re.Pattern[bytes]:
        word = _WORD.replace(b"%b", separator)
        return re.compile(re.escape(separator).join(word for _ in self.names), re.DOTALL)


@lru_cache(maxsize=64)
def _layout_of(definition: str, zone: tzinfo | None) -> _Layout:
    """Give a layout, made once for all files: their headers are alike. Raises FormatError."""
    return _Layout(definition, zone)


def _field(name: str, at: int, *, percent: bool, plus: bool) -> Field:
    lower = name.lower()
    meaning = _MEANINGS.get(lower)
    if meaning is None:
        named = _HEADER.fullmatch(lower)
        meaning = header(named[1]) if named else UNNAMED
    if meaning.role in {Role.USER_AGENT, Role.REFERRER, Role.ACCEPT_LANGUAGE, Role.FORWARDED_FOR}:
        decoding = Decoding.PERCENT if percent else Decoding.PLUS
        if meaning.role in {Role.USER_AGENT, Role.FORWARDED_FOR} or percent:
            meaning = Meaning(meaning.role, meaning.rank, meaning.shape, decoding=decoding)
    if meaning.role is Role.PATH and (plus or percent):
        meaning = replace(meaning, decoding=Decoding.PERCENT if percent else Decoding.PLUS)
    return Field(name, at, meaning)


def _column(field: Field) -> str:
    """Name a column; a date is ``time``, the hour that goes with it ``time_`` and its place."""
    clock = field.meaning.clock
    if not clock.startswith("strftime:"):
        return field.meaning.role.value
    return "time" if "%Y" in clock else f"time_{field.place}"


def _unquoted(word: bytes) -> bytes:
    if word[:1] == b'"' and word[-1:] == b'"' and len(word) > 1:
        return word[1:-1].replace(b'""', b'"')
    return word


class W3cFormat(Format):
    """A W3C log: its own ``#Fields:`` lines decide, at the start and wherever they stand.

    Until one is met, the preset's fields count. It learns, so it belongs to one file:
    ``for_file`` gives a fresh one. ``columns`` never change; after a differing ``#Fields:``
    line ``split`` gives None, and ``parse`` does the work.
    """

    def __init__(self, definition: str, *, name: str, zone: tzinfo | None = None) -> None:
        """Begin with a definition: ``#Fields: date time c-ip …``.

        ``zone`` is where IIS' ``date-local`` and ``time-local`` were written.
        """
        self.name, self.definition, self._zone = name, definition, zone
        names = fields_of(definition.encode())
        if not names:
            raise FormatError(f"no field stands in {definition!r}")
        self._begin(_layout_of(names, zone))

    def _begin(self, layout: _Layout) -> None:
        self._first = self._layout = layout
        self._known = {" ".join(layout.names): layout}
        self.columns = layout.columns
        self.fields = hit_fields(layout.columns)
        self._broken = ""
        self._met = 1  # layouts known from the file's headers

    def parse(self, line: bytes, latest: int) -> Hit | Malformed | Reason:
        """Read a line; a ``#`` line is a directive and may change the fields."""
        line = line.removesuffix(b"\r")
        if line[:1] == DIRECTIVE:
            self._learn(line)
            return Reason.DIRECTIVE
        if self._broken:
            return Malformed.NO_MATCH
        columns = self._layout.match(line)
        if columns is not None:
            return self._layout.build(columns, latest)
        # Reading may have begun behind a header that changed the fields.
        for layout in self._known.values():
            columns = layout.match(line)
            hit = Malformed.NO_MATCH if columns is None else layout.build(columns, latest)
            if isinstance(hit, Hit):
                self._layout = layout
                return hit
        return Malformed.NO_MATCH

    @property
    def trouble(self) -> str:
        """Why the fields that the file named last cannot be read by; empty where they can."""
        return self._broken

    def _learn(self, line: bytes) -> None:
        names = fields_of(line)
        if names is None:
            return
        names = " ".join(names.split())
        if names == " ".join(self._layout.names):
            self._broken = ""
            return
        try:
            self._layout = self._known.get(names) or _layout_of(names, self._zone)
            self._broken = ""
            if len(self._known) < _KEPT:
                self._known.setdefault(names, self._layout)
        except FormatError as error:  # lines that tell no time or address: malformed, each
            self._broken = str(error)

    def split(self, line: bytes) -> Columns | None:
        """Split an ordinary line by the first fields."""
        if self._layout is not self._first or self._broken or line[:1] == DIRECTIVE:
            return None
        return self._layout.split(line.removesuffix(b"\r"))

    def hit(self, columns: Columns, latest: int) -> Hit | Malformed:
        """Make a hit of the first fields' columns."""
        return self._first.build(columns, latest)

    def time_of(self, columns: Columns) -> int | None:
        """Read the time of the first fields' columns."""
        return self._first.time_of(columns)

    @property
    def changed(self) -> bool:
        """Whether a ``#Fields:`` line has named other fields since."""
        return (
            self._layout is not self._first or bool(self._broken) or len(self._known) != self._met
        )

    def extent(self, line: bytes) -> Extent:
        """Tell whether a line has the right number of words; less is not worth telling."""
        names = self._layout.names
        count = len(line.split(b"\t" if b"\t" in line else b" "))
        length = len(line) if count == len(names) else 0
        return Extent(length, f"{len(names)} words: {names[0]} …")

    def for_file(self, head: Sequence[bytes]) -> Format:
        """Give a fresh format that has read this file's header."""
        fresh = W3cFormat(self.definition, name=self.name, zone=self._zone)
        headers = [line.removesuffix(b"\r") for line in head if line[:1] == DIRECTIVE]
        fresh._meet(headers)
        return fresh

    def _meet(self, headers: Sequence[bytes]) -> None:
        """Begin with the first fields that a file's headers name, and know the others."""
        for at, line in enumerate(line for line in headers if fields_of(line) is not None):
            self._learn(line)
            if at == 0 and not self._broken:
                self.name = _name_of(self._layout.names, headers)
                self._begin(self._layout)
        if not self._broken:
            self._layout = self._first
        self._met = len(self._known)


def _name_of(names: Sequence[str], headers: Sequence[bytes]) -> str:
    """Tell who wrote these headers."""
    if any(name.startswith("x-edge-") for name in names):
        return "cloudfront"
    return "iis" if any(b"Microsoft" in line for line in headers) else "w3c"


def fields_of(line: bytes) -> str | None:
    """Give the names in a ``#Fields:`` line, or None where it is none."""
    match = _FIELDS.fullmatch(line)
    return None if match is None else match[1].decode("ascii", "replace")
