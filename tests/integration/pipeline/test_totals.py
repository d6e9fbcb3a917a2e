"""What a command counts into the checkpoint, source by source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.model import Chunk, PageView, Scanned, Span, Tally
from ingestor.pipeline import totals
from ingestor.pipeline.totals import Totals


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), Role.RUN) as store:
        yield store


def scanned(key: int, *times: int, again: bool = False) -> Scanned:
    span = Span(key, 0, 10)
    views = [PageView.of("w", {"timestamp": time}, span, 0, b"") for time in times]
    return Scanned(Chunk(key, 0, 10, b"x" * 10, again=again), views, Tally(len(times)))


def test_the_newest_page_view_of_a_log_is_told_by_its_time_and_not_by_its_place(
    store: Store,
) -> None:
    counted = Totals(store, lambda _key: "/var/log")
    for times in ((50, 70, 60), (40,), ()):
        counted.scanned(scanned(1, *times))
    counted.scanned(scanned(2, 5))
    assert counted.newest == {1: 70, 2: 5}


def test_of_more_logs_than_are_remembered_the_known_ones_stay_up_to_date(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "_FILES", 2)
    counted = Totals(store, lambda _key: "/var/log")
    for key, time in ((1, 10), (2, 20), (3, 30), (1, 40)):
        counted.scanned(scanned(key, time))
    assert counted.newest == {1: 40, 2: 20}


def test_lines_that_are_read_again_are_not_counted_again(store: Store) -> None:
    counted = Totals(store, lambda _key: "/var/log")
    counted.scanned(scanned(1, 50, 60))
    counted.scanned(scanned(1, 50, 60, again=True))
    assert store.totals() == {"/var/log": {"lines": 2}}
