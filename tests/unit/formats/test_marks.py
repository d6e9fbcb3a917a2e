"""Marked bytes of a block are found as a plain search would find them, and never beyond a line."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from ingestor.formats.marks import Workspace, below, byte, ends_line, outside

KINDS = {
    "newline": (ends_line, r"\n"),
    "quote": (byte(ord('"')), r'["\n]'),
    "no word": (below(0x2D), r"[^-\x7f]"),
    "path's end": (below(ord("&"), but=ord("?")), r"[^&-:<->@-\x7f]"),
    "no digit": (outside(ord("0"), ord("9")), r"[^0-9]"),
}


def naive(kind: str, data: bytes) -> list[int]:

    pattern = KINDS[kind][1].replace("[^-", "[^\\x2d-")
    return [match.start() for match in re.finditer(pattern.encode("latin-1"), data, re.DOTALL)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_marks_are_where_a_plain_search_finds_them(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    alphabet = [b"a", b"0", b"-", b" ", b'"', b"?", b";", b"\xe9", b"%", b"x" * 70, b"7" * 130]
    weights = [9, 5, 2, 2, 1, 1, 1, 1, 1, 2, 1]
    lines = [b"".join(rng.choices(alphabet, weights, k=rng.randrange(12))) for _ in range(60)]
    data = b"\n".join(lines) + (b"\n" if rng.random() < 0.5 else b"")
    space = Workspace()
    space.load(b"something longer that was there before\n" * 300, 64)
    space.load(data, 64)
    marks = space.marks(KINDS[kind][0])
    expected = naive(kind, data)
    if not data.endswith(b"\n"):
        expected.append(len(data))  # the line's end all the same
    assert marks.all().tolist() == expected
    assert marks.count() == len(expected)
    offsets = np.arange(len(data))
    following = iter([*expected, space.limit])
    at, found = next(following), []
    for offset in range(len(data)):
        if offset > at:
            at = next(following)
        found.append(at)
    assert marks.next(offsets).tolist() == found
    counts = [sum(place < offset for place in expected) for offset in range(len(data))]
    assert marks.count_before(offsets).tolist() == counts


def test_no_search_goes_beyond_its_line() -> None:
    space = Workspace()
    space.load(b"no quote\n" + b"\n" * 1000 + b'"', 64)
    assert space.marks(byte(ord('"'))).next(np.array([0, 8, 500])).tolist() == [8, 8, 500]
