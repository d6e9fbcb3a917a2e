"""A checkpoint of an earlier version, and what a later one finds that the earlier passed over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from parts import WEBSITE, Command, Line, SandboxProcess, until


def test_rotated_logs_that_an_earlier_version_did_not_find_are_left_to_a_backfill(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    log, checkpoint = tmp_path / "access.log", tmp_path / "checkpoint.db"
    config = tmp_path / "config.yaml"
    config.write_text(f"""\
umami: {{url: {sandbox.url}}}
sites: [{{website: {WEBSITE}, hostname: example.com}}]
sources: [{{path: {log}}}]
checkpoint: {{path: {checkpoint}}}
""")
    log.write_bytes(b"")
    running = ingestor.start("run", "-c", config)
    until(lambda: "is following 1 file" in running.log(), what="the daemon")
    log.write_bytes(line("/read", 3))
    until(lambda: sandbox.count() == 1)
    assert running.stop() == 0
    # As it was before names were noted.
    with closing(sqlite3.connect(checkpoint)) as connection, connection:
        connection.execute("DELETE FROM notes WHERE name = 'run.names'")
    (tmp_path / "access-2026-11-01T01-02-03.456.log").write_bytes(line("/history"))
    again = ingestor.start("run", "-c", config)
    until(lambda: "left to a backfill: 1 file" in again.log(), what="what is left")
    with log.open("ab") as file:
        file.write(line("/new", 4))
    until(lambda: sandbox.count() == 2)
    assert again.stop() == 0
    assert sorted(sandbox.rows()) == ["/new", "/read"]
    assert ingestor.json("backfill", "-c", config)["accepted"] == 1
