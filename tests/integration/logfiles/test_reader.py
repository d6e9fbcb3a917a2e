"""Pipes, archives that only begin like a log that was read, and files that change meanwhile."""

from __future__ import annotations

import gzip
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ingestor.logfiles import (
    Backfill,
    Damage,
    FollowSource,
    ReadOptions,
    Unsupported,
    discover,
    read_descriptor,
)
from ingestor.logfiles.compression import is_tar
from ingestor.logfiles.reader import LogFile, Reading, Rewritten, read_plain
from ingestor.logfiles.registry import END
from ingestor.model import Chunk

HEAD = b"#Fields: date time cs-method cs-uri-stem sc-status\n" * 40


def lines(start: int, stop: int) -> bytes:
    return b"".join(b"line %d and some more words\n" % i for i in range(start, stop))


def through_a_pipe(data: bytes) -> list[Chunk]:
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return list(read_descriptor(reader, 1, ReadOptions(max_line_bytes=1000)))
    finally:
        os.close(reader)
        thread.join()


@pytest.mark.parametrize(
    "compress", [lambda data: data, gzip.compress, zstandard.ZstdCompressor().compress]
)
@pytest.mark.parametrize("text", [b"", b"a", lines(0, 5000), lines(0, 3) + b"no newline"])
def test_a_pipe_is_read_to_its_end(compress: Callable[[bytes], bytes], text: bytes) -> None:
    chunks = through_a_pipe(compress(text))
    assert b"".join(chunk.data for chunk in chunks) == text
    assert [chunk.start for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]


def test_a_pipe_with_a_huge_line_passes_over_it() -> None:
    chunks = through_a_pipe(b"one\n" + b"x" * 500_000 + b"\ntwo\n")
    assert b"".join(chunk.data for chunk in chunks) == b"one\ntwo\n"
    assert sum(chunk.oversized for chunk in chunks) == 1


def test_a_pipe_that_cannot_be_decompressed_says_so() -> None:
    with pytest.raises(Damage):
        through_a_pipe(gzip.compress(lines(0, 5000))[:-20])
    with pytest.raises(Unsupported, match="zip"):
        through_a_pipe(b"PK\x03\x04 and so on")


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_what_was_written_after_its_head_was_looked_at_is_not_read_yet(
    tmp_path: Path, known: int
) -> None:
    """It may be another log's: the first look has to tell whose it is."""
    log = put(tmp_path, lines(0, 3))
    reading = Reading(1, [(0, END)], ReadOptions())
    with LogFile(log) as file:
        chunks, _ = read_plain(file, reading, ReadOptions(), lines(0, known))
        assert b"".join(chunk.data for chunk in chunks) == lines(0, known)
        assert reading.position == len(lines(0, known))


@pytest.mark.parametrize("count", [3, 500])
def test_what_does_not_begin_as_its_head_did_is_not_read(tmp_path: Path, count: int) -> None:
    log = put(tmp_path, lines(1000, 1000 + count))
    reading = Reading(1, [(0, END)], ReadOptions())
    with LogFile(log) as file, pytest.raises(Rewritten):
        read_plain(file, reading, ReadOptions(), lines(0, count)[:4096])


def put(directory: Path, content: bytes) -> bytes:
    log = directory / "access.log"
    log.write_bytes(content)
    return os.fsencode(log)


def test_a_pipe_gives_each_line_as_it_comes() -> None:
    reader, writer = os.pipe()
    chunks = read_descriptor(reader, 1, ReadOptions())
    os.write(writer, b"the first line\nand ha")
    assert next(chunks).data == b"the first line\n"
    os.write(writer, b"lf\n")
    assert next(chunks).data == b"and half\n"
    os.close(writer)
    assert list(chunks) == []
    os.close(reader)


def test_an_archive_that_begins_like_a_known_log_is_read_as_another(
    tmp_path: Path, daemon: Any, registry: Any
) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(HEAD + lines(0, 500))
    daemon.start(log)
    daemon.stop()
    log.unlink()
    other = tmp_path / "access.log.1.gz"
    other.write_bytes(gzip.compress(HEAD + lines(1000, 1500)))
    daemon.start(log)
    daemon.turn()
    assert daemon.lines.count(b"line 1000 and some more words") == 1
    assert daemon.lines[-1] == b"line 1499 and some more words"
    assert len(registry.files) == 2


def test_a_backfill_tells_such_an_archive_apart_too(tmp_path: Path, registry: Any) -> None:
    for name, start in (("a.gz", 0), ("b.gz", 1000)):
        archive = tmp_path / name
        archive.write_bytes(gzip.compress(HEAD + lines(start, start + 500)))
        run = Backfill(discover([FollowSource(os.fsencode(archive))]).files, registry)
        got = b""
        for chunk in run:
            got += chunk.data
            registry.ack(chunk.file, chunk.start, chunk.end)
            marker = run.marker_at(chunk.file, chunk.end)
            registry.update(chunk.file, marker=marker)
        assert got == HEAD + lines(start, start + 500)
        archive.unlink()


def test_other_compressions_are_named_and_passed_over(tmp_path: Path, daemon: Any) -> None:
    (tmp_path / "a.log.zip").write_bytes(b"PK\x03\x04 and so on")
    daemon.start(tmp_path)
    run = Backfill(discover([FollowSource(os.fsencode(tmp_path))]).files, daemon.registry)
    assert list(run) == []
    for findings in (daemon.findings, run.findings):
        assert [finding.what for finding in findings] == ["compressed as zip, which is not read"]


def test_a_file_that_was_empty_when_it_was_met_may_become_an_archive(
    tmp_path: Path, daemon: Any
) -> None:
    archive = tmp_path / "old-access-log"  # its name does not tell
    archive.touch()
    daemon.start(tmp_path)
    archive.write_bytes(gzip.compress(lines(0, 500)))
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 500)


@pytest.mark.parametrize("compression", ["", "gz", "xz"])
def test_a_tar_archive_is_no_log_though_it_has_the_lines_of_one(
    tmp_path: Path, daemon: Any, compression: str
) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(lines(0, 500))
    with tarfile.open(tmp_path / "logs.tar", f"w:{compression}") as tar:
        tar.add(log, "access.log")
    log.unlink()
    daemon.start(tmp_path)
    run = Backfill(discover([FollowSource(os.fsencode(tmp_path))]).files, daemon.registry)
    assert list(run) == []
    assert daemon.lines == []
    for findings in (daemon.findings, run.findings):
        assert [finding.what for finding in findings] == ["a tar archive, which is not read"]


def test_a_file_that_was_empty_when_it_was_met_may_become_a_tar_archive(
    tmp_path: Path, daemon: Any
) -> None:
    log, archive = tmp_path / "access.log", tmp_path / "access.log.tar"
    log.write_bytes(lines(0, 500))
    archive.touch()
    daemon.start(tmp_path)
    with tarfile.open(archive, "w") as tar:
        tar.add(log, "access.log")
    daemon.turn()
    assert b"\n".join(daemon.lines) + b"\n" == lines(0, 500)
    assert [finding.what for finding in daemon.findings] == ["a tar archive, which is not read"]


def test_no_text_passes_for_a_tar_archive() -> None:
    assert not is_tar(b"ustar" * 200)
    assert not is_tar(b"")
