"""JSON logs: what keys and definitions tell, and lines that are hostile or broken."""

from __future__ import annotations

from typing import Any

import pytest

from ingestor.errors import FormatError
from ingestor.formats import PRESETS, compile_format, detect, format_named
from ingestor.formats.format import Format
from ingestor.formats.shapes import shape_of
from ingestor.model import Hit, Malformed, Reason

LATEST = 1_800_000_000
NGINX = (
    '{"time":"$time_iso8601","ip":"$remote_addr","request":"$request","status":$status,'
    '"ref":"$http_referer","ua":"$http_user_agent","took":$upstream_response_time}'
)


def line(**changed: str) -> bytes:
    values = {
        "time": '"2026-11-22T10:11:12+01:00"',
        "ip": '"192.0.2.1"',
        "request": '"GET /a HTTP/1.1"',
        "status": "200",
        "ref": '""',
        "ua": '"Mozilla/5.0"',
        "took": "0.004",
    } | changed
    return ("{" + ",".join(f'"{key}":{value}' for key, value in values.items()) + "}").encode(
        "utf-8", "surrogateescape"
    )


def parsed(raw: bytes, line_format: Format | None = None) -> Hit | Malformed:
    line_format = line_format or compile_format(NGINX)
    verdict = line_format.parse(raw, LATEST)
    columns = line_format.split(raw)
    if columns is not None:
        assert line_format.hit(columns, LATEST) == verdict
    assert isinstance(verdict, Hit | Malformed)
    return verdict


def hit(raw: bytes, line_format: Format | None = None) -> Hit:
    verdict = parsed(raw, line_format)
    assert isinstance(verdict, Hit), verdict
    return verdict


def test_an_ordinary_line_is_split_and_parsed_alike() -> None:
    assert compile_format(NGINX).split(line()) is not None
    found = hit(line())
    assert (found.address, found.target, found.status) == ("192.0.2.1", "/a", 200)
    assert (found.referrer, found.user_agent, found.host) == ("", "Mozilla/5.0", None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}}",
        b"not json",
        line()[:-1],
        line(ip="true"),
        line(ip="[1]"),
        line(ip="{}"),
        line(request="false"),
        line(time="[]"),
        line(status="NaN"),
        line(status="Infinity"),
        line(ua=r'"\ud800"'),
        line(ua=r'"\udc80"'),
        line(ua=r'"\udc80' + "\udc80" + '"'),
        line(ua="1" * 5000),
        b'{"status":404,' + line()[1:],
        line(took='{"a":1,"a":2}'),
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000,
        line(took="[" * 2000 + "]" * 2000).replace(b'"192.0.2.1"', b"[]"),
        line(took='{"a":' * 900 + "1" + "}" * 900).replace(b'"192.0.2.1"', b"[]"),
    ],
)
def test_what_is_no_proper_object_is_malformed_and_raises_nothing(raw: bytes) -> None:
    assert parsed(raw) in {Malformed.JSON, Malformed.NO_MATCH}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (line(status='"20"'), Malformed.STATUS),
        (line(status="1e400"), Malformed.STATUS),
        (line(status="200.5"), Malformed.STATUS),
        (line(status="99999999999999999999999"), Malformed.STATUS),
        (line(status="null"), Malformed.STATUS),
        (line(time="null"), Malformed.TIME),
        (line(time="1e30"), Malformed.TIME),
        (line(time="-5"), Malformed.TIME),
        (line(time='"2030-01-01T00:00:00Z"'), Malformed.TIME),
        (line(request='""', status="400"), Malformed.REQUEST),
        (line(request='"-"'), Malformed.REQUEST),
        (line(request='""', ip='""'), Malformed.NO_MATCH),
        (line(request='""', time='""'), Malformed.NO_MATCH),
        (line(request="null"), Malformed.NO_MATCH),
        (line(request=r'"\u0016\u0003\u0001"'), Malformed.REQUEST),
        (line(ip='""'), Malformed.NO_MATCH),
        (b'{"level":"info","msg":"started"}', Malformed.NO_MATCH),
    ],
)
def test_objects_with_wrong_values_are_malformed_with_the_reason(
    raw: bytes, why: Malformed
) -> None:
    assert parsed(raw) is why


