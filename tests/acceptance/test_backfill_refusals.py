"""``backfill`` refuses what would be hidden or double, and says how much it is about to send."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import re
import signal
import time
from pathlib import Path

import pytest
from parts import OTHER_WEBSITE, WEBSITE, Command, Line, SandboxProcess, start_sandbox, until

DAY = 86_400


@pytest.fixture
def umami(ingestor: Command, tmp_path: Path) -> SandboxProcess:
    return start_sandbox(ingestor, tmp_path / "umami.db", "--control-port", "0")


def post(url: str, path: str, body: object = None) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    headers = {"Content-Type": "application/json", "User-Agent": "Mozilla/5.0 Chrome/142.0.0.0"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def track(umami: SandboxProcess, *times: int) -> None:
    """Count page views as the site's own tracker does."""
    payload = {
        "website": WEBSITE,
        "screen": "1920x1080",
        "language": "en-GB",
        "title": "Home",
        "hostname": "example.com",
        "url": "/",
        "referrer": "",
        "userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0.0.0 Safari/537.36",
    }
    for at in times:
        post(umami.url, "/api/send", {"type": "event", "payload": payload | {"timestamp": at}})


def configure(directory: Path, url: str, password: str = "umami") -> None:  # noqa: S107
    (directory / "config.yaml").write_text(
        f"umami: {{url: {url}, username: admin, password: {password}}}\n"
        "sites:\n"
        f"  - {{website: {WEBSITE}, hostname: example.com}}\n"
        f"  - {{website: {OTHER_WEBSITE}, hostname: example.org}}\n"
        f"sources: [{{path: {directory}/access.log, site: example.com}}]\n"
        f"checkpoint: {{path: {directory}/checkpoint.db}}\n"
    )


