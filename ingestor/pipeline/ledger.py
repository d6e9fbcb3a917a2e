"""Where delivery meets the checkpoint: every page view is journalled, acked and counted here.

Implements delivery's ``Journal`` and ``Report`` over the store, the committer and the counts of
this run. It decides nothing; it is the one place where an outcome becomes an ack.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from ingestor.model import Outcome, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingestor.checkpoint import Committer, Store
    from ingestor.model import Batch, Marker, PageView, Scanned
    from ingestor.observe import Counts

log = logging.getLogger("ingestor")


class Ledger:
    """The books of one run: what was sent, what became of it, what is held back.

    ``store`` and ``committer`` are None where no checkpoint is kept (standard input).
    """

    def __init__(self, counts: Counts, store: Store | None, committer: Committer | None) -> None:
        self.counts = counts
        self.away_since: float | None = None  # Unix seconds
        self.held: dict[str, list[Span]] = defaultdict(list)  # by parked website
        self.on_unparked: Callable[[Sequence[Span]], None] | None = None
        self._store = store
        self._committer = committer
        self._batch_id = 0
        self._marked: dict[int, int] = {}  # file → watermark whose marker was set

    # What the reading side tells.

    def scanned(self, scanned: Scanned) -> None:
        """Count a chunk and ack what is finished by being scanned."""
        self.counts.scanned(scanned)
        self._marked.setdefault(scanned.chunk.file, -1)
        if self._store is not None and scanned.finished is not None:
            self._store.ack([scanned.finished])

    def say_in_doubt(self) -> None:
        """Tell what a crash left unanswered: it is read and sent again, and may be double."""
        if self._store is None:
            return
        left = self._store.in_doubt()
        for entry in left:
            self._store.answered(entry.id)
        count = sum(entry.count for entry in left)
        if count:
            self.counts.doubted += count
            log.warning(
                "The last run ended with %d page views sent and not answered; they are sent "
                "again, so up to %d may be double.",
                count,
                count,
            )

    def set_marker(self, key: int, marker_at: Callable[[int, int], Marker | None]) -> None:
        """Have the proof of a file's watermark written, where it moved."""
        if self._store is None:
            return
        watermark = self._store.watermark(key)
        if self._marked.get(key) != watermark:
            self._marked[key] = watermark
            marker = marker_at(key, watermark)
            if marker is not None:
                self._store.set_marker(key, marker)

    def set_markers(self, marker_at: Callable[[int, int], Marker | None]) -> None:
        """Have the proofs of all watermarks of this run written."""
        for key in list(self._marked):
            self.set_marker(key, marker_at)

    # Delivery's journal.

    def next_batch_id(self) -> int:
        """Give a number that this checkpoint never gave before."""
        if self._store is not None:
            return self._store.next_batch_id()
        self._batch_id += 1
        return self._batch_id

    async def before_send(self, batch: Batch) -> None:
        """Return when the batch is on disk."""
        if self._committer is not None:
            await self._committer.journalled(batch)

    def answered(self, batch: Batch, finished: Sequence[tuple[PageView, Outcome]]) -> None:
        """Strike the batch off and ack what is finished of it."""
        if self._store is not None:
            self._store.answered(batch.id, [page_view.span for page_view, _ in finished])

    def unsent(self, finished: Sequence[tuple[PageView, Outcome]]) -> None:
        """Ack page views that were finished without a request."""
        if self._store is not None:
            self._store.ack([page_view.span for page_view, _ in finished])

    # Delivery's report.

    def finished(
        self,
        website: str,  # noqa: ARG002 - counted by website once metrics are
        outcome: Outcome,
        count: int,
        *,
        unsettled: int = 0,
    ) -> None:
        """Count page views that came to an end."""
        self.counts.finished(outcome, count, unsettled=unsettled)

    def resettled(self, user_agent: str, outcome: Outcome, count: int) -> None:  # noqa: ARG002
        """Amend the counts: a user agent was settled after its page views were accepted."""
        self.counts.accepted_unsettled -= count
        if outcome is Outcome.REFUSED_AS_BOT:
            self.counts.accepted -= count
            self.counts.refused_as_bot += count

    def doubted(self, website: str, count: int) -> None:
        """Count page views that are sent again although Umami may have stored them."""
        log.debug("%d page views of website %s may be double", count, website)
        self.counts.doubted += count

    def away(self, since: float | None, why: str) -> None:  # noqa: ARG002 - delivery logs it
        """Remember since when Umami is away."""
        self.away_since = since

    def parked(self, website: str, why: str) -> None:  # noqa: ARG002 - delivery logs it
        """Note that the page views of this website are held in the logs."""
        self.held.setdefault(website, [])

    def deferred(self, page_views: Sequence[PageView]) -> None:
        """Note what to read again when the website works."""
        for page_view in page_views:
            self.held[page_view.website].append(page_view.span)

    def unparked(self, website: str) -> None:
        """Have the held page views of a website read again."""
        log.info("Website %s works again.", website)
        spans = self.held.pop(website, [])
        if spans and self.on_unparked is not None:
            self.on_unparked(merged(spans))


def merged(spans: Sequence[Span]) -> list[Span]:
    """Join spans that touch, file by file, so that each stretch is read once."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and found[-1].file == span.file and found[-1].end >= span.start:
            found[-1] = Span(span.file, found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found
