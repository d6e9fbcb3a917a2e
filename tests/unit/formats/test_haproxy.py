"""HAProxy's log-format, pasted."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from ingestor.errors import FormatError
from ingestor.formats import PRESETS, detect, format_named
from ingestor.formats.haproxy import is_haproxy
from ingestor.model import Hit, Malformed

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
    """HAProxy's own definition of `option httplog clf`, whose captures may be none or several."""
    definition = (
        r"%{+Q}o\ %{-Q}ci\ -\ -\ [%trg]\ %r\ %ST\ %B\ \"\"\ \"\"\ %cp\ %ms\ %ft\ %b\ %s\ "
        r"%TR\ %Tw\ %Tc\ %Tr\ %Ta\ %tsc\ %ac\ %fc\ %bc\ %sc\ %rc\ %sq\ %bq\ %CC\ %CS\ %hrl\ %hsl"
    )
    named = definition.replace("%hrl", r"\"$host\"\ \"$http_user_agent\"")
    front = (
        '192.0.2.10 - - [22/Nov/2026:09:11:12 +0000] "GET /pricing HTTP/1.1" 200 2750 "" "" '
        '33317 655 "http-in" "static" "srv1" 10 0 30 69 109 ---- 1 1 1 1 0 0 0 '
    )
    for rest in ('"" "" ', '"-" "-" "www.example.com" ', f'"" "" "www.example.com" "{AGENT}" "x"'):
        hit = format_named(definition).parse((front + rest).encode(), LATEST)
        assert isinstance(hit, Hit), hit
        assert (hit.time, hit.target, hit.status) == (TIME, "/pricing", 200)
    for rest in ('"" "" "a.example" "M #225#22" ', '"" "" "a.example" "M #225#22" "text/html"'):
        hit = format_named(named).parse((front + rest).encode(), LATEST)
        assert isinstance(hit, Hit), hit
        assert (hit.host, hit.user_agent) == ("a.example", 'M "5"')
    none = front.replace("GET /pricing HTTP/1.1", "<BADREQ>") + '"" "" '
    assert format_named(named).parse(none.encode(), LATEST) is Malformed.REQUEST


def test_captured_headers_are_named_by_writing_them_out() -> None:
    definition = HTTPLOG.replace("%hr %hs", "{$host|$http_user_agent} %hs")
    line = (FRONT + REST.format(" {www.example.com|" + AGENT + "}")).encode()
    hit = format_named(definition, timezone=BERLIN).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.host, hit.user_agent) == ("www.example.com", AGENT)


NAMED = HTTPLOG.replace("%hr %hs", "{$host|$http_user_agent|$http_referer} %hs")


def test_captured_headers_are_named_where_answers_have_some_too() -> None:
    line = (FRONT + REST.format(" {www.example.com|" + AGENT + "|} {text/html}")).encode()
    hit = format_named(NAMED, timezone=BERLIN).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.host, hit.user_agent, hit.referrer) == ("www.example.com", AGENT, "")


# What HAProxy 2.6 wrote, and what was sent: target, host, user agent, referrer.
SENT = [
    (
        r' {www.example.com|M a\b\\c\x41\n\|https://a.example/\} "GET /b\s\?x=\#22 HTTP/1.1"',
        (r"/b\s\?x=\"", r"M a\b\\c\x41\n" + "\\", "https://a.example/\\"),
    ),
    (
        """ {www.example.com|M #225.0#22 'x'|https://a/#22x#22} "GET /?#22a#22&b='c' HTTP/1.1\"""",
        ("""/?"a"&b='c'""", """M "5.0" 'x'""", 'https://a/"x"'),
    ),
    (
        ' {www.example.com|M #2322 #23|https://a/a#7Cb} "GET /bars|and{braces}#2322 HTTP/1.1"',
        ("/bars|and{braces}#22", "M #22 #", "https://a/a|b"),
    ),
    (
        ' {www.example.com|M #C3#9C/#F0#9F#98#80|https://#C3#A4/#80} "GET /#C3#A9?#FF HTTP/1.1"',
        ("/é?\udcff", "M Ü/😀", "https://ä/\udc80"),
    ),
    (
        ' {www.example.com|M#7D #7B#7D #22GET /x HTTP/1.1|https://a/#22  #22} "GET / HTTP/1.1"',
        ("/", 'M} {} "GET /x HTTP/1.1', 'https://a/"  "'),
    ),
]


