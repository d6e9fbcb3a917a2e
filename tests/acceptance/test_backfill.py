"""``ingestor backfill`` and ``preview`` as a user runs them, against the sandbox as a process."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import zstandard
from parts import (
    CHROME,
    OTHER_WEBSITE,
    ROOT,
    WEBSITE,
    Command,
    Line,
    SandboxProcess,
    failing,
    start_sandbox,
    until,
)

from ingestor.config import DEFAULT_PATH

without_configuration = pytest.mark.skipif(
    DEFAULT_PATH.exists(), reason=f"{DEFAULT_PATH} exists on this machine, and is read"
)


def summed(counts: dict[str, Any]) -> int:
    """The invariant's right-hand side."""
    sent = counts["would_send"] if "would_send" in counts else counts["accepted"]
    filtered = sum(counts["filtered"].values())
    rest = counts["refused_as_bot"] + counts["rejected"] + counts["in_flight"]
    return int(counts["malformed"] + filtered + sent + rest)


def flags(sandbox: SandboxProcess, *paths: Path | str) -> list[str]:
    return [
        *("--url", sandbox.url, "--website", sandbox.website),
        *("--hostname", "example.com", "--checkpoint", "checkpoint.db"),
        *map(str, paths),
    ]


def test_the_summary_agrees_with_what_umami_stored_and_a_second_run_sends_nothing(
    ingestor: Command, sandbox: SandboxProcess, sample_logs: Path
) -> None:
    first = ingestor.json("backfill", *flags(sandbox, sample_logs))
    assert first["accepted"] == sandbox.count() > 50
    assert first["lines"] == summed(first)
    assert first["in_flight"] == first["rejected"] == 0
    second = ingestor.json("backfill", *flags(sandbox, sample_logs))
    assert second["lines"] == second["accepted"] == 0
    assert sandbox.count() == first["accepted"]


def test_preview_says_what_backfill_then_sends(
    ingestor: Command, sandbox: SandboxProcess, sample_logs: Path
) -> None:
    shown = ingestor.json("preview", "--website", WEBSITE, sample_logs)
    assert shown["lines"] == summed(shown)
    sent = ingestor.json("backfill", *flags(sandbox, sample_logs))
    assert sent["accepted"] + sent["refused_as_bot"] == shown["would_send"]
    assert sent["filtered"] == shown["filtered"]
    assert sent["malformed"] == shown["malformed"]


