"""Page views in the journal and out of it."""

from __future__ import annotations

import zlib

import orjson
import pytest

from ingestor.delivery.bodies import pack, unpack
from ingestor.model import PageView, Span

PAYLOAD = {"website": "w", "url": "/ü☃", "timestamp": 1_790_000_000}
VIEWS = [
    PageView.of("w", PAYLOAD, Span(7, 0, 10), 3, b"\xff line one"),
    PageView.of("w", {**PAYLOAD, "url": "/2"}, Span(1 << 60, 10, 1 << 62), 12, b""),
]


def test_page_views_come_back_as_they_were():
    assert unpack(pack(VIEWS, lambda line: line), "w") == tuple(VIEWS)


def test_lines_are_masked_and_cut():
    view = VIEWS[0]._replace(line=b"secret" * 1000)
    (back,) = unpack(pack([view], lambda line: line.replace(b"secret", b"***")), "w")
    assert back.line == (b"***" * 1000)[:2048]


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"garbage",
        pack(VIEWS, bytes)[:-9],
        zlib.compress(b"{}"),
        zlib.compress(orjson.dumps([2, []])),
        zlib.compress(orjson.dumps([1, [[1, 2]]])),
        zlib.compress(orjson.dumps([1, [[1, 2, 3, 2, "", None]]])),
    ],
)
def test_what_was_never_written_is_refused(packed):
    with pytest.raises(ValueError, match="cannot be read"):
        unpack(packed, "w")
