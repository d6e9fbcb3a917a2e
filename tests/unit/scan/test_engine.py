"""The hot loop and the plain way come to the same verdicts, whatever the lines are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import counted

from ingestor.formats import PRESETS, Format, compile_format, detect, format_named
from ingestor.formats.blocks import Blocks
from ingestor.model import Chunk, Malformed, Reason, Scanned
from ingestor.pageviews import PageViewOptions, Rules, Site
from ingestor.pageviews.paths import ARTICLES
from ingestor.scan import Scanner
from ingestor.scan.scanner import _written
from ingestor.scan.sieve import Sieve

WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
SITE = Site(WEBSITE, "example.com", ("*",))
NOW = 1_796_083_200  # 2026-12-01T00:00:00Z, as in conftest.py
SAMPLES = Path(__file__).parents[3] / "sample_logs"
ROOT = Path(__file__).parents[3]
Make = Callable[[Format, Rules], Scanner]
Check = Callable[[Scanned, Format, Rules], None]

# Presets that learn from the lines before are not judged line by line.
STATELESS = sorted({preset.template: name for name, preset in PRESETS.items()
                    if not preset.template.startswith("#")}.values())  # fmt: skip
DEFINITIONS = {
    "custom": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" "$gzip_ratio" rt=$request_time '
    'uct="$upstream_connect_time" urt="$upstream_response_time"',
    "iso": '$remote_addr [$time_iso8601] "$request" $status "$http_user_agent"',
    "port": '[$time_iso8601] $remote_addr:$remote_port "$request" $status "$http_user_agent"',
    "no method": '$remote_addr [$time_local] "$request_uri" $status "$http_user_agent"',
    "in words": '$remote_addr $host [$time_local] $request_method "$request_uri" $status '
    '"$http_referer" "$http_user_agent"',
    "list": '$remote_addr [$time_local] "$request" $status urt=$upstream_response_time; '
    'rt=$request_time "$http_referer" "$http_user_agent"',
    "header": '$http_x_real_ip [$time_local] "$request" $status "$http_user_agent"',
    "unescaped": 'escape=none \'$remote_addr [$time_local] "$request" $status "$http_user_agent"\'',
}
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
REQUESTS = (
    "GET /pricing HTTP/2.0", "GET /a.css HTTP/1.1", "GET /assets/x.png?v=1 HTTP/2.0",
    "POST /form HTTP/1.1", "HEAD /a.js HTTP/1.1", "GET /a%2Ecss HTTP/1.1", "GET /A.PNG HTTP/1.1",
    "GET /a.css;v=1 HTTP/1.1", "GET /a.css/.. HTTP/1.1", "GET /a.png.html HTTP/1.1",
    "GET /x.css?a=/b.html#c HTTP/1.1", "GET //favicon.ico HTTP/1.0", "GET * HTTP/1.1", "GET foo",
    "GET http://h/x.css HTTP/1.1", "CONNECT h:443 HTTP/1.1", "GET /a b.css HTTP/1.1", "", "-",
    r"\x16\x03\x01", "GET /robots.txt HTTP/1.1", "GET /x.css", "GET /.css HTTP/1.1",
    "PROPFIND /a.css HTTP/1.1", "GET /caf\xe9.css HTTP/1.1", "GET /a.css HTTP/2",
    "GET /b?_rsc=1ld0r HTTP/1.1", "GET /b?a=1&_rsc HTTP/2.0", "GET /b?feed=rss2 HTTP/1.1",
    "GET http://h/b?a=%3d&_rsc=%20 HTTP/1.1", "GET /b?feed=x HTTP/1.1",
    "GET /%00 HTTP/1.1", "GET /b?c d HTTP/1.1", "GET /b?caf\xe9 HTTP/1.1", "GET /b?c\x01d HTTP/1.1",
    "GET /a.css?b c\xe9 HTTP/1.1", "GET /a,b(c)+d&e HTTP/1.1", "GET /(a)+'b'.css HTTP/1.1",
    "GET /wiki/File:X.css HTTP/1.1", "GET /wiki/x.css HTTP/1.1", "GET //wiki/X.css HTTP/1.1",
    "GET /b?c=%41&d=1;2#e HTTP/2.0", "GET /b? HTTP/1.1", "GET /b?c HTTP/1.1 HTTP/1.1",
)  # fmt: skip
AGENTS = (
    CHROME, "-", "", "curl/8.5.0", "Mozilla/5.0 (compatible; Googlebot/2.1)", "x\\", r"a\"b",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "caf\xe9 \\x22",
)  # fmt: skip
FETCHES = (
    'sec_fetch_dest":"image"', 'sec_fetch_dest":"document"', 'x_requested_with":"XMLHttpRequest"',
    'sec_fetch_dest":"empty","http_accept":"text/html, application/xhtml+xml"',
    'sec_fetch_dest":"-"', 'sec_fetch_dest":""', 'sec_purpose":"prefetch"',
)  # fmt: skip
HEADERS = (
    '"headers":{"Sec-Fetch-Dest":["image"],', '"headers":{"Sec-Fetch-Dest":["document"],',
    '"headers":{"Sec-Fetch-Dest":["empty"],"Sec-Fetch-Mode":["navigate"],',
    '"headers":{"X-Requested-With":["XMLHttpRequest"],', '"headers":{"Sec-Purpose":["prefetch"],',
)  # fmt: skip
TIMES = (
    "22/Nov/2026:10:11:12 +0100", "31/Nov/2026:10:11:12 +0100", "29/Feb/2025:00:00:00 +0000",
    "29/Feb/2024:00:00:00 +0000", "01/Dec/2026:12:00:00 +0000", "02/Dec/2026:00:00:01 +0000",
    "02/Dec/2026:00:00:00 +0000", "31/Dec/1994:23:59:59 +0000", "22/nov/2026:10:11:12 +0100",
    "22/Nov/2026:24:11:12 +0100", "22/Nov/2026:10:11:60 +0100", "22/Nov/2026:10:11:12 +1660",
    "30/Jan/1999:10:11:12 -1200", "31/Apr/2020:10:11:12 -1200", "00/Jan/2020:10:11:12 -1200", "-",
)  # fmt: skip
WORDS = (
    "192.0.2.10", "-", "2001:db8::1", "198.51.100.7, 203.0.113.9", "unix:", "nobody", "",
    "192.0.2.1,192.0.2.2", "192.0.2.1,", "a;b", "x?y", "(x)",
)  # fmt: skip
STATUSES = ("200", "304", "404", "206", "000", "20", "x")
BYTES = st.sampled_from([*(bytes([b]) for b in b'"\\ \n\r\t-[]/:?%;.#,0a'), b"\xff", b"\x00"])


@st.composite
def blocks(draw: st.DrawFn, sample: str) -> bytes:
    """Lines made of a sample by other values in its fields, some of them damaged at random."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    found = [_line(rng, sample) for _ in range(draw(st.integers(1, 40)))]
    block = bytearray(b"\n".join(found) + draw(st.sampled_from([b"\n", b"\n", b"", b"\r\n"])))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(block)))
        byte = draw(BYTES)
        how = draw(st.sampled_from(["insert", "put", "drop", "repeat"]))
        if how == "insert":
            block[at:at] = byte
        elif how == "put":
            block[at : at + 1] = byte
        elif how == "drop":
            del block[at : at + 1]
        else:
            block[at:at] = block[at : at + 300]
    return bytes(block)


