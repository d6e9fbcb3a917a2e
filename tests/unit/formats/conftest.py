"""What the tests of formats share: sample lines, definitions, and a server that writes lines."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ingestor.formats.compiler import TextFormat
from ingestor.formats.fields import Decoding, Escape, Literal, Role, Shape
from ingestor.model import Hit

ROOT = Path(__file__).resolve().parents[3]
LATEST = 1_800_000_000  # Unix seconds, 2027-01-15

settings.register_profile(
    "formats",
    deadline=None,
    max_examples=int(os.environ.get("FORMATS_EXAMPLES", "25")),
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("formats")

# Our own definitions, with every construct met in public server configurations.
DEFINITIONS = {
    "nginx with times of upstreams": (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" rt=$request_time uct="$upstream_connect_time" '
        'urt="$upstream_response_time"'
    ),
    "nginx, time first, request in parts": (
        "$time_iso8601 $scheme $host $remote_addr $request_method $request_uri $server_protocol "
        '$status $body_bytes_sent "$http_referer" "$http_user_agent"'
    ),
    "nginx, a whole URL": (
        "$msec|$remote_addr|$request_method $scheme://$host$request_uri $server_protocol|$status|"
        '"$http_referer"|"$http_user_agent"|$pipe'
    ),
    "nginx, uri and args": (
        '$remote_addr [$time_local] "$request_method $uri$is_args$args $server_protocol" $status '
        '"$http_referer" "$http_user_agent" $http_accept_language'
    ),
    "nginx, labelled and tabs": (
        "time:$time_local\thost:$remote_addr\tforwardedfor:$http_x_forwarded_for\treq:$request\t"
        "status:$status\treferer:$http_referer\tua:$http_user_agent\tvhost:$host"
    ),
    "nginx, user agent without quotes at the end": (
        '[$time_local] $host $remote_addr $request_time "$request" $status $http_referer '
        "$http_user_agent"
    ),
    "nginx, braces and a literal at the end": (
        '${remote_addr}, [${time_local}] "${request}" ${status} "${http_referer}" '
        '"${http_user_agent}"ms'
    ),
    "nginx, values between hyphens": (
        '$remote_addr -$http_x_forwarded_for- [$time_local] "$request" $status "$http_referer" '
        '"$http_user_agent" -$upstream_cache_status-'
    ),
    "nginx, ports without spaces and a list at the end": (
        '$msec|$host:$server_port|$remote_addr:$remote_port|"$request"|$status|"$http_referer"|'
        '"$http_user_agent"|$upstream_addr|$http_x_forwarded_for'
    ),
    "HAProxy's path with its query": (
        '$remote_addr [$time_local] "$request_method $any_target?$args $server_protocol" $status '
        '"$http_user_agent" $upstream_response_time'
    ),
    "Apache, every modifier": (
        '%{X-Forwarded-For}i %v:%p %h %l %u %t "%r" %>s %O %D %{ms}T %X "%!200,304,302{Referer}i" '
        '"%400,501{User-agent}i" "%{Accept-Language}i" %{PHPSESSID}C'
    ),
    "Apache, request in parts and strftime": (
        '[%{%d/%b/%Y:%H:%M:%S}t.%{msec_frac}t %{%z}t] %a %m %U%q %H %>s "%{Referer}i" '
        '"%{User-Agent}i"'
    ),
    "Apache, epoch in ms": '%{msec}t %a "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %%',
    "Apache, JSON written by hand": (
        '{ "time":"%t", "ip":"%a", "host":"%V", "request":"%U", "query":"%q", "method":"%m", '
        '"status":"%>s", "ua":"%{User-agent}i", "referer":"%{Referer}i" }'
    ),
    "Apache, ISO by strftime and tabs": (
        "%{%Y-%m-%dT%T%z}t\t%a\t%r\t%s\t%{Referer}i\t%{User-Agent}i\t%{Host}i"
    ),
}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def latest() -> int:
    return LATEST


@pytest.fixture(scope="session")
def sample() -> Callable[[str], list[bytes]]:
    """Give the lines of one sample log, without newlines."""

    def lines(name: str) -> list[bytes]:
        return (ROOT / "sample_logs" / name).read_bytes().split(b"\n")[:-1]

    return lines


def escaped(value: bytes, escape: Escape, *, apache: bool) -> bytes:
    """Escape as the servers do: byte by byte."""
    if escape is Escape.NONE:
        return value
    written = b""
    for byte in value:
        char = bytes([byte])
        if escape is Escape.JSON:
            letters = {b'"': b'\\"', b"\\": b"\\\\", b"\n": b"\\n", b"\t": b"\\t", b"\r": b"\\r"}
            written += letters.get(char, char if byte >= 32 else b"\\u%04X" % byte)
        elif apache and char in b'"\\':
            written += b"\\" + char
        elif apache and char in b"\n\t\r":
            written += {b"\n": b"\\n", b"\t": b"\\t", b"\r": b"\\r"}[char]
        elif 32 <= byte <= 126 and char not in b'"\\':
            written += char
        else:
            written += (b"\\x%02x" if apache else b"\\x%02X") % byte
    return written


class Writer:
    """Writes a hit as a server with this definition would, in a zone of its choice."""

    def __init__(self, line_format: TextFormat, escape: Escape = Escape.DEFAULT) -> None:
        self.format = line_format
        self._escape = escape
        self._apache = "%" in line_format.definition

    def line(self, hit: Hit, offset_minutes: int = 0) -> bytes:
        zone = timezone(timedelta(minutes=offset_minutes))
        written = b""
        for part in self.format._matcher.parts:
            if isinstance(part, Literal):
                written += part.text
            else:
                value = self._value(part.text, part.meaning, hit, zone)
                written += escaped(value, self._escape, apache=self._apache)
        return written

    def _value(self, text: str, meaning, hit: Hit, zone: timezone) -> bytes:  # type: ignore[no-untyped-def]
        if meaning.role is Role.TIME:
            return self._time(meaning.clock, datetime.fromtimestamp(hit.time, zone))
        path, question, query = hit.target.partition("?")
        values = {
            Role.ADDRESS: hit.address,
            Role.FORWARDED_FOR: hit.forwarded_for,
            Role.HOST: hit.host,
            Role.REQUEST: " ".join([hit.method, hit.target, *filter(None, [hit.protocol])]),
            Role.METHOD: hit.method,
            Role.TARGET: hit.target,
            Role.PATH: path,
            Role.QUERY: question + query,
            Role.PROTOCOL: hit.protocol,
            Role.STATUS: f"{hit.status:03d}",
            Role.REFERRER: hit.referrer,
            Role.USER_AGENT: hit.user_agent,
            Role.ACCEPT_LANGUAGE: hit.accept_language,
            Role.SCHEME: hit.scheme,
        }
        if meaning.role in values:
            raw = (values[meaning.role] or "").encode("utf-8", "surrogateescape")
            if meaning.decoding is Decoding.HYPHEN and not question:
                raw += b"-"  # that is $args
            return raw or (b"" if meaning.role is Role.QUERY else b"-")
        if text == "%p":
            return b"443"
        if "msec_frac" in text:
            return b"123"
        return b"0.004, 0.1" if meaning.shape is Shape.LIST else b"-"

    def _time(self, clock: str, when: datetime) -> bytes:
        if clock == "local":
            return when.strftime("%d/%b/%Y:%H:%M:%S %z").encode()
        if clock == "iso":
            return when.isoformat().encode()
        if clock.startswith("strftime:"):
            return when.strftime(clock.removeprefix("strftime:")).encode()
        seconds = int(when.astimezone(UTC).timestamp())
        return f"{seconds}123".encode() if clock == "ms" else f"{seconds}.123".encode()


@pytest.fixture(scope="session")
def writer() -> type[Writer]:
    return Writer


@pytest.fixture(scope="session")
def definitions() -> dict[str, str]:
    return DEFINITIONS
