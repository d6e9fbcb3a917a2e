"""What the sandbox saw and did, counted; the control port and the tests read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counters:
    """Everything since the start or the last `clear`."""

    requests: Counter[str] = field(default_factory=Counter)  # by path
    answers: Counter[int] = field(default_factory=Counter)  # by status of what was sent
    batches: Counter[int] = field(default_factory=Counter)  # by how many entries they had
    entries: int = 0  # bodies of /api/send, and elements of /api/batch
    identify_probes: int = 0  # type identify without data, with a good token
    stored: int = 0  # page views
    stored_other: int = 0  # custom events, web vitals
    bots: int = 0  # "beep boop", identify probes included
    rejected: int = 0  # 4xx and 5xx of single entries, "database away" included
    in_flight: int = 0  # requests under way
    most_in_flight: int = 0
    by_website: Counter[str] = field(default_factory=Counter)  # stored page views

    def clear(self) -> None:
        """Start at nothing; requests under way stay counted."""
        for counter in (self.requests, self.answers, self.batches, self.by_website):
            counter.clear()
        self.entries = self.identify_probes = self.stored = self.stored_other = 0
        self.bots = self.rejected = 0
        self.most_in_flight = self.in_flight

    def as_json(self) -> dict[str, Any]:
        """For the control port."""
        return {
            "requests": dict(self.requests),
            "answers": {str(status): count for status, count in self.answers.items()},
            "batches": {str(size): count for size, count in self.batches.items()},
            "entries": self.entries,
            "identify_probes": self.identify_probes,
            "stored": self.stored,
            "stored_other": self.stored_other,
            "bots": self.bots,
            "rejected": self.rejected,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "by_website": dict(self.by_website),
        }
