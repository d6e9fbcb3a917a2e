"""Visitors write into logs: no line may stall the reading, however long."""

from __future__ import annotations

import json
import re
from zoneinfo import ZoneInfo

import pytest

from ingestor.formats import PRESETS, detect, format_named

LATEST = 1_800_000_000
LENGTH = 50_000  # bytes; anything worse than linear runs into the test's time limit
PIECES = [
    b" ",
    b'"',
    b"\\",
    b'\\"',
    b" [",
    b" - ",
    b"] ",
    b'" "',
    b'" 200 1 "',
    b", ",
    b":",
    b"1:",
    b"a",
    b"[",
    b"{",
    b"\t",
    b"%",
    b' "x"',
    b"- - ",
    b"\xff",
    b'""',
    b" : ",
    b"|",
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", sorted({p.template: n for n, p in PRESETS.items()}.values()))
def test_long_hostile_lines_cost_time_linear_in_their_length(name: str) -> None:
    line_format = format_named(name, timezone=ZoneInfo("UTC")).for_file([])
    sample = PRESETS[name].sample.encode()
    marks = [sample.find(mark) for mark in (b"192.0.2.10", b"- - [", b"GET", b"Mozilla", b"www")]
    for piece in PIECES:
        flood = piece * (LENGTH // len(piece))
        for at in {0, *(mark for mark in marks if mark >= 0), len(sample)}:
            line = sample[:at] + flood + sample[at:]
            line_format.split(line)
            line_format.parse(line, LATEST)


@pytest.mark.timeout(30)
def test_long_hostile_lines_do_not_stall_detection() -> None:
    for piece in PIECES:
        line = piece * (60_000 // len(piece))
        assert detect([line, line], latest=LATEST).share in {0.0, 1.0}


@pytest.mark.timeout(30)
def test_a_newline_in_a_containers_line_does_not_stall_json() -> None:
    """A runtime's own JSON may hold one; in a file no line does."""
    text = json.dumps('{"a":"' + r"\"" * (LENGTH // 2) + "\\\n}")
    line = f'{{"log":{text},"stream":"stdout"}}'.encode()
    assert detect([line, line], latest=LATEST).format is None


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "definition",
    [
        "$time_iso8601 $remote_addr $request_method $host$request_uri $status $http_referer",
        '$remote_addr - $remote_user [$time_local] $request "$status" "$http_referer"',
        '$remote_addr [$time_local] "$request" $status $http_user_agent $http_referer',
        '[$time_local] $http_x_forwarded_for $remote_addr - $remote_user "$request" $status',
        '$remote_addr [$time_local] "$request" $status $http_user_agent $http_x_forwarded_for',
        '$remote_addr [$time_local] $status $http_user_agent $http_x_forwarded_for "$request" x',
        '$remote_addr [$time_local] "$request" $http_user_agent $upstream_addr $upstream_status',
        '$remote_addr - $remote_user $upstream_addr [$time_local] "$request" $status',
    ],
)
def test_long_hostile_values_of_a_pasted_definition_do_not_stall_it(definition: str) -> None:
    line_format = format_named(definition)
    values = {"remote_addr": "192.0.2.1", "time_iso8601": "2026-11-22T10:11:12+01:00"}
    values |= {"time_local": "22/Nov/2026:10:11:12 +0100", "request": "GET / HTTP/1.1"}
    pieces = [
        r"\x22",
        r"\x22 ",
        " [",
        "[22/Nov/2026:10:11:12 +0100] GET ",
        "- ",
        "x, ",
        "x : ",
        "a x; ",
    ]
    for piece in pieces:
        for name in ("host", "http_x_forwarded_for", "remote_user", "request", "http_user_agent"):
            sent = values | {name: piece * (200_000 // len(piece)), "http_referer": "x y"}
            line = re.sub(r"\$(\w+)", lambda match, sent=sent: sent.get(match[1], "-"), definition)
            line_format.split(line.encode())
            line_format.parse(line.encode(), LATEST)