@pytest.mark.parametrize(("written", "sent"), SENT)
def test_its_own_escapes_are_undone_and_a_backslash_is_none(
    written: str, sent: tuple[str, str, str]
) -> None:
    front = FRONT + "- - ---- 1/1/1/1/0 0/0"
    hit = format_named(NAMED, timezone=BERLIN).parse((front + written).encode(), LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.target, hit.user_agent, hit.referrer) == sent
    assert hit.host == "www.example.com"
    for name in ("haproxy", "httpslog"):
        more = " 0/0000000000000000/0/0/0 www.example.com/TLSv1.3/-" if name == "httpslog" else ""
        hit = format_named(name, timezone=BERLIN).parse((front + written + more).encode(), LATEST)
        assert isinstance(hit, Hit), hit
        assert hit.target == sent[0]


def test_samples_are_as_they_were_sent() -> None:
    """HAProxy escapes nothing in them, unless it is told to by the flag E."""
    definition = "%ci %trg %HM %HPO%HQ %HV %ST %{+Q}[var(txn.user_agent)] %{+Q}[var(txn.referer)]"
    line = rb'192.0.2.10 22/Nov/2026:09:11:12 +0000 GET /#23?x HTTP/1.1 200 "M #22 \x41\" "https://a/\"'
    hit = format_named(definition).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.target, hit.user_agent, hit.referrer) == ("/#?x", "M #22 \\x41\\", "https://a/\\")


def test_the_flag_for_escapes_is_heeded() -> None:
    definition = "%ci %trg %{+Q,+E}r %ST %{+Q,+E}[var(txn.user_agent)]"
    front = b"192.0.2.10 22/Nov/2026:09:11:12 +0000 "
    line = front + rb'"GET /\\?x=\\#22 HTTP/1.1" 200 "M \"5\" [a\] \\x41"'
    hit = format_named(definition).parse(line, LATEST)
    assert isinstance(hit, Hit), hit
    assert (hit.target, hit.user_agent) == ('/\\?x=\\"', 'M "5" [a] \\x41')


def test_a_request_that_was_cut_is_no_page_view_of_another_page() -> None:
    """HAProxy keeps 1,024 bytes of a request (tune.http.logurilen), and of a line (len)."""
    cut = ("GET /" + "a" * 2000)[:1023]
    front = FRONT + "- - ---- 1/1/1/1/0 0/0 "
    for written in (f'"{cut}"', f'"{cut} HTTP/1."', f'"{cut} H"', f'"{cut[:900]}', "{www.exa"):
        for definition in ("haproxy", HTTPLOG):
            line_format = format_named(definition, timezone=BERLIN)
            verdict = line_format.parse((front + written).encode(), LATEST)
            assert isinstance(verdict, Malformed), written
    in_parts = format_named("%ci %trg %HM %HPO%HQ %HV %ST")
    for protocol, kind in (("HTTP/0.9", Malformed), ("HTTP/1.1", Hit)):
        line = f"192.0.2.10 22/Nov/2026:09:11:12 +0000 {cut} {protocol} 200"
        assert isinstance(in_parts.parse(line.encode(), LATEST), kind)


def test_where_it_found_no_request_it_captured_nothing() -> None:
    """A scanner's connections are laid to the scanner, and not to the format that was named."""
    line = (FRONT + '- - PR-- 1/1/0/0/0 0/0 "<BADREQ>"').encode()
    for definition in ("haproxy", HTTPLOG, NAMED):
        assert format_named(definition, timezone=BERLIN).parse(line, LATEST) is Malformed.REQUEST


def test_the_log_of_https_is_found() -> None:
    line = (
        b"127.0.0.1:56502 [29/Nov/2026:15:26:23.241] h2s~ h2s/<NOSRV> 0/-1/-1/-1/0 200 73 - - LR-- "
        b'1/1/0/0/0 0/0 {www.example.com} "GET https://www.example.com/h2?a=b HTTP/2.0" '
        b"0/0000000000000000/0/0/0 www.example.com/TLSv1.3/TLS_AES_256_GCM_SHA384"
    )
    plain = (FRONT + REST.format("")).encode()
    for lines, name in (([line] * 3, "haproxy_https"), ([plain] * 3, "haproxy")):
        found = detect(lines, latest=LATEST, timezone=BERLIN)
        assert found.format is not None, found.explanation
        assert found.format.name == name
        assert isinstance(found.format.parse(lines[0], LATEST), Hit)


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
