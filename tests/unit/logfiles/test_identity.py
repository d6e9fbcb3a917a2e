"""Fingerprints, markers and the catalogue over content in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.logfiles import identity
from ingestor.logfiles.identity import (
    HEAD,
    WINDOW,
    Catalogue,
    Fit,
    Marks,
    fit,
    has_marker,
    identity_of,
    last_left,
    marker_at,
    same_content,
    with_earlier,
    with_those_before,
)
from ingestor.model import Chunk, KnownFile


@dataclass
class Memory:
    data: bytes
    archived: bool = False

    @property
    def length(self) -> int | None:
        return None if self.archived else len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


def known(key: int, data: bytes, read: int, device: int = 1, inode: int = 1) -> KnownFile:
    marker = marker_at(Memory(data), read) if read else None
    return KnownFile(key, identity_of(device, inode, data), marker, b"/x", 0, read)


def of(known_: KnownFile, data: bytes, *, archived: bool = False) -> Fit:
    return fit(known_, Memory(data, archived), data[:HEAD])


def looks_by(name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Note what a function of identity.py is asked from now on."""
    looks: list[tuple[Any, ...]] = []
    asked = getattr(identity, name)

    def look(*about: Any) -> Any:
        looks.append(about)
        return asked(*about)

    monkeypatch.setattr(identity, name, look)
    return looks


@given(st.binary(min_size=1, max_size=3000), st.binary(max_size=3000), st.data())
def test_what_was_only_appended_to_is_the_same(
    data: bytes, more: bytes, draw: st.DataObject
) -> None:
    read = draw.draw(st.integers(0, len(data)))
    assert of(known(1, data, read), data + more) is Fit.YES


@given(st.binary(min_size=1, max_size=3000), st.data())
def test_a_change_in_the_head_or_before_the_offset_is_noticed(
    data: bytes, draw: st.DataObject
) -> None:
    read = draw.draw(st.integers(1, len(data)))
    at = draw.draw(
        st.one_of(
            st.integers(0, min(HEAD, len(data)) - 1), st.integers(max(0, read - WINDOW), read - 1)
        )
    )
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    assert of(known(1, data, read), changed) is Fit.NO


def test_what_ends_before_the_offset_is_cut() -> None:
    data = bytes(range(256)) * 40
    assert of(known(1, data, 8000), data[:7999]) is Fit.CUT
    assert of(known(1, data, 8000), data[: HEAD - 1]) is Fit.NO
    assert of(known(1, data, 8000), data[:6000], archived=True) is Fit.YES


def test_a_marker_near_the_start_is_short_and_still_true() -> None:
    marker = marker_at(Memory(b"abcdef"), 3)
    assert marker.length == 3
    assert has_marker(marker, Memory(b"abc"))
    assert not has_marker(marker, Memory(b"ab"))
    assert not has_marker(marker, Memory(b"abX"))


def test_a_copy_is_a_beginning_and_a_relative_is_not() -> None:
    head = b"#Fields\n" * 1000
    assert same_content(Memory(head + b"one"), Memory(head + b"one and more"))
    assert same_content(Memory(head), Memory(head + b"one"))
    assert not same_content(Memory(head + b"one"), Memory(head + b"two and more"))
    assert not same_content(Memory(head + b"one", archived=True), Memory(head + b"two"))
    assert same_content(Memory(head + b"one", archived=True), Memory(head + b"one"))


def test_candidates_come_by_content_first_and_an_empty_file_by_its_inode_alone() -> None:
    data = b"x" * 5000
    empty = known(1, b"", 0, inode=7)
    early, late = known(2, data, 300, inode=8), known(3, data, 3000, inode=9)
    other = known(4, b"y" * 5000, 10, inode=7)
    catalogue = Catalogue([empty, early, late, other])
    keys = [one.key for one in catalogue.candidates(1, 7, data[:HEAD])]
    assert keys == [3, 2, 1]
    assert [one.key for one in catalogue.candidates(1, 8, data[:HEAD])] == [2, 3]
    assert [one.key for one in catalogue.candidates(1, 7, b"")] == [1]
    assert catalogue.candidates(1, 99, b"") == []


@given(st.lists(st.text("ab\n", max_size=12).map(str.encode), max_size=30), st.text("ab\n"))
def test_candidates_are_those_whose_head_the_file_has(heads: list[bytes], text: str) -> None:
    files = [known(key, head, 0, inode=key) for key, head in enumerate(heads)]
    found = Catalogue(files).candidates(1, 99, text.encode())
    begun = {key for key, head in enumerate(heads) if head and text.encode().startswith(head)}
    assert {one.key for one in found} == begun


