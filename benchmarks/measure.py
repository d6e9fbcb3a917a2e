"""Runs one program on one core and says what that cost."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
CORES = sorted(os.sched_getaffinity(0))
WORKER, OTHERS = {CORES[0]}, set(CORES[1:]) or {CORES[0]}


class Cost(NamedTuple):
    """What a run took. Its children count, where it waited for them."""

    seconds: float
    cpu: float  # seconds, user and system
    rss: int  # bytes, of the largest process
    code: int
    output: str

    def of(self, runs: Sequence[Cost]) -> Cost:
        """The median of several runs, value by value."""
        return self._replace(
            seconds=median(run.seconds for run in runs),
            cpu=median(run.cpu for run in runs),
            rss=max(run.rss for run in runs),
        )


def run(
    command: Sequence[str],
    *,
    cores: set[int] | None = None,
    env: dict[str, str] | None = None,
    stdin: Path | None = None,
) -> Cost:
    """Run a program to its end on the worker's core, or on ``cores``."""
    _adopt_orphans()
    others = _children()
    began = time.monotonic()
    with tempfile.TemporaryFile() as output, (stdin or Path(os.devnull)).open("rb") as source:
        process = subprocess.Popen(
            command,
            stdin=source,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, cores or WORKER),  # noqa: PLW1509 - no threads here
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    seconds = time.monotonic() - began
    cpu = usage.ru_utime + usage.ru_stime
    for orphan in _children() - others:  # what it started, and did not wait for
        _, _, left = os.wait4(orphan, 0)
        cpu += left.ru_utime + left.ru_stime
    return Cost(seconds, cpu, usage.ru_maxrss * 1024, process.returncode, text)


def _adopt_orphans() -> None:
    """Become the parent of whatever a child leaves behind (prctl(2))."""
    set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0)


def _children() -> set[int]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in found}


def ingestor(
    arguments: Sequence[str], *, tree: Path = ROOT, unkept: bool = False, **how: object
) -> Cost:
    """Run `ingestor` as it stands in ``tree``; ``unkept``: without its checkpoint."""
    script = str(Path(__file__).parent / "unkept.py")
    return _well(_command(arguments, [script] if unkept else ["-m", "ingestor"]), tree, how)


def ingestors(arguments: Sequence[Sequence[str]], **how: object) -> Cost:
    """Run it several times at once; the cost is that of all, until the last has ended."""
    runs = [shlex.join(_command(each, ["-m", "ingestor"])) for each in arguments]
    return _well(["sh", "-c", " & ".join(runs) + " && wait $!"], ROOT, how)


def _command(arguments: Sequence[str], program: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", *program, *arguments]


def _well(command: Sequence[str], tree: Path, how: dict[str, object]) -> Cost:
    env = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONPYCACHEPREFIX": f"{tempfile.gettempdir()}/ingestor-bench/pycache",
    }
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling at each start is not what is measured
    cost = run(command, env=env, **how)  # type: ignore[arg-type]
    if cost.code != 0:
        raise SystemExit(f"{shlex.join(command)} ended with {cost.code}:\n{cost.output}")
    return cost


@contextlib.contextmanager
def sink(*arguments: str) -> Iterator[int]:
    """The instant sink, on the other cores; gives its port."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "sink.py"), *arguments],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, OTHERS),  # noqa: PLW1509 - no threads here
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def config(directory: Path, port: int, *, delivery: str = "", more: str = "") -> Path:
    """A configuration that sends everything to the sink."""
    path = directory / "bench.yaml"
    path.write_text(
        f"umami: {{url: 'http://127.0.0.1:{port}'}}\n"
        f"checkpoint: {{path: '{directory}/checkpoint.db'}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com, match: ['*']}}]\n"
        f"delivery: {{{delivery}}}\n{more}"
    )
    return path
