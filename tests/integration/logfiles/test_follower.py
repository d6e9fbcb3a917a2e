"""The follower beyond rotation: the first start, rereads, limits, what it tells about itself."""

from __future__ import annotations

import errno
import gc
import gzip
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from parts import counting_calls

from ingestor.logfiles import END, FollowOptions, FollowSource, MemoryRegistry
from ingestor.model import Span

SMALL = FollowOptions(chunk_bytes=2000, max_line_bytes=500)


def lines(start: int, stop: int) -> bytes:
    return b"".join(b"line %d and some more words\n" % i for i in range(start, stop))


def key_of(registry: Any, name: bytes) -> int:
    (key,) = (one.key for one in registry.files.values() if one.path.endswith(b"/" + name))
    return int(key)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.mark.parametrize("start", ["end", "beginning"])
def test_work_grows_with_the_number_of_archives_and_not_with_its_square(
    start: str, tmp_path: Path, daemon: Any
) -> None:
    """Twenty thousand short archives cost half a minute at the start, and seconds at each look."""

    def work(first: int, last: int) -> int:
        """Of a log with so many archives: how often Python was called, or called."""
        directory = tmp_path / str(last)
        directory.mkdir()
        for number in range(first, last):
            path = directory / f"access.log-{20_000_000 + number}.gz"
            path.write_bytes(gzip.compress(lines(3 * number, 3 * number + 2), 1))
        with counting_calls() as calls:
            daemon.start(directory, start=start, first_start=True)
            daemon.turn()
        return calls.count

    few = work(0, 100)
    many = work(100, 900)
    assert many < 10 * few


def test_what_is_there_at_the_first_start_is_left_to_a_backfill(
    log: Path, daemon: Any, registry: Any
) -> None:
    log.write_bytes(lines(0, 10) + b"half a li")
    Path(f"{log}.1").write_bytes(lines(100, 110))
    Path(f"{log}.2.gz").write_bytes(gzip.compress(lines(200, 210)))
    daemon.start(log, first_start=True)
    append(log, b"ne\n")
    daemon.turn()
    daemon.start(log)
    daemon.turn()
    assert daemon.lines == [b"half a line"]
    origins = {one.path.rpartition(b"/")[2]: one.origin for one in registry.files.values()}
    assert origins == {
        b"access.log": len(lines(0, 10)),
        b"access.log.1": len(lines(100, 110)),
        b"access.log.2.gz": END,
    }
    assert registry.files[key_of(registry, b"access.log.1")].marker.offset == len(lines(0, 10)) + 20


