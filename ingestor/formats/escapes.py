r"""Undo the escapes that servers write.

One function serves nginx's default (``\x22``), Apache's (``\"``, ``\\``, ``\n``, ``\xhh``) and
nginx's JSON escapes: none of the three writes a sequence that means another thing to one of the
others, because each of them escapes the backslash itself. So does HAProxy where it is told to by
the flag E, brackets (``\]``) among them.
Sources: nginx ``ngx_http_log_module.c`` and its documentation of ``escape=``; Apache
``mod_log_config``, section "Security Considerations" and the notes on ``%r`` and ``%i``.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    rb"\\(?:x([0-9A-Fa-f]{2})"
    rb"|u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})"
    rb"|u([0-9A-Fa-f]{4})"
    rb"|([\"\\/'\]ntrbfva]))"
)
_LETTERS = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
    b"a": b"\a",
}
_BYTES = {f"{n:02x}".encode(): bytes([n]) for n in range(256)}
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_HASH = re.compile(rb"#([0-9A-F]{2})")
_PERCENT_SIGN = re.compile(rb"%25(?=[0-9A-Fa-f]{2})")


def unescape(value: bytes) -> bytes:
    """Give ``value`` as it was before the server escaped it; other backslashes stay."""
    return _ESCAPE.sub(_undo, value) if b"\\" in value else value


def _undo(match: re.Match[bytes]) -> bytes:
    byte, high, low, unit, letter = match.groups()
    if byte is not None:
        return _BYTES[byte.lower()]
    if letter is not None:
        return _LETTERS.get(letter, letter)
    if unit is not None:
        return chr(int(unit, 16)).encode("utf-8", "replace")
    point = 0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00)
    return chr(point).encode()


def text(value: bytes) -> str:
    """Decode a value whose escapes are undone; ``-`` is how servers write nothing."""
    return "" if value == b"-" else value.decode("utf-8", "surrogateescape")


def escaped_text(value: bytes) -> str:
    """Undo the escapes of a raw value, then decode it."""
    return text(unescape(value) if b"\\" in value else value)


def percent_text(value: bytes) -> str:
    """Decode a percent-encoded value, as CloudFront writes headers."""
    return text(_decoded(value))


def percent_twice_text(value: bytes) -> str:
    """Decode a user agent that CloudFront may have encoded twice, as it did until 2019."""
    once = _decoded(value)
    return text(_decoded(once) if b"%20" in once and b" " not in once else once)


def percent_signs(target: bytes) -> bytes:
    """Undo what CloudFront does to the percent signs of a target, which is encoded already."""
    return _PERCENT_SIGN.sub(b"%", target)


def unhashed(value: bytes) -> bytes:
    """Undo what HAProxy writes of a request and of the headers that it captures."""
    return _HASH.sub(lambda match: _BYTES[match[1].lower()], value) if b"#" in value else value


def _decoded(value: bytes) -> bytes:
    return _PERCENT.sub(lambda match: _BYTES[match[1].lower()], value)


def plus_text(value: bytes) -> str:
    """Decode a value whose spaces became plus signs, as IIS writes headers."""
    return text(value.replace(b"+", b" "))
