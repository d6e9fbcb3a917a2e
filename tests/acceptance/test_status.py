"""``ingestor status`` beside a running daemon, and without one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from parts import (
    WEBSITE,
    Command,
    Line,
    Running,
    SandboxProcess,
    environment,
    free_port,
    until,
)

from ingestor import config
from ingestor.logfiles.reader import LogFile
from ingestor.pipeline.status import status


def configure(directory: Path, url: str, *, start: str = "beginning") -> None:
    (directory / "logs").mkdir(exist_ok=True)
    (directory / "config.yaml").write_text(
        f"umami: {{url: {url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {directory}/logs}}]\n"
        f"run: {{start: {start}, shutdown_timeout: 1s}}\n"
        f"checkpoint: {{path: {directory}/checkpoint.db}}\n"
    )


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


@pytest.fixture
def recent() -> Line:
    """Lines of a minute ago."""
    return Line(base=int(time.time()) - 60)


def look(ingestor: Command, code: int = 0, *flags: str) -> dict[str, Any]:
    return ingestor.json("status", "-c", "config.yaml", *flags, code=code)


def follow_one_line(
    ingestor: Command, sandbox: SandboxProcess, directory: Path, recent: Line
) -> tuple[Path, Running]:
    """A log of one line and a daemon that has sent it."""
    configure(directory, sandbox.url)
    log = directory / "logs" / "access.log"
    append(log, recent("/1"))
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: sandbox.count() == 1)
    return log, daemon


def test_an_operator_sees_each_file_the_totals_and_the_last_page_view(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    configure(tmp_path, sandbox.url)
    log = tmp_path / "logs" / "access.log"
    append(log, recent("/1") + recent("/a.png") + recent("/2", 7) + b"garbage\n")
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: sandbox.count() == 2)
    seen = until(lambda: (s := look(ingestor))["totals"].get("accepted") == 2 and s)
    assert seen["running"] == {"run": daemon.process.pid}
    assert (seen["lag"], seen["backlog"], seen["in_flight"], seen["in_doubt"]) == (0, 0, 0, 0)
    assert seen["dead_letters"] == 0
    assert (seen["totals"]["refused_as_bot"], seen["totals"]["rejected"]) == (0, 0)
    assert seen["away_since"] is None
    (source,) = seen["sources"]
    assert source["totals"] == {
        "lines": 4,
        "accepted": 2,
        "filtered.asset": 1,
        "malformed.no_match": 1,
    }
    (file,) = source["files"]
    assert (file["path"], file["offset"], file["backlog"]) == (str(log), log.stat().st_size, 0)
    newest = recent.base + 7
    until(lambda: look(ingestor)["sources"][0]["files"][0]["last_page_view"] == newest, 20)
    text = ingestor("status", "-c", "config.yaml").stdout
    assert f"running, process {daemon.process.pid}" in text
    assert "lines 4, accepted 2, filtered asset 1, malformed no_match 1" in text
    assert "last page view " in text
    assert daemon.stop() == 0
    assert look(ingestor)["running"] == {}
    assert look(ingestor)["totals"]["accepted"] == 2


def test_what_is_left_to_a_backfill_shows_until_one_has_read_it(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    configure(tmp_path, sandbox.url, start="end")
    log = tmp_path / "logs" / "access.log"
    append(log, recent("/1") + recent("/2", 1))
    size = log.stat().st_size
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "following 1 file." in daemon.log())
    assert look(ingestor)["sources"][0]["files"][0]["left"] == size
    text = ingestor("status", "-c", "config.yaml").stdout
    assert f"{size} B at its beginning left to a backfill" in text
    ingestor("backfill", "-c", "config.yaml")
    assert look(ingestor)["sources"][0]["files"][0]["left"] == 0
    assert "left to a backfill" not in ingestor("status", "-c", "config.yaml").stdout


def test_behind_by_more_than_it_may_be_is_exit_code_1(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    log, daemon = follow_one_line(ingestor, sandbox, tmp_path, recent)
    assert daemon.stop() == 0
    before = log.stat().st_size
    append(log, recent("/2") + recent("/3", 30))
    late = tmp_path / "logs" / "new-access.log"
    append(late, recent("/4", 50))
    seen = look(ingestor, 1, "--max-lag", "45s")
    assert 60 <= seen["lag"] < 120
    files = {file["path"]: file for file in seen["sources"][0]["files"]}
    assert files[str(log)]["offset"] == before
    assert files[str(log)]["backlog"] == log.stat().st_size - before
    assert files[str(late)]["backlog"] == late.stat().st_size
    assert 10 <= files[str(late)]["age"] < 60
    assert look(ingestor, 0, "--max-lag", "1h")["backlog"] == seen["backlog"]
    assert "--max-lag" in ingestor("status", "-c", "config.yaml", "--max-lag", "x", code=2).stderr


def test_lines_in_a_log_that_cannot_be_read_are_behind_by_more_than_any_time(
    ingestor: Command,
    sandbox: SandboxProcess,
    tmp_path: Path,
    recent: Line,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_path: bytes) -> LogFile:
        raise PermissionError(13, "Permission denied")

    _, daemon = follow_one_line(ingestor, sandbox, tmp_path, recent)
    assert daemon.stop() == 0
    settings = config.load(tmp_path / "config.yaml", environment={})
    monkeypatch.setattr("ingestor.pipeline.status.LogFile", refuse)
    assert status(settings, max_lag=3600).exit_code == 0  # all of it was read before
    append(tmp_path / "logs" / "access.log", recent("/2"))
    seen = status(settings, max_lag=3600)
    assert (seen.exit_code, seen.backlog) == (1, len(recent("/2")))
    assert "cannot be read: Permission denied" in seen.as_text()
    assert status(settings).exit_code == 0


def test_what_is_left_to_a_backfill_is_no_backlog_and_an_unfinished_line_no_lag(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    configure(tmp_path, sandbox.url, start="end")
    log = tmp_path / "logs" / "access.log"
    append(log, recent("/old"))
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "following" in daemon.log())
    assert look(ingestor)["backlog"] == 0
    append(log, recent("/new")[:40])
    seen = look(ingestor, 0, "--max-lag", "1s")
    assert (seen["backlog"], seen["lag"]) == (40, 0)


def test_an_outage_shows_with_its_beginning_and_what_is_in_flight(
    ingestor: Command, tmp_path: Path, recent: Line
) -> None:
    configure(tmp_path, f"http://127.0.0.1:{free_port()}")
    append(tmp_path / "logs" / "access.log", b"".join(recent(f"/{i}") for i in range(300)))
    daemon = ingestor.start("run", "-c", "config.yaml")
    began = time.time()
    until(lambda: "following" in daemon.log())
    until(lambda: look(ingestor)["away_since"], what="the note of the outage")
    seen = look(ingestor, 1, "--max-lag", "30s")
    assert began - 5 < seen["away_since"] < time.time()
    assert seen["lag"] >= 60
    shown = ingestor("status", "-c", "config.yaml").stdout
    assert re.search(r"away since .* \(\d+ (s|min)\)", shown), shown
    assert daemon.stop() == 0


def test_a_log_that_was_rotated_while_the_daemon_was_down_is_found(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    log, daemon = follow_one_line(ingestor, sandbox, tmp_path, recent)
    assert daemon.stop() == 0
    append(log, recent("/2"))
    log.rename(tmp_path / "logs" / "access.log.1")
    append(log, recent("/3"))
    files = {file["path"]: file for file in look(ingestor)["sources"][0]["files"]}
    assert files[f"{log}.1"]["backlog"] == len(recent("/2"))
    assert files[str(log)]["backlog"] == len(recent("/3"))
    seen = ingestor.json("status", "--checkpoint", "checkpoint.db")  # without a configuration
    assert seen["checkpoint"] == str(tmp_path / "checkpoint.db")


def test_a_copy_of_what_was_read_is_no_backlog(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    log, daemon = follow_one_line(ingestor, sandbox, tmp_path, recent)
    copy = tmp_path / "logs" / "access.log.bak"
    copy.write_bytes(log.read_bytes())
    until(lambda: look(ingestor)["backlog"] == 0)
    append(log, recent("/2"))
    until(lambda: sandbox.count() == 2)
    assert daemon.stop() == 0
    look(ingestor, 0, "--max-lag", "1s")
    files = {file["path"]: file for file in look(ingestor)["sources"][0]["files"]}
    assert (files[str(copy)]["offset"], files[str(copy)]["backlog"]) == (len(recent("/1")), 0)
    append(copy, recent("/3"))
    assert look(ingestor, 1, "--max-lag", "1s")["backlog"] == copy.stat().st_size


def test_a_copy_of_a_log_that_is_followed_from_its_end_is_no_backlog(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    configure(tmp_path, sandbox.url, start="end")
    log, copy = tmp_path / "logs" / "access.log", tmp_path / "logs" / "access.log.bak"
    append(log, recent("/1") + recent("/2"))
    append(copy, recent("/1") + recent("/2"))
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "following" in daemon.log())
    append(log, recent("/3"))
    until(lambda: sandbox.count() == 1)
    assert daemon.stop() == 0
    look(ingestor, 0, "--max-lag", "1s")
    files = {file["path"]: file for file in look(ingestor)["sources"][0]["files"]}
    assert (files[str(copy)]["offset"], files[str(copy)]["backlog"]) == (copy.stat().st_size, 0)
    append(copy, recent("/4"))  # which the log has not
    assert look(ingestor, 1, "--max-lag", "1s")["backlog"] == copy.stat().st_size


def test_a_copy_that_was_met_while_it_was_empty_is_no_backlog(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    log, daemon = follow_one_line(ingestor, sandbox, tmp_path, recent)
    copy = tmp_path / "logs" / "access.log.bak"
    copy.touch()
    until(lambda: len(ingestor.json("checkpoint", "show", "-c", "config.yaml")["files"]) == 2)
    assert daemon.stop() == 0
    copy.write_bytes(log.read_bytes())
    assert look(ingestor)["backlog"] == 0
    append(copy, recent("/2"))
    assert look(ingestor)["backlog"] == copy.stat().st_size


def test_a_tar_archive_is_no_backlog(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    configure(tmp_path, sandbox.url)
    log = tmp_path / "logs" / "access.log"
    append(log, recent("/1"))
    with tarfile.open(tmp_path / "logs" / "access-logs.tar", "w") as tar:
        tar.add(log, "access.log")
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: sandbox.count() == 1)
    assert daemon.stop() == 0
    seen = look(ingestor, 0, "--max-lag", "1s")
    assert (seen["backlog"], seen["sources"][0]["archives"]) == (0, 1)


def test_a_fifo_in_the_place_of_the_dead_letters_is_not_waited_for(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    follow_one_line(ingestor, sandbox, tmp_path, recent)
    os.mkfifo(tmp_path / "dead-letters.jsonl")
    assert look(ingestor)["dead_letters"] == 0


def test_without_a_checkpoint_the_error_says_so(ingestor: Command, tmp_path: Path) -> None:
    configure(tmp_path, "http://127.0.0.1:9")
    assert "there is no checkpoint" in ingestor("status", "-c", "config.yaml", code=2).stderr


@pytest.mark.slow
def test_a_thousand_looks_disturb_no_daemon_under_load(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    configure(tmp_path, sandbox.url)
    log = tmp_path / "logs" / "access.log"
    log.touch()
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "following" in daemon.log())
    settings = config.load(tmp_path / "config.yaml", environment={})
    for i in range(1000):
        append(log, recent(f"/{i}"))
        assert status(settings).exit_code == 0
    until(lambda: sandbox.count() >= 1000)
    assert daemon.stop() == 0
    assert sandbox.count() == 1000
    assert "WARNING" not in daemon.log()
    assert "ERROR" not in daemon.log()


@pytest.mark.parametrize("stdout", ["/dev/full", None])
def test_output_without_a_place_is_no_error_of_the_program(
    tmp_path: Path, line: Line, stdout: str | None
) -> None:
    (tmp_path / "access.log").write_bytes(line("/1") * 5)
    command = [sys.executable, "-m", "ingestor", "preview", "--lines", "access.log"]
    where = "" if stdout is None else f"> {stdout}"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{shlex.join(command)} {where or '>&-'}"],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "of the program itself" not in done.stderr
    assert "'<stdout>'" not in done.stderr  # left unwritten at the end
    if stdout is not None:
        assert done.returncode == 1
        assert "the output cannot be written: No space left on device" in done.stderr
    else:
        assert done.returncode == 0


def test_a_source_that_is_not_there_any_more_is_told(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, recent: Line
) -> None:
    follow_one_line(ingestor, sandbox, tmp_path, recent)
    assert "trouble" not in look(ingestor)["sources"][0]
    (tmp_path / "logs").rename(tmp_path / "unmounted")
    assert look(ingestor)["sources"][0]["trouble"] == "No such file or directory"
    text = ingestor("status", "-c", "config.yaml").stdout
    assert f"{tmp_path}/logs: No such file or directory\n" in text