def test_escapes_and_raw_bytes_give_what_was_sent() -> None:
    assert hit(line(ua=r'"a\"b\\c\n\u00e9\ud83d\ude00"')).user_agent == 'a"b\\c\né😀'
    assert hit(line(ua='"caf\udcc3\udca9 \udcff"')).user_agent == "café \udcff"
    assert hit(line(request=r'"GET /\"x HTTP/1.1"')).target == '/"x'


def test_a_definition_without_escape_json_is_read_all_the_same() -> None:
    written = line(ua=r'"a\x22b\x5Cc\xC3\xA9\xFF\x01"')
    assert hit(written).user_agent == 'a"b\\cé\udcff\x01'
    assert hit(written, format_named("json")).user_agent == 'a"b\\cé\udcff\x01'


def test_raw_values_that_break_json_are_read_by_the_definition_as_text() -> None:
    assert hit(line(took="-")).status == 200
    assert hit(line(took="")).status == 200
    assert hit(line(took="0.1, 0.2 : 0.3")).status == 200


@pytest.mark.parametrize(
    "took", ["", " ", "-", "0.1, 0.2", "0.1, 0.2 : -, 0.3", "000", "192.0.2.9:80, 192.0.2.8:80"]
)
def test_what_a_server_writes_in_place_of_a_number_spoils_no_line(took: str) -> None:
    usual = format_named("json")
    for raw in (
        line(took=took),
        line(took=f"{took} "),
        line(bytes=took, took="1", more=r'"\",-,"'),
    ):
        assert parsed(raw, usual) == hit(line(), usual)
    agent = r"a\\\",\"took\":,\\"
    assert hit(line(ua=f'"{agent}"', took=took), usual).user_agent == 'a\\","took":,\\'


@pytest.mark.parametrize("took", ["", "-", "0.1, 0.2"])
def test_a_line_without_its_number_is_split_as_one_with_it(took: str) -> None:
    usual = format_named("json")
    columns = usual.split(line(took=took))
    assert columns is not None
    assert list(columns) == list(usual.split(line()) or ())


def test_a_status_that_was_never_sent_is_told_without_quotes_as_well() -> None:
    usual = format_named("json")
    assert hit(line(status="000"), usual).status == 0  # nginx writes so
    assert parsed(line(status=""), usual) is Malformed.STATUS


def test_only_what_stands_in_place_of_a_number_is_let_through() -> None:
    usual = format_named("json")
    for raw in (
        line(took="x"),
        line(took="0.1,"),
        line(took='0.1"'),
        line(took="0.1\\"),
        line(took="-}{"),
        line(took="[-]"),
        line(took="-").replace(b'"took":', b'"took"'),
        b'{"status":-,' + line()[1:],
        line(ua='"' + r"\"" * 50_000, took="-"),
        line(ua='"', took="-" + r"\"" * 50_000),
    ):
        assert parsed(raw, usual) is Malformed.JSON


def test_a_forged_key_is_refused_where_nothing_is_escaped() -> None:
    forged = line(ua='"x","status":200,"y":"z"', status="404")
    assert parsed(forged) is Malformed.JSON


def test_spaces_around_keys_change_nothing() -> None:
    spaced = line().replace(b'":', b'" : ').replace(b",", b" , ")
    assert hit(spaced) == hit(line())


def test_keys_tell_what_an_unknown_variable_holds() -> None:
    line_format = compile_format(
        '{"time_iso8601":"$time_iso8601","remote_addr":"$remote_addr","request_uri":"$request_uri",'
        '"status":"$status","http_user_agent":"$httpAgent","http_referer":"$httpReferer"}'
    )
    assert {"user_agent", "referrer"} <= line_format.fields


