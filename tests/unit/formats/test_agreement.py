"""The fast splitter, the exact matcher and the servers that write lines: they must agree."""

from __future__ import annotations

import string
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.formats import PRESETS, compile_format, format_named
from ingestor.formats.compiler import TextFormat
from ingestor.formats.fields import Escape
from ingestor.formats.format import Format
from ingestor.formats.hits import encoded_path
from ingestor.model import Hit, Malformed, Reason

BERLIN = ZoneInfo("Europe/Berlin")

# What visitors send: anything, broken bytes and the servers' own separators included.
sent = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.text('"\\ -[]|\t\n\r,;:{}xu0', max_size=30),
    st.sampled_from(['Mozilla/5.0 (X11) "quoted" \\', "https://example.org/?q=a b", '" 200 1 "-"']),
).filter(
    lambda text: not any("\ud800" <= c < "\udc80" or (c > "\udcff" and c < "\ue000") for c in text)
)
word = st.text(string.ascii_letters + string.digits + "-._~%/?&=+;,é\udcff", max_size=20)
addresses = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["host.example.org", "unix:", "2001:db8::1"])
)
hosts = st.sampled_from(["example.com", "www.example.org", "xn--bcher-kva.example", "_"])


@st.composite
def hits(draw: Any, fields: frozenset[str], *, bare: bool) -> Hit:
    """A request with the fields that a format has; ``bare``: without spaces in the values."""
    text = word if bare else sent

    def optional(name: str, values: st.SearchStrategy[str]) -> str | None:
        if name not in fields:
            return None
        value = draw(values)
        return "" if value == "-" else value

    target = "/" + draw(text)
    protocol = "HTTP/" + draw(st.sampled_from(["1.0", "1.1", "2.0", "3.0"]))
    return Hit(
        time=draw(st.integers(788_918_400 + 86_400, 1_799_000_000)),
        address=draw(addresses),
        method=draw(st.sampled_from(["GET", "POST", "PROPFIND", "M-SEARCH"])),
        target=target,
        protocol=protocol if "protocol" in fields else "",
        status=draw(st.integers(100, 999)) if "status" in fields else 200,
        host=optional("host", hosts),
        referrer=optional("referrer", text),
        user_agent=optional("user_agent", text),
        forwarded_for=optional("forwarded_for", addresses.map(lambda one: f"{one}, 192.0.2.1")),
        accept_language=optional("accept_language", st.sampled_from(["de-DE,de;q=0.9", "en"])),
        scheme=optional("scheme", st.sampled_from(["http", "https"])),
    )


def as_read(hit: Hit, line_format: Format) -> Hit:
    """What a hit becomes: a list stands in for an address, and a path was decoded."""
    if "path" in line_format.columns:
        path, *query = hit.target.partition("?")
        encoded = encoded_path(path.encode("utf-8", "surrogateescape"))
        hit = hit._replace(target=encoded.decode("utf-8", "surrogateescape") + "".join(query))
    if "address" in line_format.columns:
        return hit
    return hit._replace(address=hit.forwarded_for or "")


def same(line_format: Format, line: bytes, latest: int) -> Hit | Malformed | Reason:
    """Check that both ways lead to the same, and give it."""
    verdict = line_format.parse(line, latest)
    assert isinstance(verdict, Hit | Malformed | Reason)
    columns = line_format.split(line)
    if columns is not None:
        assert line_format.hit(columns, latest) == verdict
    return verdict


TEXT_PRESETS = [
    name
    for name, preset in PRESETS.items()
    if isinstance(format_named(name, timezone=BERLIN), TextFormat)
    and "trailing" not in name
    and not name.startswith(("haproxy", "http"))
    and name not in {"aws_alb", "alb"}
]


@pytest.mark.parametrize("name", TEXT_PRESETS)
@given(data=st.data())
def test_what_a_server_writes_by_a_preset_is_read_back(
    name: str, data: st.DataObject, writer: Any, latest: int
) -> None:
    line_format = format_named(name)
    assert isinstance(line_format, TextFormat)
    hit = data.draw(hits(line_format.fields, bare=False))
    line = writer(line_format).line(hit, data.draw(st.sampled_from([0, 60, -210, 345])))
    assert same(line_format, line, latest) == as_read(hit, line_format)
    assert same(line_format, line + b"\r", latest) == as_read(hit, line_format)


