"""Takes a block apart all at once, along a layout that one of its own lines tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestor.formats import Format
    from ingestor.formats.blocks import Block, Blocks
    from ingestor.formats.layouts import Layout
    from ingestor.pageviews import Rules

_TRIED = 8  # lines of a block that may tell a layout
_FEW = 2  # where less than one line in so many is ordinary, another layout is looked for


class Sieve:
    """The layout of one file's lines as they are written now."""

    least = 32_768  # bytes; for less, an operation on all lines saves nothing

    def __init__(self, line_format: Format, rules: Rules) -> None:
        self._format = line_format
        # Where paths may win over extensions, a look at the extension tells no asset.
        self._assets = frozenset() if rules.paths_override_assets else rules.assets
        self._methods, self._articles = rules.methods, rules.articles
        self._layout: Layout | None = None
        self._blocks: Blocks | None = None

    def sift(self, data: bytes, latest: int) -> Block | None:
        """Take a block apart; None where it has to be done line by line.

        ``latest`` is the latest believable time in Unix seconds.
        """
        if len(data) < self.least:
            return None
        block = None if self._blocks is None else self._blocks.read(data, latest)
        if block is not None and _FEW * block.odd <= block.lines:
            return block
        blocks = self._look_for_layout(data)
        if blocks is None:
            return None
        self._blocks = blocks  # for a new month, say
        return blocks.read(data, latest)

    def _look_for_layout(self, data: bytes) -> Blocks | None:
        """Let one of the first lines tell how lines are written; None: as before, or not at all."""
        start = 0
        for _ in range(_TRIED):
            end = data.find(b"\n", start)
            if end < 0:
                break
            layout = self._format.layout(data[start:end].removesuffix(b"\r"))
            start = end + 1
            if layout is not None:
                if layout == self._layout:
                    return None
                self._layout = layout
                from ingestor.formats.blocks import blocks_like  # noqa: PLC0415 - numpy, for many lines

                return blocks_like(layout, self._assets, self._methods, self._articles)
        return None
