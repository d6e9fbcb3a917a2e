"""Takes the lines that are surely assets out of a block, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestor.formats.blocks import asset_lines

if TYPE_CHECKING:
    import re

    from ingestor.formats import Format
    from ingestor.pageviews import Rules

_DAY = 86_400


class Sieve:
    """The expression for one format and the rules; made anew when the day changes."""

    least = 16_384  # bytes; for less the expression is not worth making

    def __init__(self, line_format: Format, rules: Rules) -> None:
        self._format = line_format
        self._rules = rules
        self._day = 0
        self._pattern: re.Pattern[bytes] | None = None

    def sift(self, data: bytes, latest: int) -> tuple[bytes, int]:
        """Give what is left of the lines, and how many assets were taken out.

        ``latest`` is the latest believable time in Unix seconds.
        """
        if len(data) < self.least or self._rules.paths_override_assets:
            return data, 0
        if latest // _DAY != self._day:
            self._day = latest // _DAY
            rules = self._rules
            self._pattern = asset_lines(self._format, rules.assets, rules.methods, latest)
        if self._pattern is None:
            return data, 0
        block = b"\n" + data
        rest, count = self._pattern.subn(b"", block)
        if block.count(b"\n") - rest.count(b"\n") != count:  # a match went beyond its line
            return data, 0
        return rest[1:], count
