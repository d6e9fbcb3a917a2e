"""The hot loop: a line is dropped on the first raw field that decides, cheapest first.

Whole blocks are taken apart at once (sieve.py): assets are only counted, and of plain lines it is
known where their values stand. The rules judge these by look-up, and only what passes becomes a
page view. Where anything is out of the ordinary, the judge decides: it is slow, and always right.
"""

from __future__ import annotations

from collections import Counter
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ingestor.formats.clocks import EARLIEST
from ingestor.model import (
    Chunk,
    Content,
    Hit,
    Malformed,
    PageView,
    Reason,
    Scanned,
    Span,
    Tally,
    content_of,
)
from ingestor.scan.judge import Judge, Judged, lines_of
from ingestor.scan.sieve import Sieve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ingestor.formats import Format
    from ingestor.formats.blocks import Block
    from ingestor.formats.hits import Columns
    from ingestor.formats.marks import Offsets
    from ingestor.pageviews import Rules, Site
    from ingestor.pageviews.rules import RawVerdict
    from ingestor.scan.judge import Verdict

Judgement: TypeAlias = Content | Reason | Malformed
"""What became of a line."""

_DAY = 86400  # seconds; a line may be this far ahead of our clock
_TIMES = 64  # spellings of times remembered, for each of a thousand files: they come in their order
_NOTHING = frozenset({b"", b"-"})
_place = itemgetter(0)
_new = tuple.__new__  # a named tuple's own constructor costs twice that


class Found(NamedTuple):
    """The lines of a chunk that are page views, by columns of one length, in the lines' order."""

    starts: Sequence[int]  # offsets in the chunk's data …
    ends: Sequence[int]  # … exclusive, just before the newline
    websites: Sequence[str]
    bodies: Sequence[bytes]
    user_agents: Sequence[str]
    times: Sequence[int]


_NOTHING_FOUND = Found((), (), (), (), (), ())


class _Verdicts:
    """What passed, and how often each word came; words of the two kinds may be spelled alike."""

    __slots__ = ("filtered", "malformed", "passed")

    def __init__(self) -> None:
        self.passed: list[tuple[int, int, Content]] = []  # start, end, and what it comes to
        self.malformed: Counter[str] = Counter()
        self.filtered: Counter[str] = Counter()

    def add(self, start: int, end: int, verdict: Judgement) -> None:
        """File a line under what became of it."""
        if isinstance(verdict, tuple):
            self.passed.append((start, end, verdict))
        else:
            (self.malformed if isinstance(verdict, Malformed) else self.filtered)[verdict] += 1

    def found(self) -> Found:
        """Give what passed."""
        if not self.passed:
            return _NOTHING_FOUND
        self.passed.sort(key=_place)
        starts, ends, contents = zip(*self.passed, strict=True)
        return Found(starts, ends, *zip(*contents, strict=True))

    def tally(self, lines: int) -> Tally:
        """Sum up."""
        return Tally(lines, dict(+self.malformed), dict(+self.filtered))


class _Passed(NamedTuple):
    """Lines of a block that passed by their raw values: their numbers, and what was looked at."""

    numbers: Offsets
    requests: list[bytes]
    agents: list[bytes]


