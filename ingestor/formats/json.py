"""JSON access logs: nginx with ``escape=json``, Caddy, Traefik, and others by their keys' names.

A line's object is read by the paths at which the definition has variables. A role may stand at
several paths: the first that is filled counts.
"""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from ingestor.errors import FormatError
from ingestor.formats.clocks import clock_named
from ingestor.formats.compiler import TextFormat
from ingestor.formats.extractor import Extract, Source, extractor, is_status
from ingestor.formats.fields import Role
from ingestor.formats.format import END, Extent, Format
from ingestor.formats.hits import builder, encoded_path, hit_fields, time_reader
from ingestor.formats.json_sources import sources_of, template
from ingestor.formats.json_values import (
    NotJson,
    Unreadable,
    is_text,
    keys_in_objects,
    numbers_in_quotes,
    strictly,
    trouble_of,
    value_of,
)
from ingestor.formats.layouts import layout_of
from ingestor.formats.nginx import nginx_parts
from ingestor.formats.shapes import pieces_like, shape_of
from ingestor.model import Hit, Malformed, Reason

if TYPE_CHECKING:
    from datetime import tzinfo

    from ingestor.formats.hits import Columns
    from ingestor.formats.layouts import Layout
    from ingestor.formats.shapes import Shape

_REQUEST = (Role.REQUEST, Role.METHOD, Role.TARGET, Role.PATH, Role.QUERY, Role.PROTOCOL)
_NEEDED = (Role.TIME, Role.ADDRESS, Role.REQUEST, Role.STATUS)
_COLUMNS = (
    Role.ADDRESS,
    Role.TIME,
    Role.REQUEST,
    Role.STATUS,
    Role.HOST,
    Role.REFERRER,
    Role.USER_AGENT,
    Role.FORWARDED_FOR,
    Role.ACCEPT_LANGUAGE,
    Role.PURPOSE,
    Role.SCHEME,
    Role.FETCH_DEST,
    Role.FETCH_MODE,
    Role.REQUESTED_WITH,
    Role.ACCEPT,
    Role.REAL_IP,
)

_HANDLED = ("handled request", "NOP")  # Caddy's notes on requests, the second if nobody answered
_NO_OTHER = (None, *_HANDLED)
_KEPT = 256  # readers, each for one set of keys
_SHAPES = 4  # shapes of lines that are looked for first
_TRIED = 64  # lines without a shape, one after the other, until fewer are looked at
_PATIENCE = 4096  # lines of other shapes until one of them takes a place
_SEEN = 4096  # orders of keys that are remembered


