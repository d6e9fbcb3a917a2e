"""Values without quotes around them, side by side: where each of them ends, whoever wrote it."""

from __future__ import annotations

import re

import pytest

from ingestor.errors import FormatError
from ingestor.formats import compile_format
from ingestor.model import Hit, Malformed

LATEST = 1_800_000_000
TIME = "22/Nov/2026:10:11:12 +0100"
SECONDS = 1795338672
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"

# HestiaCP's and VestaCP's, and what stands in public configurations of nginx and Apache.
HESTIA = '$remote_addr - $remote_user [$time_local] $request "$status" "$http_referer"'
LAST_BEFORE_A_QUOTE = [
    HESTIA,
    '$http_x_forwarded_for $remote_addr $remote_user "$request" $status "$time_local"',
    '[$time_local] $http_x_forwarded_for $remote_addr - $remote_user "$request" $status',
    '$time_iso8601 $http_x_forwarded_for - $remote_user "$request" $status "$http_user_agent"',
    '[$time_local] $http_host $remote_addr $http_x_forwarded_for $request_uri "$status"',
    '%t %{X-Forwarded-For}i %u "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
    '%{msec}t "%{X-Id}i" %{X-Forwarded-For}i %l %u "%r" %>s "%{Referer}i"',
]
# What tells nothing, and holds spaces: what stands in front of it is counted.
COOKIES_LAST = [
    "$remote_addr | $remote_user | $time_local | $request | $status | $http_referer | $http_cookie",
    "$remote_addr - $remote_user [$time_local] | $request | $status | $http_cookie",
    "xff=$http_x_forwarded_for ip=$remote_addr at=$time_iso8601 $request st=$status c=$http_cookie",
    '$remote_addr - $remote_user [$time_local] $http_cookie "$request" $status',
    '$http_x_forwarded_for - $remote_addr [$time_local] $http_cookie "$request" $status',
    '$remote_user [$time_local] $remote_addr $http_cookie "$request" $status',
    '%{X-Id}i %{X-Forwarded-For}i %u %t %{Cookie}i "%r" %>s',
]
WRITTEN = {
    "$remote_addr": "192.0.2.1",
    "$http_x_forwarded_for": "198.51.100.7, 192.0.2.9",
    "$time_local": TIME,
    "$time_iso8601": "2026-11-22T10:11:12+01:00",
    "$request": "GET /a[1] HTTP/1.1",
    "$request_uri": "/a[1]",
    "$http_host": "www.example.com",
    "$status": "200",
    "$http_user_agent": AGENT,
    "$http_cookie": "a=b; c=d",
    "%t": f"[{TIME}]",
    "%{msec}t": f"{SECONDS}000",
    "%{X-Forwarded-For}i": "198.51.100.7, 192.0.2.9",
    "%r": "GET /a[1] HTTP/1.1",
    "%>s": "200",
    "%{User-Agent}i": AGENT,
    "%{Cookie}i": "a=b; c=d",
}
FORGED = {
    "$remote_addr": "203.0.113.9",
    "$time_local": "01/Jan/2020:00:00:00 +0000",
    "$time_iso8601": "2020-01-01T00:00:00Z",
    "$http_x_forwarded_for": "203.0.113.9",
    "%{X-Forwarded-For}i": "203.0.113.9",
}
NAME = r"\$\w+|%(?:\{[^}]*\}|>)?[a-zA-Z]"


def line(definition: str, values: dict[str, str]) -> str:
    return re.sub(NAME, lambda match: values.get(match[0], "-"), definition)


def hit(definition: str, text: str) -> Hit:
    verdict = compile_format(definition).parse(text.encode(), LATEST)
    assert isinstance(verdict, Hit), (definition, text, verdict)
    return verdict


@pytest.mark.parametrize("definition", LAST_BEFORE_A_QUOTE + COOKIES_LAST)
def test_the_last_value_before_a_quote_takes_in_nothing_that_was_shifted(definition: str) -> None:
    """A visitor writes what the server writes behind his value, and a proxy adds an address."""
    first = hit(definition, line(definition, WRITTEN))
    assert (first.time, first.status) == (SECONDS, 200)
    names = [match[0] for match in re.finditer(NAME, definition)]
    told = 0
    for name in {"$remote_user", "$http_x_forwarded_for", "%{X-Forwarded-For}i"}.intersection(
        names
    ):
        behind = definition.partition(name)[2].partition('"')[0]
        for end in (match.end() for match in re.finditer(NAME, behind)):
            for added in ("", " x"):
                sent = line(name, FORGED) + line(behind[:end], WRITTEN | FORGED) + added
                if name != "$remote_user":
                    sent += ", 192.0.2.9"
                verdict = compile_format(definition).parse(
                    line(definition, WRITTEN | {name: sent}).encode(), LATEST
                )
                told += 1
                if isinstance(verdict, Hit):
                    assert (verdict.address, verdict.time) == (first.address, first.time), sent
    assert told


