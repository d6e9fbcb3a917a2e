"""What the journal keeps of a batch: spans joined, packed, and found again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.checkpoint.journal import Role, pack, spans_of, unpack
from ingestor.model import Batch, PageView, Span

NUMBER = st.integers(0, 2**63 - 1)


@given(st.lists(st.builds(Span, NUMBER, NUMBER, NUMBER), max_size=20))
def test_packed_spans_come_back_as_they_were(spans: list[Span]) -> None:
    assert list(unpack(pack(spans))) == spans


def test_a_torn_list_of_spans_is_noticed() -> None:
    with pytest.raises(ValueError, match="torn"):
        unpack(pack([Span(1, 2, 3)])[:-1])


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 20), st.integers(1, 5)), max_size=20))
def test_joined_spans_cover_exactly_what_the_page_views_came_from(
    parts: list[tuple[int, int, int]],
) -> None:
    spans = [Span(file, start, start + length) for file, start, length in parts]
    page_views = tuple(PageView.of("w", {}, span, span.start, b"") for span in spans)
    joined = spans_of(Batch(1, "w", page_views))
    assert flat(joined) == flat(spans)
    assert len(joined) <= len(spans)


def flat(spans: list[Span]) -> list[tuple[int, int]]:
    return [(span.file, offset) for span in spans for offset in range(span.start, span.end)]


def test_adjacent_spans_of_one_file_become_one() -> None:
    spans = [Span(1, 0, 10), Span(1, 10, 30), Span(2, 30, 40), Span(2, 50, 60)]
    page_views = tuple(PageView.of("w", {}, span, span.start, b"") for span in spans)
    assert spans_of(Batch(1, "w", page_views)) == [Span(1, 0, 30), Span(2, 30, 40), Span(2, 50, 60)]


def test_each_role_has_the_other_beside_it() -> None:
    assert Role.RUN.other is Role.BACKFILL
    assert Role.BACKFILL.other is Role.RUN