def test_payloads_are_the_exact_json_that_goes_out(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a?utm_source=x", 5))
    done = ingestor(
        "preview", "--payloads", "--website", WEBSITE, "--hostname", "example.com", "access.log"
    )
    (only,) = done.stdout.splitlines()
    body = json.loads(only)
    assert body["type"] == "event"
    payload = body["payload"]
    assert payload.pop("userAgent").startswith("Mozilla/5.0 (Windows NT 10.0")
    assert payload == {
        "website": WEBSITE,
        "hostname": "example.com",
        "language": "",
        "referrer": "",
        "screen": "",
        "title": "",
        "url": "/a?utm_source=x",
        "ip": "203.0.113.7",
        "timestamp": line.base + 5,
    }


def test_a_verdict_for_each_line(ingestor: Command, tmp_path: Path, line: Line) -> None:
    content = line("/page") + line("/a.css") + b"garbage\n" + line("/x", agent="curl/8.5.0")
    (tmp_path / "access.log").write_bytes(content)
    out = ingestor("preview", "--lines", "access.log").stdout.splitlines()
    assert len(out) == 4
    for verdict, row in zip(("page view", "asset", "no_match", "bot"), out, strict=True):
        assert verdict in row


def test_preview_warns_where_the_format_does_not_tell_what_counts(
    ingestor: Command, tmp_path: Path
) -> None:
    (tmp_path / "access.log").write_bytes(b"[22/Nov/2024:10:11:12 +0100] 203.0.113.7 /page\n")
    definition = "[$time_local] $remote_addr $request_uri"
    warned = ingestor("preview", "--format", definition, "access.log").stderr
    assert "has no user agent" in warned
    assert "no status (every line counts as 200) and no method (every line counts as GET)" in warned
    (tmp_path / "access.log").write_bytes(
        b"[22/Nov/2024:10:11:12 +0100] 203.0.113.7 GET /page 200\n"
    )
    definition = "[$time_local] $remote_addr $request_method $request_uri $status"
    warned = ingestor("preview", "--format", definition, "access.log").stderr
    assert "has no user agent" in warned
    assert "no status" not in warned
    assert "no method" not in warned


def test_a_hostile_line_cannot_write_control_characters_to_the_terminal(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/\x1b[31mred") + line("/b"))
    for show in ("--lines", "--payloads"):
        out = ingestor("preview", show, "access.log").stdout
        assert "\x1b" not in out


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        ("gz", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
        ("zst", zstandard.compress),
    ],
)
def test_compressed_logs_are_read_and_their_plain_twin_is_not_read_again(
    ingestor: Command,
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
    suffix: str,
    compress: Any,
) -> None:
    content = b"".join(line(f"/{i}", i) for i in range(30))
    (tmp_path / f"access.log.1.{suffix}").write_bytes(compress(content))
    first = ingestor.json("backfill", *flags(sandbox, f"access.log.1.{suffix}"))
    assert first["accepted"] == 30
    (tmp_path / "access.log.1").write_bytes(content)
    again = ingestor.json("backfill", *flags(sandbox, "access.log.1"))
    assert again["accepted"] == 0
    assert sandbox.rows() == [f"/{i}" for i in range(30)]


def test_the_locale_changes_nothing(ingestor: Command, tmp_path: Path, line: Line) -> None:
    (tmp_path / "access.log").write_bytes(line("/caf%C3%A9") + line("/x", agent="Scrapy/2.11"))
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ascii_only["PYTHONPATH"] = str(ROOT)  # as bytes: the clone may lie under any letters
    counts = ingestor.json("preview", "--website", WEBSITE, "access.log", **ascii_only)
    assert (counts["would_send"], counts["filtered"]) == (1, {"bot": 1})


def test_a_byte_order_mark_hides_neither_the_format_nor_the_first_line(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(b"\xef\xbb\xbf" + line("/a") + line("/b", 1))
    found = ingestor.json("backfill", *flags(sandbox, "access.log"))
    assert found["lines"] == found["accepted"] == 2
    assert sandbox.rows("url_path, ip") == [("/a", "203.0.113.7"), ("/b", "203.0.113.7")]
    assert ingestor.json("backfill", *flags(sandbox, "access.log"))["lines"] == 0
    piped = (tmp_path / "access.log").read_bytes()
    assert ingestor("preview", "--json", "-", stdin=piped).stdout.count('"would_send":2') == 1


def test_standard_input_is_read_without_a_checkpoint_and_says_so(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    done = ingestor("backfill", *flags(sandbox, "-"), stdin=line("/a") + line("/b"))
    assert "no checkpoint" in done.stderr
    assert not (tmp_path / "checkpoint.db").exists()
    assert sandbox.rows() == ["/a", "/b"]


def test_a_signal_ends_the_wait_for_a_silent_pipe(
    ingestor: Command, sandbox: SandboxProcess, line: Line
) -> None:
    pipe, writer = os.pipe()
    running = ingestor.start("backfill", *flags(sandbox, "-"), stdin=pipe)
    os.write(writer, line("/a") + line("/half")[:-1])
    until(lambda: sandbox.rows() == ["/a"])
    assert running.stop() == 0
    os.close(pipe)
    os.close(writer)
    assert sandbox.rows() == ["/a"]


def test_since_and_until_bound_what_is_sent(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    day = 86400
    content = b"".join(line(f"/{i}", i * day) for i in range(4))  # 6th to 9th November
    (tmp_path / "access.log").write_bytes(content)
    span = ["--since", "2024-11-07", "--until", "2024-11-09"]
    counts = ingestor.json("backfill", *span, *flags(sandbox, "access.log"))
    assert sandbox.rows() == ["/1", "/2"]
    assert counts["filtered"] == {"date": 2}
    again = ingestor.json("backfill", *span, *flags(sandbox, "access.log"))
    assert (again["accepted"], again["filtered"]) == (0, {"date": 2})


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_lies_outside_of_since_and_until_stays_unread(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line, jobs: str
) -> None:
    """The lines that are none of that time are left as well, to be counted with the others."""
    rows = [line(f"/{i}", i) + line(f"/{i}.css", i) for i in range(50)]
    (tmp_path / "access.log").write_bytes(b"".join(rows))
    span = [line.at(10), line.at(40)]
    command = ("backfill", "--jobs", jobs, *flags(sandbox, "access.log"))
    first = ingestor.json(*command, "--since", span[0], "--until", span[1])
    assert (first["accepted"], first["filtered"]["date"]) == (30, 20)
    assert ingestor.json(*command)["accepted"] == 20
    assert sorted(sandbox.rows()) == sorted(f"/{i}" for i in range(50))
    assert ingestor.json(*command)["lines"] == 0


def test_a_wrong_website_id_stops_with_3_and_the_checkpoint_has_not_moved(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(300)))
    wrong = flags(sandbox, "access.log")
    wrong[3] = "11111111-2222-4333-8444-555555555555"
    done = ingestor("backfill", *wrong, code=3)
    assert "11111111-2222-4333-8444-555555555555" in done.stderr
    right = ingestor.json("backfill", *flags(sandbox, "access.log"))
    assert right["accepted"] == right["lines"] == 300


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP], ids=lambda sig: sig.name)
def test_sigterm_drains_and_a_second_run_finishes_the_rest(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line, sig: signal.Signals
) -> None:
    n = 40_000
    (tmp_path / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(n)))
    running = ingestor.start("backfill", *flags(sandbox, "access.log"))
    until(lambda: sandbox.count() > 200, what="the first page views")
    assert running.stop(sig) == 0
    assert "Interrupted: this is not all of it." in running.stdout.read_text()
    sent = sandbox.count()
    assert 200 < sent < n
    rest = ingestor.json("backfill", *flags(sandbox, "access.log"))
    assert rest["accepted"] == n - sent
    assert rest["interrupted"] is False
    assert sorted(sandbox.rows(), key=lambda p: int(p[1:])) == [f"/{i}" for i in range(n)]


def test_under_nohup_a_closed_terminal_ends_nothing(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n = 5_000
    (tmp_path / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(n)))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it to the command
    try:
        running = ingestor.start("backfill", *flags(sandbox, "access.log"))
    finally:
        signal.signal(signal.SIGHUP, before)
    until(lambda: sandbox.count() > 200, what="the first page views")
    assert running.stop(signal.SIGHUP) == 0
    assert sandbox.count() == n


def test_killed_at_random_moments_nothing_is_missing_and_little_is_double(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    n, crashes = 30_000, 5
    (tmp_path / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(n)))
    for crash in range(crashes):
        running = ingestor.start("backfill", *flags(sandbox, "access.log"))
        goal = (crash + 1) * n // (crashes + 2)
        until(lambda goal=goal: sandbox.count() >= goal, what="progress")
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    ingestor.json("backfill", *flags(sandbox, "access.log"))
    rows = sandbox.rows()
    assert set(rows) == {f"/{i}" for i in range(n)}
    assert len(rows) - n <= crashes * 4 * 50


def test_a_file_that_no_format_explains_is_named_and_the_rest_goes_on(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("this is\nno access log\n" * 20)
    (tmp_path / "logs" / "b.log").write_bytes(line("/b"))
    done = ingestor("backfill", *flags(sandbox, "logs"), code=1)
    assert "a.log" in done.stderr
    assert f"1 file left unread, as said above: {tmp_path}/logs/a.log" in done.stdout
    assert sandbox.rows() == ["/b"]


def test_no_line_of_a_log_is_told_in_the_journal_and_preview_masks_the_one_it_shows(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    odd = "192.0.2.77 user@example.net GET /reset?token=hunter2&x=1 at noon\n"
    (tmp_path / "a.log").write_text(odd * 20)
    done = ingestor("backfill", *flags(sandbox, "a.log"), code=1)
    assert "stops at column" in done.stderr
    for part in ("192.0.2.77", "user@example.net", "hunter2", "/reset"):
        assert part not in done.stderr + done.stdout
    shown = ingestor("preview", "a.log", code=1)
    assert "192.0.2.77 user@example.net GET /reset?token=&x=1 at noon" in shown.stderr


def test_a_log_too_short_to_tell_its_format_is_read_as_those_beside_it(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    junk = b"\x16\x03\x01\x00\xa5\x01\n"
    errors = b'2021/12/01 13:53:33 [error] 31#31: *46 open() "/x" failed, client: ::1\n' * 2
    (logs / "a-new.log").write_bytes(junk)  # met first: the oldest
    (logs / "b-half.log").write_bytes(line("/half") + line("/cut", 1)[:60] + b"\n")
    (logs / "c-notes.log").write_bytes(errors)
    (logs / "d-whole.log").write_bytes(b"".join(line(f"/{i}", 10 + i) for i in range(5)))
    for at, name in enumerate(("a-new.log", "b-half.log", "c-notes.log", "d-whole.log")):
        os.utime(logs / name, (1_794_000_000 + at, 1_794_000_000 + at))
    shown = ingestor.json("preview", "--website", WEBSITE, "logs", code=1)
    done = ingestor("backfill", *flags(sandbox, "logs"), code=1)
    assert sandbox.rows() == ["/half", *(f"/{i}" for i in range(5))]
    assert shown["would_send"] == 6
    assert shown["malformed"] == 2
    assert shown["unexplained"] == [f"{tmp_path}/logs/c-notes.log"]
    assert "a-new.log is too short to tell its format by; it is read as combined" in done.stderr
    assert "c-notes.log is no access log" in done.stderr
    (logs / "d-whole.log").unlink()
    alone = ingestor.json("preview", "--website", WEBSITE, "logs/a-new.log", code=1)
    assert alone["unexplained"] == [f"{tmp_path}/logs/a-new.log"]


def test_a_disk_that_is_full_to_the_end_leaves_a_summary_and_says_what_is_sent_again(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(200)))
    full = failing("pwrite64", "ENOSPC", "20+", tmp_path / "checkpoint.db-wal")
    done = ingestor("backfill", *flags(sandbox, "access.log"), code=1, before=full)
    assert sandbox.count() == 200
    assert re.search(r"accepted +200", done.stdout)
    assert "make room on that disk; the next run sends again what" in done.stderr
    assert "(with exactly-once it asks Umami first)" in done.stderr


def test_a_log_that_cannot_be_read_any_more_is_not_called_empty(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(line(f"/{i}", i) for i in range(5)))
    broken = failing("openat", "EIO", "2+", log)  # its lines are read, and its format is sought
    done = ingestor("preview", "--website", WEBSITE, log, code=1, before=broken)
    assert "access.log cannot be read just now" in done.stderr
    assert "empty" not in done.stderr


def test_payloads_are_shown_as_json_that_no_terminal_obeys(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    agent = f"{CHROME} \x9b31m\u202eevil\U000e0001 M\xfcller"
    (tmp_path / "a.log").write_bytes(line("/", agent=agent))
    shown = ingestor("preview", "--payloads", "--website", WEBSITE, "a.log").stdout
    assert shown.rstrip("\n").isprintable()
    sent = json.loads(shown)["payload"]["userAgent"]
    assert sent == agent.replace("\x9b", " ")


def test_preview_tells_of_a_file_without_a_format_what_a_backfill_then_does(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("this is\nno access log\n" * 20)
    (tmp_path / "logs" / "b.log").write_bytes(line("/b"))
    shown = ingestor.json("preview", "--website", WEBSITE, "logs", code=1)
    sent = ingestor.json("backfill", *flags(sandbox, "logs"), code=1)
    for name in ("lines", "malformed", "malformed_reasons", "filtered", "files", "bytes"):
        assert shown[name] == sent[name], name
    assert shown["would_send"] == sent["accepted"] == shown["lines"] == 1
    assert shown["unexplained"] == sent["unexplained"] == [f"{tmp_path}/logs/a.log"]
    told = ingestor("preview", "logs", code=1)
    assert "It would be left unread." in told.stderr
    assert "Such a line is `this is`" in told.stderr
    assert f"1 file left unread, as said above: {tmp_path}/logs/a.log" in told.stdout


def test_an_empty_file_and_an_empty_directory_are_fine(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "access.log").write_bytes(b"")
    assert ingestor.json("backfill", *flags(sandbox, "logs"))["lines"] == 0


def test_a_path_that_is_not_there_is_wrong_usage(
    ingestor: Command, sandbox: SandboxProcess
) -> None:
    done = ingestor("backfill", *flags(sandbox, "nowhere.log"), code=2)
    assert "nowhere.log" in done.stderr


def test_a_configured_source_that_is_not_there_does_not_stop_the_others(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a"))
    (tmp_path / "config.yaml").write_text(
        f"umami: {{url: {sandbox.url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {tmp_path}/gone.log}}, {{path: {tmp_path}/access.log}}]\n"
        f"checkpoint: {{path: {tmp_path}/checkpoint.db}}\n"
    )
    done = ingestor("backfill", "-c", "config.yaml", code=1)
    assert "gone.log: No such file or directory; check the path" in done.stderr
    assert sandbox.rows() == ["/a"]
    ingestor("backfill", "-c", "config.yaml", tmp_path / "gone.log", code=2)


def test_a_configured_log_is_read_with_its_generations_and_a_typed_one_alone(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    log = tmp_path / "access.log"
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(line("/a")))
    (tmp_path / "access.log.1").write_bytes(line("/b", 1))
    log.write_bytes(line("/c", 2))
    (tmp_path / "config.yaml").write_text(
        f"umami: {{url: {sandbox.url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {log}}}]\n"
        f"checkpoint: {{path: {tmp_path}/checkpoint.db}}\n"
    )
    ingestor("backfill", "-c", "config.yaml", log)
    assert sandbox.rows() == ["/c"]
    ingestor("backfill", "-c", "config.yaml")
    assert sorted(sandbox.rows()) == ["/a", "/b", "/c"]


def test_a_wrong_format_does_not_use_a_log_up(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a") + line("/b", 1))
    done = ingestor("backfill", "--format", "iis", *flags(sandbox, "access.log"), code=1)
    assert "iis" in done.stderr
    ingestor("backfill", *flags(sandbox, "access.log"))
    assert sandbox.rows() == ["/a", "/b"]


def test_a_format_whose_request_is_none_does_not_use_a_log_up(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    log = line("/a") + line("/b", 1)
    (tmp_path / "access.log").write_bytes(log.replace(b'"GET ', b'"').replace(b" HTTP/1.1", b""))
    for words in ([], ["--format", "combined"]):
        ingestor("backfill", *words, *flags(sandbox, "access.log"), code=1)
    right = (
        '$remote_addr - $remote_user [$time_local] "$request_uri" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent"'
    )
    ingestor("backfill", "--format", right, *flags(sandbox, "access.log"))
    assert sandbox.rows() == ["/a", "/b"]


def test_a_header_that_lacks_the_date_does_not_use_a_log_up(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    header = "#Version: 1.0\n#Fields: time c-ip cs-method cs-uri-stem sc-status\n"
    (tmp_path / "access.log").write_text(header + "17:42:15 192.0.2.1 GET /page 200\n")
    done = ingestor("backfill", "--format", "w3c", *flags(sandbox, "access.log"), code=1)
    assert "no line of the first" in done.stderr
    done = ingestor("backfill", *flags(sandbox, "access.log"), code=1)
    assert "tells no whole date" in done.stderr


def test_a_path_inside_of_a_configured_source_has_its_settings(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("a.access.log", "b.access.log", "plain.txt"):
        (logs / name).write_bytes(line(f"/{name[0]}") + line("/second"))
    barred = logs / "barred.access.log"
    barred.write_text(f"22/Nov/2025:10:11:12 +0100|192.0.2.1|GET /x HTTP/1.1|200|{CHROME}\n")
    (tmp_path / "config.yaml").write_text(
        f"""
        sites:
          - {{website: {WEBSITE}, hostname: a.example}}
          - {{website: {OTHER_WEBSITE}, hostname: b.example}}
        sources:
          - {{path: {logs}, include: ["b*.log"], exclude: [barred*], site: b.example}}
          - {{path: {logs}, exclude: [barred*], site: a.example}}
          - {{path: {barred}, site: a.example,
             format: '$time_local|$remote_addr|$request|$status|$http_user_agent'}}
        """
    )

    def hosts(*paths: Path) -> list[tuple[str, str]]:
        done = ingestor("preview", "-c", "config.yaml", "--payloads", *paths)
        payloads = [json.loads(each)["payload"] for each in done.stdout.splitlines()]
        return sorted({(each["url"], each["hostname"]) for each in payloads})

    everything = [
        ("/a", "a.example"), ("/b", "b.example"),
        ("/second", "a.example"), ("/second", "b.example"), ("/x", "a.example"),
    ]  # fmt: skip
    assert hosts() == everything
    assert hosts(logs) == sorted([*everything, ("/p", "b.example")])
    assert hosts(logs / "b.access.log") == [
        ("/b", "b.example"),
        ("/second", "b.example"),
    ]
    assert hosts(barred) == [("/x", "a.example")]
    (logs / "a.access.log").rename(tmp_path / "elsewhere.log")
    assert hosts(tmp_path / "elsewhere.log") == []  # no_site: in no source, and two sites


def test_a_log_is_not_taken_for_a_damaged_checkpoint(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(line("/a"))
    words = flags(sandbox, "access.log")
    words[words.index("checkpoint.db")] = "access.log"
    assert "no checkpoint" in ingestor("backfill", *words, code=2).stderr
    assert log.read_bytes() == line("/a")


def test_an_empty_variable_is_a_mistake_and_nothing_is_touched(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a"))
    ingestor("backfill", *flags(sandbox, "access.log"))
    for name in ("INGESTOR_CHECKPOINT_SYNC", "INGESTOR_PAGEVIEWS_METHODS"):
        done = ingestor("backfill", *flags(sandbox, "access.log"), code=2, **{name: ""})
        assert name in done.stderr
    assert ingestor.json("backfill", *flags(sandbox, "access.log"))["lines"] == 0


@pytest.mark.parametrize("fault", ["413,count=2,bytes=10", "200-html,count=2", "503,count=2"])
def test_a_probe_that_is_refused_at_the_start_is_tried_again(
    ingestor: Command, tmp_path: Path, line: Line, fault: str
) -> None:
    receiver = start_sandbox(ingestor, tmp_path / "umami.db", "--fail", fault)
    (tmp_path / "access.log").write_bytes(line("/a"))
    ingestor("backfill", *flags(receiver, "access.log"), INGESTOR_DELIVERY_RETRY_MAX="1s")
    assert receiver.rows() == ["/a"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("preview", "--format", "combned", "a.log"), "--format: no format is called 'combned'"),
        (("preview", "--timezone", "Berlin", "a.log"), "--timezone: 'Berlin' is no time zone"),
        pytest.param(
            ("preview", "--website", "abc", "a.log"),
            "--website: sites[0].website: 'abc' is no",
            marks=without_configuration,
        ),
        (("preview", ""), "a path is empty"),
        (("backfill", "--url", "x", "--website", WEBSITE, "a.log"), "--url: umami.url is no http"),
        pytest.param(
            ("backfill", "a.log"),
            "Give --url and --website, or a configuration with -c FILE",
            marks=without_configuration,
        ),
        pytest.param(
            ("backfill", "--url", "http://127.0.0.1:9", "a.log"),
            "Give --website, or a configuration with -c FILE",
            marks=without_configuration,
        ),
        pytest.param(
            ("backfill", "--website", WEBSITE, "a.log"),
            "Give --url, or a configuration with -c FILE",
            marks=without_configuration,
        ),
        pytest.param(
            ("retry-rejected",),
            "Give --url, or a configuration with -c FILE",
            marks=without_configuration,
        ),
    ],
)
def test_a_mistake_is_told_by_the_flag_that_was_typed(
    ingestor: Command, words: tuple[str, ...], told: str
) -> None:
    assert told in ingestor(*words, code=2).stderr


@without_configuration
def test_where_umami_is_may_stand_in_the_environment_as_well_as_in_a_flag(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a"))
    where, own = {"INGESTOR_UMAMI_URL": sandbox.url}, ("--checkpoint", "checkpoint.db")
    words = ("backfill", *own, "access.log")
    told = ingestor(*words, code=2, **where).stderr
    assert "Give --website, or a configuration" in told
    ingestor(*words, "--website", WEBSITE, **where)
    assert sandbox.rows() == ["/a"]
    assert "no dead letters" in ingestor("retry-rejected", *own, **where).stdout


def test_a_mistake_in_a_flag_is_not_laid_to_the_configuration(
    ingestor: Command, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(
        f"umami: {{url: http://127.0.0.1:1}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        "sources:\n  - path: /nowhere\n    format: combined\n"
    )
    words = ("preview", "-c", "config.yaml", "--format", "combned", "a.log")
    told = ingestor(*words, code=2).stderr
    assert "ingestor: --format: no format is called 'combned'" in told


@without_configuration
def test_a_password_in_the_environment_is_no_reason_not_to_preview(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/a"))
    shown = ingestor.json("preview", "access.log", INGESTOR_UMAMI_PASSWORD="x")  # noqa: S106 - no secret
    assert shown["would_send"] == 1


def test_one_look_promises_no_second_one(ingestor: Command, tmp_path: Path) -> None:
    (tmp_path / "access.log").symlink_to(tmp_path / "nowhere.log")
    done = ingestor("preview", "access.log", code=1)
    assert "access.log: No such file or directory; check the path, or the link" in done.stderr
    assert "again" not in done.stderr