def _line(rng: random.Random, sample: str) -> bytes:
    line = sample
    changes = (
        ("GET /pricing HTTP/2.0", REQUESTS, 0.8),
        ("/pricing", tuple(each.split(" ")[1] for each in REQUESTS if " " in each), 0.8),
        (CHROME, AGENTS, 0.5),
        ("22/Nov/2026:10:11:12 +0100", TIMES, 0.15),
        ("2026-11-22T", ("2026-12-02T", "2026-02-29T", "1999-01-01T", "x"), 0.1),
        ("1795338672.", ("1796338672.", "0795338672.", "1795338672.9999999", "-1795338672."), 0.1),
        (
            '"status":200',
            (
                '"status":"200"',
                '"status":2e2',
                '"status":null',
                '"status":404',
                '"status":"OK","code":200',
                '"status":404,"code":200',
                '"status":"5","code":"404"',
            ),
            0.3,
        ),
        ('":', ('": ', '\\u0022":'), 0.02),
        ('"headers":{', HEADERS, 0.5),
        ('"status":200', tuple(f'"status":200,"http_{each}' for each in FETCHES), 0.3),
        ("192.0.2.10", WORDS, 0.1),
        (" 200 ", tuple(f" {each} " for each in STATUSES), 0.2),
        ("https://www.example.org/", ("-", "", 'https://x/"', "android-app://x"), 0.3),
    )
    for old, new, often in changes:
        if rng.random() < often:
            line = line.replace(old, rng.choice(new), 1)
    return line.encode("latin-1")


