"""The rows of docs/reliability.md that belong to reading files; a test's name has the number."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from ingestor.logfiles import FollowOptions, FollowSource, marker_of


def lines(start: int, stop: int, word: str = "line") -> bytes:
    return b"".join(b"%s %d and some more words\n" % (word.encode(), i) for i in range(start, stop))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def reuse_inode(path: Path, data: bytes) -> bool:
    """Remove a file and make another with its inode, as ext4 does at once; False if it will not."""
    inode = path.stat().st_ino
    path.unlink()
    path.write_bytes(data)
    return path.stat().st_ino == inode


def leave_unanswered(daemon: Any, end: int) -> None:
    """As a crash leaves the first log: lines 5 to 8 are not acked, all others up to an offset."""
    before = lines(0, 5)
    daemon.registry.acked[1] = [(0, len(before)), (len(lines(0, 9)), end)]
    daemon.registry.update(1, marker=marker_of(before, len(before)))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_fault_01_an_inode_used_again_is_a_new_file_from_its_start(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 50))
    daemon.start(log)
    daemon.stop()
    if not reuse_inode(log, lines(100, 200)):
        log.write_bytes(lines(100, 200))
    daemon.start(log)
    assert b"\n".join(daemon.lines[50:]) + b"\n" == lines(100, 200)


def test_fault_02_what_only_the_copy_has_is_read_first(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 50))
    daemon.start(log)
    append(log, lines(50, 60))
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    append(log, lines(60, 70))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 70)


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("size", [10, 50, 51, 500])
def test_fault_03_truncated_and_grown_past_the_offset(
    log: Path, daemon: Any, size: int, *, running: bool
) -> None:
    log.write_bytes(lines(0, 50))
    daemon.start(log)
    if not running:
        daemon.stop()
    log.write_bytes(lines(1000, 1000 + size))
    os.utime(log, (1, 1))
    if running:
        daemon.turn()
    else:
        daemon.start(log)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 50) + lines(1000, 1000 + size)
    assert not any(finding.lost for finding in daemon.findings)  # all of it was read before


@pytest.mark.parametrize("rescans", [True, False])
@pytest.mark.parametrize("count", [20, 21, 60])
def test_fault_03_cut_and_filled_at_once_with_lines_as_long_that_end_alike(
    tmp_path: Path, log: Path, daemon: Any, count: int, rescans: bool
) -> None:
    """As a machine that was suspended finds it: nothing was seen of it in between."""
    end = b" " + b"x" * 300 + b"\n"
    old = b"".join(b"/old%02d" % i + end for i in range(20))
    new = b"".join(b"/new%02d" % i + end for i in range(count))
    log.write_bytes(old)
    daemon.start(tmp_path)
    shutil.copy(log, tmp_path / "access.log.1")
    log.write_bytes(new)
    if not rescans:
        daemon.poll()
    daemon.turn()
    assert daemon.lines == (old + new).splitlines()


@pytest.mark.parametrize("count", [1, 20, 500])
def test_fault_04_a_copy_is_no_new_file(tmp_path: Path, log: Path, daemon: Any, count: int) -> None:
    log.write_bytes(lines(0, count))
    daemon.start(tmp_path)
    shutil.copy(log, tmp_path / "backup.log")
    (tmp_path / "half.log").write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    daemon.turn()
    append(log, lines(count, count + 5))
    daemon.turn()
    daemon.start(tmp_path)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, count + 5)


@pytest.mark.parametrize("count", [3000])
@pytest.mark.parametrize("first", ["the copy", "the log", "both"])
def test_fault_04_a_copy_that_goes_on_by_itself_is_read_from_where_it_does(
    tmp_path: Path, log: Path, daemon: Any, first: str, count: int
) -> None:
    log.write_bytes(lines(0, count))
    daemon.start(tmp_path)
    other = tmp_path / "other.log"
    shutil.copy(log, other)
    daemon.turn()
    if first in ("the copy", "both"):
        append(other, lines(0, 5, "other"))
    if first in ("the log", "both"):
        append(log, lines(count, count + 5))
    daemon.turn()
    append(log, lines(count + 5, count + 9))
    append(other, lines(5, 9, "other"))
    daemon.turn()
    append(log, lines(count + 9, count + 12))
    append(other, lines(9, 12, "other"))
    daemon.turn()
    for path in (log, other):
        append(path, b"the last of " + os.fsencode(path.name) + b"\n")
    daemon.start(tmp_path)
    everything = log.read_bytes() + other.read_bytes()[len(lines(0, count)) :]
    assert sorted(daemon.lines) == sorted(everything.splitlines())


def test_fault_04_what_replaces_a_copy_is_read_from_its_start(
    tmp_path: Path, log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 100))
    daemon.start(tmp_path)
    other = tmp_path / "other.log"
    shutil.copy(log, other)
    daemon.turn()
    other.write_bytes(lines(0, 200, "other"))  # on the same inode
    assert daemon.turn() == lines(0, 200, "other").splitlines()


@pytest.mark.parametrize("how", ["inode", "cut"])
@pytest.mark.parametrize("count", [1, 12, 30])
@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_fault_04_what_is_left_of_a_log_proves_no_copy(
    tmp_path: Path, log: Path, daemon: Any, how: str, count: int, down: bool, before: bool
) -> None:
    """All logs begin alike here: a shorter file at a log's place tells nothing of what was read."""
    head = lines(0, 22)
    log.write_bytes(head)
    daemon.start(tmp_path)
    append(log, lines(0, 40, "log"))
    daemon.poll()
    if down:
        daemon.stop()
    other = tmp_path / "other.log"
    if before:
        other.write_bytes(head + lines(0, count, "other"))
    if how == "cut":
        os.truncate(log, len(head))
    elif not reuse_inode(log, head):
        log.write_bytes(head)
    if not before:
        other.write_bytes(head + lines(0, count, "other"))
    if down:
        daemon.start(tmp_path)
    for at in range(3):
        daemon.turn()
        append(other, lines(count + at, count + at + 1, "other"))
    daemon.turn()
    found = [line for line in daemon.lines if line.startswith(b"other")]
    assert found == lines(0, count + 3, "other").splitlines()


