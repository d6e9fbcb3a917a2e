"""What counts as progress while page views are under way, and what does not."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.logfiles import FileState
from ingestor.observe import Counts, Notifier
from ingestor.pipeline.ledger import Ledger
from ingestor.pipeline.supervision import FEED, LOOK, STANDING, Supervision, standing_of


@dataclass
class Standing:
    """Follower and delivery in a given state; the clock stands still until it is set."""

    held: int = 0
    last_sign: float = 0.0
    patience: float = 135.0
    has_unread: bool = False
    now: float = 0.0
    states: list[FileState] = field(default_factory=list)

    def files(self) -> Sequence[FileState]:
        return self.states


@dataclass
class Watched:
    supervision: Supervision
    standing: Standing
    ledger: Ledger
    store: Store
    listening: socket.socket

    def fed(self) -> int:
        """How often the watchdog was fed since the last question."""
        return self.heard().count("WATCHDOG=1")

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.listening.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    name = f"ingestor-test-{uuid.uuid4()}"
    standing = Standing()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
        Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), Role.RUN) as store,
    ):
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "120000000"})
        ledger = Ledger(Counts(), store, None, lambda key: f"source {key}")
        supervision = Supervision(
            notifier, store, ledger, standing, clock=lambda: standing.now, wall=lambda: 1e9
        )
        yield Watched(supervision, standing, ledger, store, listening)


def test_an_idle_daemon_makes_progress_by_coming_round(watched: Watched) -> None:
    watched.supervision.came_round(LOOK)
    watched.supervision.fed()
    assert watched.fed() == 1


def test_waiting_for_an_umami_that_is_asked_again_and_again_is_progress(watched: Watched) -> None:
    for minute in range(10):
        watched.standing.now = watched.standing.last_sign = minute * 60.0
        watched.supervision.came_round(LOOK)
        watched.supervision.waiting(since=0.0)
        assert watched.fed() == 1


def test_a_pause_that_umami_asked_for_is_progress(watched: Watched) -> None:
    watched.standing.last_sign = 660.0  # Retry-After: 600
    watched.standing.now = 600.0
    watched.supervision.came_round(LOOK)
    watched.supervision.waiting(since=0.0)
    assert watched.fed() == 1


def test_a_delivery_that_asks_no_more_feeds_no_watchdog(watched: Watched) -> None:
    watched.standing.now = 136.0
    watched.supervision.came_round(LOOK)
    watched.supervision.waiting(since=0.0)
    assert watched.fed() == 0


def test_page_views_that_never_leave_feed_no_watchdog_though_feed_comes_round(
    watched: Watched,
) -> None:
    watched.standing.held = 7
    for second in range(0, 600, 10):
        watched.standing.now = float(second)
        watched.supervision.came_round(LOOK)
        watched.supervision.fed()
        fed = watched.fed()
        assert not (fed and second >= 170)  # patience, and a mark from before it ended
    watched.standing.held = 0
    watched.supervision.fed()
    assert watched.fed() == 1


def test_a_look_that_hangs_feeds_no_watchdog(watched: Watched) -> None:
    for second in range(600):
        watched.standing.now = float(second)
        watched.supervision.came_round(FEED)
    assert watched.fed() == 0


def test_the_lag_is_that_of_what_is_sent_and_nothing_after_silence(watched: Watched) -> None:
    assert watched.ledger.totals is not None
    watched.ledger.totals.newest_done = int(1e9) - 3600
    watched.standing.held = 1
    watched.standing.now = 1.0  # a page view after an hour of silence
    watched.supervision.look(watched.standing)
    assert watched.supervision.lag() == 1.0
    watched.standing.now = 7200.0  # two hours without an answer
    watched.supervision.look(watched.standing)
    assert watched.supervision.lag() == 3600.0
    assert any("STATUS=3600 s behind" in line for line in watched.heard())


def test_the_standing_is_noted_for_status_and_survives(watched: Watched) -> None:
    assert watched.ledger.totals is not None
    watched.ledger.totals.newest[5] = 1_790_000_000
    watched.standing.states = [FileState(5, b"/log", 0, 1, 1, 0, "live")]
    watched.ledger.away(1e9)
    watched.supervision.look(watched.standing)
    noted = standing_of(watched.store.noted(STANDING))
    assert noted == {"away_since": 1e9, "parked": [], "newest": {5: 1_790_000_000}}


@pytest.mark.parametrize("note", [None, "", "{", "[]", "1", '{"newest": {"x": 1}}', "{}"])
def test_a_note_that_makes_no_sense_is_none(note: str | None) -> None:
    assert standing_of(note) == {"away_since": None, "parked": [], "newest": {}}
