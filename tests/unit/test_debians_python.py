"""Debian 12's Python is 3.11.2, whose `re` matches some new constructs wrongly (gh-106052)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import ROOT

# Possessive repeats of a group, and atomic groups. Possessive repeats of one set are right.
_WRONG_THERE = re.compile(r"(?<![\\(])\)[*+?]\+|\(\?>")
_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            value = node.value
            yield node.lineno, value if isinstance(value, str) else value.decode("latin-1")


@pytest.mark.parametrize("path", sorted((ROOT / "ingestor").rglob("*.py")), ids=lambda p: p.name)
def test_no_expression_uses_what_python_3_11_2_matches_wrongly(path: Path) -> None:
    assert not [
        (line, text) for line, text in texts(path) if _WRONG_THERE.search(_SET.sub("", text))
    ]


def test_the_search_finds_them() -> None:
    for wrong in ("(?:ab?c)*+", "(?:[^)]x)++", "(?>a)"):
        assert _WRONG_THERE.search(_SET.sub("", wrong)), wrong
