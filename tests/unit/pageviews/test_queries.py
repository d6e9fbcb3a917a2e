"""The quick look at a query never overlooks what the masking would change."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.pageviews import PageViewOptions
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
