"""Columns become a hit: the one place that judges time, request and status.

*Columns* are the raw bytes of a line's fields, in the line's order; the fast splitter and the
exact matcher give the same columns for the same line, so both lead to the same hit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from ingestor.formats.clocks import EARLIEST, Clock
from ingestor.formats.escapes import (
    escaped_text,
    percent_signs,
    percent_text,
    percent_twice_text,
    plus_text,
    text,
    unescape,
    unhashed,
)
from ingestor.formats.fields import Decoding, Role
from ingestor.formats.request import RequestLine, is_method, is_target, request_line
from ingestor.model import Hit, Malformed

Columns = Sequence[bytes]
Build = Callable[[Columns, int], Hit | Malformed]
Decode = Callable[[bytes], str]

# A connection that was closed before an answer is logged as 0, 000 (nginx), - (Traefik) or -1
# (HAProxy).
_STATUSES = {f"{status:03d}".encode(): status for status in range(1000)}
_STATUSES |= dict.fromkeys((b"0", b"-", b"-1"), 0)
_SCHEMES = {
    "http": "http",
    "https": "https",
    "on": "https",  # nginx's $https
    "h2": "https",
    "grpcs": "https",
    "wss": "https",
    "ws": "http",
}

_OPTIONAL = (
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


def hit_fields(columns: Mapping[str, int]) -> frozenset[str]:
    """Name the fields of a hit that lines with these columns carry."""
    names = {"time"} | {role.value for role in (Role.STATUS, *_OPTIONAL) if role in columns}
    if Role.ADDRESS in columns or Role.FORWARDED_FOR in columns:
        names.add("address")
    if Role.REQUEST in columns:
        names |= {"method", "target", "protocol"}
    names |= {role.value for role in (Role.METHOD, Role.PROTOCOL) if role in columns}
    if Role.TARGET in columns or Role.PATH in columns:
        names.add("target")
    return frozenset(names)


def builder(
    columns: Mapping[str, int],
    clock: Clock,
    *,
    escaped: bool,
    decodings: Mapping[str, Decoding] | None = None,
    always_address: bool = True,
    decoded_path: bool = False,
) -> Build:
    """Give the function that makes a hit of columns.

    ``escaped``: the columns are as the server wrote them, escapes and all. The function takes
    the columns and the latest believable time (Unix seconds). It gives Malformed where the time
    is none or beyond 1995 … latest, the request is no HTTP request, or the status is none.
    A format without method or status gives GET and 200: its ``fields`` say so. ``always_address``:
    whoever wrote the address knew it for every request, as a server knows its peer.
    ``decoded_path``: the server decoded the column of that name.
    """
    plain = escaped_text if escaped else text
    raw = unescape if escaped else _as_is
    time_of = time_reader(columns, clock)
    of_target = [(decodings or {}).get(role, Decoding.NONE) for role in (Role.TARGET, Role.PATH)]
    request_of = _request_of(columns, raw, decoded=decoded_path, decodings=of_target)
    address_of = _address_of(columns, plain, always=always_address)
    status_at = columns.get(Role.STATUS)
    rest_of = _rest_of(columns, plain, decodings or {})

    def build(values: Columns, latest: int) -> Hit | Malformed:
        time = time_of(values)
        if time is None or not EARLIEST <= time <= latest:
            return Malformed.TIME
        request = request_of(values)
        if request is None:
            return Malformed.REQUEST
        status = 200 if status_at is None else _STATUSES.get(values[status_at])
        if status is None:
            return Malformed.STATUS
        address = address_of(values)
        if address is None:
            return Malformed.NO_MATCH
        return Hit(time, address, *request, status, *rest_of(values))

    hashed = [columns[role] for role, each in (decodings or {}).items() if each is Decoding.HASH]
    return _unhashing(build, hashed, _cut_of(columns, hashed)) if hashed else build


def _unhashing(build: Build, hashed: Collection[int], is_cut: Callable[[Columns], bool]) -> Build:
    """Let HAProxy's escapes be undone in these columns first."""

    def build_unhashed(values: Columns, latest: int) -> Hit | Malformed:
        if is_cut(values):
            return Malformed.REQUEST
        sent = [unhashed(value) if at in hashed else value for at, value in enumerate(values)]
        return build(sent, latest)

    return build_unhashed


def _cut_of(columns: Mapping[str, int], hashed: Collection[int]) -> Callable[[Columns], bool]:
    """Tell whether HAProxy cut a request, at 1,024 bytes by default: what is left ends nowhere.

    It knows the protocol of every other one, and takes the oldest for what it no longer sees.
    """
    request_at, protocol_at = columns.get(Role.REQUEST), columns.get(Role.PROTOCOL)
    if request_at is not None and request_at in hashed:
        return lambda values: b" HTTP/" not in values[request_at]
    if protocol_at is not None and protocol_at in hashed:
        return lambda values: values[protocol_at] == b"HTTP/0.9"
    return lambda _: False