@pytest.mark.parametrize("acked", ["all", "but some of the beginning"])
@pytest.mark.parametrize("read", [12, 100])
def test_fault_04_a_log_that_begins_as_a_deleted_one_did_is_read_from_its_start(
    tmp_path: Path, log: Path, daemon: Any, write_meanwhile: Any, acked: str, read: int
) -> None:
    """Also where it grows, past the place up to which that one was read, while it is looked at."""
    head = lines(0, 22)
    log.write_bytes(head + lines(0, read, "old"))
    daemon.start(tmp_path)
    daemon.stop()
    log.rename(tmp_path / ".away")  # nowhere, and its inode is not used again
    if acked != "all":  # a crash left a batch unanswered
        ((_, end),) = daemon.registry.acked[1]
        leave_unanswered(daemon, end)
    daemon.start(tmp_path)
    log.write_bytes(head)
    write_meanwhile("intake", lines(0, 200, "new"))
    daemon.turn()
    daemon.turn()
    append(log, lines(200, 210, "new"))
    daemon.turn()
    found = [line for line in daemon.lines if line.startswith(b"new")]
    assert found == lines(0, 210, "new").splitlines()


@pytest.mark.parametrize("seen", [6, 7, 22])
def test_fault_06_what_is_unread_of_a_log_is_read_from_its_copy_as_that_grows(
    tmp_path: Path, log: Path, daemon: Any, seen: int
) -> None:
    whole = lines(0, 100)
    log.write_bytes(whole)
    daemon.start(tmp_path)
    daemon.stop()
    log.rename(tmp_path / ".away")
    leave_unanswered(daemon, len(lines(0, 60)))
    del daemon.lines[:]
    copy = tmp_path / "access.log.1"
    copy.write_bytes(whole[: len(lines(0, seen)) - 3])  # … in the middle of a line
    daemon.start(tmp_path)
    assert daemon.lines == lines(5, min(seen - 1, 9)).splitlines()
    append(copy, whole[copy.stat().st_size : len(lines(0, 40))])
    assert daemon.turn() == lines(min(seen - 1, 9), 9).splitlines()
    append(copy, lines(40, 100) + lines(100, 103))
    assert daemon.turn() == lines(60, 103).splitlines()


@pytest.mark.parametrize("seconds", [1, 3])
def test_fault_04_half_a_copy_of_what_is_nowhere_is_that_log_once_it_is_whole(
    tmp_path: Path, log: Path, daemon: Any, seconds: float
) -> None:
    """Its log may have been cut amid the look that saw half of it."""
    copy = half_a_copy(tmp_path, log, daemon)
    daemon.turn(seconds)
    append(copy, lines(22, 32))
    assert not daemon.turn(1)
    append(copy, lines(32, 110))
    assert daemon.turn(1) == lines(100, 110).splitlines()


def test_fault_04_half_a_copy_that_grows_a_little_is_a_log_of_its_own_after_a_grace(
    tmp_path: Path, log: Path, daemon: Any
) -> None:
    """A limit: nothing tells it from a log that begins alike, which must not be lost."""
    copy = half_a_copy(tmp_path, log, daemon)
    assert not daemon.turn()
    append(copy, lines(22, 30))
    assert not daemon.turn()
    assert daemon.turn(10) == lines(0, 30).splitlines()


def half_a_copy(directory: Path, log: Path, daemon: Any) -> Path:
    """Write a beginning of a log that was read, and is nowhere any more."""
    log.write_bytes(lines(0, 100))
    daemon.start(directory)
    daemon.stop()
    log.rename(directory / ".away")
    copy = directory / "access.log.1"
    copy.write_bytes(lines(0, 22))
    daemon.start(directory)
    assert len(daemon.lines) == 100
    return copy


def test_fault_05_rotated_twice_while_down_is_read_oldest_first(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 50))
    daemon.start(log)
    daemon.stop()
    append(log, lines(50, 60))
    log.rename(f"{log}.2")
    Path(f"{log}.1").write_bytes(lines(60, 70))
    log.write_bytes(lines(70, 80))
    daemon.start(log)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 80)