def test_files_that_appear_later_are_read_from_their_start(
    tmp_path: Path, log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(tmp_path, first_start=True)
    (tmp_path / "new.log").write_bytes(lines(10, 20))
    (tmp_path / "new.log.1.gz").write_bytes(gzip.compress(lines(20, 30)))
    daemon.turn()
    assert sorted(daemon.lines) == sorted(lines(10, 30).splitlines())


def test_what_is_there_when_a_source_is_added_is_left_to_a_backfill(
    tmp_path: Path, daemon: Any
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for directory in (old, new):
        directory.mkdir()
    (old / "access.log").write_bytes(lines(0, 10))
    (new / "access.log").write_bytes(lines(10, 20))
    (new / "access.log.2.gz").write_bytes(gzip.compress(lines(20, 30)))
    daemon.start(old)
    (old / "late.log").write_bytes(lines(30, 40))
    daemon.start(new, old, new_sources={0})
    append(new / "access.log", lines(40, 50))
    (new / "later.log").write_bytes(lines(50, 60))
    daemon.turn()
    expected = [lines(0, 10), lines(30, 40), lines(40, 50), lines(50, 60)]
    assert sorted(daemon.lines) == sorted(b"".join(expected).splitlines())


def test_a_source_that_is_written_in_another_way_loses_nothing(log: Path, daemon: Any) -> None:
    """What was rotated while the daemon was down has an elder that is known."""
    log.write_bytes(lines(0, 10))
    daemon.start(log)
    daemon.stop()
    rename(log)
    log.write_bytes(lines(10, 20))
    daemon.start(FollowSource(os.fsencode(log.parent)), new_sources={0})
    assert sorted(daemon.lines) == sorted(lines(0, 20).splitlines())


def test_generations_that_no_earlier_version_told_are_left_to_a_backfill(
    log: Path, daemon: Any, registry: Any
) -> None:
    """But for those that are younger than what was read: they came while the daemon was down."""
    log.write_bytes(lines(0, 10))
    daemon.start(log, first_start=True)
    append(log, lines(10, 20))
    daemon.stop()
    log.rename(log.parent / "access-2026-11-03T01-02-03.456.log")
    for day, first in ((1, 100), (2, 200), (4, 300)):
        name = f"access-2026-11-0{day}T01-02-03.456.log.gz"
        (log.parent / name).write_bytes(gzip.compress(lines(first, first + 5)))
    log.write_bytes(lines(400, 405))
    daemon.start(log, more_told=True)
    daemon.turn()
    expected = lines(10, 20) + lines(300, 305) + lines(400, 405)
    assert sorted(daemon.lines) == sorted(expected.splitlines())
    left = [one.path.rpartition(b"/")[2] for one in registry.files.values() if one.origin == END]
    assert [name[12:17] for name in left] == [b"11-02", b"11-01"], "a kill may come between"


def test_what_an_earlier_version_left_out_for_its_directory_is_left_to_a_backfill(
    log: Path, daemon: Any
) -> None:
    """It took the word that exclude names for one of the path: a log that came meanwhile is new."""
    source = FollowSource(os.fsencode(log.parent), exclude=("*error*",))
    log.write_bytes(lines(0, 10))
    daemon.start(source, first_start=True)
    daemon.stop()
    left_out, new = (log.parent / site / "access.log" for site in ("terror.example", "a.example"))
    for first, one in ((100, left_out), (200, new)):
        one.parent.mkdir()
        one.write_bytes(lines(first, first + 5))
    daemon.start(source, more_told=True)
    append(left_out, lines(110, 115))
    daemon.turn()
    expected = lines(110, 115) + lines(200, 205)
    assert sorted(daemon.lines) == sorted(expected.splitlines())


def test_so_is_it_behind_a_link_or_below_a_glob_and_not_what_another_source_had(
    tmp_path: Path, daemon: Any
) -> None:
    """By its own path nothing tells that an earlier version left it out."""
    sites, elsewhere = tmp_path / "logs" / "sites", tmp_path / "elsewhere" / "access.log"
    below, had = (sites / name / "access.log" for name in ("terror.example", "no-error.example"))
    for first, one in ((0, elsewhere), (100, below), (200, had)):
        one.parent.mkdir(parents=True)
        one.write_bytes(lines(first, first + 5))
    link = sites / "mirror.example" / "access.log"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    globbed = FollowSource(os.fsencode(tmp_path / "logs" / "*"), exclude=("*rror*",))
    daemon.start(globbed, FollowSource(os.fsencode(had.parent)), more_told=True)
    for first, one in ((10, elsewhere), (110, below), (210, had)):
        append(one, lines(first, first + 5))
    daemon.turn()
    expected = lines(10, 15) + lines(110, 115) + lines(200, 205) + lines(210, 215)
    assert sorted(daemon.lines) == sorted(expected.splitlines())


@pytest.mark.parametrize(("start", "count"), [("beginning", 30), ("end", 0), (1500, 10)])
def test_run_start_decides_over_what_is_there(
    log: Path, daemon: Any, start: Any, count: int
) -> None:
    for age, path in enumerate([log, Path(f"{log}.1"), Path(f"{log}.2")]):
        path.write_bytes(lines(age * 10, age * 10 + 10))
        os.utime(path, (2000 - age * 1000, 2000 - age * 1000))
    daemon.start(log, first_start=True, start=start)
    assert len(daemon.lines) == count


def test_held_back_stretches_are_read_again_wherever_the_file_is_now(
    log: Path, daemon: Any
) -> None:
    log.write_bytes(lines(0, 300))
    daemon.acking = False
    daemon.start(log, options=SMALL)
    spans = [chunk.span for chunk in daemon.chunks[1:4]]
    data = [chunk.data for chunk in daemon.chunks[1:4]]
    for moved in (lambda: None, lambda: rename(log), lambda: compress(log)):
        moved()
        daemon.turn()
        daemon.turn()
        daemon.chunks.clear()
        daemon.follower.reread(spans)
        daemon.turn()
        daemon.turn()
        again = [chunk for chunk in daemon.chunks if chunk.again]
        assert b"".join(chunk.data for chunk in again) == b"".join(data)
        assert (again[0].start, again[-1].end) == (spans[0].start, spans[-1].end)
        assert not [chunk for chunk in daemon.chunks if not chunk.again]


def test_an_archive_that_is_unpacked_slowly_is_known_by_its_lines(log: Path, daemon: Any) -> None:
    log.touch()
    Path(f"{log}.1.gz").write_bytes(gzip.compress(lines(0, 300)))
    daemon.start(log)
    assert len(daemon.lines) == 300
    unpacked = Path(f"{log}.1")
    unpacked.touch()
    daemon.turn()
    append(unpacked, lines(0, 20)[:-5])
    daemon.turn()
    append(unpacked, lines(0, 300)[len(lines(0, 20)) - 5 :])
    daemon.turn()
    assert len(daemon.lines) == 300


def test_thousands_of_archives_fit_into_the_memory(log: Path, daemon: Any) -> None:
    log.touch()
    for number in range(500):
        content = b"%d\n" % number + lines(0, 300)
        Path(f"{log}.{number + 1}.gz").write_bytes(gzip.compress(content))
    tracemalloc.start()
    daemon.start(log, first_start=True)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(daemon.follower.files()) == 501
    assert held < 500 * 5_000  # bytes; their heads alone would be 4,096 each


def rename(log: Path) -> None:
    log.rename(f"{log}.1")
    log.touch()


def compress(log: Path) -> None:
    plain = Path(f"{log}.1")
    Path(f"{log}.1.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


def test_a_held_back_stretch_waits_until_its_file_is_back(tmp_path: Path, daemon: Any) -> None:
    directory, aside = tmp_path / "logs", tmp_path / "aside"
    directory.mkdir()
    log = directory / "access.log"
    log.write_bytes(lines(0, 50))
    daemon.start(directory)
    (chunk,) = daemon.chunks
    log.rename(aside)
    log.write_bytes(lines(50, 60))
    for _ in range(3):
        daemon.turn(200)
    assert [state.state for state in daemon.follower.files()] == ["closed", "live"]
    daemon.follower.reread([Span(chunk.file, chunk.start, chunk.end)])
    daemon.turn()
    daemon.turn()
    assert any("wanted again" in finding.what for finding in daemon.findings)
    aside.rename(directory / "access.log.1")
    daemon.acking = False
    assert daemon.turn() == lines(0, 50).splitlines()
    assert daemon.chunks[-1].again


def test_what_could_not_be_read_again_is_tried_at_the_next_rescan(
    tmp_path: Path, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = tmp_path / "a.log", tmp_path / "b.log"
    log.write_bytes(lines(0, 50))
    daemon.acking = False
    daemon.start(tmp_path, options=FollowOptions(max_open_files=1))
    other.write_bytes(lines(50, 60))
    for _ in range(5):
        daemon.turn()  # the directory's time stands still for a while: no look at everything
    span = daemon.chunks[0].span
    real, stale = os.open, [1]

    def fails_once(path: Any, *rest: Any, **named: Any) -> int:
        if path == os.fsencode(log) and stale:
            stale.clear()
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", fails_once)
    daemon.follower.reread([span])
    daemon.poll()
    assert not stale
    assert daemon.turn() == lines(0, 50).splitlines()


def test_a_deleted_file_is_held_until_everything_of_it_is_acked(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 50))
    daemon.acking = False
    daemon.start(log)
    log.unlink()
    log.write_bytes(lines(50, 60))
    for _ in range(3):
        daemon.turn(20)
    assert [state.state for state in daemon.follower.files()] == ["deleted", "live"]
    daemon.follower.reread([daemon.chunks[0].span])
    assert daemon.turn() == lines(0, 50).splitlines()
    for chunk in daemon.chunks[:2]:
        daemon.ack(chunk)
    for _ in range(3):
        daemon.turn(200)
    assert [state.state for state in daemon.follower.files()] == ["closed", "live"]


def test_no_more_files_are_open_than_allowed_and_all_are_followed(
    tmp_path: Path, daemon: Any
) -> None:
    logs = [tmp_path / f"site{i}.log" for i in range(20)]
    for i, log in enumerate(logs):
        log.write_bytes(b"site %d\n" % i)
    before = len(list(Path("/proc/self/fd").iterdir()))
    daemon.start(tmp_path, options=FollowOptions(max_open_files=5))
    for turn in range(3):
        assert daemon.turn(20) == []
        for i, log in enumerate(logs):
            append(log, b"site %d turn %d\n" % (i, turn))
        assert len(daemon.poll()) == 20
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 5
    assert len(daemon.lines) == 80


def test_an_older_generation_is_read_before_a_younger_one(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(log, options=SMALL)
    append(log, lines(10, 500))
    log.rename(f"{log}.1")
    log.write_bytes(lines(500, 900))
    daemon.turn()
    assert daemon.lines == lines(0, 900).splitlines()


def test_many_logs_are_read_in_turn(tmp_path: Path, daemon: Any) -> None:
    (tmp_path / "a.log").write_bytes(lines(0, 500))
    (tmp_path / "b.log").write_bytes(lines(500, 1000))
    daemon.start(tmp_path, options=SMALL)
    keys = [chunk.file for chunk in daemon.chunks[:10]]
    assert keys == [keys[0], keys[1]] * 5
    assert keys[0] != keys[1]


def test_content_that_another_process_reads_is_asked_for_again(
    log: Path, daemon: Any, registry: Any
) -> None:
    log.write_bytes(lines(0, 10))
    registry.refused.add(1)
    daemon.start(log)
    assert not daemon.turn()
    registry.refused.clear()
    assert len(daemon.turn(30)) == 10


def test_states_tell_path_offset_size_and_backlog(log: Path, daemon: Any) -> None:
    log.write_bytes(lines(0, 10))
    follower = daemon.start(FollowSource(b"/nowhere"), log)
    append(log, b"12345")
    follower.poll()
    (state,) = follower.files()
    size = len(lines(0, 10))
    assert (state.path, state.source, state.position) == (os.fsencode(log), 1, size)
    assert (state.size, state.backlog, state.state) == (size + 5, 5, "live")
    assert follower.source_of(state.key) == 1
    assert follower.path_of(state.key) == os.fsencode(log)
    assert follower.sample(state.key, 10) == (lines(0, 10)[:10], b"words\n12345"[-10:])
    assert follower.keys_on_disk() == {state.key}
    assert follower.source_of(99) is None


def test_of_dated_logs_the_newest_is_live(tmp_path: Path, daemon: Any) -> None:
    for day in (1, 2, 3):
        (tmp_path / f"access.2024-01-0{day}.log").write_bytes(lines(day * 10, day * 10 + 10))
    follower = daemon.start(tmp_path)
    states = {state.path[-6:-4]: state.state for state in follower.files()}
    assert states == {b"01": "rotated", b"02": "rotated", b"03": "live"}


def test_nothing_is_listed_again_while_nothing_changes(
    tmp_path: Path, log: Path, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(lines(0, 10))
    daemon.start(tmp_path)
    for _ in range(3):
        daemon.turn()
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or real(path))
    daemon.turn()
    assert listed == []
    (tmp_path / "new.log").write_bytes(b"new\n")
    assert daemon.turn() == [b"new"]
    assert listed != []


def test_a_memory_registry_reads_everything_once(tmp_path: Path, daemon: Any) -> None:
    (tmp_path / "a.log").write_bytes(lines(0, 10))
    shutil.copy(tmp_path / "a.log", tmp_path / "b.log")
    daemon.registry = MemoryRegistry()
    daemon.acking = False
    daemon.start(tmp_path)
    assert len(daemon.lines) == 10
