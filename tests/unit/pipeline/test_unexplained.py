"""Logs that no format explains are tried again, and keep no other log waiting."""

from __future__ import annotations

from typing import Any

import pytest

from ingestor.model import Chunk, Span
from ingestor.pipeline.daemon import _Daemon


async def test_logs_without_a_format_are_tried_again_in_turn_and_only_at_a_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    tried: list[int] = []

    def try_it(key: int) -> object | None:
        nonlocal now
        now += 0.15  # seconds that it takes to tell a format
        tried.append(key)
        return object() if key == 4 else None

    daemon: Any = object.__new__(_Daemon)
    daemon._scanner = try_it
    daemon._scanners = {}
    daemon._unexplained = {key: [Span(key, 0, 10)] for key in range(1, 6)}
    read: list[Span] = []
    daemon._read_uncounted = read.extend
    monkeypatch.setattr("time.monotonic", lambda: now)

    daemon._try_formats_again()
    assert tried == [1, 2]
    await daemon._take(Chunk(1, 10, 20, b"who|knows\n"))
    assert tried == [1, 2]
    daemon._try_formats_again()
    daemon._try_formats_again()
    assert tried == [1, 2, 3, 4, 5, 1]
    assert read == [Span(4, 0, 10)]
    assert daemon._unexplained[1] == [Span(1, 0, 20)]
    assert list(daemon._unexplained) == [2, 3, 5, 1]
