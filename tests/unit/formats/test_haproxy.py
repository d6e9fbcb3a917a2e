"""HAProxy's log-format, pasted."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from ingestor.errors import FormatError
from ingestor.formats import PRESETS, format_named
from ingestor.formats.haproxy import is_haproxy
from ingestor.model import Hit

LATEST = 1_800_000_000
BERLIN = ZoneInfo("Europe/Berlin")
TIME = 1_795_338_672  # 22/Nov/2026:10:11:12 +0100
HTTPLOG = (
    "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc "
    "%ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r"
)
FRONT = "192.0.2.10:33317 [22/Nov/2026:10:11:12.655] http-in static/srv1 10/0/30/69/109 200 2750 "
REST = '- - ---- 1/1/1/1/0 0/0{} "GET /pricing?a=b HTTP/1.1"'
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize("captured", ["", " {www.example.com}", " {a|b} {}"])
@pytest.mark.parametrize(
    "written",
    [
        HTTPLOG,
        f'log-format "{HTTPLOG}"',
        f"log-format '{HTTPLOG}'",
        "log-format " + HTTPLOG.replace(" ", "\\ ").replace('"', '\\"'),
    ],
)
def test_its_default_is_read_however_it_is_quoted(written: str, captured: str) -> None:
    line = (FRONT + REST.format(captured)).encode()
    hit = format_named(written, timezone=BERLIN).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.time, hit.address, hit.status) == (TIME, "192.0.2.10", 200)
    assert (hit.method, hit.target, hit.protocol) == ("GET", "/pricing?a=b", "HTTP/1.1")


def test_a_request_that_got_no_answer_is_one() -> None:
    """HAProxy writes -1 where a client gave up in the queue: no such line speaks against a log."""
    line = (FRONT.replace(" 200 2750 ", " -1 0 ") + REST.format("")).encode()
    hit = format_named(HTTPLOG, timezone=BERLIN).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.target, hit.status) == ("/pricing?a=b", 0)


def test_the_request_in_parts_and_headers_kept_in_variables_are_known() -> None:
    definition = (
        'log-format "%[src] %trg %HM %HP%HQ %HV %ST %{+Q}[var(txn.host)] '
        '%{+Q}[var(txn.req.user_agent)] %{+Q}[req.hdr(Referer),lower] %Th %[unique-id] 100%%"'
    )
    line = (
        "192.0.2.10 22/Nov/2026:09:11:12 +0000 GET /pricing?a=b HTTP/2.0 200 "
        f'"www.example.com" "{AGENT}" "https://a.example/" 3 8f3c 100%'
    ).encode()
    hit = format_named(definition).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.time, hit.target, hit.host) == (TIME, "/pricing?a=b", "www.example.com")
    assert (hit.user_agent, hit.referrer) == (AGENT, "https://a.example/")


def test_json_with_what_it_remembers_of_the_request_is_read() -> None:
    definition = (
        """log-format '{"t":"%Ts.%ms","ip":"%ci","m":"%[capture.req.method]","""
        """"u":"%[capture.req.uri,json(utf8s)]","p":"%[capture.req.ver]","status":%ST,"""
        """"user_agent":"%[var(txn.ua),json(utf8s)]"}'"""
    )
    line = (
        '{"t":"1795338672.126","ip":"192.0.2.10","m":"GET","u":"\\/pricing?a=b",'
        f'"p":"HTTP\\/1.1","status":200,"user_agent":"{AGENT}"}}'
    ).encode()
    hit = format_named(definition).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.time, hit.address, hit.status) == (TIME, "192.0.2.10", 200)
    assert (hit.method, hit.target, hit.protocol) == ("GET", "/pricing?a=b", "HTTP/1.1")
    assert hit.user_agent == AGENT


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ("%HM %HP %HQ", "GET /caf%C3%A9 ?a=%20b"),
        ("%HM %HP%HQ", "GET /caf%C3%A9?a=%20b"),
        ('%HM "%[path]" "%HQ"', 'GET "/caf%C3%A9" "?a=%20b"'),
        ("%HM %[path]?%[query]", "GET /caf%C3%A9?a=%20b"),
        ('"%HM %[path]?%[query] %HV"', '"GET /caf%C3%A9?a=%20b HTTP/1.1"'),
    ],
)
def test_a_path_is_as_it_was_sent(parts: str, line: str) -> None:
    """nginx's $uri is decoded, and what is encoded in it was encoded twice."""
    text = format_named(f'log-format "%ci %trg {parts} %ST"')
    hit = text.parse(f"192.0.2.10 22/Nov/2026:09:11:12 +0000 {line} 200".encode(), LATEST)
    assert isinstance(hit, Hit), hit
    assert hit.target == "/caf%C3%A9?a=%20b"
    for keys, values in [
        ('"path":"%HP","query":"%HQ"', b'"path":"/caf%C3%A9","query":"?a=%20b"'),
        ('"url":"%[path]?%[query]"', b'"url":"/caf%C3%A9?a=%20b"'),
    ]:
        in_json = format_named(f'log-format \'{{"ip":"%ci","time":"%trg",{keys},"status":%ST}}\'')
        hit = in_json.parse(
            b'{"ip":"192.0.2.10","time":"22/Nov/2026:09:11:12 +0000",' + values + b',"status":200}',
            LATEST,
        )
        assert isinstance(hit, Hit), hit
        assert hit.target == "/caf%C3%A9?a=%20b"


