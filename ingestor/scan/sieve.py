"""Takes a block apart all at once: assets are counted, plain lines come as their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingestor.formats.blocks import PlainLines

if TYPE_CHECKING:
    import re
    from collections.abc import Collection

    from ingestor.formats import Format
    from ingestor.formats.blocks import LinesLike
    from ingestor.formats.shapes import Read
    from ingestor.pageviews import Rules

_DAY = 86_400  # seconds
_KEPT = 64  # months remembered
_VAIN = 4  # blocks
_TRIED = 8  # lines of a block whose time may tell its month


class Sifted(NamedTuple):
    """What is left of a block, its lines in their order."""

    lines: list[re.Match[bytes]]  # each begins where its line does, and ends with it
    assets: int  # lines that were taken out
    plain: int  # `lastindex` of the plain ones, whose time is believable …
    read: Read  # … and whose columns this gives
    escaped: Collection[int]  # where lines with a backslash begin: none of them is plain


class Sieve:
    """The expressions for one format and the rules."""

    least = 16_384  # bytes; for less an expression is not worth making

    def __init__(self, line_format: Format, rules: Rules) -> None:
        self._plain: PlainLines | None = None
        if not rules.paths_override_assets:
            self._plain = PlainLines(line_format, rules.assets, rules.methods)
        self._split = line_format.split
        self._time_at = line_format.columns["time"]
        self._known: dict[tuple[bytes, int], LinesLike | None] = {}
        self._key = (b"", 0)  # of the expression used last
        self._vain = 0  # blocks in which it found nothing

    def sift(self, data: bytes, latest: int) -> Sifted | None:
        """Take a block apart; None where it has to be done line by line.

        ``latest`` is the latest believable time in Unix seconds.
        """
        like = self._like(data, latest) if len(data) >= self.least else None
        if like is None:
            return None
        end = b"" if data.endswith(b"\n") else b"\n"
        matches = list(like.pattern.finditer(b"\n%b%b" % (data, end)))
        if len(matches) != _newlines(data) + len(end):
            return None
        asset = like.asset
        lines = [match for match in matches if match.lastindex != asset]
        if len(lines) == len(matches) and not any(m.lastindex == like.plain for m in lines):
            self._found_nothing()
        return Sifted(lines, len(matches) - len(lines), like.plain, like.read, _escaped(data))

    def _like(self, data: bytes, latest: int) -> LinesLike | None:
        """Give the expression for the period of the first line that has a time."""
        if self._plain is None:
            return None
        for line in data[:65_536].split(b"\n", _TRIED)[:-1]:
            columns = self._split(line)
            if columns is not None:
                time = columns[self._time_at]
                key = self._plain.period_of(time), latest // _DAY
                if key not in self._known:
                    if len(self._known) >= _KEPT:
                        self._known.clear()
                    self._known[key] = self._plain.like(line, time, latest)
                self._key = key
                return self._known[key]
        return None

    def _found_nothing(self) -> None:
        """Try another line's shape when a few blocks had none like it."""
        self._vain += 1
        if self._vain >= _VAIN:
            self._vain = 0
            self._known.pop(self._key, None)


def _newlines(data: bytes) -> int:
    """Count them: `bytes.count` goes byte by byte, what takes them out leaps to the next."""
    return len(data) - len(data.replace(b"\n", b""))


def _escaped(data: bytes) -> Collection[int]:
    """Find the lines with a backslash: few, so that to look for them in each would cost more."""
    starts: set[int] = set()
    at = data.find(b"\\")
    while at >= 0:
        starts.add(data.rfind(b"\n", 0, at) + 1)
        end = data.find(b"\n", at)
        at = -1 if end < 0 else data.find(b"\\", end)
    return starts
