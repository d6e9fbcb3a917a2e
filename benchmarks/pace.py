"""How near `delivery.pace: auto` comes to the best fixed setting, and what the background costs.

    python benchmarks/pace.py             # simulation: three models of Umami, ten seeds, a sweep
    python benchmarks/pace.py --real      # the program against the sandbox, in real time (5 min)

The simulation (tests/simulated_umami.py) moves its own clock, so that the machine does not matter.
In real time the sandbox's faults make a server like the measured Umami: one thread, 4.6 ms of it a
page view, 3.4 ms of waiting beside it, 4 ms a request. A foreign tracker sends one page view now
and then to /api/send meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

import corpus

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from simulated_umami import MODELS, Fixed, Model, Run, SimulatedUmami, percentile  # noqa: E402

from ingestor.delivery.pace import Bounds, Pace  # noqa: E402

SEEDS = range(10)
LIMITS = (1, 2, 3, 4, 6, 8, 12, 16)
SIZES = (10, 25, 50, 100, 200)
WIDE = Bounds(1, 16, 10, 200)
DEFAULT = Bounds(1, 4, 10, 50)
PATIENCE = 5.0  # seconds: a fixed setting whose requests take longer piles up

FAULTS = ("slow,request=4ms,entry=3.4ms", "saturate,workers=1,entry=4.6ms")
WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)


def simulate() -> None:
    """Print the table of the simulation."""
    for model in MODELS:
        _simulate(model)


def _simulate(model: Model) -> None:
    print(
        f"\n{model.name}: {model.threads} threads, {model.entry * 1e3:g} + {model.wait * 1e3:g} ms"
    )
    sweep: dict[tuple[int, int], Run] = {
        (limit, size): SimulatedUmami(model, Fixed(limit, size), seed=100).run(page_views=40_000)
        for limit in LIMITS
        for size in SIZES
    }
    print("  sweep, page views a second by requests in flight and page views a request")
    print("         " + "".join(f"{size:>8}" for size in SIZES))
    for limit in LIMITS:
        row = "".join(f"{sweep[limit, size].rate:8.0f}" for size in SIZES)
        print(f"    {limit:3}  {row}")
    (at, size), top = max(sweep.items(), key=lambda found: found[1].rate)
    short = [run.rate for run in sweep.values() if median(run.latencies) <= PATIENCE]
    idle = percentile(
        SimulatedUmami(model, None, seed=1, tracker=1.0).run(seconds=3_000).tracked, 0.95
    )
    print(
        f"  best {top.rate:.1f} at {at}x{size} (requests of {median(top.latencies):.1f} s); "
        f"{max(short):.1f} with requests up to {PATIENCE:g} s. Tracker idle p95 {idle * 1e3:.0f} ms"
    )
    for name, bounds, background in (
        ("auto to 16x200", WIDE, False),
        ("auto to 4x50", DEFAULT, False),
        ("background to 16x200", WIDE, True),
        ("background to 4x50", DEFAULT, True),
    ):
        rates, latencies, tracked = [], [], []
        for seed in SEEDS:
            pace = Pace(bounds, background=background)
            run = SimulatedUmami(model, pace, seed=seed).run(page_views=100_000)
            rates.append(run.rate)
            latencies.append(percentile(run.latencies, 0.99))
            pace = Pace(bounds, background=background)
            beside = SimulatedUmami(model, pace, seed=seed, tracker=1.0).run(page_views=30_000)
            tracked.append(percentile(beside.tracked, 0.95))
        print(
            f"  {name:<21} {median(rates):7.1f} = {median(rates) / top.rate:5.1%} of the best"
            f" ({min(rates) / top.rate:.1%} to {max(rates) / top.rate:.1%}), "
            f"{median(rates) / max(short):5.1%} of the best short one; "
            f"request p99 {median(latencies):4.1f} s; tracker {median(tracked) / idle:.2f} x"
        )


# -- in real time ------------------------------------------------------------------------------


class Setting(NamedTuple):
    """What a run of the program is told, by environment."""

    name: str
    options: dict[str, str]


def _fixed(workers: int, size: int) -> Setting:
    options = {"PACE": "fixed", "WORKERS": str(workers), "BATCH_SIZE": str(size)}
    return Setting(f"fixed {workers}x{size}", options)


SETTINGS = [
    *(_fixed(*each) for each in ((1, 50), (2, 50), (3, 50), (4, 10), (4, 50), (8, 100))),
    Setting("auto", {"BACKGROUND": "never"}),
    Setting("auto to 16x200", {"BACKGROUND": "never", "WORKERS": "16", "BATCH_SIZE": "200"}),
    Setting("background (default)", {}),
    Setting("background to 16x200", {"WORKERS": "16", "BATCH_SIZE": "200"}),
]


class Tracker:
    """A foreign tracker: a thread that sends a page view now and then and notes what it took."""

    def __init__(self, url: str, *, every: float) -> None:
        self._url = f"{url}/api/send"
        self._every = every
        self._random = random.Random(1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.latencies: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        payload = {"website": WEBSITE, "url": "/tracked", "hostname": "example.com"}
        payload |= {"language": "", "referrer": "", "screen": "", "title": "", "ip": "192.0.2.1"}
        payload |= {"userAgent": CHROME}
        body = json.dumps({"type": "event", "payload": payload}).encode()
        headers = {"Content-Type": "application/json", "User-Agent": CHROME}
        while not self._over.wait(self._random.expovariate(1 / self._every)):
            request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - our sandbox
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - likewise
                answer.read()
            self.latencies.append(time.perf_counter() - began)


@contextlib.contextmanager
def _sandbox() -> Iterator[str]:
    command = [sys.executable, "-m", "ingestor", "sandbox", "--port", "0", "--website", WEBSITE]
    for fault in FAULTS:
        command += ["--fail", fault]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=quiet, cwd=ROOT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def _backfill(setting: Setting, url: str, log: Path, checkpoint: Path) -> tuple[int, float]:
    """Run the program once; page views accepted, and seconds."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("INGESTOR_")}
    environment["INGESTOR_DELIVERY_SETTLE_BOTS"] = "false"
    environment |= {f"INGESTOR_DELIVERY_{k}": v for k, v in setting.options.items()}
    command = [sys.executable, "-m", "ingestor", "backfill", "--json", "--url", url]
    command += ["--website", WEBSITE, "--checkpoint", str(checkpoint), str(log)]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{setting.name}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    found = json.loads(done.stdout)
    return int(found["accepted"]), float(found["seconds"])


