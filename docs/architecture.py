"""Writes the tree of rooms in docs/architecture.md from the first line of every module.

    python docs/architecture.py          # after a module was added, renamed or described anew

A test holds the page to it.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
_BEGIN, _END = "<!-- tree: written by docs/architecture.py -->\n```\n", "```\n<!-- end of tree -->"


def tree() -> str:
    """One line a module, its name and the first sentence of its docstring."""
    rows = ["ingestor/"]
    package = ROOT / "ingestor"
    rows += [
        f"  {path.name:<18}{first_line(path)}"
        for path in sorted(package.glob("*.py"))
        if path.stem not in ("__init__", "__main__")
    ]
    for room in sorted(p.parent for p in package.glob("*/__init__.py")):
        rows += ["", f"  {room.name + '/':<18}{first_line(room / '__init__.py')}"]
        rows += [
            f"    {path.name:<16}{first_line(path)}"
            for path in sorted(room.glob("*.py"))
            if path.stem != "__init__"
        ]
    return "\n".join(rows) + "\n"


def first_line(path: Path) -> str:
    """Give the first line of a module's docstring."""
    doc = ast.get_docstring(ast.parse(path.read_text()))
    return (doc or "").partition("\n")[0].rstrip(".").rstrip()


def page() -> str:
    """The page with the tree as it is now."""
    text = PAGE.read_text()
    before, rest = text.split(_BEGIN)
    return before + _BEGIN + tree() + _END + rest.split(_END, 1)[1]


if __name__ == "__main__":
    PAGE.write_text(page())