@pytest.mark.parametrize(
    "keys",
    [
        {
            "@timestamp": '"2026-11-22T10:11:12+01:00"',
            "client_ip": '"192.0.2.1"',
            "verb": '"GET"',
            "path": '"/a"',
            "query": '"b=c"',
            "response": "200",
            "agent": '"x"',
        },
        {
            "ts": "1795338672.25",
            "ip": '"192.0.2.1"',
            "method": '"GET"',
            "uri": '"/a?b=c"',
            "status_code": '"200"',
            "ua": '"x"',
            "proto": '"HTTP/1.1"',
            "extra": "[{}, null]",
        },
        {
            "timestamp": "1795338672250",
            "clientIp": '"192.0.2.1"',
            "request_line": '"GET /a?b=c"',
            "code": "200",
            "user_agent": '"x"',
            "host": "null",
        },
        {
            "msec": '"1795338672.250"',
            "remote_addr": '"192.0.2.1"',
            "uri": '"/a"',
            "args": '"?b=c"',
            "status": '"200"',
            "useragent": '"x"',
            "scheme": '"https"',
            "host": '"example.com"',
        },
        {  # a widespread LogFormat of Apache's: "%U", "%q", "%m"
            "time": '"2026-11-22T10:11:12+01:00"',
            "remoteIP": '"192.0.2.1"',
            "request": '"/a"',
            "query": '"?b=c"',
            "method": '"GET"',
            "status": '"200"',
            "userAgent": '"x"',
            "referer": '"-"',
        },
    ],
)
def test_json_of_others_is_read_by_the_usual_names(keys: dict[str, str]) -> None:
    raw = ("{" + ", ".join(f'"{key}": {value}' for key, value in keys.items()) + "}").encode()
    found = hit(raw, format_named("json"))
    assert (found.time, found.address, found.method) == (1795338672, "192.0.2.1", "GET")
    assert (found.target, found.status, found.user_agent) == ("/a?b=c", 200, "x")


def test_caddys_older_keys_and_its_common_log_are_read() -> None:
    caddy = format_named("caddy")
    old = PRESETS["caddy"].sample.replace(
        '"remote_ip":"192.0.2.10","remote_port":"41844","client_ip":"192.0.2.10"',
        '"remote_addr":"[2001:db8::1]:41844"',
    )
    assert hit(old.encode(), caddy).address == "[2001:db8::1]"
    common = (
        '{"ts":1795338672.6,"common_log":"192.0.2.1 - - [22/Nov/2026:10:11:12 +0100] '
        '\\"GET /a HTTP/2.0\\" 200 12"}'
    )
    found = hit(common.encode(), caddy)
    assert (found.address, found.target, found.status) == ("192.0.2.1", "/a", 200)
    assert parsed(b'{"ts":1,"common_log":"gibberish"}', caddy) is Malformed.NO_MATCH


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('["6.6.6.6","203.0.113.7"]', "6.6.6.6, 203.0.113.7"),
        ('["6.6.6.6, 203.0.113.7"]', "6.6.6.6, 203.0.113.7"),
        ("[]", ""),
    ],
)
def test_all_lines_of_a_forwarded_list_count(lines: str, expected: str) -> None:
    """HAProxy adds a line of its own: the first alone would be what the visitor wrote."""
    caddy = format_named("caddy")
    sample = PRESETS["caddy"].sample.replace(
        '"User-Agent"', f'"X-Forwarded-For":{lines},"User-Agent"'
    )
    for _ in range(3):  # a shape may be learnt
        assert hit(sample.encode(), caddy).forwarded_for == expected
    one = sample.replace(lines, '["1.1.1.1"]').encode()
    assert hit(one, caddy).forwarded_for == "1.1.1.1"
    assert hit(sample.encode(), caddy).forwarded_for == expected


def test_a_decoded_path_is_told_from_its_query() -> None:
    definition = (
        '{"time":"$time_iso8601","ip":"$remote_addr","method":"$request_method","path":"$uri",'
        '"query":"$args","status":"$status"}'
    )
    line_format = compile_format(definition)
    for path, target in {"/100%": "/100%25", "/a?b": "/a%3Fb", "/a": "/a"}.items():
        raw = (
            f'{{"time":"2026-11-22T10:11:12+01:00","ip":"192.0.2.1","method":"GET","path":"{path}",'
            '"query":"","status":"200"}'
        )
        assert hit(raw.encode(), line_format).target == target


