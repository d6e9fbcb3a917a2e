"""Debian's nginx, Apache and Caddy write hostile requests; every hit is what was sent.

What a server does not log as it was sent (a path that it decoded, a request that it refused before
it read the headers) is left out of the comparison. Caddy writes U+FFFD for each invalid byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

import pytest
from parts import free_port, program, until

from ingestor.formats import Format, detect, format_named
from ingestor.model import Hit, Malformed, Reason

LATEST = 4_000_000_000

NGINX_FORMATS = {
    "quoted": (
        "log_format quoted '$host $remote_addr - $remote_user [$time_local] \"$request\" '\n"
        '  \'$status $body_bytes_sent "$http_referer" "$http_user_agent" \'\n'
        "  '\"$http_x_forwarded_for\" '\n"
        "  'rt=$request_time uct=\"$upstream_connect_time\"';"
    ),
    "json": (
        'log_format json escape=json \'{"t":"$time_iso8601","ip":"$remote_addr",\'\n'
        '  \'"r":"$request","s":$status,"ref":"$http_referer","ua":"$http_user_agent",\'\n'
        '  \'"took":$upstream_response_time,"h":"$host"}\';'
    ),
    "json_default": (
        'log_format json_default \'{"t": "$msec", "ip": "$remote_addr", \'\n'
        '  \'"r": "$request", "s": "$status", "ref": "$http_referer", \'\n'
        '  \'"ua": "$http_user_agent"}\';'
    ),
    "tabs": (
        'log_format tabs "time:$time_iso8601\\thost:$remote_addr\\treq:$request\\tstatus:$status"\n'
        '  "\\treferer:$http_referer\\tua:$http_user_agent\\tvhost:$http_host";'
    ),
    "bars": (
        "log_format bars '$msec|$remote_addr|\"$request_method $request_uri $server_protocol\"|'\n"
        '  \'$status|"$http_referer"|"$http_user_agent"|$scheme\';'
    ),
    "uri": (
        "log_format uri '$remote_addr [$time_local] \"$request_method $uri$is_args$args '\n"
        '  \'$server_protocol" $status "$http_referer" "$http_user_agent"\';'
    ),
}
APACHE_FORMATS = {
    "quoted": (
        'LogFormat "%v:%p %h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" '
        '\\"%{User-Agent}i\\" %D" quoted'
    ),
    "pieces": (
        'LogFormat "[%{%d/%b/%Y:%H:%M:%S}t.%{msec_frac}t %{%z}t] %a \\"%m %U%q %H\\" %>s '
        '\\"%{Referer}i\\" \\"%{User-Agent}i\\"" pieces'
    ),
    "json": (
        'LogFormat "{ \\"time\\":\\"%{%Y-%m-%dT%T}t.%{usec_frac}t%{%z}t\\", \\"ip\\":\\"%a\\", '
        '\\"r\\":\\"%r\\", '
        '\\"status\\":\\"%>s\\", \\"ua\\":\\"%{User-agent}i\\", \\"ref\\":\\"%{Referer}i\\" }" json'
    ),
    "tabs": 'LogFormat "%{usec}t\\t%a\\t%r\\t%>s\\t%{Referer}i\\t%{User-Agent}i\\t%{Host}i" tabs',
    "conditions": (
        'LogFormat "%{X-Forwarded-For}i %h %l %u %t \\"%r\\" %>s %b \\"%!304,206{Referer}i\\" '
        '\\"%!304,206{User-Agent}i\\" %X %k %%" conditions'
    ),
}

_REST = {"request>remote_port": {"filter": "delete"}, "resp_headers": {"filter": "delete"}}
# Caddy's encoders, as they stand in its JSON configuration.
CADDY_FORMATS: dict[str, dict[str, object]] = {
    "plain": {"format": "json"},
    "milliseconds": {"format": "json", "time_format": "unix_milli_float"},
    "nanoseconds": {"format": "json", "time_format": "unix_nano"},
    "rfc3339": {"format": "json", "time_format": "rfc3339_nano"},
    "common_log": {"format": "json", "time_format": "common_log", "time_local": True},
    "iso": {"format": "json", "time_format": "iso8601", "duration_format": "string"},
    "wall": {"format": "json", "time_format": "wall_milli"},
    "keys": {
        "format": "json",
        "time_key": "@timestamp",
        "message_key": "message",
        "level_key": "severity",
        "name_key": "",
    },
    "filtered": {
        "format": "filter",
        "wrap": {"format": "json", "time_key": "time"},
        "fields": _REST | {"request>remote_ip": {"filter": "ip_mask", "ipv4_cidr": 24}},
    },
    "renamed": {
        "format": "filter",
        "wrap": {"format": "json", "time_format": "iso8601"},
        "fields": _REST
        | {
            "request>remote_ip": {"filter": "rename", "name": "from"},
            "request>headers>User-Agent": {"filter": "rename", "name": "by"},
        },
    },
    "deleted": {
        "format": "filter",
        "wrap": {"format": "json"},
        "fields": {
            name: {"filter": "delete"} for name in ("request>headers", "request>method", "status")
        },
    },
    "console": {"format": "console"},
}
# What Caddy's preset cannot know is pasted.
CADDY_DEFINITIONS = {
    "renamed": (
        '{"ts":"$time_iso8601","request":{"from":"$remote_addr","method":"$request_method",'
        '"proto":"$server_protocol","host":"$host","uri":"$request_uri",'
        '"headers":{"Referer":["$http_referer"],"by":["$http_user_agent"]}},"status":$status}'
    ),
    "deleted": '{"ts":$msec,"request":{"remote_ip":"$remote_addr","uri":"$request_uri"}}',
}

# (target, referrer, user agent), as bytes on the wire.
REQUESTS = [
    (b"/plain", b"https://example.org/", b"Mozilla/5.0 (X11; Linux x86_64)"),
    (b"/quotes?q=\"a\"&b='c'", b'https://example.org/"x"', b"Mozilla \"5.0\" 'x'"),
    (b'/back\\slash\\?x=\\"', b"\\", b"a\\b\\\\c\\x41\\n\\"),
    (b"/utf8/caf\xc3\xa9?\xe2\x82\xac", "https://exämple.org/ß".encode(), "Ünïcode/😀".encode()),
    (b"/invalid/\xff\xfe?\xc3\x28", b"\x80\xff", b"\xe9\xe8 latin"),
    (b"/percent/%00%0A%22%5C%e9", b"https://example.org/%20", b"%s%n%x %"),
    (b"/forged", b'-" "curl" 200 1 "x', b'x" 500 1 "-" "y'),
    (b"/json", b'","s":500,"x":"', b'\\","s":"500'),
    (b"/bars|and|tabs", b"a|b|c", b"a\tb|c"),
    (b"/spaces", b"a b  c", b"a  b [22/Nov/2026:00:00:00 +0000] c"),
    (b"/long/" + b"a" * 8000, b"https://example.org/" + b'"\\' * 3000, b"L" * 8000),
    (b"//double//slash", b"-", b"-"),
    (b"http://other.example/absolute?a", b"", b"[]{}()<>"),
    (b"/entities?a&amp;b#c", b"https://example.org/#frag", b"&lt;\xc2\xa0"),
]
GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 8 + b"\r\n\r\n",
    b"hello\r\n\r\n",
    b"\r\n\r\nGET\r\n\r\n",
]


def talk(port: int, raw: bytes) -> None:
    """Send bytes and read the answer to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(raw)
        with contextlib.suppress(ConnectionError):
            while connection.recv(65536):
                pass