def test_short_logs_are_told_apart_without_a_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of twenty thousand archives of a few lines was hashed at all lengths of the others."""
    looks = looks_by("has_head", monkeypatch)
    files = [b"#Version: 1.0\n%d\n%b\n" % (number, b"x" * number) for number in range(1_000)]
    catalogue = Catalogue(
        [known(number, data, 0, inode=number) for number, data in enumerate(files)]
    )
    for number, data in enumerate(files):
        found = catalogue.candidates(1, 5_000, data)
        assert [one.key for one in found] == [number]
    assert len(looks) == len(files)


def test_a_known_file_that_moved_is_found_only_where_it_is_now() -> None:
    one = known(1, b"abc", 0, inode=7)
    catalogue = Catalogue([one])
    catalogue.add(replace(one, identity=identity_of(1, 8, b"abcdef")))
    assert catalogue.stands_at(1, 8, b"abcdef")
    assert not catalogue.stands_at(1, 7, b"abcdef")
    assert catalogue.candidates(1, 7, b"abc") == []


@given(st.lists(st.integers(1, 400), min_size=1, max_size=300), st.data())
def test_a_mark_is_never_beyond_the_watermark_and_always_true(
    sizes: list[int], draw: st.DataObject
) -> None:
    data = bytes(i * 31 % 251 for i in range(sum(sizes)))
    marks = Marks()
    at = 0
    for size in sizes:
        chunk = Chunk(1, at, at + size, data[at : at + size])
        before = data[max(0, at - WINDOW) : at]
        marks.note([chunk], before, chunk.data, at)
        at += size
    for watermark in sorted(draw.draw(st.lists(st.integers(0, at), max_size=5))):
        mark = marks.at(watermark)
        assert mark is None or (mark.offset <= watermark and has_marker(mark, Memory(data)))
    last = marks.at(at)
    assert last is not None
    assert last._replace(earlier=b"") == marker_at(Memory(data), at)
    earlier = with_those_before(last)
    assert all(has_marker(one, Memory(data)) for one in earlier)
    assert [one.offset for one in earlier] == sorted({one.offset for one in earlier})
    assert len(last.earlier) <= 32 * 16


def long_log(count: int) -> bytes:
    return b"".join(b"line %d and some more words\n" % i for i in range(count))


@pytest.mark.parametrize("restarts", [True, False])
@pytest.mark.parametrize("chunks", [1, 40])
@pytest.mark.parametrize("lost", [1, 30, 1000, 5000])
def test_wherever_a_log_was_cut_a_marker_is_left_not_far_before(
    lost: int, chunks: int, *, restarts: bool
) -> None:
    data = long_log(10_000)
    marks, at, last = Marks(), 0, None
    for end in [len(long_log(10_000 * i // chunks)) for i in range(1, chunks + 1)]:
        before = data[max(0, at - WINDOW) : at]
        marks.note([Chunk(1, at, end, data[at:end])], before, data[at:end], at)
        last, at = marks.at(end), end
        if restarts:
            marks = Marks(last)
    assert last is not None
    cut = long_log(10_000 - lost)
    left = last_left(last, Memory(cut + b"something else\n" * 5000))
    assert left is not None
    assert len(cut) - 4 * (len(data) - len(cut)) - 2 * WINDOW < left.offset <= len(cut)
    assert has_marker(left, Memory(cut))


def test_lines_that_are_all_the_same_tell_no_place() -> None:
    same = b"the same in each\n" * 1000
    for data in (same, bytes(20_000), b"x" * 20_000):
        marker = with_earlier(marker_at(Memory(data), len(data)), [marker_at(Memory(data), 8_500)])
        assert last_left(marker, Memory(data[:9_000])) is None


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=40), st.data())
def test_packed_marks_give_the_same_marker_at_the_end(
    sizes: list[int], draw: st.DataObject
) -> None:
    data = bytes(i * 31 % 251 for i in range(sum(sizes)))
    passed = draw.draw(st.integers(0, len(data)))
    packed, plain = Marks(), Marks()
    at = 0
    for size in sizes:
        for marks in packed, plain:
            before = data[max(0, at - WINDOW) : at]
            marks.note([Chunk(1, at, at + size, b"x")], before, data[at : at + size], at)
        at += size
    packed.at(passed)
    plain.at(passed)
    packed.pack()
    assert packed.at(at) == plain.at(at)
    assert packed.at(at) == plain.at(at)
    assert packed._inner == []


def test_marks_are_bounded() -> None:
    marks = Marks()
    for i in range(10_000):
        marks.note([Chunk(1, i, i + 1, b"x")], b"x", b"x", i)
    assert len(marks._marks) <= Marks.LIMIT


def test_a_short_content_is_known_for_a_beginning_of_a_longer_one_that_is_gone() -> None:
    data = b"".join(b"line %d\n" % number for number in range(2000))
    log = known(1, data, 3000)
    catalogue = Catalogue([log, known(2, data.replace(b"line 7\n", b"line x\n"), 9000)])
    assert catalogue.beginning_with(data[:60]) == [1]
    assert catalogue.beginning_with(data[:63] + b"half of") == [1]
    assert catalogue.beginning_with(data[:40]) == [2, 1]
    assert catalogue.beginning_with(b"line 0") == []
    assert catalogue.beginning_with(b"line 0\nother\n") == []
    assert catalogue.beginning_with(data[:HEAD]) == []  # as long as a fingerprint
    assert catalogue.beginning_with(data[:2000]) == []  # more lines than have rungs


def test_logs_with_the_same_header_are_told_apart_without_a_look_at_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CDN writes a small file an hour and place: minutes, where each is held against all."""
    looks = looks_by("is_beginning", monkeypatch)
    files = [b"#Version: 1.0\n#Fields: date time\n%d\nlast\n" % number for number in range(1_000)]
    catalogue = Catalogue([known(number, data, 0) for number, data in enumerate(files)])
    for number, data in enumerate(files):
        assert catalogue.beginning_with(data[: -len(b"last\n")]) == [number]
    assert len(looks) == len(files)
