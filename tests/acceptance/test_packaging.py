"""The scripts that set everything up: what they say where something is missing, what they leave.

They run with programs of ours in place of the system's, and with their one fixed path moved.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from parts import ROOT

TOOLS = ("printf", "chmod", "rm", "cat")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A Debian without servers, and with somebody at it who is root."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in TOOLS:
        (programs / name).symlink_to(f"/usr/bin/{name}")
    has(tmp_path, "id", "echo 0")
    has(tmp_path, "systemctl", f'echo "$@" >>{tmp_path}/systemctl.log')
    return tmp_path


def has(machine: Path, name: str, does: str) -> None:
    program = machine / "bin" / name
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)


def system_packages(machine: Path) -> subprocess.CompletedProcess[str]:
    script = (ROOT / "packaging/system-packages").read_text()
    for fixed, moved in (
        ("/usr/sbin/policy-rc.d", f"{machine}/policy-rc.d"),
        ("/usr/sbin/", "/-/"),
    ):
        assert fixed in script
        script = script.replace(fixed, moved)
    return subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": str(machine / "bin")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )


def disabled(machine: Path) -> set[str]:
    told = machine / "systemctl.log"
    return {line.split()[-1] for line in told.read_text().splitlines()} if told.exists() else set()


def test_servers_for_the_tests_start_neither_now_nor_at_the_next_boot(machine: Path) -> None:
    has(machine, "apt-get", f"cat {machine}/policy-rc.d >{machine}/policy-then")
    has(machine, "apache2", "")  # was there before, and is somebody's
    done = system_packages(machine)
    assert (
        done.stdout == "Installing for the integration tests: nginx-light logrotate caddy strace\n"
    )
    assert done.returncode == 0
    assert "exit 101" in (machine / "policy-then").read_text()
    assert not (machine / "policy-rc.d").exists()
    assert disabled(machine) == {"nginx", "caddy"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_interrupts_it_leaves_no_policy_behind(machine: Path, number: signal.Signals) -> None:
    has(machine, "apt-get", f"kill -{number} $PPID; exit 1")
    assert system_packages(machine).returncode != 0
    assert not (machine / "policy-rc.d").exists()


def test_a_policy_that_was_there_stays(machine: Path) -> None:
    has(machine, "apt-get", "exit 1")
    (machine / "policy-rc.d").write_text("theirs")
    done = system_packages(machine)
    assert "some tests will skip" in done.stdout
    assert done.returncode == 0
    assert (machine / "policy-rc.d").read_text() == "theirs"


def make_venv(python: str | Path, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "packaging/make-venv", python, directory / ".venv", "lock.txt"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )


def test_where_there_is_no_python_it_says_what_to_install(tmp_path: Path) -> None:
    done = make_venv("python3.0", tmp_path)
    assert done.returncode == 2
    assert done.stdout == (
        "There is no python3.0. On Debian: apt install python3-venv\n"
        "Or name another one: make PYTHON=python3.11 …\n"
    )


def test_where_packages_cannot_be_had_it_says_where_they_come_from(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    pip = ".venv/bin/pip"
    python.write_text(
        '#!/bin/sh\n[ "$2" = venv ] || exit 0\n'
        f"mkdir -p .venv/bin; printf '#!/bin/sh\\nexit 1\\n' >{pip}; chmod 755 {pip}\n"
    )
    python.chmod(0o755)
    done = make_venv(python, tmp_path)
    assert done.returncode == 1
    assert "come from PyPI" in done.stdout
