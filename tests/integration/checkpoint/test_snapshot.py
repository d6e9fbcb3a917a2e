"""Looking at a checkpoint beside its owner, and forgetting a file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, FileSnapshot, Role, Store, forget, read
from ingestor.errors import CheckpointError
from ingestor.model import Marker, Span


def test_a_snapshot_shows_a_live_daemons_progress(options, identity, batch_of, crash) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a", origin=10)
        store.ack([Span(key, 0, 5), Span(key, 10, 30), Span(key, 40, 50), Span(key, 60, 61)])
        store.set_marker(key, Marker(30, 3, b"m"))
        store.claim(key)
        sent, lost = batch_of(store, Span(key, 30, 40)), batch_of(store, Span(key, 50, 60))
        store.journal(sent)
        store.journal(lost)
        store.mark_in_doubt(lost.id)
        store.mark_in_doubt(12345)
        store.count("nginx", {"accepted": 3})
        store.note("away_since", 17)
        store.commit()
        seen = read(options.path)
        assert seen.files == (
            FileSnapshot(
                key,
                identity(1),
                Marker(30, 3, b"m"),
                b"/a",
                origin=10,
                watermark=30,
                from_start=5,
                acked=36,
                beyond=11,
                holes=2,
                archived=False,
                claimed_by=(Role.RUN,),
            ),
        )
        assert seen.totals == {Role.RUN: {"nginx": {"accepted": 3}}, Role.BACKFILL: {}}
        assert seen.notes["away_since"] == 17
        assert seen.alive == {Role.RUN: os.getpid()}
        assert (seen.in_flight, seen.in_doubt) == (1, 1)
        assert seen.path == options.path
    seen = read(options.path)
    assert seen.alive == {}
    assert (seen.in_flight, seen.in_doubt) == (0, 2)
    assert seen.files[0].claimed_by == ()


def test_looking_neither_waits_for_a_writer_nor_makes_one_wait(options, identity) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        with store._disk.transaction() as connection:
            connection.execute("DELETE FROM files")
            for _ in range(50):
                assert len(read(options.path).files) == 1
            connection.execute("SELECT 1")
        for number in range(50):
            store.ack([Span(key, number, number + 1)])
            store.commit()
            read(options.path)


def test_a_crashed_daemons_checkpoint_can_be_looked_at(options, identity) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from ingestor.checkpoint import CheckpointOptions, Role, Store\n"
        "from ingestor.model import Identity, Span\n"
        "store = Store.open(CheckpointOptions(pathlib.Path(sys.argv[1])), Role.RUN)\n"
        "key = store.register(Identity(1, 2, b'f', 1), b'/a')\n"
        "store.ack([Span(key, 0, 10)])\n"
        "store.commit()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(options.path)], check=False)
    assert options.path.with_name("checkpoint.db-wal").exists()
    assert read(options.path).files[0].watermark == 10
    with Store.open(options, Role.RUN) as store:
        assert store.known()[0].watermark == 10


def test_no_checkpoint_is_said_plainly(options) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        read(options.path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        forget(options.path, b"/a")
    assert not list(options.path.parent.iterdir())


def test_garbage_is_neither_shown_nor_moved(options) -> None:
    options.path.write_bytes(b"garbage" * 1000)
    with pytest.raises(CheckpointError, match="is damaged"):
        read(options.path)
    with pytest.raises(CheckpointError, match="is damaged"):
        forget(options.path, b"/a")
    assert options.path.read_bytes() == b"garbage" * 1000


def test_what_is_no_checkpoint_is_let_go_of(options) -> None:
    options.path.write_bytes(b"garbage" * 1000)
    with pytest.raises(CheckpointError) as refused:  # which keeps what its frames know
        read(options.path)
    open_files = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert options.path.resolve() not in open_files, refused


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may look into, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        if not all(parent.stat().st_mode & 0o001 for parent in directory.parents):
            pytest.skip("the directory for temporary files is private")
        yield directory


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_told_to_become_the_services_user(public, identity) -> None:
    options = CheckpointOptions(public / "checkpoint.db")
    with Store.open(options, Role.RUN) as store:
        store.register(identity(1), b"/a")
    result = as_nobody("read", options.path)
    assert "run this as root or as the user of the service" in result
    options.path.chmod(0o444)
    assert as_nobody("read", options.path) == "1 file"
    assert "the user that runs ingestor must own" in as_nobody("open", options.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_directory_that_may_not_be_written_is_named_with_what_to_do(public) -> None:
    path = public / "checkpoint.db"
    result = as_nobody("open", path)
    assert "cannot write" in result
    assert f"write permission in {path.parent}" in result


def as_nobody(what: str, path: Path) -> str:
    """Do it in a forked process without root's rights; returns the result or the error's text."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about threads, which are not used
        child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            if what == "read":
                words = f"{len(read(path).files)} file"
            else:
                Store.open(CheckpointOptions(path), Role.RUN)
                words = "opened"
        except Exception as error:  # noqa: BLE001 - it is what the parent wants to see
            words = str(error)
        os.write(writer, words.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        words = answer.read()
    os.waitpid(child, 0)
    return words


def test_a_forgotten_file_is_new_again(options, identity) -> None:
    with Store.open(options, Role.RUN) as store:
        one, two = store.register(identity(1), b"/a"), store.register(identity(2), b"/b")
        store.ack([Span(one, 0, 10), Span(two, 0, 10)])
        store.remember_copy(1, 2, 3, 4, one)
    assert forget(options.path, b"/a") == 1
    assert forget(options.path, b"/a") == 0
    with Store.open(options, Role.RUN) as store:
        assert [file.key for file in store.known()] == [two]
        assert store.copy_of(1, 2, 3, 4) is None
        assert store.register(identity(1), b"/a") not in (one, two)


def test_nothing_is_forgotten_beside_a_live_process(options, identity) -> None:
    with (
        Store.open(options, Role.BACKFILL),
        pytest.raises(CheckpointError, match="`ingestor backfill`"),
    ):
        forget(options.path, b"/a")
    assert forget(options.path, b"/a") == 0
