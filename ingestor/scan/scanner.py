"""The hot loop: a line is dropped on the first raw field that decides, cheapest first.

Whole blocks are rid of assets by one regular expression (sieve.py); what is left is split into
columns, whose raw values the rules judge by look-up, and only what passes becomes a hit. Where
anything is out of the ordinary, the judge decides: it is slow, and always right.
"""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ingestor.model import Chunk, Hit, Malformed, PageView, Reason, Scanned, Span, Tally
from ingestor.scan.judge import Judge, Judged, lines_of
from ingestor.scan.sieve import Sieve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ingestor.formats import Format
    from ingestor.pageviews import Payload, Rules, Site
    from ingestor.pageviews.rules import RawVerdict

    Found = tuple[bytes, tuple[str, Payload] | None]

_DAY = 86400  # seconds; a line may be this far ahead of our clock
_EARLIEST = 788_918_400  # 1995-01-01, as formats have it
_TIMES = 4096  # spellings of times remembered
_NOTHING = frozenset({b"", b"-"})


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
        self._has_columns = "request" in line_format.columns
        self._times: dict[Any, int] = {}

    def scan(self, chunk: Chunk) -> Scanned:
        """Judge every line of a chunk. Never raises for anything that stands in a log."""
        tallied: Counter[Reason | Malformed] = Counter()
        found: list[Found] = []
        lines = chunk.oversized
        if chunk.data:
            latest = self._latest()
            rest, assets = self._sieve.sift(chunk.data, latest)
            left = lines_of(rest)
            lines += assets + len(left)
            tallied[Reason.ASSET] = assets
            if self._has_columns:
                self._judge_columns(left, latest, tallied, found)
            else:
                self._judge_plainly(left, latest, tallied, found)
        if chunk.oversized:
            tallied[Malformed.OVERSIZED] += chunk.oversized
        return Scanned(chunk, _placed(chunk, found), _tally(lines, tallied))

    def verdicts(self, chunk: Chunk) -> Iterator[Judged]:
        """Judge line by line, the plain way."""
        return self._judge.verdicts(chunk, self._latest())

    def _latest(self) -> int:
        return int(self._clock()) + _DAY

    def _judge_plainly(
        self,
        lines: Sequence[bytes],
        latest: int,
        tallied: Counter[Reason | Malformed],
        found: list[Found],
    ) -> None:
        for line in lines:
            verdict = self._judge.verdict(line, latest)
            if isinstance(verdict, tuple):
                found.append((line, verdict))
            else:
                tallied[verdict] += 1
                found.append((line, None))

    def _judge_columns(  # noqa: C901, PLR0912, PLR0915 - one loop, for a call costs as much as a look-up
        self,
        lines: Sequence[bytes],
        latest: int,
        tallied: Counter[Reason | Malformed],
        found: list[Found],
    ) -> None:
        """Judge lines by their columns, and those without by the judge.

        The order is the canonical one: malformed first, then the rules' own. A raw value that
        the rules do not decide on sends the line to the judge.
        """
        columns_of = self.format.columns
        request_at = columns_of["request"]
        status_at, agent_at = columns_of.get("status"), columns_of.get("user_agent")
        address_at = columns_of.get("address", request_at)
        time_at = itemgetter(*(at for name, at in columns_of.items() if name.startswith("time")))
        split, hit_of, time_of = self.format.split, self.format.hit, self.format.time_of
        requests, statuses = self._rules.requests, self._rules.statuses
        agents, page_view = self._rules.agents, self._rules.page_view
        exactly, times, site = self._judge.exactly, self._times, self._site
        no_status, no_agent = statuses[b"200"], agents[b""]
        asset, bot = Reason.ASSET, Reason.BOT
        assets = bots = 0
        verdict: Any
        status: RawVerdict = None
        for line in lines:
            columns = split(line)
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
                if time > latest or status is None or columns[address_at] in _NOTHING:
                    columns = None
            if columns is not None:
                verdict = requests[columns[request_at]]
                if verdict is True:
                    verdict = status
                    if verdict is True:
                        verdict = no_agent if agent_at is None else agents[columns[agent_at]]
                        if verdict is True:
                            hit = hit_of(columns, latest)
                            verdict = page_view(hit, site) if isinstance(hit, Hit) else hit
                if verdict is asset:
                    assets += 1
                    continue
                if verdict is bot:
                    bots += 1
                    continue
                if verdict is not None:
                    if type(verdict) is tuple:
                        found.append((line, verdict))
                    else:
                        tallied[verdict] += 1
                    continue
            verdict = exactly(line, latest)
            if type(verdict) is tuple:
                found.append((line, verdict))
            else:
                tallied[verdict] += 1
                found.append((line, None))
        tallied[asset] += assets
        tallied[bot] += bots


def _tally(lines: int, tallied: Counter[Reason | Malformed]) -> Tally:
    malformed: dict[str, int] = {}
    filtered: dict[str, int] = {}
    for each, count in tallied.items():
        if count:
            (malformed if isinstance(each, Malformed) else filtered)[each] = count
    return Tally(lines, malformed, filtered)


def _placed(chunk: Chunk, found: Sequence[Found]) -> list[PageView]:
    """Find the places of page views again, in the lines' order.

    Equal lines have equal verdicts, but for those whose verdict depends on what came before:
    these are among ``found`` without being page views, so that no later one is taken for them.
    """
    data, base, again = chunk.data, chunk.start, chunk.again
    page_views: list[PageView] = []
    file, piece, at = chunk.file, chunk.start, 0
    for line, verdict in found:
        length = len(line)
        if not data.startswith(line, at) or data[at + length : at + length + 1] not in _ENDS:
            place = data.find(b"\n%b\n" % line, at)
            at = place + 1 if place >= 0 else len(data) - length
        start, at = at, at + length + 1
        if verdict is not None:
            end = base + at
            span = Span(file, piece, end)
            page_views.append(PageView(*verdict, span, base + start, line, again))
            piece = end
    if page_views:  # what follows the last page view is finished with it
        last = page_views[-1]
        page_views[-1] = last._replace(span=last.span._replace(end=chunk.end))
    return page_views


_ENDS = frozenset({b"\n", b""})
