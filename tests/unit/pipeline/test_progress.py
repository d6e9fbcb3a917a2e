"""The pace of a backfill: measured, and kept for the next run where there is a checkpoint."""

from __future__ import annotations

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
