"""The daemon at work: from a line's newline to its arrival, and what it costs to wait."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from measure import OTHERS, ROOT, WORKER, config, sink

_LINE = (
    '198.51.100.{n} - - [{time}] "GET /page-{i} HTTP/1.1" 200 5316 "-" "Mozilla/5.0 (X11; Linux '
    'x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"\n'
)


class Latency(NamedTuple):
    """Seconds."""

    median: float
    p99: float
    worst: float
    seen: int


class Idle(NamedTuple):
    """What a waiting daemon costs."""

    share: float  # of one core
    rss: int  # bytes


def latency(directory: Path, *, seconds: float = 20.0, rate: int = 50) -> Latency:
    """Write page views at a rate, and see when each arrives."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "access.log"
    log.write_text("")
    written: list[float] = []
    with sink("--remember") as port, daemon(directory, port, [log]):
        with log.open("a") as file:
            begin = time.monotonic()
            for i in range(int(seconds * rate)):
                time.sleep(max(0.0, begin + i / rate - time.monotonic()))
                stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
                file.write(_LINE.format(n=i % 250 + 1, i=i, time=stamp))
                file.flush()
                written.append(time.time())
        end = time.monotonic() + 10
        arrivals: dict[int, float] = {}
        while len(arrivals) < len(written) and time.monotonic() < end:
            time.sleep(0.2)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
                for when, url in json.load(answer)["last"]:
                    arrivals.setdefault(int(url.rpartition("-")[2]), when)
    waits = sorted(when - written[i] for i, when in arrivals.items())
    return Latency(waits[len(waits) // 2], waits[int(len(waits) * 0.99)], waits[-1], len(waits))


def idle(directory: Path, *, files: int, seconds: float = 20.0) -> Idle:
    """Follow so many files to which nobody writes."""
    logs = directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(time.time() - 86_400))
    for n in range(files):
        lines = (_LINE.format(n=i % 250 + 1, i=n * 1000 + i, time=stamp) for i in range(20))
        (logs / f"site-{n}.access.log").write_text("".join(lines))
    with sink() as port, daemon(directory, port, [logs / "*.log"]) as process:
        time.sleep(12)  # the start, and what it has to do first, is not what is measured
        before = _cpu(process.pid)
        time.sleep(seconds)
        share = (_cpu(process.pid) - before) / seconds
        return Idle(share, _rss(process.pid))


@contextlib.contextmanager
def daemon(directory: Path, port: int, paths: list[Path]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `ingestor run` on these paths, with default settings otherwise."""
    sources = "".join(f"  - path: '{path}'\n" for path in paths)
    settings = config(directory, port, more=f"sources:\n{sources}")
    said = directory / "daemon.log"
    with said.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ingestor", "run", "-c", str(settings)],
            stderr=errors,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: os.sched_setaffinity(0, WORKER | OTHERS),  # noqa: PLW1509 - no threads here
        )
        try:
            while b"is following" not in said.read_bytes():
                if process.poll() is not None:
                    raise SystemExit(f"the daemon did not start:\n{said.read_text()}")
                time.sleep(0.05)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _cpu(pid: int) -> float:
    """Seconds that all threads ran: the scheduler's own count, for ticks miss short runs."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
