"""Chunk → page views and tallies: the hot loop, put together from one format and the rules.

A line is dropped on the first raw field that decides, cheapest first, without building a hit; only
lines that may count are parsed whole. The rules judge raw values and hits by the same order of
reasons, so the counts do not depend on which way a line took.
"""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ingestor.model import Chunk, Hit, Malformed, PageView, Reason, Scanned, Span, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ingestor.pageviews import Rules, Site, Verdict

    Columns = Sequence[bytes]

_DAY = 86400  # seconds; a line may be this far ahead of our clock


class Judged(NamedTuple):
    """One line and its verdict."""

    start: int  # offset of the line
    end: int  # just past its newline
    line: bytes  # without the newline
    verdict: Verdict | Malformed


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
        columns = line_format.columns
        # Raw fields and who judges them, in the rules' own order; what a format lacks is left to
        # the hit.
        judges = (
            ("request", rules.request_reason),
            ("status", rules.status_reason),
            ("user_agent", rules.user_agent_reason),
        )
        there = list(takewhile(lambda pair: pair[0] in columns, judges))
        self._judges = [(columns[name], judge) for name, judge in there]
        self._judged_all = len(there) == len(judges)
        self._split, self._hit = line_format.split, line_format.hit

    def scan(self, chunk: Chunk) -> Scanned:
        """Judge every line of a chunk. Never raises for anything that stands in a log."""
        filtered: Counter[str] = Counter()
        malformed: Counter[str] = Counter()
        if chunk.oversized:
            malformed[Malformed.OVERSIZED] += chunk.oversized
        page_views: list[PageView] = []
        lines = chunk.oversized
        piece = chunk.start
        for judged in self.verdicts(chunk):
            lines += 1
            verdict = judged.verdict
            if isinstance(verdict, Reason):
                filtered[verdict] += 1
            elif isinstance(verdict, Malformed):
                malformed[verdict] += 1
            else:
                span = Span(chunk.file, piece, judged.end)
                page_views.append(PageView(*verdict, span, judged.start, judged.line, chunk.again))
                piece = judged.end
        if page_views:  # what follows the last page view is finished with it
            last = page_views[-1]
            page_views[-1] = last._replace(span=last.span._replace(end=chunk.end))
        return Scanned(chunk, page_views, Tally(lines, dict(malformed), dict(filtered)))

    def verdicts(self, chunk: Chunk) -> Iterator[Judged]:
        """Judge line by line."""
        data, position = chunk.data, chunk.start
        if not data:
            return
        latest = int(self._clock()) + _DAY
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            start, position = position, min(position + len(line) + 1, chunk.end)
            yield Judged(start, position, line, self._judge(line, latest))

    def _judge(self, line: bytes, latest: int) -> Verdict | Malformed:
        columns = self._split(line)
        if columns is None:
            return self._judge_exactly(line, latest)
        for index, judge in self._judges:
            verdict = judge(columns[index])
            if verdict is None:
                return self._judge_exactly(line, latest)
            if verdict is not True:
                return verdict
        hit = self._hit(columns, latest)
        if not isinstance(hit, Hit):
            return hit
        if self._judged_all:
            return self._rules.page_view(hit, self._site)
        return self._rules.decide(hit, self._site)

    def _judge_exactly(self, line: bytes, latest: int) -> Verdict | Malformed:
        hit = self.format.parse(line, latest)
        return self._rules.decide(hit, self._site) if isinstance(hit, Hit) else hit
