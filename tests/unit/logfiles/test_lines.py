"""The line cutter: any bytes in any pieces give the same lines, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingestor.logfiles.lines import MAX_CHUNKS, LineCutter
from ingestor.model import Chunk

LIMIT = 8
texts = st.lists(
    st.one_of(
        st.binary(max_size=12).map(
            lambda line: line.replace(b"\n", b"").replace(b"\0", b"") + b"\n"
        ),
        st.just(b"\0\0\0\0\0"),
        st.just(b"\0"),
        st.just(b"\n"),
        st.just(b"x" * 30 + b"\n"),
        st.just(b"half"),
    ),
    max_size=200,
).map(b"".join)


def cut(text: bytes, sizes: list[int], *, final: bool) -> list[Chunk]:
    """Feed a text piece by piece, as a reader does: what is left over comes again."""
    cutter = LineCutter(1, 100, LIMIT)
    chunks: list[Chunk] = []
    rest, at, i = b"", 0, 0
    while at < len(text) or rest:
        size = sizes[i % len(sizes)]
        i += 1
        last = at + size >= len(text)
        rest += text[at : at + size]
        at = min(at + size, len(text))
        before = cutter.position
        made = cutter.cut(rest, final=final and last)
        rest = rest[cutter.position - before :]
        chunks += made
        if last and not made and cutter.position == before:
            break
    return chunks


def expected(text: bytes, *, final: bool) -> list[tuple[int, int, bytes, int]]:
    """Do the same line by line: (start, end, line or nothing, oversized)."""
    made = []
    at = 0
    while at < len(text):
        if text[at] == 0:
            end = at + len(text[at:]) - len(text[at:].lstrip(b"\0"))
            if end == len(text) and not final:
                break
            made.append((at, end, b"", 0))
        else:
            newline = text.find(b"\n", at)
            if newline < 0 and not final:
                break
            end = newline + 1 if newline >= 0 else len(text)
            line = text[at:end]
            long = len(line.rstrip(b"\n")) > LIMIT
            made.append((at, end, b"" if long else line, int(long)))
        at = end
    return made


def flat(chunks: list[Chunk]) -> list[tuple[int, int, bytes, int]]:
    made = []
    for chunk in chunks:
        if not chunk.data:
            made.append((chunk.start - 100, chunk.end - 100, b"", chunk.oversized))
            continue
        at = chunk.start - 100
        for line in chunk.data.splitlines(keepends=True) if b"\r" not in chunk.data else []:
            made.append((at, at + len(line), line, 0))
            at += len(line)
    return made


@given(texts, st.lists(st.integers(1, 50), min_size=1, max_size=5), st.booleans())
def test_pieces_of_any_size_give_the_same_lines(text: bytes, sizes: list[int], final: bool) -> None:
    text = text.replace(b"\r", b"r").replace(b"\x0b", b"v").replace(b"\x0c", b"f")
    text = (
        text.replace(b"\x1c", b"").replace(b"\x1d", b"").replace(b"\x1e", b"").replace(b"\x85", b"")
    )
    assert flat(cut(text, sizes, final=final)) == expected(text, final=final)


@given(texts)
def test_chunks_follow_each_other_without_a_hole(text: bytes) -> None:
    chunks = cut(text, [64], final=True)
    at = 100
    for chunk in chunks:
        assert chunk.start == at < chunk.end
        assert not chunk.data or len(chunk.data) == chunk.end - chunk.start
        at = chunk.end
    assert at == 100 + len(text)


def test_a_line_of_exactly_the_limit_is_no_long_one() -> None:
    cutter = LineCutter(1, 0, LIMIT)
    assert [chunk.data for chunk in cutter.cut(b"x" * LIMIT + b"\n")] == [b"x" * LIMIT + b"\n"]
    assert [chunk.oversized for chunk in cutter.cut(b"x" * (LIMIT + 1) + b"\n")] == [1]


def test_nothing_is_kept_of_a_line_without_end() -> None:
    cutter = LineCutter(1, 0, LIMIT)
    for i in range(100):
        assert cutter.cut(b"x" * 1000) == []
        assert cutter.position == (i + 1) * 1000
    assert cutter.cut(b"\n") == [Chunk(1, 0, 100_001, b"", oversized=1)]


def test_a_call_gives_a_bounded_number_of_chunks() -> None:
    cutter = LineCutter(1, 0, LIMIT)
    data = b"a\n\0" * 10_000
    assert len(cutter.cut(data)) <= MAX_CHUNKS + 1
    assert 0 < cutter.position < len(data)


def test_a_jump_over_a_hole_counts_as_nuls() -> None:
    cutter = LineCutter(1, 0, LIMIT)
    cutter.jump(1_000_000)
    assert cutter.cut(b"\0a\n") == [
        Chunk(1, 0, 1_000_001, b""),
        Chunk(1, 1_000_001, 1_000_003, b"a\n"),
    ]


def test_a_byte_order_mark_at_the_very_beginning_is_of_no_line() -> None:
    mark = "\ufeff".encode()
    cutter = LineCutter(1, 0, LIMIT)
    assert cutter.cut(mark[:2]) == []
    assert cutter.cut(mark + b"a\n" + mark) == [Chunk(1, 0, 3, b""), Chunk(1, 3, 5, b"a\n")]
    assert cutter.cut(mark + b"\n") == [Chunk(1, 5, 9, mark + b"\n")]  # a line's own
    assert LineCutter(1, 100, LIMIT).cut(mark + b"\n") == [Chunk(1, 100, 104, mark + b"\n")]
    assert LineCutter(1, 0, LIMIT).cut(mark, final=True) == [Chunk(1, 0, 3, b"")]
