"""Definitions as they stand in the configuration of nginx and Apache."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest

from ingestor.errors import FormatError
from ingestor.formats import compile_format, format_named
from ingestor.model import Hit, Malformed

LATEST = 1_800_000_000
TIME = "22/Nov/2026:10:11:12 +0100"


def parsed(definition: str, line: str | bytes, **options: str) -> Hit | Malformed:
    line_format = compile_format(definition, **options)  # type: ignore[arg-type]
    raw = line.encode() if isinstance(line, str) else line
    verdict = line_format.parse(raw, LATEST)
    columns = line_format.split(raw)
    if columns is not None:
        assert line_format.hit(columns, LATEST) == verdict
    assert isinstance(verdict, Hit | Malformed)
    return verdict


def hit(definition: str, line: str | bytes, **options: str) -> Hit:
    verdict = parsed(definition, line, **options)
    assert isinstance(verdict, Hit), verdict
    return verdict


NGINX_SHORT = '$remote_addr [$time_local] "$request" $status'
SHORT_LINE = f'192.0.2.1 [{TIME}] "GET / HTTP/1.1" 200'
COMBINED = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (f'2001:db8::1 - - [{TIME}] "GET / HTTP/2.0" 200 1 "-" "x"', "address", "2001:db8::1"),
        (f'host.example.org - - [{TIME}] "GET / HTTP/3.0" 200 - "-" "x"', "protocol", "HTTP/3.0"),
        (f'unix: - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x"', "address", "unix:"),
        (f'192.0.2.1 - a b [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x"', "user_agent", "x"),
        (f'192.0.2.1 - a [b [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x"', "status", 200),
        (f'192.0.2.1 -  [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x"', "address", "192.0.2.1"),
        (f'192.0.2.1 - "" [{TIME}] "GET / HTTP/1.1" 401 1 "-" "x"', "status", 401),
        (
            f'10.0.0.2, 10.0.0.1,127.0.0.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x"',
            "address",
            "10.0.0.2, 10.0.0.1,127.0.0.1",
        ),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "" ""', "referrer", ""),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "-"', "user_agent", ""),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "a\\"b\\\\"', "user_agent", 'a"b\\'),
        (f'192.0.2.1 - - [{TIME}] "GET /\\x22 HTTP/1.1" 200 1 "-" "-"', "target", '/"'),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 000 1 "-" "-"', "status", 0),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" - - "-" "-"', "status", 0),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x"\r', "user_agent", "x"),
    ],
)
def test_combined_lines_give_what_was_sent(line: str, field: str, value: object) -> None:
    assert getattr(hit(COMBINED, line), field) == value


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", Malformed.NO_MATCH),
        ("Bad line", Malformed.NO_MATCH),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1', Malformed.NO_MATCH),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "cut', Malformed.NO_MATCH),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x" "y"', Malformed.NO_MATCH),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 1 "a" "b" c"', Malformed.NO_MATCH),
        (f'- - - [{TIME}] "GET / HTTP/1.1" 200 1 "-" "x"', Malformed.NO_MATCH),
        (f'192.0.2.1 - - [{TIME}] "" 400 0 "-" "-"', Malformed.REQUEST),
        (f'192.0.2.1 - - [{TIME}] "-" 408 0 "-" "-"', Malformed.REQUEST),
        (f'192.0.2.1 - - [{TIME}] "\\x16\\x03\\x01" 400 0 "-" "-"', Malformed.REQUEST),
        ('192.0.2.1 - - [-] "GET / HTTP/1.1" 200 0 "-" "-"', Malformed.NO_MATCH),
        ('192.0.2.1 - - [soon +x] "GET / HTTP/1.1" 200 0 "-" "-"', Malformed.TIME),
        (
            '192.0.2.1 - - [22/Nov/1994:10:11:12 +0100] "GET / HTTP/1.1" 200 0 "-" "-"',
            Malformed.TIME,
        ),
        (
            '192.0.2.1 - - [22/Nov/2030:10:11:12 +0100] "GET / HTTP/1.1" 200 0 "-" "-"',
            Malformed.TIME,
        ),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 20x 0 "-" "-"', Malformed.STATUS),
        (f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 1200 0 "-" "-"', Malformed.STATUS),
    ],
)
def test_broken_combined_lines_are_malformed_with_the_reason(line: str, why: Malformed) -> None:
    assert parsed(COMBINED, line) is why


def test_a_raw_quote_cannot_forge_a_status() -> None:
    forged = f'192.0.2.1 - - [{TIME}] "GET /" 200 5 "-" "Evil HTTP/1.1" 404 162 "-" "curl"'
    assert parsed(COMBINED, forged) is Malformed.NO_MATCH
    trailing = format_named("combined_trailing")
    assert trailing.parse(forged.encode(), LATEST) is Malformed.NO_MATCH
    honest = f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 5 "-" "x" 1.5 "HIT" "-"'
    assert isinstance(trailing.parse(honest.encode(), LATEST), Hit)


def test_values_without_quotes_cannot_shift_what_the_server_wrote() -> None:
    line_format = format_named("forwarded_combined")
    rest = f'[{TIME}] "GET / HTTP/1.1" 200 5 "-" "x"'
    for sent in ("1.1.1.1 9.9.9.9 - x", "1.1.1.1 9.9.9.9,", "1.1.1.1 9.9.9.9 - - [x]"):
        verdict = line_format.parse(f"{sent} 10.0.0.2 - - {rest}".encode(), LATEST)
        assert verdict is Malformed.NO_MATCH, sent
    honest = line_format.parse(f"1.1.1.1, 9.9.9.9 10.0.0.2 - - {rest}".encode(), LATEST)
    assert isinstance(honest, Hit)
    assert (honest.forwarded_for, honest.address) == ("1.1.1.1, 9.9.9.9", "10.0.0.2")


@pytest.mark.parametrize(
    "definition",
    [
        "$remote_addr|$time_iso8601|$request|$status|$body_bytes_sent|$http_referer|$http_user_agent",
        "$remote_addr | $time_iso8601 | $request | $status | $http_referer | $http_user_agent",
        "{$remote_addr} {$time_iso8601} {$request} {$status} {$http_referer} {$http_user_agent}",
        "$time_iso8601|$http_x_forwarded_for|$remote_addr|$request_uri|$status|$http_user_agent",
        "$time_iso8601|$request_uri|$status|$remote_addr|$http_x_forwarded_for",
        "$request|$remote_addr|$time_iso8601|$status|$host",
        "$remote_addr;$status;$request_uri;$time_iso8601;$server_name",
        '$time_iso8601,$remote_addr,$http_user_agent,$status,$body_bytes_sent,$request_time,"$request"',
        '$remote_addr t=$time_iso8601 ua=$http_user_agent s=$status ref=$http_referer "$request"',
        '"$request" $time_iso8601 $status $uri $remote_addr $request_length $args',
    ],
)
def test_more_separators_than_the_definition_has_cannot_shift_what_the_server_wrote(
    definition: str,
) -> None:
    """A visitor repeats what stands behind a value, with something else in it."""
    written = {
        "remote_addr": "192.0.2.1",
        "time_iso8601": "2026-11-22T10:11:12+01:00",
        "request": "GET /a HTTP/1.1",
        "request_uri": "/a",
        "uri": "/a",
        "status": "404",
        "http_user_agent": "Mozilla/5.0 (X11; Linux)",
    }
    forged = {"remote_addr": "203.0.113.9", "time_iso8601": "2020-01-01T00:00:00Z", "status": "200"}
    line_format = compile_format(definition)
    names = re.findall(r"\$(\w+)", definition)

    def line(values: dict[str, str], text: str = definition) -> str:
        return re.sub(r"\$(\w+)", lambda match: values.get(match[1], "-"), text)

    first = line_format.parse(line(written).encode(), LATEST)
    assert isinstance(first, Hit)
    for name in {"request", "request_uri", "uri", "http_user_agent"}.intersection(names):
        if f'"${name}"' in definition:
            continue  # its quotes would be escaped
        behind = definition.partition(f"${name}")[2].partition('"')[0]
        for end in (match.end() for match in re.finditer(r"\$\w+", behind)):
            sent = written[name] + line(written | forged, behind[:end])
            verdict = line_format.parse(line(written | {name: sent}).encode(), LATEST)
            if isinstance(verdict, Hit):
                told = (verdict.address, verdict.time, verdict.status)
                assert told == (first.address, first.time, first.status), sent


def test_of_two_variables_for_one_thing_the_better_one_counts() -> None:
    found = hit(
        "$http_x_real_ip $realip_remote_addr $remote_addr $server_name $http_host $host $msec "
        '[$time_local] "$request" "$request_uri" $status',
        f"192.0.2.9 192.0.2.8 192.0.2.1 _ EXAMPLE.com:443 example.com 1 [{TIME}] "
        '"GET /a HTTP/1.1" "/b" 200',
    )
    assert (found.address, found.host, found.target) == ("192.0.2.1", "example.com", "/a")
    apache = hit(
        '%{c}a %h %a %{Host}i %v %t "%r" %s %>s',
        f'192.0.2.9 h 192.0.2.1 x y [{TIME}] "GET / HTTP/1.1" 301 200',
    )
    assert (apache.address, apache.host, apache.status) == ("192.0.2.1", "y", 200)


@pytest.mark.parametrize(
    "header", ["$http_x_real_ip", "$http_cf_connecting_ip", "$http_true_client_ip"]
)
def test_a_proxys_word_for_the_address_is_kept_beside_the_proxys_own(header: str) -> None:
    both = hit(
        f'$remote_addr [$time_local] "$request" $status "{header}"',
        f'10.0.0.2 [{TIME}] "GET / HTTP/1.1" 200 "192.0.2.1"',
    )
    assert (both.address, both.real_ip) == ("10.0.0.2", "192.0.2.1")
    alone = hit(
        f'"{header}" [$time_local] "$request" $status',
        f'"192.0.2.1" [{TIME}] "GET / HTTP/1.1" 200',
    )
    assert (alone.address, alone.real_ip) == ("192.0.2.1", None)


def test_a_request_without_the_header_that_names_its_visitor_is_still_a_request() -> None:
    rest = f'- - [{TIME}] "GET / HTTP/1.1" 200 5 "-" "x"'
    after = '- $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    line = f"- {rest}".encode()
    for header in ("$http_x_real_ip", "$http_cf_connecting_ip"):
        found = compile_format(f'{header} {after}"$http_user_agent"').parse(line, LATEST)
        assert isinstance(found, Hit), header
        assert found.address == ""
    peer = compile_format(f'$remote_addr {after}"$http_user_agent"')
    assert peer.parse(line, LATEST) is Malformed.NO_MATCH  # a server always knows that


def test_a_target_is_put_together_from_its_parts() -> None:
    time = "2026-11-22T10:11:12+01:00"
    separate = hit(
        "$time_iso8601 $remote_addr $request_method $uri $args $status",
        f"{time} 192.0.2.1 POST /a b=c 200",
    )
    assert (separate.method, separate.target) == ("POST", "/a?b=c")
    without = hit(
        "$time_iso8601 $remote_addr $request_method $uri $args $status",
        f"{time} 192.0.2.1 GET /a - 200",
    )
    assert without.target == "/a"
    joined = hit("$time_iso8601 $remote_addr $uri?$args $status", f"{time} 192.0.2.1 /a?b?c 200")
    assert (joined.target, joined.method) == ("/a?b?c", "GET")
    whole = hit(
        '$time_iso8601 $remote_addr "$scheme://$host$request_uri" $status',
        f'{time} 192.0.2.1 "https://example.com/a?b" 200',
    )
    assert (whole.scheme, whole.host, whole.target) == ("https", "example.com", "/a?b")
    apache = hit(
        '%{sec}t %a "%m %U%q %H" %>s', '1795338672 192.0.2.1 "GET /two words?q HTTP/1.1" 200'
    )
    assert (apache.target, apache.protocol) == ("/two words?q", "HTTP/1.1")


@pytest.mark.parametrize(
    ("written", "target"),
    [("/a-", "/a"), ("/a--", "/a-"), ("/-", "/"), ("/a?b", "/a?b"), ("/a?b-", "/a?b-")],
)
def test_the_hyphen_that_nginx_writes_for_no_arguments_is_no_part_of_the_path(
    written: str, target: str
) -> None:
    start = f"192.0.2.1 [{TIME}]"
    for variables in ("$uri$is_args$args", "${uri}${is_args}${query_string}"):
        joined = (
            f'$remote_addr [$time_local] "$request_method {variables} $server_protocol" $status'
        )
        assert hit(joined, f'{start} "GET {written} HTTP/1.1" 200').target == target
        whole = f'$remote_addr [$time_local] "$scheme://$host{variables}" $status'
        assert hit(whole, f'{start} "https://example.com{written}" 200').target == target
        # Other escapes leave nothing in its place.
        for escape in ("json", "none"):
            found = hit(joined, f'{start} "GET {written} HTTP/1.1" 200', escape=escape)
            assert found.target == written
    apart = '$remote_addr [$time_local] "$uri" "$is_args$args" $status'
    assert hit(apart, f'{start} "/a" "-" 200').target == "/a"
    assert hit(apart, f'{start} "/a" "?b" 200').target == "/a?b"
    refused = compile_format('$remote_addr [$time_local] "$uri$is_args$args" $status')
    assert refused.parse(f'{start} "--" 400'.encode(), LATEST) is Malformed.REQUEST


@pytest.mark.parametrize(
    ("written", "target"),
    [("/caf%C3%A9?a=%20b", "/caf%C3%A9?a=%20b"), ("/caf%C3%A9?", "/caf%C3%A9"), ("/?a?b", "/?a?b")],
)
def test_lighttpds_path_is_as_it_was_sent(written: str, target: str) -> None:
    """It is not decoded as Apache's is; the query has no question mark of its own."""
    for definition in ('%h %t "%m %U?%q %H" %s', '%h %t %m "%U?%q" %H %s', "%h %t %m %U?%q %H %s"):
        line = definition.replace("%m %U?%q %H", f"GET {written} HTTP/1.1")
        line = line.replace('%m "%U?%q" %H', f'GET "{written}" HTTP/1.1').replace("%s", "200")
        line = line.replace("%h", "192.0.2.1").replace("%t", f"[{TIME}]")
        assert hit(definition, line).target == target


