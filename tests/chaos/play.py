"""Plays a trace: four actors over the real program, then the oracle."""

from __future__ import annotations

import faulthandler
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos import oracle
from chaos.oracle import Outcome
from chaos.receiver import Receiver
from chaos.rotator import Rotator
from chaos.supervisor import Supervisor
from chaos.trace import Step, Trace
from chaos.writer import HOSTNAME, Log, World
from parts import WEBSITE

_PATIENCE_S = 25.0  # without any progress
_TOO_LONG_S = 240.0
_DAYS_AGO = 3 * 86_400


class Hung(Exception):
    """It did not come to an end."""


class Play:
    """One run of one trace in a directory of its own."""

    def __init__(self, trace: Trace, directory: Path) -> None:
        knobs = self.knobs = trace.knobs
        self.trace = trace
        self.directory = directory
        self.outcome = Outcome(trace.name)
        self.settled = 0.0
        sources = directory / "logs"
        self.elsewhere = _other_file_system(directory)
        (directory / "state").mkdir()
        self.world = World([sources, self.elsewhere])
        self.receiver = Receiver(directory)
        base = int(time.time()) - _DAYS_AGO
        self.logs = [
            Log(
                self.world,
                sources / place,
                base,
                append=knobs["append"],
                head=_head(base, knobs["same_head"]),
            )
            for place in ("access.log", "shop/shop-access.log", "blog-access.log")[: knobs["logs"]]
        ]
        self.rotator = Rotator(self.world, self.logs, directory, self.elsewhere)
        self.supervisor = Supervisor(directory, self._configure(), knobs["unprivileged"])

    def _configure(self) -> Path:
        knobs = self.knobs
        # What the sandbox stores late it stores within the settle time: see the faults in plan.py.
        once = "  exactly_once: true\n  settle_time: 3s\n" if knobs.get("exactly_once") else ""
        login = ", username: admin, password: umami" if knobs.get("exactly_once") else ""
        sources = "".join(
            f"  - {{path: {root}, site: {HOSTNAME}, format: {knobs['format']}}}\n"
            for root in self.world.roots
            if root.exists()
        )
        config = self.directory / "config.yaml"
        config.write_text(
            f"umami: {{url: {self.receiver.url}{login}}}\n"
            f"sites:\n  - {{website: {WEBSITE}, hostname: {HOSTNAME}}}\n"
            f"sources:\n{sources}"
            f"run: {{start: {knobs.get('start', 'beginning')}, shutdown_timeout: 3s}}\n"
            "follow:\n  poll_interval: 50ms\n  rescan_interval: 250ms\n  grace: 600ms\n"
            f"  max_line_bytes: 4KiB\n  chunk_bytes: {knobs['chunk_bytes']}\n"
            f"  max_open_files: {knobs['max_open_files']}\n"
            f"  watchdog: {'true' if knobs['watchdog'] else 'false'}\n"
            f"delivery:\n  mode: {knobs['mode']}\n  workers: {knobs['workers']}\n"
            f"  batch_size: {knobs['batch_size']}\n  linger: 20ms\n"
            f"  timeout: {knobs['timeout']}\n  retry_min: 20ms\n  retry_max: 200ms\n{once}"
            f"checkpoint: {{path: {self.directory}/state/checkpoint.db, sync: {knobs['sync']}}}\n"
        )
        return config

    # The steps.

    def run(self) -> Outcome:
        """Play all steps, let everything settle, and judge."""
        began = time.monotonic()
        try:
            for number, step in enumerate(self.trace.steps):
                self._take(step)
                self.supervisor.check()
                if self.supervisor.wrong:
                    self.outcome.wrong.append(f"at step {number} ({step})")
                    return self.outcome
            self._settle("the end")
            self._end()
        except Hung as hung:
            self.outcome.wrong.append(str(hung))
        finally:
            self._close(began)
        return self.outcome

    def _take(self, step: Step) -> None:
        how = step.how
        match step.actor:
            case "writer":
                self._write(step.act, how)
            case "rotator":
                self.rotator.do(step.act, how)
            case "supervisor":
                self._supervise(step.act, how)
            case "umami" if step.act == "await":
                self._await_fault(how["kind"])
            case "umami":
                self.receiver.do(step.act, how)
            case "pause":
                self._pause(how["ms"] / 1000)
            case _:
                raise ValueError(step)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.supervisor.check()
            time.sleep(min(left, 0.05))

    def _await_fault(self, kind: str) -> None:
        """Go on as soon as a fault of this kind hit something, however slow the machine is."""
        end = time.monotonic() + _PATIENCE_S
        while not self.receiver.all_fired()[kind]:
            if time.monotonic() > end:
                raise Hung(f"{kind} never fired")
            self._pause(0.02)

    def _write(self, act: str, how: dict[str, Any]) -> None:
        log = self.logs[how.get("log", 0) % len(self.logs)]
        acts: dict[str, Callable[[], None]] = {
            "lines": lambda: log.write(how["n"]),
            "burst": lambda: log.burst(how["n"]),
            "crlf": lambda: log.write(how["n"], end=b"\r\n"),
            "poison": lambda: log.write(how["n"], poison=True),
            "begin": lambda: log.begin(how["share"]),
            "finish": log.finish,
            "junk": lambda: log.junk(how["kind"]),
            "storm": lambda: log.storm(how["n"], how["ms"] / 1000),
            "calm": log.calm,
        }
        acts[act]()
        self.rotator.did[f"write {act}"] = self.rotator.did.get(f"write {act}", 0) + 1

    def _supervise(self, act: str, how: dict[str, Any]) -> None:
        supervisor = self.supervisor
        match act:
            case "start":
                supervisor.start(kill=how.get("kill"))
                if how.get("wait", True):
                    self._wait_until_following()
            case "settle":
                self._settle("a settling in between")
            case "backfill":
                self._backfill(how)
            case "beside":
                supervisor.start_beside(how.get("kill"))
            case _:
                getattr(supervisor, act)()

    def _wait_until_following(self) -> None:
        supervisor = self.supervisor
        end = time.monotonic() + _PATIENCE_S
        while supervisor.running and "is following" not in supervisor.log():
            supervisor.check()
            if time.monotonic() > end:
                raise Hung("it never followed anything")
            time.sleep(0.02)
        supervisor.check()

    def _backfill(self, how: dict[str, Any]) -> None:
        """A backfill, perhaps killed at a point; where the daemon runs, it is stopped first."""
        self.supervisor.kill_beside()
        self.supervisor.term()
        words = ("backfill", "--allow-overlap", "-c", str(self.supervisor.config))
        # 1: something was rejected, or an archive is not whole; 3: Umami refuses access.
        self.supervisor.start(*words, kill=how.get("kill"), may_end=(0, 1, 3))
        end = time.monotonic() + how.get("seconds", 2.0)
        while self.supervisor.running and time.monotonic() < end:
            self.supervisor.check()
            time.sleep(0.02)
        self.supervisor.kill()
        self.rotator.did["backfill"] = self.rotator.did.get("backfill", 0) + 1

    # The end.

    def _settle(self, when: str) -> None:
        """Mend everything, and wait until nothing is missing that should be there."""
        for log in self.logs:
            log.calm()
            log.finish()
        self.rotator.mend()
        self.world.look()
        self.supervisor.cont()
        self.receiver.do("clear", {})
        while not self.supervisor.running or self.supervisor.armed:
            self._restart_unarmed()
        self._wait_until_following()
        self._end_beside()
        if self.knobs.get("start") == "end":  # what stood there at the first is a backfill's
            self.supervisor.start_beside()
            self._end_beside()
        if self._wait(self._missing):
            self.settled = time.monotonic()
            return
        if not self.supervisor.running:
            raise Hung(f"it ended by itself before {when}")
        self.outcome.lost = sorted(self._missing())
        raise Hung(f"waited {_PATIENCE_S:.0f} s for {len(self.outcome.lost)} at {when}")

    def _end_beside(self) -> None:
        end = time.monotonic() + _PATIENCE_S
        while self.supervisor.beside is not None:
            if time.monotonic() > end:
                raise Hung("the backfill beside does not end")
            self._pause(0.02)

    def _restart_unarmed(self) -> None:
        if self.supervisor.armed:  # its point was never reached
            self.supervisor.term()
        self.supervisor.start()
        self.supervisor.check()

    def _missing(self) -> set[str]:
        buried = oracle.buried(self.directory)
        found = oracle.missing(self.world, self.receiver, buried)
        now = time.monotonic()
        return {
            id_
            for id_ in found
            if not oracle.excused(
                self.world,
                self.supervisor,
                id_,
                min(self._asked(id_), now),
                begins_at_end=self.knobs.get("start") == "end",
            )
        }

    def _asked(self, id_: str) -> float:
        """Until when the program had to be there without a break to have read a destroyed line."""
        destroyed = self.world.destroyed.get(id_, 0.0)
        return time.monotonic() if destroyed > self.settled else self.settled

    def _wait(self, missing: Callable[[], set[str]]) -> bool:
        """Wait until nothing is missing; False where there is no progress for long."""
        left = len(missing())
        end = time.monotonic() + _PATIENCE_S
        while left:
            if time.monotonic() > end or not self.supervisor.running:
                return False
            self._pause(0.05)
            now = len(missing())
            if now < left:
                end = time.monotonic() + _PATIENCE_S
            left = now
        return True

    def _end(self) -> None:
        """Nothing more may come: neither now, nor at another start, nor from a backfill."""
        while self.receiver.busy():
            self._pause(0.02)
        self._pause(0.3)
        self.supervisor.term()
        stored = [row["url_path"] for row in self.receiver.rows()]
        again = self.knobs["again"]
        if again == "run":
            self.supervisor.start()
            self._wait_until_following()
            self._pause(0.7)
            self.supervisor.term()
        elif again == "backfill":
            self._backfill({"seconds": 20})
        late = [row["url_path"] for row in self.receiver.rows()[len(stored) :]]
        # What was in doubt when its line was destroyed nobody waited for: it may come now.
        rescued = self.world.destroyed.keys() - set(stored)
        if self.supervisor.crashes:  # nor for a dead letter whose ack a crash took away
            rescued |= oracle.buried(self.directory)
        more = [id_ for id_ in late if id_ not in rescued]
        if more:
            self.outcome.wrong.append(f"{len(more)} more came with another {again}: {more[:5]}")

    def _close(self, began: float) -> None:
        try:
            self.supervisor.cont()
            self.supervisor.kill()
            self.supervisor.kill_beside()
            self.rotator.mend()
            for log in self.logs:
                log.close()
            self.world.look()
            found = oracle.missing(self.world, self.receiver, oracle.buried(self.directory))
            self.outcome.excused = len(found) - len(self.outcome.lost)
            oracle.judge(
                self.outcome,
                self.world,
                self.receiver,
                self.supervisor,
                self.knobs,
                self.directory,
            )
        finally:
            self.receiver.close()
            if self.elsewhere.parent != self.directory:
                shutil.rmtree(self.elsewhere, ignore_errors=True)
        self.outcome.did = Counter(self.rotator.did) + self.supervisor.did
        self.outcome.replayed = self.supervisor.logs().count("sent and not answered")
        self.outcome.seconds = time.monotonic() - began


def play(trace: Trace, keep: Path | None = None) -> Outcome:
    """Play a trace in a fresh directory, which is kept where ``keep`` names a place for it."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    faulthandler.dump_traceback_later(_TOO_LONG_S, exit=True)  # the machine itself hangs
    try:
        outcome = Play(trace, directory).run()
        if outcome.wrong and keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
            shutil.copytree(directory, keep, symlinks=True)
        return outcome
    finally:
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(directory, ignore_errors=True)


def _head(base: int, size: int) -> bytes:
    """What every file begins with: ``size`` bytes of lines that do not count."""
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(base))
    line = f'192.0.2.9 - - [{stamp}] "GET /robots.txt HTTP/1.1" 200 9 "-" "check"\n'.encode()
    return line * -(-size // len(line))


def _other_file_system(directory: Path) -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - a file system, made private below
    if memory.is_dir() and os.access(memory, os.W_OK):
        return Path(tempfile.mkdtemp(prefix="chaos-olddir-", dir=memory))
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    return elsewhere