@pytest.mark.parametrize("end", ["20261130", "2026-11", "202611", "2026-W48"])
def test_fault_05_rotated_by_any_dateformat_while_down(log: Path, daemon: Any, end: str) -> None:
    log.write_bytes(lines(0, 50))
    daemon.start(log)
    daemon.stop()
    append(log, lines(50, 60))
    log.rename(f"{log}-{end}")
    log.write_bytes(lines(60, 70))
    daemon.start(log)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 70)


@pytest.mark.parametrize("count", [3, 100])
def test_fault_06_the_unread_rest_of_a_gzipped_log_is_read(
    log: Path, daemon: Any, count: int
) -> None:
    log.write_bytes(lines(0, count))
    daemon.start(log)
    daemon.stop()
    Path(f"{log}.1.gz").write_bytes(gzip.compress(log.read_bytes() + lines(count, count + 20)))
    log.unlink()
    log.write_bytes(lines(200, 210))
    daemon.start(log)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, count + 20) + lines(200, 210)


def test_fault_06_a_log_that_logrotate_compresses_during_the_look_is_not_read_again(
    log: Path, daemon: Any, meanwhile: Any
) -> None:
    """The look finds the log and its archive; once it holds the two together, the log is gone."""
    old, archive = Path(f"{log}.1"), Path(f"{log}.1.gz")
    old.write_bytes(lines(0, 200))
    log.write_bytes(lines(200, 210))
    daemon.start(log)
    daemon.turn(60)  # past the grace: the old one is closed
    archive.write_bytes(gzip.compress(old.read_bytes()))

    def rotate(_: Path) -> None:
        old.unlink()
        archive.rename(f"{log}.2.gz")
        log.rename(old)
        log.write_bytes(lines(210, 220))

    meanwhile("intake", rotate)
    daemon.turn()
    daemon.turn(60)
    assert sorted(daemon.lines) == sorted(lines(0, 220).splitlines())
    assert not any(finding.what.startswith("cannot") for finding in daemon.findings)


