"""When the lines of a live log are suddenly all malformed, a person hears it, once."""

from __future__ import annotations

import logging

import pytest

from ingestor.model import Chunk, Malformed, Reason, Scanned, Tally
from ingestor.pipeline.misfits import Misfits


def judged(lines: int, malformed: dict[str, int], file: int = 1) -> Scanned:
    filtered = {Reason.ASSET.value: lines - sum(malformed.values())}
    return Scanned(Chunk(file, 0, 0, b""), [], Tally(lines, malformed, filtered))


def told(caplog: pytest.LogCaptureFixture, *chunks: Scanned) -> list[str]:
    misfits = Misfits()
    with caplog.at_level(logging.ERROR, "ingestor"):
        for chunk in chunks:
            misfits.note(chunk, b"/logs/a\nb.log", "combined")
    return [record.getMessage() for record in caplog.records]


def test_a_row_of_lines_that_the_format_does_not_explain_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = [judged(7, {Malformed.NO_MATCH: 7}) for _ in range(20)]
    (text,) = told(caplog, *row)
    assert "/logs/a\\nb.log: the last 21 lines are all malformed" in text
    assert "not written as combined" in text


def test_a_wrong_clock_is_named_as_such(caplog: pytest.LogCaptureFixture) -> None:
    (text,) = told(caplog, judged(50, {Malformed.TIME: 50}))
    assert "clock" in text


@pytest.mark.parametrize(
    "between",
    [
        judged(1, {}),
        judged(2, {Malformed.NO_MATCH: 1}),
        judged(1, {Malformed.REQUEST: 1}),  # TLS bytes, in a line of the format
    ],
)
def test_a_line_of_the_format_ends_the_row(
    caplog: pytest.LogCaptureFixture, between: Scanned
) -> None:
    most = judged(19, {Malformed.NO_MATCH: 19})
    assert told(caplog, most, between, most, between, most) == []


def test_each_file_has_a_row_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    most = [judged(19, {Malformed.NO_MATCH: 19}, file) for file in (1, 2, 3)]
    assert told(caplog, *most, judged(1, {}, 1), judged(1, {Malformed.JSON: 1}, 2))[1:] == []
    assert len(caplog.records) == 1