def request_all(port: int) -> None:
    """Send everything; each connection ends, so each line is written."""
    for target, referrer, agent in REQUESTS:
        talk(
            port,
            b"GET " + target + b" HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n"
            b"Referer: " + referrer + b"\r\nUser-Agent: " + agent + b"\r\n\r\n",
        )
    for raw in GARBAGE:
        talk(port, raw)


@pytest.fixture(scope="module")
def nginx_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    command = program("nginx")
    if command is None:
        pytest.skip("nginx is not installed")
    home = tmp_path_factory.mktemp("nginx")
    home.chmod(0o755)
    port = free_port()
    logs = "\n".join(f"access_log {home}/{name}.log {name};" for name in NGINX_FORMATS)
    (home / "nginx.conf").write_text(
        f"""daemon off; pid {home}/pid; error_log {home}/error.log;
        events {{}}
        http {{
          large_client_header_buffers 8 32k; merge_slashes off;
          client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
          uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
          {" ".join(NGINX_FORMATS.values())}
          server {{ listen 127.0.0.1:{port}; server_name www.example.com; {logs}
                    return 200 "ok"; }}
        }}"""
    )
    with served([command, "-p", str(home), "-c", str(home / "nginx.conf")], port):
        yield home


@pytest.fixture(scope="module")
def apache_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    command = program("apache2")
    modules = Path("/usr/lib/apache2/modules")
    if command is None or not (modules / "mod_mpm_event.so").exists():
        pytest.skip("Apache is not installed")
    home = tmp_path_factory.mktemp("apache")
    home.chmod(0o755)
    shutil.copy(__file__, home / "index.txt")
    port = free_port()
    logs = "\n".join(f"CustomLog {home}/{name}.log {name}" for name in APACHE_FORMATS)
    formats = "\n".join(APACHE_FORMATS.values())
    (home / "apache.conf").write_text(
        f"""ServerRoot {home}
        PidFile {home}/pid
        Listen 127.0.0.1:{port}
        ServerName www.example.com
        LoadModule mpm_event_module {modules}/mod_mpm_event.so
        LoadModule authz_core_module {modules}/mod_authz_core.so
        User nobody
        Group nogroup
        LimitRequestLine 32000
        LimitRequestFieldSize 32000
        ErrorLog {home}/error.log
        DocumentRoot {home}
        {formats}
        {logs}
        """
    )
    with served([command, "-d", str(home), "-f", str(home / "apache.conf"), "-DFOREGROUND"], port):
        yield home


