"""Is a user agent a program's? First version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestor.pageviews.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import Sequence


class Bots:
    """Verdicts on user agents, with the user's additions and exceptions on top."""

    def __init__(self, *, also: Sequence[str], never: Sequence[str]) -> None:
        self._also = Patterns(also, "pageviews.also_bots")
        self._never = Patterns(never, "pageviews.never_bots")

    def is_bot(self, user_agent: str) -> bool:
        """Whether the user agent is a program's."""
        if self._never.match(user_agent):
            return False
        lowered = user_agent.lower()
        return self._also.match(user_agent) or any(
            w in lowered for w in ("bot", "crawl", "spider", "http", "curl", "wget", "python")
        )
