"""The request line: method, target, protocol; or the finding that it is none."""

from __future__ import annotations

import re
from typing import NamedTuple


class RequestLine(NamedTuple):
    """The three words of a request line (RFC 9112, section 3)."""

    method: str
    target: str  # as sent: origin, absolute, authority form or ``*``
    protocol: str  # "" for HTTP/0.9


# Methods that are registered or seen are let through at once; others must look like one.
_COMMON = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT"})
_METHOD = re.compile(rb"[A-Za-z][A-Za-z0-9_-]{0,31}")
_PROTOCOL = re.compile(rb"HTTP/\d(?:\.\d{1,2})?")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^/?#]")
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.%]+\]|[^\s/?#@\[\]]+):\d{1,5}")


def request_line(request: bytes) -> RequestLine | None:
    """Take a request line apart, or give None: TLS bytes, garbage, nothing.

    The first word is the method, the last one the protocol if it looks like ``HTTP/x``, and
    the target is all that is between, spaces included. Without a protocol (HTTP/0.9, or a log
    that does not tell it) the target is a path or a URL, and has no spaces.
    """
    method, space, rest = request.partition(b" ")
    if not space:
        return None
    target, _, protocol = rest.rpartition(b" ")
    if protocol[:5] != b"HTTP/" or _PROTOCOL.fullmatch(protocol) is None:
        if b" " in rest or (rest[:1] != b"/" and _ABSOLUTE.match(rest) is None):
            return None
        target, protocol = rest, b""
    if not is_method(method) or not is_target(method, target):
        return None
    return RequestLine(
        method.decode("ascii"),
        target.decode("utf-8", "surrogateescape"),
        protocol.decode("ascii"),
    )


def is_method(method: bytes) -> bool:
    """Tell whether these bytes can be a method."""
    return method in _COMMON or _METHOD.fullmatch(method) is not None


def is_target(method: bytes, target: bytes) -> bool:
    """Tell whether these bytes are a request target in one of its four forms (RFC 9112, 3.2)."""
    first = target[:1]
    if first == b"/":
        return True
    if first == b"*":
        return target == b"*"
    if method == b"CONNECT":
        return _AUTHORITY.fullmatch(target) is not None
    return _ABSOLUTE.match(target) is not None
