"""Fixtures for every test, over the real parts of parts.py.

What is not installed makes a test skip and say so.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parts import (
    POLL,
    ROOT,
    Command,
    Line,
    Nginx,
    SandboxProcess,
    free_port,
    program,
    start_sandbox,
    until,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--poll", action="store_true", help="every `run` without watchdog")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--poll"):
        os.environ[POLL] = "1"  # the workers of xdist inherit it


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A command that runs within a test's own process sets up the log, which others look at."""
    logger = logging.getLogger("ingestor")
    level, propagate, handlers = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.propagate = propagate
    logger.handlers[:] = handlers


@pytest.fixture
def ingestor(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    for running in command.started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()


@pytest.fixture
def sandbox(ingestor: Command, tmp_path: Path) -> SandboxProcess:
    return start_sandbox(ingestor, tmp_path / "umami.db")


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def sample_logs() -> Path:
    return ROOT / "sample_logs"


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    binary = program("nginx")
    if binary is None:
        pytest.skip("nginx is not installed (apt install nginx-light)")
    started: list[Nginx] = []

    def start(hosts: dict[str, str], log_format: str = "", logs: Path | None = None) -> Nginx:
        """hosts: server name → access_log argument (file and format)."""
        directory = tmp_path / "nginx"
        (directory / "temp").mkdir(parents=True, exist_ok=True)
        port = free_port()
        servers = "".join(
            f"server {{ listen 127.0.0.1:{port}; server_name {name}; access_log {target};"
            f' location / {{ return 200 "ok"; }} location /missing {{ return 404; }} }}\n'
            for name, target in hosts.items()
        )
        temp = "".join(
            f"{kind}_temp_path {directory}/temp/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (directory / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes 1; pid {directory}/nginx.pid;\n"
            f"error_log {directory}/error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ keepalive_requests 100000; {temp} {log_format}\n{servers} }}\n"
        )
        process = subprocess.Popen(
            [binary, "-p", str(directory), "-c", str(directory / "nginx.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server = Nginx(port, directory, process)
        started.append(server)

        def listens() -> bool:
            assert process.poll() is None, (directory / "error.log").read_text()
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0

        until(listens, what="nginx")
        return server

    yield start
    for server in started:
        server.process.terminate()
        server.process.wait()


@pytest.fixture
def logrotate(tmp_path: Path) -> Callable[[str], None]:
    binary = program("logrotate")
    if binary is None:
        pytest.skip("logrotate is not installed (apt install logrotate)")

    def rotate(configuration: str) -> None:
        """Rotate now, as the configuration says."""
        conf = tmp_path / "logrotate.conf"
        conf.write_text(configuration)
        conf.chmod(0o644)
        subprocess.run(
            [binary, "--force", "--state", str(tmp_path / "logrotate.state"), str(conf)],
            check=True,
            capture_output=True,
        )

    return rotate
