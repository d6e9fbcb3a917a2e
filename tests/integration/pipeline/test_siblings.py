"""A log too short to tell its format, and what stands beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestor.config import Source
from ingestor.pipeline.siblings import Siblings

NOW = 1_796_083_200.0  # 2026-12-01T00:00:00Z
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FRONT = '192.0.2.10 - - [22/Nov/2026:10:11:12 +0100] "GET /pricing HTTP/1.1" 200 12 '


@pytest.fixture
def siblings(tmp_path: Path) -> Siblings:
    """A source whose one long log is written as combined."""
    line = f'{FRONT}"https://www.example.org/" "{AGENT}"\n'
    (tmp_path / "access.log").write_text(line * 60)
    return Siblings([Source(path=str(tmp_path))], lambda: NOW)


def test_a_short_log_is_read_as_the_long_one_beside_it(siblings: Siblings) -> None:
    found = siblings.format_of(0, [f'{FRONT}"-" "{AGENT}"'.encode(), b"half a li"])
    assert found is not None
    assert found.name == "combined"


def test_a_short_log_whose_fields_would_be_mixed_up_is_not(siblings: Siblings) -> None:
    line = f'{FRONT}"{AGENT}" "https://www.example.org/"'.encode()
    assert siblings.format_of(0, [line]) is None


def test_a_log_without_any_text_is_read_as_those_beside_it_where_all_are_alike(
    siblings: Siblings, tmp_path: Path
) -> None:
    """Its lines are of scanners that spoke another protocol, say; they are counted as malformed."""
    garbage = [b"\x16\x03\x01\x00\xee"]
    found = siblings.format_of(0, garbage)
    assert found is not None
    assert found.name == "combined"
    other = f'www.example.com:443 {FRONT}"-" "{AGENT}"\n'
    (tmp_path / "vhosts_access.log").write_text(other * 60)
    both = Siblings([Source(path=str(tmp_path))], lambda: NOW)
    assert both.format_of(0, garbage) is None


def test_a_header_says_nothing_of_the_lines_behind_it(tmp_path: Path) -> None:
    """A list of fields that cannot be read (its times name no zone) is a matter of timezone."""
    fields = "#Fields: date time c-ip cs-method cs-uri-stem sc-status"
    header = ["#Software: IIS Advanced Logging Module", "#Version: 1.0", fields]
    line = "2026-11-22 09:11:12 192.0.2.10 GET /pricing 200"
    (tmp_path / "access.log").write_text("\n".join([*header, *[line] * 60, ""]))
    siblings = Siblings([Source(path=str(tmp_path))], lambda: NOW)
    others = [each.replace("date time", "date-local time-local") for each in [*header, line, line]]
    assert siblings.format_of(0, [each.encode() for each in others]) is None
    assert siblings.format_of(0, [each.encode() for each in header]) is not None
    assert siblings.format_of(0, [each.encode() for each in [*header, line, "half a li"]])
