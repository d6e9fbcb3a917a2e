"""Debian's Apache: both vhosts in its own ``other_vhosts_access.log``, under load and logrotate."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from parts import (
    CHROME,
    OTHER_WEBSITE,
    WEBSITE,
    Command,
    SandboxProcess,
    free_port,
    program,
    until,
)

MODULES = Path("/usr/lib/apache2/modules")
# As /etc/apache2/apache2.conf and conf-available/other-vhosts-access-log.conf of Debian have it.
VHOST_COMBINED = (
    r'LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" vhost_combined'
)
HOSTS = {"example.com": WEBSITE, "www.example.org": OTHER_WEBSITE}


@dataclass
class Apache:
    port: int
    log: Path
    process: subprocess.Popen[bytes]


@pytest.fixture
def apache(tmp_path: Path) -> Iterator[Apache]:
    binary = program("apache2")
    if binary is None or not (MODULES / "mod_mpm_event.so").exists():
        pytest.skip("Apache is not installed (apt install apache2)")
    port, home, logs = free_port(), tmp_path / "apache", tmp_path / "logs"
    home.mkdir()
    logs.mkdir()
    log = logs / "other_vhosts_access.log"
    vhosts = "".join(
        f"<VirtualHost 127.0.0.1:{port}>\n ServerName {host}\n</VirtualHost>\n" for host in HOSTS
    )
    user = "User nobody\nGroup nogroup\n" if os.geteuid() == 0 else ""
    (home / "apache2.conf").write_text(
        f"ServerRoot {home}\nPidFile {home}/pid\nListen 127.0.0.1:{port}\nServerName localhost\n"
        f"LoadModule mpm_event_module {MODULES}/mod_mpm_event.so\n"
        f"LoadModule authz_core_module {MODULES}/mod_authz_core.so\n"
        f"LoadModule alias_module {MODULES}/mod_alias.so\n{user}"
        f"ErrorLog {home}/error.log\n{VHOST_COMBINED}\nCustomLog {log} vhost_combined\n"
        # Pages out of nothing, for Apache's user may not enter a test's directory.
        'RedirectMatch 200 "^/page"\nRedirectMatch 200 "^/style"\nErrorDocument 200 "a page"\n'
        f"{vhosts}"
    )
    process = subprocess.Popen(
        [binary, "-d", str(home), "-f", str(home / "apache2.conf"), "-DFOREGROUND"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Apache(port, log, process)
    until((home / "pid").exists, what="Apache")
    yield server
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def test_both_vhosts_are_counted_right_while_logrotate_works(
    apache: Apache,
    ingestor: Command,
    sandbox: SandboxProcess,
    logrotate: Callable[[str], None],
    tmp_path: Path,
) -> None:
    _load_and_count(apache, ingestor, sandbox, logrotate, tmp_path, seconds=4, rotations=2)


@pytest.mark.slow
def test_half_a_minute_of_load_is_counted_right(
    apache: Apache,
    ingestor: Command,
    sandbox: SandboxProcess,
    logrotate: Callable[[str], None],
    tmp_path: Path,
) -> None:
    _load_and_count(apache, ingestor, sandbox, logrotate, tmp_path, seconds=30, rotations=4)


def _load_and_count(
    apache: Apache,
    ingestor: Command,
    sandbox: SandboxProcess,
    logrotate: Callable[[str], None],
    directory: Path,
    *,
    seconds: int,
    rotations: int,
) -> None:
    (directory / "config.yaml").write_text(
        f"umami: {{url: {sandbox.url}}}\n"
        "sites:\n"
        f"  - {{website: {WEBSITE}, hostname: example.com}}\n"
        f'  - {{website: {OTHER_WEBSITE}, hostname: example.org, match: ["*.example.org"]}}\n'
        f"sources: [{{path: {apache.log}}}]\n"
        "run: {start: beginning}\n"
        f"checkpoint: {{path: {directory}/checkpoint.db}}\n"
    )
    daemon = ingestor.start("run", "-c", "config.yaml")
    until(lambda: "following" in daemon.log())
    end = time.monotonic() + seconds
    sent = dict.fromkeys(HOSTS, 0)

    def load(host: str) -> None:
        while time.monotonic() < end:
            # A request a connection: Apache closes those that wait when it is told to reopen.
            for path in (f"/page/{sent[host]}", "/style.css"):
                connection = http.client.HTTPConnection("127.0.0.1", apache.port, timeout=20)
                headers = {"Host": host, "User-Agent": CHROME, "Connection": "close"}
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                assert answer.status == 200
                answer.read()
                connection.close()
            sent[host] += 1
            time.sleep(0.005)  # the rate, not a synchronisation

    threads = [threading.Thread(target=load, args=(host,)) for host in HOSTS]
    for thread in threads:
        thread.start()
    owner = "su root root" if os.geteuid() == 0 else ""
    pause = threading.Event()
    for _ in range(rotations):
        pause.wait(seconds / (rotations + 1))
        logrotate(
            f"{apache.log.parent}/*.log {{\n rotate 14\n compress\n delaycompress\n create\n"
            f" sharedscripts\n {owner}\n postrotate\n kill -USR1 {apache.process.pid}\n"
            " endscript\n}\n"
        )
    for thread in threads:
        thread.join()
    assert all(count > 20 * seconds for count in sent.values()), sent
    until(lambda: sandbox.count() >= sum(sent.values()), what=f"{sent} page views")
    assert daemon.stop() == 0
    for host, website in HOSTS.items():
        rows = sandbox.rows(where=f"website = '{website}' AND hostname = '{host}'")
        assert sorted(rows) == sorted(f"/page/{i}" for i in range(sent[host]))
    assert sandbox.count() == sum(sent.values())
