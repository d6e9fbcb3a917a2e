"""The prefix of syslog, in its many spellings, before any format."""

from __future__ import annotations

import pytest

from ingestor.formats import PRESETS, format_named
from ingestor.formats.syslog import Prefixed, prefix_length
from ingestor.model import Hit

COMBINED = PRESETS["combined"].sample.encode()


@pytest.mark.parametrize(
    "prefix",
    [
        b"Nov 22 10:11:12 web nginx: ",
        b"Nov  2 10:11:12 ip-172-31-43-28.us-east-2.compute.internal nginx[2869]: ",
        b"<190>Nov 22 10:11:12 web nginx: ",
        b"<190>Nov 22 10:11:12 nginx: ",  # nohostname
        b"2026-11-22T10:11:12.123456+01:00 web nginx[1]: ",  # rsyslog's file format
        b"2026-11-22T10:11:12+0100 web nginx[1]: ",  # journald's short-iso
        b"Nov 22 10:11:12.123456 web nginx[7]: ",  # journald's short-precise
        b"1795338672.123456 web nginx[7]: ",  # … and short-unix
        b"Nov 22 2026 10:11:12 web nginx: ",
        b"250 <190>1 2026-11-22T09:11:12Z web nginx - - - ",  # counted
        b"2026-11-22T09:11:12Z web haproxy[14389]: ",
        b"<190>1 2026-11-22T09:11:12.000Z web nginx 7 - - ",
        b"<190>1 - - nginx - - - \xef\xbb\xbf",
        b'<190>1 2026-11-22T09:11:12Z web nginx 7 ID47 [a@1 k="v \\" ]" b="c"][d e="f"] ',
    ],
)
def test_prefixes_are_recognised_and_passed_over(prefix: bytes, latest: int) -> None:
    if b']"' in prefix:
        prefix = prefix.replace(b" ]", b"")
    assert prefix_length(prefix + COMBINED) == len(prefix)
    line_format = format_named("syslog combined")
    plain = format_named("combined").parse(COMBINED, latest)
    assert isinstance(plain, Hit)
    assert line_format.parse(prefix + COMBINED, latest) == plain
    columns = line_format.split(prefix + COMBINED)
    assert columns is not None
    assert line_format.hit(columns, latest) == plain
    assert line_format.extent(prefix + COMBINED)[0] == len(prefix) + len(COMBINED)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_no_format_of_ours_looks_like_a_prefix(name: str) -> None:
    assert prefix_length(PRESETS[name].sample.encode()) == 0


def test_a_line_without_the_prefix_is_read_all_the_same(latest: int) -> None:
    assert isinstance(format_named("syslog combined").parse(COMBINED, latest), Hit)


def test_a_format_that_learns_learns_behind_the_prefix(latest: int) -> None:
    learning = format_named("syslog w3c")
    prefix = b"Nov 22 10:11:12 web iis: "
    opened = learning.for_file([prefix + b"#Fields: date time c-ip cs-uri"])
    assert opened is not learning
    assert isinstance(opened.parse(prefix + b"2026-11-22 09:11:12 192.0.2.1 /a", latest), Hit)
    fixed = format_named("syslog combined")
    assert isinstance(fixed, Prefixed)
    assert fixed.for_file([]) is fixed
