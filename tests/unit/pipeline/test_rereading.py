"""Stretches that are read again are counted once."""

from __future__ import annotations

from ingestor.model import Span
from ingestor.pipeline.rereading import Uncounted


def test_a_stretch_is_to_be_counted_once_whatever_parts_of_it_come_first() -> None:
    left = Uncounted([Span(1, 0, 60), Span(1, 60, 100), Span(2, 0, 10)])
    assert left.take(Span(1, 50, 100))
    assert not left.take(Span(1, 50, 100))
    assert left.take(Span(1, 10, 20))
    assert not left.take(Span(1, 0, 30)), "a part of it was counted already"
    assert left.spans() == [Span(1, 0, 10), Span(1, 20, 50), Span(2, 0, 10)]
    left.add([Span(1, 10, 15), Span(3, 0, 5)])
    assert left.take(Span(1, 0, 15))
    assert left.spans() == [Span(1, 20, 50), Span(2, 0, 10), Span(3, 0, 5)]
