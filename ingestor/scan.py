"""Chunk → page views and tallies: the hot loop, put together from one format and the rules.

A line is dropped on the first raw field that decides, cheapest first, without building a hit; only
lines that may count are parsed whole. The rules judge raw values and hits by the same order of
reasons, so the counts do not depend on which way a line took.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from ingestor.model import Chunk, Hit, Malformed, PageView, Reason, Scanned, Span, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ingestor.pageviews import Rules, Site

    Columns = Sequence[bytes]

_DAY = 86400  # seconds; a line may be this far ahead of our clock


class LineFormat(Protocol):
    """What the hot loop asks of a format; ``formats.Format`` documents it."""

    @property
    def columns(self) -> Mapping[str, int]:
        """Field → index in what ``split`` gives."""
        ...

    def split(self, line: bytes) -> Columns | None:
        """Split an ordinary line; None: ask ``parse``."""
        ...

    def hit(self, columns: Columns, latest: int) -> Hit | Malformed:
        """Make the hit of split columns."""
        ...

    def parse(self, line: bytes, latest: int) -> Hit | Malformed | Reason:
        """Parse any line exactly."""
        ...


class Scanner:
    """Judges the lines of one file: its format, the rules, and the site for lines without vhost.

    ``clock`` gives Unix seconds; a line dated more than a day after it is malformed.
    """

    def __init__(
        self,
        line_format: LineFormat,
        rules: Rules,
        *,
        site: Site | None,
        clock: Callable[[], float],
    ) -> None:
        self.format = line_format
        self._rules = rules
        self._site = site
        self._clock = clock

    def scan(self, chunk: Chunk) -> Scanned:
        """Judge every line of a chunk. Never raises for anything that stands in a log."""
        filtered: Counter[str] = Counter()
        malformed: Counter[str] = Counter()
        if chunk.oversized:
            malformed[Malformed.OVERSIZED] += chunk.oversized
        page_views: list[PageView] = []
        lines = chunk.oversized
        piece = chunk.start
        for start, end, line, verdict in self.verdicts(chunk):
            lines += 1
            if isinstance(verdict, Reason):
                filtered[verdict] += 1
            elif isinstance(verdict, Malformed):
                malformed[verdict] += 1
            else:
                website, payload, masked = verdict
                span = Span(chunk.file, piece, end)
                page_views.append(
                    PageView(website, payload, span, start, masked or line, chunk.again)
                )
                piece = end
        tally = Tally(lines, dict(malformed), dict(filtered))
        return Scanned(chunk, page_views, tally)

    def verdicts(
        self, chunk: Chunk
    ) -> Iterator[
        tuple[int, int, bytes, Reason | Malformed | tuple[str, dict[str, str | int], bytes | None]]
    ]:
        """Judge line by line: start offset, end offset (exclusive), the line, and its verdict.

        The verdict of a page view is its website, its payload, and the masked line where
        addresses are anonymised.
        """
        data, position = chunk.data, chunk.start
        if not data:
            return
        latest = int(self._clock()) + _DAY
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            end = min(position + len(line) + 1, chunk.end)
            yield position, end, line, self._judge(line, latest)
            position = end
