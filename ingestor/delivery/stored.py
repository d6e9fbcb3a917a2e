"""What Umami keeps of a page view, so that it can be recognised when it is read back.

Pure. The path is decoded and cut, the query is cut as it was sent, the URL goes through WHATWG's
parser first: `/a/../b` is kept as `/b`. The recordings of a real Umami are the tests' source.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import ada_url

if TYPE_CHECKING:
    from collections.abc import Mapping

_LENGTH = 500  # UTF-16 units that Umami keeps of a path and of a query
_ESCAPES = re.compile("(?:%[0-9A-Fa-f]{2})+")
_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_RESERVED = frozenset(b";/?:@&=+$,#")  # decodeURI leaves their escapes alone
_WWW = re.compile("^www.")  # the dot is any character, in Umami too


class Stored(NamedTuple):
    """What a page view is recognised by."""

    second: int  # Unix seconds
    host: str
    path: str  # decoded
    query: str  # as sent, without the question mark

    @property
    def bare(self) -> Stored:
        """Without slashes at the path's end: an Umami with REMOVE_TRAILING_SLASH lacks one."""
        return self._replace(path=self.path.rstrip("/"))


def as_stored(payload: Mapping[str, str | int]) -> Stored | None:
    """What Umami keeps of a payload; None: it can never be stored."""
    hostname = str(payload.get("hostname", ""))
    base = f"https://{hostname or 'localhost'}"
    try:
        url = ada_url.URL(str(payload.get("url", "undefined")), base=base)
    except (ValueError, UnicodeEncodeError):
        return None
    pathname = url.pathname
    path = "" if pathname == "/undefined" else _decoded(pathname + url.hash)
    return Stored(
        second=int(payload.get("timestamp", 0)),
        host=hostname or _WWW.sub("", url.hostname),
        path=_cut(path),
        query=_cut(url.search[1:]),
    )


def _decoded(text: str) -> str:
    """JavaScript's ``decodeURI``, or the text as it is where it is not validly encoded."""
    if "%" not in text or _BROKEN_ESCAPE.search(text):
        return text
    try:
        return _ESCAPES.sub(lambda run: _decoded_run(run[0]), text)
    except UnicodeDecodeError:
        return text


def _decoded_run(run: str) -> str:
    raw = bytes.fromhex(run.replace("%", ""))
    parts: list[str] = []
    start = 0
    for place, byte in enumerate(raw):
        if byte in _RESERVED:
            parts += (raw[start:place].decode(), run[place * 3 : place * 3 + 3])
            start = place + 1
    parts.append(raw[start:].decode())
    return "".join(parts)


def _cut(text: str) -> str:
    """JavaScript's ``substring(0, 500)``; half a surrogate pair is stored as U+FFFD."""
    if len(text) * 2 <= _LENGTH or (text.isascii() and len(text) <= _LENGTH):
        return text
    return text.encode("utf-16-le")[: _LENGTH * 2].decode("utf-16-le", "replace")
