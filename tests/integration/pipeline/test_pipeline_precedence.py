"""Live page views go first: the sign that a daemon is behind."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from ingestor.pipeline.precedence import Precedence


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.db"


def test_who_looks_sees_a_daemon_that_is_behind_until_it_has_caught_up(checkpoint: Path) -> None:
    daemon, backfill = Precedence(checkpoint), Precedence(checkpoint, count().__next__)
    assert not backfill.claimed()
    for behind in (True, True, False, False, True):
        daemon.claim(behind=behind)
        assert backfill.claimed() is behind
    daemon.release()
    assert not backfill.claimed()


def test_a_look_is_good_for_a_moment_and_no_longer(checkpoint: Path) -> None:
    now = [0.0]
    daemon, backfill = Precedence(checkpoint), Precedence(checkpoint, lambda: now[0])
    assert not backfill.claimed()
    daemon.claim(behind=True)
    now[0] = 0.04
    assert not backfill.claimed()
    now[0] = 0.06
    assert backfill.claimed()
    daemon.release()


def test_a_daemon_that_dies_claims_nothing(checkpoint: Path) -> None:
    seen, told = os.pipe()
    child = os.fork()
    if not child:
        Precedence(checkpoint).claim(behind=True)
        os.write(told, b"x" if Precedence(checkpoint).claimed() else b"-")
        os._exit(0)
    assert os.read(seen, 1) == b"x"
    os.waitpid(child, 0)
    assert not Precedence(checkpoint).claimed()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    daemon = Precedence(tmp_path / "missing" / "checkpoint.db")
    daemon.claim(behind=True)
    assert not daemon.claimed()
    daemon.release()