class Scanner:
    """Judges the lines of one file: its format, the rules, and the site for lines without vhost.

    ``clock`` gives Unix seconds; a line dated more than a day after it is malformed.
    ``in_blocks``: large chunks are taken apart at once, which takes numpy and its memory.
    """

    def __init__(
        self,
        line_format: Format,
        rules: Rules,
        *,
        site: Site | None,
        clock: Callable[[], float],
        in_blocks: bool = True,
    ) -> None:
        self.format = line_format
        self.names_agents = "user_agent" in line_format.fields  # and lines fill it (see `Recipe`)
        self._rules = rules
        self._site = site
        self._clock = clock
        self._judge = Judge(line_format, rules, site)
        columns = line_format.columns
        self._has_columns = "request" in columns
        self._sieve = Sieve(line_format, rules) if in_blocks and self._has_columns else None
        self._shortcut = None
        if self._has_columns and line_format.is_plain:
            self._shortcut = rules.shortcut(columns, site)
        self._raw_time = itemgetter(
            *(at for name, at in columns.items() if name.startswith("time"))
        )
        self._times: dict[Any, int] = {}

    def scan(self, chunk: Chunk) -> Scanned:
        """Judge every line of a chunk. Never raises for anything that stands in a log."""
        return scanned_of(chunk, *self.judge(chunk))

    def judge(self, chunk: Chunk) -> tuple[Found, Tally]:
        """Do the same, without making page views of what was found."""
        judged = _Verdicts()
        lines = chunk.oversized
        if chunk.data:
            latest = self._latest()
            block = None if self._sieve is None else self._sieve.sift(chunk.data, latest)
            if block is None:
                lines += self._judge_lines(chunk.data, latest, judged)
            else:
                lines += block.lines
                judged.filtered[Reason.ASSET] = block.assets
                self._judge_block(chunk.data, block, latest, judged)
        if chunk.oversized:
            judged.malformed[Malformed.OVERSIZED] += chunk.oversized
        return judged.found(), judged.tally(lines)

    def verdicts(self, chunk: Chunk) -> Iterator[Judged]:
        """Judge line by line, the plain way."""
        return self._judge.verdicts(chunk, self._latest())

    def _latest(self) -> int:
        return int(self._clock()) + _DAY

    def _judge_lines(self, data: bytes, latest: int, judged: _Verdicts) -> int:
        """Judge lines one by one; how many."""
        judge = self._judge_line if self._has_columns else self._judge_plainly
        lines = lines_of(data)
        start = 0
        for line in lines:
            end = start + len(line)
            judged.add(start, end, judge(line, latest))
            start = end + 1
        return len(lines)

    def _judge_block(self, data: bytes, block: Block, latest: int, judged: _Verdicts) -> None:
        """Judge plain lines by their values, where the rules decide on these; then the others."""
        passed, others = self._pass(block, judged)
        others += self._page_views(block, passed, judged)
        # In the lines' order: some formats learn from them.
        for start, end in sorted(block.others() + others):
            judged.add(start, end, self._judge_line(data[start:end], latest))

    def _pass(self, block: Block, judged: _Verdicts) -> tuple[_Passed, list[tuple[int, int]]]:
        """Judge plain lines by request, status and user agent.

        Gives those that pass, and the places of those that need a closer look.
        """
        numbers, rules = block.plain, self._rules
        paths, agents = rules.paths, rules.agents
        bot, bots = Reason.BOT, 0
        passed: list[int] = []
        unsure: list[int] = []
        requests, agent_of = block.requests(numbers), block.texts("user_agent", numbers)
        lines = zip(requests, self._by_status(block), agent_of, strict=False)
        for at, (path, status, agent) in enumerate(lines):
            verdict = paths[path]
            if verdict is True:
                verdict = agents[agent] if status is True else status
                if verdict is bot:
                    bots += 1
                    continue
                if verdict is True:
                    passed.append(at)
                    continue
            if verdict is None:
                unsure.append(at)
            else:
                judged.filtered[verdict] += 1
        judged.filtered[bot] += bots
        starts, ends = block.places(numbers[unsure])
        found = _Passed(
            numbers[passed], [requests[at] for at in passed], [agent_of[at] for at in passed]
        )
        return found, list(zip(starts, ends, strict=True))

    def _by_status(self, block: Block) -> Iterable[RawVerdict]:
        """Judge the statuses of plain lines: each of the few that there are once."""
        statuses = block.statuses(block.plain)
        if statuses is None:
            return repeat(self._rules.statuses[b"200"])
        codes = statuses.tolist()
        verdicts = {code: self._rules.statuses[b"%03d" % code] for code in set(codes)}
        if all(verdict is True for verdict in verdicts.values()):
            return repeat(True)  # noqa: FBT003 - a verdict
        return [verdicts[code] for code in codes]

    def _page_views(
        self, block: Block, passed: _Passed, judged: _Verdicts
    ) -> list[tuple[int, int]]:
        """Make page views of lines that passed; gives the places of those that it cannot judge."""
        numbers, requests, agents = passed

        def texts(name: str) -> list[bytes]:
            if name == "user_agent":
                return agents
            if name == "target":
                return block.targets(numbers, requests)
            return block.texts(name, numbers)

        unsure: list[tuple[int, int]] = []
        add: Callable[[Any], None] = judged.passed.append
        starts, ends = block.places(numbers)
        verdicts: Sequence[Judgement | None]
        if self._shortcut is not None and block.knows_zone:
            verdicts = self._shortcut(texts, block.times(numbers))
        else:
            verdicts = [None] * len(starts)
        for start, end, verdict in zip(starts, ends, verdicts, strict=True):
            if verdict.__class__ is tuple:  # nearly all: a call for each would cost twice that
                add((start, end, verdict))
            elif verdict is None:
                unsure.append((start, end))
            else:
                judged.add(start, end, verdict)
        return unsure

    def _judge_plainly(self, line: bytes, latest: int) -> Judgement:
        return _written(self._judge.verdict(line, latest))

    def _judge_line(self, line: bytes, latest: int) -> Judgement:
        """Judge one line by its columns, as far as the rules can decide on each raw value.

        The order is the canonical one: malformed first, then the rules' own.
        """
        columns = self.format.split(line)
        if columns is None:
            return _written(self._judge.exactly(line, latest))
        verdict: Any = self._by_values(columns, latest)
        passed = verdict is True
        if passed:
            verdict = self._by_shortcut(columns, latest)
        if verdict is None:
            hit = self.format.hit(columns, latest)
            if not isinstance(hit, Hit):
                return _written(self._judge.exactly(line, latest))
            decide = self._rules.page_view if passed else self._rules.decide
            verdict = decide(hit, self._site)
            # It is perhaps of a format that the file has changed to.
            if verdict is Reason.BAD_ADDRESS and self.format.follows:
                verdict = self._judge.exactly(line, latest)
            verdict = _written(verdict)
        judged: Judgement = verdict
        return judged

    def _by_values(self, columns: Columns, latest: int) -> RawVerdict:
        """Judge columns by request, status and user agent; True: they passed."""
        columns_of, rules = self.format.columns, self._rules
        status_at, agent_at = columns_of.get("status"), columns_of.get("user_agent")
        address = columns[columns_of.get("address", columns_of["request"])]
        status = rules.statuses[b"200" if status_at is None else columns[status_at]]
        if self._time_of(columns, latest) > latest or status is None or address in _NOTHING:
            return None
        verdict = rules.requests[columns[columns_of["request"]]]
        if verdict is True:
            verdict = status
        if verdict is True:
            verdict = rules.agents[b"" if agent_at is None else columns[agent_at]]
        return verdict

    def _by_shortcut(self, columns: Columns, latest: int) -> Content | Reason | None:
        """Make a page view of a line that passed, where that can be done without its hit."""
        if self._shortcut is None:
            return None
        columns_of = self.format.columns

        def texts(name: str) -> tuple[bytes]:
            if name == "target":
                return (b" " + columns[columns_of["request"]],)
            return (columns[columns_of[name]],)

        (verdict,) = self._shortcut(texts, (self._time_of(columns, latest),))
        return verdict

    def _time_of(self, columns: Columns, latest: int) -> int:
        """Read the time in Unix seconds; beyond ``latest`` where there is none to believe."""
        raw = self._raw_time(columns)
        return self._times.get(raw) or self._new_time(raw, columns, latest)

    def _new_time(self, raw: Any, columns: Columns, latest: int) -> int:
        time = self.format.time_of(columns)
        if time is None or time < EARLIEST:
            return latest + 1  # the judge has the word for it
        if len(self._times) >= _TIMES:
            self._times.clear()
        self._times[raw] = time
        return time