def test_fault_07_a_growing_archive_is_waited_for(log: Path, daemon: Any) -> None:
    whole = gzip.compress(lines(0, 2000))
    archive = Path(f"{log}.1.gz")
    archive.write_bytes(whole[:100])
    daemon.start(log)
    archive.write_bytes(whole[: len(whole) // 2])
    daemon.turn()
    archive.write_bytes(whole)
    daemon.turn(10)
    daemon.turn(10)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 2000)


def test_fault_07_an_archive_that_is_empty_when_it_is_opened_is_never_read_as_a_plain_log(
    log: Path, daemon: Any, meanwhile: Any
) -> None:
    """A compressor creates its file, and writes a small one all at once a moment later."""
    archive = Path(f"{log}.1.gz")
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    archive.touch()
    whole = gzip.compress(lines(100, 120))
    meanwhile("intake", lambda path: path.write_bytes(whole), opened=True)
    daemon.turn()
    daemon.turn(60)
    assert archive.read_bytes() == whole
    assert daemon.lines == (lines(0, 10) + lines(100, 120)).splitlines()


@pytest.mark.parametrize("open_files", [10, 1])
def test_fault_07_what_an_archive_has_beyond_its_half_unpacked_copy_is_read(
    log: Path, daemon: Any, open_files: int
) -> None:
    """Also where the copy is not open any more when the archive is looked into."""
    archive, unpacked = Path(f"{log}.1.gz"), Path(f"{log}.1")
    archive.write_bytes(gzip.compress(lines(0, 5000)))
    os.utime(archive, (2000, 2000))
    unpacked.write_bytes(lines(0, 3000))
    log.write_bytes(b"of the next day\n")
    daemon.start(log, options=FollowOptions(max_open_files=open_files))
    for _ in range(4):
        daemon.turn(5)
    daemon.lines.remove(b"of the next day")
    assert daemon.lines == lines(0, 5000).splitlines()


@pytest.mark.parametrize("restarts", [True, False])
@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("count", [100, 5000])
def test_fault_07_what_is_appended_to_an_archived_copy_is_read(
    tmp_path: Path, log: Path, daemon: Any, count: int, *, stays: bool, restarts: bool
) -> None:
    log.write_bytes(lines(0, count))
    daemon.start(tmp_path)
    rotated, backup = Path(f"{log}.1"), tmp_path / "backup.gz"
    log.rename(rotated)
    log.write_bytes(b"of the next day\n")
    for _ in range(4):
        daemon.turn(20)
    backup.write_bytes(gzip.compress(rotated.read_bytes()))
    daemon.turn(20)
    assert len(daemon.lines) == count + 1
    if restarts:
        daemon.start(tmp_path)
        daemon.turn(20)
        daemon.turn(20)
    append(backup, gzip.compress(lines(count, count + 10)))
    if not stays:
        rotated.unlink()
    for _ in range(4):
        daemon.turn(20)
    assert daemon.lines[count + 1 :] == lines(count, count + 10).splitlines()


def test_fault_07_a_corrupt_archive_is_said_once_and_left(log: Path, daemon: Any) -> None:
    whole = bytearray(gzip.compress(lines(0, 20_000)))
    whole[len(whole) // 2] ^= 0xFF
    Path(f"{log}.1.gz").write_bytes(whole)
    daemon.start(log)
    for _ in range(5):
        daemon.turn(200)
    assert [finding.lost for finding in daemon.findings if "corrupt" in finding.what] == [True]
    assert not daemon.follower.has_unread


def test_fault_08_the_writer_goes_on_in_the_renamed_file(log: Path, daemon: Any) -> None:
    writer = log.open("ab", buffering=0)
    writer.write(lines(0, 10))
    daemon.start(log)
    log.rename(f"{log}.1")
    log.touch()
    for i in range(1, 8):
        writer.write(lines(i * 10, i * 10 + 10))
        daemon.turn(9)
    writer.close()
    for _ in range(4):
        daemon.turn(9)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 80)
    states = {state.path.rpartition(b"/")[2]: state.state for state in daemon.follower.files()}
    assert states == {b"access.log": "live", b"access.log.1": "closed"}


def test_fault_08_a_closed_generation_that_grows_after_all_is_read_on(
    log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    log.rename(f"{log}.1")
    log.touch()
    for _ in range(4):
        daemon.turn(9)
    append(Path(f"{log}.1"), lines(10, 12))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 12)


def test_fault_08_a_deleted_file_is_drained(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    append(log, lines(10, 20))
    log.unlink()
    log.write_bytes(lines(20, 30))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 30)


@pytest.mark.parametrize("moved", [True, False])
def test_fault_08_a_server_that_was_not_told_to_reopen_is_read_out_of_sight(
    tmp_path: Path, log: Path, daemon: Any, *, moved: bool
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    with log.open("ab") as server:
        log.rename(tmp_path / "moved") if moved else log.unlink()
        log.touch()
        for at in (10, 20, 30):
            for _ in range(4):
                daemon.turn(40)
            server.write(lines(at, at + 10))
            server.flush()
    log.write_bytes(lines(40, 50))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 50)
    for _ in range(4):
        daemon.turn(100)
    assert [state.state for state in daemon.follower.files()] == ["closed", "live"]


@pytest.mark.parametrize("hold", [8 * 1024**3, 100])
def test_fault_08_what_is_held_back_of_a_rotated_log_outlives_its_deletion(
    log: Path, daemon: Any, hold: int
) -> None:
    """A website that is parked, a format that nobody knows: the lines are wanted again later."""
    daemon.acking = False
    log.write_bytes(lines(0, 10))
    daemon.start(log, options=FollowOptions(max_deleted_bytes=hold))
    rotated = log.with_name("access.log.1")
    log.rename(rotated)
    log.write_bytes(lines(10, 20))
    for _ in range(6):
        daemon.turn(40)
    rotated.unlink()
    for _ in range(6):
        daemon.turn(40)
    daemon.acking = True
    daemon.follower.reread([chunk.span for chunk in daemon.chunks[:1]])
    given_up = [finding.what for finding in daemon.findings if finding.lost]
    assert daemon.poll() == ([] if given_up else lines(0, 10).splitlines())
    assert [f"{len(lines(0, 10))} unread bytes" in what for what in given_up] == [True] * (
        hold == 100
    )


def test_fault_08_a_rotated_log_is_closed_when_nothing_of_it_is_held_back(
    log: Path, daemon: Any
) -> None:
    daemon.acking = False
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    log.rename(f"{log}.1")
    log.write_bytes(lines(10, 20))
    for _ in range(4):
        daemon.turn(40)
    assert [state.state for state in daemon.follower.files()] == ["rotated", "live"]
    daemon.ack(daemon.chunks[0])
    daemon.turn(40)
    assert [state.state for state in daemon.follower.files()] == ["closed", "live"]


def test_fault_09_deleted_files_do_not_fill_the_disk(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log, options=FollowOptions(max_deleted_bytes=1000))
    append(log, lines(10, 200))
    log.unlink()
    daemon.findings += daemon.follower.rescan()
    assert [finding.lost for finding in daemon.findings if "too much disk" in finding.what] == [
        True
    ]
    assert not daemon.poll()


@pytest.mark.parametrize("reopened", [True, False])
def test_fault_09_a_deleted_log_that_is_let_go_while_its_server_writes_is_told(
    log: Path, daemon: Any, *, reopened: bool
) -> None:
    """All of it was read; what comes from now on nobody can."""
    log.write_bytes(lines(0, 100))
    daemon.start(log, options=FollowOptions(max_deleted_bytes=1000))
    log.unlink()
    if reopened:
        log.write_bytes(lines(100, 110))
    daemon.turn()
    told = "deleted, and too large to be held open: followed no more"
    assert [finding.what for finding in daemon.findings] == [told] * (not reopened)


def test_fault_09_a_deleted_log_is_told_once_however_long_its_rest_takes(
    log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log, options=FollowOptions(chunk_bytes=1000, max_line_bytes=128))
    append(log, lines(10, 200))
    log.unlink()
    looks = 0
    while len(daemon.lines) < 200:
        daemon.clock.sleep(2.5)
        daemon.findings += daemon.follower.rescan()
        daemon.follower.poll()
        for chunk in daemon.follower.read(1):
            daemon.take(chunk)
        looks += 1
    assert looks > 3
    told = f"{len(lines(10, 200)):,} bytes are unread"
    assert [told in finding.advice for finding in daemon.findings] == [True]


def test_fault_10_reading_that_pauses_does_not_stop_discovery(
    tmp_path: Path, log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(tmp_path)
    append(log, lines(10, 20))
    log.rename(f"{log}.1")
    log.write_bytes(lines(20, 30))
    daemon.follower.rescan()
    Path(f"{log}.1").unlink()
    log.unlink()
    daemon.follower.rescan()
    assert len(daemon.poll()) == 20


def test_fault_16_another_device_number_is_the_same_file(
    log: Path, daemon: Any, registry: Any
) -> None:
    log.write_bytes(lines(0, 50))
    daemon.start(log)
    daemon.stop()
    for key, known in registry.files.items():
        registry.update(key, identity=known.identity._replace(device=known.identity.device + 7))
    append(log, lines(50, 60))
    daemon.start(log)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 60)


def test_fault_17_times_of_files_decide_nothing(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 50))
    os.utime(log, (4e9, 4e9))
    daemon.start(log)
    append(log, lines(50, 60))
    os.utime(log, (1, 1))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 60)