@pytest.mark.parametrize(
    "name",
    [
        "nginx with times of upstreams",
        "nginx, time first, request in parts",
        "nginx, a whole URL",
        "nginx, uri and args",
        "nginx, labelled and tabs",
        "nginx, user agent without quotes at the end",
        "nginx, braces and a literal at the end",
        "nginx, values between hyphens",
        "nginx, ports without spaces and a list at the end",
        "Apache, every modifier",
        "Apache, request in parts and strftime",
        "Apache, epoch in ms",
        "Apache, JSON written by hand",
        "Apache, ISO by strftime and tabs",
    ],
)
@given(data=st.data())
def test_what_a_server_writes_by_any_definition_is_read_back(
    name: str, data: st.DataObject, writer: Any, definitions: dict[str, str], latest: int
) -> None:
    line_format = compile_format(definitions[name])
    assert isinstance(line_format, TextFormat)
    hit = data.draw(hits(line_format.fields, bare=True))
    assert same(line_format, writer(line_format).line(hit), latest) == as_read(hit, line_format)


@given(data=st.data())
def test_nginx_json_is_read_back_whatever_visitors_send(
    data: st.DataObject, writer: Any, latest: int
) -> None:
    definition = (
        '{"time":"$time_iso8601","ip":"$remote_addr","r":"$request","s":$status,'
        '"host":"$host","ref":"$http_referer","ua":"$http_user_agent"}'
    )
    line_format = compile_format(definition, escape="json")
    as_text = TextFormat(
        definition,
        line_format._text._matcher.parts,
        name="text",
        escape=Escape.JSON,  # type: ignore[attr-defined]
    )
    hit = data.draw(hits(line_format.fields, bare=False))
    hit = hit._replace(scheme=None, forwarded_for=None, accept_language=None)
    line = writer(as_text, Escape.JSON).line(hit)
    assert same(line_format, line, latest) == as_read(hit, line_format)


SPLICES = [
    b'"',
    b"\\",
    b" ",
    b"\r",
    b"\t",
    b"[",
    b"]",
    b"-",
    b",",
    b'" 200 1 "',
    b"\xff",
    b"|",
    b"{",
]


@st.composite
def mutated(draw: Any, line: bytes) -> bytes:
    """A line with some bytes taken out, doubled, replaced or put in."""
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(line)))
        end = draw(st.integers(at, min(len(line), at + 40)))
        middle = draw(st.one_of(st.just(b""), st.sampled_from(SPLICES), st.just(line[at:end] * 2)))
        line = line[:at] + middle + line[end:]
    return line.replace(b"\n", b"")


SAMPLES = {preset.name: preset.sample.encode() for preset in PRESETS.values()}


@pytest.mark.parametrize("name", sorted({p.template: n for n, p in PRESETS.items()}.values()))
@given(data=st.data())
def test_splitter_and_matcher_agree_on_broken_lines(
    name: str, data: st.DataObject, latest: int
) -> None:
    line_format = format_named(name, timezone=BERLIN).for_file([])
    line = data.draw(mutated(SAMPLES[name]))
    same(line_format, line, latest)


@pytest.mark.parametrize("name", sorted({p.template: n for n, p in PRESETS.items()}.values()))
@given(line=st.binary(max_size=200))
def test_no_format_raises_on_any_bytes(name: str, line: bytes, latest: int) -> None:
    same(format_named(name, timezone=BERLIN).for_file([]), line, latest)


@pytest.mark.parametrize("definition", range(15))
@given(data=st.data())
def test_splitter_and_matcher_agree_on_broken_lines_of_any_definition(
    definition: int, data: st.DataObject, writer: Any, definitions: dict[str, str], latest: int
) -> None:
    line_format = compile_format(list(definitions.values())[definition])
    assert isinstance(line_format, TextFormat)
    hit = data.draw(hits(line_format.fields, bare=True))
    line = data.draw(mutated(writer(line_format).line(hit)))
    same(line_format, line, latest)
