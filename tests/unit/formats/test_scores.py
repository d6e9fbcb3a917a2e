"""The foremost format is found without a look at all lines by all formats: it is the same one."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import ROOT

from ingestor.formats.detect import _candidates
from ingestor.formats.scores import Score, foremost, score_of

LATEST = 1_800_000_000
FILES = sorted(path for path in (ROOT / "sample_logs").rglob("*.log") if path.is_file())
LINES = [line for path in FILES for line in path.read_bytes().split(b"\n")[:30] if line.strip()]


def slowly(sample: list[bytes]) -> Score | None:
    """Every format on every line."""
    formats = [each.for_file(sample) for each in _candidates(UTC)]
    scores = [score_of(each, at, sample, LATEST) for at, each in enumerate(formats)]
    enough = [score for score in scores if score.is_enough(len(sample))]
    return max(enough, key=lambda score: score.merit, default=None)


def hold(sample: list[bytes]) -> None:
    found = foremost([each.for_file(sample) for each in _candidates(UTC)], sample, LATEST)
    slow = slowly(sample)
    assert (found and (found.format.name, found.merit)) == (slow and (slow.format.name, slow.merit))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_the_same_for_every_sample_log(path: Path) -> None:
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    hold(lines[:100])
    hold(lines[:3])
    hold([*lines[:19], b"no line of any format"])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_it_is_the_same_for_lines_of_several_logs(draw: st.DataObject) -> None:
    rare = st.lists(st.sampled_from(LINES), max_size=4)
    path = draw.draw(st.sampled_from(FILES))
    lines = [line for line in path.read_bytes().split(b"\n")[:30] if line.strip()]
    sample = lines * draw.draw(st.integers(1, 3)) + draw.draw(rare)
    hold(draw.draw(st.permutations(sample)))
