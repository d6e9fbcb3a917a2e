"""Servers' escapes, undone so that what the visitor sent comes out."""

from __future__ import annotations

import pytest

from ingestor.formats.escapes import escaped_text, percent_text, plus_text, unescape


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (rb"\x22quoted\x22 \x5C", b'"quoted" \\'),  # nginx
        (rb"\"quoted\" \\x22", b'"quoted" \\x22'),  # Apache: a backslash, then x22
        (rb"a\nb\tc\rd\ve\ff\bg", b"a\nb\tc\rd\ve\ff\bg"),
        (rb"caf\xc3\xa9", "café".encode()),
        (rb"caf\xC3\xA9", "café".encode()),
        (rb"\u00e9\u001F", "é\x1f".encode()),  # nginx's escape=json
        (rb"\ud83d\ude00", "😀".encode()),
        (rb"\ud83d", b"?"),
        (rb"\/", b"/"),
        (rb"\q \x2 \ ", rb"\q \x2 " + b"\\ "),  # no escape of any server: left as it is
        (rb"end\\", b"end\\"),
        (b"end\\", b"end\\"),
    ],
)
def test_escapes_are_undone(written: bytes, sent: bytes) -> None:
    assert unescape(written) == sent


def test_nothing_is_logged_as_a_dash() -> None:
    assert escaped_text(b"-") == ""
    assert escaped_text(b"--") == "--"


def test_invalid_bytes_survive() -> None:
    assert escaped_text(rb"\xff").encode("utf-8", "surrogateescape") == b"\xff"


def test_the_ways_of_w3c_logs_to_hide_spaces_are_undone() -> None:
    assert percent_text(b"Mozilla/5.0%20(X11)%2522%zz") == "Mozilla/5.0 (X11)%22%zz"
    assert plus_text(b"Mozilla/5.0+(X11)") == "Mozilla/5.0 (X11)"
