"""``delivery.exactly_once`` with the real program: kill -9, reloads, and another command's end."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from parts import OTHER_WEBSITE, WEBSITE, Command, Line, SandboxProcess, start_sandbox, until


@pytest.fixture
def umami(ingestor: Command, tmp_path: Path) -> SandboxProcess:
    return start_sandbox(ingestor, tmp_path / "umami.db", "--control-port", "0")


def configure(directory: Path, url: str, extra: str = "exactly_once: true") -> Path:
    (directory / "logs").mkdir(exist_ok=True)
    config = directory / "config.yaml"
    config.write_text(f"""\
umami: {{url: {url}, username: admin, password: umami}}
sites:
  - {{website: {WEBSITE}, hostname: example.com}}
  - {{website: {OTHER_WEBSITE}, hostname: example.org}}
sources:
  - {{path: {directory}/logs, site: example.com}}
run: {{start: beginning}}
checkpoint: {{path: {directory}/checkpoint.db}}
delivery: {{batch_size: 20, timeout: 2s, settle_time: 1s, retry_max: 1s, {extra}}}
""")
    return config


def log_of(directory: Path, line: Line, n: int) -> None:
    log = directory / "logs" / "access.log"
    log.write_bytes(b"".join(line(f"/{i}", i) for i in range(n)))


def each_once(umami: SandboxProcess, n: int) -> bool:
    return Counter(umami.rows()) == {f"/{i}": 1 for i in range(n)}


@pytest.mark.parametrize(
    "fault", [(), ("slow,entry=5ms",), ("cut,p=0.2,seed=1", "store-late,entry=5ms,p=0.1,seed=2")]
)
def test_killed_at_random_moments_nothing_is_missing_and_nothing_is_double(
    fault: tuple[str, ...], ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n, crashes = 1_200, 3
    config = configure(tmp_path, umami.url)
    log_of(tmp_path, line, n)
    umami.fail(*fault)
    for crash in range(crashes):
        running = ingestor.start("backfill", "-c", config)
        goal = (crash + 1) * n // (crashes + 2)
        until(lambda goal=goal: umami.count() >= goal, seconds=60, what="progress")
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    done = ingestor.json("backfill", "-c", config)
    assert each_once(umami, n)
    assert (done["in_flight"], done["doubted"]) == (0, 0)
    assert ingestor.json("backfill", "-c", config)["lines"] == 0


def test_a_daemon_killed_and_started_again_doubles_nothing(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n = 2_000
    config = configure(tmp_path, umami.url)
    log_of(tmp_path, line, n)
    umami.fail("slow,entry=2ms", "cut,p=0.1,seed=3")
    for goal in (300, 900, 1500):
        running = ingestor.start("run", "-c", config)
        until(lambda goal=goal: umami.count() >= goal, seconds=60, what="progress")
        running.stop(signal.SIGKILL)
    running = ingestor.start("run", "-c", config)
    until(lambda: each_once(umami, n), seconds=60, what="all of it, once each")
    assert running.stop() == 0


def test_a_backfill_takes_up_what_a_dead_daemon_left_in_doubt(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n = 1_000
    config = configure(tmp_path, umami.url)
    log_of(tmp_path, line, n)
    umami.fail("slow,entry=2ms")
    running = ingestor.start("run", "-c", config)
    until(lambda: umami.count() >= n // 3, what="progress")
    running.stop(signal.SIGKILL)
    ingestor.json("backfill", "-c", config)
    assert each_once(umami, n)


def test_a_reload_keeps_what_is_in_doubt(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n = 400
    config = configure(tmp_path, umami.url)
    log_of(tmp_path, line, 1)
    running = ingestor.start("run", "-c", config)
    until(lambda: umami.count() == 1, what="the first page view")
    umami.fail("cut,count=6")
    log_of(tmp_path, line, n)
    until(lambda: "in doubt" in running.log(), what="a doubt")
    configure(tmp_path, umami.url, "exactly_once: true, linger: 100ms")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "configuration is in force" in running.log(), what="the reload")
    until(lambda: each_once(umami, n), what="all of it, once each")
    until(lambda: "nothing is in doubt any more" in running.log(), what="the look-up")
    assert each_once(umami, n)
    assert running.stop() == 0


def test_switched_off_again_what_was_in_doubt_is_read_and_sent_again(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n = 600
    config = configure(tmp_path, umami.url)
    log_of(tmp_path, line, n)
    umami.fail("slow,entry=5ms")
    running = ingestor.start("backfill", "-c", config)
    until(lambda: umami.count() >= n // 3, what="progress")
    running.stop(signal.SIGKILL)
    configure(tmp_path, umami.url, "exactly_once: false")
    done = ingestor.json("backfill", "-c", config)
    rows = umami.rows()
    assert set(rows) == {f"/{i}" for i in range(n)}
    assert len(rows) - n <= done["doubted"] <= 4 * 20


@pytest.mark.parametrize("command", ["run", "backfill"])
def test_switched_off_again_what_was_in_doubt_is_sent_though_its_log_is_gone(
    command: str, ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n = 60
    config = configure(tmp_path, umami.url)
    log_of(tmp_path, line, n)
    umami.fail("drop-before,path=/api/batch,skip=1")
    running = ingestor.start(command, "-c", config)
    until(lambda: "in doubt" in running.log(), what="a doubt")
    running.stop(signal.SIGKILL)
    before = umami.count()
    umami.fail()
    (tmp_path / "logs" / "access.log").rename(tmp_path / "moved.log")
    configure(tmp_path, umami.url, "exactly_once: false")
    running = ingestor.start(command, "-c", config)
    until(lambda: umami.count() > before, what="what the journal has")
    done = running.stop() if command == "run" else running.process.wait(60)
    assert done == (0 if command == "run" else 1)  # 1: its source has no log
    assert "may be double" in running.log()
    (tmp_path / "moved.log").rename(tmp_path / "logs" / "access.log")
    ingestor.json("backfill", "-c", config)
    assert each_once(umami, n)


@pytest.mark.parametrize(
    "commands", [("run", "run"), ("backfill", "backfill"), ("run", "backfill")]
)
def test_in_doubt_for_a_website_that_has_another_id_now_it_is_sent_to_that_one(
    commands: tuple[str, str],
    ingestor: Command,
    umami: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    n = 60
    config = configure(tmp_path, umami.url)
    log_of(tmp_path, line, n)
    umami.fail("drop-before,path=/api/batch,skip=1")  # which is the probe
    first, then = commands
    running = ingestor.start(first, "-c", config)
    until(lambda: "in doubt" in running.log(), what="a doubt")
    running.stop(signal.SIGKILL)
    kept = set(umami.rows())
    new = "11111111-2222-4333-8444-555555555555"
    other = start_sandbox(ingestor, tmp_path / "other.db", websites=(new, OTHER_WEBSITE))
    configure(tmp_path, other.url)
    config.write_text(config.read_text().replace(WEBSITE, new))
    running = ingestor.start(then, "-c", config)
    expected = {f"/{i}" for i in range(n)} - kept
    until(lambda: set(other.rows()) == expected, what="all that the old website lacks")
    if then == "run":
        assert running.stop() == 0
    assert running.process.wait(60) == 0
    assert WEBSITE in running.log()
    assert len(other.rows()) == len(expected)
    done = ingestor.json("backfill", "-c", config)
    assert done["lines"] == done["in_flight"] == 0


def test_neither_the_password_nor_a_token_is_logged_or_kept(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    config = configure(tmp_path, umami.url)
    config.write_text(config.read_text().replace("password: umami", "password: Hush-Hush"))
    log_of(tmp_path, line, 10)
    done = ingestor("--verbose", "backfill", "-c", config, code=3)
    assert "umami.password" in done.stderr
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("checkpoint.db*"))
    assert "Hush" not in done.stderr + done.stdout
    assert b"Hush" not in kept
    assert umami.count() == 0
