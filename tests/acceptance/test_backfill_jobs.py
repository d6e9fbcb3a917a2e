"""``backfill --jobs`` over logs that are large enough for several processes."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from parts import Command, Line, SandboxProcess, children, environment, until

PAGES = 300
ASSETS = 1300  # before each page view: 37 MB in the plain one


@pytest.fixture
def logs(tmp_path: Path, line: Line) -> Path:
    """Two rotated logs, one compressed, in which few lines count."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, first in (("access.log.2.gz", 0), ("access.log.1", PAGES // 2)):
        numbers = range(first, first + PAGES // 2)
        data = b"".join(
            line(f"/app-{n}.css?v=1", n) * ASSETS + line(f"/page-{n}", n) for n in numbers
        )
        (folder / name).write_bytes(gzip.compress(data, 1) if name.endswith("gz") else data)
    return folder


def flags(sandbox: SandboxProcess, logs: Path) -> list[str]:
    return [
        *("--url", sandbox.url, "--website", sandbox.website, "--hostname", "example.com"),
        *("--checkpoint", "checkpoint.db", "--jobs", "2", str(logs)),
    ]


@pytest.mark.slow
def test_several_processes_send_everything_once_and_in_order(
    ingestor: Command, sandbox: SandboxProcess, logs: Path
) -> None:
    first = ingestor.json("backfill", *flags(sandbox, logs))
    assert first["lines"] == PAGES * (ASSETS + 1)
    assert first["filtered"] == {"asset": PAGES * ASSETS}
    assert first["accepted"] == PAGES
    assert sorted(sandbox.rows()) == sorted(f"/page-{n}" for n in range(PAGES))
    second = ingestor.json("backfill", *flags(sandbox, logs))
    assert second["lines"] == second["accepted"] == 0
    assert sandbox.count() == PAGES


@pytest.mark.slow
def test_killed_on_the_way_the_next_run_sends_the_rest(
    ingestor: Command, sandbox: SandboxProcess, logs: Path
) -> None:
    for stored in (1, 60, 160):
        run = ingestor.start("backfill", *flags(sandbox, logs))
        until(lambda: sandbox.count() >= stored or run.process.poll() is not None)  # noqa: B023
        run.stop(signal.SIGKILL)
    ingestor("backfill", *flags(sandbox, logs))
    assert set(sandbox.rows()) == {f"/page-{n}" for n in range(PAGES)}
    ingestor("backfill", *flags(sandbox, logs))
    assert sandbox.count() <= PAGES + 3 * 4 * 50  # what was in flight at most, at each kill


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP], ids=lambda sig: sig.name)
def test_stopped_by_a_signal_it_drains_and_leaves_no_process(
    ingestor: Command, sandbox: SandboxProcess, logs: Path, sig: signal.Signals
) -> None:
    run = ingestor.start("backfill", *flags(sandbox, logs))
    until(lambda: sandbox.count() > 0)
    others = children(run.process.pid)
    assert len(others) == 1, "the second of two jobs"
    for process in others if sig == signal.SIGHUP else ():  # a terminal sends it to all
        os.kill(process, sig)
    assert run.stop(sig) == 0
    assert "has died" not in run.log()
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in others))
    ingestor("backfill", *flags(sandbox, logs))
    assert sorted(sandbox.rows()) == sorted(f"/page-{n}" for n in range(PAGES))


@pytest.mark.slow
def test_no_program_is_read_from_where_somebody_stands(
    tmp_path: Path, sandbox: SandboxProcess, logs: Path
) -> None:
    """A checkout of another version, or what a stranger put into a directory that all may write."""
    here = tmp_path / "here"
    for package in ("ingestor", "numpy", "multiprocessing"):
        (here / package).mkdir(parents=True)
        (here / package / "__init__.py").write_text("open('was_read', 'w'); raise SystemExit(9)")
    script = Path(sys.executable).with_name("ingestor")
    done = subprocess.run(
        [script, "backfill", *flags(sandbox, logs)],
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (here / "was_read").exists()
    assert "has died" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert sandbox.count() == PAGES