def date(at: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def test_days_that_the_tracker_counted_are_refused(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    three_days = b"".join(line(f"/{i}", i * DAY) for i in range(3))
    (tmp_path / "access.log").write_bytes(three_days)
    track(umami, line.base + DAY + 60, line.base + DAY + 120, line.base - DAY)
    done = ingestor("backfill", "-c", "config.yaml", code=2)
    day = date(line.base + DAY)
    assert f"already has 2 page views on {day} that did not come by this checkpoint" in done.stderr
    assert f"--until {day}" in done.stderr
    assert "--allow-overlap" in done.stderr
    assert umami.count() == 3
    assert ingestor.json("backfill", "-c", "config.yaml", "--until", day)["accepted"] == 1
    assert ingestor.json("backfill", "-c", "config.yaml", "--allow-overlap")["accepted"] == 2


def test_what_it_sent_itself_is_no_overlap(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(line(f"/{i}", i * 60) for i in range(100)))
    assert ingestor.json("backfill", "-c", "config.yaml")["accepted"] == 100
    assert ingestor.json("backfill", "-c", "config.yaml")["accepted"] == 0
    with log.open("ab") as file:
        file.write(b"".join(line(f"/{i}", 3000 + i) for i in range(50)))
    assert ingestor.json("backfill", "-c", "config.yaml")["accepted"] == 50
    # … but without the checkpoint that knows, all of it would be double
    ingestor("backfill", "-c", "config.yaml", "--checkpoint", "other.db", code=2)
    assert umami.count() == 150


def test_a_backfill_that_was_killed_goes_on(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    (tmp_path / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(3000)))
    running = ingestor.start("backfill", "-c", "config.yaml")
    until(lambda: umami.count() > 500)
    running.stop(signal.SIGKILL)
    ingestor("backfill", "-c", "config.yaml")
    assert len(set(umami.rows())) == 3000


def test_a_backfill_that_was_killed_before_any_answer_goes_on(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    (tmp_path / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(30)))
    umami.fail(f"502-html,stored=yes,website={WEBSITE}")  # the first answer is lost on its way
    running = ingestor.start("backfill", "-c", "config.yaml")
    until(umami.count)
    running.stop(signal.SIGKILL)
    umami.fail()
    ingestor("backfill", "-c", "config.yaml")
    assert len(set(umami.rows())) == 30
    other = ("--checkpoint", "other.db")  # which knows nothing of it
    ingestor("backfill", "-c", "config.yaml", *other, code=2)


def test_page_views_older_than_a_reset_are_refused(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path
) -> None:
    configure(tmp_path, umami.url)
    line = Line(base=int(time.time()) - 10 * DAY)
    (tmp_path / "access.log").write_bytes(line("/old") + line("/older", -DAY))
    assert umami.control is not None
    post(umami.control, f"/reset?website={WEBSITE}")
    done = ingestor("backfill", "-c", "config.yaml", code=2)
    assert "2 of 2 page views of website" in done.stderr
    assert "older than its reset" in done.stderr
    assert f"--since {date(int(time.time()))}T" in done.stderr
    assert "--allow-hidden" in done.stderr
    assert umami.count() == 0
    assert ingestor.json("backfill", "-c", "config.yaml", "--allow-hidden")["accepted"] == 2


def test_only_the_website_that_is_concerned_is_named(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    (tmp_path / "access.log").write_bytes(
        line("/a", host="example.com") + line("/b", host="example.org")
    )
    track(umami, line.base)
    done = ingestor("backfill", "-c", "config.yaml", code=2)
    assert f"website {WEBSITE} (example.com)" in done.stderr
    assert OTHER_WEBSITE not in done.stderr


def test_a_wrong_password_stops_before_anything_is_sent(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url, password="hunter2")  # noqa: S106
    (tmp_path / "access.log").write_bytes(line("/a"))
    done = ingestor("backfill", "-c", "config.yaml", code=3)
    assert "umami.password" in done.stderr
    assert "hunter2" not in done.stderr
    assert umami.count() == 0


def test_it_says_how_much_it_is_about_to_send_and_how_long_that_takes(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    flags = ("--url", umami.url, "--website", WEBSITE, "--checkpoint", "checkpoint.db")
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(line(f"/{i}", i) + line("/x.css") for i in range(1200)))
    said = ingestor("backfill", *flags, "access.log").stderr
    assert f"About to send 1,200 page views to {umami.url}." in said
    assert "of the last run" not in said
    assert "There is nothing to send." in ingestor("backfill", *flags, "access.log").stderr
    with log.open("ab") as file:
        file.write(line("/new"))
    said = ingestor("backfill", *flags, "access.log").stderr
    assert "About to send 1 page view to" in said
    assert "page views a second of the last run that takes about 1 s." in said
    assert umami.count() == 1201


def test_archives_that_were_read_are_no_part_of_the_estimate(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """Of years of archives with one new among them, all were said to be about to be sent."""
    flags = ("--url", umami.url, "--website", WEBSITE, "--checkpoint", "checkpoint.db")
    logs = tmp_path / "logs"
    logs.mkdir()
    noise = random.Random(1)

    def archive(day: int) -> None:
        assets = [line(f"/{noise.randbytes(1500).hex()}.css") for _ in range(300)]
        path = logs / f"access.log-202601{day}.gz"
        path.write_bytes(gzip.compress(line(f"/{day}") + b"".join(assets), 1))

    for day in range(10, 14):
        archive(day)
    ingestor("backfill", *flags, logs)
    for day in (14, 15):
        archive(day)
    said = ingestor("backfill", *flags, logs).stderr
    told = re.search(r"About to send about (\d+) page views .* of about ([\d.]+) MB", said)
    assert told is not None, said
    size = sum(path.stat().st_size for path in logs.glob("*-2026011[45].gz"))
    assert float(told[2]) == pytest.approx(size * 10 / 1e6, rel=0.1)
    assert umami.count() == 6


def test_a_large_job_is_estimated_from_its_first_part(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    flags = ("--url", umami.url, "--website", WEBSITE, "--checkpoint", "checkpoint.db")
    asset = line("/" + "x" * 2000 + ".css")
    block = (asset * 100 + line("/page")) * 100
    log = tmp_path / "access.log"
    with log.open("wb") as file:
        for _ in range(3):
            file.write(block)
    assert log.stat().st_size > 60 << 20
    said = ingestor("backfill", *flags, "access.log").stderr
    told = re.search(
        r"About to send about (\d+) page views .*first [\d.]+ MB of about 65\.8 MB", said
    )
    assert told is not None, said
    assert 270 <= int(told[1]) <= 330  # one more or less in that part is 30 in all of it
    assert umami.count() == 300
