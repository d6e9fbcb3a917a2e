"""``ingestor retry-rejected``: dead letters go out again, and leave their file once and for all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from parts import WEBSITE, Command, Line, SandboxProcess, failing, free_port, start_sandbox, until


@pytest.fixture
def umami(ingestor: Command, tmp_path: Path) -> SandboxProcess:
    return start_sandbox(
        ingestor, tmp_path / "umami.db", "--control-port", "0", "--fail", "500-never,url=*poison*"
    )


def configure(directory: Path, url: str, extra: str = "") -> None:
    (directory / "logs").mkdir(exist_ok=True)
    (directory / "config.yaml").write_text(
        f"umami: {{url: {url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {directory}/logs}}]\n"
        "run: {start: beginning}\n"
        f"checkpoint: {{path: {directory}/checkpoint.db}}\n{extra}"
    )


def letters(directory: Path) -> list[dict[str, Any]]:
    """The letters in the file, whole ones: another may be on its way into it."""
    try:
        text = (directory / "dead-letters.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.split("\n")[:-1]]


def reject(
    ingestor: Command, umami: SandboxProcess, directory: Path, line: Line, count: int = 3
) -> None:
    """Have page views rejected, among others that are accepted."""
    configure(directory, umami.url)
    poison = b"".join(line(f"/poison/{i}", i) for i in range(count))
    (directory / "logs" / "access.log").write_bytes(line("/good") + poison)
    done = ingestor.json("backfill", "-c", "config.yaml", code=1)
    assert (done["accepted"], done["rejected"]) == (1, count)
    assert len(letters(directory)) == count


def test_warnings_of_rejected_page_views_tell_of_all_of_them(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """They come once in a while; what none of them told yet stands in the last one."""
    configure(tmp_path, umami.url)
    poison = b"".join(line(f"/poison/{i}", i) for i in range(30))
    (tmp_path / "logs" / "access.log").write_bytes(line("/good") + poison)
    for command in ("backfill", "retry-rejected"):
        warned = ingestor(command, "-c", "config.yaml", code=1).stderr
        told = re.findall(r"(\d+) (?:more )?page views? rejected", warned)
        assert sum(map(int, told)) == 30, warned


def test_without_dead_letters_there_is_nothing_to_do(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path
) -> None:
    configure(tmp_path, umami.url)
    assert "no dead letters" in ingestor("retry-rejected", "-c", "config.yaml").stdout


def test_those_that_are_accepted_leave_the_file_and_the_others_stay(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    umami.fail("500-never,url=*poison/1")
    before = letters(tmp_path)
    done = ingestor.json("retry-rejected", "-c", "config.yaml", code=1)
    assert (done["letters"], done["accepted"], done["rejected"], done["left"]) == (3, 2, 1, 1)
    assert letters(tmp_path) == [before[1]]  # as it was, not once more
    again = ingestor("retry-rejected", "-c", "config.yaml", code=1)
    assert "1 page view rejected: Umami refuses it" in again.stderr
    assert "of file" not in again.stderr  # they come from no log now
    assert sorted(umami.rows()) == ["/good", "/poison/0", "/poison/2"]
    assert stat.S_IMODE((tmp_path / "dead-letters.jsonl").stat().st_mode) == 0o600
    umami.fail()
    assert ingestor.json("retry-rejected", "-c", "config.yaml")["left"] == 0
    assert not (tmp_path / "dead-letters.jsonl").exists()
    assert umami.count() == 4
    times = umami.rows("created_at", "url_path like '/poison%'")
    assert sorted(times) == [line.base + i for i in range(3)]


def test_what_is_no_letter_stays_and_is_told(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    with (tmp_path / "dead-letters.jsonl").open("ab") as file:
        file.write(b'{"time":1,"rea\n\n')
    umami.fail()
    done = ingestor.json("retry-rejected", "-c", "config.yaml", code=1)
    assert (done["letters"], done["accepted"], done["unreadable"], done["left"]) == (4, 3, 1, 1)
    again = ingestor("retry-rejected", "-c", "config.yaml", code=1)
    assert "1 that cannot be read; 1 stay" in again.stdout


def test_a_byte_order_mark_of_an_editor_is_no_part_of_the_first_letter(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    path = tmp_path / "dead-letters.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    umami.fail()
    done = ingestor.json("retry-rejected", "-c", "config.yaml")
    assert (done["accepted"], done["left"]) == (3, 0)


def test_a_fifo_in_the_place_of_the_letters_is_told(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path
) -> None:
    configure(tmp_path, umami.url)
    os.mkfifo(tmp_path / "dead-letters.jsonl")
    done = ingestor("retry-rejected", "-c", "config.yaml", code=None)
    assert done.returncode in {1, 2}
    assert "no regular file" in done.stderr


def test_on_a_full_disk_nothing_is_sent(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """What was sent could not be noted, and each run would send it again."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    reject(ingestor, umami, tmp_path, line)
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copy(tmp_path / "dead-letters.jsonl", small / "dead-letters.jsonl")
        umami.fail()
        before = umami.count()
        configure(tmp_path, umami.url, f"delivery: {{dead_letters: {small}/dead-letters.jsonl}}\n")
        refused = ingestor("retry-rejected", "-c", "config.yaml", code=2)
        assert "make room there" in refused.stderr
        assert umami.count() == before
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_mended_rule_changes_what_is_sent(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    (tmp_path / "logs" / "access.log").write_bytes(line("/a?poison=1"))
    ingestor("backfill", "-c", "config.yaml", code=1)
    configure(tmp_path, umami.url, "pageviews: {strip_query: [poison]}\n")
    assert ingestor.json("retry-rejected", "-c", "config.yaml")["accepted"] == 1
    assert umami.rows("url_path, url_query") == [("/a", "")]


def test_what_is_no_page_view_by_todays_rules_stays_and_is_not_sent(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    configure(tmp_path, umami.url, 'pageviews: {exclude_paths: ["/poison/*"]}\n')
    umami.fail()
    done = ingestor.json("retry-rejected", "-c", "config.yaml", code=1)
    assert (done["filtered"], done["left"]) == (3, 3)
    assert umami.count() == 1


def test_a_letter_whose_line_tells_nothing_goes_out_as_it_was(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line, count=1)
    path = tmp_path / "dead-letters.jsonl"
    (letter,) = letters(tmp_path)
    broken = letter | {"line": "no log line", "offset": 5}
    nothing = letter | {"line": "no log line", "payload": None}
    path.write_text("".join(json.dumps(one) + "\n" for one in (broken, nothing)) + '{"torn')
    umami.fail()
    flags = ("--url", umami.url, "--checkpoint")
    done = ingestor.json("retry-rejected", *flags, "logs/checkpoint.db")
    assert done["letters"] == 0  # they lie beside the checkpoint
    done = ingestor.json("retry-rejected", *flags, "checkpoint.db", code=1)
    assert (done["accepted"], done["unreadable"]) == (1, 2)
    assert sorted(umami.rows()) == ["/good", "/poison/0"]
    assert path.read_text() == json.dumps(nothing) + "\n" + '{"torn'


def test_the_daemon_goes_on_writing_dead_letters_meanwhile(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    log = tmp_path / "logs" / "access.log"
    log.write_bytes(b"".join(line(f"/poison/{i}", i) for i in range(60)))
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: len(letters(tmp_path)) == 60)
    umami.fail("500-never,url=*poison/new*", "slow,request=100ms")
    retry = ingestor.start("retry-rejected", "-c", "config.yaml", "--json")
    with log.open("ab") as file:
        file.write(b"".join(line(f"/poison/new/{i}", i) for i in range(20)))
    until(lambda: sum("new" in letter["line"] for letter in letters(tmp_path)) == 20)
    assert retry.process.wait(60) in (0, 1)
    left = letters(tmp_path)
    assert len(left) == 20
    assert all("new" in letter["line"] for letter in left)
    assert umami.count() == 60
    assert daemon.stop() == 0


def test_a_lost_answer_is_told_by_both_commands(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    configure(tmp_path, umami.url)
    (tmp_path / "logs" / "access.log").write_bytes(line("/a") + line("/poison"))
    umami.fail(f"drop-after,website={WEBSITE},count=1", "500-never,url=*poison*")
    done = ingestor("backfill", "-c", "config.yaml", code=1)
    assert "of them up to 1 double (sent again, as no answer came)" in done.stdout
    umami.fail(f"drop-after,website={WEBSITE},count=1")
    done = ingestor("retry-rejected", "-c", "config.yaml")
    assert "1 accepted, of them up to 1 double; 0 stay" in done.stdout
    assert umami.rows() == ["/a", "/a", "/poison", "/poison"]


def test_killed_in_the_middle_it_loses_no_letter_and_doubles_at_most_what_was_in_flight(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line, count=120)
    configure(tmp_path, umami.url, "delivery: {workers: 2, batch_size: 5}\n")
    umami.fail("slow,request=20ms")
    kills = 4
    for n in range(1, kills + 1):
        running = ingestor.start("retry-rejected", "-c", "config.yaml")
        goal = n * 20
        until(lambda goal=goal: umami.count() > goal)
        running.stop(signal.SIGKILL)
    umami.fail()
    assert ingestor.json("retry-rejected", "-c", "config.yaml")["left"] == 0
    rows = umami.rows(where="url_path like '/poison%'")
    assert len(set(rows)) == 120
    assert len(rows) <= 120 + kills * 2 * 5
    assert not list(tmp_path.glob("dead-letters.jsonl*[!k]"))  # only the lock file is left


def test_killed_in_the_middle_the_next_run_says_how_much_may_be_double(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line, count=30)
    configure(tmp_path, umami.url, "delivery: {workers: 1, batch_size: 10, pace: fixed}\n")
    umami.fail("slow,entry=50ms")
    running = ingestor.start("retry-rejected", "-c", "config.yaml")
    until(lambda: umami.count() > 13)  # amid the second batch
    running.stop(signal.SIGKILL)
    umami.fail()
    until(lambda: umami.count() == 22)  # one alone, and ten twice: it works on without its client
    again = ingestor("retry-rejected", "-c", "config.yaml")
    assert "up to 10 may be double" in again.stderr
    assert "19 accepted, of them up to 10 double;" in again.stdout
    assert umami.count() == 1 + 30 + 10
    assert not list(tmp_path.glob("dead-letters.jsonl*[!k]"))


def test_with_exactly_once_what_a_killed_run_had_under_way_is_looked_up(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line, count=120)
    configure(
        tmp_path,
        umami.url,
        "delivery: {workers: 2, batch_size: 5, exactly_once: true, timeout: 2s, settle_time: 1s}\n",
    )
    config = tmp_path / "config.yaml"
    login = f"{{url: {umami.url}, username: admin, password: umami}}"
    config.write_text(config.read_text().replace(f"{{url: {umami.url}}}", login))
    umami.fail("slow,entry=10ms", "cut,p=0.2,seed=3")
    for n in range(1, 4):
        running = ingestor.start("retry-rejected", "-c", config)
        until(lambda goal=n * 25: umami.count() > goal)
        running.stop(signal.SIGKILL)
    umami.fail()
    done = ingestor.json("retry-rejected", "-c", config)
    assert done["left"] == 0
    assert done["accepted"] == done["letters"]
    assert sorted(umami.rows()) == sorted(["/good", *(f"/poison/{i}" for i in range(120))])
    assert not list(tmp_path.glob("dead-letters.jsonl*[!k]"))


def test_with_exactly_once_a_run_that_the_disk_stopped_is_counted_rightly_by_the_next(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """A letter that left the file is under way still, where its end could not be noted."""
    reject(ingestor, umami, tmp_path, line, count=30)
    extra = "delivery: {workers: 1, batch_size: 5, exactly_once: true, settle_time: 1s}\n"
    configure(tmp_path, umami.url, extra)
    config = tmp_path / "config.yaml"
    login = f"{{url: {umami.url}, username: admin, password: umami}}"
    config.write_text(config.read_text().replace(f"{{url: {umami.url}}}", login))
    umami.fail()
    full = failing("write", "ENOSPC", "2", tmp_path / "dead-letters.jsonl.settled")
    stopped = ingestor("retry-rejected", "-c", config, code=2, before=full)
    assert "make room there" in stopped.stderr
    left = len(letters(tmp_path))
    done = ingestor.json("retry-rejected", "-c", config)
    assert (done["accepted"], done["left"]) == (done["letters"], 0)
    assert left < done["letters"] < 30
    assert sorted(umami.rows()) == sorted(["/good", *(f"/poison/{i}" for i in range(30))])


def test_a_closed_terminal_has_it_finish_what_is_in_flight(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line, count=60)
    configure(tmp_path, umami.url, "delivery: {workers: 2, batch_size: 5}\n")
    umami.fail("slow,request=50ms")
    running = ingestor.start("retry-rejected", "-c", "config.yaml")
    until(lambda: umami.count() > 20)
    assert running.stop(signal.SIGHUP) in {0, 1}
    umami.fail()
    assert ingestor.json("retry-rejected", "-c", "config.yaml")["left"] == 0
    assert sorted(umami.rows()) == sorted(["/good", *(f"/poison/{i}" for i in range(60))])


def test_interrupted_before_umami_answers_it_tells_that_the_letters_stay(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    configure(tmp_path, f"http://127.0.0.1:{free_port()}")
    running = ingestor.start("retry-rejected", "-c", "config.yaml")
    until(lambda: "Umami is away" in running.log(), what="the outage")
    assert running.stop() == 1
    assert "Nothing was sent; the dead letters stay" in running.stdout.read_text()
    assert len(letters(tmp_path)) == 3


def test_two_at_a_time_are_refused(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    umami.fail("freeze")
    first = ingestor.start("retry-rejected", "-c", "config.yaml")
    until((tmp_path / "dead-letters.jsonl.settled").exists)
    assert "by another process" in ingestor("retry-rejected", "-c", "config.yaml", code=2).stderr
    umami.fail()
    assert first.process.wait(60) == 0


def test_an_unknown_website_stops_it_and_nothing_leaves_the_file(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    before = letters(tmp_path)
    other = start_sandbox(
        ingestor, tmp_path / "other.db", websites=("11111111-2222-4333-8444-555555555555",)
    )
    configure(tmp_path, other.url)
    done = ingestor("retry-rejected", "-c", "config.yaml", code=3)
    assert "knows no website" in done.stderr
    assert letters(tmp_path) == before


def test_totals_follow_what_became_of_the_letters(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line)
    umami.fail("500-never,url=*poison/1")
    ingestor("retry-rejected", "-c", "config.yaml", code=1)
    seen = ingestor.json("status", "-c", "config.yaml")
    assert (seen["totals"]["accepted"], seen["totals"]["rejected"]) == (3, 1)
    assert (seen["sent_again"], seen["dead_letters"]) == (2, 1)
    umami.fail()
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "following" in daemon.log())
    ingestor("retry-rejected", "-c", "config.yaml")
    seen = ingestor.json("status", "-c", "config.yaml")
    assert (seen["totals"]["accepted"], seen["totals"]["rejected"]) == (4, 0)
    assert seen["sources"][0]["totals"]["rejected"] == 3
    told = ingestor("status", "-c", "config.yaml").stdout
    assert "3 of them were dead letters that went out again; by source they still stand" in told
    assert daemon.stop() == 0


def test_what_they_brought_is_no_overlap_with_somebody_elses(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """More than a daemon may have under way, all within the time of the next log."""
    reject(ingestor, umami, tmp_path, line, count=250)
    umami.fail()
    ingestor("retry-rejected", "-c", "config.yaml")
    config = tmp_path / "config.yaml"
    login = f"{{url: {umami.url}, username: admin, password: umami}}"
    config.write_text(config.read_text().replace(f"{{url: {umami.url}}}", login))
    (tmp_path / "logs" / "shop-access.log").write_bytes(line("/first") + line("/last", 300))
    assert ingestor.json("backfill", "-c", "config.yaml")["accepted"] == 2


def test_while_it_works_for_long_it_tells_how_far_it_is(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    reject(ingestor, umami, tmp_path, line, count=200)
    configure(tmp_path, umami.url, "delivery: {workers: 1, batch_size: 1, pace: fixed}\n")
    umami.fail("slow,request=150ms")
    running = ingestor.start("retry-rejected", "-c", "config.yaml")
    until(lambda: " of 200 page views are done; at the measured" in running.log(), what="progress")
    assert f"About to send 200 dead letters again to {umami.url}." in running.log()
    assert running.stop() in {0, 1}


def test_what_cannot_be_looked_up_any_more_is_sent_again_and_may_be_double(
    ingestor: Command, umami: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """Exactly-once was in force when a run was killed, and is not when the next one begins."""
    reject(ingestor, umami, tmp_path, line, count=30)
    config = tmp_path / "config.yaml"

    def log_in(extra: str) -> None:
        configure(tmp_path, umami.url, f"delivery: {{workers: 1, batch_size: 10, {extra}}}\n")
        login = f"{{url: {umami.url}, username: admin, password: umami}}"
        config.write_text(config.read_text().replace(f"{{url: {umami.url}}}", login))

    log_in("pace: fixed, exactly_once: true, settle_time: 1s")
    umami.fail("slow,entry=50ms")
    running = ingestor.start("retry-rejected", "-c", "config.yaml")
    until(lambda: umami.count() > 13)  # amid the second batch
    running.stop(signal.SIGKILL)
    umami.fail()
    until(lambda: umami.count() == 22)  # one alone, and ten twice: it works on without its client
    log_in("pace: fixed")
    again = ingestor("retry-rejected", "-c", "config.yaml")
    assert "10 dead letters sent and not answered; they are sent again, so up to 10 may" in (
        again.stderr
    )
    assert "accepted, of them up to 10 double; 0 stay" in again.stdout
    assert umami.count() == 1 + 30 + 10
    assert not list(tmp_path.glob("dead-letters.jsonl*[!k]"))
