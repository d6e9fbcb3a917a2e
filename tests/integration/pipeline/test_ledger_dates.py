"""Where run.start is a date: lines before it are left to a backfill, by the log's origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.model import Chunk, Identity, PageView, Reason, Scanned, Span, Tally
from ingestor.observe import Counts
from ingestor.pipeline.ledger import Ledger


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), Role.RUN) as store:
        yield store


def scanned(key: int, start: int, *views: tuple[int, int], left: int) -> Scanned:
    """A chunk of 100 bytes, page views at these places of it, and so many that are too old."""
    found = [PageView.of("w", {}, Span(key, *at), at[0], b"") for at in views]
    tally = Tally(len(views) + left, {}, {Reason.DATE: left} if left else {})
    return Scanned(Chunk(key, start, start + 100, b"x" * 100), found, tally)


def test_a_log_is_left_to_a_backfill_up_to_the_first_line_that_is_new_enough(store: Store) -> None:
    key = store.register(Identity(7, 1, b"f" * 16, 100), b"/access.log")
    ledger = Ledger(Counts(), store, None, lambda _key: "/var/log")
    ledger.scanned(scanned(key, 0, left=10))
    assert (store.left(key), store.unread(key, 300)) == (100, [(100, 300)])
    ledger.scanned(scanned(key, 100, (150, 160), (170, 200), left=5))
    assert store.left(key) == 150
    assert store.unread(key, 300) == [(150, 160), (170, 300)]  # what is sent and not answered yet
    store.ack([Span(key, 150, 160), Span(key, 170, 200)])
    assert store.unread(key, 300) == [(200, 300)]


def test_an_old_line_behind_new_ones_is_done_with_and_moves_no_origin(store: Store) -> None:
    """As the clock of a server went back; what stands before it is the daemon's all the same."""
    key = store.register(Identity(7, 1, b"f" * 16, 100), b"/access.log")
    ledger = Ledger(Counts(), store, None, lambda _key: "/var/log")
    ledger.scanned(scanned(key, 0, (0, 50), (50, 100), left=0))
    ledger.scanned(scanned(key, 100, (180, 200), left=1))
    assert store.left(key) == 0
    assert store.unread(key, 200) == [(0, 100), (180, 200)]
