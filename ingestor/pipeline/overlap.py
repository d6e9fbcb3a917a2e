"""What Umami has or hides of the days whose page views are about to be sent.

Page views older than a website's reset are stored and never shown. And where the site's own
tracker, or another sender, counted the same days already, every visitor would be double. What we
sent ourselves is no overlap: the checkpoint knows how much that was, day by day.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestor.checkpoint import read
from ingestor.errors import CheckpointError
from ingestor.pipeline.totals import accepted_by_day

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingestor.delivery import Reader, WebsiteFacts

_UNDER_WAY = 200  # page views that a daemon may have stored since it counted last


@dataclass(slots=True)
class Period:
    """Page views of one website that are wanted in Umami; times in Unix seconds."""

    first: int
    last: int
    count: int = 1
    hidden: int = 0  # of them, older than the website's reset

    def add(self, moment: int, *, reset_at: float = 0.0) -> None:
        """Take in one more."""
        self.first, self.last = min(self.first, moment), max(self.last, moment)
        self.count += 1
        self.hidden += moment < reset_at


@dataclass(frozen=True, slots=True)
class Foreign:
    """Page views in Umami that this program did not send, in the days asked about."""

    count: int
    first_day: str  # 2026-01-31, UTC
    last_day: str

    def __str__(self) -> str:
        """``1,234 page views from 2026-01-03 on that did not come by this checkpoint``."""
        days = (
            f"on {self.first_day}"
            if self.first_day == self.last_day
            else f"from {self.first_day} to {self.last_day}"
        )
        return f"{self.count:,} page views {days} that did not come by this checkpoint"


class Ours:
    """What this checkpoint's owner sent so far, by website and day."""

    def __init__(self, path: Path | None) -> None:
        """``path``: the checkpoint; None, or none there: nothing was sent."""
        self._totals: list[dict[str, dict[str, int]]] = []
        self._unanswered: Counter[str] = Counter()  # page views under way or in doubt
        self._alive = False  # somebody is at work, and counts what he did a little later
        if path is None:
            return
        try:
            snapshot = read(path)
        except CheckpointError:
            return
        self._totals = [*snapshot.totals.values(), snapshot.amended]
        for entry in snapshot.journal:
            self._unanswered[entry.website] += entry.count
        self._alive = bool(snapshot.alive)

    def by_day(self, website: str) -> tuple[dict[str, int], int]:
        """Page views by day, and how many more may be stored without our knowing."""
        days = accepted_by_day(self._totals, website)
        unsure = days.pop("doubted", 0) + self._unanswered[website]
        if self._alive and (days or unsure):
            unsure += _UNDER_WAY
        return days, unsure


async def foreign(reader: Reader, website: str, period: Period, ours: Ours) -> Foreign | None:
    """Find what others sent in a period. Raises what `Reader` raises."""
    stored = await reader.by_day(website, period.first, period.last)
    days, unsure = ours.by_day(website)
    return excess(stored, days, unsure)


def excess(stored: Mapping[str, int], ours: Mapping[str, int], unsure: int) -> Foreign | None:
    """Page views by day, ours by day → what is not ours; None where that may be nothing."""
    more = {day: count - ours.get(day, 0) for day, count in stored.items()}
    more = {day: count for day, count in more.items() if count > 0}
    total = sum(more.values())
    return Foreign(total, min(more), max(more)) if total > unsure else None


def reset_of(facts: WebsiteFacts | None) -> float:
    """Unix seconds before which page views are hidden; 0 where none are."""
    return 0.0 if facts is None or facts.reset_at is None else facts.reset_at


def moment(seconds: float) -> str:
    """``2026-01-31T12:00:00+00:00``, as ``--since`` and ``--until`` take it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))
