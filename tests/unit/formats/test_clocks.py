"""Times as logs write them, and what is none of them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ingestor.errors import FormatError
from ingestor.formats.clocks import clock_named, needs_zone

BERLIN = ZoneInfo("Europe/Berlin")
NOON = int(datetime(2026, 11, 22, 12, 0, 5, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("local", b"22/Nov/2026:12:00:05 +0000"),
        ("local", b"22/Nov/2026:13:00:05 +0100"),
        ("local", b"22/Nov/2026:05:30:05 -0630"),
        ("bare", b"22/Nov/2026:13:00:05.655"),
        ("iso", b"2026-11-22T12:00:05Z"),
        ("iso", b"2026-11-22T13:00:05+01:00"),
        ("iso", b"2026-11-22T13:00:05.123456789+0100"),
        ("iso", b"2026-11-22 13:00:05,123+01"),
        ("iso", b"2026-11-22 12:00:05 UTC"),
        ("iso", b"2026-11-22 13:00:05"),  # no zone: Berlin's
        ("any", b"2026/11/22 13:00:05.123"),  # no zone: Berlin's
        ("epoch", b"%d" % NOON),
        ("epoch", b"%d.655" % NOON),
        ("epoch", b"%d655" % NOON),
        ("epoch", b"%d655000" % NOON),
        ("epoch", b"%d655000111" % NOON),
        ("ms", b"%d655" % NOON),
        ("us", b"%d655000" % NOON),
        ("any", b"22/Nov/2026:13:00:05 +0100"),
        ("any", b"[22/Nov/2026:13:00:05 +0100]"),  # Apache's %t
        ("any", b"2026-11-22T12:00:05Z"),
        ("any", b"%d.6825173" % NOON),
        ("strftime:%d/%b/%Y:%H:%M:%S %z", b"22/Nov/2026:13:00:05 +0100"),
        ("strftime:%s", b"%d" % NOON),
        ("strftime:%F %T", b"2026-11-22 13:00:05"),
        ("strftime:%Y-%m-%d\0%T", b"2026-11-22\x0013:00:05"),
        ("strftime:%a %b %e %H:%M:%S %Y %Z", b"Sun Nov 22 12:00:05 2026 UTC"),
        # Most zones have no letters: São Paulo, Kathmandu, Istanbul, Singapore.
        ("strftime:%F %T %Z", b"2026-11-22 09:00:05 -03"),
        ("strftime:%F %T %Z", b"2026-11-22 17:45:05 +0545"),
        ("strftime:%c", b"Sun Nov 22 13:00:05 2026"),
        ("strftime:%m/%d/%y %I:%M:%S %p", b"11/22/26 01:00:05 PM"),
        ("strftime:%B %-d %Y %k:%M:%S", b"November 22 2026 13:00:05"),
        ("strftime:%Y %j %T%%", b"2026 326 13:00:05%"),
        ("strftime:%D %l:%M:%S %p", b"11/22/26  1:00:05 PM"),
    ],
)
def test_every_kind_of_time_gives_the_right_second(kind: str, raw: bytes) -> None:
    clock = clock_named(kind, BERLIN)
    assert clock(raw) == NOON
    assert clock(raw) == NOON  # and from the cache


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("local", b""),
        ("local", b"-"),
        ("local", b"22/Nov/2026:12:00:05"),  # no zone, and none is set
        ("local", b"22/nov/2026:12:00:05 +0000"),
        ("local", b"22/Okt/2026:12:00:05 +0000"),  # English names only
        ("local", b"31/Nov/2026:12:00:05 +0000"),
        ("local", b"22/Nov/2026:24:00:05 +0000"),
        ("local", b"22/Nov/2026:12:60:05 +0000"),
        ("local", b"22/Nov/2026:12:00:61 +0000"),
        ("local", b"22/Nov/2026:12:00:0x +0000"),
        ("local", b"2/Nov/2026:12:00:05 +0000"),
        ("local", b"22/Nov/2026:12:00:05 +1960"),
        ("local", "\uff12\uff12/Nov/2026:12:00:05 +0000".encode()),
        ("local", b"22/Nov/0000:12:00:05 +0000"),
        ("local", b"22/Nov/2026:12:00:05 +0000 "),
        ("iso", b"2026-13-22T12:00:05Z"),
        ("iso", b"2026-11-22"),
        ("epoch", b"now"),
        ("epoch", b"1e9"),
        ("ms", b"-1"),
        ("ms", b"9" * 30),
        ("any", b"yesterday"),
        ("any", b"[22/Nov/2026:13:00:05 +0100"),
        ("any", b"[[22/Nov/2026:13:00:05 +0100]]"),
        ("any", b"[]"),
        ("strftime:%F %T", b"2026-11-22 12:00:05"),
        ("strftime:%F %T %z", b"2026-02-30 12:00:05 +0000"),
        ("strftime:%F %T %Z", b"2026-02-20 12:00:05 IST"),
        ("strftime:%F %T %Z", b"2026-02-20 12:00:05 +3"),
        ("strftime:%F %T %Z", b"2026-02-20 12:00:05 +0360"),
        ("strftime:%Y %j %T %z", b"2026 999 12:00:05 +0000"),
        ("strftime:%d %b %Y %T %z", b"22 Xyz 2026 12:00:05 +0000"),
        ("strftime:%F %H:%M:%S %z", b"2026-11-22 12:00:75 +0000"),
    ],
)
def test_what_is_no_time_gives_nothing(kind: str, raw: bytes) -> None:
    assert clock_named(kind, None)(raw) is None


def test_the_zone_that_a_time_names_in_digits_counts_before_the_one_that_is_set() -> None:
    for zone in (None, BERLIN):
        clock = clock_named("strftime:%F %T %Z", zone)
        assert clock(b"2026-11-22 15:00:05 +03") == NOON
    assert clock(b"2026-11-22 13:00:05 ChST") == NOON  # in letters it only stands there


def test_a_leap_second_is_the_next_minutes_first() -> None:
    clock = clock_named("local", None)
    assert clock(b"31/Dec/2016:23:59:60 +0000") == clock(b"01/Jan/2017:00:00:00 +0000")


def test_an_hour_that_clocks_skip_or_repeat_still_gives_a_time() -> None:
    clock = clock_named("iso", BERLIN)
    skipped = clock(b"2026-03-29 02:30:00")
    repeated = clock(b"2026-10-25 02:30:00")
    assert skipped == int(datetime(2026, 3, 29, 1, 30, tzinfo=UTC).timestamp())
    assert repeated == int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp())


def test_the_caches_stay_bounded() -> None:
    local = clock_named("local", None)
    pieces = clock_named("strftime:%F %T %z", None)
    first = int(datetime(2001, 1, 1, tzinfo=UTC).timestamp())
    for minute in range(10_050):
        when = datetime.fromtimestamp(first + 60 * minute, UTC)
        assert local(when.strftime("%d/%b/%Y:%H:%M:%S %z").encode()) == first + 60 * minute
        assert pieces(when.strftime("%Y-%m-%d %H:%M:%S %z").encode()) == first + 60 * minute
    for clock in (local, pieces):
        kept = [cell.cell_contents for cell in clock.__closure__ or ()]  # type: ignore[attr-defined]
        assert all(len(cache) <= 10_000 for cache in kept if isinstance(cache, dict))


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("local", False),
        ("bare", True),
        ("strftime:%F %T", True),
        ("strftime:%F %T %z", False),
        ("strftime:%s", False),
        ("epoch", False),
    ],
)
def test_what_names_no_zone_says_so(kind: str, needs: bool) -> None:
    assert needs_zone(kind) is needs


@pytest.mark.parametrize("text", ["%Q", "%F", "%H:%M:%S", "%Y %T"])
def test_formats_that_cannot_be_read_back_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        clock_named(f"strftime:{text}", UTC)
