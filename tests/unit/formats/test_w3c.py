"""W3C extended logs: the list of fields in the file decides."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from ingestor.errors import FormatError
from ingestor.formats import detect, format_named
from ingestor.formats.w3c import W3cFormat
from ingestor.model import Hit, Malformed, Reason

LATEST = 1_800_000_000
TIME = 1795338672
SOFTWARE = b"#Software: Microsoft Internet Information Services 10.0"


def opened(*head: bytes) -> W3cFormat:
    line_format = format_named("w3c").for_file(head)
    assert isinstance(line_format, W3cFormat)
    return line_format


def hit(line_format: W3cFormat, line: bytes) -> Hit:
    verdict = line_format.parse(line, LATEST)
    columns = line_format.split(line)
    assert columns is None or line_format.hit(columns, LATEST) == verdict
    assert isinstance(verdict, Hit), verdict
    return verdict


FIELDS = b"#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status cs(User-Agent)"
LINE = b"2026-11-22 09:11:12 192.0.2.1 GET /a b=c 200 Mozilla/5.0+(X11)"


def test_the_files_own_fields_decide() -> None:
    line_format = opened(SOFTWARE, b"#Version: 1.0", FIELDS)
    assert line_format.name == "iis"
    assert line_format.split(LINE) is not None
    found = hit(line_format, LINE)
    assert (found.time, found.target, found.user_agent) == (TIME, "/a?b=c", "Mozilla/5.0 (X11)")
    assert hit(line_format, LINE.replace(b" b=c ", b" - ") + b"\r").target == "/a"


def test_headers_are_directives_and_no_requests() -> None:
    line_format = opened(FIELDS)
    for line in (SOFTWARE, FIELDS, b"#Date: 2026-11-22 09:00:00\r", b"#"):
        assert line_format.split(line) is None
        assert line_format.parse(line, LATEST) is Reason.DIRECTIVE


def test_fields_may_change_in_the_middle() -> None:
    line_format = opened(FIELDS)
    columns = dict(line_format.columns)
    line_format.parse(b"#Fields:  time date  cs-uri c-ip sc-status", LATEST)
    found = hit(line_format, b"09:11:12 2026-11-22 /a?b 192.0.2.7 404")
    assert (found.time, found.address, found.status) == (TIME, "192.0.2.7", 404)
    assert line_format.split(b"09:11:12 2026-11-22 /a?b 192.0.2.7 404") is None
    assert dict(line_format.columns) == columns
    line_format.parse(FIELDS, LATEST)
    assert hit(line_format, LINE).address == "192.0.2.1"
    assert line_format.split(LINE) is not None


def test_reading_may_begin_behind_a_header_that_changed_the_fields() -> None:
    line_format = opened(
        FIELDS, LINE, b"#Fields: date time cs-uri c-ip", b"2026-11-22 09:11:12 /b 192.0.2.7"
    )
    assert hit(line_format, b"2026-11-22 09:11:12 /c 192.0.2.8").target == "/c"
    assert hit(line_format, LINE).address == "192.0.2.1"


def test_fields_that_tell_too_little_make_lines_malformed_until_the_next() -> None:
    line_format = opened(FIELDS)
    assert line_format.parse(b"#Fields: cs-bytes sc-bytes", LATEST) is Reason.DIRECTIVE
    assert line_format.parse(b"1 2", LATEST) is Malformed.NO_MATCH
    assert line_format.split(LINE) is None
    line_format.parse(FIELDS, LATEST)
    assert hit(line_format, LINE).address == "192.0.2.1"
    useless = opened(b"#Fields: cs-bytes sc-bytes")
    assert useless.parse(b"1 2", LATEST) is Malformed.NO_MATCH


def test_quoted_words_lose_their_quotes() -> None:
    line_format = opened(b"#Fields: date time c-ip cs-uri cs(User-Agent) sc-status")
    found = hit(line_format, b'2026-11-22 09:11:12 192.0.2.1 /a "Mozilla ""5.0"" (X11)" 200')
    assert found.user_agent == 'Mozilla "5.0" (X11)'
    assert hit(line_format, b'2026-11-22 09:11:12 192.0.2.1 /a x"y 200').user_agent == 'x"y'


def test_cloudfront_is_tab_separated_and_percent_encoded() -> None:
    line_format = opened(
        b"#Version: 1.0",
        b"#Fields: date time x-edge-location c-ip cs-method cs(Host) cs-uri-stem sc-status "
        b"cs(Referer) cs(User-Agent) cs-uri-query x-host-header cs-protocol x-forwarded-for",
    )
    assert line_format.name == "cloudfront"
    found = hit(
        line_format,
        b"2026-11-22\t09:11:12\tFRA56-P4\t192.0.2.1\tGET\td1.cloudfront.net\t/a\t200\t"
        b"https://example.org/%2520x\tMozilla/5.0%20(X11)+y\tb=c\twww.example.com\thttps\t-",
    )
    assert (found.host, found.scheme, found.target) == ("www.example.com", "https", "/a?b=c")
    assert (found.user_agent, found.forwarded_for) == ("Mozilla/5.0 (X11)+y", "")


def test_files_with_the_same_header_share_what_was_made_of_it() -> None:
    """Making it costs more than a small file, and its clock remembers ten thousand times."""
    shared = format_named("w3c")
    assert shared.for_file([FIELDS]).columns is shared.for_file([FIELDS]).columns
    assert shared.for_file([]).columns is shared.columns


@pytest.mark.parametrize(
    ("stem", "query", "target"),
    [
        (b"/caf%25C3%25A9", b"utm_source=a%2520b", "/caf%C3%A9?utm_source=a%20b"),
        (b"/100%2525", b"-", "/100%25"),
        (b"/a%252520", b"q=%22%25zz", "/a%2520?q=%22%25zz"),
        (b"/caf%C3%A9", b"a=b", "/caf%C3%A9?a=b"),
    ],
)
def test_cloudfront_encodes_what_is_encoded_already(stem: bytes, query: bytes, target: str) -> None:
    line_format = opened(FIELDS.replace(b"c-ip", b"x-edge-location c-ip"))
    line = LINE.replace(b"192.0.2.1", b"FRA 192.0.2.1")
    line = line.replace(b" /a b=c ", b" %b %b " % (stem, query))
    assert hit(line_format, line).target == target


def test_each_file_learns_for_itself() -> None:
    shared = format_named("w3c")
    one, other = shared.for_file([FIELDS]), shared.for_file([])
    one.parse(b"#Fields: date time cs-uri c-ip", LATEST)
    assert isinstance(other.parse(b"2026-11-22 09:11:12 192.0.2.1 GET /a - 200 - x", LATEST), Hit)


def test_a_fields_line_may_be_pasted_as_definition() -> None:
    line_format = format_named(FIELDS.decode())
    assert isinstance(line_format.parse(LINE, LATEST), Hit)
    with pytest.raises(FormatError, match="no field stands"):
        format_named("#Fields:")
    with pytest.raises(FormatError, match="no field tells the time"):
        format_named("#Fields: c-ip cs-uri")


def test_many_changes_are_followed_and_few_remembered() -> None:
    line_format = opened(FIELDS)
    for number in range(40):
        line_format.parse(f"#Fields: date time c-ip cs-uri x-{number}".encode(), LATEST)
        assert hit(line_format, b"2026-11-22 09:11:12 192.0.2.1 /a -").target == "/a"
    assert len(line_format._known) <= 16


def test_how_far_a_line_is_explained_is_told() -> None:
    assert opened(FIELDS).extent(LINE) == (len(LINE), "8 words: date …", 0)
    assert opened(FIELDS).extent(b"one two")[0] == 0


@pytest.mark.parametrize("fraction", [b".5", b".123456"])
def test_seconds_may_have_a_fraction(fraction: bytes) -> None:
    assert hit(opened(FIELDS), LINE.replace(b":12 ", b":12%s " % fraction)).time == TIME


def test_lines_of_another_shape_are_malformed() -> None:
    assert opened(FIELDS).parse(b"2026-11-22 09:11:12", LATEST) is Malformed.NO_MATCH
    assert opened(FIELDS).parse(LINE.replace(b"2026", b"x"), LATEST) is Malformed.TIME


def test_iis_writes_a_plus_for_the_space_in_a_forwarded_list() -> None:
    line_format = opened(FIELDS.replace(b"cs(User-Agent)", b"X-Forwarded-For"))
    found = hit(line_format, LINE.replace(b"Mozilla/5.0+(X11)", b"6.6.6.6,+203.0.113.7"))
    assert found.forwarded_for == "6.6.6.6, 203.0.113.7"


def test_cloudfront_used_to_encode_user_agents_twice() -> None:
    line_format = opened(FIELDS.replace(b"c-ip", b"x-edge-location c-ip"))
    for agent in (b"Mozilla/5.0%2520(X11)%2520a%252Fb", b"Mozilla/5.0%20(X11)%20a/b"):
        line = LINE.replace(b"192.0.2.1", b"FRA 192.0.2.1").replace(b"Mozilla/5.0+(X11)", agent)
        assert hit(line_format, line).user_agent == "Mozilla/5.0 (X11) a/b"


def test_a_header_of_too_many_columns_is_refused_at_once() -> None:
    """Thirty thousand took seconds to compile, in every place where a log is looked at."""
    line_format = opened(FIELDS + b" x" * 192)
    assert line_format.trouble == ""
    line_format = opened(FIELDS + b" x" * 32_000)
    assert line_format.trouble == "#Fields: names 32008 columns, and 200 is the most"
    assert line_format.parse(LINE, LATEST) is Malformed.NO_MATCH
    assert line_format.parse(FIELDS, LATEST) is Reason.DIRECTIVE
    assert hit(line_format, LINE).time == TIME


@pytest.mark.parametrize(
    ("fields", "stem", "target"),
    [
        ("cs-uri-stem sc-status sc-win32-status", "/my+page.aspx", "/my%20page.aspx"),
        ("cs-uri-stem sc-status s-sitename", "/a+b/c+d", "/a%20b/c%20d"),
        ("cs-uri-stem sc-status x-other", "/c++", "/c++"),  # whoever else wrote it
    ],
)
def test_iis_writes_a_space_in_a_path_as_a_plus(fields: str, stem: str, target: str) -> None:
    line_format = format_named(f"#Fields: date time c-ip cs-method cs-uri-query {fields}")
    line = f"2026-11-22 09:11:12 192.0.2.1 GET a+b=1 {stem} 200 0"
    assert isinstance(line_format, W3cFormat)
    assert hit(line_format, line.encode()).target == f"{target}?a+b=1"


LOCAL = "#Fields: date-local time-local c-ip cs-method cs-uri-stem sc-status"


def test_local_times_need_the_zone_that_they_are_of() -> None:
    line = b"2026-11-22 10:11:12.123 192.0.2.1 GET /a 200"
    with pytest.raises(FormatError, match="set `timezone`"):
        format_named(LOCAL)
    told = format_named(LOCAL, timezone=ZoneInfo("Europe/Berlin"))
    both = format_named(f"{LOCAL} date time", timezone=ZoneInfo("Europe/Berlin"))
    for verdict in (
        told.parse(line, LATEST),
        told.for_file([LOCAL.encode()]).parse(line, LATEST),
        both.parse(line + b" 2026-11-22 09:11:12", LATEST),
    ):
        assert isinstance(verdict, Hit)
        assert verdict.time == TIME
    found = detect([LOCAL.encode(), *[line] * 5], latest=LATEST)
    assert "set `timezone`" in found.explanation
    zone = ZoneInfo("Europe/Berlin")
    assert detect([LOCAL.encode(), *[line] * 5], latest=LATEST, timezone=zone).format
