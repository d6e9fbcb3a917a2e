"""Lines as container runtimes write them, around any format."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ingestor.formats import PRESETS, detect, format_named
from ingestor.formats.containers import Contained, output
from ingestor.model import Hit, Malformed, Reason

LATEST = 1_800_000_000
COMBINED = PRESETS["combined"].sample.encode()
NOTICE = b"2026/11/22 09:11:12 [notice] 1#1: start worker processes"


def docker(line: bytes, stream: str = "stdout") -> bytes:
    values = {"log": line.decode() + "\n", "stream": stream, "time": "2026-11-22T09:11:12.5Z"}
    return json.dumps(values, separators=(",", ":")).encode()


def cri(line: bytes, stream: str = "stdout") -> bytes:
    return b"2026-11-22T09:11:12.123456789Z " + stream.encode() + b" F " + line


AROUND = pytest.mark.parametrize("around", [docker, cri])
Around = Callable[..., bytes]


@AROUND
@pytest.mark.parametrize("name", ["combined", "ingress_nginx", "caddy", "traefik", "json"])
def test_a_line_in_a_container_is_read_as_outside_of_it(around: Around, name: str) -> None:
    sample = PRESETS[name].sample.encode()
    line_format = format_named(f"container {name}")
    plain = format_named(name).parse(sample, LATEST)
    assert isinstance(plain, Hit)
    assert line_format.name == f"container {name}"
    assert line_format.parse(around(sample), LATEST) == plain
    columns = line_format.split(around(sample))
    assert columns is not None
    assert line_format.hit(columns, LATEST) == plain


@AROUND
def test_quotes_backslashes_and_other_scripts_come_out_as_they_went_in(around: Around) -> None:
    line = COMBINED.replace(b"/pricing", '/"ü😀\\t\\x22'.encode())
    found = output(around(line))
    assert found is not None
    assert found == (line, False)


@AROUND
@pytest.mark.parametrize("name", ["combined.log", "ingress_nginx.log", "caddy.log", "json.log"])
def test_auto_finds_the_format_in_a_containers_log(
    around: Around, name: str, sample: Callable[[str], list[bytes]]
) -> None:
    lines = [line for line in sample(name) if line.isascii()]
    outside = detect(lines, latest=LATEST)
    assert outside.format is not None
    inside = detect([around(line) for line in lines], latest=LATEST)
    assert isinstance(inside.format, Contained)
    assert inside.format.name == f"container {outside.format.name}"
    assert "in a container's log" in inside.explanation
    for line in lines:
        assert inside.format.parse(around(line), LATEST) == outside.format.parse(line, LATEST)


@AROUND
def test_the_error_log_beside_the_requests_is_no_request_and_hinders_nothing(
    around: Around,
) -> None:
    lines = [around(NOTICE, "stderr")] * 9 + [around(COMBINED)] * 3
    found = detect(lines, latest=LATEST)
    assert found.format is not None, found.explanation
    assert found.format.name == "container combined"
    assert found.format.parse(lines[0], LATEST) is Reason.DIRECTIVE
    assert found.format.split(lines[0]) is None
    assert found.format.parse(around(NOTICE), LATEST) is Malformed.NO_MATCH
    assert isinstance(found.format.parse(around(COMBINED, "stderr"), LATEST), Hit)


@AROUND
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_container_that_logs_no_requests_is_refused(around: Around, stream: str) -> None:
    found = detect([around(NOTICE, stream), around(b"", stream)] * 9, latest=LATEST)
    assert found.format is None
    assert "stops at column" in found.explanation


@pytest.mark.parametrize(
    "line",
    [
        COMBINED,
        b'{"log":"',
        b'{"log":"x"}',
        b'{"log":"x","stream":1}',
        b'{"log":"\\ud800","stream":"stdout"}',
        b'{"log":"x","stream":"stdout","log":[]}',
        b"2026-11-22T09:11:12Z stdlog F x",
        b"2026-11-22T09:11:12Z stdout X x",
        b"2026-11-22T09:11:12Z stdout F",
    ],
)
def test_what_no_runtime_wrote_is_left_as_it_is(line: bytes) -> None:
    assert output(line, printed=False) is None
    inner = format_named("combined")
    assert format_named("container combined").parse(line, LATEST) == inner.parse(line, LATEST)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_no_format_of_ours_looks_like_a_containers_log(name: str) -> None:
    assert output(PRESETS[name].sample.encode()) is None


def test_a_line_that_was_cut_for_its_length_is_malformed() -> None:
    cut = b"2026-11-22T09:11:12Z stdout P " + COMBINED[:60]
    assert format_named("container combined").parse(cut, LATEST) is Malformed.NO_MATCH


def test_how_far_a_line_is_explained_counts_what_is_around_it() -> None:
    line = cri(COMBINED + b" x")
    assert format_named("container combined").extent(line)[0] == len(line) - 2


@pytest.mark.parametrize(
    "printed",
    [
        b"2026-11-22T09:11:12.123456789Z ",
        b"2026-11-22T10:11:12+01:00 ",
        b"web-1  | ",
        b"nginx | ",
        b"web-1  | 2026-11-22T09:11:12.123456789Z ",
    ],
)
@pytest.mark.parametrize("name", ["combined", "caddy", "vhost_combined"])
def test_what_commands_print_before_a_line_is_passed_over(printed: bytes, name: str) -> None:
    sample = PRESETS[name].sample.encode()
    found = detect([printed + sample] * 30, latest=LATEST).format
    assert found is not None
    assert found.name == f"container {name}"
    assert found.parse(printed + sample, LATEST) == format_named(name).parse(sample, LATEST)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_line_that_nothing_was_printed_before_is_left_as_it_is(name: str) -> None:
    """But for formats that begin with a moment themselves; these are looked for first."""
    sample = PRESETS[name].sample.encode()
    found = output(sample)
    assert found is None or found.line != sample
