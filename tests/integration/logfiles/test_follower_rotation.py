"""Every rotation, with the follower running or down meanwhile: nothing lost, nothing doubled."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import pytest


def write(path: Path, *lines: str) -> None:
    with path.open("ab") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def numbered(start: int, stop: int) -> list[str]:
    return [f"line {i} of the log, with some words to make it longer" for i in range(start, stop)]


def text(lines: list[bytes]) -> list[str]:
    return [line.decode() for line in lines]


def compress(path: Path, *, keep: bool = False) -> Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    shutil.copystat(path, target)
    if not keep:
        path.unlink()
    return target


def rename_and_create(log: Path) -> None:
    log.rename(log.with_name(log.name + ".1"))
    log.touch()


def copytruncate(log: Path) -> None:
    shutil.copy(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)


def rename_and_compress(log: Path) -> None:
    rename_and_create(log)
    compress(log.with_name(log.name + ".1"))


ROTATIONS = [rename_and_create, copytruncate, rename_and_compress]


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("size", [1, 5, 100])
def test_rotation_while_running_loses_and_doubles_nothing(
    tmp_path: Path, daemon: Any, rotate: Any, size: int
) -> None:
    log = tmp_path / "access.log"
    wrote = numbered(0, size)
    write(log, *wrote)
    daemon.start(tmp_path)
    for generation in range(1, 4):
        more = numbered(generation * 1000, generation * 1000 + size)
        write(log, *more)
        if generation != 2:
            daemon.poll()
        for old in sorted(tmp_path.glob("access.log.*"), reverse=True):
            number, _, suffix = old.name.removeprefix("access.log.").partition(".")
            old.rename(tmp_path / f"access.log.{int(number) + 1}{suffix and '.' + suffix}")
        rotate(log)
        after = numbered(generation * 1000 + 500, generation * 1000 + 500 + size)
        write(log, *after)
        daemon.turn()
        wrote += more + after
    assert sorted(text(daemon.lines)) == sorted(wrote)


@pytest.mark.parametrize("after", [0, 1, 30, 300])
@pytest.mark.parametrize("asked", range(1, 25))
def test_a_log_that_is_cut_amid_a_look_is_not_doubled_by_its_copy(
    tmp_path: Path, daemon: Any, asked: int, after: int
) -> None:
    log = tmp_path / "access.log"
    wrote, more = numbered(0, 100), numbered(500, 500 + after)
    write(log, *wrote)
    daemon.start(tmp_path)
    shutil.copy(log, tmp_path / "access.log.1")

    def cut() -> None:
        os.truncate(log, 0)
        write(log, *more)

    daemon.clock.meanwhile(asked, cut)
    for _ in range(3):
        daemon.turn(5)
    daemon.turn(15)
    assert sorted(text(daemon.lines)) == sorted(wrote + more)


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("size", [1, 5, 100])
@pytest.mark.parametrize("generations", [1, 2, 3])
def test_rotation_while_down_loses_and_doubles_nothing(
    tmp_path: Path, daemon: Any, rotate: Any, size: int, generations: int
) -> None:
    log = tmp_path / "access.log"
    wrote = numbered(0, size)
    write(log, *wrote)
    daemon.start(tmp_path)
    daemon.stop()
    for generation in range(1, generations + 1):
        more = numbered(generation * 1000, generation * 1000 + size)
        write(log, *more)
        for old in sorted(tmp_path.glob("access.log.*"), reverse=True):
            number, _, suffix = old.name.removeprefix("access.log.").partition(".")
            old.rename(tmp_path / f"access.log.{int(number) + 1}{suffix and '.' + suffix}")
        rotate(log)
        after = numbered(generation * 1000 + 500, generation * 1000 + 500 + size)
        write(log, *after)
        wrote += more + after
    daemon.start(tmp_path)
    daemon.turn()
    assert text(daemon.lines) == wrote
    daemon.start(tmp_path)
    daemon.turn(40)
    assert len(daemon.lines) == len(wrote)
