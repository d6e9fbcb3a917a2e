"""What became of every line: the counts of one run, their sum, and how they are shown.

The sum is an invariant: ``lines = malformed + filtered + accepted + refused as bot + rejected +
in flight``. It holds at any moment, since a page view is in flight from the scan until its outcome.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingestor.model import Outcome
from ingestor.words import counted

if TYPE_CHECKING:
    from ingestor.model import Scanned, Tally


@dataclass(slots=True)
class Counts:
    """The counts of one run; every field is a number of lines unless it says otherwise."""

    lines: int = 0
    malformed: Counter[str] = field(default_factory=Counter)  # by Malformed
    filtered: Counter[str] = field(default_factory=Counter)  # by Reason
    page_views: int = 0  # handed to delivery, each counted once
    accepted: int = 0
    accepted_unsettled: int = 0  # among the accepted: Umami may have judged the agent a bot
    refused_as_bot: int = 0
    rejected: int = 0
    doubted: int = 0  # sent again although Umami may have stored them
    files: int = 0  # files
    bytes: int = 0  # decompressed bytes read

    @property
    def in_flight(self) -> int:
        """Page views without an outcome yet."""
        return self.page_views - self.accepted - self.refused_as_bot - self.rejected

    def scanned(self, scanned: Scanned) -> None:
        """Count a chunk; what is read again was counted the first time."""
        self.bytes += scanned.chunk.end - scanned.chunk.start
        if not scanned.chunk.again:
            self.add(scanned.tally)
            self.page_views += len(scanned.page_views)

    def add(self, tally: Tally) -> None:
        """Count lines that were judged; the page views among them are not in the tally."""
        self.lines += tally.lines
        self.malformed.update(tally.malformed)
        self.filtered.update(tally.filtered)

    def finished(self, outcome: Outcome, count: int, *, unsettled: int = 0) -> None:
        """Count what became of page views; ``unsettled`` of the accepted ones may be bots."""
        if outcome is Outcome.ACCEPTED:
            self.accepted += count
            self.accepted_unsettled += unsettled
        elif outcome is Outcome.REFUSED_AS_BOT:
            self.refused_as_bot += count
        else:
            self.rejected += count

    def as_json(self, seconds: float, *, preview: bool = False) -> dict[str, Any]:
        """The object that ``--json`` prints; with ``preview``, ``would_send`` for ``accepted``."""
        head: dict[str, Any] = {
            "lines": self.lines,
            "malformed": self.malformed.total(),
            "malformed_reasons": by_name(self.malformed),
            "filtered": by_name(self.filtered),
        }
        sent: dict[str, Any] = (
            {"would_send": self.page_views, "refused_as_bot": 0, "rejected": 0, "in_flight": 0}
            if preview
            else {
                "accepted": self.accepted,
                "accepted_unsettled": self.accepted_unsettled,
                "refused_as_bot": self.refused_as_bot,
                "rejected": self.rejected,
                "doubted": self.doubted,
                "in_flight": self.in_flight,
            }
        )
        tail = {"files": self.files, "bytes": self.bytes, "seconds": round(seconds, 3)}
        return head | sent | tail

    def as_text(self, seconds: float, *, preview: bool = False) -> str:
        """The summary for people, a row a count, reasons beside it."""
        rows = [
            ("lines", self.lines, f"in {counted(self.files, 'file')}, {human_bytes(self.bytes)}"),
            ("malformed", self.malformed.total(), reasons(self.malformed)),
            ("filtered", self.filtered.total(), reasons(self.filtered)),
        ]
        if preview:
            rows.append(("would send", self.page_views, ""))
        else:
            rows += [
                ("accepted", self.accepted, self._about_accepted()),
                ("refused as bot", self.refused_as_bot, ""),
                ("rejected", self.rejected, ""),
                ("in flight", self.in_flight, ""),
            ]
        rate = self.lines / seconds if seconds > 0 else 0
        body = "\n".join(f"  {name:<15}{n:>12,}  {note}".rstrip() for name, n, note in rows)
        return f"{body}\n  {seconds:.1f} s, {rate:,.0f} lines/s"

    def _about_accepted(self) -> str:
        notes = []
        if self.accepted_unsettled:
            notes.append(f"{self.accepted_unsettled:,} with a user agent not settled with Umami")
        if self.doubted:
            notes.append(f"up to {self.doubted:,} double (sent again, as no answer came)")
        return f"of them {', '.join(notes)}" if notes else ""


def reasons(counter: Counter[str]) -> str:
    """``asset 70, bot 14``: the most frequent first."""
    return ", ".join(f"{name} {n:,}" for name, n in counter.most_common())


def by_name(counter: Counter[str]) -> dict[str, int]:
    """The counts under plain names (enumeration members are no JSON keys), largest first."""
    return {str(name): n for name, n in counter.most_common()}


def human_bytes(n: float) -> str:
    """``564.0 MB``: decimal units, one place."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":  # noqa: PLR2004 - a unit's step
            break
        n /= 1000
    return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
