"""``ingestor run``: the daemon over real files, real nginx and the real logrotate."""

from __future__ import annotations

import gzip
import http.client
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from parts import (
    OTHER_WEBSITE,
    WEBSITE,
    Command,
    Line,
    Nginx,
    Running,
    SandboxProcess,
    free_port,
    start_sandbox,
    until,
)

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)


def configure(directory: Path, url: str, *, start: str = "beginning", extra: str = "") -> Path:
    logs = directory / "logs"
    logs.mkdir(exist_ok=True)
    config = directory / "config.yaml"
    config.write_text(f"""\
umami: {{url: {url}}}
sites:
  - {{website: {WEBSITE}, hostname: example.com}}
  - {{website: {OTHER_WEBSITE}, hostname: example.org}}
sources:
  - {{path: {logs}, site: example.com}}
run: {{start: {start}}}
checkpoint: {{path: {directory}/checkpoint.db}}
{extra}
""")
    return config


@pytest.fixture(params=[(), ("--poll",)], ids=["inotify", "polling"])
def follow(
    request: pytest.FixtureRequest, ingestor: Command, sandbox: SandboxProcess, tmp_path: Path
) -> Callable[..., Running]:
    """Start the daemon over tmp_path/logs, with watchdog and without."""

    def start(*, begin: str = "beginning") -> Running:
        config = configure(tmp_path, sandbox.url, start=begin)
        running = ingestor.start("run", "-c", config, *request.param)
        until(lambda: "following" in running.log(), what="the daemon")
        return running

    return start


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_a_daemon_never_loads_numpy(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """Its OpenBLAS calls mbind(2) when it is loaded, for which the unit's filter kills."""
    config = configure(tmp_path, sandbox.url)
    lines = [line(f"/a{number}.css", number % 60) for number in range(2000)]
    (tmp_path / "logs" / "access.log").write_bytes(b"".join([*lines, line("/last")]))
    running = ingestor.start("run", "-c", config)
    until(lambda: sandbox.rows() == ["/last"])
    loaded = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert "orjson" in loaded
    assert "numpy" not in loaded


def test_appended_lines_arrive_and_a_partial_line_waits_for_its_newline(
    follow: Callable[..., Running], sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    follow()
    log = tmp_path / "logs" / "access.log"
    append(log, line("/one"))
    until(lambda: sandbox.rows() == ["/one"])
    whole = line("/two", 1)
    append(log, whole[:30])
    append(tmp_path / "logs" / "other-access.log", line("/three", 2))
    until(lambda: sandbox.count() == 2)
    assert sandbox.rows() == ["/one", "/three"]
    append(log, whole[30:])
    until(lambda: sandbox.rows() == ["/one", "/three", "/two"])


def test_a_log_that_no_format_explains_is_told_once_though_it_grows(
    follow: Callable[..., Running], sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    running = follow()
    log = tmp_path / "logs" / "odd-access.log"
    append(log, b"who|knows|what\n")
    until(lambda: "no format explains" in running.log())
    for number in range(3):
        append(log, b"who|knows|what\n")
        append(tmp_path / "logs" / f"{number}-access.log", line(f"/{number}", number))
        until(lambda: sandbox.count() == number + 1)  # noqa: B023 - called at once
    assert running.log().count("no format explains") == 1


def test_with_poll_nothing_is_watched(follow: Callable[..., Running]) -> None:
    running = follow()
    links = Path(f"/proc/{running.process.pid}/fd").iterdir()
    watches = any("inotify" in str(link.readlink()) for link in links)
    assert watches is ("--poll" not in list(running.process.args))


def test_at_the_very_first_start_old_lines_are_left_to_a_backfill(
    follow: Callable[..., Running],
    ingestor: Command,
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    append(logs / "access.log", line("/old-1") + line("/old-2", 1))
    follow(begin="end")
    append(logs / "access.log", line("/new", 2))
    until(lambda: sandbox.rows() == ["/new"])
    done = ingestor.json("backfill", "-c", "config.yaml")
    assert done["accepted"] == 2
    assert sandbox.rows() == ["/new", "/old-1", "/old-2"]


def test_what_a_backfill_refused_is_not_sent_by_the_first_start(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    """And what it read is gone on with, where it ended."""
    config = configure(tmp_path, sandbox.url, start="end")
    log = tmp_path / "logs" / "access.log"
    append(log, line("/old"))
    (tmp_path / "logs" / "access.log.2.gz").write_bytes(gzip.compress(line("/older")))
    right = config.read_text()
    config.write_text(right.replace(WEBSITE, WEBSITE.replace("3c4e", "3c4f")))
    ingestor("backfill", "-c", config, code=3)
    config.write_text(right)
    read = tmp_path / "logs" / "read-access.log"
    read.write_bytes(line("/read"))
    flags = ("--url", sandbox.url, "--website", WEBSITE, "--checkpoint", "checkpoint.db")
    ingestor("backfill", *flags, read)
    append(read, line("/between"))
    running = ingestor.start("run", "-c", config)
    until(lambda: "left to a backfill: 2 files" in running.log(), what="the daemon")
    append(log, line("/new", 1))
    until(lambda: sandbox.count() == 3)
    assert running.stop() == 0
    assert sorted(sandbox.rows()) == ["/between", "/new", "/read"]
    assert ingestor.json("backfill", "-c", config)["accepted"] == 2


def test_what_a_backfill_left_for_its_date_is_not_sent_by_the_first_start(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    config = configure(tmp_path, sandbox.url, start="end")
    log = tmp_path / "logs" / "access.log"
    append(log, b"".join(line(f"/{i}", i) for i in range(5)))
    assert ingestor.json("backfill", "-c", config, "--until", line.at(3))["accepted"] == 3
    running = ingestor.start("run", "-c", config)
    until(lambda: "left to a backfill: 1 file" in running.log(), what="the daemon")
    append(log, line("/new", 9))
    until(lambda: sandbox.count() == 4)
    assert running.stop() == 0
    assert sandbox.rows() == ["/0", "/1", "/2", "/new"]
    assert ingestor.json("backfill", "-c", config)["accepted"] == 2


def test_lines_before_the_date_of_run_start_are_left_to_a_backfill(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    config = configure(tmp_path, sandbox.url, start=line.at(3))
    log = tmp_path / "logs" / "access.log"
    append(log, b"".join(line(f"/{i}", i) for i in range(5)))
    running = ingestor.start("run", "-c", config)
    until(lambda: sandbox.count() == 2)
    append(log, line("/5", 5) + line("/late", 1))
    until(lambda: sandbox.count() == 3)
    assert running.stop() == 0
    assert sandbox.rows() == ["/3", "/4", "/5"]
    assert ingestor.json("backfill", "-c", config)["accepted"] == 3


def test_a_source_that_is_added_or_mended_sends_no_history(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    for name in ("logs", "more"):
        (tmp_path / name).mkdir()
        append(tmp_path / name / "access.log", line(f"/{name}-old"))
    config = configure(tmp_path, sandbox.url, start="end")
    right = config.read_text()
    config.write_text(right.replace(f"{tmp_path}/logs", f"{tmp_path}/lgos"))
    running = ingestor.start("run", "-c", config)
    until(lambda: "No source has any yet" in running.log(), what="the daemon")
    more = f"sources:\n  - {{path: {tmp_path}/more, site: example.org}}\n"
    config.write_text(right.replace("sources:\n", more))
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "is in force" in running.log(), what="the reload")
    assert "left to a backfill: 2 files" in running.log()
    append(tmp_path / "logs" / "access.log", line("/logs-new", 1))
    append(tmp_path / "more" / "access.log", line("/more-new", 1))
    (tmp_path / "more" / "new-access.log").write_bytes(line("/more-newer", 2))
    until(lambda: sandbox.count() == 3)
    assert running.stop() == 0
    assert sandbox.rows() == ["/logs-new", "/more-new", "/more-newer"]
    assert ingestor.json("backfill", "-c", config)["accepted"] == 2


def test_it_goes_on_where_it_stopped(
    follow: Callable[..., Running], sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    log = tmp_path / "logs" / "access.log"
    running = follow()
    append(log, line("/1"))
    until(lambda: sandbox.count() == 1)
    assert running.stop() == 0
    append(log, line("/2", 1))
    running = follow()
    until(lambda: sandbox.count() == 2)
    assert running.stop(signal.SIGINT) == 0
    assert sandbox.rows() == ["/1", "/2"]


@pytest.mark.parametrize("how", ["create", "copytruncate"])
@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_logrotate_loses_nothing_and_doubles_nothing(
    how: str,
    down: bool,
    follow: Callable[..., Running],
    logrotate: Callable[[str], None],
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    log = tmp_path / "logs" / "access.log"
    configuration = f"{log} {{\n rotate 5\n {how}\n su {_owner()}\n}}\n"
    running = follow()
    append(log, b"".join(line(f"/{i}", i) for i in range(100)))
    until(lambda: sandbox.count() == 100)
    if down:
        assert running.stop() == 0
    append(log, b"".join(line(f"/{i}", i) for i in range(100, 150)))
    if not down:
        until(lambda: sandbox.count() == 150)
    logrotate(configuration)
    append(log, b"".join(line(f"/{i}", i) for i in range(150, 200)))
    if down:
        follow()
    until(lambda: sandbox.count() >= 200)
    assert sorted(sandbox.rows(), key=lambda p: int(p[1:])) == [f"/{i}" for i in range(200)]


def _owner() -> str:
    import grp  # noqa: PLC0415
    import pwd  # noqa: PLC0415

    return f"{pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"


def test_umami_away_for_a_while_loses_nothing(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    port = free_port()
    config = configure(tmp_path, f"http://127.0.0.1:{port}")
    running = ingestor.start("run", "-c", config)
    log = tmp_path / "logs" / "access.log"
    append(log, b"".join(line(f"/{i}", i) for i in range(500)))
    until(lambda: "Umami" in running.log(), what="the word that Umami is away")
    first = start_sandbox(ingestor, tmp_path / "umami.db", port=port)
    until(lambda: first.count() == 500)
    first.running.stop(signal.SIGKILL)
    append(log, b"".join(line(f"/{i}", i) for i in range(500, 900)))
    second = start_sandbox(ingestor, tmp_path / "umami.db", port=port)
    until(lambda: second.count() >= 900)
    assert sorted(second.rows(), key=lambda p: int(p[1:])) == [f"/{i}" for i in range(900)]


def test_an_unknown_website_is_parked_while_other_sites_go_on(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    sandbox = start_sandbox(ingestor, tmp_path / "umami.db", websites=(WEBSITE,))
    config = configure(tmp_path, sandbox.url)
    log = tmp_path / "logs" / "access.log"
    content = b"".join(
        line(f"/{i}", i, host=("example.com", "example.org")[i % 2]) for i in range(200)
    )
    log.write_bytes(content)
    running = ingestor.start("run", "-c", config)
    until(lambda: sandbox.count() == 100)
    until(lambda: OTHER_WEBSITE in running.log(), what="the alarm")
    assert running.stop() == 0
    sandbox.running.stop(signal.SIGTERM)
    both = start_sandbox(ingestor, tmp_path / "umami.db")
    text = config.read_text().replace(sandbox.url, both.url)
    config.write_text(text)
    ingestor.start("run", "-c", config)
    until(lambda: both.count() == 200)
    assert sorted(both.rows(), key=lambda p: int(p[1:])) == [f"/{i}" for i in range(200)]


def test_each_vhost_without_a_site_is_named_once_and_strangers_fill_no_log(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    config = configure(tmp_path, sandbox.url)
    log = tmp_path / "logs" / "access.log"
    content = [line(f"/{i}", i, host="shop.example.net") for i in range(5)]
    log.write_bytes(b"".join([*content, line("/mine", 9, host="example.com")]))
    running = ingestor.start("run", "-c", config)
    until(lambda: "shop.example.net matches no site" in running.log(), what="the warning")
    append(log, b"".join(line("/x", 10 + i, host=f"v{i}.example.net") for i in range(3000)))
    until(lambda: "More than 20 vhosts" in running.log(), what="the last of the warnings")
    append(log, line("/end", 20, host="example.com") + line("/y", 21, host="late.example.net"))
    until(lambda: sandbox.rows() == ["/mine", "/end"])
    assert running.stop() == 0
    assert running.log().count("shop.example.net") == 1
    assert running.log().count("matches no site") == 20
    shown = ingestor("preview", "-c", config, log)
    assert "The vhost shop.example.net matches no site" in shown.stderr


def impatient(
    ingestor: Command, tmp_path: Path, line: Line
) -> tuple[SandboxProcess, Path, Running]:
    """An Umami, a configuration, and a daemon that stored /1 and waits for no answer at its end."""
    sandbox = start_sandbox(ingestor, tmp_path / "umami.db")
    config = configure(tmp_path, sandbox.url)
    config.write_text(config.read_text().replace("run: {", "run: {shutdown_timeout: 1s, "))
    running = ingestor.start("run", "-c", config)
    append(tmp_path / "logs" / "access.log", line("/1"))
    until(lambda: sandbox.count() == 1)
    return sandbox, config, running


def test_its_last_words_say_what_may_be_double(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    sandbox, config, running = impatient(ingestor, tmp_path, line)
    os.kill(sandbox.running.process.pid, signal.SIGSTOP)
    append(tmp_path / "logs" / "access.log", b"".join(line(f"/{i}", i) for i in range(2, 5)))
    until(lambda: ingestor.json("status", "-c", config)["in_flight"], what="a batch under way")
    assert running.stop() == 0
    os.kill(sandbox.running.process.pid, signal.SIGCONT)
    last = running.log().splitlines()[-1]
    assert "Stopped." in last
    assert "were sent and not answered: the next start sends them again, so that many may" in last
    again = ingestor.start("run", "-c", config)
    until(lambda: "may be double" in again.log())
    until(lambda: {f"/{i}" for i in range(1, 5)} <= set(sandbox.rows()))
    assert again.stop() == 0
    assert again.log().splitlines()[-1].endswith("were sent again, and may be double.")


def test_what_was_refused_is_not_said_to_be_double(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    sandbox, config, running = impatient(ingestor, tmp_path, line)
    assert sandbox.running.stop() == 0
    append(tmp_path / "logs" / "access.log", b"".join(line(f"/{i}", i) for i in range(2, 5)))
    until(lambda: "is away" in running.log())
    assert running.stop() == 0
    assert "may be double" not in running.log()
    port = sandbox.url.rpartition(":")[2]
    sandbox = start_sandbox(ingestor, tmp_path / "umami.db", "--port", port)
    again = ingestor.start("run", "-c", config)
    until(lambda: sandbox.count() == 4)
    assert again.stop() == 0
    assert "double" not in again.log()


def test_a_second_daemon_on_the_same_checkpoint_is_refused(
    follow: Callable[..., Running], ingestor: Command, tmp_path: Path
) -> None:
    running = follow()
    done = ingestor("run", "-c", "config.yaml", code=2)
    assert str(running.process.pid) in done.stderr


def test_real_nginx_with_two_vhosts_under_load_and_logrotate(
    follow: Callable[..., Running],
    nginx: Callable[..., Nginx],
    logrotate: Callable[[str], None],
    sandbox: SandboxProcess,
    tmp_path: Path,
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    server = nginx(
        {"example.com": f"{logs}/access.log vhost", "example.org": f"{logs}/org.access.log vhost"},
        log_format=(
            "log_format vhost '$host:$server_port $remote_addr - $remote_user [$time_local] "
            '"$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"\';'
        ),
    )
    follow()
    sent = {"example.com": 0, "example.org": 0}

    def load(host: str, n: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for i in range(n):
            connection.request("GET", f"/{i}", headers={"Host": host, "User-Agent": CHROME})
            connection.getresponse().read()
            sent[host] += 1
        connection.close()

    threads = [threading.Thread(target=load, args=(host, 600)) for host in sent]
    for thread in threads:
        thread.start()
    for goal in (300, 700):
        until(lambda goal=goal: sum(sent.values()) >= goal, what="load")
        logrotate(
            f"{logs}/*.log {{\n rotate 5\n create\n sharedscripts\n su {_owner()}\n"
            f" postrotate\n kill -USR1 {server.process.pid}\n endscript\n}}\n"
        )
    for thread in threads:
        thread.join()
    until(lambda: sandbox.count() >= 1200)
    for host, website in (("example.com", WEBSITE), ("example.org", OTHER_WEBSITE)):
        rows = sandbox.rows(where=f"website = '{website}'")
        assert sorted(rows, key=lambda p: int(p[1:])) == [f"/{i}" for i in range(sent[host])]
