"""The look-up of a path's ending says what comparing with each extension says."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ingestor.formats.endings import Endings
from ingestor.pageviews import PageViewOptions

DEFAULT = frozenset(PageViewOptions().assets)


def words(texts: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array([int.from_bytes(text[-8:], "little") for text in texts], np.uint64)


def test_every_extension_is_found_and_nothing_beside_it() -> None:
    found = Endings(DEFAULT)
    for name in DEFAULT:
        expected = len(name) <= 7
        paths = [f"/a/b.c/d.{name}".encode(), f"/abcdefgh{name}".encode(), f"/a.{name}x".encode()]
        is_ending, no_dot, longer = found.end(words(paths)).tolist()
        assert (is_ending, no_dot) == (expected, False)
        assert longer == (f"{name}x" in DEFAULT)


@pytest.mark.parametrize(
    "extensions", [DEFAULT, {"a"}, {"js", "map"}, {f"e{n}" for n in range(900)}]
)
def test_any_eight_bytes_end_as_they_do(extensions: set[str]) -> None:
    found = Endings(extensions)
    rng = random.Random(1)
    endings = tuple(f".{name}".encode() for name in extensions if len(name) <= 7)
    pieces = [*endings, b".", b"..", b"/", b"\xae", b"\x2f", b"\xff", b"a", b"/.js"]
    texts = [b"".join(rng.choices(pieces, k=9))[-8:] for _ in range(20_000)]
    assert found.end(words(texts)).tolist() == [text.endswith(endings) for text in texts]


def test_without_extensions_there_is_none() -> None:
    assert not Endings({"a-b", "abcdefgh", ""}).any