def test_the_hyphen_that_nginx_writes_for_no_arguments_is_no_part_of_the_path() -> None:
    definition = (
        '{"time":"$time_iso8601","ip":"$remote_addr","method":"$request_method",'
        '"path":"$uri$is_args$args","url":"$scheme://$host$uri$is_args$args","status":"$status"}'
    )
    for written, target in {"/a-": "/a", "/a--": "/a-", "/a?b": "/a?b", "/a?b-": "/a?b-"}.items():
        raw = (
            '{"time":"2026-11-22T10:11:12+01:00","ip":"192.0.2.1","method":"GET",'
            f'"path":"{written}","url":"https://example.com{written}","status":"200"}}'
        ).encode()
        for lacks in ('"path":"$uri$is_args$args",', '"url":"$scheme://$host$uri$is_args$args",'):
            shorter = definition.replace(lacks, "")
            assert hit(raw, compile_format(shorter)).target == target
            assert hit(raw, compile_format(shorter, escape="json")).target == written


@pytest.mark.parametrize(
    "protocol", ["", '"server_protocol":"h2",', '"server_protocol":"HTTP/2.0",']
)
def test_a_decoded_path_may_hold_spaces(protocol: str) -> None:
    raw = (
        '{"time_iso8601":"2026-11-22T10:11:12+01:00","remote_addr":"192.0.2.1",'
        f'"request_method":"GET",{protocol}"uri":"/my page.html","status":200}}'
    )
    assert hit(raw.encode(), format_named("json")).target in {"/my page.html", "/my%20page.html"}


def test_a_list_of_upstreams_without_quotes_is_one_value() -> None:
    for took in ("-", "0.1", "0.1, 0.2", "0.1, 0.2 : 0.3"):
        definition = NGINX.replace('"ua"', '"up":$upstream_response_time,"ua"')
        raw = line(up=took, took=took)
        values = raw.replace(f',"up":{took}'.encode(), b"").replace(
            b'"ua"', f'"up":{took},"ua"'.encode()
        )
        assert hit(values, compile_format(definition)).user_agent == "Mozilla/5.0"


def test_headers_may_be_lists_or_text_or_missing() -> None:
    caddy = format_named("caddy")
    sample = PRESETS["caddy"].sample
    agent = sample[sample.index('["Mozilla') + 1 : sample.index('"],"Referer')] + '"'
    for value, expected in (
        (agent, agent.strip('"')),
        ("[]", ""),
        ('["a","b"]', "a"),
        ("null", ""),
    ):
        raw = sample.replace(f"[{agent}]", value).encode()
        assert hit(raw, caddy).user_agent == expected
    assert parsed(sample.replace(f"[{agent}]", "[{}]").encode(), caddy) is Malformed.JSON
    assert hit(sample.replace('"headers":', '"headers":0,"x":').encode(), caddy).user_agent == ""


@pytest.mark.parametrize("key", ["x_real_ip", "http_cf_connecting_ip", "true_client_ip"])
def test_a_proxys_word_for_the_address_is_kept_beside_the_proxys_own(key: str) -> None:
    sample = PRESETS["json"].sample
    told = hit(sample.replace("{", f'{{"{key}":"198.51.100.7",', 1).encode(), format_named("json"))
    assert (told.address, told.real_ip) == ("192.0.2.10", "198.51.100.7")
    alone = sample.replace("remote_addr", key).encode()
    preset = format_named("json")
    for _ in range(2):  # by the parser, then by the shape that it told
        assert hit(alone, preset).address == "192.0.2.10"
    assert preset.layout(alone) is not None
    assert not told.forwarded_for


