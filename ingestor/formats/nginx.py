"""An nginx ``log_format`` string becomes the parts of a format.

Source of the variables: the nginx documentation, "Alphabetical index of variables".
"""

from __future__ import annotations

import re
from dataclasses import replace

from ingestor.errors import FormatError
from ingestor.formats.fields import (
    FORWARDED_FOR,
    FREE_TEXT,
    METHOD,
    PART_OF_TARGET,
    PATH,
    PROTOCOL,
    QUERY,
    REQUEST,
    SCHEME,
    SENT_TEXT,
    STATUS,
    TARGET,
    TRAILING,
    UNNAMED,
    UPSTREAM,
    Decoding,
    Field,
    Literal,
    Meaning,
    Part,
    Role,
    Shape,
    address,
    header,
    host,
    moment,
)

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")
_FREE_TEXT = ("sent_http_", "upstream_http_", "geoip")
_SENT_TEXT = ("cookie_", "arg_")
# Ours, before a name: as HAProxy writes it, and as a header between the braces of its captures.
HAPROXY = "haproxy_"
_CAPTURED = "captured_"
CAPTURED = f"{HAPROXY}{_CAPTURED}"

VARIABLES: dict[str, Meaning] = {
    "remote_addr": address(0),
    "realip_remote_addr": address(2),
    "proxy_protocol_addr": address(3),
    "proxy_add_x_forwarded_for": FORWARDED_FOR,
    "host": host(0),
    "server_name": host(2),
    "ssl_server_name": host(4),
    "time_local": moment("local"),
    "time_iso8601": moment("iso", 1),
    "msec": moment("epoch", 2),
    "request": REQUEST,
    "request_method": METHOD,
    "request_uri": TARGET,
    "uri": PATH,
    "document_uri": PATH,
    # "?" or nothing: only beside $args
    "is_args": Meaning(Role.QUERY, 1, Shape.TEXT, decoding=Decoding.HYPHEN),
    "args": QUERY,
    "query_string": QUERY,
    "server_protocol": PROTOCOL,
    "status": STATUS,
    "scheme": SCHEME,
    "https": Meaning(Role.SCHEME, 2),
    "remote_user": SENT_TEXT,
    "request_body": SENT_TEXT,
    "request_filename": SENT_TEXT,
    "ssl_client_s_dn": SENT_TEXT,
    "ssl_client_i_dn": FREE_TEXT,
    "content_type": header("content-type"),
    "sent_http_content_type": UPSTREAM,
    "upstream_http_content_type": UPSTREAM,
    "trailing_fields": TRAILING,  # ours: one further field or more
    "any_time": moment("any", 3),  # ours: any way to write a time
    "any_target": PART_OF_TARGET,  # ours: $request_uri, or only its path
    "handled_request": Meaning(Role.HANDLED),  # ours: other words there are no request
    "bare_time": moment("bare", 3),  # ours: $time_local without its zone
}

# nginx's own that tell nothing a hit has, whatever a JSON log calls them: "host" for the machine.
OF_NO_USE = frozenset(
    "server_addr server_port hostname proxy_host upstream_addr remote_port remote_user "
    "request_filename document_root realpath_root request_time request_length request_id".split()
)


def nginx_parts(definition: str) -> list[Part]:
    """Take a definition apart. Raises FormatError where it has no variables."""
    parts: list[Part] = []
    at = 0
    for match in _VARIABLE.finditer(definition):
        if match.start() > at:
            parts.append(_literal(definition[at : match.start()], at))
        name = match[1] or match[2]
        parts.append(Field(f"${name}", match.start(), meaning_of(name)))
        at = match.end()
    if not parts:
        raise FormatError(f"no $variable stands in {definition!r}")
    if at < len(definition):
        parts.append(_literal(definition[at:], at))
    return _queries(parts)


def _literal(text: str, place: int) -> Literal:
    return Literal(text.encode("utf-8", "surrogateescape"), place)


def meaning_of(name: str) -> Meaning:
    """Tell what a variable means; an unknown one is kept as an unnamed field."""
    name = name.lower()
    if name.startswith(HAPROXY):
        return _of_haproxy(name.removeprefix(HAPROXY))
    known = VARIABLES.get(name)
    if known is not None:
        return known
    if name.startswith("http_"):
        return header(name.removeprefix("http_"))
    if name.startswith(_SENT_TEXT):
        return SENT_TEXT
    if name.startswith(_FREE_TEXT):
        return FREE_TEXT
    return UPSTREAM if name.startswith("upstream_") else UNNAMED


def _of_haproxy(name: str) -> Meaning:
    captured = name.startswith(_CAPTURED)
    meaning = replace(meaning_of(name.removeprefix(_CAPTURED)), decoding=Decoding.HASH)
    return replace(meaning, shape=Shape.CAPTURE) if captured else meaning


def _queries(parts: list[Part]) -> list[Part]:
    """Drop ``$is_args`` where ``$args`` does not follow: alone it tells nothing."""
    kept: list[Part] = []
    for at, part in enumerate(parts):
        if isinstance(part, Field) and part.text == "$is_args":
            following = parts[at + 1] if at + 1 < len(parts) else None
            if isinstance(following, Field) and following.meaning.role is Role.QUERY:
                kept.append(part)
                continue
            part = Field(part.text, part.place, UNNAMED)  # noqa: PLW2901 - the same place, unnamed
        kept.append(part)
    return kept
