"""Backfill: oldest first, each content once, what is damaged is said."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ingestor.errors import UsageError
from ingestor.logfiles import (
    Backfill,
    FollowSource,
    Found,
    MemoryRegistry,
    ReadOptions,
    discover,
)
from ingestor.logfiles.heads import Heads
from ingestor.logfiles.reader import LogFile

LONG_AGO = 1_600_000_000


def lines(start: int, stop: int) -> bytes:
    return b"".join(b"line %d and some more words\n" % i for i in range(start, stop))


def put(path: Path, data: bytes, age: int = 0) -> Path:
    path.write_bytes(data)
    os.utime(path, (LONG_AGO - age, LONG_AGO - age))
    return path


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def bz(data: bytes) -> bytes:
    return bz2.compress(data, 1)


def backfill(registry: Any, *paths: Path, **options: Any) -> Backfill:
    sources = [FollowSource(os.fsencode(path)) for path in paths]
    found = discover(sources, generations=False, required=True)
    return Backfill(found.files, registry, ReadOptions(**options))


def run(run_: Backfill, registry: Any = None) -> bytes:
    data = b""
    for chunk in run_:
        data += chunk.data
        if registry is not None:
            registry.finish(chunk, run_.marker_at)
    run_.settle()
    return data


def rotate(directory: Path, *, packed: str = "") -> None:
    """As logrotate does: each generation one further, and a fresh log; then one is ``packed``."""
    for number in range(9, 0, -1):
        for suffix in ("", ".gz"):
            old = directory / f"access.log.{number}{suffix}"
            if old.exists():
                old.rename(directory / f"access.log.{number + 1}{suffix}")
    (directory / "access.log").rename(directory / "access.log.1")
    (directory / "access.log").touch()
    if packed:
        plain = directory / packed
        (directory / f"{packed}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()


@pytest.mark.parametrize("begin", [b"", b"# the same in each\n" * 300])
@pytest.mark.parametrize("acking", [True, False])
@pytest.mark.parametrize("packed", ["", "access.log.2", "access.log.3", "access.log.4"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("when", [0, 1, 3, 6])
def test_logs_that_are_rotated_meanwhile_are_read_by_their_new_names(
    tmp_path: Path,
    registry: Any,
    when: int,
    packed: str,
    begin: bytes,
    *,
    acking: bool,
    compressed: bool,
) -> None:
    for number in range(4, 0, -1):
        data = begin + lines(400 - number * 100, 500 - number * 100)
        if compressed and number > 2:
            put(tmp_path / f"access.log.{number}.gz", gzip.compress(data), number)
        else:
            put(tmp_path / f"access.log.{number}", data, number)
    put(tmp_path / "access.log", begin + lines(400, 500))

    def files() -> list[Found]:
        sources = [FollowSource(os.fsencode(tmp_path))]
        return discover(sources, generations=False).files

    reading = Backfill(files(), registry, ReadOptions(chunk_bytes=2_000), again=files)
    read = []
    for at, chunk in enumerate(reading):
        if at == when:
            rotate(tmp_path, packed="" if compressed and packed > "access.log.2" else packed)
            head, _ = reading.sample(chunk.file)
            assert head.startswith(begin + b"line ") or (packed and not head)
        read += chunk.data.splitlines(keepends=True)
        if acking:
            registry.ack(chunk.file, chunk.start, chunk.end)
    expected = begin * 5 + lines(0, 500)
    assert Counter(read) == Counter(expected.splitlines(keepends=True))
    assert reading.findings == []


def test_what_was_removed_before_it_was_read_is_said(tmp_path: Path, registry: Any) -> None:
    put(tmp_path / "a.log", lines(0, 10), 2)
    gone = put(tmp_path / "b.log", lines(10, 20), 1)

    def files() -> list[Found]:
        return discover([FollowSource(os.fsencode(tmp_path))], generations=False).files

    reading = Backfill(files(), registry, again=files)
    gone.unlink()
    assert run(reading, registry) == lines(0, 10)
    assert ["removed" in finding.what for finding in reading.findings] == [True]


def test_all_generations_are_read_oldest_first_whatever_they_are_compressed_with(
    tmp_path: Path, registry: Any
) -> None:
    put(tmp_path / "access.log.10.gz", gzip.compress(lines(0, 10)), 10)
    put(tmp_path / "access.log.9.bz2", bz2.compress(lines(10, 20)), 9)
    put(tmp_path / "access.log.3.xz", lzma.compress(lines(20, 30)), 8)
    put(tmp_path / "access.log.2.zst", zst(lines(30, 40)), 7)
    put(tmp_path / "access.log.1", lines(40, 50), 6)
    put(tmp_path / "access.log", lines(50, 60), 7)  # its time is wrong, its name is not
    first = backfill(registry, tmp_path)
    assert run(first, registry) == lines(0, 60)
    assert (first.counts.files, first.counts.bytes) == (6, len(lines(0, 60)))
    again = backfill(registry, tmp_path)
    assert run(again, registry) == b""
    assert (again.counts.files, again.counts.skipped) == (0, 6)


def test_a_name_tells_nothing_about_the_compression(tmp_path: Path, registry: Any) -> None:
    put(tmp_path / "a.log", gzip.compress(lines(0, 10)))
    put(tmp_path / "b.log.gz", lines(10, 20))
    assert run(backfill(registry, tmp_path), registry) == lines(0, 20)


def test_members_one_after_the_other_are_one_log(tmp_path: Path, registry: Any) -> None:
    put(tmp_path / "a.gz", gzip.compress(lines(0, 9)) + gzip.compress(lines(9, 10)) + bytes(512), 4)
    put(tmp_path / "b.xz", lzma.compress(lines(10, 19)) + lzma.compress(lines(19, 20)), 3)
    put(
        tmp_path / "c.zst",
        zst(lines(20, 29)) + b"\x50\x2a\x4d\x18\x02\0\0\0ab" + zst(lines(29, 30)),
        2,
    )
    put(tmp_path / "d.bz2", bz2.compress(lines(30, 39)) + bz2.compress(lines(39, 40)), 1)
    assert run(backfill(registry, tmp_path), registry) == lines(0, 40)


@pytest.mark.parametrize("compress", [gzip.compress, bz, lzma.compress, zst])
def test_whole_lines_before_a_damage_are_read_and_the_rest_when_it_is_mended(
    tmp_path: Path, registry: Any, compress: Any
) -> None:
    text = b"".join(b"%d %s\n" % (i, os.urandom(40).hex().encode()) for i in range(8_000))
    whole = compress(text)
    archive = put(tmp_path / "a.log.1.gz", whole[: len(whole) * 3 // 4])
    first = backfill(registry, archive)
    got = run(first, registry)
    assert text.startswith(got)
    assert got.endswith(b"\n")
    assert len(got) > len(text) // 3
    assert first.counts.damaged == 1
    assert ["it ends in the middle" in finding.what for finding in first.findings] == [True]
    put(archive, whole)
    assert got + run(backfill(registry, archive), registry) == text


@pytest.mark.parametrize("compress", [gzip.compress, bz, lzma.compress, zst])
def test_a_missing_end_is_noticed_though_all_lines_are_there(
    tmp_path: Path, registry: Any, compress: Any
) -> None:
    archive = put(tmp_path / "a.log.1.gz", compress(lines(0, 100))[:-1])
    run_ = backfill(registry, archive)
    assert lines(0, 100).startswith(run(run_, registry))
    assert run_.counts.damaged == 1


@pytest.mark.parametrize("compress", [gzip.compress, bz, lzma.compress])
def test_garbage_is_a_finding_and_never_stops_the_rest(
    tmp_path: Path, registry: Any, compress: Any
) -> None:
    data = bytearray(compress(lines(100, 20_000)))
    data[len(data) // 2] ^= 0x55
    put(tmp_path / "a.log", bytes(data), 3)
    put(tmp_path / "b.log", compress(lines(0, 10)) + b"and garbage", 2)
    put(tmp_path / "c.log", lines(10, 20), 1)
    run_ = backfill(registry, tmp_path)
    assert run(run_, registry).endswith(lines(0, 20))
    assert [b"a.log" in finding.path for finding in run_.findings] == [True, False]


def test_a_copy_and_a_gz_beside_its_original_are_read_once(tmp_path: Path, registry: Any) -> None:
    put(tmp_path / "access.log.1", lines(0, 500))
    put(tmp_path / "access.log.1.gz", gzip.compress(lines(0, 500)))
    put(tmp_path / "copy.log", lines(0, 500))
    put(tmp_path / "half.log", lines(0, 250))
    put(tmp_path / "more.log", lines(0, 600))
    assert sorted(run(backfill(registry, tmp_path), registry).splitlines()) == sorted(
        lines(0, 600).splitlines()
    )


def test_logs_with_the_same_head_are_different_logs(tmp_path: Path, registry: Any) -> None:
    head = b"#Fields: date time\n" * 100
    put(tmp_path / "a.log", head + lines(0, 10))
    put(tmp_path / "b.gz", gzip.compress(head + lines(10, 20)))
    put(tmp_path / "c.gz", gzip.compress(head + lines(20, 30)))
    got = run(backfill(registry, tmp_path), registry)
    assert sorted(got.replace(head, b"").splitlines()) == sorted(lines(0, 30).splitlines())


def test_what_begins_as_a_log_that_an_earlier_run_read_is_another_where_it_goes_on_otherwise(
    tmp_path: Path, registry: Any
) -> None:
    one = put(tmp_path / "one.log", lines(0, 1), age=20)
    two = put(tmp_path / "two.log", lines(0, 1), age=10)
    assert run(backfill(registry, tmp_path), registry) == lines(0, 1)
    put(one, lines(0, 2), age=20)
    put(two, lines(0, 1) + lines(7, 8))
    assert run(backfill(registry, tmp_path), registry) == lines(1, 2) + two.read_bytes()


def test_logs_of_two_sites_are_two_though_they_are_alike(tmp_path: Path, registry: Any) -> None:
    sources = []
    for name in ("a", "b"):
        put(tmp_path / name, lines(0, 1))
        sources.append(FollowSource(os.fsencode(tmp_path / name), site=name))
    found = discover(sources, generations=False)
    assert run(Backfill(found.files, registry), registry) == lines(0, 1) * 2
    put(tmp_path / "b", lines(0, 1) + lines(7, 8))
    assert run(Backfill(discover(sources).files, registry), registry) == lines(7, 8)


def test_what_the_daemon_read_is_not_read_again(tmp_path: Path, daemon: Any, registry: Any) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(lines(0, 100))
    daemon.start(log, first_start=True)
    with log.open("ab") as file:
        file.write(lines(100, 120))
    daemon.turn()
    assert daemon.lines == lines(100, 120).splitlines()
    daemon.stop()
    put(tmp_path / "access.log.1.gz", gzip.compress(log.read_bytes()))
    log.unlink()
    registry.below_origin = True
    assert run(backfill(registry, tmp_path), registry) == lines(0, 100)


def test_content_that_another_process_reads_is_left_alone(tmp_path: Path, registry: Any) -> None:
    put(tmp_path / "a.log", lines(0, 10))
    run(backfill(registry, tmp_path))
    registry.refused.add(1)
    run_ = backfill(registry, tmp_path)
    assert run(run_) == b""
    assert run_.counts.refused == 1
    assert len(run_.findings) == 1


def test_an_unfinished_last_line_counts_when_nobody_writes_any_more(
    tmp_path: Path, registry: Any
) -> None:
    log = put(tmp_path / "a.log", b"one\ntwo")
    found = discover([FollowSource(os.fsencode(log))]).files
    soon = Backfill(found, registry, now=lambda: LONG_AGO + 1.0)
    assert run(soon, registry) == b"one\n"
    later = Backfill(found, registry, now=lambda: LONG_AGO + 6.0)
    assert run(later, registry) == b"two"
    assert run(Backfill(found, MemoryRegistry(), final=True)) == b"one\ntwo"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("first", [b"", b"\xef\xbb\xbf", b"\0\0", b"one\n", b"one\n\0\0"])
def test_half_a_line_that_an_earlier_run_took_is_read_again_when_it_is_whole(
    tmp_path: Path, registry: Any, first: bytes, pack: Any
) -> None:
    registry.takes_halves = True
    log = put(tmp_path / "a.log", first + b"half")
    run(backfill(registry, log), registry)
    log.unlink()
    put(log, pack(first + b"half a line\nand one\n"))
    assert run(backfill(registry, log), registry) == b"half a line\nand one\n"
    assert run(backfill(registry, log), registry) == b""


@pytest.mark.parametrize("again", [True, False])
def test_of_a_log_that_was_restored_only_what_is_new_is_read(
    tmp_path: Path, registry: Any, *, again: bool
) -> None:
    log = put(tmp_path / "a.log", lines(0, 1000))
    run(backfill(registry, log), registry)
    put(log, lines(0, 900))
    if again:
        assert run(backfill(registry, log), registry).count(b"\n") < 150
    put(log, lines(0, 900) + lines(3000, 3100))
    got = run(backfill(registry, log), registry)
    assert got.endswith(lines(3000, 3100))
    assert got.count(b"\n") < 250
    assert run(backfill(registry, log), registry) == b""


def test_a_copy_cut_in_its_first_line_is_found_among_many_generations(
    tmp_path: Path, registry: Any
) -> None:
    for number in range(1, 200):
        put(tmp_path / f"access.log.{number}", lines(number * 1_000, number * 1_000 + 5), number)
    assert run(backfill(registry, tmp_path), registry).count(b"\n") == 199 * 5
    for number in (7, 77, 177):
        half = (tmp_path / f"access.log.{number}").read_bytes()[:20]
        put(tmp_path / f"access.log.{number + 300}", half, number)
    put(tmp_path / "access.log.900", b"line 7", 1)
    put(tmp_path / "access.log.901", b"line 6x", 1)
    assert run(backfill(registry, tmp_path), registry) == b"line 6x"


def test_half_of_a_line_whose_beginning_is_out_of_reach_is_let_be(
    tmp_path: Path, registry: Any
) -> None:
    log = put(tmp_path / "a.log", b"one\n" + b"x" * 500)
    run(backfill(registry, log, max_line_bytes=200), registry)
    put(log, b"one\n" + b"x" * 500 + b"yz\ntwo\n")
    assert run(backfill(registry, log, max_line_bytes=200), registry) == b"yz\ntwo\n"


def test_stretches_acked_out_of_order_leave_exactly_the_gaps(tmp_path: Path, registry: Any) -> None:
    text = lines(0, 1000)
    for path in (tmp_path / "a.log", tmp_path / "b.gz"):
        registry.files.clear()
        put(path, text if path.suffix == ".log" else gzip.compress(text))
        run_ = backfill(registry, path, chunk_bytes=3000, max_line_bytes=1000)
        chunks = list(run_)
        assert b"".join(chunk.data for chunk in chunks) == text
        key = chunks[0].file
        for chunk in chunks[::2]:
            registry.ack(key, chunk.start, chunk.end)
        rest = list(backfill(registry, path, chunk_bytes=3000, max_line_bytes=1000))
        assert b"".join(chunk.data for chunk in rest) == b"".join(
            text[chunk.start : chunk.end] for chunk in chunks[1::2]
        )
        path.unlink()


def test_a_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        for _ in range(40):
            file.write(bytes(1_000_000))
        for _ in range(20):
            file.write(b"x" * 1_000_000)
        file.write(b"\nend\n")
    chunks = list(backfill(MemoryRegistry(), bomb))
    assert [chunk.data for chunk in chunks] == [b"", b"", b"end\n"]
    assert [chunk.oversized for chunk in chunks] == [0, 1, 0]


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path: Path, registry: Any) -> None:
    with pytest.raises(UsageError, match="there is no"):
        backfill(registry, tmp_path / "nothing")
    with pytest.raises(UsageError, match="no file matches"):
        backfill(registry, tmp_path / "*.log")


def test_a_copy_made_while_the_first_is_unfinished_gives_only_its_rest(
    tmp_path: Path, registry: Any
) -> None:
    put(tmp_path / "access.log.2", lines(0, 100), 5)
    put(tmp_path / "access.log.1", lines(0, 150), 4)
    shutil.copy2(tmp_path / "access.log.1", tmp_path / "z.log")
    assert run(backfill(registry, tmp_path), registry) == lines(0, 150)


def test_a_small_copy_of_a_log_that_was_read_and_has_grown_is_not_read_again(
    tmp_path: Path, registry: Any
) -> None:
    log = put(tmp_path / "access.log", lines(0, 60))
    assert run(backfill(registry, tmp_path), registry) == lines(0, 60)
    put(tmp_path / "access.log.1", lines(0, 9), age=10)
    put(log, lines(0, 80))
    assert run(backfill(registry, tmp_path), registry) == lines(60, 80)


def test_a_plain_copy_that_the_daemon_remembered_is_not_looked_into(
    tmp_path: Path, registry: Any
) -> None:
    log = put(tmp_path / "access.log", lines(0, 60))
    assert run(backfill(registry, log), registry) == lines(0, 60)
    key = registry.known()[0].key
    put(log, b"another log by now\n")
    copy = put(tmp_path / "access.log.1", b"\0" + lines(0, 60))  # nothing tells it by its content
    status = copy.stat()
    registry.remember_copy(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, key)
    assert run(backfill(registry, copy), registry) == b""


def test_a_log_that_begins_as_a_deleted_one_did_and_is_written_meanwhile_is_read_from_its_start(
    tmp_path: Path, registry: Any, write_meanwhile: Any
) -> None:
    log = put(tmp_path / "access.log", lines(0, 50))
    assert run(backfill(registry, tmp_path), registry) == lines(0, 50)
    log.rename(tmp_path / ".away")
    put(log, lines(0, 22))
    write_meanwhile("backfill", lines(1000, 1200))
    assert run(backfill(registry, tmp_path), registry) == b""  # as far as it was looked at
    assert run(backfill(registry, tmp_path), registry) == lines(0, 22) + lines(1000, 1200)


def test_an_archive_that_was_empty_when_it_was_opened_is_left_to_the_next_run(
    tmp_path: Path, registry: Any, meanwhile: Any
) -> None:
    archive = put(tmp_path / "access.log.1.gz", b"")
    whole = gzip.compress(lines(0, 60))
    meanwhile("backfill", lambda path: path.write_bytes(whole), opened=True)
    assert run(backfill(registry, archive), registry) == b""
    assert not registry.known()
    assert run(backfill(registry, archive), registry) == lines(0, 60)


def test_of_generations_that_begin_alike_for_long_the_one_that_goes_on_so_is_found(
    tmp_path: Path,
) -> None:
    """Of a head so much is kept; ten thousands of generations would be 4 KB each."""
    alike = b"#Fields: " + b"of many fields " * 40 + b"\n"
    short = put(tmp_path / "access.log", alike + lines(0, 2))
    put(tmp_path / "access.log.1", alike + lines(5, 9), age=100)
    longer = put(tmp_path / "access.log.2.gz", gzip.compress(alike + lines(0, 9)), age=200)
    found = discover([FollowSource(os.fsencode(tmp_path))]).files
    heads = Heads(found)
    given = list(heads.longer_than(short.read_bytes(), os.fsencode(short)))
    assert [(os.fsdecode(one.path), head) for one, head in given] == [
        (str(longer), alike + lines(0, 9))
    ]
    assert list(heads.longer_than(alike + lines(0, 9), os.fsencode(longer))) == []


def test_generations_with_the_same_long_header_are_told_apart_without_a_look_at_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of some thousand short archives was held against all others: opened, decompressed."""
    header = b"#Fields: " + b"of many fields " * 40 + b"\n"
    for i in range(40):
        put(tmp_path / f"access.log.{i}.gz", gzip.compress(header + lines(i, i + 3)), age=100 * i)
    found = discover([FollowSource(os.fsencode(tmp_path))]).files
    heads = Heads(found)
    opened: list[bytes] = []
    log_file = LogFile

    def opening(path: bytes) -> LogFile:
        opened.append(path)
        return log_file(path)

    monkeypatch.setattr("ingestor.logfiles.heads.LogFile", opening)
    for i in range(40):
        path = os.fsencode(tmp_path / f"access.log.{i}.gz")
        assert list(heads.longer_than(header + lines(i, i + 3), path)) == []
    assert len(opened) == len(found)
