"""The pace of a backfill: measured, and kept for the next run where there is a checkpoint."""

from __future__ import annotations

import asyncio

import pytest

from ingestor.config import Config
from ingestor.observe import Counts
from ingestor.pipeline.progress import Progress


def test_a_backfill_of_standard_input_has_a_pace_and_nowhere_to_keep_it() -> None:
    """However much it sent, it ends without an error."""
    times = iter([100.0, 110.0])
    counts = Counts()
    progress = Progress(Config(), counts, None, clock=lambda: next(times))
    counts.accepted = 5_000
    assert progress.pace() == 500
    progress.end()


async def test_what_needs_no_sending_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Of ten letters four are no page views any more: after the other six nothing is left."""
    caplog.set_level("INFO", "ingestor")
    times, sleeps = iter([100.0, 100.0, 110.0]), iter([None])

    async def sleep(_: float) -> None:
        if next(sleeps, "end") == "end":
            raise asyncio.CancelledError

    counts = Counts()
    progress = Progress(Config(), counts, None, clock=lambda: next(times), sleep=sleep)
    progress.begin_again(10)
    progress.need_not(4)
    counts.accepted = 6
    with pytest.raises(asyncio.CancelledError):
        await progress.tell()
    assert "6 of 6 page views are done" in caplog.text
