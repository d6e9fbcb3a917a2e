"""Which format is this file? And what when it changes?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ingestor.formats import PRESETS, Adaptive, detect, shown
from ingestor.formats.adaptive import is_plausible
from ingestor.formats.syslog import Prefixed
from ingestor.model import Hit, Malformed, Reason

LATEST = 1_800_000_000
BERLIN = ZoneInfo("Europe/Berlin")
TIME = "22/Nov/2026:10:11:12 +0100"

# These are written exactly like another preset, which is named first.
LOOKALIKES = {
    "plesk": "combined",
    "cpanel": "vhost_combined",
    "ispconfig": "vhost_combined",
    "litespeed": "combined",
    "vhost_common": "common_vhost",
    "nginx": "combined",
    "apache": "combined",
    "docker_nginx": "main",
    "npm": "nginx_proxy_manager",
    "haproxy_http": "haproxy",
    "httplog": "haproxy",
    "httpslog": "haproxy_https",
    "caddy_json": "caddy",
    "caddy_clf": "common",
    "traefik_json": "traefik",
    "nginx_json": "json",
    "alb": "aws_alb",
    "iis": "w3c",
}  # without a header, nobody can tell IIS from others
HAPROXY = {"haproxy", "haproxy_https"}  # their times need a zone


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_one_line_is_enough_to_find_its_format(name: str) -> None:
    line = PRESETS[name].sample.encode()
    found = detect([line], latest=LATEST, timezone=BERLIN)
    assert found.format is not None, found.explanation
    if name != "iis":
        assert found.format.name == LOOKALIKES.get(name, name)
    assert found.share == 1
    assert isinstance(found.format.parse(line, LATEST), Hit)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - set(LOOKALIKES) - HAPROXY))
def test_each_sample_file_is_found_to_be_what_it_is_called(
    name: str, sample: Callable[[str], list[bytes]]
) -> None:
    found = detect(sample(f"{name}.log"), latest=LATEST)
    assert found.format is not None, found.explanation
    assert found.format.name == name
    assert found.share >= 0.95
    assert f"{name}: explains" in found.explanation


def test_the_iis_sample_is_recognised_by_its_header(sample: Callable[[str], list[bytes]]) -> None:
    found = detect(sample("iis.log"), latest=LATEST)
    assert found.format is not None
    assert found.format.name == "iis"


def test_a_syslog_prefix_is_found(sample: Callable[[str], list[bytes]]) -> None:
    lines = sample("syslog.log")
    found = detect(lines, latest=LATEST)
    assert isinstance(found.format, Prefixed)
    assert found.format.name == "syslog combined"
    assert "behind a syslog prefix" in found.explanation
    unknown = detect([b"Nov 22 10:11:12 web cron[1]: (root) CMD (x)"], latest=LATEST)
    assert unknown.format is None


def test_an_empty_file_has_no_format() -> None:
    assert detect([], latest=LATEST).format is None
    assert detect([b"", b"  ", b"\r"], latest=LATEST).format is None


def test_where_nothing_fits_the_nearest_and_its_column_are_told() -> None:
    line = f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 \x1b[31m 5'.encode()
    found = detect([line] * 30, latest=LATEST)
    assert found.format is None
    assert found.share == 0
    assert found.nearest == "combined"
    assert found.column == line.index(b"200") + 4 + len("\x1b[31m")
    assert f"column {found.column + 1}" in found.explanation
    assert "\x1b" not in shown(found.example)


def test_lines_that_are_shaped_right_and_hold_wrong_values_do_not_fit() -> None:
    line = b'192.0.2.1 - - [yesterday noon] "GET / HTTP/1.1" 200 5 "-" "x"'
    found = detect([line] * 30, latest=LATEST)
    assert found.format is None
    assert "a time between 1995 and tomorrow by this machine's clock" in found.explanation


def test_a_hyphen_in_place_of_the_address_is_told() -> None:
    """With X-Forwarded-For there, requests that came without a proxy have none."""
    line = PRESETS["combined"].sample.encode()
    found = detect([line] * 20 + [line.replace(b"192.0.2.10", b"-")] * 4, latest=LATEST)
    assert found.format is None
    assert "expects a client's address instead of a hyphen" in found.explanation


def test_a_zone_that_is_missing_is_asked_for() -> None:
    found = detect([PRESETS["haproxy"].sample.encode()], latest=LATEST)
    assert found.format is None
    assert "haproxy fits" in found.explanation
    assert "set `timezone`" in found.explanation


@pytest.mark.parametrize(
    "asked", ['"request":"GET / HTTP/1.1"', '"method":"GET","uri":"/","proto":"HTTP/2.0"']
)
def test_connections_without_a_request_fit_in_json_as_well(asked: str) -> None:
    good = (
        f'{{"time_iso8601":"2026-11-22T10:11:12+01:00","remote_addr":"192.0.2.1",{asked},'
        '"status":200,"http_user_agent":"Mozilla/5.0"}'
    )
    nothing = re.sub(r':"(?:GET|/|HTTP)[^"]*"', ':""', good).replace("200", "400")
    found = detect([good.encode()] * 20 + [nothing.encode()] * 10, latest=LATEST)
    assert found.format is not None, found.explanation
    assert (found.format.name, found.share) == ("json", 1)
    assert found.format.parse(nothing.encode(), LATEST) is Malformed.REQUEST
    served = nothing.replace("400", "200").encode()
    assert detect([served] * 20, latest=LATEST).format is None


def test_garbage_in_place_of_requests_is_the_clients_fault_and_fits() -> None:
    garbage = f'192.0.2.1 - - [{TIME}] "\\x16\\x03\\x01" 400 157 "-" "-"'.encode()
    found = detect([garbage] * 20, latest=LATEST)
    assert found.format is not None
    assert found.format.name == "combined"


@pytest.mark.parametrize(
    "line",
    [
        f'192.0.2.1 - - [{TIME}] "/page" 200 5 "-" "Mozilla/5.0 (X11)"',
        f'{{"time":"{TIME}","remote_addr":"192.0.2.1","url":"a.example/p","status":200,"ua":"x"}}',
    ],
)
def test_a_field_that_never_holds_a_request_is_none_where_the_server_had_an_answer(
    line: str,
) -> None:
    found = detect([line.encode()] * 20, latest=LATEST)
    assert found.format is None
    assert "expects a request" in found.explanation


def test_no_zone_is_asked_for_where_it_would_not_help() -> None:
    line = PRESETS["combined"].sample.replace("192.0.2.10", "host-1.example.net").encode()
    found = detect([line] * 3, latest=LATEST)
    assert found.format is None
    assert "zone" not in found.explanation


def test_a_list_of_fields_that_lacks_something_is_told() -> None:
    """As IIS 6 writes it by default: the date stands in the header alone."""
    lines = [
        b"#Software: Microsoft Internet Information Services 6.0",
        b"#Date: 2025-11-22 17:42:15",
        b"#Fields: time c-ip cs-method cs-uri-stem sc-status",
        b"17:42:15 192.0.2.1 GET /page 200",
    ]
    found = detect(lines, latest=LATEST)
    assert found.format is None
    assert "#Fields:" in found.explanation
    assert "tells no whole date" in found.explanation


def test_of_json_presets_the_one_that_misses_least_is_the_nearest() -> None:
    line = (
        b'{"time":"2025-11-22T09:11:12.310Z","remote_addr":"192.0.2.10","uri":"/p",'
        b'"method":"GET","status":"200 OK","http_user_agent":"UA"}'
    )
    found = detect([line] * 3, latest=LATEST)
    assert found.nearest == "json"
    assert "other values (status)" in found.explanation


@pytest.mark.parametrize(
    ("bad", "good", "fits"),
    [(1, 2, True), (1, 1, False), (2, 8, True), (3, 8, False), (5, 95, True), (6, 94, False)],
)
def test_how_many_lines_must_fit(bad: int, good: int, fits: bool) -> None:
    lines = [PRESETS["combined"].sample.encode()] * good + [b"Bad line"] * bad
    found = detect(lines, latest=LATEST)
    assert (found.format is not None) is fits
    assert found.share == pytest.approx(good / (good + bad))


ERRORS = (
    b'2021/12/01 13:53:33 [error] 31#31: *46 "/usr/share/nginx/html/x" is not found, client: ::1',
    b"[Thu Oct 13 12:24:49.880562 2022] [auth_basic:error] [pid 10:tid 140] [client 192.0.2.1] x",
    b"[Wed Oct 11 14:32:52 2000] [error] [client 127.0.0.1] client denied: /export/home",
    b"2026-11-22 10:11:12: (server.c.1939) server started (lighttpd/1.4.69)",
    b"127.0.0.1:38940 [29/Nov/2026:15:26:23.220] https/1: SSL handshake failure",
    b"[22-Nov-2026 10:11:12] NOTICE: fpm is running, pid 1",
    b"[22-Nov-2026 10:11:12 UTC] PHP Warning:  Undefined variable $x in /srv/x.php on line 3",
)


@pytest.mark.parametrize("strange", [*ERRORS, b"\x16\x03\x01\x02\x00\x01"])
def test_lines_that_are_of_no_access_log_do_not_hide_the_format(strange: bytes) -> None:
    good = PRESETS["combined"].sample.encode()
    for size in (6, 100):  # a short file, and one where more than a twentieth is strange
        lines = ([good] * 2 + [strange]) * (size // 3)
        found = detect(lines, latest=LATEST)
        assert found.format is not None, found.explanation
        assert found.format.name == "combined"
        assert "67%" in found.explanation


@pytest.mark.parametrize("name", ["-", "bob", "192.0.2.7"])
def test_a_name_where_lighttpd_has_the_vhost_is_not_taken_for_one(name: str) -> None:
    line = PRESETS["combined"].sample.replace(" - - ", f" {name} - ").encode()
    found = detect([line] * 30, latest=LATEST)
    assert found.format is not None
    assert found.format.name == "combined"


@pytest.mark.parametrize("port", ["443", "- 10.0.0.9", "443 -"])
@pytest.mark.parametrize("host", ["www.example.com", "10.0.0.1"])
def test_what_hides_an_address_is_no_user_and_its_first_word_no_visitor(
    host: str, port: str
) -> None:
    """Formats that no preset knows: the vhost, its port, the client, and then as in combined."""
    lines = [
        f'{host} {port} 192.0.2.{client} - - [{TIME}] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0"'
        for client in range(20)
    ]
    lines.append(f"198.51.100.2{lines[0].removeprefix(host)}")  # a scanner asks for an address
    found = detect([line.encode() for line in lines], latest=LATEST)
    assert found.format is None, found.explanation
    assert "would be the address" in found.explanation


def test_an_address_may_stand_where_lighttpd_has_the_vhost() -> None:
    line = f'192.0.2.1 198.51.100.2 - [{TIME}] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0"'
    assert detect([line.encode()] * 3, latest=LATEST).names in {"combined", "lighttpd"}


def test_a_proxy_is_not_taken_for_its_visitors() -> None:
    """lighttpd with X-Forwarded-For in front, which requests that came past the proxy lack."""
    tail = PRESETS["common"].sample.partition(" - - ")[2]
    lines = [f"198.51.100.{at} 10.0.0.{at % 2} www.example.com - {tail}" for at in range(50)]
    lines[::5] = [f"- 10.0.0.3 www.example.com - {tail}"] * 10
    found = detect([line.encode() for line in lines], latest=LATEST)
    assert found.format is None
    # An address as the host is none of a proxy's: whoever scans for servers sends it.
    lines = [f"203.0.113.{at % 4} 192.0.2.{at} - - {tail}" for at in range(50)]
    found = detect([line.encode() for line in lines], latest=LATEST)
    assert found.format is not None, found.explanation


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_log_with_some_requests_in_it_is_held(error: bytes) -> None:
    good = PRESETS["combined"].sample.encode()
    for lines in ([error] * 3, [error, good], [error] * 10 + [good] * 9):
        found = detect(lines, latest=LATEST)
        assert found.format is None
        assert "of a server's error log" in found.explanation
        assert found.is_error_log


def test_the_line_that_is_shown_is_one_that_no_preset_explains() -> None:
    names = ("combined", "vhost_combined", "common")
    known = [PRESETS[name].sample.encode() for name in names for _ in range(4)]
    found = detect([*known, *[b"Bad line"] * 12], latest=LATEST)
    assert found.format is None
    assert "explain 12 of 24" in found.explanation
    assert found.explanation.endswith("in a line of 8 bytes")
    assert shown(found.example) == "`Bad line`"


def test_fields_that_do_not_hold_what_they_are_called_are_told_as_such() -> None:
    line = f'what|ever - - [{TIME}] "GET / HTTP/1.1" 200 5 "Mozilla/5.0 (X11)" "https://a.example/"'
    found = detect([line.encode()] * 30, latest=LATEST)
    assert found.format is None
    assert "Hit(" not in found.explanation
    assert "fits 30 lines by its shape, but not by what would be the address" in found.explanation
    assert found.example == line.encode()
    assert "what|ever" not in found.explanation


def test_the_contents_decide_between_presets_that_cut_alike() -> None:
    tail = f'192.0.2.1 - - [{TIME}] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0"'
    upstream = f'{tail} "172.18.0.4:80"'.encode()
    forwarded = f'{tail} "198.51.100.1, 203.0.113.9"'.encode()
    first = f"198.51.100.1 {tail}".encode()
    named = f"example.com {tail}".encode()
    for line, name in (
        (upstream, "combined_trailing"),
        (forwarded, "main"),
        (first, "forwarded_combined"),
        (named, "vhost_combined"),
    ):
        found = detect([line] * 5, latest=LATEST)
        assert found.format is not None
        assert found.format.name == name, found.explanation


def test_a_format_that_changes_in_the_middle_is_followed(
    sample: Callable[[str], list[bytes]],
) -> None:
    lines = sample("changing.log")
    found = detect(lines[:5], latest=LATEST)  # only the first of three formats was seen
    assert isinstance(found.format, Adaptive)
    assert found.format.name == "common"
    verdicts = [found.format.parse(line, LATEST) for line in lines]
    assert all(isinstance(v, Hit) or v is Malformed.REQUEST for v in verdicts)
    assert found.format.current.name == "vhost_combined"
    settled = found.format.settled()
    assert settled.name == "vhost_combined"
    assert settled.split(lines[-1]) is not None
    assert found.format.split(lines[-1]) is None  # the first format's columns stay


def test_a_format_that_changes_to_one_with_names_for_addresses_is_followed() -> None:
    found = detect([PRESETS["common"].sample.encode()] * 5, latest=LATEST)
    assert found.format is not None
    words = PRESETS["vhost_combined"].sample.split(" ")
    line = " ".join([words[0], "host.example.net", *words[2:]]).encode()
    hit = found.format.parse(line, LATEST)
    assert isinstance(hit, Hit)
    assert hit.address == "host.example.net"


def test_a_mixed_file_is_explained_by_several_presets_together() -> None:
    lines = [PRESETS[name].sample.encode() for name in ("common", "vhost_combined")] * 5
    found = detect(lines, latest=LATEST)
    assert isinstance(found.format, Adaptive)
    assert found.share == 1
    assert ", then " in found.explanation
    assert all(isinstance(found.format.parse(line, LATEST), Hit) for line in lines)


def test_a_line_that_no_preset_explains_stays_malformed() -> None:
    found = detect([PRESETS["combined"].sample.encode()], latest=LATEST)
    assert found.format is not None
    assert found.format.parse(b"Bad line", LATEST) is Malformed.NO_MATCH
    assert found.format.parse(b"", LATEST) is Malformed.NO_MATCH
    assert found.format.parse(b"# comment", LATEST) is Reason.DIRECTIVE
    cut = PRESETS["combined"].sample.encode()[:-1]
    assert found.format.parse(cut, LATEST) is Malformed.NO_MATCH
    late = PRESETS["combined"].sample.replace("2026", "2036").encode()
    assert found.format.parse(late, LATEST) is Malformed.TIME


def test_a_prefix_that_appears_in_the_middle_is_followed() -> None:
    line = PRESETS["combined"].sample.encode()
    found = detect([line], latest=LATEST)
    assert found.format is not None
    for prefix in (
        b"Nov 22 10:11:12 web nginx: ",
        b"<190>1 2026-11-22T10:11:12.000Z web nginx 7 - - ",
        b"2026-11-22T09:11:12.123456789Z stdout F ",
        b"2026-11-22T09:11:12Z ",
        b"web-1  | ",
        b"Nov 22 10:11:12 web docker: 2026-11-22T09:11:12.1Z stdout F ",
    ):
        hit = found.format.parse(prefix + line, LATEST)
        assert isinstance(hit, Hit), prefix
        assert hit.address == "192.0.2.10", prefix
    wrapped = json.dumps({"log": line.decode() + "\n", "stream": "stdout", "time": "x"})
    hit = found.format.parse(wrapped.replace(": ", ":").encode(), LATEST)
    assert isinstance(hit, Hit)
    assert hit.address == "192.0.2.10"
    notice = b"2026-11-22T09:11:12.1Z stderr F 2026/11/22 09:11:12 [notice] 1#1: exiting"
    assert found.format.parse(notice, LATEST) is Reason.DIRECTIVE


def test_prefixes_upon_prefixes_are_a_visitors_joke() -> None:
    found = detect([PRESETS["combined"].sample.encode()], latest=LATEST)
    assert found.format is not None
    for prefix in (b"Nov 22 10:11:12 web nginx: ", b"web | "):
        assert found.format.parse(prefix * 2000, LATEST) is Malformed.NO_MATCH


def test_a_name_in_place_of_an_address_stays_what_it_is() -> None:
    line = PRESETS["combined"].sample.encode()
    found = detect([line] * 20, latest=LATEST)
    assert found.format is not None
    hit = found.format.parse(line.replace(b"192.0.2.10", b"host.example.org"), LATEST)
    assert isinstance(hit, Hit)
    assert hit.address == "host.example.org"


def test_what_one_file_taught_stays_with_it(sample: Callable[[str], list[bytes]]) -> None:
    lines = sample("iis.log")
    found = detect(lines, latest=LATEST)
    assert found.format is not None
    for _ in range(2):
        opened = found.format.for_file(lines)
        assert opened.split(lines[5]) is not None
        verdicts = [opened.parse(line, LATEST) for line in lines]
        assert all(isinstance(v, Hit) or v is Reason.DIRECTIVE for v in verdicts)


def test_the_current_format_tells_how_far_it_explains_a_line() -> None:
    line = PRESETS["combined"].sample.encode()
    found = detect([line], latest=LATEST)
    assert isinstance(found.format, Adaptive)
    assert found.format.extent(line) == (len(line), "the end of the line", 0)
    columns = found.format.split(line)
    assert columns is not None
    assert isinstance(found.format.hit(columns, LATEST), Hit)


ORDINARY = Hit(1795338672, "192.0.2.1", "GET", "/", "HTTP/1.1", 200)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"address": "2001:db8::1"},
        {"address": "10.0.0.1, 192.0.2.1"},
        {"address": "unix:"},
        {"address": "host.example.org"},
        {"address": "fe80::1%eth0"},
        {"host": "example.com:443"},
        {"host": "[2001:db8::1]:443"},
        {"host": ""},
        {"forwarded_for": "192.0.2.1, unknown"},
        {"forwarded_for": ""},
        {"referrer": "https://example.org/", "user_agent": "Mozilla/5.0"},
    ],
)
def test_what_looks_like_its_name_is_plausible(changed: dict[str, str]) -> None:
    assert is_plausible(ORDINARY._replace(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "what is this"},
        {"address": ""},
        {"host": "a b"},
        {"host": "https://example.org/"},
        {"host": "2026-11-22"},
        {"forwarded_for": "10:11:12"},
        {"forwarded_for": "172.18.0.4:80"},
        {"forwarded_for": "HIT"},
        {"referrer": "Mozilla/5.0 (X11)"},
        {"user_agent": "https://example.org/"},
    ],
)
def test_what_does_not_look_like_its_name_is_not(changed: dict[str, str]) -> None:
    assert not is_plausible(ORDINARY._replace(**changed))


def test_a_mail_log_is_no_list_of_fields() -> None:
    line = b"2024-11-22 10:11:12 1abc-000-AB <= a@b.c H=host [192.0.2.1] P=esmtp S=123"
    assert detect([line] * 30, latest=LATEST).format is None
    told = b"#Fields: date time c-ip cs-method cs-uri-stem sc-status"
    broken = b"2024-11-22 10:11:12 192.0.2.1 \x16\x03 /x 400"
    found = detect([told, *[broken] * 30], latest=LATEST)
    assert found.format is not None
    assert found.format.name == "w3c"


@pytest.mark.parametrize(
    "prefix",
    [
        "Nov 22 10:11:12 web ",
        "web nginx: ",
        "12:",
        "2026-11-22 10:11:12 ",
        "a.example.org b ",
        "2026-11-22 10:11:12 www.example.com ",
        "2026-11-22 10:11:12 web01 nginx: ",
    ],
)
def test_a_name_in_place_of_every_address_explains_nothing(prefix: str) -> None:
    """A prefix of some kind: every line would be filtered, and the file used up."""
    lines = [prefix.encode() + PRESETS["combined"].sample.encode()] * 30
    found = detect(lines, latest=LATEST)
    assert found.format is None, found.explanation


def test_some_names_among_the_addresses_are_looked_up_ones() -> None:
    line = PRESETS["combined"].sample
    names = [line.replace("192.0.2.10", f"host{n}.example.org").encode() for n in range(30)]
    found = detect([*names, line.encode()], latest=LATEST)
    assert found.format is not None
    assert found.format.name == "combined"
    assert detect(names, latest=LATEST).format is None


def test_a_moment_is_no_host() -> None:
    assert not is_plausible(ORDINARY._replace(host="2026-11-22T09:11"))


def test_a_log_of_names_is_not_read_by_every_format_line_by_line() -> None:
    line = PRESETS["combined"].sample.encode()
    address = line.split(b" ", 1)[0]
    named = line.replace(address, b"host.example.net", 1)
    found = detect([line] * 30, latest=LATEST).format
    assert isinstance(found, Adaptive)
    asked = 0
    parse = found.current.parse

    class Counting:
        columns = found.current.columns

        def parse(self, raw: bytes, latest: int) -> Any:
            nonlocal asked
            asked += 1
            return parse(raw, latest)

    found._others = [Counting()]  # type: ignore[list-item]
    for _ in range(1_000):
        assert isinstance(found.parse(named, LATEST), Hit)
    assert asked < 100
    assert found.parse(b"Nov 22 10:00:12 web1 nginx: " + line, LATEST) is not None


def test_the_line_that_is_shown_of_an_unknown_format_is_one_that_its_server_wrote() -> None:
    """Not what a client sent in place of a request, nor a line of another log."""
    own = f"{TIME}|192.0.2.1|GET|/a|200".encode()
    found = detect([b"\x16\x03\x01\x02", *[own] * 20], latest=LATEST)
    assert found.format is None
    assert found.example == own
