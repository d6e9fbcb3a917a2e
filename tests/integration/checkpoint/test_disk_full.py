"""A disk without room: a start is refused, a running process goes on and catches up."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ingestor.checkpoint import (
    CheckpointOptions,
    CheckpointUnavailable,
    CommitPace,
    Committer,
    Role,
    Store,
    read,
)
from ingestor.errors import CheckpointError
from ingestor.model import Span


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(directory: Path) -> None:
    with (directory / "ballast").open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_a_start_on_a_full_disk_says_so(small_disk) -> None:
    fill(small_disk)
    with pytest.raises(CheckpointError, match="make room on that disk"):
        Store.open(CheckpointOptions(small_disk / "checkpoint.db"), Role.RUN)
    (small_disk / "ballast").unlink()
    with Store.open(CheckpointOptions(small_disk / "checkpoint.db"), Role.RUN) as store:
        assert store.quarantined is None


def test_a_start_on_a_disk_with_hardly_any_room_says_so_wherever_it_fails(small_disk) -> None:
    """Without room for what it shares between processes, SQLite speaks of an I/O error."""
    checkpoint = small_disk / "checkpoint.db"
    opened = False
    for pages in range(60):
        for left in small_disk.iterdir():
            left.unlink()
        fill(small_disk)
        os.truncate(small_disk / "ballast", max(0, 2 * 1024 * 1024 - pages * 4096))
        try:
            Store.open(CheckpointOptions(checkpoint), Role.RUN).close()
            opened = True
        except CheckpointError as error:
            assert "room" in str(error), pages  # noqa: PT017 - some of them may open
    assert opened


@pytest.mark.parametrize("sync", ["normal", "full"])
async def test_a_disk_that_fills_up_later_loses_nothing(
    small_disk, identity, batch_of, sync, caplog
) -> None:
    options = CheckpointOptions(small_disk / "checkpoint.db", sync=sync)
    pace = CommitPace(delay=0.005, first_pause=0.005, longest_pause=0.01)
    with Store.open(options, Role.RUN) as store:
        keys = [store.register(identity(0), b"/0")]
        async with Committer(store, pace=pace) as committer:
            fill(small_disk)
            refused = 0
            for number in range(1, 400):
                keys.append(store.register(identity(number), b"/%d" % number))
                assert store.claim(keys[-1])
                batch = batch_of(store, Span(keys[-1], 0, 10), Span(keys[-1], 20, 30))
                refused += not await committer.journalled(batch, bodies=b"x" * 2000)
                if number % 2:
                    store.answered(batch.id, [Span(keys[-1], 0, 10)])
            assert refused
            assert "make room on that disk" in caplog.text
            assert len(read(options.path).files) < 400
            (small_disk / "ballast").unlink()
            async with asyncio.timeout(30):
                await committer.on_disk()
        assert committer.trouble is None
    with Store.open(options, Role.RUN) as store:
        assert [file.key for file in store.known()] == keys
        assert len(store.in_doubt()) == 199
        for number, key in enumerate(keys):
            expected = [(10, 40)] if number % 2 else [(10, 20), (30, 40)]
            assert store.unread(key, 40) == (expected if number else [(0, 40)])


def test_a_full_disk_at_the_end_is_raised_and_the_lock_is_free(small_disk, identity) -> None:
    options = CheckpointOptions(small_disk / "checkpoint.db")
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    store.commit()
    fill(small_disk)
    for number in range(2000):
        store.ack([Span(key, number * 3, number * 3 + 1)])
    for number in range(200):
        store.note(f"n{number}", "x" * 10_000)
    with pytest.raises(CheckpointUnavailable, match="make room"):
        store.close()
    (small_disk / "ballast").unlink()
    with Store.open(options, Role.RUN) as store:
        assert store.quarantined is None
        assert [file.key for file in store.known()] == [key]
