"""Intervals against a plain set of offsets, which cannot be wrong."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.checkpoint.watermark import Intervals, union, watermark

SPAN = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1]))
SPANS = st.lists(SPAN, max_size=30)


def offsets(spans: list[tuple[int, int]]) -> set[int]:
    return {offset for start, end in spans for offset in range(start, end)}


def assert_tidy(found: Intervals) -> None:
    pairs = list(found)
    assert all(start < end for start, end in pairs)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(pairs))
    assert len(found) == len(pairs)


@given(SPANS)
def test_any_order_of_acks_gives_the_same_sorted_disjoint_set(spans: list[tuple[int, int]]) -> None:
    found = Intervals()
    for start, end in spans:
        found.add(start, end)
    assert_tidy(found)
    assert offsets(list(found)) == offsets(spans)
    assert found == Intervals(reversed(spans))
    assert found.size() == len(offsets(spans))


@given(SPANS, SPAN)
def test_gaps_and_contains_agree_with_the_offsets(
    spans: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    found, start, end = Intervals(spans), *asked
    missing = set(range(start, end)) - offsets(spans)
    gaps = found.gaps(start, end)
    assert offsets(gaps) == missing
    assert gaps == list(Intervals(gaps))  # sorted, disjoint, as long as they can be
    assert found.contains(start, end) == (not missing)
    assert found.size(start) == len({offset for offset in offsets(spans) if offset >= start})


@given(SPANS, SPANS, st.integers(0, 50))
def test_the_watermark_stands_before_the_first_offset_that_is_in_no_set(
    mine: list[tuple[int, int]], theirs: list[tuple[int, int]], origin: int
) -> None:
    acked = offsets(mine) | offsets(theirs)
    expected = next(offset for offset in range(origin, 200) if offset not in acked)
    assert watermark(origin, Intervals(mine), Intervals(theirs)) == expected
    together = union(Intervals(mine), Intervals(theirs))
    assert_tidy(together)
    assert together.contiguous(origin) == expected
    assert offsets(list(together)) == acked
    assert together.take_changes() == {}


@given(st.lists(st.lists(SPAN, max_size=8), max_size=8), st.data())
def test_rows_that_follow_the_changes_equal_the_set_though_some_writes_fail(
    rounds: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    found, rows = Intervals(), {}
    for spans in rounds:
        for start, end in spans:
            found.add(start, end)
        changes = found.take_changes()
        if data.draw(st.booleans(), label="the write fails"):
            late = data.draw(SPANS, label="acked meanwhile")
            for start, end in late:
                found.add(start, end)
            found.restore_changes(changes)
            continue
        apply(changes, rows)
    apply(found.take_changes(), rows)
    assert sorted(rows.items()) == list(found)
    assert found.take_changes() == {}


def apply(changes: dict[int, int | None], rows: dict[int, int]) -> None:
    for start, end in changes.items():
        if end is None:
            rows.pop(start, None)
        else:
            rows[start] = end


def test_marking_all_changed_hands_out_every_interval() -> None:
    found = Intervals([(0, 5), (7, 9)])
    assert found.take_changes() == {}
    found.mark_all_changed()
    assert found.take_changes() == {0: 5, 7: 9}


def test_acks_in_order_stay_one_interval() -> None:
    found = Intervals()
    for start in range(0, 10_000, 10):
        found.add(start, start + 10)
    assert list(found) == [(0, 10_000)]
    assert found.take_changes() == {0: 10_000}


def test_a_filled_hole_moves_the_watermark_over_everything_behind_it() -> None:
    found = Intervals([(100, 200), (250, 300)])
    assert found.contiguous(100) == 200
    found.add(200, 250)
    assert found.contiguous(100) == 300
    assert found.contiguous(0) == 0
    assert watermark(7) == 7


@pytest.mark.parametrize("span", [(-1, 5), (5, 4)])
def test_what_is_no_span_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Intervals().add(*span)


def test_a_copy_shares_nothing_and_a_set_compares_only_with_its_kind() -> None:
    found = Intervals([(1, 2)])
    twin = found.copy()
    twin.add(5, 6)
    assert list(found) == [(1, 2)]
    assert twin != found
    assert found != [(1, 2)]
    assert repr(found) == "Intervals([(1, 2)])"
