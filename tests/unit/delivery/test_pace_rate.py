"""The most page views a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingestor.delivery.rate import Rate


def test_a_second_of_page_views_may_leave_at_once_and_the_next_ones_wait() -> None:
    rate = Rate(10)
    assert rate.wait(10, 100.0) == 0.0
    assert rate.wait(5, 100.0) == 0.5
    assert rate.wait(10, 100.0) == 1.5
    assert rate.wait(1, 1_000.0) == 0.0


def test_a_pause_gathers_no_more_than_a_second() -> None:
    rate = Rate(10)
    rate.wait(1, 0.0)
    assert rate.wait(30, 1_000.0) == 2.0


@given(
    page_views=st.integers(1, 500),
    steps=st.lists(st.tuples(st.integers(1, 50), st.floats(0.0, 3.0)), min_size=1, max_size=60),
)
def test_in_no_span_of_time_more_leave_than_the_rate_and_one_burst(
    page_views: int, steps: list[tuple[int, float]]
) -> None:
    rate = Rate(page_views)
    now, left = 0.0, []
    for count, later in steps:
        now += later
        left.append((now + rate.wait(count, now), count))
    for start in range(len(left)):
        total = 0
        for moment, count in left[start:]:
            total += count
            span = moment - left[start][0]
            allowed = page_views * (span + 1.0) + left[start][1]
            assert total <= allowed + 1e-6 * allowed