@pytest.mark.parametrize("running", [True, False])
def test_fault_18_a_file_that_became_shorter_is_read_from_its_start(
    log: Path, daemon: Any, *, running: bool
) -> None:
    log.write_bytes(lines(0, 200))
    daemon.start(log)
    if not running:
        daemon.stop()
    os.truncate(log, 0)
    log.write_bytes(lines(0, 60))  # the same lines again: only the length tells
    if running:
        daemon.turn()
    else:
        daemon.start(log)
    assert len(daemon.lines) == 260


def test_fault_19_a_file_rewritten_in_place_is_read_once_again(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 100))
    daemon.start(log)
    edited = lines(0, 100).replace(b"line 97", b"LINE 97")
    log.write_bytes(edited)
    daemon.turn()
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 100) + edited


def test_fault_19_an_editor_that_replaces_the_file_does_not_double_it(
    log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 100))
    daemon.start(log)
    shutil.copy(log, f"{log}.tmp")
    Path(f"{log}.tmp").rename(log)
    daemon.turn()
    append(log, lines(100, 110))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 110)


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("how", ["cut", "cut and NUL", "edited", "restored", "restored by mv"])
@pytest.mark.parametrize("down", [True, False])
def test_fault_19_of_a_log_that_lost_its_end_only_what_is_new_is_read(
    log: Path, daemon: Any, how: str, down: bool, grows: bool
) -> None:
    """As a power cut, a restored backup, and an editor leave it."""
    log.write_bytes(lines(0, 1000))
    daemon.start(log)
    append(log, lines(1000, 1030))
    daemon.turn()
    if down:
        daemon.stop()
    twin = log.with_name(".twin")
    twin.write_bytes(lines(0, 1000))
    match how:
        case "cut" | "cut and NUL":
            os.truncate(log, len(lines(0, 1000)))
        case "edited":
            log.write_bytes(lines(0, 1029) + lines(7777, 7778))
        case "restored":
            shutil.copyfile(twin, log)
        case "restored by mv":
            twin.rename(log)
    if how == "cut and NUL":
        os.truncate(log, len(lines(0, 1030)))
    new = lines(7777, 7778) if how == "edited" else b""
    if grows:
        append(log, lines(2000, 2100))
        new += lines(2000, 2100)
    before = len(daemon.lines)
    daemon.start(log) if down else daemon.turn()
    daemon.turn()
    got = daemon.lines[before:]
    assert set(new.splitlines()) <= set(got)
    assert len(got) - new.count(b"\n") <= 40  # of a thousand
    daemon.start(log)
    assert len(daemon.lines) == before + len(got)


def test_fault_19_what_was_left_to_a_backfill_stays_so_when_a_log_loses_its_end(
    log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 1000))
    daemon.start(log, first_start=True)
    append(log, lines(1000, 1500))
    daemon.turn()
    os.truncate(log, len(lines(0, 1400)))
    append(log, lines(3000, 3010))
    got = daemon.turn()
    assert got[-10:] == lines(3000, 3010).splitlines()
    assert len(got) < 150
    daemon.start(log)
    assert daemon.lines[-10:] == lines(3000, 3010).splitlines()
    assert b"line 999 and some more words" not in daemon.lines


def test_fault_20_a_link_and_its_target_are_one_file(tmp_path: Path, daemon: Any) -> None:
    first, second = tmp_path / "access-20240101.log", tmp_path / "access-20240102.log"
    link = tmp_path / "access.log"
    first.write_bytes(lines(0, 10))
    link.symlink_to(first.name)
    daemon.start(tmp_path)
    assert len(daemon.lines) == 10
    append(first, lines(10, 15))
    second.write_bytes(lines(15, 20))
    link.unlink()
    link.symlink_to(second.name)
    daemon.turn()
    append(second, lines(20, 25))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 25)


