"""What `sync` promises: the journal is written, and with `full` synced, before anything is sent."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from ingestor.checkpoint import Role, Store

FULL, NORMAL = 2, 1

SENDER = """
import os, pathlib, sys
from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.model import Batch, Identity, PageView, Span

options = CheckpointOptions(pathlib.Path(sys.argv[1]), sync=sys.argv[2])
with Store.open(options, Role.RUN) as store:
    key = store.register(Identity(1, 2, b"f", 1), b"/a")
    for turn in range(3):
        span = Span(key, turn, turn + 1)
        os.write(1, b"JOURNAL\\n")
        store.journal(Batch(store.next_batch_id(), "w", (PageView.of("w", {}, span, 0, b""),)))
        store.commit()
        os.write(1, b"SEND\\n")
        store.register(Identity(1, 3 + turn, b"f%d" % turn, 1), b"/b")
"""


@pytest.mark.parametrize(("sync", "level"), [("normal", NORMAL), ("full", FULL)])
def test_the_setting_reaches_sqlite_and_stays_there(options, identity, sync, level) -> None:
    with Store.open(replace(options, sync=sync), Role.RUN) as store:

        def now() -> int:
            return int(store._disk.connection.execute("PRAGMA synchronous").fetchone()[0])

        assert now() == level
        key = store.register(identity(1), b"/a")
        assert store.claim(key)
        assert now() == level
        store._disk.connection.execute("PRAGMA query_only = ON")
        store.register(identity(2), b"/b")
        store._disk.connection.execute("PRAGMA query_only = OFF")
        assert now() == level


def calls(tmp_path, sync: str) -> list[str]:
    """The names of the system calls that matter, in order, with what was said in between."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    command = [strace, "-f", "-y", "-e", "trace=pwrite64,fdatasync,fsync,write", "-o", str(trace)]
    script = [sys.executable, "-c", SENDER, str(tmp_path / "checkpoint.db"), sync]
    result = subprocess.run([*command, *script], capture_output=True, check=False)
    if result.returncode != 0:
        pytest.skip(f"strace may not trace here: {result.stderr[-200:]!r}")
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        if said := re.search(r'write\(1<.*"(JOURNAL|SEND)\\n"', line):
            found.append(said[1])
        elif call := re.search(r"(pwrite64|fdatasync|fsync)\(\d+<[^>]*checkpoint\.db-wal>", line):
            found.append("write" if call[1] == "pwrite64" else "sync")
    return found


def test_with_full_the_log_is_synced_after_its_last_write_and_before_sending(tmp_path) -> None:
    found = calls(tmp_path, "full")
    for number in range(3):
        start = [at for at, what in enumerate(found) if what == "JOURNAL"][number]
        end = found.index("SEND", start)
        between = found[start + 1 : end]
        assert "write" in between
        assert between[-1] == "sync"


def test_with_normal_the_log_is_written_before_sending_and_not_synced(tmp_path) -> None:
    found = calls(tmp_path, "normal")
    for number in range(3):
        start = [at for at, what in enumerate(found) if what == "JOURNAL"][number]
        between = found[start + 1 : found.index("SEND", start)]
        assert set(between) == {"write"}


def test_registering_a_file_never_waits_for_the_disk(tmp_path) -> None:
    found = calls(tmp_path, "full")
    ends = [at for at, what in enumerate(found) if what == "SEND"]
    starts = [at for at, what in enumerate(found) if what == "JOURNAL"][1:]
    for end, start in zip(ends, starts, strict=False):
        assert set(found[end + 1 : start]) == {"write"}
