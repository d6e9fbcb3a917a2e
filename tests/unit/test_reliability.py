"""docs/reliability.md names a test for each row: it has to exist, and no row may be missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from parts import ROOT

_PAGE = ROOT / "docs" / "reliability.md"
_ROW = re.compile(r"^\| (\d+) \| [^|]+ \| (.+) \|$", re.MULTILINE)


def functions(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_way_to_lose_or_double_has_its_row_and_a_test_or_a_reason() -> None:
    rows = _ROW.findall(_PAGE.read_text())
    assert [int(number) for number, _ in rows] == list(range(1, 41))
    assert all("`test_" in tests for _, tests in rows)


def test_every_test_that_the_page_names_is_there() -> None:
    there = set[str]().union(*(functions(path) for path in (ROOT / "tests").rglob("test_*.py")))
    named = set(re.findall(r"`(test_\w+)`", _PAGE.read_text()))
    assert named <= there, named - there
