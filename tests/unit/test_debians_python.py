"""Debian 12's Python is 3.11.2, whose `re` matches some new constructs wrongly (gh-106052).

These are possessive repeats of a group and atomic groups; possessive repeats of one set are right.
"""

from __future__ import annotations

import ast
import importlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest
from parts import ROOT


def texts(path: Path) -> Iterator[str]:
    """Every literal of a module, and every expression of it that was put together from pieces."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield _as_text(node.value)
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for value in vars(importlib.import_module(name)).values():
        if isinstance(value, re.Pattern):
            yield _as_text(value.pattern)


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def is_wrong_there(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return any(_wrong(node) for node in _parser.parse(text))
    except (re.error, RecursionError, OverflowError):
        return False  # no expression


def _wrong(node: Any) -> bool:
    operation, value = node
    if operation is _constants.ATOMIC_GROUP:
        return True
    if operation is _constants.POSSESSIVE_REPEAT:
        body = value[2]
        single = (_constants.IN, _constants.ANY, _constants.LITERAL, _constants.NOT_LITERAL)
        # "()*+" stands in lists of characters.
        empty = body[0][0] is _constants.SUBPATTERN and not body[0][1][-1]
        return not empty and (len(body) != 1 or body[0][0] not in single)
    return any(_wrong(inner) for inner in _nodes(value))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, _parser.SubPattern):
        yield from value
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _nodes(inner)


@pytest.mark.parametrize("path", sorted((ROOT / "ingestor").rglob("*.py")), ids=lambda p: p.name)
def test_no_expression_uses_what_python_3_11_2_matches_wrongly(path: Path) -> None:
    assert not [text for text in texts(path) if is_wrong_there(text)]


@pytest.mark.parametrize("wrong", ["(?:ab?c)*+", "x(?:[^)]x)++", "(a|(?>a))", "(?:(?:ab)?+c)*"])
def test_the_search_finds_them(wrong: str) -> None:
    assert is_wrong_there(wrong)
    assert not is_wrong_there(r"[^\"]*+(?:\\.[^\"]++)*")