def ready(name: str) -> tuple[Format, str]:
    """A preset or definition, and a line of it."""
    if name in PRESETS:
        return format_named(name, timezone=ZoneInfo("Europe/Berlin")), PRESETS[name].sample
    sample = DEFINITIONS[name].removeprefix("escape=none ").strip("'")
    for variable, value in {
        "$remote_addr": "192.0.2.10", "$http_x_real_ip": "192.0.2.10", "$remote_user": "-",
        "$remote_port": "4711",
        "$time_local": "22/Nov/2026:10:11:12 +0100", "$time_iso8601": "2026-11-22T10:11:12+01:00",
        "$request_uri": "/pricing", "$request_method": "GET", "$request_time": "0.012",
        "$request": "GET /pricing HTTP/2.0", "$status": "200", "$body_bytes_sent": "5316",
        "$http_referer": "https://www.example.org/", "$http_user_agent": CHROME,
        "$gzip_ratio": "-", "$upstream_connect_time": "0.000", "$upstream_response_time": "0.1",
        "$host": "www.example.com",
    }.items():  # fmt: skip
        sample = sample.replace(variable, value)
    return format_named(DEFINITIONS[name]), sample


@pytest.mark.parametrize("name", [*STATELESS, *DEFINITIONS])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_generated_and_damaged_lines(
    name: str, data: st.DataObject, all_rules: list[Rules], scanner: Make, check: Check
) -> None:
    line_format, sample = ready(name)
    rules = data.draw(st.sampled_from(all_rules))
    block = data.draw(blocks(sample))
    scanned = scanner(line_format, rules).scan(Chunk(1, 1000, 1000 + len(block), block))
    check(scanned, line_format, rules)


