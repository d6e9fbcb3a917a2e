"""The quick look at a query never overlooks what the masking would change."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.pageviews import PageViewOptions
from ingestor.pageviews.payload import Shaper
from ingestor.pageviews.queries import Queries

QUERIES = Queries(PageViewOptions())
PIECES = st.sampled_from(
    ["a", "token", "x_key", "=", "&", "?", ";", "%3F", "%26", "%3D", "%3Btoken%3D", "1", "/", ":",
     ".", '"', "\\u0026", "'", " ", "+", "@", "é", "password", "%74oken", "~", "|"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_is_found_harmless_is_not_changed_by_masking(query: str) -> None:
    if QUERIES._is_harmless(query):
        assert QUERIES.mask(f"?{query}") == f"?{query}"


def test_ordinary_queries_are_found_harmless() -> None:
    assert QUERIES._is_harmless("utm_source=news&page=3")
    assert QUERIES._is_harmless("q")
    assert not QUERIES._is_harmless("page=3&token=abc")
    assert not QUERIES._is_harmless("next=/x?a=1")


S = "sEcReT"


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (f"/cb?code%3D{S}%26state%3D1", "/cb?code%3D%26state%3D1"),
        (f"/cb?code%3D{S}%26state=1", "/cb?code%3D%26state=1"),
        (f"/?token%3D{S}", "/?token%3D"),
        (f"/?x=1&token%3D{S}", "/?x=1&token%3D"),
        (f"/?x=1&token%253D{S}&y=2", "/?x=1&token%253D&y=2"),
        (f"/reset%3Ftoken%3D{S}", "/reset%3Ftoken%3D"),
        (f"/reset%3Ftoken={S}", "/reset%3Ftoken="),
        (f"/login&token={S}", "/login&token="),
        (f"/reset/code={S}", "/reset/code="),
        (f"/?a=b=c?token={S}", "/?a=b=c?token="),
        (f"/?a=b=c?x=1;token={S};y=2", "/?a=b=c?x=1;token=;y=2"),
        (f"/?token=a%26{S}", "/?token="),
        ("/tokens/a=b/c", "/tokens/a=b/c"),
        ("/a%26b/c%3Dd?e%3Df", "/a%26b/c%3Dd?e%3Df"),
    ],
)
def test_separators_may_be_encoded_missing_or_in_the_path(target: str, sent: str) -> None:
    shaper = Shaper(QUERIES)
    assert shaper.url(target, "example.com") == sent
    assert shaper.referrer(f"https://a.example{target}").url == f"https://a.example{sent}"


@pytest.mark.parametrize(
    "line",
    [
        f"2026-01-31 10:11:12 GET /reset.aspx token={S} 443",
        f"/index.html\ttoken={S}\t200",
        f"/index.html a=1&token={S} 200",
        rf'"GET /?password=a\x22{S}&a=1 HTTP/1.1" 200',
        rf'"uri":"/login?password=a\"{S}","a":1',
        rf'"uri":"/login?token=a\\{S}\u0026b=1"',
        rf'"uri":"/login?token\u003d{S}"',
        f'200 "https://u:{S}@x.com/"',
        f'200 "https://u:p@{S}@x.com/"',
        rf'"referer":"https:\/\/u:{S}@x.com\/"',
        f'200 "sessionid={S}"',
        f'200 "a=b; sessionid={S}; c=d"',
        f'{{"Cookie":["sessionid={S}"]}}',
        f"token={S} 200",
        f'"https://x.com/#access_token={S}"',
    ],
)
def test_a_kept_line_loses_secret_values_and_nothing_else(line: str) -> None:
    masked = QUERIES.mask_line(line)
    assert S not in masked
    rest = re.split(rf"[\w.:@\\]*{S}", line)
    assert masked.startswith(rest[0].rpartition("password=")[0])
    assert masked.endswith(rest[1].lstrip("@;"))


def test_a_kept_line_loses_what_strip_query_takes_out_of_the_url() -> None:
    line = f'GET "/a?x={S}&{S}&b=%20{S} HTTP/1.1" "https://a.example/?{S}" "M (X; y)"'
    every = Queries(PageViewOptions(strip_query=("*",), mask_secrets=False))
    assert every.mask_line(line) == 'GET "/a?&& HTTP/1.1" "https://a.example/?" "M (X; y)"'
    assert every.mask_line(f"GET /a.aspx x={S}&y={S} 443") == "GET /a.aspx & 443"
    one = Queries(PageViewOptions(strip_query=("x",)))
    assert one.mask_line("GET /a?x=1&b=2 HTTP/1.1") == "GET /a?&b=2 HTTP/1.1"
    assert one.mask_line(r'{"uri":"/?b=1\u0026x=a\"b"}') == r'{"uri":"/?b=1\u0026"}'


@pytest.mark.parametrize(
    "piece", ["&", "=", "a=", "?a", "%25", "%2525", "%3D", "%26a", ";", "\\", "://", "://a@", '"',
              "token", "token=", "%3Dtoken", "\\u0026", " a=", "/"]
)  # fmt: skip
def test_no_line_takes_long_to_mask(piece: str) -> None:
    """A million bytes take a second where the time grows with the length, and else for ever."""
    every = Queries(PageViewOptions(strip_query=("x",)))
    began = time.process_time()
    every.mask_line(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/catalog/phone=samsung/page/2", "/catalog/phone=/page/2"),
        ("/order/key=5/details", "/order/key=/details"),
        ("/a%2Ftoken=5%2Fb", "/a%2Ftoken=%2Fb"),
    ],
)
def test_a_segment_with_a_secret_leaves_those_behind_it(path: str, sent: str) -> None:
    assert Queries(PageViewOptions()).mask_path(path) == sent