def test_fault_20_a_link_is_looked_at_again(tmp_path: Path, daemon: Any) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "one.log").write_bytes(lines(0, 10))
    link = tmp_path / "current"
    link.symlink_to(logs / "one.log")
    daemon.start(link)
    append(logs / "one.log", lines(10, 12))
    (logs / "two.log").write_bytes(lines(12, 20))
    link.unlink()
    link.symlink_to(logs / "two.log")
    daemon.turn()
    append(logs / "one.log", lines(20, 22))
    daemon.turn()
    assert sorted(daemon.lines) == sorted(lines(0, 22).splitlines())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_fault_21_permission_is_asked_for_again(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    log.rename(f"{log}.1")
    log.write_bytes(lines(10, 20))
    log.chmod(0)
    daemon.turn()
    append(Path(f"{log}.1"), lines(20, 25))
    assert len(daemon.turn(20)) == 5
    log.chmod(0o600)
    assert len(daemon.turn(120)) == 10
    assert any("cannot be read" in finding.what for finding in daemon.findings)


def test_fault_21_a_file_that_cannot_be_opened_is_tried_again(
    tmp_path: Path, log: Path, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {os.fsencode(log)}
    real = os.open

    def refuse(path: bytes, flags: int, *rest: Any, **named: Any) -> int:
        if path in refused:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    log.write_bytes(lines(0, 10))
    daemon.start(tmp_path, first_start=True)
    assert not daemon.lines
    assert [one.what for one in daemon.findings] == ["cannot be read: Permission denied"]
    for _ in range(10):
        daemon.turn(60)
    refused.clear()
    daemon.turn(FollowOptions().rescan_interval)
    append(log, lines(10, 12))
    assert daemon.turn() == lines(10, 12).splitlines()


def test_fault_22_a_directory_made_again_is_found(tmp_path: Path, daemon: Any) -> None:
    directory = tmp_path / "nginx"
    directory.mkdir()
    log = directory / "access.log"
    log.write_bytes(lines(0, 10))
    daemon.start(directory)
    append(log, lines(10, 12))
    directory.rename(tmp_path / "old")
    directory.mkdir()
    log.write_bytes(lines(12, 20))
    daemon.turn()
    append(tmp_path / "old" / "access.log", lines(20, 22))
    daemon.turn()
    assert sorted(daemon.lines) == sorted(lines(0, 22).splitlines())


@pytest.mark.parametrize("begun", [False, True])
def test_fault_22_an_archive_in_a_directory_that_was_away_for_a_look_is_read(
    tmp_path: Path, daemon: Any, begun: bool
) -> None:
    directory = tmp_path / "nginx"
    directory.mkdir()
    follower = daemon.start(directory)
    for number, first in ((2, 0), (1, 60_000)):
        content = gzip.compress(lines(first, first + 60_000))
        (directory / f"access.log.{number}.gz").write_bytes(content)
    daemon.clock.sleep(2.5)
    follower.rescan()
    if begun:
        daemon.take(follower.read(1)[0])
    directory.rename(tmp_path / "away")
    daemon.clock.sleep(2.5)
    follower.rescan()
    (tmp_path / "away").rename(directory)
    daemon.turn()
    daemon.turn(70)
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 120_000)


def test_fault_24_a_huge_line_is_passed_over_and_counted(log: Path, daemon: Any) -> None:
    with log.open("wb") as file:
        file.write(lines(0, 2))
        for _ in range(30):
            file.write(b"x" * 1_000_000)
    daemon.start(log)
    assert len(daemon.lines) == 2
    append(log, b"yyy\n" + lines(2, 4))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 4)
    assert sum(chunk.oversized for chunk in daemon.chunks) == 1
    assert sum(chunk.end - chunk.start for chunk in daemon.chunks) == log.stat().st_size


def test_fault_25_a_hole_of_gigabytes_is_passed_over_at_once(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 2))
    daemon.start(log)
    with log.open("r+b") as file:
        file.truncate(200_000_000_000)
        file.seek(0, os.SEEK_END)
        began = time.monotonic()
        daemon.turn()
        file.write(lines(2, 4))
    daemon.turn()
    assert time.monotonic() - began < 5
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 4)


def test_fault_25_a_writer_without_append_leaves_a_hole_after_copytruncate(
    log: Path, daemon: Any
) -> None:
    with log.open("wb", buffering=0) as writer:
        writer.write(lines(0, 500))
        daemon.start(log)
        writer.write(lines(500, 510))
        shutil.copy(log, f"{log}.1")
        os.truncate(log, 0)
        writer.write(lines(510, 520))
        daemon.turn()
        writer.write(lines(520, 530))
        daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 530)


def test_fault_27_a_line_waits_for_its_newline(log: Path, daemon: Any) -> None:
    log.write_bytes(b"one\r\ntw")
    daemon.start(log)
    assert daemon.lines == [b"one"]
    append(log, b"o\r")
    assert not daemon.turn()
    append(log, b"\nthree")
    assert daemon.turn() == [b"two"]
    log.rename(f"{log}.1")
    log.write_bytes(b"four\n")
    for _ in range(4):
        daemon.turn(10)
    assert sorted(daemon.lines) == [b"four", b"one", b"three", b"two"]