def _written(verdict: Verdict) -> Judgement:
    if not isinstance(verdict, tuple):
        return verdict
    try:
        return content_of(*verdict)
    except TypeError:  # no rule gives such a text
        return Reason.UNSTORABLE


def scanned_of(chunk: Chunk, found: Found, tally: Tally) -> Scanned:
    """Make page views of what was found in a chunk."""
    scanned = Scanned(chunk, page_views_of(chunk, found), tally)
    if scanned.leaves:
        scanned.page_views[:] = map(_by_itself, scanned.page_views)
    return scanned


def _by_itself(view: PageView) -> PageView:
    """Have a page view finish nothing but its own line: others of the chunk are left."""
    end = min(view.line_start + len(view.line) + 1, view.span.end)
    return view._replace(span=Span(view.span.file, view.line_start, end))


def page_views_of(chunk: Chunk, found: Found) -> list[PageView]:
    """Give each page view the span from the one before to its own line's end."""
    if not found.starts:
        return []
    base, data = chunk.start, chunk.data
    lines = [data[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    starts = [base + start for start in found.starts]
    stops = [base + end + 1 for end in found.ends]
    pieces = [base, *stops[:-1]]
    stops[-1] = chunk.end  # what follows the last page view is finished with it
    spans = map(_new, repeat(Span), zip(repeat(chunk.file), pieces, stops))
    contents = found.websites, found.bodies, found.user_agents, found.times
    rows = zip(*contents, spans, starts, lines, repeat(chunk.again))
    return list(map(_new, repeat(PageView), rows))