def test_a_decoded_path_is_told_from_its_query() -> None:
    time = "2026-11-22T10:11:12+01:00"
    nginx = '$time_iso8601 $remote_addr $request_method "$uri" "$args" $status'
    for path, target in {"/100% sure": "/100%25 sure?x=1", "/a?b": "/a%3Fb?x=1"}.items():
        found = hit(nginx, f'{time} 192.0.2.1 GET "{path}" "x=1" 200')
        assert found.target == target
    whole = hit('$time_iso8601 $remote_addr "$request_uri" 200', f'{time} 192.0.2.1 "/a%20b?c" 200')
    assert whole.target == "/a%20b?c"


def test_what_a_format_lacks_is_none_and_not_among_its_fields() -> None:
    line_format = compile_format("$time_iso8601 $remote_addr $request_uri")
    found = line_format.parse(b"2026-11-22T10:11:12+01:00 192.0.2.1 /a", LATEST)
    assert isinstance(found, Hit)
    assert line_format.fields == {"time", "address", "target"}
    assert (found.method, found.status, found.host, found.user_agent) == ("GET", 200, None, None)


@pytest.mark.parametrize(
    ("value", "scheme"),
    [("https", "https"), ("http", "http"), ("on", "https"), ("-", ""), ("h2", "https")],
)
def test_the_scheme_is_http_or_https(value: str, scheme: str) -> None:
    found = hit(
        "$msec $remote_addr $scheme $request_uri $status", f"1795338672.5 192.0.2.1 {value} / 200"
    )
    assert found.scheme == scheme


