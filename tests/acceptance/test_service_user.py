"""Commands that root starts become the checkpoint's user, so that the daemon can read it all."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import WEBSITE, Command, Line, SandboxProcess, children, until


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return pwd.getpwnam("nobody")


@pytest.fixture
def place(nobody: pwd.struct_passwd) -> Iterator[Path]:
    """A directory that everybody may enter, as tmp_path is not."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    state = directory / "state"
    state.mkdir(mode=0o700)
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    yield directory
    shutil.rmtree(directory)


def configure(place: Path, url: str) -> Path:
    path = place / "config.yaml"
    path.write_text(
        f"umami: {{url: {url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {place}/access.log}}]\n"
        "run: {start: beginning}\n"
        f"checkpoint: {{path: {place}/state/checkpoint.db}}\n"
    )
    return path


def owners(state: Path) -> set[int]:
    return {path.stat().st_uid for path in state.iterdir()}


def test_nothing_beside_the_checkpoint_ends_up_as_roots(
    ingestor: Command, sandbox: SandboxProcess, place: Path, nobody: pwd.struct_passwd, line: Line
) -> None:
    config = configure(place, sandbox.url)
    assets = [line(f"/{number}.css", number % 60) for number in range(500)]  # enough for numpy
    (place / "access.log").write_bytes(b"".join([*assets, line("/1")]))
    done = ingestor("backfill", "-c", config)
    assert "this goes on as nobody" in done.stderr
    assert sandbox.count() == 1
    ingestor("status", "-c", config)
    ingestor("retry-rejected", "-c", config)
    daemon = ingestor.start("run", "-c", config)
    until(lambda: "following" in daemon.log())
    assert Path(f"/proc/{daemon.process.pid}").stat().st_uid == nobody.pw_uid
    with (place / "access.log").open("ab") as file:
        file.write(line("/2", 1))
    until(lambda: sandbox.count() == 2)
    assert daemon.stop() == 0
    ingestor("checkpoint", "forget", place / "access.log", "-c", config)
    assert owners(place / "state") == {nobody.pw_uid}


@pytest.mark.slow
def test_other_processes_are_that_users_too(
    ingestor: Command, sandbox: SandboxProcess, place: Path, nobody: pwd.struct_passwd, line: Line
) -> None:
    """Though it may not read this installation, where that is root's alone, as one below /root."""
    config = configure(place, sandbox.url)
    logged = b"".join(line(f"/app.css?{number}", number % 60) for number in range(200))
    (place / "access.log").write_bytes(logged * 2000 + line("/1"))  # enough for two processes
    run = ingestor.start("backfill", "-c", config, "--jobs", "2", "--format", "combined")
    others: list[int] = []
    while run.process.poll() is None and not others:
        others = children(run.process.pid)
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in others} == {nobody.pw_uid}
    assert run.process.wait(60) == 0, run.log()
    assert "one does it all" not in run.log()
    assert "Warning:" not in run.log()
    assert "has died" not in run.log()
    assert sandbox.count() == 1


def test_what_that_user_may_not_read_is_told(
    ingestor: Command, sandbox: SandboxProcess, place: Path, line: Line
) -> None:
    config = configure(place, sandbox.url)
    log = place / "access.log"
    log.write_bytes(line("/1"))
    log.chmod(0o600)
    done = ingestor("backfill", "-c", config, code=1)
    assert f"{log}: cannot be read: Permission denied" in done.stderr
    assert sandbox.count() == 0


def test_a_directory_of_roots_stays_roots(
    ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/1"))
    flags = ("--url", sandbox.url, "--website", WEBSITE, "--checkpoint", "checkpoint.db")
    assert "goes on as" not in ingestor("backfill", *flags, "access.log").stderr
    assert (tmp_path / "checkpoint.db").stat().st_uid == os.geteuid()


def test_a_person_without_a_configuration_gets_a_directory_of_their_own(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    from ingestor.pipeline.service_user import become_service_user  # noqa: PLC0415

    # Where the daemon is installed, the tests themselves would go on as its user.
    monkeypatch.setattr("ingestor.pipeline.service_user._NAME", "nobody has this name")
    home = place / "state" / "a" / "b"
    become_service_user(home / "checkpoint.db", own=True)
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_link_to_a_file_of_roots_does_not_keep_the_rights_of_root(
    ingestor: Command, place: Path, nobody: pwd.struct_passwd, tmp_path: Path, line: Line
) -> None:
    """Neither for the checkpoint itself, nor for a directory on the way to it."""
    precious = tmp_path / "precious.db"
    precious.write_bytes(b"root's own")
    (place / "access.log").write_bytes(line("/1"))
    config = configure(place, "http://127.0.0.1:9")
    for link, target in (("checkpoint.db", precious), ("elsewhere", tmp_path)):
        (place / "state" / link).symlink_to(target)
        os.lchown(place / "state" / link, nobody.pw_uid, nobody.pw_gid)
    elsewhere = ("--checkpoint", place / "state" / "elsewhere" / "precious.db")
    for flags in ((), elsewhere):
        for command in ("backfill", "status") if not flags else ("status", "retry-rejected"):
            done = ingestor(command, "-c", config, *flags, code=2)
            assert "is a file of root in a directory, or behind a link, of nobody" in done.stderr
    assert precious.read_bytes() == b"root's own"
    assert [path.name for path in tmp_path.iterdir()] == ["precious.db"]


def test_a_file_of_roots_in_somebodys_directory_is_refused(
    ingestor: Command, place: Path, line: Line
) -> None:
    (place / "state" / "checkpoint.db").write_bytes(b"")
    done = ingestor("status", "-c", configure(place, "http://127.0.0.1:9"), code=2)
    assert "chown it" in done.stderr


def test_a_link_that_root_made_leads_to_whose_it_is(
    ingestor: Command, sandbox: SandboxProcess, place: Path, nobody: pwd.struct_passwd, line: Line
) -> None:
    """As systemd's DynamicUser has it: /var/lib/NAME is a link into /var/lib/private."""
    (place / "access.log").write_bytes(line("/1"))
    (place / "link").symlink_to(place / "state")
    flags = ("--checkpoint", place / "link" / "checkpoint.db")
    ingestor("backfill", "-c", configure(place, sandbox.url), *flags)
    assert owners(place / "state") == {nobody.pw_uid}
