"""The most page views a second: a token bucket, on a clock that the caller reads.

Pure: it says how long to wait, and who waits does it.
"""

from __future__ import annotations

_BURST = 1.0  # seconds' worth that may leave at once after a pause


class Rate:
    """At most ``page_views`` a second on average, and a second's worth (or one batch) at once."""

    def __init__(self, page_views: int) -> None:
        self.page_views = page_views
        self._next = float("-inf")  # when what was let through is worked off

    def wait(self, count: int, now: float) -> float:
        """Let ``count`` page views through and say how many seconds to wait before they leave.

        ``now`` is monotonic. What is let through together counts as spent even if it never leaves.
        """
        begin = max(self._next, now - _BURST)
        self._next = begin + count / self.page_views
        return max(0.0, self._next - now)
