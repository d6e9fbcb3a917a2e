"""What the daemon keeps of logs that are gone, from day to day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ingestor.checkpoint import Committer, Role, Store
from ingestor.config import load
from ingestor.observe import Notifier
from ingestor.pipeline.daemon import _Daemon

WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
LINE = (
    '192.0.2.10 - - [22/Nov/2026:10:11:12 +0100] "GET /a.png HTTP/1.1" 200 12 "-" "Mozilla/5.0"\n'
)
CONFIGURATION = f"""\
umami: {{url: "http://127.0.0.1:9"}}
sites: [{{website: {WEBSITE}, hostname: example.com}}]
sources: [{{path: "LOGS/*.log", site: example.com, format: combined}}]
checkpoint: {{path: LOGS/checkpoint.db, max_files: 0}}
follow: {{watchdog: false}}
run: {{start: beginning}}
"""


@pytest.fixture
def hours() -> list[int]:
    """How many hours the follower's clock is ahead."""
    return [0]


@pytest.fixture
async def daemon(tmp_path: Path, hours: list[int]) -> AsyncIterator[_Daemon]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIGURATION.replace("LOGS", str(tmp_path)))
    config = load(file, environment={})
    with Store.open(config.checkpoint, Role.RUN) as store:
        async with Committer(store) as committer:
            daemon = _Daemon(config, store, committer, Notifier())
            real: Callable[[], float] = daemon._follower._clock
            daemon._follower._clock = lambda: real() + 3600 * hours[0]
            daemon._follower._roster.clock = daemon._follower._clock
            yield daemon
            await daemon.close()


async def _read(daemon: _Daemon) -> set[int]:
    """Look, and read what is there; the keys of the files that gave anything."""
    daemon._look_once()
    daemon._take_in_hand()
    keys = {chunk.file for chunk in daemon._in_hand}
    while daemon._in_hand:
        await daemon._take(daemon._in_hand.popleft())
    return keys


async def test_of_a_log_that_is_gone_and_forgotten_nothing_is_kept(
    daemon: _Daemon, tmp_path: Path, hours: list[int]
) -> None:
    """A checkpoint forgets nothing claimed, and a reload asks it about all that was read."""
    log = tmp_path / "access.log"
    log.write_text(LINE)
    (key,) = await _read(daemon)
    daemon._prune()
    assert daemon._scanners.get(key) is not None
    assert key in {file.key for file in daemon._store.known()}
    log.unlink()
    for _ in range(3):  # it is closed, then out of sight, then forgotten
        hours[0] += 2
        await _read(daemon)
    daemon._prune()
    assert not daemon._store.known()
    assert daemon._unfinished() == []
    assert daemon._scanners.get(key) is None


async def test_a_log_whose_source_is_taken_out_is_given_back(
    daemon: _Daemon, tmp_path: Path
) -> None:
    """A backfill may read on in it, and the checkpoint forget it."""
    (tmp_path / "access.log").write_text(LINE)
    (key,) = await _read(daemon)
    (tmp_path / "other").mkdir()
    file = tmp_path / "config.yaml"
    file.write_text(file.read_text().replace("/*.log", "/other/*.log"))
    with Store.open(daemon._config.checkpoint, Role.BACKFILL) as backfill:
        assert not backfill.claim(key)
        await daemon._change_to(load(file, environment={}))
        daemon._store.commit()
        assert backfill.claim(key)
    daemon._prune()
    assert not daemon._store.known()
