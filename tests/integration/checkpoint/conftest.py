"""Small builders for the checkpoint's tests."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.model import Batch, Identity, PageView, Span


@pytest.fixture
def options(tmp_path: Path) -> CheckpointOptions:
    return CheckpointOptions(tmp_path / "checkpoint.db")


@pytest.fixture
def identity() -> Callable[[int], Identity]:
    """A different file for each number."""
    return lambda number: Identity(
        7, number, hashlib.blake2b(b"%d" % number, digest_size=16).digest(), 100
    )


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """Build the next batch from spans."""

    def build(store: Store, *spans: Span, website: str = "site", tag: str | None = None) -> Batch:
        page_views = tuple(PageView.of(website, {}, span, span.start, b"") for span in spans)
        return Batch(store.next_batch_id(), website, page_views, tag)

    return build


@pytest.fixture
def crash() -> Callable[[Store], None]:
    """What a SIGKILL leaves: everything uncommitted is gone, the locks are free."""
    return lambda store: store._disk.close()


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Callable[[Path, Role], subprocess.Popen[str]]]:
    """Start another process that has a checkpoint open until its standard input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, role: Role) -> subprocess.Popen[str]:
        script = (
            "import sys, pathlib\n"
            "from ingestor.checkpoint import CheckpointOptions, Role, Store\n"
            "store = Store.open(CheckpointOptions(pathlib.Path(sys.argv[1])), Role(sys.argv[2]))\n"
            "print('open', flush=True)\n"
            "sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path), role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