def test_quotes_for_all_that_follows_are_understood() -> None:
    definition = "%{+Q}o %{-Q}ci %{-Q}trg %r %{-Q}ST %[req.hdr(user-agent)]"
    line = f'192.0.2.10 22/Nov/2026:09:11:12 +0000 "GET / HTTP/1.1" 200 "{AGENT}"'.encode()
    hit = format_named(definition).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert hit.user_agent == AGENT


def test_numbers_and_times_are_never_quoted() -> None:
    """HAProxy's own definition of `option httplog clf`."""
    definition = (
        r"%{+Q}o\ %{-Q}ci\ -\ -\ [%trg]\ %r\ %ST\ %B\ \"\"\ \"\"\ %cp\ %ms\ %ft\ %b\ %s\ "
        r"%TR\ %Tw\ %Tc\ %Tr\ %Ta\ %tsc\ %ac\ %fc\ %bc\ %sc\ %rc\ %sq\ %bq\ %CC\ %CS\ %hrl\ %hsl"
    )
    line = (
        b'192.0.2.10 - - [22/Nov/2026:09:11:12 +0000] "GET /pricing HTTP/1.1" 200 2750 "" "" '
        b'33317 655 "http-in" "static" "srv1" 10 0 30 69 109 ---- 1 1 1 1 0 0 0 "-" "-" '
    )
    hit = format_named(definition).parse(line + b'"www.example.com" "x"', LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.time, hit.target, hit.status) == (TIME, "/pricing", 200)


def test_captured_headers_are_named_by_writing_them_out() -> None:
    definition = HTTPLOG.replace("%hr %hs", "{$host|$http_user_agent} %hs")
    line = (FRONT + REST.format(" {www.example.com|" + AGENT + "}")).encode()
    hit = format_named(definition, timezone=BERLIN).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.host, hit.user_agent) == ("www.example.com", AGENT)


def test_what_no_line_could_tell_is_refused() -> None:
    with pytest.raises(FormatError, match="json"):
        format_named("log-format %{+json}o %(ip)ci")
    with pytest.raises(FormatError, match="time"):
        format_named("log-format %ci %ST %{+Q}r")
    with pytest.raises(FormatError, match="zone"):
        format_named(HTTPLOG)


def test_other_definitions_are_not_taken_for_it(definitions: dict[str, str]) -> None:
    assert is_haproxy(HTTPLOG)
    for definition in (*definitions.values(), *(each.template for each in PRESETS.values())):
        assert not is_haproxy(definition), definition
