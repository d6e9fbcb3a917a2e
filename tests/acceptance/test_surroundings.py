"""What a command is started in: its environment, its streams, its directory."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from parts import ROOT, WEBSITE, Command, Line, SandboxProcess, environment, failing

SITE = ("--website", WEBSITE, "--hostname", "example.com")


def test_a_proxy_that_cannot_be_used_is_told_before_all_else(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/"))
    (tmp_path / "c.yaml").write_text(
        "umami: {url: http://umami.example.com}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        "sources: [{path: access.log}]\n"
        "checkpoint: {path: checkpoint.db}\n"
    )
    for command in (("run",), ("backfill",), ("retry-rejected",)):
        done = ingestor(*command, "-c", "c.yaml", code=2, HTTP_PROXY="https://me:s3cret@p.example")
        assert "HTTP_PROXY names no proxy that can be used" in done.stderr
        assert "s3cret" not in done.stderr
    assert not (tmp_path / "checkpoint.db").exists()


def test_paths_that_are_no_utf_8_do_not_end_what_prints_json(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    logs = tmp_path / os.fsdecode(b"logs\xff")
    logs.mkdir()
    (logs / os.fsdecode(b"a\xfe.log")).write_bytes(line("/"))
    checkpoint = ("--checkpoint", tmp_path / os.fsdecode(b"c\xff.db"))
    assert ingestor.json("preview", *SITE, logs)["would_send"] == 1
    done = ingestor.json("backfill", "--url", sandbox.url, *SITE, *checkpoint, logs)
    assert done["accepted"] == 1
    again = ingestor.json("backfill", "--url", sandbox.url, *SITE, *checkpoint, logs)
    assert again["lines"] == 0
    named = r"c\udcff.db"
    assert ingestor.json("status", *checkpoint)["checkpoint"].endswith(named)
    shown = ingestor.json("checkpoint", "show", *checkpoint)
    assert shown["path"].endswith(named)
    assert shown["files"][0]["path"].endswith(r"logs\udcff/a\udcfe.log")
    told = ingestor.json("check", "-c", logs / "c.yaml", code=2)["findings"]
    assert r"logs\udcff/c.yaml" in told[0]["text"]


def test_a_password_that_is_no_text_is_a_mistake(ingestor: Command) -> None:
    flags = ("--url", "http://127.0.0.1:9", *SITE, "--checkpoint", "checkpoint.db", "x.log")
    login = {"INGESTOR_UMAMI_USERNAME": "me", "INGESTOR_UMAMI_PASSWORD": os.fsdecode(b"\xffs3c")}
    done = ingestor("backfill", *flags, code=2, **login)
    assert "umami.password holds bytes" in done.stderr
    assert "s3c" not in done.stderr


@pytest.mark.parametrize("path", ["/", ".", "..", "", "x/.."])
def test_a_checkpoint_that_is_no_file_is_wrong_usage(ingestor: Command, path: str) -> None:
    for command in ("status", "retry-rejected"):
        url = ("--url", "http://127.0.0.1:9") if command != "status" else ()
        done = ingestor(command, *url, "--checkpoint", path, code=2)
        assert "--checkpoint: checkpoint.path has to name a file" in done.stderr


@pytest.mark.parametrize("host", ["", os.fsdecode(b"\xff"), "a..b"])
def test_a_sandbox_listens_on_no_address_that_is_none(ingestor: Command, host: str) -> None:
    assert "the sandbox" in ingestor("sandbox", "--host", host, code=2).stderr


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    script = f'mkdir gone && cd gone && rmdir ../gone && exec "{sys.executable}" -m ingestor "$@"'
    for args in (("checkpoint", "forget", "x.log"), ("status", "--checkpoint", "c.db")):
        done = subprocess.run(
            ["sh", "-c", script, "sh", *args],
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "is gone; cd first" in done.stderr


def test_a_limit_of_threads_is_no_error_of_the_program(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/"))
    flags = ("--url", "http://127.0.0.1:9", *SITE, "--checkpoint", "checkpoint.db", "access.log")
    done = ingestor("backfill", *flags, code=1, before=failing("clone3", "EAGAIN", "1+"))
    assert "starts no more threads" in done.stderr
    assert "of the program itself" not in done.stderr


@pytest.mark.parametrize(
    ("where", "error", "told"),
    [
        ("click", "OSError(24, 'Too many open files', 'x.py')", "cannot be loaded"),
        ("click", "MemoryError()", "cannot be loaded: MemoryError();"),
        ("ingestor.pipeline.preview", "OSError(24, 'Too many open files')", "ulimit -n"),
        ("ingestor.pipeline.preview", "ImportError('x.so: failed to map segment')", "ulimit -v"),
        ("ingestor.pipeline.preview", "OSError(12, 'Cannot allocate memory')", "ulimit -v"),
        ("ingestor.pipeline.preview", "MemoryError()", "ulimit -v"),
    ],
)
def test_a_limit_met_in_loading_is_one_line_that_names_it(
    where: str, error: str, told: str, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/"))
    script = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {where!r}: raise {error}\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from ingestor.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "preview", *SITE, "access.log"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "of the program itself" not in done.stderr


def test_a_files_name_is_no_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ingestor import cli  # noqa: PLC0415

    def broken(*_args: object, **_kwargs: object) -> None:
        raise OSError(71, "Protocol error", "Cannot allocate memory.log")

    monkeypatch.setattr("ingestor.cli.job_of", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main(["preview", *SITE, str(tmp_path)])
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "Protocol error" in told
    assert "ulimit" not in told


def test_a_limit_of_open_files_is_no_matter_of_rights(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/"))
    flags = ("--url", "http://127.0.0.1:9", *SITE, "--checkpoint", "checkpoint.db", "access.log")
    few = failing("openat", "EMFILE", "1+", tmp_path / "checkpoint.db.opening.lock")
    done = ingestor("backfill", *flags, code=2, before=few)
    assert "Too many open files; raise the limit (ulimit -n" in done.stderr
    assert "must own" not in done.stderr


def test_what_asyncio_says_is_one_line_unless_one_wants_more(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from ingestor.observe import set_up\n"
        "set_up(int(sys.argv[1]))\n"
        "async def forgotten():\n"
        "    future = asyncio.get_running_loop().create_future()\n"
        "    future.set_exception(MemoryError())\n"
        "asyncio.run(forgotten())\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script, level],
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        for level in (str(logging.INFO), str(logging.DEBUG))
    ]
    assert told[0].endswith("ERROR: Future exception was never retrieved: MemoryError()\n")
    assert len(told[0].splitlines()) == 1
    assert "future: <Future finished" in told[1]


def test_who_has_no_home_can_look_at_logs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ingestor import flags  # noqa: PLC0415

    def nowhere(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(Path, "expanduser", nowhere)
    for name in ("XDG_STATE_HOME", "INGESTOR_CHECKPOINT_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert flags._own_checkpoint() is None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert flags._own_checkpoint() == tmp_path / "ingestor" / "checkpoint.db"


def test_a_configuration_of_others_says_who_may_read_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ingestor import cli  # noqa: PLC0415

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    config = tmp_path / "config.yaml"
    config.touch(mode=0)
    monkeypatch.setattr(os, "access", lambda *_args: False)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SystemExit) as ended:
        cli.main(["status", "-c", str(config)])
    assert ended.value.code == 2
    assert "run this as root, or as a user that may read it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "stdout", "stderr", "code"),
    [
        (["--version"], "/dev/full", None, 1),
        (["--help"], "/dev/full", None, 1),
        (["preview", "--help"], "/dev/full", None, 1),
        (["preview", "-c", "/dev/null", *SITE, "access.log"], "/dev/full", None, 1),
        (["preview", "/nonexistent"], "/dev/null", "/dev/full", 2),
        (["--nosuch"], "/dev/null", "/dev/full", 2),
        (["preview", "--nosuch"], "/dev/null", "/dev/full", 2),
        (["nosuch"], "/dev/full", "/dev/full", 2),
        (["preview", *SITE, "access.log"], "/dev/null", "/dev/full", 0),
    ],
)
def test_output_that_cannot_be_written_is_one_line_and_the_right_code(
    args: list[str], stdout: str, stderr: str | None, code: int, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/"))
    with Path(stdout).open("wb") as out, Path(stderr or "/dev/null").open("wb") as err:
        done = subprocess.run(
            [sys.executable, "-m", "ingestor", *args],
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT), PYTHONWARNINGS="ignore"),
            stdout=out,
            stderr=err if stderr else subprocess.PIPE,
            check=False,
        )
    assert done.returncode == code
    if stderr is None:
        assert done.stderr.decode().splitlines() == [
            "ingestor: the output cannot be written: No space left on device"
        ]


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_are_empty_ones(closed: str, tmp_path: Path) -> None:
    """A pipe of the program's own would be standard input then, and be waited for."""
    flags = " ".join(SITE)
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m ingestor preview {flags} - {closed}'],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("ingestor.cli", ["--version"]),
        ("ingestor.pipeline.preview", ["preview", "access.log"]),
        (
            "ingestor.pipeline.backfill",
            ["backfill", "-c", "/dev/null", "--url=http://x", *SITE, "--checkpoint=c.db", "x"],
        ),
    ],
)
def test_an_interrupt_before_the_work_begins_ends_it_quietly(
    where: str, arguments: list[str], tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {where!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from ingestor.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
