"""The dead-letter file: what is kept, for how long, and for whom."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from ingestor.delivery import DeadLetter, DeadLetters, read_dead_letters

LETTER = DeadLetter(
    time=1_000,
    reason="Umami refuses it for ever",
    answer='{"error":{}}',
    file="/var/log/nginx/access.log",
    offset=4711,
    website="aaaaaaaa-0000-4000-8000-000000000001",
    line=b"192.0.2.1 - - [x] \x1b[31m",
    payload={"url": "/x", "timestamp": 5},
)


def letters(path: Path, *, max_bytes: int = 100_000, max_age: float = 1_000, now: float = 1_000):
    return DeadLetters(path, max_bytes=max_bytes, max_age=max_age, wall=lambda: now)


@pytest.mark.parametrize(
    "line",
    [b"plain", b"\xff\xfe invalid", b"", "ünï ☃".encode(), b"a\x00b\x1b[2J\\x22", b"\xed\xa0\x80"],
)
def test_a_line_comes_back_as_it_was(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    letters(path).append([replace(LETTER, line=line), LETTER])
    assert list(read_dead_letters(path)) == [replace(LETTER, line=line), LETTER]


def test_hostile_bytes_never_reach_the_file_raw(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    letters(path).append([replace(LETTER, answer="\x1b[31m\n", line=b"\n\x1b")])
    raw = path.read_bytes()
    assert raw.count(b"\n") == 1
    assert b"\x1b" not in raw


def test_the_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.touch(mode=0o644)
    letters(path).append([LETTER])
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        letters(path).append([LETTER])
    assert not (tmp_path / "elsewhere").exists()


def test_a_payload_that_json_cannot_hold_is_left_out_and_its_line_kept(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    letters(path).append([replace(LETTER, payload={"title": "\udcff"})])
    assert list(read_dead_letters(path)) == [replace(LETTER, payload=None)]


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    letters(path).append([LETTER])
    whole = path.read_bytes()
    path.write_bytes(
        b"# a note\n{}\n[1]\nnull\n"
        + whole
        + whole.replace(b'"line"', b'"line_base64"')
        + whole[:40]
    )
    assert list(read_dead_letters(path)) == [LETTER]


def test_a_torn_line_swallows_none_that_follows(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_bytes(b'{"time":1,"reason":"x","li')
    letters(path).append([LETTER])
    letters(path).append([LETTER])
    assert list(read_dead_letters(path)) == [LETTER, LETTER]


def test_a_letter_without_room_leaves_no_half_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    letters(path).append([LETTER])
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            letters(path).append([LETTER])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before


def test_the_space_is_bounded_and_the_newest_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "dead.jsonl"
    written = letters(path, max_bytes=8_000)
    for offset in range(300):
        written.append([replace(LETTER, offset=offset)])
        files = [file for file in (path, tmp_path / "dead.jsonl.1") if file.exists()]
        assert sum(file.stat().st_size for file in files) <= 8_000
    older = list(read_dead_letters(tmp_path / "dead.jsonl.1"))
    offsets = [letter.offset for letter in [*older, *read_dead_letters(path)]]
    assert offsets == list(range(offsets[0], 300))
    assert len(offsets) > 10
    assert {record.levelname for record in caplog.records} == {"ERROR"}, "the dropped are gone"


def test_nothing_gets_older_than_it_may(tmp_path: Path) -> None:
    path, older = tmp_path / "dead.jsonl", tmp_path / "dead.jsonl.1"
    letters(path, now=1_000).append([LETTER])
    letters(path, now=1_499).append([replace(LETTER, time=1_499)])
    assert not older.exists()
    letters(path, now=1_500).append([replace(LETTER, time=1_500)])
    assert [letter.time for letter in read_dead_letters(older)] == [1_000, 1_499]
    os.utime(older, (1_499, 1_499))
    letters(path, now=1_998).purge()
    assert older.exists()
    letters(path, now=1_999).purge()
    assert not older.exists()
    assert [letter.time for letter in read_dead_letters(path)] == [1_500]
