"""The notify socket and the watchdog that is fed by progress."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator

import pytest

from ingestor.observe import Notifier, Progress


@pytest.fixture
def heard() -> Iterator[tuple[socket.socket, dict[str, str]]]:
    name = f"ingestor-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        yield listening, {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "8000000"}


def all_of(listening: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(listening.recv(4096).decode())
        except BlockingIOError:
            return found


def test_without_a_socket_nothing_is_said_and_nothing_fails() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.status("x")
    notifier.alive()
    assert notifier.watchdog is None


def test_a_socket_that_is_gone_is_no_error() -> None:
    Notifier({"NOTIFY_SOCKET": f"@gone-{uuid.uuid4()}"}).ready()


def test_a_watchdog_meant_for_another_process_is_not_ours() -> None:
    usec = {"WATCHDOG_USEC": "1000000"}
    assert Notifier(usec).watchdog == 1.0
    assert Notifier({**usec, "WATCHDOG_PID": str(os.getpid())}).watchdog == 1.0
    assert Notifier({**usec, "WATCHDOG_PID": "1"}).watchdog is None
    assert Notifier({"WATCHDOG_USEC": "x"}).watchdog is None


def test_a_status_line_is_one_line_and_told_once(
    heard: tuple[socket.socket, dict[str, str]],
) -> None:
    listening, environment = heard
    notifier = Notifier(environment)
    notifier.status("a\nREADY=1")
    notifier.status("a\nREADY=1")
    assert all_of(listening) == ["STATUS=a READY=1"]


def test_the_watchdog_is_fed_only_when_all_have_come_round_and_not_too_often(
    heard: tuple[socket.socket, dict[str, str]],
) -> None:
    listening, environment = heard
    now = 0.0
    progress = Progress(Notifier(environment), ("look", "feed"), clock=lambda: now)
    progress.mark("look")
    progress.mark("look")
    assert all_of(listening) == []
    progress.mark("feed")
    assert all_of(listening) == ["WATCHDOG=1"]
    progress.mark("look")
    progress.mark("feed")
    assert all_of(listening) == []  # a quarter of the interval has not passed
    now = 2.0
    progress.mark("look")
    assert all_of(listening) == ["WATCHDOG=1"]
    now = 100.0
    progress.mark("look")
    assert all_of(listening) == []  # feed has not come round since