class JsonFormat(Format):
    """A format of one JSON object a line."""

    def __init__(
        self,
        definition: str,
        *,
        name: str,
        zone: tzinfo | None = None,
        escaped_text: bool = False,
        hyphens: bool = False,
    ) -> None:
        """Compile a definition; raises FormatError where it tells too little.

        ``escaped_text``: lines that are no JSON, for nginx puts in raw values where the
        definition has no quotes, are read by the definition as text. ``hyphens``: where a
        variable has no value, nginx wrote one, as it does without ``escape=json``.
        """
        self.name, self.definition = name, definition
        sources = sources_of(template(definition), hyphens=hyphens)
        found = {role for role, _ in sources}
        _require(found, definition)
        self._roles = [role for role in _COLUMNS if role in found or (role is Role.REQUEST)]
        self._plan = {
            role: [source for each, source in sources if each is role]
            for role in (*self._roles, *_REQUEST)
        }
        self._notes = [str(source.path[0]) for role, source in sources if role is Role.HANDLED]
        self._known = {source.path[0] for role, source in sources if role is not Role.HANDLED}
        self._by_known: dict[frozenset[str | int], Extract] = {}
        self._extractors: dict[tuple[str, ...], Extract] = {}
        self._shapes: list[Shape] = []
        self._misses = 0
        self._shapeless = 0
        self.columns = MappingProxyType({role.value: at for at, role in enumerate(self._roles)})
        self.fields = hit_fields(self.columns)
        if Role.REQUEST not in found:  # in parts, and these may be missing
            self.fields -= {"method", "protocol"} - {role.value for role in found}
        self.is_plain = True
        clock = clock_named("any", zone)
        self._build = builder(self.columns, clock, escaped=False)
        self._time_of = time_reader(self.columns, clock)
        self._zone, self._escaped_text = zone, escaped_text

    @cached_property
    def _text(self) -> TextFormat | None:
        """The definition as text; None where it cannot be read so, or never has to be."""
        if not self._escaped_text:
            return None
        parts = nginx_parts(self.definition)
        try:
            return TextFormat(self.definition, parts, name=self.name, zone=self._zone)
        except FormatError:
            return None

    def parse(self, line: bytes, latest: int) -> Hit | Malformed | Reason:
        """Read one line; keys that stand twice, wrong types and broken JSON are malformed."""
        try:
            values = strictly(line)
            if self._notes and self._is_the_servers_own(values):
                return Reason.DIRECTIVE
            columns = self._columns_of(values)
        except NotJson:
            text = self._text if b"{" in line else None
            verdict = Malformed.NO_MATCH if text is None else text.parse(line, latest)
            return Malformed.JSON if verdict is Malformed.NO_MATCH else verdict
        except Unreadable:
            return Malformed.JSON
        return Malformed.NO_MATCH if columns is None else self._build(columns, latest)

    def match(self, line: bytes) -> Columns | None:
        """Give the columns of a line that is JSON."""
        try:
            return self._columns_of(strictly(line))
        except (NotJson, Unreadable):
            return None

    def split(self, line: bytes) -> Columns | None:
        """Read the columns of a line that is plain JSON."""
        for shape in self._shapes:
            columns = shape(line)
            if columns is not None:
                return columns
        read = self._split(line)
        if read is not None:
            self._learn(line, read)
            return read
        mended = numbers_in_quotes(line)
        return None if mended == line else self._split(mended)

    def _learn(self, line: bytes, columns: Columns) -> None:
        """Let a line tell the shape of those that follow, if there is room or it is time."""
        self._misses += 1
        settled = len(self._shapes) >= _SHAPES or self._shapeless >= _TRIED
        if settled and self._misses % _PATIENCE:
            return
        shape = self._shape_of(line, columns)
        if shape is None:
            self._shapeless += 1
            return
        self._shapeless = 0
        del self._shapes[_SHAPES - 1 :]
        self._shapes.append(shape)

    def _shape_of(self, line: bytes, columns: Columns) -> Shape | None:
        """Make the reader for lines like this one, if it reads its own columns likewise."""
        shape = shape_of(line, self._plain_plan(), self._roles, self._notes)
        again = None if shape is None else shape(line)
        if again is None:
            return None
        # The time's digits may be others where it is a number; its clock reads both alike.
        alike = {self.columns[Role.TIME]} | {at for at, each in enumerate(again) if each == b"-"}
        same = all(again[at] == columns[at] for at in range(len(columns)) if at not in alike)
        return shape if same else None

    def layout(self, line: bytes) -> Layout | None:
        """Describe lines of this line's shape."""
        columns = self._split(line)
        if columns is None or self._shape_of(line, columns) is None:
            return None
        time = columns[self.columns[Role.TIME]]
        pieces = pieces_like(line, self._plain_plan(), self._notes, time)
        needed = {Role.ADDRESS, Role.STATUS}.intersection(self._roles)
        return None if pieces is None else layout_of(pieces, needed, printable=True)

    def _plain_plan(self) -> dict[Role, list[Source]]:
        return {role: [source.plain for source in plan] for role, plan in self._plan.items()}

    def _split(self, line: bytes) -> Columns | None:
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        if type(values) is not dict:
            return None
        for key in self._notes:
            if values.get(key) not in _NO_OTHER:
                return None
        if b" :" in line or b"\t:" in line or b"\r:" in line:
            return None  # a key may stand before it that the count below misses
        count = line.count(b'":')
        if count != len(values) and count != keys_in_objects(values):
            return None
        extract = self._extractors.get(tuple(values)) or self._extractor(values)
        return None if extract is None else extract(values)

    def _extractor(self, values: dict[str, object]) -> Extract | None:
        """Give the reader for an object's keys; None where too many sets were seen."""
        present = frozenset(values.keys() & self._known)
        extract = self._by_known.get(present)
        if extract is None:
            if len(self._by_known) >= _KEPT:
                return None
            sources = {
                role: [source.plain for source in plan if source.path[0] in present]
                for role, plan in self._plan.items()
            }
            extract = self._by_known[present] = extractor(sources, self._roles)
        if len(self._extractors) < _SEEN:
            self._extractors[tuple(values)] = extract
        return extract

    def hit(self, columns: Columns, latest: int) -> Hit | Malformed:
        """Make a hit of columns."""
        return self._build(columns, latest)

    def time_of(self, columns: Columns) -> int | None:
        """Read the time of columns."""
        return self._time_of(columns)

    def extent(self, line: bytes) -> Extent:
        """Tell whether the line is JSON at all; JSON is not read by columns."""
        try:
            values = strictly(line)
        except Unreadable:
            column, expected = trouble_of(line)
            named = [role for role in _NEEDED if column and self._names(role, line)]
            return Extent(column, expected, missing=len(_NEEDED) - len(named) if column else 0)
        try:
            request = self._request(values)
            missing = [
                role.value
                for role in _NEEDED
                if role in self._roles
                if not (request if role is Role.REQUEST else self._find(values, role))
            ]
        except Unreadable:
            expected = "text and numbers where other values stand"
            return Extent(len(line), expected, missing=len(Role))
        expected = f"a key for {', '.join(missing)}" if missing else END
        return Extent(len(line), expected, missing=len(missing))

    def _names(self, role: Role, line: bytes) -> bool:
        """Tell whether a key of a role, or of a request's parts, seems to stand in a line."""
        roles = _REQUEST if role is Role.REQUEST else (role,)
        keys = {source.path[-1] for each in roles for source in self._plan.get(each, ())}
        return any(f'"{key}"'.encode() in line for key in keys)

    # ── one line ──────────────────────────────────────────────────────────────────────────────

    def _is_the_servers_own(self, values: dict[str, object]) -> bool:
        """Tell whether the server speaks of itself: certificates, upstreams, its start.

        Where it logs what it does to the requests (``upstream roundtrip``), each would count
        twice. Lines of others that may have a status are left alone.
        """
        notes = [values.get(key) for key in self._notes]
        said = any(isinstance(note, str) and note and note not in _HANDLED for note in notes)
        alike = "logger" in values or "status" not in values
        return said and alike and bool(self._find(values, Role.TIME))

    def _columns_of(self, values: dict[str, object]) -> list[bytes] | None:
        """Give the columns of an object; None where it is no request at all."""
        request = self._request(values)
        if not request and not self._tells_of_no_request(values):
            return None
        return [
            request if role is Role.REQUEST else self._find(values, role) for role in self._roles
        ]

    def _tells_of_no_request(self, values: dict[str, object]) -> bool:
        """Tell whether a server found nothing to read, and says so in an access log's line.

        What else is JSON has no such key, or neither an address nor a status beside it.
        """
        named = any(
            is_text(values, source.path)
            for role in (Role.REQUEST, Role.TARGET, Role.PATH)
            for source in self._plan[role]
        )
        return named and all(
            any(self._find(values, role) for role in known)
            for roles in ((Role.TIME,), (Role.ADDRESS, Role.FORWARDED_FOR), (Role.STATUS,))
            if (known := [role for role in roles if role in self._plan])
        )

    def _status(self, values: dict[str, object]) -> bytes:
        """Give the first of several values that is a status code, for ``status`` may say "OK".

        Where none is one, the first that is filled, or wrong.
        """
        first: bytes | Unreadable = b""
        for source in self._plan[Role.STATUS]:
            try:
                value = value_of(values, source)
            except Unreadable as error:
                first = first or error
                continue
            if is_status(value):
                return value
            first = first or value
        if isinstance(first, Unreadable):
            raise first
        return first

    def _request(self, values: dict[str, object]) -> bytes:
        """Give the request line, put together where it is logged in parts."""
        whole = self._find(values, Role.REQUEST)
        is_path = whole[:1] == b"/" and bool(self._find(values, Role.METHOD))
        if whole and not is_path:
            return whole
        target, has_query = whole, False  # a widespread LogFormat calls %U so
        for source in () if target else self._plan[Role.TARGET]:
            target, has_query = value_of(values, source), source.whole
            if source.hyphen and b"?" not in target:
                target = target.removesuffix(b"-")
            if target:
                break
        if not target:
            target, has_query = encoded_path(self._find(values, Role.PATH)), False
        if not target:
            return b""
        query = b"" if has_query else self._find(values, Role.QUERY)
        if query and query != b"-" and b"?" not in target:
            target += query if query[:1] == b"?" else b"?" + query
        method = self._find(values, Role.METHOD) or b"GET"
        protocol = self._find(values, Role.PROTOCOL)
        if protocol[:5] == b"HTTP/":
            return method + b" " + target + b" " + protocol
        return method + b" " + target.replace(b" ", b"%20")  # decoded; nothing else ends it

    def _find(self, values: dict[str, object], role: Role) -> bytes:
        if role is Role.STATUS:
            return self._status(values)
        found = (value_of(values, source) for source in self._plan[role])
        return next(filter(None, found), b"")


# ── the definition ────────────────────────────────────────────────────────────────────────────


def _require(found: set[Role], definition: str) -> None:
    needs = {
        "the time": Role.TIME in found,
        "the client's address": bool({Role.ADDRESS, Role.FORWARDED_FOR} & found),
        "the request": bool({Role.REQUEST, Role.TARGET, Role.PATH} & found),
    }
    missing = [what for what, present in needs.items() if not present]
    if missing:
        raise FormatError(f"no key tells {' or '.join(missing)} in {definition!r}")
