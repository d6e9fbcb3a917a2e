"""``ingestor checkpoint show`` and ``forget``, as an operator uses them."""

from __future__ import annotations

import json
from pathlib import Path

from parts import Command, Line, SandboxProcess


def test_a_forgotten_log_is_read_anew(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a") + line("/b", 1))
    send = ["backfill", "--url", sandbox.url, "--website", sandbox.website, "access.log"]
    where = ["--checkpoint", "checkpoint.db"]
    ingestor(*send, *where)
    (known,) = json.loads(ingestor("checkpoint", "show", "--json", *where).stdout)["files"]
    assert known["watermark"] == (tmp_path / "access.log").stat().st_size
    assert "access.log" in ingestor("checkpoint", "show", *where).stdout
    ingestor("checkpoint", "forget", "access.log", *where)
    ingestor(*send, *where)
    assert sandbox.rows() == ["/a", "/b", "/a", "/b"]


def test_what_the_checkpoint_does_not_know_cannot_be_forgotten(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    where = ["--checkpoint", "checkpoint.db"]
    assert "checkpoint.db" in ingestor("checkpoint", "show", *where, code=2).stderr
    (tmp_path / "access.log").write_bytes(line("/a"))
    ingestor("backfill", "--url", sandbox.url, "--website", sandbox.website, *where, "access.log")
    assert "other.log" in ingestor("checkpoint", "forget", "other.log", *where, code=2).stderr
