"""Stretches that are read again are counted once."""

from __future__ import annotations

import tracemalloc

from ingestor.model import Span
from ingestor.pipeline.rereading import HeldBack, Uncounted


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


def test_what_is_held_back_is_read_again_once_in_whole_stretches() -> None:
    held = HeldBack()
    assert not held
    came = [Span(1, 0, 10), Span(1, 10, 30), Span(1, 40, 50), Span(2, 50, 60), Span(1, 30, 40)]
    for span in [*came, Span(1, 60, 70), Span(1, 60, 70)]:
        held.add(span)
    assert held
    assert held.spans() == [Span(1, 0, 50), Span(1, 60, 70), Span(2, 50, 60)]


def test_what_is_held_back_between_page_views_of_others_takes_some_bytes_each() -> None:
    held = HeldBack()
    tracemalloc.start()
    for at in range(10_000):
        held.add(Span(1, 1_000_000 + at * 200, 1_000_000 + at * 200 + 100))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 10_000 * 40  # bytes; spans as they come take more than 150 each
