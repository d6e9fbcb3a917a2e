"""``ingestor checkpoint show`` and ``forget``, as an operator uses them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from parts import WEBSITE, Command, Line, SandboxProcess, until


def test_a_forgotten_log_is_read_anew(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a") + line("/b", 1))
    send = ["backfill", "--url", sandbox.url, "--website", sandbox.website, "access.log"]
    where = ["--checkpoint", "checkpoint.db"]
    ingestor(*send, *where)
    (known,) = json.loads(ingestor("checkpoint", "show", "--json", *where).stdout)["files"]
    assert known["watermark"] == (tmp_path / "access.log").stat().st_size
    text = ingestor("checkpoint", "show", *where).stdout
    assert "access.log\n1 file; 0 page views in flight" in text
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


def test_what_was_there_before_the_daemon_is_a_backfills_until_one_has_read_it(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    old = line("/1") + line("/2", 1)
    (logs / "access.log.2.gz").write_bytes(gzip.compress(old))
    (logs / "access.log").write_bytes(line("/3", 2))
    (tmp_path / "config.yaml").write_text(
        f"umami: {{url: {sandbox.url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {logs}}}]\n"
        f"checkpoint: {{path: {tmp_path}/checkpoint.db}}\n"
    )
    running = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "left to a backfill" in running.log(), what="what is left")
    size = (logs / "access.log").stat().st_size + (logs / "access.log.2.gz").stat().st_size
    told = next(row for row in running.log().splitlines() if "left to a backfill" in row)
    assert f"2 files, {size} B." in told
    assert told.endswith("ingestor backfill -c config.yaml")

    def shown() -> dict[str, dict[str, object]]:
        found = json.loads(ingestor("checkpoint", "show", "--json", "-c", "config.yaml").stdout)
        return {Path(file["path"]).name: file for file in found["files"]}

    before = shown()
    assert before["access.log.2.gz"]["note"] == "left to a backfill"
    length = len(line("/3", 2))
    first = f"of its first {length} bytes, {length} left to a backfill"
    assert before["access.log"]["note"] == first
    assert first in ingestor("checkpoint", "show", "-c", "config.yaml").stdout
    ingestor("backfill", "-c", "config.yaml")
    after = shown()
    assert after["access.log.2.gz"]["watermark"] == len(old)
    assert after["access.log.2.gz"]["note"] == "read by a backfill"
    assert after["access.log"]["note"] == ""
    assert running.stop() == 0
    again = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "following 1 file." in again.log())
    assert again.stop() == 0
    assert "left to a backfill" not in again.log()


def test_a_log_named_by_a_relative_path_is_known_by_its_whole_one(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a"))
    state = ("--checkpoint", tmp_path / "checkpoint.db")
    ingestor("backfill", "--url", sandbox.url, "--website", WEBSITE, *state, "access.log")
    (known,) = ingestor.json("checkpoint", "show", *state)["files"]
    assert known["path"] == str(tmp_path / "access.log")
    ingestor("checkpoint", "forget", *state, tmp_path / "access.log")


@pytest.mark.parametrize("name", ["fifo.db", "fifo", "directory.db", "directory"])
def test_what_is_no_file_is_told_as_such_and_nobody_waits_for_it(
    ingestor: Command, tmp_path: Path, line: Line, name: str
) -> None:
    """To open a FIFO would wait for somebody who writes into it."""
    if name.startswith("fifo"):
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).mkdir()
    (tmp_path / "access.log").write_bytes(line("/a"))
    send = ["backfill", "--url", "http://127.0.0.1:9", "--website", WEBSITE, "access.log"]
    forget = ["checkpoint", "forget", "access.log"]
    for command in (["status"], ["checkpoint", "show"], forget, send):
        refused = ingestor(*command, "--checkpoint", name, code=2)
        assert f"{name} is not a regular file" in refused.stderr, command


def test_a_log_in_the_checkpoints_place_is_none_and_no_damaged_one(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    """No run would set it aside, as it does with a damaged checkpoint."""
    (tmp_path / "access.log").write_bytes(line("/a"))
    for command in ("status", "checkpoint show"):
        refused = ingestor(*command.split(), "--checkpoint", "access.log", code=2)
        assert "access.log is no checkpoint" in refused.stderr
