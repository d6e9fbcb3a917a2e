"""The summary of a run, for people."""

from __future__ import annotations

import pytest

from ingestor.observe import Counts


@pytest.mark.parametrize(
    ("unsettled", "doubted", "note"),
    [
        (0, 0, ""),
        (2, 0, "  of them 2 with a user agent not settled with Umami"),
        (0, 1_200, "  of them up to 1,200 double (sent again, as no answer came)"),
        (2, 1, "  of them 2 with a user agent not settled with Umami, up to 1 double (sent again,"),
    ],
)
def test_the_summary_says_what_of_the_accepted_is_not_sure(
    unsettled: int, doubted: int, note: str
) -> None:
    counts = Counts(lines=5_000, page_views=5_000, accepted=5_000)
    counts.accepted_unsettled = unsettled
    counts.doubted = doubted
    (row,) = [row for row in counts.as_text(1.0).splitlines() if "accepted" in row]
    assert row.startswith(f"  accepted              5,000{note}")
    assert row.endswith("5,000") == (not note)
