"""How fast ingestor is, and what it costs, beside what else is installed.

    python benchmarks/run.py                        # everything
    python benchmarks/run.py --lines 200000 --repeat 1 --only mix,json
    python benchmarks/run.py --compare REV          # the rows of backfill, against another revision

The worker is pinned to one core, the instant sink to the others. Every figure is the median of
the runs; one machine's runs vary by a quarter and more, so ratios within one table count, and
best those of runs that took turns.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import os
import platform
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import corpus
import live
import rivals
from measure import CORES, ROOT, Cost, config, ingestor, ingestors, sink

CUSTOM = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" "$gzip_ratio" rt=$request_time '
    'uct="$upstream_connect_time" urt="$upstream_response_time"'
)
# Default settings but for these: an instant sink wants large batches and nobody to yield to.
FAST = "batch_size: 500, background: never, pace: fixed"


class Corpus(NamedTuple):
    """One file to read."""

    name: str
    log_format: str  # of the generator
    mix: str
    suffix: str  # .log, .log.gz, .log.zst
    named: str  # of ingestor


CORPORA = (
    Corpus("mix", "combined", "real", ".log", "combined"),
    Corpus("mix, gz", "combined", "real", ".log.gz", "combined"),
    Corpus("mix, zst", "combined", "real", ".log.zst", "combined"),
    Corpus("vhost_combined", "vhost_combined", "real", ".log", "vhost_combined"),
    Corpus("nginx custom", "custom", "real", ".log", CUSTOM),
    Corpus("json", "json", "real", ".log", "json"),
    Corpus("all assets", "combined", "assets", ".log", "combined"),
    Corpus("all bots", "combined", "bots", ".log", "combined"),
    Corpus("all page views", "combined", "pages", ".log", "combined"),
)


class Bench:
    """The corpora, the sink, and the table that grows."""

    def __init__(self, directory: Path, *, lines: int, repeat: int, only: list[str]) -> None:
        self.directory = directory
        self.lines = lines
        self.repeat = repeat
        self._only = only
        self.rows: list[str] = []
        self._ratios: list[str] = []

    def wants(self, name: str) -> bool:
        """Whether a row was asked for."""
        return not self._only or any(part in name for part in self._only)

    def file(self, kind: Corpus, *, seed: int = 1) -> Path:
        """The corpus, made once."""
        other = f"-{seed}" if seed > 1 else ""
        name = f"{kind.log_format}-{kind.mix}-{self.lines}{other}{kind.suffix}"
        path = self.directory / name
        if not path.exists():
            part = path.with_name(f"part-{name}")
            corpus.write(part, self.lines, seed=seed, log_format=kind.log_format, mix=kind.mix)
            part.rename(path)
        return path

    def files(self, kind: Corpus, count: int) -> list[str]:
        """So many corpora of one kind, each with lines of its own."""
        return [str(self.file(kind, seed=seed)) for seed in range(1, count + 1)]

    def backfill(
        self,
        kind: Corpus,
        *,
        delivery: str = FAST,
        tree: Path = ROOT,
        unkept: bool = False,
        more: tuple[str, ...] = (),
        cores: set[int] | None = None,
        files: int = 1,
    ) -> Cost:
        """Send a corpus, or several, into the sink; each time into a fresh checkpoint."""
        logs = self.files(kind, files)
        state = Path(tempfile.mkdtemp(dir=self.directory))
        try:
            with sink() as port:
                settings = config(state, port, delivery=delivery)
                arguments = ["backfill", "-c", str(settings), "--format", kind.named, *more]
                cost = ingestor([*arguments, *logs], tree=tree, unkept=unkept, cores=cores)
                _check(port)
        finally:
            shutil.rmtree(state)
        return cost

    def backfills_at_once(self, kind: Corpus, *, files: int) -> Cost:
        """Two backfills that know nothing of each other: what this machine has for two processes.

        Each has half of the files, and a sink of its own.
        """
        logs = self.files(kind, files)
        with sink() as port, sink() as other, tempfile.TemporaryDirectory() as name:
            commands = []
            for half, where in enumerate((port, other)):
                state = Path(name) / str(half)
                state.mkdir()
                settings = config(state, where, delivery=FAST)
                arguments = ["backfill", "-c", str(settings), "--format", kind.named]
                commands.append([*arguments, "--jobs", "1", *logs[half::2]])
            return ingestors(commands, cores=set(CORES))

    def row(
        self, name: str, once: Callable[[], Cost | None], plain: Path, *, files: int = 1
    ) -> None:
        """Run, take the median, and write a row; of so many files of that size."""
        self.rows_in_turn({name: once}, plain, files=files)

    def rows_in_turn(
        self, rows: dict[str, Callable[[], Cost | None]], plain: Path, *, files: int = 1
    ) -> None:
        """Do the same for several that are held against each other: the machine's mood changes."""
        wanted = {name: once for name, once in rows.items() if self.wants(name)}
        runs: dict[str, list[Cost]] = {name: [] for name in wanted}
        for turn in range(self.repeat):
            for name, once in reversed(wanted.items()) if turn % 2 else wanted.items():
                cost = once()
                if cost is not None:
                    runs[name].append(cost)
        for name, costs in runs.items():
            self._row(name, costs, plain, files)
            if name != (first := next(iter(runs))) and costs and runs[first]:
                self._ratio(name, costs, first, runs[first])

    def _ratio(self, name: str, costs: Sequence[Cost], first: str, others: Sequence[Cost]) -> None:
        """Compare what ran in the same turn: a machine that changes its mood changes both."""
        pairs = list(zip(costs, others, strict=True))
        clock = statistics.median(one.seconds / other.seconds for one, other in pairs)
        cpu = statistics.median(one.cpu / other.cpu for one, other in pairs)
        self._ratios.append(f"| {name} | {first} | {clock:.3f} | {cpu:.3f} |")

    def ratios(self) -> None:
        """A table of what was held against each other."""
        if self._ratios:
            self._say("\nTurn by turn, medians\n")
            self._say("| | against | seconds | CPU s |\n|---|---|---|---|")
            for line in self._ratios:
                self._say(line)

    def _row(self, name: str, runs: list[Cost], plain: Path, files: int) -> None:
        if not runs:
            self._say(f"| {name} | not installed | | | | |")
            return
        cost = runs[0].of(runs)
        lines, size = files * self.lines, files * plain.stat().st_size
        self._say(
            f"| {name} | {lines / cost.seconds:,.0f} | {lines / cost.cpu:,.0f} | "
            f"{cost.cpu * 1e6 / lines:.2f} | {size / cost.cpu / 1e6:,.0f} | {cost.rss / 1e6:.0f} |"
        )

    def note(self, text: str) -> None:
        """A line beside the table."""
        self._say(text)

    def _say(self, text: str) -> None:
        print(text, flush=True)
        self.rows.append(text)


