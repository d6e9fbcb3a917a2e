"""Request lines, and the finding that one is none."""

from __future__ import annotations

import pytest

from ingestor.formats.request import request_line


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET / HTTP/1.1", ("GET", "/", "HTTP/1.1")),
        (b"GET / HTTP/2", ("GET", "/", "HTTP/2")),
        (b"GET / HTTP/3.0", ("GET", "/", "HTTP/3.0")),
        (b"OPTIONS * HTTP/1.0", ("OPTIONS", "*", "HTTP/1.0")),
        (b"GET http://example.com/a?b HTTP/1.1", ("GET", "http://example.com/a?b", "HTTP/1.1")),
        (b"CONNECT example.com:443 HTTP/1.1", ("CONNECT", "example.com:443", "HTTP/1.1")),
        (b"CONNECT [2001:db8::1]:443 HTTP/1.1", ("CONNECT", "[2001:db8::1]:443", "HTTP/1.1")),
        (b"GET /two words HTTP/1.1", ("GET", "/two words", "HTTP/1.1")),
        (b"GET  /a HTTP/1.1", None),  # the target would begin with a space
        (b"GET /", ("GET", "/", "")),  # HTTP/0.9
        (b"GET http://example.com/a", ("GET", "http://example.com/a", "")),  # not logged
        (b"GET /caf\xc3\xa9 HTTP/1.1", ("GET", "/café", "HTTP/1.1")),
        (b"GET /\xff HTTP/1.1", ("GET", "/\udcff", "HTTP/1.1")),
        (b"M-SEARCH * HTTP/1.1", ("M-SEARCH", "*", "HTTP/1.1")),
        (b"GET //host/a HTTP/1.1", ("GET", "//host/a", "HTTP/1.1")),
    ],
)
def test_request_lines_are_taken_apart(
    request_: bytes, expected: tuple[str, str, str] | None
) -> None:
    assert request_line(request_) == expected


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"-",
        b"GET",
        b"hello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x03\x00\x00/*\xe0\x00\x00\x00\x00\x00Cookie: mstshash=Administr",
        b"SSH-2.0-Go",
        b"GET two words",  # no protocol, no path
        b"GET /two words",  # HTTP/0.9 had no spaces
        b"GET index.html HTTP/1.0",
        b"GET %2Fa HTTP/1.1",
        b"GET * extra HTTP/1.1",
        b"CONNECT example.com HTTP/1.1",
        b"GET / HTTP/x",
        b"\x00GET / HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET  HTTP/1.1",
    ],
)
def test_what_is_no_request_gives_nothing(garbage: bytes) -> None:
    assert request_line(garbage) is None
