"""Page views of a backfill, held back until they fill whole batches: nobody waits for one of them.

A request costs Umami and us the same whatever is in it, and an idle worker takes what is there.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from ingestor.delivery.batcher import bytes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.model import PageView

_MOST = 4_000  # page views held back, of however many websites …
_HEAVY = 8_000_000  # … and bytes of their lines
_website = itemgetter(0)  # of a page view: half the price of its name


class Gathering:
    """What waits for more of its website. ``size``: page views of a whole batch."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: dict[str, list[PageView]] = {}
        self._count = 0
        self._bytes = 0  # of their lines, taken for equally shared among them

    def add(self, page_views: Sequence[PageView]) -> list[PageView]:
        """Take page views, and give those that fill whole batches, in their order."""
        full: list[PageView] = []
        for website, group in groupby(page_views, _website):
            waiting = self._waiting.setdefault(website, [])
            waiting += group
            whole = len(waiting) // self._size * self._size
            if whole:
                full += waiting[:whole]
                del waiting[:whole]
        self._count += len(page_views)
        self._bytes += bytes_of(page_views)
        if full:
            self._bytes -= self._bytes * len(full) // self._count
            self._count -= len(full)
        if self._count <= _MOST and self._bytes <= _HEAVY:
            return full
        return full + self.rest()

    def rest(self) -> list[PageView]:
        """Give all that wait."""
        left = [page_view for waiting in self._waiting.values() for page_view in waiting]
        self._waiting.clear()
        self._count = self._bytes = 0
        return left