HEAD = (
    "| | lines/s | lines/CPU s | CPU s per million lines | MB/CPU s | RSS MB |\n"
    "|---|---|---|---|---|---|"
)


def table(bench: Bench) -> None:
    """Everything, in the order of the page."""
    bench.note(f"{_machine()}, {bench.lines:,} lines, medians of {bench.repeat}\n\n{HEAD}")
    for kind in CORPORA:
        name = f"backfill, {kind.name}"
        if bench.wants(name):
            plain = bench.file(kind._replace(suffix=".log"))
            bench.row(name, lambda kind=kind: bench.backfill(kind), plain)
    mix = CORPORA[0]
    log = bench.file(mix)
    bench.row("backfill, mix, default delivery", lambda: bench.backfill(mix, delivery=""), log)
    kept = {
        f"backfill, mix, {words} checkpoint": partial(bench.backfill, mix, unkept=unkept)
        for words, unkept in (("with", False), ("without", True))
    }
    bench.rows_in_turn(kept, log)
    bench.row("preview, mix", lambda: _preview(bench, mix), log)
    for files in (1, 4):
        what = f"mix, {files} files" if files > 1 else "mix"
        both = {
            f"backfill, {what}, {jobs} jobs on {len(CORES)} cores": partial(
                bench.backfill, mix, more=("--jobs", jobs), cores=set(CORES), files=files
            )
            for jobs in ("1", "2")
        }
        if files > 1:
            both[f"backfill, {what}, two runs at once, of {files // 2} each"] = partial(
                bench.backfills_at_once, mix, files=files
            )
        bench.rows_in_turn(both, log, files=files)
    _rivals(bench, mix)
    bench.ratios()
    _live(bench)