@pytest.fixture(scope="module")
def caddy_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    command = program("caddy")
    if command is None:
        pytest.skip("Caddy is not installed")
    home = tmp_path_factory.mktemp("caddy")
    port = free_port()

    def log(name: str, **more: object) -> dict[str, object]:
        writer = {"output": "file", "filename": str(home / f"{name}.log"), "roll": False}
        return {"writer": writer, **more}

    logs = {
        name: log(name, include=["http.log.access"], encoder=encoder)
        for name, encoder in CADDY_FORMATS.items()
    }
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "automatic_https": {"disable": True},
        "logs": {},
        "routes": [{"handle": [{"handler": "static_response", "body": "ok"}]}],
    }
    config = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(home / "storage")},
        "logging": {"logs": {"default": log("mixed"), **logs}},
        "apps": {"http": {"servers": {"www": server}}},
    }
    (home / "caddy.json").write_text(json.dumps(config))
    with served([command, "run", "--config", str(home / "caddy.json")], port, home=home):
        yield home


@contextlib.contextmanager
def served(command: list[str], port: int, *, home: Path | None = None) -> Iterator[None]:
    """Run a server, send it everything, and stop it. ``home`` is where it may keep things."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=None if home is None else os.environ | {"HOME": str(home), "XDG_DATA_HOME": str(home)},
    )
    try:
        until(lambda: answers(port) or process.poll() is not None, what=f"{command[0]} listens")
        if process.poll() is not None:
            _, errors = process.communicate()
            pytest.skip(
                f"{command[0]} does not start here: {errors.decode(errors='replace')[:200]}"
            )
        request_all(port)
    finally:
        process.terminate()
        process.wait(20)
        if process.stderr is not None:
            process.stderr.close()
    yield


def answers(port: int) -> bool:
    """Tell whether something listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def text(raw: bytes) -> str:
    """Give bytes as a hit holds them; a lone dash is how servers log nothing."""
    return "" if raw == b"-" else raw.decode("utf-8", "surrogateescape")


def replaced(raw: bytes) -> str:
    """Give bytes as Caddy writes them."""
    return "" if raw == b"-" else raw.decode("utf-8", "replace")


def parsed(line_format: Format, lines: list[bytes]) -> list[Hit | Malformed | Reason]:
    """Parse lines, and hold what the splitter makes of them to the same."""
    verdicts = [line_format.parse(line, LATEST) for line in lines]
    for line, verdict in zip(lines, verdicts, strict=True):
        columns = line_format.split(line)
        assert columns is None or line_format.hit(columns, LATEST) == verdict
    return verdicts


def compare(
    definition: str,
    lines: list[bytes],
    *,
    in_parts: bool = False,
    logged: Callable[[bytes], str] = text,
    address: str = "127.0.0.1",
) -> None:
    """Compare each line with the request it came from, in their order."""
    verdicts = parsed(format_named(definition, timezone=UTC), lines)
    assert set(verdicts) & {Malformed.NO_MATCH, Malformed.TIME, Malformed.JSON} <= {
        Malformed.NO_MATCH  # garbage, where the request is logged in parts
    }
    hits = [verdict for verdict in verdicts if isinstance(verdict, Hit)]
    # Every request is there, in order, beside the probe for the listening port.
    compared = 0
    for target, referrer, agent in REQUESTS:
        match = [hit for hit in hits if hit.target == logged(target)]
        if not match and in_parts:
            continue  # a path that the server decoded, or did not keep once it had refused it
        assert match, f"{target[:60]!r} is missing"
        (hit,) = match
        assert (hit.method, hit.address) == ("GET", address)
        if hit.status == 400:
            continue  # refused before the headers were read
        assert hit.user_agent == logged(agent)
        assert hit.referrer == logged(referrer)
        compared += 1
    assert compared >= len(REQUESTS) // 2


