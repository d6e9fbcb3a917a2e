"""Takes the lines that are surely assets out of a block, all at once."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from ingestor.formats.blocks import AssetLines

if TYPE_CHECKING:
    import re

    from ingestor.formats import Format
    from ingestor.pageviews import Rules

_DAY = 86_400  # seconds
_KEPT = 64  # months remembered
_VAIN = 4  # blocks
_TRIED = 8  # lines of a block whose time may tell its month


class Sifted(NamedTuple):
    """What is left of a block."""

    starts: list[int]  # where the lines begin, in bytes from the block's start
    lines: list[bytes]  # without their newlines
    assets: int  # lines that were taken out


class Sieve:
    """The expressions for one format and the rules."""

    least = 16_384  # bytes; for less an expression is not worth making

    def __init__(self, line_format: Format, rules: Rules) -> None:
        self._assets: AssetLines | None = None
        if not rules.paths_override_assets:
            self._assets = AssetLines(line_format, rules.assets, rules.methods)
        self._split = line_format.split
        self._time_at = line_format.columns["time"]
        self._patterns: dict[tuple[bytes, int], re.Pattern[bytes] | None] = {}
        self._key = (b"", 0)  # of the expression used last
        self._vain = 0  # blocks in which it found nothing

    def sift(self, data: bytes, latest: int) -> Sifted:
        """Split a block into lines, but for those that are surely assets.

        ``latest`` is the latest believable time in Unix seconds.
        """
        pattern = self._pattern(data, latest) if len(data) >= self.least else None
        if pattern is None:
            return _all(data)
        spans = [match.span() for match in pattern.finditer(b"\n" + data)]
        if not spans:
            self._found_nothing()
            return _all(data)
        starts: list[int] = []
        lines: list[bytes] = []
        at = 0
        # Each begins at the newline before an asset and ends at the one behind it. The last one
        # stands for the data's end.
        for start, end in (*spans, (len(data) + (not data.endswith(b"\n")), 0)):
            if start > at:
                gap = data[at : start - 1]
                if b"\n" in gap:
                    for line in gap.split(b"\n"):
                        starts.append(at)
                        lines.append(line)
                        at += len(line) + 1
                else:
                    starts.append(at)
                    lines.append(gap)
            at = end
        count = data.count(b"\n") + (not data.endswith(b"\n"))
        if count != len(lines) + len(spans):  # a match went beyond its line
            return _all(data)
        return Sifted(starts, lines, len(spans))

    def _pattern(self, data: bytes, latest: int) -> re.Pattern[bytes] | None:
        """Give the expression for the period of the first line that has a time."""
        if self._assets is None:
            return None
        for line in data[:65_536].split(b"\n", _TRIED)[:-1]:
            columns = self._split(line)
            if columns is not None:
                time = columns[self._time_at]
                key = self._assets.period_of(time), latest // _DAY
                if key not in self._patterns:
                    if len(self._patterns) >= _KEPT:
                        self._patterns.clear()
                    self._patterns[key] = self._assets.like(line, time, latest)
                self._key = key
                return self._patterns[key]
        return None

    def _found_nothing(self) -> None:
        """Try another line's shape when a few blocks had none like it."""
        self._vain += 1
        if self._vain >= _VAIN:
            self._vain = 0
            self._patterns.pop(self._key, None)


def _all(data: bytes) -> Sifted:
    lines = data.removesuffix(b"\n").split(b"\n")
    ends = accumulate(map(len, lines[:-1]), lambda at, length: at + length + 1, initial=0)
    return Sifted(list(ends), lines, 0)