def in_real_time(page_views: int) -> None:
    """Print what the program gets from a sandbox like the measured Umami."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "access.log"
        corpus.write(log, page_views, mix="pages")
        with _sandbox() as url, Tracker(url, every=0.1) as alone:
            time.sleep(20)
        idle = percentile(alone.latencies, 0.95)
        print(f"tracker idle: p50 {median(alone.latencies) * 1e3:.0f} p95 {idle * 1e3:.0f} ms")
        found = []
        for number, setting in enumerate(SETTINGS):
            with _sandbox() as url, Tracker(url, every=0.25) as tracker:
                sent, seconds = _backfill(setting, url, log, Path(directory) / f"{number}.db")
            p95 = percentile(tracker.latencies, 0.95)
            found.append((setting.name, sent / seconds, p95))
            print(
                f"  … {setting.name}: {sent} in {seconds:.0f} s, {len(tracker.latencies)} tracked"
            )
    best = max(rate for name, rate, _ in found if name.startswith("fixed"))
    print(
        f"\n{'setting':<22}{'page views/s':>13}{'of best fixed':>15}"
        f"{'tracker p95':>13}{'x idle':>8}"
    )
    for name, rate, p95 in found:
        print(f"{name:<22}{rate:13.0f}{rate / best:15.1%}{p95 * 1e3:10.0f} ms{p95 / idle:8.2f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="against the sandbox, in real time")
    parser.add_argument("--page-views", type=int, default=6_000, help="of each run in real time")
    arguments = parser.parse_args()
    if arguments.real:
        in_real_time(arguments.page_views)
    else:
        simulate()


if __name__ == "__main__":
    main()