def _preview(bench: Bench, kind: Corpus) -> Cost:
    with tempfile.TemporaryDirectory() as directory:
        settings = config(Path(directory), 9)
        arguments = ["preview", "-c", str(settings), "--format", kind.named]
        return ingestor([*arguments, str(bench.file(kind))])


def _rivals(bench: Bench, mix: Corpus) -> None:
    log = bench.file(mix)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)

        def syslog_ng(*, pages: bool, crawlers: tuple[str, ...] = ()) -> Cost | None:
            with sink() as port:
                extensions = _extensions()
                return rivals.syslog_ng(
                    log, directory, port, extensions, pages=pages, crawlers=crawlers
                )

        bench.row("wc -l", lambda: rivals.wc(log), log)
        rows: dict[str, Callable[[], Cost | None]] = {
            "backfill, mix, in turns with those below": lambda: bench.backfill(mix),
            "goaccess": lambda: rivals.goaccess(log, directory),
            "syslog-ng, page lines, six words for bots": lambda: syslog_ng(pages=True),
            "syslog-ng, page lines, the list of crawlers": lambda: syslog_ng(
                pages=True, crawlers=_crawlers()
            ),
            "syslog-ng, all lines": lambda: syslog_ng(pages=False),
        }
        bench.rows_in_turn(rows, log)


def _live(bench: Bench) -> None:
    if bench.wants("live"):
        with tempfile.TemporaryDirectory() as name:
            found = live.latency(Path(name))
            bench.note(
                f"\nLive, 50 lines/s: median {found.median:.3f} s, p99 {found.p99:.3f} s, worst "
                f"{found.worst:.3f} s from newline to the sink ({found.seen} page views)"
            )
    for files in (200, 1000):
        if bench.wants("idle"):
            with tempfile.TemporaryDirectory() as name:
                idle = live.idle(Path(name), files=files)
                bench.note(
                    f"Idle, {files} files: {idle.share:.2%} of a core, {idle.rss / 1e6:.0f} MB"
                )


def compare(bench: Bench, revision: str) -> None:
    """Time backfills of a revision and of this tree in turn, and give the ratio."""
    with tempfile.TemporaryDirectory() as name:
        other = Path(name)
        _extract(revision, other)
        print(f"CPU s per million lines: {revision}, now, ratio\n")
        for kind in CORPORA:
            if not bench.wants(kind.name):
                continue
            runs: dict[Path, list[Cost]] = {other: [], ROOT: []}
            for _ in range(bench.repeat):
                for tree, costs in runs.items():
                    costs.append(bench.backfill(kind, tree=tree))
            before, now = (costs[0].of(costs).cpu * 1e6 / bench.lines for costs in runs.values())
            pairs = zip(runs[ROOT], runs[other], strict=True)
            ratio = statistics.median(one.cpu / past.cpu for one, past in pairs)
            print(f"{kind.name:<16}{before:8.2f}{now:8.2f}{ratio:8.2f}", flush=True)


def _extract(revision: str, directory: Path) -> None:
    archive = subprocess.run(
        ["git", "archive", revision], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory, filter="data")


def _check(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
        answer.read()


def _extensions() -> tuple[str, ...]:
    from ingestor.pageviews.options import ASSETS  # noqa: PLC0415 - of this tree

    return ASSETS


def _crawlers() -> tuple[str, ...]:
    from ingestor.crawlers import patterns  # noqa: PLC0415 - of this tree

    return patterns()


def _machine() -> str:
    model = next(_models(), platform.machine())
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
    python = platform.python_version()
    return f"{when}, {os.cpu_count()} cores of {model}, Python {python}, Linux {platform.release()}"


def _models() -> Iterator[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            yield line.partition(":")[2].strip()


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", default="", help="parts of rows' names, with commas")
    parser.add_argument("--compare", metavar="REV", help="a revision of git")
    parser.add_argument("--corpora", type=Path, help="where generated logs are kept")
    args = parser.parse_args()
    directory = args.corpora or Path(tempfile.gettempdir()) / "ingestor-bench"
    directory.mkdir(parents=True, exist_ok=True)
    only = [part for part in args.only.split(",") if part]
    bench = Bench(directory, lines=args.lines, repeat=args.repeat, only=only)
    if args.compare:
        compare(bench, args.compare)
    else:
        table(bench)


if __name__ == "__main__":
    main()
