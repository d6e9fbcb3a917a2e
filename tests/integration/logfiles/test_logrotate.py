"""The real logrotate, in every way it can rotate; the follower runs, or was down."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("logrotate", path="/usr/sbin:/usr/bin") is None, reason="logrotate is missing"
)
LOGROTATE = shutil.which("logrotate", path="/usr/sbin:/usr/bin") or ""

WAYS = {
    "create": "create",
    "copytruncate": "copytruncate",
    "copy": "copy",
    "compress": "create\ncompress",
    "delaycompress": "create\ncompress\ndelaycompress",
    "copytruncate and compress": "copytruncate\ncompress",
    "dateext": "create\ndateext\ndateformat -%Y%m%d0TURN",
    "dateext and compress": "create\ncompress\ndateext\ndateformat -%Y%m%d0TURN",
    "extension": "create\nextension .log",
    "olddir": "create\nolddir old",
}


def rotate(directory: Path, log: Path, way: str) -> None:
    (directory / "old").mkdir(exist_ok=True)
    conf = directory.parent / "rotate.conf"
    owner = "su root root\n" if os.geteuid() == 0 else ""
    conf.write_text(f"{log} {{\nrotate 20\n{owner}missingok\n{way}\n}}\n")
    conf.chmod(0o600)
    state = directory.parent / "state"
    command = [LOGROTATE, "--force", "--state", str(state), str(conf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("running", [True, False], ids=["running", "down"])
@pytest.mark.parametrize("size", [1, 200])
def test_the_real_logrotate_loses_and_doubles_nothing(
    tmp_path: Path, daemon: Any, way: str, size: int, *, running: bool
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir(mode=0o755)
    log = directory / "access.log"
    wrote: list[bytes] = []

    def write() -> None:
        more = [b"line %d and some more words" % (len(wrote) + i) for i in range(size)]
        wrote.extend(more)
        with log.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in more))

    write()
    daemon.start(directory)
    for turn in range(4):
        write()
        if not running:
            daemon.stop()
        elif turn % 2:
            daemon.poll()
        rotate(directory, log, way.replace("TURN", str(turn)))
        write()
        if not running:
            daemon.start(directory)
        daemon.turn()
        daemon.turn(15)
    daemon.turn(15)
    assert sorted(daemon.lines) == sorted(wrote)
    assert not [finding for finding in daemon.findings if finding.lost]