@pytest.mark.parametrize("open_files", [10, 1])
def test_fault_27_the_unfinished_last_line_of_a_rotated_log_is_read_however_few_may_be_open(
    log: Path, daemon: Any, open_files: int
) -> None:
    log.write_bytes(b"one\ntwo")
    daemon.start(log, options=FollowOptions(max_open_files=open_files))
    log.rename(f"{log}.1")
    log.write_bytes(b"of the next day\n")
    daemon.turn(5)
    assert daemon.lines == [b"one", b"of the next day"]  # its server may write on for a while
    assert daemon.turn(5) == [b"two"]


@pytest.mark.parametrize("how", ["rotated", "compressed", "restarted"])
def test_fault_27_half_a_line_that_was_taken_is_read_again_when_it_is_whole(
    log: Path, daemon: Any, how: str
) -> None:
    daemon.registry.takes_halves = True
    before = lines(0, 50)
    log.write_bytes(before + b"half a li")
    daemon.start(log)
    rotated = log.with_name("access.log.1")
    log.rename(rotated)
    log.write_bytes(b"the next log\n")
    for _ in range(4):
        daemon.turn(10)
    assert sorted(daemon.lines) == sorted([*before.splitlines(), b"the next log", b"half a li"])
    append(rotated, b"ne\nand one\n")
    if how == "compressed":
        compressed = rotated.with_name("access.log.1.gz")
        compressed.write_bytes(gzip.compress(rotated.read_bytes()))
        rotated.unlink()
    if how == "restarted":
        daemon.start(log)
    daemon.turn()
    assert daemon.lines[-2:] == [b"half a line", b"and one"]
    count = len(daemon.lines)
    daemon.turn(10)
    daemon.start(log)
    assert len(daemon.lines) == count


@pytest.mark.parametrize("rest", [b"\n", b"\r\n"])
def test_fault_27_a_line_that_lacked_only_its_newline_is_not_read_again(
    log: Path, daemon: Any, rest: bytes
) -> None:
    log.write_bytes(b"one\ntwo")
    daemon.start(log)
    rotated = log.with_name("access.log.1")
    log.rename(rotated)
    log.write_bytes(b"four\n")
    for _ in range(4):
        daemon.turn(10)
    append(rotated, rest + b"three\n")
    daemon.turn()
    assert sorted(filter(None, daemon.lines)) == [b"four", b"one", b"three", b"two"]


def test_fault_28_logs_with_the_same_head_are_told_apart(tmp_path: Path, daemon: Any) -> None:
    head = b"#Fields: date time cs-uri-stem\n" * 100
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    one.write_bytes(head + lines(0, 10, "one"))
    two.write_bytes(head + lines(0, 10, "two"))
    daemon.start(tmp_path)
    one.rename(tmp_path / "one.log.1")
    append(two, lines(10, 12, "two"))
    append(tmp_path / "one.log.1", lines(10, 12, "one"))
    daemon.start(tmp_path)
    got = [line for line in daemon.lines if not line.startswith(b"#")]
    assert sorted(got) == sorted((lines(0, 12, "one") + lines(0, 12, "two")).splitlines())


def test_fault_28_two_logs_with_the_same_first_line_are_both_read(
    tmp_path: Path, daemon: Any
) -> None:
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    one.write_bytes(b"the same line\nand one\n")
    two.write_bytes(b"the same line\nand two\n")
    daemon.start(tmp_path)
    append(one, b"one more\n")
    append(two, b"two more\n")
    daemon.turn()
    assert sorted(daemon.lines) == [
        b"and one",
        b"and two",
        b"one more",
        b"the same line",
        b"the same line",
        b"two more",
    ]


@pytest.mark.parametrize("first", ["one", "two"])
def test_fault_28_logs_that_were_alike_for_a_moment_are_both_read_whole(
    tmp_path: Path, daemon: Any, first: str
) -> None:
    one, two = tmp_path / "a" / "access.log", tmp_path / "b" / "access.log"
    for path in (one, two):
        path.parent.mkdir()
        path.write_bytes(b"the same line\n")
    daemon.start(tmp_path)
    daemon.turn()
    for path in (one, two) if first == "one" else (two, one):
        append(path, b"the next of " + os.fsencode(path.parent) + b"\n")
        daemon.turn()
    append(one, b"more\n")
    daemon.start(tmp_path)
    assert sorted(daemon.lines) == sorted((one.read_bytes() + two.read_bytes()).splitlines())


@pytest.mark.parametrize("down", [True, False])
def test_fault_28_logs_of_two_sites_are_two_though_they_are_alike(
    tmp_path: Path, daemon: Any, down: bool
) -> None:
    sources = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "access.log").write_bytes(b"the same line\n")
        sources.append(FollowSource(os.fsencode(tmp_path / name), site=f"{name}.example"))
    daemon.start(*sources)
    assert daemon.lines == [b"the same line"] * 2
    if down:
        daemon.start(*sources)
    for name in ("a", "b"):
        append(tmp_path / name / "access.log", b"of one\n")
    daemon.turn()
    assert daemon.lines == [b"the same line"] * 2 + [b"of one"] * 2