@pytest.mark.parametrize("name", ["combined", "main", "json", "caddy", "traefik", "ingress_nginx"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_generated_lines_of_a_container(
    name: str, data: st.DataObject, all_rules: list[Rules], scanner: Make, check: Check
) -> None:
    """What its error stream holds beside requests is not malformed, however much it resembles."""
    line_format, sample = format_named(f"container {name}"), PRESETS[name].sample
    lines = data.draw(blocks(sample)).split(b"\n")
    streams = st.sampled_from([b"stdout F ", b"stderr F ", b"stdout P ", b"x "])
    around = [b"2026-11-22T10:11:12.123456789Z " + data.draw(streams) for _ in lines]
    block = b"\n".join(map(bytes.__add__, around, lines))
    rules = data.draw(st.sampled_from(all_rules))
    chunk = Chunk(1, 1000, 1000 + len(block), block)
    check(scanner(line_format, rules).scan(chunk), line_format, rules)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_generated_lines_whose_format_changes(
    data: st.DataObject, all_rules: list[Rules], scanner: Make
) -> None:
    """A prefix that comes up in the middle is followed on every way that a line may take."""
    names = st.sampled_from(["combined", "vhost_combined", "lighttpd", "main", "json"])
    first = PRESETS[data.draw(names)].sample
    fronts = st.sampled_from([b"", b"Nov 22 10:11:12 web nginx: ", b"web-1 | ", b"x ", STDERR])
    lines = data.draw(blocks(first)).split(b"\n") + data.draw(
        blocks(PRESETS[data.draw(names)].sample)
    ).split(b"\n")
    block = b"\n".join(data.draw(fronts) + each for each in lines)
    rules = data.draw(st.sampled_from(all_rules))
    found = [detect([first.encode()] * 20, latest=NOW).format for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    chunk = Chunk(1, 0, len(block), block)
    scanned = scanner(found[0], rules).scan(chunk)
    judged = [each.verdict for each in scanner(found[1], rules).verdicts(chunk)]
    counts = Counter((type(each), each) for each in judged if not isinstance(each, tuple))
    assert counted(scanned.tally) == counts
    assert [view.payload for view in scanned.page_views] == [
        each[1] for each in judged if isinstance(each, tuple)
    ]


STDERR = b"2026-11-22T10:11:12.123456789Z stderr F "


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("json", (b'{"level":"error","time":"2026-11-22T10:11:12+01:00","msg":"upstream timed out",'
                 b'"method":"GET","uri":"/x","status":502}')),
        ("combined", b'- - - [22/Nov/2026:10:11:12 +0100] "GET /x HTTP/1.1" 200 1 "-" "x"'),
    ],
)  # fmt: skip
def test_an_error_that_resembles_a_request_is_no_malformed_line(
    name: str, line: bytes, scanner: Make
) -> None:
    line_format, block = format_named(f"container {name}"), STDERR + line + b"\n"
    rules, chunk = Rules(PageViewOptions(), (SITE,)), Chunk(1, 0, len(block), block)
    scanned = scanner(line_format, rules)
    assert scanned.scan(chunk).tally.malformed == {}
    assert scanned.scan(chunk).tally.filtered == {Reason.DIRECTIVE: 1}
    assert [each.verdict for each in scanned.verdicts(chunk)] == [Reason.DIRECTIVE]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.log")), ids=lambda path: path.name)
def test_sample_logs(path: Path, all_rules: list[Rules], scanner: Make) -> None:
    for rules in all_rules:
        _whole_file(path, rules, scanner)


@pytest.mark.parametrize("path", sorted((ROOT.parent / "shared" / "logs").glob("*")) or [None],
                         ids=str)  # fmt: skip
def test_logs_of_others(path: Path | None, scanner: Make) -> None:
    if path is None:
        pytest.skip("no shared logs are here")
    _whole_file(path, Rules(PageViewOptions(), ()), scanner)


def _whole_file(path: Path, rules: Rules, scanner: Make) -> None:
    """The scanner's own plain way is the measure: these formats may learn from the lines."""
    data = path.read_bytes()
    lines = [line for line in data.split(b"\n")[:500] if line]
    line_format = detect(lines, latest=NOW, timezone=ZoneInfo("Europe/Berlin")).format
    if line_format is None:
        line_format = format_named("combined")
    chunk = Chunk(1, 0, len(data), data)
    scanned = scanner(line_format.for_file(lines), rules).scan(chunk)
    judged = list(scanner(line_format.for_file(lines), rules).verdicts(chunk))
    views = [(*each.verdict, each.start, each.line) for each in judged
             if isinstance(each.verdict, tuple)]  # fmt: skip
    assert views == [
        (view.website, view.payload, view.line_start, view.line) for view in scanned.page_views
    ]
    counts = Counter(
        (type(each.verdict), each.verdict) for each in judged if not isinstance(each.verdict, tuple)
    )
    assert counted(scanned.tally) == counts
    assert scanned.tally.lines == len(judged)


def line(request: str = "GET /a.css HTTP/1.1", time: str = TIMES[0], tail: str = "-") -> bytes:
    return f'192.0.2.1 - - [{time}] "{request}" 200 1 "-" "{tail}"\n'.encode()


def scan(block: bytes, scanner: Make, **options: object) -> Scanned:
    rules = Rules(PageViewOptions(**options), ())  # type: ignore[arg-type]
    return scanner(format_named("combined"), rules).scan(Chunk(1, 0, len(block), block))


@pytest.mark.parametrize("in_order", [True, False])
def test_a_word_of_both_kinds_is_counted_as_what_it_is(scanner: Make, *, in_order: bool) -> None:
    """`status` is a reason and a kind of malformed line: one counter took them for the same."""
    lines = [
        line("GET /x HTTP/1.1").replace(b'" 200 ', b'" %b ' % code) for code in (b"404", b"0200")
    ]
    tally = scan(b"".join(lines if in_order else lines[::-1]), scanner, filter_bots=False).tally
    assert (tally.malformed, tally.filtered) == ({Malformed.STATUS: 1}, {Reason.STATUS: 1})


def test_a_blank_line_is_the_logs_own_and_not_malformed(scanner: Make) -> None:
    block = b"\n" + line("GET /x HTTP/1.1") + b"\r\n  \t\n" + line("GET /y HTTP/1.1") + b"\n"
    tally = scan(block, scanner, filter_bots=False, require_user_agent=False).tally
    assert (tally.lines, tally.malformed) == (6, {})
    assert tally.filtered == {Reason.DIRECTIVE: 4}


def test_a_prefix_in_the_middle_of_a_log_costs_no_page_view(scanner: Make) -> None:
    """Read as combined, what stands first in the line would be the address."""
    plain = line("GET /x HTTP/1.1", tail=CHROME)
    found = detect(plain.split(b"\n")[:1] * 20, latest=NOW).format
    assert found is not None
    block = plain + b"Nov 22 10:11:12 web nginx: " + plain + STDERR + plain
    rules = Rules(PageViewOptions(), (SITE,))
    scanned = scanner(found, rules).scan(Chunk(1, 0, len(block), block))
    assert [view.payload["ip"] for view in scanned.page_views] == ["192.0.2.1"] * 3


def test_a_payload_that_json_cannot_hold_could_be_stored_nowhere() -> None:
    """No rule gives one; if one ever did, it would stop no log."""
    assert _written((WEBSITE, {"title": "\udcff"})) is Reason.UNSTORABLE
    assert _written((WEBSITE, {"userAgent": "x", "timestamp": 1})) == (
        WEBSITE, b'{"userAgent":"x","timestamp":1}', "x", 1,
    )  # fmt: skip


def test_a_future_asset_is_malformed_and_no_asset(scanner: Make) -> None:
    block = line(time="02/Dec/2026:00:00:01 +0000") * 3 + line(time="02/Dec/2026:00:00:00 +0000")
    tally = scan(block, scanner).tally
    assert tally.malformed == {Malformed.TIME: 3}
    assert tally.filtered == {Reason.ASSET: 1}


def test_few_times_are_remembered_for_each_of_many_files() -> None:
    """A daemon follows a thousand busy logs in 80 MB, and a time is 150 bytes."""
    rules = Rules(PageViewOptions(), (SITE,))
    combined = format_named("combined")
    made = Scanner(combined, rules, site=SITE, clock=lambda: NOW, in_blocks=False)
    for second in range(3_600):
        time = f"22/Nov/2026:10:{second // 60:02}:{second % 60:02} +0100"
        data = line(time=time)
        assert made.scan(Chunk(1, 0, len(data), data)).tally.filtered == {Reason.ASSET: 1}
        assert 0 < len(made._times) <= 64


def test_a_day_that_no_month_has_is_malformed(scanner: Make) -> None:
    days = ("31/Apr/2025", "30/Feb/2024", "29/Feb/2023", "32/Jan/2020", "00/Jan/2020")
    block = b"".join(line(time=f"{day}:00:00:00 +0000") for day in days)
    assert scan(block, scanner).tally.malformed == {Malformed.TIME: len(days)}


def test_a_quote_that_swallows_a_newline_is_seen(scanner: Make) -> None:
    """The two lines look like one asset to an expression that does not count newlines."""
    broken = line()[:-2] + b'\nx"\n'
    tally = scan(line() * 2 + broken + line(), scanner).tally
    assert tally.malformed == {Malformed.NO_MATCH: 2}
    assert tally.filtered == {Reason.ASSET: 3}


@pytest.mark.parametrize("name", ["combined", "combined_trailing", "main_trailing"])
def test_escapes_are_undone_also_where_a_line_cannot_be_split(name: str, scanner: Make) -> None:
    line_format, sample = ready(name)
    block = sample.replace("www.example.org/", r"www.example.org/\x41").encode() + b"\n"
    rules = Rules(PageViewOptions(), (Site(WEBSITE, "example.com"),))
    (page_view,) = scanner(line_format, rules).scan(Chunk(1, 0, len(block), block)).page_views
    assert page_view.payload["referrer"] == "https://www.example.org/A"


def test_page_views_among_equal_lines_have_their_own_places(scanner: Make) -> None:
    page, asset = line("GET /page HTTP/1.1", tail=CHROME), line()
    block = b"garbage " + page + page + asset + page + asset + page[:-1]
    rules = Rules(PageViewOptions(), (Site(WEBSITE, "example.com"),))
    scanned = scanner(format_named("combined"), rules).scan(Chunk(1, 7, 7 + len(block), block))
    first = 7 + len(b"garbage ") + len(page)
    both = len(page) + len(asset)
    assert [view.line_start for view in scanned.page_views] == [
        first, first + both, first + 2 * both,
    ]  # fmt: skip


def blocks_of(line_format: Format, line: bytes, **what: set[str]) -> Blocks | None:
    """What reads blocks of lines like this one."""
    layout = line_format.layout(line)
    assets, methods = what.get("assets", {"css", "js"}), what.get("methods", {"GET"})
    return None if layout is None else Blocks(layout, assets, methods, ARTICLES.encode())


@pytest.mark.parametrize(
    "name", ["combined", "vhost_combined", "main", "ingress_nginx", "plesk", "json", "caddy",
             "traefik_json", "custom", "iso"]
)  # fmt: skip
def test_a_block_is_told_into_assets_plain_lines_and_others(name: str) -> None:
    line_format, sample = ready(name)
    reader = blocks_of(line_format, sample.encode())
    assert reader is not None
    asset = sample.replace("/pricing", "/static/app.min.css?v=1")
    block = reader.read(f"{asset}\n{sample}\n{sample[1:]} \n{asset}\r\n".encode(), NOW)
    assert (block.lines, block.assets, block.plain.tolist()) == (4, 2, [1])
    last = len(sample) - 1
    at = len(asset) + len(sample) + 2
    assert block.others() == [(at, at + last + 1)]


@pytest.mark.parametrize("name", ["combined", "main", "json", "caddy", "traefik_json", "custom"])
def test_a_block_has_the_values_that_the_splitter_gives(name: str) -> None:
    line_format, sample = ready(name)
    line = sample.encode()
    columns = line_format.split(line)
    reader = blocks_of(line_format, line)
    assert columns is not None
    assert reader is not None
    block = reader.read(b"\n".join([line] * 3), NOW)
    assert block.plain.tolist() == [0, 1, 2]
    for role, at in line_format.columns.items():
        assert block.texts(role, block.plain) == [columns[at]] * 3
    assert block.knows_zone
    assert block.times(block.plain) == [line_format.time_of(columns)] * 3
    statuses = block.statuses(block.plain)
    assert statuses is not None
    assert statuses.tolist() == [200] * 3


@pytest.mark.parametrize(
    ("methods", "assets", "target", "is_asset"),
    [
        ({"GET"}, {"css"}, "GET /a.css HTTP/1.1", True),
        ({"GET"}, {"css"}, "GET /a.css?b=/c HTTP/2.0", True),
        ({"GET", "POST"}, {"css"}, "POST /a.css HTTP/1.0", False),  # the rules will say so
        ({"GET"}, {"css"}, "POST /a.css HTTP/1.1", False),
        ({"GET"}, {"js"}, "GET /a.css HTTP/1.1", False),
        ({"GET"}, {"css"}, "GET /a.css/b HTTP/1.1", False),
        ({"GET"}, {"css"}, "GET /a;b.css HTTP/1.1", False),
        ({"GET"}, {"css"}, "GET /a%2Fb.css HTTP/1.1", False),
        ({"GET"}, {"css"}, "GET /a?b.css HTTP/1.1", False),
        ({"GET"}, {"css"}, "GET /acss HTTP/1.1", False),
        ({"GET"}, {"css"}, "GET /wiki/a.css HTTP/1.1", False),  # perhaps an article
        ({"GET"}, {"css"}, "GET /wikis/a.css HTTP/1.1", True),
        ({"GET"}, {"css"}, "GET a.css HTTP/1.1", False),
        ({"GET"}, {"css"}, "GET /a.css", False),
        (set(), {"css"}, "GET /a.css HTTP/1.1", False),
        ({"GET"}, set(), "GET /a.css HTTP/1.1", False),
        ({"GET"}, {"a-b", "."}, "GET /a.a-b HTTP/1.1", False),
    ],
)  # fmt: skip
def test_only_what_nothing_else_decides_is_an_asset(
    methods: set[str], assets: set[str], target: str, is_asset: bool
) -> None:
    text = line(target)
    reader = blocks_of(format_named("combined"), text[:-1], methods=methods, assets=assets)
    assert reader is not None
    block = reader.read(text, NOW)
    assert block.assets == is_asset
    assert block.plain.tolist() == ([] if is_asset else [0])


def test_many_lines_shorter_than_any_ordinary_one_are_not_read_as_a_block() -> None:
    """Half a million empty lines took arrays of half a million numbers, and a search in each."""
    ordinary = line("GET /a.css HTTP/1.1")
    reader = blocks_of(format_named("combined"), ordinary[:-1])
    assert reader is not None
    assert reader.read(ordinary * 50 + b"\n" * 20, NOW) is not None
    assert reader.read(ordinary * 50 + b"\n" * 1000, NOW) is None


def test_no_layout_is_known_where_a_value_could_reach_further() -> None:
    local = b'192.0.2.1 [01/Nov/2026:00:00:00 +0000] "/x" 200 "-"'
    assert compile_format(DEFINITIONS["no method"]).layout(local) is None
    assert format_named("combined").layout(b"nonsense") is None
    assert format_named("json").layout(b'{"a":1}') is None
    zoneless = compile_format('$remote_addr [$time_local] "$request" $status')
    assert zoneless.layout(b'192.0.2.1 [01/Nov/2026:00:00:00] "GET / HTTP/1.1" 200') is None
    tabs = compile_format('$remote_addr\t[$time_local]\t"$request"\t$status')
    line = b'192.0.2.1\t[01/Nov/2026:00:00:00 +0000]\t"GET / HTTP/1.1"\t200'
    assert tabs.split(line) is not None
    assert tabs.layout(line) is None


@pytest.mark.parametrize(
    ("time", "is_sure"),
    [
        ("01/Dec/2026:00:00:00 +0000", True), ("01/Dec/2026:00:00:01 +0000", False),
        ("01/Dec/2026:01:00:00 +0100", True), ("30/Nov/2026:23:59:60 +0000", False),
        ("31/Nov/2026:00:00:00 +0000", False), ("31/Dec/1994:23:59:59 +0000", False),
        ("01/Xyz/2020:00:00:00 +0000", False), ("01/Nov/2020:00:00:00 +1600", False),
        ("29/Feb/2024:12:34:56 -0730", True),
    ],
)  # fmt: skip
def test_a_time_is_sure_in_its_month_and_zone_and_not_in_the_future(
    time: str, is_sure: bool
) -> None:
    combined = format_named("combined")
    text = line(time=time)
    reader = blocks_of(combined, text[:-1])
    assert reader is not None
    block = reader.read(text, NOW)
    assert block.lines == block.assets + block.odd == 1
    assert block.assets == is_sure
    other = reader.read(line(time="02/Jan/2010:00:00:00 +0000"), NOW)
    assert other.odd


def test_a_time_without_zone_keeps_its_distance_from_the_future() -> None:
    bare = compile_format('$remote_addr [$bare_time] "$request" $status', timezone=ZoneInfo("UTC"))
    text = b'192.0.2.1 [%b] "GET /x HTTP/1.1" 200\n'
    reader = blocks_of(bare, text[:-1] % b"01/Nov/2026:00:00:00")
    assert reader is not None
    block = reader.read(text % b"30/Nov/2026:07:59:59" + text % b"30/Nov/2026:08:00:01", NOW)
    assert not block.knows_zone
    assert block.plain.tolist() == [0]
    assert block.odd == 1


EPOCH = '$remote_addr [$msec] "$request" $status "$http_user_agent"'
MSEC_JSON = '{"t":$msec,"a":"$remote_addr","r":"$request","s":$status,"u":"$http_user_agent"}'


@pytest.mark.parametrize(
    ("definition", "first", "other"),
    [
        (EPOCH, "[1795338672.123]", "[17953.8672]"),
        (EPOCH, "[1795338672.123]", "[1795338672.1234567890123]"),
        (MSEC_JSON, '"t":1795338672.123', '"t":1795338.72'),
        (MSEC_JSON, '"s":200', '"s":020'),
        (MSEC_JSON, '"a":"192.0.2.1"', '"s" :404,"a":"192.0.2.1","l" :[{"q":1}]'),
        ("combined", "GET /a HTTP", "CONNECT http://h/x HTTP"),
    ],
)
def test_what_looks_like_the_line_before_is_judged_alike(
    definition: str, first: str, other: str, scanner: Make, check: Check
) -> None:
    """Found by an attack on blocks: each of the second lines was taken for one like the first."""
    line_format = format_named(definition)
    sample = {
        EPOCH: '192.0.2.1 [1795338672.123] "GET /a HTTP/1.1" 200 "Mozilla/5.0 Chrome/142"\n',
        MSEC_JSON: '{"t":1795338672.123,"a":"192.0.2.1","r":"GET /a HTTP/1.1","s":200,'
        '"u":"Mozilla/5.0 Chrome/142"}\n',
        "combined": '192.0.2.1 - - [22/Nov/2026:10:11:12 +0100] "GET /a HTTP/1.1" 200 1 "-" "x"\n',
    }[definition]
    block = (sample + sample.replace(first, other)).encode()
    rules = Rules(PageViewOptions(statuses=("000-599",)), (SITE,))
    check(scanner(line_format, rules).scan(Chunk(1, 0, len(block), block)), line_format, rules)


def test_files_of_a_kind_share_what_reads_them_and_odd_ones_are_read_once() -> None:
    line_format, rules = format_named("combined"), Rules(PageViewOptions(), ())
    sieves = [Sieve(line_format, rules) for _ in range(3)]
    for second, sieve in enumerate(sieves):
        sieve.least = 0
        odd = line(tail="\\x22")
        for time in (f"22/Nov/2026:10:11:{second:02d} +0100", "23/Nov/2026:00:00:00 +0100"):
            block = sieve.sift(line(time=time) + odd, NOW)
            assert block is not None
            assert (block.assets, block.odd) == (1, 1)
    assert len({id(sieve._blocks) for sieve in sieves}) == 1
    assert sieves[0]._look_for_layout(line()) is None
    mostly_odd = line() + b"\n" * 1000
    assert sieves[0].sift(mostly_odd, NOW) is None, "lines that are none cost less one by one"
