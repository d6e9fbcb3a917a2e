"""Ready-made hits and rules, and an independent reading of what Umami refuses for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import ada_url
import pytest

from ingestor.model import Hit
from ingestor.pageviews import PageViewOptions, Rules, Site

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
KEYS = "website hostname language referrer screen title url ip userAgent timestamp".split()
CAMPAIGN = (
    "utm_source utm_medium utm_campaign utm_content utm_term "
    "gclid fbclid msclkid ttclid li_fat_id twclid"
).split()


@pytest.fixture
def hit() -> Callable[..., Hit]:
    """A hit that is a page view; keywords change it."""

    def make(**changes: Any) -> Hit:
        ordinary = Hit(
            time=1_790_000_000,
            address="81.2.69.142",
            method="GET",
            target="/",
            protocol="HTTP/1.1",
            status=200,
            host="example.com",
            referrer="",
            user_agent=FIREFOX,
        )
        return ordinary._replace(**changes)

    return make


@pytest.fixture
def site() -> Site:
    return Site(WEBSITE, "example.com", ("example.com", "*.example.com"))


@pytest.fixture
def rules(site: Site) -> Callable[..., Rules]:
    """Rules for one site; keywords are options."""

    def make(
        *, sites: tuple[Site, ...] | None = None, since: int | None = None,
        until: int | None = None, **options: Any,
    ) -> Rules:  # fmt: skip
        sites = (site,) if sites is None else sites
        return Rules(PageViewOptions(**options), sites, since=since, until=until)

    return make


@pytest.fixture
def payload_of(hit: Callable[..., Hit], rules: Callable[..., Rules]) -> Callable[..., Any]:
    """The payload of the ordinary hit with changes, by the default rules."""
    ours = rules()

    def payload(**changes: Any) -> Any:
        verdict = ours.decide(hit(**changes))
        assert isinstance(verdict, tuple), verdict
        return verdict[1]

    return payload


@pytest.fixture(scope="session")
def user_agents() -> list[tuple[str, str]]:
    """(verdict of isbot, user agent) of the shipped list."""
    path = Path(__file__).parents[2] / "data" / "useragents.txt"
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    rows = [line.split("\t", 1) for line in text.split("\n") if line]
    return [(verdict, user_agent) for verdict, user_agent in rows]


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _path_problem(url: ada_url.URL, what: str) -> str | None:
    raw = url.pathname
    try:
        decoded = unquote(raw, errors="strict")
    except UnicodeDecodeError:
        decoded = raw
    return f"{what}: NUL in path" if "\0" in decoded or "%00" in raw else None


def _campaign_problem(url: ada_url.URL) -> str | None:
    for name, value in parse_qsl(url.search[1:], keep_blank_values=True, errors="replace"):
        if name in CAMPAIGN and ("\0" in value or _utf16(value) > 255):
            return f"{name}: NUL or over 255 characters"
    return None


def _field_problem(payload: dict[str, Any]) -> str | None:
    for name, value in payload.items():
        if type(value) is not (int if name == "timestamp" else str):
            return f"{name}: wrong type"
        if isinstance(value, str):
            value.encode()  # a lone surrogate cannot even be sent
    for name, length in {"hostname": 100, "language": 35, "screen": 11}.items():
        if _utf16(payload.get(name, "")) > length:
            return f"{name}: too long"
    if payload["timestamp"] == 0 or abs(payload["timestamp"]) > 8.64e12:
        return "timestamp"
    nul = [name for name in ("title", "hostname") if "\0" in unquote(payload.get(name, ""))]
    return f"{nul[0]}: NUL" if nul else None


def _url_problem(payload: dict[str, Any]) -> str | None:
    base = f"https://{payload['hostname'] or 'localhost'}"
    try:
        url = ada_url.URL(payload["url"], base=base)
        referrer = ada_url.URL(payload["referrer"], base=base)
    except ValueError as error:
        return f"no URL: {error}"
    return (
        _path_problem(url, "url") or _path_problem(referrer, "referrer") or _campaign_problem(url)
    )


def _refusal(payload: dict[str, Any]) -> str | None:
    """Umami's lasting objection to a payload (3.1, by experiment); None where it stores it."""
    return _field_problem(payload) or _url_problem(payload)


@pytest.fixture(scope="session")
def refusal() -> Callable[[dict[str, Any]], str | None]:
    return _refusal
