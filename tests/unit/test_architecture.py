"""The page about the rooms tells what is there."""

from __future__ import annotations

import runpy

from parts import ROOT


def test_the_tree_in_the_page_is_the_tree_on_disk() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "architecture.py"))["page"]
    assert page() == (ROOT / "docs" / "architecture.md").read_text(), (
        "run: python docs/architecture.py"
    )
