"""What people write after ``format:``."""

from __future__ import annotations

import json

import pytest

from ingestor.errors import FormatError
from ingestor.formats import PRESETS, format_named
from ingestor.formats.named import pasted
from ingestor.model import Hit

COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent"'
)
APACHE = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
SAMPLE = PRESETS["combined"].sample.encode()


@pytest.mark.parametrize(
    "text",
    [
        "combined",
        "Combined",
        "nginx",
        COMBINED,
        f"'{COMBINED}'",
        f"log_format main '{COMBINED}';",
        f"log_format main escape=default '{COMBINED}';",
        f"log_format main '{COMBINED}\\n';",
        (
            "log_format  main  '$remote_addr - $remote_user [$time_local] \"$request\" '\n"
            "                  '$status $body_bytes_sent \"$http_referer\" '\n"
            "                  '\"$http_user_agent\"';"
        ),
        (
            'log_format main "$remote_addr - $remote_user [$time_local] \\"$request\\" $status '
            '$body_bytes_sent \\"$http_referer\\" \\"$http_user_agent\\"";'
        ),
        f"log_format main '{COMBINED}'; # the end",
        f"# as on all our hosts\n  # (see the wiki)\nlog_format main '{COMBINED}';",
        f"# as on all our hosts\n{COMBINED}",
        (
            "log_format main '$remote_addr - $remote_user [$time_local] \"$request\" '  # first\n"
            "  # what's new\n"
            '  \'$status $body_bytes_sent "$http_referer" "$http_user_agent"\';\n'
            "access_log /var/log/nginx/access.log main;"
        ),
        COMBINED.replace('"', '\\"'),
        APACHE,
        APACHE.replace('"', '\\"'),
        'LogFormat "' + APACHE.replace('"', '\\"') + '" combined',
        'LogFormat "' + APACHE.replace('"', '\\"').replace(" %t", " \\\n%t") + '" combined',
        '"' + APACHE.replace('"', '\\"') + '" combined',
        '"' + APACHE.replace('"', '\\"') + '"',
        'CustomLog /var/log/apache2/access.log "' + APACHE.replace('"', '\\"') + '"',
        'CustomLog "/var/log/my site/access.log" "' + APACHE.replace('"', '\\"') + '"',
        'CustomLog "|/usr/sbin/rotatelogs -l /var/log/access.%Y%m%d 86400" "'
        + APACHE.replace('"', '\\"')
        + '" env=!dontlog',
        "LogFormat '" + APACHE + "' combined",
    ],
)
def test_a_definition_may_be_pasted_as_it_stands(text: str, latest: int) -> None:
    found = format_named(text).parse(SAMPLE, latest)
    assert isinstance(found, Hit)
    assert found.user_agent is not None
    assert found.user_agent.startswith("Mozilla/5.0")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "CustomLog ${APACHE_LOG_DIR}/access.log combined",
            "paste the LogFormat that defines 'combined'",
        ),
        ('CustomLog "|/bin/x -l" my-format env=!y', "paste the LogFormat that defines 'my-format'"),
        ("access_log /var/log/nginx/access.log main;", "paste the log_format that defines 'main'"),
    ],
)
def test_a_line_that_only_names_its_format_is_told_from_one_that_defines_it(
    text: str, line: str
) -> None:
    with pytest.raises(FormatError, match=line):
        format_named(text)


_JSON = (
    'log_format access_json \'{"@timestamp":"$time_iso8601","host":"$server_addr",\'\n'
    '  \'"clientip":"$remote_addr","request":"$request","status":"$status",\'\n'
    '  \'"http_host":"$host","agent":"$http_user_agent"}\';'
)
_JSON_LINE = (
    b'{"@timestamp":"2026-11-22T10:11:12+01:00","host":"10.0.0.8","clientip":"192.0.2.1",'
    b'"request":"GET /a HTTP/1.1","status":"200","http_host":"www.example.com","agent":"x"}'
)


@pytest.mark.parametrize("name", ["json", _JSON, _JSON.replace("$server_addr", "$from_a_map")])
def test_the_machine_that_a_log_calls_host_is_not_the_vhost(name: str, latest: int) -> None:
    found = format_named(name).parse(_JSON_LINE, latest)
    assert isinstance(found, Hit)
    assert found.host == "www.example.com"


def read_in_both_ways(pairs: dict[str, tuple[str, str]], name: str, latest: int) -> Hit:
    """Read a JSON line by its keys (``json``) or by a pasted definition; splitter and parser agree.

    ``pairs``: key → variable of the definition, value in the line.
    """
    definition = json.dumps({key: variable for key, (variable, _) in pairs.items()})
    line_format = format_named("json" if name == "json" else definition)
    line = json.dumps({key: value for key, (_, value) in pairs.items()}).encode()
    found = line_format.parse(line, latest)
    assert isinstance(found, Hit)
    columns = line_format.split(line)
    assert columns is None or line_format.hit(columns, latest) == found
    return found