def test_caddys_and_traefiks_headers_tell_the_address_too() -> None:
    caddy = PRESETS["caddy"].sample.replace(
        '"headers":{', '"headers":{"Cf-Connecting-Ip":["198.51.100.7"],'
    )
    assert hit(caddy.encode(), format_named("caddy")).real_ip == "198.51.100.7"
    traefik = PRESETS["traefik"].sample.replace("{", '{"request_X-Real-Ip":"198.51.100.7",', 1)
    assert hit(traefik.encode(), format_named("traefik")).real_ip == "198.51.100.7"


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ('"status":"success","status_code":200', 200),
        ('"status":"OK","response":{"a":1},"code":404', 404),
        ('"status":true,"status_code":200', 200),
        ('"status":200,"code":5', 200),
        ('"status":"200","code":404', 200),
        ('"status":"-","code":"304"', 304),
        ('"status":20,"code":404', 404),
        ('"status":"OK","code":7', Malformed.STATUS),
        ('"status":"OK"', Malformed.STATUS),
        ('"status":{"a":1},"code":7', Malformed.JSON),
    ],
)
def test_of_several_keys_for_the_status_the_first_with_a_status_counts(
    members: str, status: int | Malformed
) -> None:
    sample = PRESETS["json"].sample
    for before in ('"status":200', '"status":"OK","code":200', '"status":200,"code":5'):
        preset = format_named("json")
        learnt = sample.replace('"status":200', before).encode()
        assert hit(learnt, preset).status == 200  # tells a shape that must not mislead
        verdict = parsed(sample.replace('"status":200', members).encode(), preset)
        assert (verdict.status if isinstance(verdict, Hit) else verdict) == status
    layout = format_named("json").layout(sample.replace('"status":200', members).encode())
    if status == 200:
        assert layout is not None or members.startswith('"status":true')


def test_many_sets_of_keys_do_not_fill_the_memory() -> None:
    line_format = compile_format(PRESETS["json"].template)
    keys = [
        "host",
        "server_name",
        "http_host",
        "referer",
        "referrer",
        "ua",
        "agent",
        "scheme",
        "xff",
    ]
    for number in range(2 ** len(keys)):
        chosen = [key for bit, key in enumerate(keys) if number >> bit & 1]
        more = "".join(f',"{key}":"example.com"' for key in chosen)
        raw = f'{{"ts":1795338672,"ip":"192.0.2.1","request":"GET / HTTP/1.1","status":200{more}}}'
        assert hit(raw.encode(), line_format).status == 200
    assert len(line_format._by_known) <= 256  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ('{"a":"$status"}', "no key tells the time or the client's address or the request"),
        ('{"t":"$time_iso8601","i":"$remote_addr"}', "no key tells the request"),
    ],
)
def test_definitions_that_tell_too_little_are_refused(definition: str, why: str) -> None:
    with pytest.raises(FormatError, match=why):
        compile_format(definition)


def test_a_definition_that_only_looks_like_json_is_read_as_text() -> None:
    line_format = compile_format('{"t":"$time_iso8601","i":"$remote_addr","r":"$request",}')
    raw = b'{"t":"2026-11-22T10:11:12+01:00","i":"192.0.2.1","r":"GET / HTTP/1.1",}'
    assert isinstance(line_format.parse(raw, LATEST), Hit)


def test_how_far_a_line_is_explained_is_told() -> None:
    caddy = format_named("caddy")
    assert caddy.extent(b"nothing") == (0, "a JSON object", 0)
    assert "address" in caddy.extent(b'{"ts":1}')[1]


