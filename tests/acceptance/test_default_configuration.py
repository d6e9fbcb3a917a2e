"""The configuration that nobody named, files that are somebody else's, and rights that are missing.

The program looks at one fixed place, so these run it with that place moved.
"""

from __future__ import annotations

import gzip
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import WEBSITE, Command, Line, SandboxProcess, environment

from ingestor import cli

MOVED = (
    "import sys; from pathlib import Path; from ingestor import config; "
    "config.DEFAULT_PATH = Path(sys.argv.pop(1)); from ingestor.__main__ import main; main()"
)
# As with root's commands: another user may not be able to read this installation.
IMPORTED = (
    "import concurrent.futures.thread, encodings.idna, os; "
    "import ingestor.__main__, ingestor.cli, ingestor.sandbox; "
    "from ingestor.pipeline import checkpoints, checks, retry, status; "
    "from ingestor import crawlers; crawlers.patterns(); "
)


def run_with(default: Path, *args: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the program in the configuration's directory, with its default place there."""
    done = subprocess.run(
        [sys.executable, "-c", MOVED, str(default), *map(str, args)],
        capture_output=True,
        text=True,
        env=environment(HOME=str(default.parent)),
        cwd=default.parent,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def default(tmp_path: Path, sandbox: SandboxProcess, line: Line) -> Path:
    path = tmp_path / "config.yaml"
    (tmp_path / "access.log").write_bytes(line("/a"))
    path.write_text(
        f"umami: {{url: {sandbox.url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {tmp_path}}}]\n"
        "pageviews: {anonymize_ip: true}\n"
        f"checkpoint: {{path: {tmp_path}/checkpoint.db}}\n"
    )
    return path


def test_its_settings_hold_for_what_flags_do_not_say(
    default: Path, sandbox: SandboxProcess
) -> None:
    shown = run_with(default, "preview", "--payloads", "access.log")
    assert f"The settings are those of {default}" in shown.stderr
    flags = ("--url", sandbox.url, "--website", WEBSITE, "--checkpoint", "own.db")
    run_with(default, "backfill", *flags, "access.log")
    (stored,) = sandbox.rows("ip")
    assert stored.endswith(".0")
    assert f'"ip":"{stored}"' in shown.stdout


@pytest.mark.parametrize("command", [["status"], ["checkpoint", "show"]])
def test_a_checkpoint_of_ones_own_needs_no_right_to_read_the_daemons_configuration(
    monkeypatch: pytest.MonkeyPatch,
    ingestor: Command,
    default: Path,
    sandbox: SandboxProcess,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    own = str(default.with_name("own.db"))
    flags = ("--url", sandbox.url, "--website", WEBSITE, "--hostname", "example.com")
    ingestor("backfill", *flags, "--checkpoint", own, "access.log")
    default.write_text("not: for us")  # so whoever reads it is told
    monkeypatch.setattr("ingestor.config.DEFAULT_PATH", default)
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != default)
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--checkpoint", own])
    assert ended.value.code == 0
    assert "access.log" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(command)  # the daemon's, then
    assert ended.value.code == 2


@pytest.mark.parametrize("where", ["environment", "flag"])
def test_a_url_of_the_environment_does_not_lead_away_from_the_configured_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
    default: Path,
    sandbox: SandboxProcess,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    """The environment may be the daemon's; and a checkpoint in a home knows nothing of it."""
    monkeypatch.setattr("ingestor.config.DEFAULT_PATH", default)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setenv("XDG_STATE_HOME", str(default.parent / "home"))
    (default.parent / "home" / "ingestor").mkdir(parents=True)
    flag = ("--url", sandbox.url) if where == "flag" else ()
    if not flag:
        monkeypatch.setenv("INGESTOR_UMAMI_URL", sandbox.url)
    with pytest.raises(SystemExit):
        cli.main(["retry-rejected", *flag])
    directory = default.parent / "home" / "ingestor" if flag else default.parent
    assert f"no dead letters in {directory}/dead-letters.jsonl" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["backfill", *flag, "--website", WEBSITE, f"{default.parent}/access.log"])
    assert list(default.parent.rglob("checkpoint.db")) == [directory / "checkpoint.db"]
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != default)
    default.write_text("not: for us")  # so whoever reads it is told
    with pytest.raises(SystemExit) as ended:
        cli.main(["retry-rejected", *flag])
    assert ended.value.code == (0 if flag else 2)


