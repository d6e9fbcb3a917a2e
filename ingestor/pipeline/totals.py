"""What became of lines since the checkpoint began: by source for `status`, by day for overlaps.

The checkpoint keeps these numbers and asks nothing about them; here is their meaning. Of a source
(its path as configured) they hold ``lines``, ``malformed.time``, ``filtered.bot``, ``accepted``
and so on. Under ``website ID YYYY-MM`` stands how many page views of which day Umami accepted from
us, so that what others sent can be told from it. Lines that a crash has us read again are counted
again.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from ingestor.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from ingestor.checkpoint import Store
    from ingestor.model import Ended, PageView, Scanned

_DAY = 86_400  # seconds
_WEBSITE = "website "
AMENDED = "(settled later)"  # user agents that Umami judged after their page views were counted
SENT_AGAIN = "(dead letters)"  # what became of those that were sent again
_FILES = 50_000  # of which the newest page view is remembered

Counts = dict[str, int]


class Totals:
    """Adds to the totals of an open checkpoint. ``source_of`` names the source of a file's key."""

    def __init__(self, store: Store, source_of: Callable[[int], str]) -> None:
        self._store = store
        self._source_of = source_of
        self.newest: dict[int, int] = {}  # file → Unix seconds of its newest page view
        self.newest_done = 0  # Unix seconds of the newest page view that came to an end

    def scanned(self, scanned: Scanned) -> None:
        """Count the lines of a chunk, the first time that they are read."""
        key = scanned.chunk.file
        if scanned.page_views:
            newest = max(_times(scanned.page_views))
            has_room = key in self.newest or len(self.newest) < _FILES
            if has_room and newest > self.newest.get(key, 0):
                self.newest[key] = newest
        if not scanned.chunk.again:
            source = self._source_of(key)
            self._store.count(source, {"lines": scanned.tally.lines})
            self._store.count_tally(source, scanned.tally)

    def finished(self, ended: Ended, files: Collection[int]) -> None:
        """Count page views of one website that came to an end; ``files`` are all of theirs."""
        for outcome, page_views in ended.items():
            if not page_views:
                continue
            for file, count in _by_file(page_views, files).items():
                self._store.count(self._source_of(file), {outcome: count})
            times = _times(page_views)
            self.newest_done = max(self.newest_done, *times)
            if outcome is Outcome.ACCEPTED:
                self._count_days(page_views, times)

    def _count_days(self, accepted: Sequence[PageView], times: Sequence[int]) -> None:
        for source, days in _by_month(accepted[0].website, times).items():
            self._store.count(source, days)

    def resettled(self, count: int) -> None:
        """Amend: so many page views that were accepted turned out to be dropped as a bot's."""
        amended = {str(Outcome.ACCEPTED): -count, str(Outcome.REFUSED_AS_BOT): count}
        self._store.count(AMENDED, amended)

    def doubted(self, website: str, count: int) -> None:
        """Count page views that may be in Umami although no answer said so."""
        self._store.count(f"{_WEBSITE}{website} doubted", {"doubted": count})


class Amendments:
    """What becomes of dead letters that are sent again, as the checkpoint's totals have it."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by source

    def finished(self, ended: Ended) -> None:
        """Count letters of one website that came to another end than being rejected."""
        for outcome, page_views in ended.items():
            if outcome is Outcome.REJECTED or not page_views:
                continue
            self._move(Outcome.REJECTED, outcome, len(page_views))
            if outcome is Outcome.ACCEPTED:
                days = _by_month(page_views[0].website, _times(page_views))
                for source, counts in days.items():
                    self.counts[source].update(counts)

    def resettled(self, count: int) -> None:
        """Count so many that were accepted, and turned out to be dropped as a bot's."""
        self._move(Outcome.ACCEPTED, Outcome.REFUSED_AS_BOT, count)

    def doubted(self, website: str, count: int) -> None:
        """Count those that may be in Umami although no answer said so."""
        self.counts[f"{_WEBSITE}{website} doubted"]["doubted"] += count

    def _move(self, before: Outcome, after: Outcome, count: int) -> None:
        self.counts[SENT_AGAIN].update({str(before): -count, str(after): count})


def by_source(totals: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Add up what both roles counted, and what was amended, by source."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for of_role in totals:
        for source, counts in of_role.items():
            if not source.startswith(_WEBSITE):
                found[source].update(counts)
    return {source: dict(counts) for source, counts in found.items()}


def accepted_by_day(totals: Iterable[Mapping[str, Counts]], website: str) -> Counts:
    """How many page views of each day (``2026-01-31``, UTC) Umami accepted from us, at most.

    What may have been stored twice stands under ``doubted``.
    """
    found: Counter[str] = Counter()
    for of_role in totals:
        for source, counts in of_role.items():
            if source.startswith(f"{_WEBSITE}{website} "):
                found.update(counts)
    return dict(found)


def _by_month(website: str, times: Sequence[int]) -> dict[str, Counts]:
    """Give the sources of accepted page views of one website, each with its days."""
    first, last = min(times) // _DAY, max(times) // _DAY
    days = {first: len(times)} if first == last else Counter([t // _DAY for t in times])
    found: defaultdict[str, Counts] = defaultdict(dict)
    for number, count in days.items():
        day = _day(number)
        found[f"{_WEBSITE}{website} {day[:-3]}"][day] = count
    return found


def _by_file(page_views: Sequence[PageView], files: Collection[int]) -> Mapping[int, int]:
    if len(files) == 1:  # nearly always: nobody has to look at each of them
        return dict.fromkeys(files, len(page_views))
    return Counter([page_view.span[0] for page_view in page_views])


def _times(page_views: Sequence[PageView]) -> list[int]:
    return [page_view.time for page_view in page_views]


@lru_cache(maxsize=1024)
def _day(days: int) -> str:
    """Days since 1970 → ``2026-01-31``."""
    return time.strftime("%Y-%m-%d", time.gmtime(days * _DAY))