def test_a_users_name_may_hold_what_only_looks_like_a_time() -> None:
    named = line(HESTIA, WRITTEN | {"$remote_user": "[a]"})
    assert compile_format(HESTIA).parse(named.encode(), LATEST) is Malformed.NO_MATCH
    assert hit(HESTIA, line(HESTIA, WRITTEN | {"$remote_user": "bob"})).target == "/a[1]"
    asked = WRITTEN | {"$request": "GET /?at=[22/Nov/2026:10:11]&b HTTP/1.1"}
    assert hit(HESTIA, line(HESTIA, asked)).target == "/?at=[22/Nov/2026:10:11]&b"


@pytest.mark.parametrize(
    "definition",
    [
        '$remote_addr [$time_local] $request_method $uri $args $status "$http_user_agent"',
        '[$time_local] [$remote_addr] $status $host $uri $args "$http_user_agent"',
        '%h %t %m %U %q %H %>s "%{User-Agent}i"',
    ],
)
@pytest.mark.parametrize(
    ("path", "query"),
    [("/a", ""), ("/a", "filter[]=1&b[0]=2"), ("/a[1]", "x"), ("/a", "[22/Nov/2026:10:11]")],
)
def test_what_separates_the_servers_values_in_front_may_stand_in_a_query(
    definition: str, path: str, query: str
) -> None:
    apache = definition.startswith("%")
    sent = {"$uri": path, "%U": path, "$args": query or "-", "%q": query and f"?{query}"}
    written = WRITTEN | sent | {"$request_method": "GET", "%m": "GET", "%H": "HTTP/1.1"}
    found = hit(definition, line(definition, written | {"%h": "192.0.2.1", "$host": "a.example"}))
    assert (found.target, found.address) == (f"{path}?{query}".rstrip("?"), "192.0.2.1")
    assert found.protocol == ("HTTP/1.1" if apache else "")
    assert (found.time, found.status, found.user_agent) == (SECONDS, 200, AGENT)


def test_what_separates_what_visitors_sent_may_not_stand_behind_it() -> None:
    """One that imitates in front what the server writes is told by a bracket too many."""
    for name in ("$http_host", "$http_x_forwarded_for", "$content_type"):
        for values in ("$uri $args", "$request_uri"):
            definition = f"$remote_addr {name}[$time_local]{values} $status"
            written = WRITTEN | {"$uri": "/a", "$args": "b", "$request_uri": "/a?b", name: "x"}
            assert hit(definition, line(definition, written)).time == SECONDS
            forged = line(definition, written | {name: "x[01/Jan/2020:00:00:00 +0000]/f"})
            assert compile_format(definition).parse(forged.encode(), LATEST) is Malformed.NO_MATCH


@pytest.mark.parametrize(
    ("last", "values"),
    [
        ("$http_referer", ["-", "https://example.org/?q=a+b"]),
        ("$sent_http_x_cache", ["-", "HIT"]),
        ("$geoip_country_code", ["-", "DE"]),
        ("$host", ["www.example.com"]),
        ("$http_x_forwarded_for", ["-", "198.51.100.7, 192.0.2.9"]),
    ],
)
def test_a_user_agent_reaches_to_the_value_that_ends_the_line(last: str, values: list[str]) -> None:
    definition = f'$remote_addr [$time_local] "$request" $status $http_user_agent {last}'
    for value in values:
        found = hit(definition, line(definition, WRITTEN | {last: value}))
        assert found.user_agent == AGENT, value
        told = {"$http_referer": found.referrer, "$http_x_forwarded_for": found.forwarded_for}
        assert told.get(last) in {None, value.removeprefix("-")}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("$http_user_agent $http_cookie", "may both contain ' '"),
        ("$http_user_agent $remote_user", "may both contain ' '"),
        ('$http_x_forwarded_for $remote_addr $request "$uri"', "$remote_addr could be forged"),
        ('$remote_user $msec $request "$uri"', "$msec could be forged"),
        ("%{X-Foo}i %v %{User-Agent}i", "%v could be forged"),
        ("$http_x_foo a=$remote_addr u=$http_user_agent", "$remote_addr could be forged"),
    ],
)
def test_a_last_value_that_may_hold_what_the_server_wrote_is_refused(values: str, why: str) -> None:
    other = '%t %h "%r" ' if values.startswith("%") else '$remote_addr [$time_local] "$request" '
    with pytest.raises(FormatError, match=re.escape(why)):
        compile_format(other + values)


@pytest.mark.parametrize("handler", ["-", "proxy-server", "httpd/unix-directory", "a/b/200 x"])
def test_a_status_is_found_behind_a_value_that_holds_its_separator(handler: str) -> None:
    """Wikimedia's: the handler is a name or a media type."""
    definition = "%{msec}t\t%a\t%R/%>s\t%m\thttp://%{Host}i%U%q\t%{User-Agent}i"
    found = hit(
        definition, f"{SECONDS}000\t192.0.2.1\t{handler}/404\tGET\thttp://example.org/a?b\tx"
    )
    assert (found.status, found.target) == (404, "/a?b")
