"""What the checkpoint tells a daemon of earlier starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.config import Source
from ingestor.pipeline.leftover import is_first_start, new_sources, note_sources, tells_more


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), Role.RUN) as store:
        yield store


def test_a_source_is_new_until_it_was_followed_once(store: Store) -> None:
    """What appears in it from then on, also while no daemon runs, is read from its start."""
    one, two = Source(path="/var/log/one"), Source(path="/var/log/two")
    assert is_first_start(store)
    assert new_sources(store, [one, two]) == {0, 1}
    note_sources(store, [one])
    assert not is_first_start(store)
    assert new_sources(store, [two, one]) == {0}
    note_sources(store, [two])
    assert new_sources(store, [one, two]) == set()  # though one was not followed meanwhile
    assert new_sources(store, [Source(path="/var/log/one", include=("*.txt",))]) == {0}


def test_a_source_that_leaves_out_fewer_files_is_new(store: Store) -> None:
    """What those hold already is left to a backfill."""
    fewer = Source(path="/var/log", exclude=("*error*", "old*"))
    note_sources(store, [fewer])
    assert new_sources(store, [fewer]) == set()
    assert new_sources(store, [Source(path="/var/log")]) == {0}


def test_an_upgrade_makes_no_source_new_for_what_it_leaves_out(store: Store) -> None:
    """Earlier versions noted only its path and include: what came meanwhile is no history."""
    source = Source(path="/var/log", exclude=("*error*", "old*"))
    note_sources(store, [Source(path="/var/log")])  # as they noted it
    store.note("run.names", 3)
    assert new_sources(store, [source]) == set()
    note_sources(store, [source])
    assert new_sources(store, [source]) == set()
    assert new_sources(store, [Source(path="/var/log", exclude=())]) == {0}


def test_what_an_earlier_version_noted_is_followed_on(store: Store) -> None:
    """It noted that it had started, and neither its sources nor the names that it told."""
    store.note("run.started", value=True)
    source = Source(path="/var/log/one")
    assert new_sources(store, [source]) == set()
    assert tells_more(store)
    note_sources(store, [source])
    assert not tells_more(store)
