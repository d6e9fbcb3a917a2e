"""The hot loop: a line is dropped on the first raw field that decides, cheapest first.

Whole blocks are rid of assets by one regular expression (sieve.py); what is left is split into
columns, whose raw values the rules judge by look-up, and only what passes becomes a page view.
Where anything is out of the ordinary, the judge decides: it is slow, and always right.
"""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from ingestor.model import Chunk, Hit, Malformed, PageView, Reason, Scanned, Span, Tally
from ingestor.scan.judge import Judge, Judged
from ingestor.scan.sieve import Sieve, Sifted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ingestor.formats import Format
    from ingestor.pageviews import Payload, Rules, Site
    from ingestor.pageviews.rules import RawVerdict

Found: TypeAlias = "tuple[int, bytes, tuple[str, Payload]]"
"""Where a line begins in its chunk's data, the line, website and payload."""

_DAY = 86400  # seconds; a line may be this far ahead of our clock
_EARLIEST = 788_918_400  # 1995-01-01, as formats have it
_TIMES = 4096  # spellings of times remembered
_NOTHING = frozenset({b"", b"-"})
_new = tuple.__new__  # a named tuple's own constructor costs twice that


class Scanner:
    """Judges the lines of one file: its format, the rules, and the site for lines without vhost.

    ``clock`` gives Unix seconds; a line dated more than a day after it is malformed.
    """

    def __init__(
        self,
        line_format: Format,
        rules: Rules,
        *,
        site: Site | None,
        clock: Callable[[], float],
    ) -> None:
        self.format = line_format
        self._rules = rules
        self._site = site
        self._clock = clock
        self._judge = Judge(line_format, rules, site)
        self._sieve = Sieve(line_format, rules)
        columns = line_format.columns
        self._has_columns = "request" in columns
        self._shortcut = None
        if self._has_columns and line_format.is_plain:
            self._shortcut = rules.shortcut(columns, site)
        self._times: dict[Any, int] = {}

    def scan(self, chunk: Chunk) -> Scanned:
        """Judge every line of a chunk. Never raises for anything that stands in a log."""
        tallied: Counter[Reason | Malformed] = Counter()
        found: list[Found] = []
        lines = chunk.oversized
        if chunk.data:
            latest = self._latest()
            sifted = self._sieve.sift(chunk.data, latest)
            lines += sifted.assets + len(sifted.lines)
            tallied[Reason.ASSET] = sifted.assets
            judge = self._judge_columns if self._has_columns else self._judge_plainly
            judge(sifted, latest, tallied, found)
        if chunk.oversized:
            tallied[Malformed.OVERSIZED] += chunk.oversized
        return Scanned(chunk, page_views_of(chunk, found), _tally(lines, tallied))

    def verdicts(self, chunk: Chunk) -> Iterator[Judged]:
        """Judge line by line, the plain way."""
        return self._judge.verdicts(chunk, self._latest())

    def _latest(self) -> int:
        return int(self._clock()) + _DAY

    def _judge_plainly(
        self,
        sifted: Sifted,
        latest: int,
        tallied: Counter[Reason | Malformed],
        found: list[Found],
    ) -> None:
        for start, line in zip(sifted.starts, sifted.lines, strict=True):
            verdict = self._judge.verdict(line, latest)
            if isinstance(verdict, tuple):
                found.append((start, line, verdict))
            else:
                tallied[verdict] += 1

    def _judge_columns(  # noqa: C901, PLR0912, PLR0915 - one loop, for a call costs as much as a look-up
        self,
        sifted: Sifted,
        latest: int,
        tallied: Counter[Reason | Malformed],
        found: list[Found],
    ) -> None:
        """Judge lines by their columns, and those without by the judge.

        The order is the canonical one: malformed first, then the rules' own. A raw value that
        the rules do not decide on sends the line to the judge.
        """
        columns_of, rules, site = self.format.columns, self._rules, self._site
        request_at = columns_of["request"]
        status_at, agent_at = columns_of.get("status"), columns_of.get("user_agent")
        address_at = columns_of.get("address", request_at)
        time_at = itemgetter(*(at for name, at in columns_of.items() if name.startswith("time")))
        split, hit_of, time_of = self.format.split, self.format.hit, self.format.time_of
        requests, statuses, agents = rules.requests, rules.statuses, rules.agents
        exactly, times, shortcut = self._judge.exactly, self._times, self._shortcut
        no_status, no_agent = statuses[b"200"], agents[b""]
        asset, bot = Reason.ASSET, Reason.BOT
        assets = bots = 0
        verdict: Any
        status: RawVerdict = None
        for start, line in zip(sifted.starts, sifted.lines, strict=True):
            columns = split(line)
            verdict = None
            if columns is not None:
                raw_time = time_at(columns)
                time = times.get(raw_time)
                if time is None:
                    time = time_of(columns)
                    if time is None or time < _EARLIEST:
                        time = latest + 1  # the judge has the word for it
                    else:
                        if len(times) >= _TIMES:
                            times.clear()
                        times[raw_time] = time
                status = no_status if status_at is None else statuses[columns[status_at]]
                if time <= latest and status is not None and columns[address_at] not in _NOTHING:
                    verdict = requests[columns[request_at]]
                    if verdict is True:
                        verdict = status
                        if verdict is True:
                            verdict = no_agent if agent_at is None else agents[columns[agent_at]]
                            if verdict is True:
                                verdict = None if shortcut is None else shortcut(columns, time)
                                if verdict is None:
                                    hit = hit_of(columns, latest)
                                    if isinstance(hit, Hit):
                                        verdict = rules.page_view(hit, site)
                    if verdict is asset:
                        assets += 1
                        continue
                    if verdict is bot:
                        bots += 1
                        continue
            if verdict is None:
                verdict = exactly(line, latest)
            if type(verdict) is tuple:
                found.append((start, line, verdict))
            else:
                tallied[verdict] += 1
        tallied[asset] += assets
        tallied[bot] += bots


def _tally(lines: int, tallied: Counter[Reason | Malformed]) -> Tally:
    malformed: dict[str, int] = {}
    filtered: dict[str, int] = {}
    for each, count in tallied.items():
        if count:
            (malformed if isinstance(each, Malformed) else filtered)[each] = count
    return Tally(lines, malformed, filtered)


def page_views_of(chunk: Chunk, found: Sequence[Found]) -> list[PageView]:
    """Give each page view the span from the one before to its own line's end."""
    file, base, again, end = chunk.file, chunk.start, chunk.again, chunk.end
    page_views: list[PageView] = []
    piece = base
    for start, line, (website, payload) in found:
        start += base  # noqa: PLW2901 - its place in the file, from here on
        stop = start + len(line) + 1
        span = _new(Span, (file, piece, stop))
        piece = stop
        page_views.append(_new(PageView, (website, payload, span, start, line, again)))
    if page_views:  # what follows the last page view is finished with it, and no newline more
        last = page_views[-1]
        page_views[-1] = last._replace(span=last.span._replace(end=end))
    return page_views
