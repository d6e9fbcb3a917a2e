"""Takes a block apart all at once, along a layout that one of its own lines tells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestor.formats import Format
    from ingestor.formats.blocks import Block, Blocks
    from ingestor.formats.layouts import Layout
    from ingestor.pageviews import Rules

_TRIED = 8  # lines of a block that may tell a layout
_FEW = 2  # a layout of which less than one line in so many is, is looked for anew


class Sieve:
    """The layout of one file's lines as they are written now."""

    least = 32_768  # bytes; for less, an operation on all lines saves nothing

    def __init__(self, line_format: Format, rules: Rules) -> None:
        self._format = line_format
        self._rules = rules
        self._layout: Layout | None = None
        self._blocks: Blocks | None = None

    def sift(self, data: bytes, latest: int) -> Block | None:
        """Take a block apart; None where it has to be done line by line.

        ``latest`` is the latest believable time in Unix seconds.
        """
        if len(data) < self.least or self._rules.paths_override_assets:
            return None
        block = None if self._blocks is None else self._blocks.read(data, latest)
        if block is None or _FEW * len(block.others) > block.lines:  # a new month, say
            if not self._look_for_layout(data):
                return block
            assert self._blocks is not None  # noqa: S101 - one was found
            block = self._blocks.read(data, latest)
        return block

    def _look_for_layout(self, data: bytes) -> bool:
        """Let one of the first lines tell how lines are written; whether that is new."""
        # Nothing is multiplied here, and a thread that waits for it would not wait idly.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from ingestor.formats.blocks import blocks_like  # noqa: PLC0415 - numpy: a quiet daemon needs none

        start = 0
        for _ in range(_TRIED):
            end = data.find(b"\n", start)
            if end < 0:
                break
            layout = self._format.layout(data[start:end].removesuffix(b"\r"))
            start = end + 1
            if layout is not None:
                if layout == self._layout:
                    return False
                self._layout = layout
                self._blocks = blocks_like(layout, self._rules.assets, self._rules.methods)
                return True
        return False