@pytest.mark.parametrize("name", NGINX_FORMATS)
def test_nginx_writes_and_every_hit_is_what_was_sent(name: str, nginx_logs: Path) -> None:
    lines = (nginx_logs / f"{name}.log").read_bytes().splitlines()
    compare(NGINX_FORMATS[name], lines, in_parts=name in {"bars", "uri"})


@pytest.mark.parametrize("name", APACHE_FORMATS)
def test_apache_writes_and_every_hit_is_what_was_sent(name: str, apache_logs: Path) -> None:
    lines = (apache_logs / f"{name}.log").read_bytes().splitlines()
    compare(APACHE_FORMATS[name], lines, in_parts=name == "pieces")


def test_what_the_servers_wrote_is_found_by_its_looks(nginx_logs: Path, apache_logs: Path) -> None:
    for path, fits in (
        (nginx_logs / "quoted.log", "vhost_combined_trailing"),
        (apache_logs / "quoted.log", "vhost_combined_trailing"),
    ):
        found = detect(path.read_bytes().splitlines(), latest=LATEST)
        assert found.format is not None, found.explanation
        assert found.format.name == fits


@pytest.mark.parametrize("name", sorted(CADDY_FORMATS.keys() - {"console", "deleted"}))
def test_caddy_writes_and_every_hit_is_what_was_sent(name: str, caddy_logs: Path) -> None:
    lines = (caddy_logs / f"{name}.log").read_bytes().splitlines()
    assert len(lines) == len(REQUESTS)
    compare(
        CADDY_DEFINITIONS.get(name, "caddy"),
        lines,
        logged=replaced,
        address="127.0.0.0" if name == "filtered" else "127.0.0.1",
    )


def test_however_caddy_writes_a_time_it_is_the_same(caddy_logs: Path) -> None:
    times = set()
    for name in CADDY_FORMATS.keys() - {"console"}:
        line_format = format_named(CADDY_DEFINITIONS.get(name, "caddy"), timezone=UTC)
        verdicts = parsed(line_format, (caddy_logs / f"{name}.log").read_bytes().splitlines())
        times.add(tuple(verdict.time for verdict in verdicts if isinstance(verdict, Hit)))
    (only,) = times
    assert len(only) == len(REQUESTS)


def test_fields_that_caddy_was_told_to_delete_are_not_made_up(caddy_logs: Path) -> None:
    lines = (caddy_logs / "deleted.log").read_bytes().splitlines()
    line_format = format_named(CADDY_DEFINITIONS["deleted"])
    assert not {"user_agent", "referrer", "host", "status", "method"} & line_format.fields
    hits = [verdict for verdict in parsed(line_format, lines) if isinstance(verdict, Hit)]
    assert [hit.target for hit in hits] == [replaced(target) for target, _, _ in REQUESTS]
    assert {(hit.user_agent, hit.referrer, hit.host) for hit in hits} == {(None, None, None)}
    found = detect(lines, latest=LATEST)
    assert found.format is None
    assert "expects a key for status" in found.explanation


def test_what_caddy_says_of_itself_is_no_request_and_hinders_nothing(caddy_logs: Path) -> None:
    lines = (caddy_logs / "mixed.log").read_bytes().splitlines()
    found = detect(lines, latest=LATEST)
    assert found.format is not None, found.explanation
    assert found.format.name == "caddy"
    verdicts = parsed(found.format, lines)
    assert sum(isinstance(verdict, Hit) for verdict in verdicts) == len(REQUESTS)
    assert {verdict for verdict in verdicts if not isinstance(verdict, Hit)} == {Reason.DIRECTIVE}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("console", "set `format json`"),
        ("wall", "its times name no zone: set `timezone`"),
        ("renamed", "expects a key for address"),
    ],
)
def test_what_caddy_writes_and_auto_cannot_read_is_refused_with_advice(
    name: str, why: str, caddy_logs: Path
) -> None:
    found = detect((caddy_logs / f"{name}.log").read_bytes().splitlines(), latest=LATEST)
    assert found.format is None
    assert why in found.explanation
