"""A seed → a trace: what the four actors will do, weighted so that everything meets everything.

Nothing is drawn while a trace is played, so that it can be played again and made smaller.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from chaos.killable import POINTS
from chaos.trace import Step, Trace

FAULTS = (
    "refuse,for=300ms",
    "freeze,for=400ms",
    "slow,request=150ms,count=4",
    "slow,request=2s,count=1",
    "saturate,workers=1,entry=4ms,for=700ms",
    "429,retry_after=1,count=1",
    "429,p=0.3,count=6",
    "503,count=3",
    "503,retry_after_date=1,count=1",
    "413,entries=3,for=600ms",
    "401,count=1",
    "403-html,count=2",
    "404-html,count=1",
    "408,count=2",
    "502-html,count=2",
    "502-html,count=2,stored=yes",
    "504-html,count=2,stored=yes",
    "200-html,count=2",
    "200-json,count=2",
    "200-empty,count=2",
    "200-html,count=1,stored=yes",
    "500-whole,count=2",
    "500-whole,count=1,stored=yes",
    "drop-before,count=2",
    "store-late,entry=10ms,count=3",
    "500-passes,code=P1001,count=3",
    "500-passes,code=57P01,count=8,p=0.5",
    "500-passes,code=25006,for=300ms",
    "500-never,url=*-poison*",
    "drop-after,count=2",
    "drop-after,p=0.3,for=800ms",
    "cut,count=2",
)
JUNK = ("nuls", "huge", "tls", "bytes", "bot", "asset")
# Where a backfill passes that finds little left to do beside the daemon.
BESIDE = (
    *("register.after", "journal.before", "journal.after", "send.during", "send.after"),
    *("answer.before", "answer.after", "ack.after", "commit.before", "transaction.after"),
)
SUFFIXES = ("gz", "gz", "bz2", "xz", "zst")


def plan(seed: int, *, exactly_once: bool = False) -> Trace:
    """Make the trace of a seed."""
    rng = random.Random(f"chaos {seed}")
    knobs = _knobs(rng)
    if exactly_once:
        knobs |= {"exactly_once": True, "mode": "auto"}
    steps = list(_Planner(rng, knobs, seed).steps())
    return Trace(f"seed-{seed}", knobs, tuple(steps))


def _knobs(rng: random.Random) -> dict[str, Any]:
    return {
        "logs": rng.choice([1, 2, 2, 3]),
        "append": rng.random() < 0.75,
        "same_head": rng.choice([0, 0, 0, 100, 900, 3000]),
        "format": rng.choice(["combined", "combined", "auto"]),
        "watchdog": rng.random() < 0.6,
        "max_open_files": rng.choice([2, 1000, 1000, 1000]),
        "chunk_bytes": rng.choice(["4KiB", "16KiB", "256KiB"]),
        "mode": rng.choice(["auto", "auto", "auto", "batch", "send"]),
        "workers": rng.choice([1, 2, 4, 4]),
        "batch_size": rng.choice([1, 3, 10, 50]),
        "timeout": rng.choice(["700ms", "1500ms"]),
        "sync": rng.choice(["normal", "normal", "full"]),
        "unprivileged": rng.random() < 0.5,
        "again": rng.choice(["run", "backfill", "backfill"]),
        "start": rng.choice(["beginning", "beginning", "beginning", "end"]),
    }


class _Planner:
    def __init__(self, rng: random.Random, knobs: dict[str, Any], seed: int) -> None:
        self.rng = rng
        self.knobs = knobs
        self.seed = seed
        self.style = {log: self._style() for log in range(knobs["logs"])}

    def _style(self) -> dict[str, Any]:
        """How one log is rotated by logrotate: always in the same way, as on a real server."""
        rng = self.rng
        how = rng.choice(["create", "create", "nocreate", "copytruncate", "copytruncate", "copy"])
        compress = rng.choice([None, *SUFFIXES]) if how != "copy" else None
        return {
            "how": how,
            "compress": compress,
            "delay": compress is not None and rng.random() < 0.6,
            "dateext": rng.random() < 0.3,
            "olddir": rng.choice([None, None, None, "below", "elsewhere"]),
        }

    def steps(self) -> Iterator[Step]:
        rng = self.rng
        yield Step("writer", "lines", {"log": 0, "n": rng.choice([0, 3, 60])})
        yield Step("supervisor", "start", self._kill(0.25))
        # Every seed has one fault, one point and one way of rotating that are its own.
        own = Step("umami", "fault", {"spec": FAULTS[self.seed % len(FAULTS)]})
        killed = Step("supervisor", "start", {"kill": self._point(self.seed % len(POINTS))})
        mine: list[list[Step]] = [
            [own, self._lines(), self._pause()],
            [Step("supervisor", rng.choice(["kill", "term"])), self._lines(), killed],
        ]
        places = sorted(rng.sample(range(12), 2))
        for turn in range(12):
            if places and turn == places[0]:
                places.pop(0)
                yield from mine.pop(0)
            yield from rng.choices(
                (self._write, self._rotate, self._supervise, self._fail),
                weights=(4, 5, 3, 2),
            )[0]()
            if rng.random() < 0.5:
                yield self._pause()

    # The writer.

    def _log(self) -> int:
        return self.rng.randrange(self.knobs["logs"])

    def _lines(self) -> Step:
        act = self.rng.choice(["lines", "burst"])
        return Step("writer", act, {"log": self._log(), "n": self.rng.choice([1, 4, 20, 120])})

    def _write(self) -> Iterator[Step]:
        rng, log = self.rng, self._log()
        acts = "lines lines burst crlf storm poison junk junk partial"
        match rng.choice(acts.split()):
            case "lines" | "burst":
                yield self._lines()
            case "crlf":
                yield Step("writer", "crlf", {"log": log, "n": rng.choice([1, 10])})
            case "junk":
                yield Step("writer", "junk", {"log": log, "kind": rng.choice(JUNK)})
                yield Step("writer", "lines", {"log": log, "n": rng.choice([1, 5])})
            case "partial":
                yield Step("writer", "begin", {"log": log, "share": round(rng.random(), 2)})
                if rng.random() < 0.5:
                    yield self._pause()
                if rng.random() < 0.5:
                    yield Step("writer", "finish", {"log": log})
            case "storm":
                how = {"log": log, "n": rng.choice([40, 100]), "ms": rng.choice([2, 8])}
                yield Step("writer", "storm", how)
            case "poison":
                yield Step("umami", "fault", {"spec": "500-never,url=*-poison*"})
                yield Step("writer", "lines", {"log": log, "n": 5})
                yield Step("writer", "poison", {"log": log, "n": rng.choice([1, 2])})
                yield Step("writer", "lines", {"log": log, "n": 5})

    # The rotator.

    def _rotate(self) -> Iterator[Step]:
        rng, log = self.rng, self._log()
        act = rng.choice(
            "logrotate logrotate logrotate logrotate rename rename rename_twice copytruncate copy "
            "compress compress compress_slowly switch delete replace_directory replace "
            "lock".split()
        )
        how: dict[str, Any] = {"log": log}
        match act:
            case "logrotate" | "rename":
                how |= self.style[log] if act == "logrotate" else {}
                if rng.random() < 0.5:  # the server goes on writing into the renamed file
                    yield Step("rotator", act, how | {"reopen": False})
                    yield Step("writer", "lines", {"log": log, "n": rng.choice([1, 8])})
                    yield self._pause()
                    yield Step("rotator", "reopen", {"log": log})
                else:
                    yield Step("rotator", act, how)
                yield Step("writer", "lines", {"log": log, "n": rng.choice([0, 1, 30])})
            case "rename_twice":
                yield Step("rotator", act, how | {"n": rng.choice([0, 1, 3])})
            case "copytruncate":
                yield Step("rotator", act, how | {"gap": rng.choice([0, 5, 30])})
            case "compress":
                yield Step("rotator", act, how | self._archive())
            case "compress_slowly":
                yield Step("rotator", "compress_begin", how | self._archive())
                yield self._pause()
                yield Step("rotator", "compress_end", how)
            case "delete":
                if self.knobs["max_open_files"] > 100:  # else nobody holds what is deleted
                    yield Step("rotator", act, how | {"live": rng.random() < 0.3})
                    yield self._pause()
                    yield Step("rotator", "reopen", how)
            case "lock":
                yield Step("rotator", act, how)
                yield Step("writer", "lines", {"log": log, "n": 4})
                yield self._pause()
                yield Step("rotator", "unlock", how)
            case _:
                yield Step("rotator", act, how)

    def _archive(self) -> dict[str, Any]:
        return {"which": self.rng.randrange(3), "suffix": self.rng.choice(SUFFIXES)}

    # The supervisor.

    def _kill(self, share: float) -> dict[str, Any]:
        if self.rng.random() < share:
            return {"kill": self._point(self.rng.randrange(len(POINTS)))}
        return {}

    def _point(self, index: int) -> str:
        return f"{POINTS[index]}:{self.rng.choice([1, 2, 3, 5])}"

    def _supervise(self) -> Iterator[Step]:
        rng = self.rng
        match rng.choice("kill kill term stop settle backfill beside beside down".split()):
            case "kill" | "term" as act:
                yield Step("supervisor", act)
                yield Step("supervisor", "start", self._kill(0.3) | {"wait": rng.random() < 0.7})
            case "stop":
                yield Step("supervisor", "stop")
                yield from self._meanwhile()
                yield self._pause()
                yield Step("supervisor", "cont")
            case "settle":
                yield Step("supervisor", "settle")
            case "backfill":
                yield Step("supervisor", "backfill", self._kill(0.5) | {"seconds": 1.5})
                yield Step("supervisor", "start")
            case "beside":
                point = f"{rng.choice(BESIDE)}:{rng.choice([1, 1, 2])}"
                yield Step("supervisor", "beside", {"kill": point} if rng.random() < 0.5 else {})
                yield from self._meanwhile()
                yield self._pause()
                if rng.random() < 0.5:
                    yield Step("supervisor", rng.choice(["kill_both", "kill_both", "kill_beside"]))
                    yield Step("supervisor", "start", {"wait": rng.random() < 0.7})
            case "down":
                yield Step("supervisor", rng.choice(["kill", "term"]))
                for _ in range(rng.choice([1, 3])):
                    yield from self._meanwhile()
                yield Step("supervisor", "start", self._kill(0.2))

    def _meanwhile(self) -> Iterator[Step]:
        other: Callable[[], Iterator[Step]] = self.rng.choice([self._write, self._rotate])
        yield from other()

    # Umami.

    def _fail(self) -> Iterator[Step]:
        rng = self.rng
        act = rng.choice(["fault", "fault", "fault", "fault", "clear", "restart"])
        how = {"spec": rng.choice(FAULTS)} if act == "fault" else {}
        yield Step("umami", act, how)
        if act == "fault":
            yield self._lines()

    def _pause(self) -> Step:
        return Step("pause", "", {"ms": self.rng.choice([10, 50, 150, 400])})