def _as_is(value: bytes) -> bytes:
    return value


def time_reader(columns: Mapping[str, int], clock: Clock) -> Callable[[Columns], int | None]:
    """Read the time of columns in Unix seconds; None where it is none. No bounds are checked."""
    places = [at for name, at in columns.items() if name.startswith(Role.TIME)]
    if len(places) == 1:
        only = places[0]
        return lambda values: clock(values[only])
    return lambda values: clock(b"\0".join([values[at] for at in places]))


def _request_of(
    columns: Mapping[str, int],
    raw: Callable[[bytes], bytes],
    *,
    decoded: bool,
    decodings: Sequence[Decoding],
) -> Callable[[Columns], RequestLine | None]:
    if Role.REQUEST in columns:
        request_at = columns[Role.REQUEST]
        return lambda values: request_line(raw(values[request_at]))
    method_at, protocol_at = columns.get(Role.METHOD), columns.get(Role.PROTOCOL)
    target_at, query_at = columns.get(Role.TARGET), columns.get(Role.QUERY)
    if target_at is None:
        target_at = columns[Role.PATH]
    else:
        decoded = False
    undivided = Role.TARGET in columns  # perhaps: then it has its query
    percent = Decoding.PERCENT in decodings
    as_sent = _mender(decodings, decoded=decoded)

    def request_of(values: Columns) -> RequestLine | None:
        method = b"GET" if method_at is None else raw(values[method_at])
        target = as_sent(raw(values[target_at]))
        if query_at is not None:
            query = raw(values[query_at])
            if query not in {b"", b"-"} and not (undivided and b"?" in target):
                target += query if query[:1] == b"?" else b"?" + query
        if percent:
            target = percent_signs(target)
        if not is_method(method) or not is_target(method, target):
            return None
        protocol = b"" if protocol_at is None else raw(values[protocol_at])
        return RequestLine(
            method.decode("ascii"),
            target.decode("utf-8", "surrogateescape"),
            text(protocol),
        )

    return request_of


def _mender(decodings: Sequence[Decoding], *, decoded: bool) -> Callable[[bytes], bytes]:
    """Give what undoes what a server did to a path, or to a target."""
    plus, hyphen = Decoding.PLUS in decodings, Decoding.HYPHEN in decodings

    def as_sent(target: bytes) -> bytes:
        if decoded:
            target = encoded_path(target)
        elif hyphen and b"?" not in target:
            target = target.removesuffix(b"-")
        return target.replace(b"+", b"%20") if plus else target

    return as_sent


def _address_of(
    columns: Mapping[str, int], decode: Decode, *, always: bool
) -> Callable[[Columns], str | None]:
    """Read the address; without such a field, the X-Forwarded-For list stands in for it.

    None where it is ``always`` there and is not: such a line is not of this format.
    """
    address_at = columns.get(Role.ADDRESS)
    if address_at is None:
        list_at = columns[Role.FORWARDED_FOR]
        return lambda values: decode(values[list_at])
    if not always:
        return lambda values: decode(values[address_at])
    return lambda values: decode(values[address_at]) or None


def _rest_of(
    columns: Mapping[str, int], plain: Decode, decodings: Mapping[str, Decoding]
) -> Callable[[Columns], list[str | None]]:
    """Read what not every format has, in the order of Hit's fields."""
    readers: list[tuple[int, Decode] | None] = []
    for role in _OPTIONAL:
        at = columns.get(role)
        if at is None:
            readers.append(None)
            continue
        decoding = decodings.get(role, Decoding.NONE)
        percent = percent_twice_text if role is Role.USER_AGENT else percent_text
        decode = {Decoding.PERCENT: percent, Decoding.PLUS: plus_text}.get(decoding, plain)
        readers.append((at, _scheme(decode) if role is Role.SCHEME else decode))
    while readers and readers[-1] is None:  # Hit's own defaults stand for these
        readers.pop()

    def rest_of(values: Columns) -> list[str | None]:
        return [
            reader and (reader[1](value) if (value := values[reader[0]]) else "")
            for reader in readers
        ]

    more = [at for name, at in columns.items() if name.startswith(f"{Role.PURPOSE}_")]
    if not more:
        return rest_of
    place, purposes = _OPTIONAL.index(Role.PURPOSE), [columns[Role.PURPOSE], *more]

    def with_all_purposes(values: Columns) -> list[str | None]:
        rest = rest_of(values)
        rest[place] = ", ".join(filter(None, (plain(values[at]) for at in purposes)))
        return rest

    return with_all_purposes


def encoded_path(path: bytes) -> bytes:
    """Undo what a server decoded, as far as it would mean something else now."""
    return path.replace(b"%", b"%25").replace(b"?", b"%3F")


def _scheme(decode: Decode) -> Decode:
    return lambda value: _SCHEMES.get(decode(value).lower(), "")
