"""``make soak MINUTES=15``: a busy log for a quarter of an hour, and an Umami that comes and goes.

A gigabyte, one line in twenty a page view, rotated every 20 s and compressed two rotations later;
the sandbox is killed and started again every 45 s. At the end every page view has to be stored
once, memory at most a fifth above what it was after the first minute, descriptors level.
"""

# ruff: noqa: T201 - its output is its purpose
from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, NamedTuple

sys.path[0:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from parts import WEBSITE, Command, Line, Running, free_port, start_sandbox  # noqa: E402

LINES = 5_700  # a second
A_PAGE_VIEW = 20  # one line of so many
ROTATED, COMPRESSED_AFTER, KEPT = 20.0, 2, 8  # seconds, generations
FLIPPED = 45.0  # seconds that the sandbox is up, and down
PATIENCE = 300.0  # seconds for what is unsent at the end
FILLER = "x" * 150


class Usage(NamedTuple):
    """What the program holds."""

    rss: int  # bytes
    descriptors: int

    def __str__(self) -> str:
        return f"{self.rss / 1e6:.1f} MB RSS, {self.descriptors} descriptors"

    @classmethod
    def of(cls, running: Running) -> Usage:
        """Look at it now."""
        process = Path(f"/proc/{running.process.pid}")
        rss = process.joinpath("status").read_text().partition("VmRSS:")[2].split()[0]
        return cls(int(rss) * 1024, len(list(process.joinpath("fd").iterdir())))


class Log:
    """The live log and its generations."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._line = Line()
        self._file = self._open()
        self._rotations = 0
        self.lines = self.page_views = self.bytes = 0

    def write(self, until: int, second: int) -> None:
        """Write up to a number of lines in all."""
        block = []
        for number in range(self.lines, until):
            if number % A_PAGE_VIEW == 0:
                path = f"/p{self.page_views}"
                self.page_views += 1
            else:
                path = f"/a/{number % 977}.css?{FILLER}"
            block.append(self._line(path, second))
        self.lines = max(self.lines, until)
        self.bytes += self._file.write(b"".join(block))
        self._file.flush()

    def rotate(self) -> None:
        """Begin a new file, compress an older one, and throw the oldest away."""
        self._rotations += 1
        (self._directory / "access.log").rename(self._name(self._rotations))
        self._file.close()
        self._file = self._open()
        old = self._name(self._rotations - COMPRESSED_AFTER)
        if old.exists():
            subprocess.run(["gzip", old], check=True)
        self._name(self._rotations - KEPT).with_suffix(".log.gz").unlink(missing_ok=True)

    def _name(self, generation: int) -> Path:
        return self._directory / f"access-{generation}.log"

    def _open(self) -> BinaryIO:
        return (self._directory / "access.log").open("ab")


class Umami:
    """The sandbox, up and down."""

    def __init__(self, ingestor: Command, directory: Path) -> None:
        self._ingestor, self._db, self.port = ingestor, directory / "umami.db", free_port()
        self._is_up = False
        self.flip()

    def flip(self) -> None:
        """Start it, or kill it."""
        if self._is_up:
            self.sandbox.running.stop(signal.SIGKILL)
        else:
            self.sandbox = start_sandbox(self._ingestor, self._db, port=self.port)
        self._is_up = not self._is_up

    def wait_for(self, page_views: int) -> list[str]:
        """Give what is stored when all is there, or patience is at its end."""
        if not self._is_up:
            self.flip()
        end = time.monotonic() + PATIENCE
        while self.sandbox.count() < page_views and time.monotonic() < end:
            time.sleep(0.5)
        return self.sandbox.rows()


def soak(directory: Path, seconds: float) -> list[str]:
    """Run it; gives what did not hold."""
    logs = directory / "logs"
    logs.mkdir()
    log, ingestor = Log(logs), Command(directory)
    umami = Umami(ingestor, directory)
    (directory / "config.yaml").write_text(
        f"umami: {{url: http://127.0.0.1:{umami.port}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {logs}, site: example.com}}]\n"
        f"checkpoint: {{path: {directory}/checkpoint.db}}\n"
        "run: {start: beginning}\n"
        "delivery: {retry_max: 10s}\n"
    )
    running = ingestor.start("run", "-c", directory / "config.yaml")
    seen: list[Usage] = []
    began = time.monotonic()
    rotation, flip, look = ROTATED, FLIPPED, 60.0
    while (now := time.monotonic() - began) < seconds:
        log.write(int(now * LINES), int(now))
        if now > rotation:
            log.rotate()
            rotation += ROTATED
        if now > flip:
            umami.flip()
            flip += FLIPPED
        if now > look:
            seen.append(Usage.of(running))
            print(f"{now:5.0f} s, {log.bytes / 1e6:6.0f} MB, {seen[-1]}", flush=True)
            look += 60
        time.sleep(0.05)
    rows = umami.wait_for(log.page_views)
    seen.append(Usage.of(running))
    for each in (running, umami.sandbox.running):
        each.stop()
    return judged(log, rows, seen)


def judged(log: Log, rows: list[str], seen: list[Usage]) -> list[str]:
    """Print the sums; gives what did not hold."""
    most = max(usage.rss for usage in seen)
    descriptors = [usage.descriptors for usage in seen]
    print(
        f"{log.lines:,} lines, {log.page_views:,} page views written, {len(rows):,} stored, "
        f"{len(rows) - len(set(rows)):,} of them double"
    )
    print(f"after a minute {seen[0]}, at most {most / 1e6:.1f} MB, {max(descriptors)} descriptors")
    wrong = {
        "page views are missing": len(set(rows)) != log.page_views,
        "memory has grown by more than a fifth": most > 1.2 * seen[0].rss,
        "descriptors have grown": max(descriptors) > 2 * descriptors[0] + KEPT,
    }
    return [complaint for complaint, holds in wrong.items() if holds]


def main() -> int:
    """Soak; 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        wrong = soak(Path(directory), options.minutes * 60)
    for complaint in wrong:
        print(complaint)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