def test_addresses_and_hosts_with_ports_are_cut_at_the_last_colon() -> None:
    found = hit(
        '$remote_addr:$remote_port $host:$server_port [$time_local] "$request" $status',
        f'2001:db8::1:4711 [::1]:443 [{TIME}] "GET / HTTP/1.1" 200',
    )
    assert (found.address, found.host) == ("2001:db8::1", "[::1]")
    marked = hit('%v:#:%h %t "%r" %>s', f'example.com:#:2001:db8::1 [{TIME}] "GET / HTTP/1.1" 200')
    assert (marked.host, marked.address) == ("example.com", "2001:db8::1")


def test_time_may_be_spread_over_several_fields() -> None:
    found = hit(
        '%{%Y-%m-%d}t,%a,%{%H:%M:%S}t.%{usec_frac}t,"%r",%{%z}t,%>s',
        '2026-11-22,192.0.2.1,10:11:12.123456,"GET / HTTP/1.1",+0100,200',
    )
    assert found.time == 1795338672
    glued = hit('%{%s}t%{usec_frac}t %a "%r"', '1795338672123456 192.0.2.1 "GET / HTTP/1.1"')
    assert glued.time == 1795338672
    for fraction, written in {"%{msec_frac}t": "123", "%{end:usec_frac}t": "000123"}.items():
        zoned = hit(
            f'{{"t":"%{{%Y-%m-%dT%T}}t.{fraction}%{{%z}}t","ip":"%a","r":"%r","s":%>s}}',
            f'{{"t":"2026-11-22T10:11:12.{written}+0100","ip":"192.0.2.1","r":"GET / HTTP/1.1",'
            '"s":200}',
        )
        assert zoned.time == 1795338672
    ended = hit(
        '%{end:%Y}t %{end:sec}t %{begin:sec}t %a "%r"',
        '2026 1 1795338672 192.0.2.1 "GET / HTTP/1.1"',
    )
    assert ended.time == 1795338672


