"""Where delivery meets the checkpoint: every page view is journalled, acked and counted here.

Implements delivery's ``Journal`` and ``Report`` over the store, the committer and the counts of
this run. It decides nothing; it is the one place where an outcome becomes an ack.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ingestor.checkpoint import CheckpointUnavailable, Intervals, Role
from ingestor.delivery import Left
from ingestor.logfiles import marker_of
from ingestor.model import Outcome, Span
from ingestor.pipeline.leftover import DATED
from ingestor.pipeline.rereading import HeldBack, merged
from ingestor.pipeline.totals import Totals
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingestor.checkpoint import Committer, JournalEntry, Store
    from ingestor.model import Batch, Ended, Marker, PageView, Scanned
    from ingestor.observe import Counts

log = logging.getLogger("ingestor")

_OWN_NUMBER = (1 << 36) - 1  # what of a batch's id is its number within a session of the store


class Ledger:
    """The books of one run: what was sent, what became of it, what is held back.

    ``store`` and ``committer`` are None where no checkpoint is kept (standard input).
    ``source_of`` names the source of a file's key.
    """

    def __init__(
        self,
        counts: Counts,
        store: Store | None,
        committer: Committer | None,
        source_of: Callable[[int], str],
    ) -> None:
        self.counts = counts
        self.totals = None if store is None else Totals(store, source_of)
        self.away_since: float | None = None  # Unix seconds
        self.held: dict[str, HeldBack] = defaultdict(HeldBack)  # by parked website
        self.on_unparked: Callable[[Sequence[Span]], None] | None = None
        self.on_let_go: Callable[[Sequence[Span]], None] | None = None
        self._store = store
        self._committer = committer
        self._batch_id = 0
        # Drawn, and not counted: the checkpoint may be a copy that another machine has as well.
        self._run = secrets.token_hex(6)
        self._open: dict[int, Batch] = {}  # without an answer
        self._left: Counter[int] = Counter()  # of these, requests that may have been taken
        self._doubtful: dict[str, int] = {}  # by website: under way, perhaps stored already
        self._marked: dict[int, int] = {}  # file → watermark whose marker was set
        self._proved: set[int] = set()  # files with a marker of this run
        self._websites: Collection[str] = ()  # that this process sends for, once it said so
        self._told: set[int] = set()  # batches that earlier runs left in doubt …
        self._handed_on: dict[int, tuple[str, int]] = {}  # … and delivery has taken up: how many
        self._orphans: list[JournalEntry] = []  # the other command's, without bodies

    # What the reading side tells.

    def scanned(self, scanned: Scanned) -> None:
        """Count a chunk and ack what is finished by being scanned."""
        self.counts.scanned(scanned)
        self._marked.setdefault(scanned.chunk.file, -1)
        if self.totals is not None:
            self.totals.scanned(scanned)
        if self._store is None:
            return
        if scanned.leaves and self._store.role is Role.RUN:
            self._leave(scanned)
        elif scanned.leaves and self._store.noted(DATED) is None:
            self._store.note(DATED, value=True)
        if scanned.finished is not None:
            self._store.ack([scanned.finished])
            self._prove(scanned.chunk.file, scanned.chunk.data, scanned.chunk.end)

    def _leave(self, scanned: Scanned) -> None:
        """Leave what is older than the daemon's start to a backfill; what stands later is done."""
        if self._store is None:
            return
        chunk = scanned.chunk
        views = [view.span for view in scanned.page_views]
        begin = views[0].start if views else chunk.end
        if self._store.watermark(chunk.file) < chunk.start:  # newer lines stand before it
            begin = chunk.start
        else:
            self._store.update(chunk.file, origin=begin)
        rest = Intervals((span.start, span.end) for span in views).gaps(begin, chunk.end)
        self._store.ack([Span(chunk.file, *gap) for gap in rest])

    def say_in_doubt(self, websites: Collection[str] = (), *, looked_up: bool = False) -> bool:
        """Tell what a crash left unanswered: it is sent again, and may be double.

        What the journal has with bodies, delivery takes up; ``looked_up``: it asks Umami first.
        The rest is read again. ``websites``: those that this process sends for. Gives whether
        there is more for delivery than at the last call.
        """
        if self._store is None:
            return False
        self._websites = websites
        self._adopt(websites)
        known = {file.key for file in self._store.known()}
        count = kept = 0
        for entry in self._store.in_doubt():
            if entry.id in self._told:
                continue
            self._told.add(entry.id)
            if entry.bodies and known.issuperset(_files(entry)):
                kept += entry.count
                continue
            self._store.answered(entry.id)
            self._note_doubted(entry.website, entry.count)
            count += entry.count
        if kept and looked_up:
            log.info(
                "The last run ended with %s in doubt; Umami is asked which of them it stored.",
                counted(kept, "page view"),
            )
        elif kept:
            count += kept  # delivery reports them as it sends them
        if count:
            log.warning(
                "The last run ended with %s sent and not answered; they are sent again, so up to "
                "%d may be double.",
                counted(count, "page view"),
                count,
            )
        return kept > 0

    def _adopt(self, websites: Collection[str]) -> None:
        """Take over what a dead process of the other role could send again; know the rest."""
        if self._store is None:
            return
        try:
            self._store.adopt(websites)
        except CheckpointUnavailable as error:  # the next start does it
            log.warning("What the other command left in doubt waits: %s", error)
        orphans = [entry for entry in self._store.orphans() if entry.id not in self._told]
        if not orphans:
            return
        self._told.update(entry.id for entry in orphans)
        self._orphans += orphans
        log.warning(
            "The other command ended with %s sent and not answered; what is read of them here is "
            "sent again, and may be double.",
            counted(sum(entry.count for entry in orphans), "page view"),
        )

    def _note_repeated(self, batch: Batch) -> None:
        """Strike off what the other command sent of a batch, before it died: now it is ours."""
        lines: defaultdict[int, Intervals] = defaultdict(Intervals)
        for page_view in batch.page_views:
            lines[page_view.span.file].add(page_view.span.start, page_view.span.end)
        for entry in self._orphans[:]:
            if any(
                span.file in lines and lines[span.file].overlaps(span.start, span.end)
                for span in entry.spans
            ):
                self._orphans.remove(entry)
                self._note_doubted(entry.website, entry.count)
                if self._store is not None:
                    self._store.answered(entry.id)

    @property
    def unanswered(self) -> int:
        """Page views that were sent, have no answer, and cannot be looked up."""
        return sum(
            len(batch.page_views)
            for batch in self._open.values()
            if batch.tag is None and self._left[batch.id]
        )

    def strike_off_refused(self) -> None:
        """Take out of the journal what surely was not taken; called when nothing is sent any more.

        The next start then has no doubt about it, and reads it again.
        """
        for batch in list(self._open.values()):
            if batch.tag is None and not self._left[batch.id]:
                self.answered(batch, {})

    def give_up(self) -> int:
        """Let go of what is without an answer: it is read and sent again. How many page views.

        What can be looked up stays in the journal, for the delivery that comes next.
        """
        count = 0
        for batch in self._open.values():
            if batch.tag is not None and self._store is not None:
                self._store.leave(batch.id)
                continue
            if self._left[batch.id]:
                count += len(batch.page_views)
                self._note_doubted(batch.website, len(batch.page_views))
            if self._store is not None:
                self._store.answered(batch.id)
        self._open.clear()
        self._left.clear()
        self._doubtful.clear()
        return count

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
                self._proved.add(key)

    def _prove(self, key: int, before: bytes, offset: int) -> None:
        """Have a file's first acks reach the disk together with a proof of what they are acks of.

        ``before`` ends at ``offset``. Without any marker a log is known by its head alone, and
        one that begins as it did could be taken for it after a crash.
        """
        if self._store is None or key in self._proved or not before:
            return
        if offset <= self._store.watermark(key):
            self._store.set_marker(key, marker_of(before, offset))
            self._proved.add(key)

    def _prove_by_lines(self, page_views: Sequence[PageView]) -> None:
        for page_view in page_views:
            line = page_view.line + b"\n"
            self._prove(page_view.span.file, line, page_view.line_start + len(line))

    def set_markers(self, marker_at: Callable[[int, int], Marker | None]) -> None:
        """Have the proofs of all watermarks of this run written."""
        for key in list(self._marked):
            self.set_marker(key, marker_at)

    def forget_all_but(self, keys: Collection[int]) -> None:
        """Drop what is noted of files that the checkpoint has forgotten."""
        self._marked = {key: mark for key, mark in self._marked.items() if key in keys}
        self._proved.intersection_update(keys)

    # Delivery's journal.

    def next_batch_id(self) -> int:
        """Give a number that this checkpoint never gave before."""
        if self._store is not None:
            return self._store.next_batch_id()
        self._batch_id += 1
        return self._batch_id

    def tag(self, batch_id: int) -> str:
        """Give a word of this run alone, and the batch's number within it."""
        return f"{self._run}-{batch_id & _OWN_NUMBER}"

    async def before_send(self, batch: Batch, bodies: bytes | None = None) -> None:
        """Return when the batch is on disk; without bodies also while the disk refuses."""
        self._open[batch.id] = batch
        if self._orphans:
            self._note_repeated(batch)
        if self._committer is None:
            return
        written = await self._committer.journalled(batch, bodies=bodies)
        if bodies is not None and not written:
            await self._committer.on_disk()

    def leaving(self, batch: Batch) -> None:
        """Count a request that may be taken."""
        self._left[batch.id] += 1

    def refused(self, batch: Batch) -> None:
        """Count one less: it was not."""
        self._left[batch.id] -= 1

    def put_in_doubt(self, batch: Batch) -> None:
        """Note for `status` that the batch's answer did not come."""
        if self._store is not None:
            self._store.mark_in_doubt(batch.id)

    def left_in_doubt(self) -> list[Left]:
        """Give what earlier runs left for a look-up, each once; its lines count as read now."""
        if self._store is None:
            return []
        entries = [entry for entry in self._store.in_doubt() if entry.id not in self._handed_on]
        self._handed_on.update((entry.id, (entry.website, entry.count)) for entry in entries)
        count = sum(entry.count for entry in entries)
        self.counts.lines += count
        self.counts.page_views += count
        return [
            Left(entry.id, entry.website, entry.tag or "", entry.bodies or b"") for entry in entries
        ]

    def strays(self) -> Collection[str]:
        """Give the websites in the journal that are in no site."""
        if self._store is None or not self._websites:
            return ()
        return self._store.websites_left().difference(self._websites)

    def let_go(self, website: str) -> None:
        """Have it read and judged again: by the rules of today it is another website's."""
        if self._store is None:
            return
        self._adopt({website})
        entries = [entry for entry in self._store.in_doubt() if entry.website == website]
        for entry in entries:
            self._store.answered(entry.id)
        if not entries:
            return
        log.warning(
            "%s in doubt for website %s, which is in no site of the configuration, and which Umami "
            "does not know: their lines are read anew, by the rules of today.",
            counted(sum(entry.count for entry in entries), "page view"),
            website,
        )
        if self.on_let_go is not None:
            self.on_let_go(merged(span for entry in entries for span in entry.spans))

    def answered(self, batch: Batch, ended: Ended) -> None:
        """Strike the batch off and ack what is finished of it."""
        opened = self._open.pop(batch.id, None)
        self._handed_on.pop(batch.id, None)
        self._left.pop(batch.id, None)
        self.counts.doubted += self._doubtful.pop(batch.website, 0)
        if self._store is not None and self.totals is not None:
            if opened is not None and sum(map(len, ended.values())) == len(batch.page_views):
                spans = self._store.finished(batch.id)  # joined already
            else:
                self._store.answered(batch.id, spans := _spans(ended))
            # What an earlier run left has masked lines.
            if opened is not None and not self._proved.issuperset([span[0] for span in spans]):
                for page_views in ended.values():
                    self._prove_by_lines(page_views)
            self.totals.finished(ended, {span[0] for span in spans})

    def unsent(self, ended: Ended) -> None:
        """Ack page views that were finished without a request."""
        if self._store is not None and self.totals is not None:
            self._store.ack(spans := _spans(ended))
            self.totals.finished(ended, {span[0] for span in spans})

    # Delivery's report.

    def finished(self, outcome: Outcome, count: int, *, unsettled: int = 0) -> None:
        """Count page views that came to an end."""
        self.counts.finished(outcome, count, unsettled=unsettled)

    def resettled(self, outcome: Outcome, count: int) -> None:
        """Amend the counts: a user agent was settled after its page views were accepted."""
        self.counts.accepted_unsettled -= count
        if outcome is Outcome.REFUSED_AS_BOT:
            self.counts.accepted -= count
            self.counts.refused_as_bot += count
            if self.totals is not None:
                self.totals.resettled(count)

    def doubted(
        self, website: str, count: int, *, answered: bool = False, told: bool = False
    ) -> None:
        """Count page views that are sent again although Umami may have stored them."""
        log.debug("%d page views of website %s may be double", count, website)
        if self.totals is not None:  # each try may have been stored
            self.totals.doubted(website, count)
        if told:
            return
        if answered:  # by a 500, or found to be double when all is over
            self.counts.doubted += count
            return
        # A day of retries makes no more page views double than are under way.
        sizes = [(batch.website, len(batch.page_views)) for batch in self._open.values()]
        sizes += self._handed_on.values()
        under_way = sum(size for where, size in sizes if where == website)
        self._doubtful[website] = min(self._doubtful.get(website, 0) + count, under_way)

    def _note_doubted(self, website: str, count: int) -> None:
        self.counts.doubted += count
        if self.totals is not None and count:
            self.totals.doubted(website, count)

    def away(self, since: float | None) -> None:
        """Remember since when Umami is away."""
        self.away_since = since

    def parked(self, website: str) -> None:
        """Note that the page views of this website are held in the logs."""
        self.held.setdefault(website, HeldBack())

    def deferred(self, page_views: Sequence[PageView]) -> None:
        """Note what to read again when the website works."""
        for page_view in page_views:
            self.held[page_view.website].add(page_view.span)

    def unparked(self, website: str) -> None:
        """Have the held page views of a website read again."""
        log.info("Website %s works again.", website)
        held = self.held.pop(website, None)
        if held and self.on_unparked is not None:
            self.on_unparked(held.spans())


def _spans(ended: Ended) -> list[Span]:
    return [page_view.span for page_views in ended.values() for page_view in page_views]


def _files(entry: JournalEntry) -> set[int]:
    return {span.file for span in entry.spans}