@pytest.mark.parametrize("content", [b"", b"a", b"a\n", b"\n", b"ab\ncd\n"])
def test_fault_29_the_smallest_files_are_followed(log: Path, daemon: Any, content: bytes) -> None:
    log.write_bytes(content)
    daemon.start(log)
    append(log, b"more\n")
    daemon.turn()
    daemon.start(log)
    append(log, b"and more\n")
    daemon.turn()
    assert daemon.lines == (content + b"more\nand more\n").splitlines()


def test_fault_30_a_stale_handle_is_opened_again_with_back_off(
    log: Path, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    real, stale = os.fstat, [True]

    def fail(fd: int) -> os.stat_result:
        if stale and os.path.realpath(f"/proc/self/fd/{fd}") == str(log):
            raise OSError(116, "Stale file handle")
        return real(fd)

    monkeypatch.setattr(os, "fstat", fail)
    append(log, lines(10, 12))
    for _ in range(8):
        assert not daemon.turn(120)
    stale.clear()
    assert daemon.turn(120) == lines(10, 12).splitlines()
    stale.append(True)
    append(log, lines(12, 14))
    assert not daemon.turn()
    stale.clear()
    assert daemon.turn() == lines(12, 14).splitlines()  # it was patient with another failure


def test_fault_31_a_backlog_is_read_in_bounded_portions(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 100_000))
    daemon.start(log, first_start=True)
    append(log, lines(0, 100_000, "more"))
    daemon.follower.poll()
    chunks = daemon.follower.read(max_chunks=3)
    assert len(chunks) == 3
    assert max(len(chunk.data) for chunk in chunks) <= 262_144
    assert daemon.follower.has_unread


def test_fault_38_after_a_crash_what_is_not_acked_is_read_again(
    log: Path, daemon: Any, registry: Any
) -> None:
    log.write_bytes(lines(0, 5000))
    daemon.acking = False
    daemon.start(log, options=FollowOptions(chunk_bytes=70_000))
    first, second, third = daemon.chunks
    daemon.ack(second)
    daemon.chunks.clear()
    daemon.lines.clear()
    daemon.start(log, options=FollowOptions(chunk_bytes=70_000))
    assert [chunk.span for chunk in daemon.chunks] == [first.span, third.span]


def test_a_name_that_nothing_has_for_a_moment_of_its_rotation_is_not_said(
    log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    log.rename(f"{log}.1")
    daemon.turn()
    log.write_bytes(lines(10, 20))
    daemon.turn()
    assert daemon.findings == []
    log.unlink()
    for _ in range(2):
        daemon.turn(40)
    assert [finding.what for finding in daemon.findings] == ["No such file or directory"]


def test_a_source_that_does_not_exist_yet_is_found_later(tmp_path: Path, daemon: Any) -> None:
    log = tmp_path / "later" / "access.log"
    daemon.start(FollowSource(os.fsencode(log)))
    assert [finding.what for finding in daemon.findings] == ["No such file or directory"]
    log.parent.mkdir()
    log.write_bytes(lines(0, 3))
    assert len(daemon.turn()) == 3


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_fault_04_a_copy_of_the_first_lines_is_known_when_the_log_is_gone(
    tmp_path: Path, log: Path, daemon: Any, suffix: str
) -> None:
    """As when a server writes on into a file that was copied or compressed, and removed."""
    log.write_bytes(lines(0, 10))
    daemon.start(tmp_path)
    rest = lines(0, 10)
    append(log, lines(10, 14))
    daemon.turn()
    log.unlink()
    daemon.stop()
    archive = tmp_path / f"access.log.1{suffix}"
    archive.write_bytes(gzip.compress(rest) if suffix else rest)
    daemon.start(tmp_path)
    assert daemon.lines == lines(0, 14).splitlines()
    log.write_bytes(lines(20, 24))
    assert daemon.turn() == lines(20, 24).splitlines()


def test_fault_28_a_log_that_begins_as_one_that_is_gone_is_read_when_it_differs(
    tmp_path: Path, log: Path, daemon: Any
) -> None:
    head = b"#Fields: date time cs-uri-stem\n" * 3
    log.write_bytes(head + lines(0, 10))
    daemon.start(tmp_path)
    log.unlink()
    daemon.stop()
    (tmp_path / "keeps its inode").touch()
    log.write_bytes(head)
    daemon.start(tmp_path)
    append(log, lines(20, 24))
    assert daemon.turn()[-4:] == lines(20, 24).splitlines()


def test_fault_07_what_a_log_has_beyond_its_archive_of_an_earlier_life_is_read(
    tmp_path: Path, log: Path, daemon: Any
) -> None:
    """As when it was compressed too early, and is put back whole after a restart."""
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(lines(0, 500)))
    daemon.start(tmp_path)
    daemon.turn(30)
    daemon.start(tmp_path)
    assert daemon.lines == lines(0, 500).splitlines()
    log.with_name("access.log.1").write_bytes(lines(0, 500))
    assert daemon.turn() == []
    log.with_name("access.log.1").write_bytes(lines(0, 510))
    assert daemon.turn() == lines(500, 510).splitlines()
