"""The third actor: starts the program, stops it in every way there is, and watches over it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from parts import ROOT, environment, polling, program

KILLABLE = Path(__file__).resolve().parent / "killable.py"
_READY = "ingestor is following"


@dataclass
class Watch:
    """From when to when the program followed its logs, as it said itself. Monotonic."""

    since: float
    until: float | None = None


@dataclass
class Usage:
    """The most that was seen of each."""

    rss: int = 0  # bytes
    descriptors: int = 0
    threads: int = 0

    def take(self, pid: int) -> None:
        """Look at a process; one that is gone changes nothing."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - only counted
        except OSError:
            return
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if "VmRSS" not in fields:
            return  # a zombie
        self.rss = max(self.rss, int(fields["VmRSS"].split()[0]) * 1024)
        self.threads = max(self.threads, int(fields["Threads"]))
        self.descriptors = max(self.descriptors, descriptors)


@dataclass
class Supervisor:
    """One program over many lives. ``wrong`` collects what must never happen."""

    directory: Path
    config: Path
    unprivileged: bool = False
    watches: list[Watch] = field(default_factory=list)
    crashes: int = 0
    stops: int = 0  # SIGSTOPs
    lives: int = 0
    did: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    process: subprocess.Popen[bytes] | None = None
    beside: subprocess.Popen[bytes] | None = None  # a backfill with the same checkpoint
    _life: int = 0
    _beside_armed: bool = False
    _beside_life: int = 0
    _armed: str | None = None
    _may_end: tuple[int, ...] = ()
    _stopped: bool = False

    @property
    def armed(self) -> bool:
        """Whether it is to die at some point that it has not reached."""
        return self._armed is not None

    @property
    def running(self) -> bool:
        """Whether a process is there."""
        return self.process is not None

    def log(self) -> str:
        """What the present (or last) life wrote to standard error."""
        return self._words_of(self._life)

    def _words_of(self, life: int) -> str:
        path = self.directory / f"stderr-{life}"
        return path.read_text(errors="replace") if path.exists() else ""

    def logs(self) -> str:
        """What all lives wrote."""
        return "".join(self._words_of(n) for n in range(1, self.lives + 1))

    def start(self, *command: str, kill: str | None = None, may_end: tuple[int, ...] = ()) -> None:
        """Start it, unless it is there; with ``kill``, it dies at that point.

        ``may_end``: the codes with which it may come to an end of its own.
        """
        self.check()
        if self.process is not None:
            return
        self._armed = kill
        self._may_end = may_end
        self.process = self._spawn([*(command or ("run", "-c", str(self.config)))], kill)
        self._life = self.lives

    def start_beside(self, kill: str | None = None) -> None:
        """Start a backfill with the same checkpoint, unless one is there."""
        self.check()
        if self.beside is None:
            words = ["backfill", "--allow-overlap", "-c", str(self.config)]
            self.beside = self._spawn(words, kill)
            self._beside_armed, self._beside_life = kill is not None, self.lives
            self.did["backfill beside"] += 1

    def kill_both(self) -> None:
        """SIGKILL to the daemon and the backfill in one moment, as when the machine dies."""
        self.check()
        if self.process is None or self.beside is None:
            return
        backfill, self.beside = self.beside, None
        self.process.kill()
        backfill.kill()
        backfill.wait()
        self._ended(self.process.wait(), expected=True)
        self.did["SIGKILL to two"] += 1
        self.crashes += 2

    def kill_beside(self) -> None:
        """SIGKILL to the backfill."""
        self.check()
        if self.beside is not None:
            self.beside.kill()
            self.beside.wait()
            self.crashes += 1
            self.beside = None

    def _check_beside(self) -> None:
        """Notice that the backfill ended: by itself, or at its point."""
        code = None if self.beside is None else self.beside.poll()
        if code is None:
            return
        self.beside = None
        said = self._words_of(self._beside_life)
        if code == -signal.SIGKILL and self._beside_armed:
            self.crashes += 1
            self.did["killed beside"] += 1
        elif code not in (0, 1, 3) or "Traceback" in said:
            self.wrong.append(f"the backfill beside ended with {code}: {said[-2000:]}")

    def _spawn(self, words: list[str], kill: str | None) -> subprocess.Popen[bytes]:
        self.lives += 1
        begin = ["-m", "ingestor"] if kill is None else [str(KILLABLE)]
        extra = {"PYTHONPATH": str(ROOT)}  # this tree's program, whatever is installed
        extra |= {} if kill is None else {"CHAOS_KILL": kill}
        with (
            (self.directory / f"stderr-{self.lives}").open("wb") as err,
            (self.directory / f"stdout-{self.lives}").open("wb") as out,
        ):
            return subprocess.Popen(
                [*self._privileges(), sys.executable, *begin, *polling(words)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(**extra),
                cwd=self.directory,
            )

    def _privileges(self) -> list[str]:
        """Root reads everything; without these two capabilities it does not."""
        tool = program("setpriv")
        if not self.unprivileged or os.geteuid() != 0 or tool is None:
            return []
        return [tool, "--bounding-set=-dac_override,-dac_read_search"]

    def check(self) -> None:
        """Notice that it follows, that it ended, how much it uses."""
        self._check_beside()
        if self.process is None:
            return
        self.usage.take(self.process.pid)
        following = self.watches and self.watches[-1].until is None
        if not following and not self._stopped and _READY in self.log():
            self.watches.append(Watch(time.monotonic()))
        code = self.process.poll()
        if code is not None:
            self._ended(code, expected=code in self._may_end)

    def _ended(self, code: int, *, expected: bool = False) -> None:
        self._unwatch()
        self.process = None
        if code == -signal.SIGKILL and self._armed is not None:
            self.did[self._armed.split(":")[0]] += 1
            self.crashes += 1
        elif not expected:
            self.wrong.append(f"the program ended by itself with {code}: {self.log()[-800:]}")
        elif "Traceback" in self.log():
            self.wrong.append(f"the program wrote a traceback: {self.log()[-2000:]}")
        self._armed = None

    def _unwatch(self) -> None:
        if self.watches and self.watches[-1].until is None:
            self.watches[-1].until = time.monotonic()

    def kill(self) -> None:
        """SIGKILL."""
        self.check()
        if self.process is None:
            return
        self.process.kill()
        self._ended(self.process.wait(), expected=True)
        self.did["SIGKILL"] += 1
        self.crashes += 1

    def term(self, seconds: float = 20) -> None:
        """SIGTERM, and wait for the drain."""
        self.cont()
        self.check()
        if self.process is None:
            return
        self._unwatch()
        self.process.terminate()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.wrong.append(f"SIGTERM: still there after {seconds} s")
            self.process.kill()
            code = self.process.wait()
        early = _READY not in self.log() and code in (0, -signal.SIGTERM)
        expected = code == 0 or early
        self.did["SIGTERM"] += 1
        # A drain that ran out of time leaves batches without their answer, as a crash does.
        self.crashes += code != 0 or "no answer in time" in self.log()
        self._ended(code, expected=expected)

    def stop(self) -> None:
        """SIGSTOP."""
        self.check()
        if self.process is None or self._stopped:
            return
        self.process.send_signal(signal.SIGSTOP)
        self._unwatch()
        self._stopped = True
        self.stops += 1
        self.did["SIGSTOP"] += 1

    def cont(self) -> None:
        """SIGCONT."""
        if self.process is not None and self._stopped:
            self.process.send_signal(signal.SIGCONT)
            self._stopped = False
            self.check()
        self._stopped = False

    def was_watching(self, moment: float, until: float) -> bool:
        """Whether it followed its logs from one moment to another without a break."""
        return any(
            watch.since <= moment and (watch.until is None or watch.until >= until)
            for watch in self.watches
        )