def test_without_escapes_a_backslash_is_a_backslash() -> None:
    found = hit(
        '$remote_addr [$time_local] "$request" $status "$http_user_agent"',
        f'192.0.2.1 [{TIME}] "GET /\\x41 HTTP/1.1" 200 "a\\"',
        escape="none",
    )
    assert (found.target, found.user_agent) == ("/\\x41", "a\\")


def test_a_time_without_a_zone_is_taken_in_the_sources_zone() -> None:
    definition = '%a %{%Y-%m-%d %H:%M:%S}t "%r"'
    with pytest.raises(FormatError, match="set `timezone`"):
        compile_format(definition)
    line_format = compile_format(definition, timezone=ZoneInfo("America/New_York"))
    found = line_format.parse(b'192.0.2.1 2026-11-22 04:11:12 "GET / HTTP/1.1"', LATEST)
    assert isinstance(found, Hit)
    assert found.time == 1795338672


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ("", "neither a preset's name nor a definition"),
        ("just words here", "neither a preset's name nor a definition"),
        ("$remote_addr $request $status", "no field tells the time"),
        ("[$time_local] $status", "no field tells the client's address or the request"),
        ("%{Referer}i -> %U", "no field tells the time or the client's address"),
        ("%t %h %r %/s", "character 10"),
        ("100% of %h %t %r", "a percent sign itself is written %%"),
        ("$remote_addr$http_host [$time_local] $request_uri", "nothing stands between"),
        ("$time_iso8601 $remote_addr $request $http_user_agent", "may both contain ' '"),
        ("$time_iso8601 $http_user_agent $remote_addr $http_x_foo $request", "could be forged"),
        ("%t %h %{%Q}t %{%H}t %r".replace("%t ", ""), "cannot be read back"),
        ('%{%H:%M:%S}t %h "%r"', "tells no whole date"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(definition: str, why: str) -> None:
    with pytest.raises(FormatError, match=None) as refusal:
        compile_format(definition, timezone=ZoneInfo("UTC"))
    assert why in str(refusal.value)


def test_unknown_variables_are_kept_unnamed() -> None:
    found = hit(
        '$remote_addr $foo$bar [$time_local] "$request" $status ${my_cache}x "$geoip_city"',
        f'192.0.2.1 ab [{TIME}] "GET / HTTP/1.1" 200 HITx "New York"',
    )
    assert found.status == 200


def test_one_value_with_spaces_is_found_from_both_ends() -> None:
    found = hit(
        '$time_iso8601 $http_user_agent $status $remote_addr "$request_uri"',
        '2026-11-22T10:11:12+01:00 Mozilla/5.0 (X11) 12 200 192.0.2.1 "/a"',
    )
    assert (found.user_agent, found.status) == ("Mozilla/5.0 (X11) 12", 200)
    bracketed = hit(
        '$remote_addr [$time_local] "$request" [$http_user_agent]',
        f'192.0.2.1 [{TIME}] "GET / HTTP/1.1" [x [FBAN/FBIOS] y]',
    )
    assert bracketed.user_agent == "x [FBAN/FBIOS] y"
    last = hit(
        "$time_iso8601 $remote_addr $request_uri $http_referer $http_user_agent",
        "2026-11-22T10:11:12+01:00 192.0.2.1 /a - Mozilla/5.0 (X11; x)",
    )
    assert last.user_agent == "Mozilla/5.0 (X11; x)"


def test_lists_of_upstreams_are_one_value() -> None:
    found = hit(
        '$remote_addr $upstream_addr $upstream_status [$time_local] "$request" $status',
        "192.0.2.1 10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80 502, 200 : 200 "
        f'[{TIME}] "GET / HTTP/1.1" 200',
    )
    assert found.status == 200
    for upstreams in ("0.001", "-", "0.001, 0.002", "0.001 : -, 0.002"):
        last = hit(f"{NGINX_SHORT} $upstream_response_time", f"{SHORT_LINE} {upstreams}")
        assert last.status == 200
    typed = hit(
        '%h %t "%r" %>s %{Content-Type}o %D',
        f'192.0.2.1 [{TIME}] "GET / HTTP/1.1" 200 text/html; charset=utf-8 12',
    )
    assert typed.status == 200


@pytest.mark.parametrize("forwarded", ["-", "198.51.100.7", "198.51.100.7, 203.0.113.9"])
@pytest.mark.parametrize("around", ["%s", "-%s-", "xff=%s", "(%s)"])
def test_addresses_without_quotes_at_the_end_are_read_whole(around: str, forwarded: str) -> None:
    definition = f"{NGINX_SHORT} {around % '$http_x_forwarded_for'}"
    found = hit(definition, f"{SHORT_LINE} {around % forwarded}")
    assert found.forwarded_for == forwarded.removeprefix("-")
    assert parsed(definition, f"{SHORT_LINE} {around % '198.51.100.7 x'}") is Malformed.NO_MATCH


@pytest.mark.parametrize("separator", ["|", "\t", ";", " | ", ") (", "] ["])
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_a_port_behind_an_address_or_a_host_ends_with_its_field(
    separator: str, address: str
) -> None:
    """Colons of later fields are theirs."""
    fields = ["$host:$server_port", "$remote_addr:$remote_port", "$upstream_addr", '"$request"']
    values = ["www.example.com:443", f"{address}:55123", "10.0.0.1:80", '"GET / HTTP/1.1"']
    found = hit(
        separator.join(["$msec", *fields, "$status"]),
        separator.join(["1795338672.123", *values, "200"]),
    )
    assert (found.host, found.address) == ("www.example.com", address)


def test_nothing_between_hyphens_is_a_hyphen() -> None:
    for value in ("-", "HIT"):
        assert hit(f"{NGINX_SHORT} -$upstream_cache_status-", f"{SHORT_LINE} -{value}-")
    definition = '$remote_addr-$http_x_forwarded_for-[$time_local] "$request" $status'
    found = hit(definition, f'192.0.2.1---[{TIME}] "GET / HTTP/1.1" 200')
    assert (found.address, found.forwarded_for) == ("192.0.2.1", "")
    definition = '-$http_x_forwarded_for- $remote_user [$time_local] "$request" $remote_addr'
    for user in ("-", "bob"):
        found = hit(definition, f'-198.51.100.7- {user} [{TIME}] "GET / HTTP/1.1" 192.0.2.1')
        assert (found.address, found.forwarded_for) == ("192.0.2.1", "198.51.100.7")


def test_environment_variables_tell_what_the_request_said() -> None:
    found = hit(
        "%{REMOTE_ADDR}e %{HTTP_USER_AGENT}e|%t|%{REQUEST_METHOD}e|%U|%{FOO}e|%{SSL_PROTOCOL}x|"
        "%{Foo}^ti|%{x}^to|%%",
        f"192.0.2.1 -|[{TIME}]|GET|/a|-|TLSv1.3|-|-|%",
    )
    assert (found.address, found.target) == ("192.0.2.1", "/a")


def test_further_fields_may_be_labelled() -> None:
    trailing = format_named("combined_trailing")
    line = f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 5 "-" "x" rt=1.5 uct="0.1, -" "a\\"b"'
    assert isinstance(trailing.parse(line.encode(), LATEST), Hit)
    assert trailing.parse(f'{line} "open'.encode(), LATEST) is Malformed.NO_MATCH
    assert trailing.parse(f"{line} ".encode(), LATEST) is Malformed.NO_MATCH


def test_a_line_of_a_format_with_one_field_more_is_not_taken_for_one_with_less() -> None:
    """The address would stand for the ident, and the host for the address."""
    rest = f'[{TIME}] "GET / HTTP/1.1" 200 5 "-" "x"'
    assert parsed(COMBINED, f"example.com 192.0.2.1 - - {rest}") is Malformed.NO_MATCH
    assert parsed(COMBINED, f"example.com 192.0.2.1 - frank {rest}") is Malformed.NO_MATCH
    assert isinstance(parsed(COMBINED, f"192.0.2.1 - -x y- {rest}"), Hit)


def test_pieces_of_other_variables_are_unnamed() -> None:
    found = hit(
        '$remote_addr [$time_local] "$request" $status $is_args $cookie_a $arg_b "$geoip_city" '
        '"$upstream_http_x" "$http_x_custom"',
        f'192.0.2.1 [{TIME}] "GET /a HTTP/1.1" 200 - - - "New York" "a b" "c d"',
    )
    assert found.target == "/a"


def test_a_definition_says_how_far_it_explains_a_line() -> None:
    line_format = compile_format(COMBINED)
    assert line_format.extent(b"192.0.2.1 -") == (len(b"192.0.2.1 -"), "' '", 0)
    assert line_format.extent(f"192.0.2.1 - - [{TIME}] GET".encode())[1] == "'] \"'"
    assert line_format.extent(b"") == (0, "' '", 0)


@pytest.mark.parametrize("escape", ["default", "json", "none"])
def test_every_way_to_escape_is_known(escape: str) -> None:
    definition = '$remote_addr [$time_local] "$request" "$http_user_agent"'
    line = f'192.0.2.1 [{TIME}] "GET / HTTP/1.1" "x"'
    assert hit(definition, line, escape=escape).user_agent == "x"


def test_what_a_browser_says_of_its_request_is_kept() -> None:
    found = hit(
        '$remote_addr [$time_local] "$request" $status "$http_sec_fetch_dest" '
        '"$http_sec_fetch_mode" "$http_x_requested_with" "$http_accept"',
        f'192.0.2.1 [{TIME}] "GET / HTTP/1.1" 200 "empty" "cors" "XMLHttpRequest" "*/*"',
    )
    assert (found.fetch_dest, found.fetch_mode) == ("empty", "cors")
    assert (found.requested_with, found.accept) == ("XMLHttpRequest", "*/*")
    for name in ("$http_accept", "$http_sec_fetch_dest"):  # also beside others, without quotes
        assert hit(
            f'$remote_addr $http_x_a {name} [$time_local] "$request" $status',
            f'192.0.2.1 - x [{TIME}] "GET / HTTP/1.1" 200',
        )


def test_methods_and_protocols_that_are_none_make_lines_malformed() -> None:
    definition = "$msec $remote_addr $request_method $request_uri $server_protocol $status"
    assert parsed(definition, "1795338672.5 192.0.2.1 G\\x00T / HTTP/1.1 200") is Malformed.REQUEST
    assert (
        parsed(definition, "1795338672.5 192.0.2.1 GET nowhere HTTP/1.1 200") is Malformed.REQUEST
    )
    assert hit(definition, "1795338672.5 192.0.2.1 GET / - 200").protocol == ""


@pytest.mark.parametrize(
    ("values", "purpose"),
    [
        ('"-" "prefetch"', "prefetch"),
        ('"prefetch;prerender" "-"', "prefetch;prerender"),
        ('"prefetch" "prefetch"', "prefetch, prefetch"),
        ('"-" "-"', ""),
    ],
)
def test_of_the_headers_that_tell_a_prefetch_all_count(values: str, purpose: str) -> None:
    found = hit(
        '$remote_addr [$time_local] "$request" $status "$http_sec_purpose" "$http_purpose" $scheme',
        f'192.0.2.1 [{TIME}] "GET / HTTP/1.1" 200 {values} https',
    )
    assert (found.purpose, found.scheme) == (purpose, "https")
