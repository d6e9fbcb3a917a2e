"""Stretches that are read a second time, and which of them were not counted the first time."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from ingestor.model import Span

if TYPE_CHECKING:
    from collections.abc import Iterable


class Uncounted:
    """Spans whose lines are to be counted when they come again, and only then once."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans = merged(spans)

    def spans(self) -> list[Span]:
        """What is left to count."""
        return list(self._spans)

    def add(self, spans: Iterable[Span]) -> None:
        """Count these, too."""
        self._spans = merged([*self._spans, *spans])

    def take(self, span: Span) -> bool:
        """Whether all of ``span`` is to be counted; then it is not, from now on."""
        for i, one in enumerate(self._spans):
            if one.file == span.file and one.start <= span.start and span.end <= one.end:
                rest = (one._replace(end=span.start), one._replace(start=span.end))
                self._spans[i : i + 1] = [part for part in rest if part.start < part.end]
                return True
        return False


class HeldBack:
    """Spans that wait until they can be read again, maybe for weeks: 24 bytes each.

    Those that touch the one before are one with it.
    """

    def __init__(self) -> None:
        self._files = array("q")
        self._starts = array("q")
        self._ends = array("q")

    def __len__(self) -> int:
        return len(self._files)

    def add(self, span: Span) -> None:
        """Hold one more."""
        if self._files and self._files[-1] == span.file and self._ends[-1] == span.start:
            self._ends[-1] = span.end
            return
        self._files.append(span.file)
        self._starts.append(span.start)
        self._ends.append(span.end)

    def spans(self) -> list[Span]:
        """Give them, each stretch once."""
        return merged(map(Span, self._files, self._starts, self._ends))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that touch, file by file, so that each stretch is read once."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and found[-1].file == span.file and found[-1].end >= span.start:
            found[-1] = Span(span.file, found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found
