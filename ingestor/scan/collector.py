"""The collector of garbage comes rarely while lines are scanned: a third of the time was its."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Leave what lives by now alone, and look at what is made from here on less often.

    Scanning makes no cycles, so nothing waits for the collector but what others leave behind.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