@pytest.mark.parametrize(
    ("raw", "column", "expected"),
    [
        (line()[:-1] + b",}", len(line()), "valid JSON"),
        (line() + b",", len(line()), "the end of the line"),
        (line(took="unix:/run/x"), line().index(b"0.004"), "valid JSON"),
        (line(ua='"a\tb"'), line().index(b"Mozilla") + 1, "valid JSON"),
        (
            line(ref=r'"\x22\\x\xFF"', took="x"),
            line(ref='"____\\\\x____"').index(b"0.0"),
            "valid JSON",
        ),
        (line(took='{"a":1,"a":2}'), len(line()) + 8, "no key twice"),
        (line(ref="-", ua="", took="x"), line(ref="-", ua="").index(b"0.0"), "valid JSON"),
        (line(took="0.1, 0.2") + b"}", len(line(took="0.1, 0.2")), "the end of the line"),
    ],
)
def test_where_a_line_is_no_json_is_told(raw: bytes, column: int, expected: str) -> None:
    assert format_named("json").extent(raw)[:2] == (column, expected)
    found = detect([raw] * 30, latest=LATEST)
    assert found.format is None
    told = f"The nearest, json, stops at column {column + 1}, where it expects {expected}"
    assert told in found.explanation


def test_a_value_of_a_wrong_type_is_told_and_raises_nothing() -> None:
    caddy = format_named("caddy")
    sample = PRESETS["caddy"].sample.replace('"status":200', '"status":[200]').encode()
    assert caddy.extent(sample)[:2] == (len(sample), "text and numbers where other values stand")
    whole = PRESETS["caddy"].sample.encode()
    assert caddy.extent(whole) == (len(whole), "the end of the line", 0)


CADDY = (
    '{"level":"info","ts":1795338672.5,%s"request":{"remote_ip":"192.0.2.1","method":"GET",'
    '"host":"example.com","uri":"/a","headers":{}},"status":200}'
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('"logger":"http.log.access","msg":"handled request",', True),
        ('"logger":"http.log.access","msg":"NOP",', True),
        ('"logger":"http.log.access","message":"handled request",', True),
        ('"msg":"",', True),
        ("", True),
        ('"msg":"anything",', True),  # a status and no logger: not Caddy's own
        ('"logger":"http.handlers.reverse_proxy","msg":"upstream roundtrip",', False),
        ('"logger":"http.handlers.reverse_proxy","message":"upstream roundtrip",', False),
    ],
)
def test_what_caddy_does_to_a_request_is_not_another_request(said: str, expected: bool) -> None:
    caddy = format_named("caddy")
    raw = (CADDY % said).encode()
    verdict = caddy.parse(raw, LATEST)
    assert isinstance(verdict, Hit) if expected else verdict is Reason.DIRECTIVE
    columns = caddy.split(raw)
    assert columns is None or caddy.hit(columns, LATEST) == verdict
    started = b'{"level":"info","ts":1795338672.5,"msg":"serving initial configuration"}'
    assert caddy.parse(started, LATEST) is Reason.DIRECTIVE
    assert caddy.parse(started.replace(b"1795338672.5", b"null"), LATEST) is Malformed.NO_MATCH
    assert caddy.parse(started.replace(b'"serving', b'["serving"],"x":"'), LATEST) in Malformed


def test_parts_of_a_request_that_a_definition_lacks_are_not_among_its_fields() -> None:
    line_format = compile_format('{"t":"$msec","ip":"$remote_addr","u":"$request_uri"}')
    assert line_format.fields == {"time", "address", "target"}
    raw = b'{"t":"1795338672.5","ip":"192.0.2.1","u":"http://example.com/a?b"}'
    found = hit(raw, line_format)
    assert (found.method, found.target, found.protocol) == ("GET", "http://example.com/a?b", "")


def test_lines_with_too_many_values_for_a_shape_are_soon_left_to_the_parser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To look for one takes three times as long as to read such a line."""
    looked: list[bytes] = []

    def look(raw: bytes, *rest: Any) -> Any:
        looked.append(raw)
        return shape_of(raw, *rest)

    monkeypatch.setattr("ingestor.formats.json.shape_of", look)
    line_format = compile_format(NGINX + " ")  # one that no other test has
    wide = line(**{f"key{number}": "1" for number in range(300)})
    for _ in range(1_000):
        assert line_format.split(wide) is not None
    assert 0 < len(looked) < 100
    for _ in range(10_000):
        assert line_format.split(line()) is not None
    assert len(looked) < 200  # lines that have a shape get theirs all the same
