"""Real parts that tests are made of: the command, the sandbox, nginx, as processes.

Nothing here is a mock.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ingestor.model import Malformed, Reason, Tally

POLL = "TESTS_POLL"  # set by pytest's --poll, for this process and its workers; no setting of ours
ROOT = Path(__file__).resolve().parent.parent
WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
OTHER_WEBSITE = "7d2a8f4e-5b6c-4d3e-9f1a-0b2c4d6e8f10"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)


def polling(words: list[str]) -> list[str]:
    """Switch watchdog off in a command that follows, where the tests run with ``--poll``."""
    follows = "run" in words and "--poll" not in words
    return [*words, "--poll"] if follows and os.environ.get(POLL) else words


def program(name: str) -> str | None:
    """Find a program as root would, /usr/sbin included."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def environment(**extra: str) -> dict[str, str]:
    """The environment without any setting of ours, and with output buffered as it is for users."""
    ours = ("INGESTOR_", "PYTHONUNBUFFERED")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return clean | {"PYTHONWARNINGS": "error"} | extra


def failing(call: str, error: str, which: str, path: Path | None = None) -> list[str]:
    """The words before a command that let a system call on a file fail: the 2nd one, ``2+`` …"""
    strace = program("strace")
    if strace is None or not _may_trace(strace):
        pytest.skip("strace is not installed, or may not trace here")
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={which}"]
    where = [] if path is None else ["-P", str(path)]
    return [strace, "-f", "-qq", "-o", os.devnull, *inject, *where]


def _may_trace(strace: str) -> bool:
    done = subprocess.run([strace, "-qq", "true"], capture_output=True, check=False)
    return done.returncode == 0


def until(condition: Callable[[], Any], seconds: float = 30, what: str = "") -> Any:
    """Wait for a condition; the deadline is only there to fail, nothing is timed by it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain: {what or condition}")
        time.sleep(0.02)
    return value


@dataclass
class Running:
    """A started command, its output in files so that it never blocks on a pipe."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def stop(self, sig: int = signal.SIGTERM, seconds: float = 40) -> int:
        """Send a signal and wait; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(seconds)

    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self.stderr.read_text(errors="replace")


@dataclass
class Command:
    """``ingestor`` as a user runs it."""

    directory: Path
    started: list[Running] = field(default_factory=list)

    def __call__(
        self,
        *args: str | Path,
        code: int | None = 0,
        stdin: bytes = b"",
        before: Sequence[str] = (),
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; a code other than the expected one fails, with what it said.

        ``before``: words before its own, as of `failing`.
        """
        done = subprocess.run(
            [*before, sys.executable, "-m", "ingestor", *polling([*map(str, args)])],
            input=stdin,
            capture_output=True,
            env=environment(**env),
            cwd=self.directory,
            timeout=100,
            check=False,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def json(self, *args: str | Path, code: int | None = 0, **env: str) -> dict[str, Any]:
        """Run it with ``--json`` and read its object."""
        loaded: dict[str, Any] = json.loads(self(*args, "--json", code=code, **env).stdout)
        return loaded

    def start(self, *args: str | Path, stdin: int = subprocess.DEVNULL, **env: str) -> Running:
        """Start it in the background; it is killed at the end of the test."""
        n = len(self.started)
        stdout, stderr = self.directory / f"out-{n}", self.directory / f"err-{n}"
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "ingestor", *polling([*map(str, args)])],
                stdin=stdin,
                stdout=out,
                stderr=err,
                env=environment(**env),
                cwd=self.directory,
            )
        running = Running(process, stdout, stderr)
        self.started.append(running)
        return running


@dataclass
class SandboxProcess:
    """The sandbox as a process of its own, its page views in a SQLite file."""

    running: Running
    url: str
    websites: list[str]
    db: Path
    control: str | None = None

    @property
    def website(self) -> str:
        return self.websites[0]

    def rows(self, columns: str = "url_path", where: str = "1") -> list[Any]:
        """Stored page views in order; single columns come as values, more as tuples."""
        with contextlib.closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as db:
            found = db.execute(f"SELECT {columns} FROM page_views WHERE {where} ORDER BY id")
            rows = found.fetchall()
        return [row[0] for row in rows] if "," not in columns else rows

    def count(self, where: str = "1") -> int:
        return int(self.rows("count(*)", where)[0])

    def fail(self, *specs: str) -> None:
        """Switch these faults on, and all others off (``ingestor sandbox --control-port``)."""
        body = json.dumps({"specs": specs}).encode()
        request = urllib.request.Request(f"{self.control}/faults", body, method="PUT")  # noqa: S310 - our own sandbox
        urllib.request.urlopen(request).close()  # noqa: S310 - likewise


def start_sandbox(
    ingestor: Command, db: Path, *args: str, port: int = 0, websites: tuple[str, ...] = ()
) -> SandboxProcess:
    """Start ``ingestor sandbox`` and wait until it listens."""
    named = [a for w in websites or (WEBSITE, OTHER_WEBSITE) for a in ("--website", w)]
    running = ingestor.start("sandbox", "--port", str(port), "--db", db, *named, *args)

    def first_line() -> str:
        assert running.process.poll() is None, running.log()
        text = running.stdout.read_text()
        return text if text.endswith("\n") else ""

    words = until(first_line, what="the sandbox's line").split()
    control = next((w.removeprefix("control=") for w in words if w.startswith("control=")), None)
    ids = [w for w in words[1:] if "=" not in w]
    return SandboxProcess(running, words[0], ids, db, control)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@dataclass
class Line:
    """Writes combined log lines that count as page views, one second apart."""

    base: int = 1_730_928_000  # 2024-11-06T21:20:00Z, past by every clock

    def __call__(
        self,
        path: str,
        n: int = 0,
        *,
        status: int = 200,
        agent: str = CHROME,
        address: str = "203.0.113.7",
        host: str = "",
    ) -> bytes:
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.base + n))
        prefix = f"{host} " if host else ""
        text = f'{prefix}{address} - - [{stamp}] "GET {path} HTTP/1.1" {status} 512 "-" "{agent}"\n'
        return text.encode()

    def at(self, n: int) -> str:
        """The time of the n-th line, as settings and flags take it."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.base + n))


@dataclass
class Nginx:
    """Debian's nginx on loopback with virtual hosts that log into one folder."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def pid_file(self) -> Path:
        return self.directory / "nginx.pid"

    def reopen(self) -> None:
        self.process.send_signal(signal.SIGUSR1)


def counted(tally: Tally) -> dict[tuple[type, str], int]:
    """What a tally counts, by kind and word."""
    assert all(isinstance(each, Malformed) for each in tally.malformed)
    assert all(isinstance(each, Reason) for each in tally.filtered)
    both = (tally.malformed, tally.filtered)
    return {(type(word), word): count for words in both for word, count in words.items()}


@dataclass
class Calls:
    """How often Python called something, or something returned to it."""

    count: int = 0


@contextlib.contextmanager
def counting_calls() -> Iterator[Calls]:
    """Count what is called inside: how work grows can be told by it without a clock."""
    calls = Calls()

    def count(*_: object) -> None:
        calls.count += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def children(pid: int) -> list[int]:
    """A process's children, and theirs."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it has ended
        return []
    own = [int(child) for child in text.split()]
    return own + [each for child in own for each in children(child)]
