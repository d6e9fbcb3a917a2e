"""``make chaos SEEDS=200``: plays seeds against the real program and prints what happened.

A failing seed is played again, made smaller, and saved under tests/chaos/traces, where it stays
as a test.
"""

# ruff: noqa: T201 - its output is its purpose
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
# For chaos, parts and this tree's program; this directory itself shadows the library's `trace`.
sys.path[0:1] = [str(HERE.parent), str(HERE.parent.parent)]

from chaos.oracle import Outcome  # noqa: E402
from chaos.plan import plan  # noqa: E402
from chaos.play import play  # noqa: E402
from chaos.shrink import shrink  # noqa: E402
from chaos.table import table  # noqa: E402
from chaos.trace import TRACES, Trace  # noqa: E402


def main() -> int:
    """Play; 1 where something did not hold."""
    options = _options()
    if options.trace is not None:
        traces = [Trace.load(options.trace)] * options.times
    else:
        seeds = range(options.first, options.first + options.seeds)
        traces = [plan(seed, exactly_once=options.exactly_once) for seed in seeds]
    if options.show:
        for trace in traces:
            print(trace.name, trace.knobs, *trace.steps, sep="\n  ")
        return 0
    began = time.monotonic()
    outcomes = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(partial(_play, keep=options.keep), traces):
            outcomes.append(outcome)
            _say(outcome, options.verbose)
            if outcome.wrong:
                print(f"{outcome.name}: its directory is kept as {options.keep / outcome.name}")
    print(table(outcomes))
    print(f"{'time':<30} {time.monotonic() - began:.0f} s")
    failed = [outcome.name for outcome in outcomes if outcome.wrong]
    if options.shrink:
        for trace in [trace for trace in traces if trace.name in failed][:3]:
            _save_smaller(trace)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--exactly-once", action="store_true", help="delivery.exactly_once: true")
    parser.add_argument("--trace", type=Path, help="play a saved trace")
    parser.add_argument("--times", type=int, default=1, help="… so many times")
    parser.add_argument("--show", action="store_true", help="print the steps, play nothing")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "chaos-failed",
        help="where directories of failed runs are kept, with what the program said",
    )
    parser.add_argument("--verbose", action="store_true", help="a line a run")
    parser.add_argument(
        "--no-shrink", dest="shrink", action="store_false", help="leave failing traces as they are"
    )
    return parser.parse_args()


def _play(trace: Trace, keep: Path) -> Outcome:
    return play(trace, keep / trace.name)


def _say(outcome: Outcome, verbose: bool) -> None:
    for wrong in outcome.wrong:
        print(f"{outcome.name}: {wrong}", flush=True)
    if verbose:
        print(
            f"{outcome.name}: {outcome.seconds:.1f} s, {outcome.written} written, "
            f"{outcome.doubled}/{outcome.bound} doubled, {outcome.excused} destroyed, "
            f"{outcome.crashes} crashes",
            flush=True,
        )


def _save_smaller(trace: Trace) -> None:
    if not play(trace).wrong and not play(trace).wrong:
        print(f"{trace.name} failed once and then twice not: saved as it is")
        smaller = trace
    else:
        smaller = shrink(trace, lambda one: bool(play(one).wrong))
    wrong = play(smaller).wrong
    path = TRACES / f"{trace.name}.json"
    replace(smaller, why="; ".join(wrong)[:500]).save(path)
    print(f"{len(smaller.steps)} of {len(trace.steps)} steps suffice: {path}")


if __name__ == "__main__":
    sys.exit(main())