def test_preview_reads_the_configured_sources(default: Path) -> None:
    assert "would send" in run_with(default, "preview").stdout


def test_a_hostname_alone_suffices_for_a_preview(ingestor: Command, line: Line) -> None:
    (ingestor.directory / "access.log").write_bytes(line("/a"))
    shown = ingestor("preview", "--payloads", "--hostname", "example.com", "access.log").stdout
    assert '"hostname":"example.com"' in shown


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", "# Grüße\n".encode()),
        ("access.log", b'{"path": "/\xc3\xbc"}\n' * 100),
        ("access.log.2.gz", gzip.compress(b"line\n" * 1000)),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    ],
    ids=["text", "log", "archive", "picture"],
)
def test_somebody_elses_file_is_no_checkpoint(
    ingestor: Command, sandbox: SandboxProcess, line: Line, name: str, content: bytes
) -> None:
    path = ingestor.directory / name
    path.write_bytes(content)
    (ingestor.directory / "a.log").write_bytes(line("/a"))
    before = left(ingestor.directory)
    flags = ("--url", sandbox.url, "--website", WEBSITE, "--checkpoint", path)
    for command in (("backfill", *flags, "a.log"), ("checkpoint", "forget", *flags[4:], "a.log")):
        assert "is no checkpoint" in ingestor(*command, code=2).stderr
    assert path.read_bytes() == content
    assert left(ingestor.directory) == before


def left(directory: Path) -> list[str]:
    """What lies there but for the sandbox's own files, and what was printed."""
    names = sorted(path.name for path in directory.iterdir())
    return [name for name in names if not name.startswith(("out-", "err-", "umami.db"))]


@pytest.fixture
def others(line: Line) -> Iterator[Path]:
    """A directory with a log, and a state directory that another user may not enter."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    (directory / "access.log").write_bytes(line("/a"))
    (directory / "state").mkdir(mode=0o700)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("command", ["check", "retry-rejected", "checkpoint forget x", "status"])
def test_what_another_user_may_not_see_is_told_in_a_line(
    sandbox: SandboxProcess, others: Path, command: str
) -> None:
    config = others / "config.yaml"
    config.write_text(
        f"umami: {{url: {sandbox.url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {others}/access.log}}]\n"
        f"checkpoint: {{path: {others}/state/checkpoint.db}}\n"
    )
    nobody = pwd.getpwnam("nobody")
    script = f"{IMPORTED}os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid}); {MOVED}"
    done = subprocess.run(
        [sys.executable, "-c", script, "/nowhere", *command.split(), "-c", config],
        capture_output=True,
        text=True,
        env=environment(HOME="/nonexistent"),
        cwd="/",
        timeout=100,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert any(words in said for words in ("as root", "must own the file")), said


def test_check_reads_its_own_files_as_the_daemon_would(
    ingestor: Command, sandbox: SandboxProcess, others: Path
) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(others / "state", nobody.pw_uid, nobody.pw_gid)
    config, secret = others / "config.yaml", others / "secret"
    for path in (config, secret):
        path.touch(mode=0o600)
    secret.write_text("hunter2")
    config.write_text(
        f"umami: {{url: {sandbox.url}, username: me, password_file: {secret}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {others}/access.log}}]\n"
        f"checkpoint: {{path: {others}/state/checkpoint.db}}\n"
    )
    said = ingestor("check", "-c", config, code=None).stdout
    for path in (config, secret):
        assert f"error    {path}: the user nobody may not read it" in said


def test_check_says_where_exactly_once_is_not_in_force(ingestor: Command, default: Path) -> None:
    default.write_text(f"{default.read_text()}delivery: {{exactly_once: true}}\n")
    said = ingestor("check", "-c", default, code=1).stdout
    assert "exactly_once is not in force" in said


def test_a_glob_in_a_directory_whose_name_looks_like_one(tmp_path: Path, line: Line) -> None:
    for name in ("lo*gs", "loXgs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.log").write_bytes(line("/a"))
    shown = Command(tmp_path / "lo*gs").json("preview", "*.log")
    assert (shown["lines"], shown["files"]) == (1, 1)