@pytest.mark.parametrize("proxied", ["", "192.0.2.9"])
@pytest.mark.parametrize("name", ["json", "pasted"])
def test_json_of_ingress_nginx_is_read_with_and_without_proxy_protocol(
    name: str, proxied: str, latest: int
) -> None:
    """As its documentation has it: the address is empty where there is no PROXY protocol."""
    pairs = {
        "time": ("$time_iso8601", "2026-11-22T10:11:12+01:00"),
        "remote_addr": ("$proxy_protocol_addr", proxied),
        "x_forwarded_for": ("$proxy_add_x_forwarded_for", "203.0.113.9, 198.51.100.7"),
        "status": ("$status", "200"),
        "vhost": ("$host", "www.example.com"),
        "request_proto": ("$server_protocol", "HTTP/2.0"),
        "path": ("$uri", "/pricing"),
        "request_query": ("$args", "utm_source=x"),
        "method": ("$request_method", "GET"),
    }
    found = read_in_both_ways(pairs, name, latest)
    assert found.address == (proxied or "203.0.113.9, 198.51.100.7")
    assert (found.target, found.protocol) == ("/pricing?utm_source=x", "HTTP/2.0")


@pytest.mark.parametrize(
    ("uri", "target"), [("/about", "/about"), ("/about?a=b", "/about?a=b"), ("", "")]
)
@pytest.mark.parametrize("name", ["json", "pasted"])
def test_what_a_rewrite_made_of_the_query_is_no_part_of_a_whole_target(
    name: str, uri: str, target: str, latest: int
) -> None:
    """nginx's $args are those of the last rewrite: try_files $uri /index.php?q=$uri."""
    pairs = {
        "time": ("$time_iso8601", "2026-11-22T10:11:12+01:00"),
        "remote_addr": ("$remote_addr", "192.0.2.1"),
        "status": ("$status", "200"),
        "request_uri": ("$request_uri", uri),
        "uri": ("$uri", "/index.php"),
        "args": ("$args", "q=/about&"),
    }
    found = read_in_both_ways(pairs, name, latest)
    assert found.target == (target or "/index.php?q=/about&")


def test_the_request_uri_of_java_has_no_query_of_its_own(latest: int) -> None:
    """HttpServletRequest.getRequestURI() is the path alone."""
    line = (
        b'{"time":"2026-11-22T10:11:12+01:00","remoteAddr":"192.0.2.1","method":"GET",'
        b'"requestUri":"/pricing","query":"utm_source=x","status":200}'
    )
    found = format_named("json").parse(line, latest)
    assert isinstance(found, Hit)
    assert found.target == "/pricing?utm_source=x"


def test_the_key_of_a_server_s_own_variable_tells_nothing(latest: int) -> None:
    for variable in ("$server_addr", "$hostname"):
        definition = _JSON.replace("$server_addr", variable).replace("http_host", "site")
        assert "host" in format_named(definition).fields
        alone = format_named(definition.replace('"$host"', '"$from_a_map"'))
        assert "host" not in alone.fields
    haproxy = format_named(
        'log-format \'{"host":"%H","time":"%Tl","client_ip":"%ci","request":"%r",'
        '"server_name":"%s","status":%ST,"site":"%[var(txn.host)]"}\''
    )
    found = haproxy.parse(
        b'{"host":"lb1","time":"22/Nov/2026:10:11:12 +0100","client_ip":"192.0.2.1",'
        b'"request":"GET /a HTTP/1.1","server_name":"web1","status":200,"site":"www.example.com"}',
        latest,
    )
    assert isinstance(found, Hit)
    assert found.host == "www.example.com"


def test_control_characters_in_definitions_are_read_as_the_server_reads_them() -> None:
    assert pasted('log_format l "time:$time_local\\thost:$remote_addr";') == (
        "time:$time_local\thost:$remote_addr",
        None,
    )
    assert pasted('LogFormat "%h\\t%t" tabs') == ("%h\t%t", None)


def test_the_way_of_escaping_is_part_of_a_pasted_definition() -> None:
    assert pasted('log_format j escape=json \'{"a":"$request"}\';') == ('{"a":"$request"}', "json")
    assert pasted("escape=none '$request'") == ("$request", "none")
    with pytest.raises(FormatError, match="default, json and none"):
        format_named("escape=xml '$remote_addr [$time_local] $request'")


def test_a_quoted_first_field_is_no_quoted_definition(latest: int) -> None:
    text = '"%{X-Forwarded-For}i" %h %l %u %t "%r" %>s %b'
    assert pasted(text) == (text, None)
    assert "forwarded_for" in format_named(text).fields


@pytest.mark.parametrize(
    "text", ["log_format main '$remote_addr", "log_format main;", "log_format"]
)
def test_half_a_definition_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        format_named(text)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(FormatError, match="did you mean 'combined'"):
        format_named("combind")
    with pytest.raises(FormatError, match="no format is called 'zzz'") as refusal:
        format_named("zzz")
    assert "did you mean" not in str(refusal.value)


def test_names_may_be_spelled_with_hyphens() -> None:
    assert format_named("vhost-combined").name == "vhost_combined"


def test_a_syslog_prefix_may_stand_before_any_format(latest: int) -> None:
    line_format = format_named("syslog combined")
    assert line_format.name == "syslog combined"
    assert isinstance(line_format.parse(b"<190>Nov 22 10:11:12 web nginx: " + SAMPLE, latest), Hit)


def test_equal_definitions_are_compiled_once() -> None:
    assert format_named("combined") is format_named("combined")
