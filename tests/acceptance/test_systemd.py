"""``ingestor run`` under systemd: what it says on the notify socket, and when."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from parts import (
    OTHER_WEBSITE,
    ROOT,
    WEBSITE,
    Command,
    Line,
    Running,
    SandboxProcess,
    free_port,
    start_sandbox,
    until,
)

from ingestor.sandbox import Sandbox, SandboxOptions

UNIT = ROOT / "systemd" / "ingestor.service"


@dataclass
class Systemd:
    """The other end of the socket: an abstract one, as systemd may choose."""

    name: str = field(default_factory=lambda: f"ingestor-test-{uuid.uuid4()}")
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{self.name}")
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            datagram = self.socket.recv(4096).decode()
            if datagram == "END":
                return
            self.said += datagram.split("\n")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendto(b"END", f"\0{self.name}")
        self.thread.join(5)
        self.socket.close()

    def count(self, line: str) -> int:
        return self.said.count(line)

    def states(self) -> list[str]:
        """What was said, without the watchdog and the status line."""
        return [line for line in self.said if not line.startswith(("WATCHDOG", "STATUS", "MONO"))]

    def status(self) -> str:
        lines = [line for line in self.said if line.startswith("STATUS=")]
        return lines[-1] if lines else ""


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    listening = Systemd()
    yield listening
    listening.close()


@pytest.fixture
def daemon(ingestor: Command, systemd: Systemd, tmp_path: Path) -> Callable[..., Running]:
    def start(url: str, *, website: str = WEBSITE, extra: str = "") -> Running:
        (tmp_path / "logs").mkdir(exist_ok=True)
        configure(tmp_path, url, website=website, extra=extra)
        environment = {"NOTIFY_SOCKET": f"@{systemd.name}", "WATCHDOG_USEC": "1000000"}
        return ingestor.start("run", "-c", tmp_path / "config.yaml", **environment)

    return start


def configure(directory: Path, url: str, *, website: str = WEBSITE, extra: str = "") -> None:
    (directory / "config.yaml").write_text(
        f"umami: {{url: {url}}}\n"
        f"sites: [{{website: {website}, hostname: example.com}}]\n"
        "sources:\n"
        f"  - {{path: {directory}/logs, site: example.com}}\n"
        f"{extra}"
        "run: {start: beginning, shutdown_timeout: 5s}\n"
        "delivery: {retry_max: 1s}\n"
        f"checkpoint: {{path: {directory}/checkpoint.db}}\n"
    )


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_ready_status_watchdog_and_stopping_come_at_their_moments(
    daemon: Callable[..., Running],
    systemd: Systemd,
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    running = daemon(sandbox.url)
    until(lambda: systemd.count("READY=1") == 1, what="READY")
    append(tmp_path / "logs" / "access.log", line("/1"))
    until(lambda: sandbox.count() == 1)
    until(lambda: systemd.count("WATCHDOG=1") >= 3, what="the watchdog to be fed")
    until(lambda: "up to date" in systemd.status(), what="STATUS")
    assert "page views/s" in systemd.status()
    assert systemd.states() == ["READY=1"]
    assert running.stop() == 0
    assert systemd.states() == ["READY=1", "STOPPING=1"]


def test_a_socket_with_a_path_is_spoken_to_as_well(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    configure(tmp_path, sandbox.url)
    # A socket's path has to be short, and tmp_path may be long.
    with (
        tempfile.TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):
        notify.settimeout(20)
        notify.bind(f"{directory}/notify")
        ingestor.start("run", "-c", "config.yaml", NOTIFY_SOCKET=f"{directory}/notify")
        assert notify.recv(100) == b"READY=1"


def test_umami_away_is_no_reason_to_be_late_or_to_be_taken_for_dead(
    daemon: Callable[..., Running],
    systemd: Systemd,
    ingestor: Command,
    tmp_path: Path,
    line: Line,
) -> None:
    port = free_port()
    (tmp_path / "logs").mkdir()
    append(tmp_path / "logs" / "access.log", b"".join(line(f"/{i}", i) for i in range(1000)))
    daemon(f"http://127.0.0.1:{port}")
    until(lambda: systemd.count("READY=1") == 1, what="READY")
    until(lambda: "Umami is away since" in systemd.status(), what="STATUS")
    fed = systemd.count("WATCHDOG=1")
    until(lambda: systemd.count("WATCHDOG=1") >= fed + 4, what="the watchdog to be fed on")
    umami = start_sandbox(ingestor, tmp_path / "umami.db", port=port)
    until(lambda: umami.count() == 1000)
    until(lambda: "up to date" in systemd.status(), what="STATUS")


def test_a_process_that_stands_still_feeds_no_watchdog(
    daemon: Callable[..., Running], systemd: Systemd, sandbox: SandboxProcess
) -> None:
    running = daemon(sandbox.url)
    until(lambda: systemd.count("WATCHDOG=1") >= 2, what="the watchdog to be fed")
    running.process.send_signal(signal.SIGSTOP)
    stopped = f"/proc/{running.process.pid}/stat"
    until(lambda: Path(stopped).read_text().rpartition(")")[2].split()[0] == "T")
    fed = systemd.count("WATCHDOG=1")
    threading.Event().wait(1.5)  # longer than the watchdog's second: this is what is tested
    assert systemd.count("WATCHDOG=1") <= fed + 1  # one may have been under way
    running.process.send_signal(signal.SIGCONT)
    until(lambda: systemd.count("WATCHDOG=1") >= fed + 3, what="the watchdog to be fed again")


def test_a_reload_takes_the_configuration_as_it_is_then(
    daemon: Callable[..., Running],
    systemd: Systemd,
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    running = daemon(sandbox.url)
    until(lambda: systemd.count("READY=1") == 1)
    append(tmp_path / "logs" / "access.log", line("/1"))
    until(lambda: sandbox.count() == 1)
    (tmp_path / "more").mkdir()
    append(tmp_path / "more" / "access.log", line("/2", 1))
    configure(tmp_path, sandbox.url, extra=f"  - {{path: {tmp_path}/more, site: example.com}}\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: systemd.count("READY=1") == 2, what="READY after RELOADING")
    assert systemd.states() == ["READY=1", "RELOADING=1", "READY=1"]
    after = systemd.said[systemd.said.index("RELOADING=1") + 1]
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", after)
    until(lambda: sandbox.count() == 2)
    append(tmp_path / "logs" / "access.log", line("/3", 2))
    until(lambda: sandbox.count() == 3)
    assert sandbox.rows() == ["/1", "/2", "/3"]
    assert running.stop() == 0


def test_a_wrong_configuration_leaves_the_old_one_in_force(
    daemon: Callable[..., Running],
    systemd: Systemd,
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    running = daemon(sandbox.url)
    until(lambda: systemd.count("READY=1") == 1)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("delivery:", "delivry:"))
    running.process.send_signal(signal.SIGHUP)
    until(lambda: systemd.count("READY=1") == 2, what="READY after RELOADING")
    assert "Did you mean 'delivery'?" in running.log()
    assert "config.yaml:6" in running.log()
    append(tmp_path / "logs" / "access.log", line("/1"))
    until(lambda: sandbox.count() == 1)
    assert running.stop() == 0


def test_a_reload_mends_a_parked_website_and_counts_each_line_once(
    daemon: Callable[..., Running],
    systemd: Systemd,
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    wrong = "11111111-1111-4111-8111-111111111111"
    running = daemon(sandbox.url, website=wrong)
    log = tmp_path / "logs" / "access.log"
    append(log, b"".join(line(f"/{i}", i) + line(f"/{i}.png", i) for i in range(500)))
    until(lambda: "is parked" in running.log(), what="the alarm")
    until(lambda: "1 website parked" in systemd.status(), what="STATUS")
    log.unlink()  # only the open file has the lines now
    configure(tmp_path, sandbox.url, website=OTHER_WEBSITE)
    running.process.send_signal(signal.SIGHUP)
    until(lambda: sandbox.count() == 500)
    assert running.stop() == 0
    assert sandbox.count(f"website = '{OTHER_WEBSITE}'") == 500
    last = running.log().rpartition("Stopped.")[2]
    assert "Since the reload: 1,000 lines: 500 page views accepted, 500 filtered" in last
    assert "0 in flight" in last


def test_a_reload_reaches_an_umami_that_has_moved(
    daemon: Callable[..., Running],
    systemd: Systemd,
    sandbox: SandboxProcess,
    tmp_path: Path,
    line: Line,
) -> None:
    running = daemon(f"http://127.0.0.1:{free_port()}")
    append(tmp_path / "logs" / "access.log", b"".join(line(f"/{i}", i) for i in range(2000)))
    until(lambda: "Umami is away" in running.log(), what="the outage")
    configure(tmp_path, sandbox.url)
    running.process.send_signal(signal.SIGHUP)
    until(lambda: sandbox.count() >= 2000)
    assert running.stop() == 0
    assert sandbox.count() == 2000
    assert "Stopped. Since the reload: 2,000 lines: 2,000 page views accepted" in running.log()


async def test_an_umami_that_is_too_old_is_told_in_one_line(
    ingestor: Command, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    async with Sandbox(SandboxOptions(version="2.16.0", websites=(WEBSITE,))) as old:
        configure(tmp_path, old.url)
        done = await asyncio.to_thread(ingestor, "run", "-c", "config.yaml", code=3)
    assert "upgrade Umami to 2.18" in done.stderr


def test_the_unit_is_sound_and_its_sandbox_rated_two_or_better(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed (apt install systemd)")
    unit = tmp_path / "ingestor.service"
    # The program stands where the tests are, not where the unit expects it.
    text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text())
    text = re.sub(r"(?m)^(ExecReload=)\S+", r"\1/bin/true", text)
    unit.write_text(re.sub(r"(?m)^(User|Group|Documentation)=.*\n", "", text))
    verified = subprocess.run(
        [analyze, "verify", unit], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in verified.stderr.splitlines() if "ingestor.service" in line]
    assert complaints == []
    rated = subprocess.run(
        [analyze, "security", "--offline=true", UNIT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    exposure = re.search(r"Overall exposure level[^:]*: ([\d.]+)", rated.stdout)
    assert exposure is not None, rated.stdout + rated.stderr
    assert float(exposure[1]) <= 2.0


def test_the_unit_lets_nothing_that_passes_stop_the_daemon() -> None:
    text = UNIT.read_text()
    values = dict(re.findall(r"(?m)^(\w+)=(.*)$", text))
    assert values["Type"] == "notify"
    assert values["Restart"] == "always"
    assert values["StartLimitIntervalSec"] == "0"
    assert "RestartPreventExitStatus" not in values
    assert int(values["RestartSec"]) >= 10  # a wrong configuration does not run hot
    assert int(values["TimeoutStopSec"]) > 30  # above run.shutdown_timeout
