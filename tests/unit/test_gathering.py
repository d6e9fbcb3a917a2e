"""Page views of a backfill travel in whole batches, and none stays behind."""

from __future__ import annotations

from ingestor.model import PageView, Span
from ingestor.pipeline.gathering import Gathering

A, B = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c", "9f6e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"


def views(website: str, first: int, count: int) -> list[PageView]:
    return [
        PageView.of(website, {}, Span(1, at, at + 1), at, b"") for at in range(first, first + count)
    ]


def test_only_whole_batches_of_a_website_are_given() -> None:
    gathering = Gathering(10)
    assert gathering.add(views(A, 0, 7)) == []
    assert gathering.add(views(B, 7, 9)) == []
    assert gathering.add(views(A, 16, 5)) == views(A, 0, 7) + views(A, 16, 3)
    assert gathering.add(views(B, 21, 25)) == views(B, 7, 9) + views(B, 21, 21)
    assert gathering.rest() == views(A, 19, 2) + views(B, 42, 4)
    assert gathering.rest() == []


def test_what_is_held_back_is_bounded_however_many_websites_there_are() -> None:
    gathering = Gathering(10_000)
    given = [gathering.add(views(f"{A}{at}", at * 100, 100)) for at in range(100)]
    held = 10_000 - sum(map(len, given))
    assert 0 < held <= 4_000
    assert len(gathering.rest()) == held


def test_what_is_held_back_is_bounded_in_memory_however_long_its_lines_are() -> None:
    gathering = Gathering(500)
    long = [view._replace(line=b"x" * 20_000) for view in views(A, 0, 1_000)]
    given = held = 0
    for at, view in enumerate(long):
        given += len(gathering.add([view._replace(website=f"{A}{at % 20}")]))
        held = max(held, at + 1 - given)
    assert 0 < held * 20_000 <= 8_000_000
    assert given + len(gathering.rest()) == 1_000
