"""Follows the live logs of all sources across every rotation.

A plain synchronous engine: the caller says when to look (`poll`, `rescan`) and when to read, and
the clock is injected. A rescan is the truth; everything else only makes it come sooner. One
descriptor is held for each live file; a file is known by its content (see `recognition`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestor.logfiles.closing import Closing
from ingestor.logfiles.directories import DirectoryTimes
from ingestor.logfiles.discovery import FollowSource, discover, lineage_of
from ingestor.logfiles.findings import Finding
from ingestor.logfiles.followed import youngest
from ingestor.logfiles.intake import Intake
from ingestor.logfiles.rereading import Rereads
from ingestor.logfiles.roster import Roster
from ingestor.logfiles.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingestor.logfiles.discovery import Found
    from ingestor.logfiles.followed import FileState, Start
    from ingestor.logfiles.options import FollowOptions
    from ingestor.logfiles.registry import Registry
    from ingestor.model import Chunk, Marker, Span

_BUSY_SHARE = 30  # a look at everything may take one part in this of the time
_FULL_RESCAN = 30.0  # seconds between looks at everything, though nothing seems to have changed
_FULL_SHARE = 300  # … which may take one part in this of the time


class Follower:
    """All files of all sources of one daemon. Not thread-safe: one call at a time.

    ``start`` says from where files are read that are there when their source is new: all are with
    ``first_start``, else those of ``new_sources`` (indexes), but for logs that are known already.
    ``goes_on``: what a backfill has read of such a file, it goes on with where that ended.
    ``more_told``: an earlier version that told fewer names as generations made the registry; what
    it passed over is to be treated as if its source were new.
    """

    def __init__(  # noqa: PLR0913 - all that the first look has to know
        self,
        sources: Sequence[FollowSource],
        registry: Registry,
        options: FollowOptions,
        *,
        clock: Callable[[], float],
        start: Start = "end",
        first_start: bool = False,
        new_sources: Collection[int] = (),
        goes_on: bool = True,
        more_told: bool = False,
    ) -> None:
        self._sources = sources
        self._options = options
        self._clock = clock
        self._roster = Roster(registry, options, clock)
        self._intake = Intake(self._roster, start, goes_on=goes_on)
        self._first_start = first_start
        self._new_sources = new_sources
        self._more_told = more_told
        self._turns = Turns(self._roster)
        self._closing = Closing(self._roster)
        self._rereads = Rereads(options.read, self._roster.locate, self._miss)
        self._directories = DirectoryTimes()
        self._order = 0
        self._absent: dict[bytes, float] | None = None  # path → since when; None: no look yet
        self._next_rescan = clock()
        self._next_full = clock()

    def rescan_due(self) -> bool:
        """Whether it is time for `rescan`: the interval passed, or `poll` or `read` saw a need."""
        return self._roster.urgent or self._clock() >= self._next_rescan

    def hint(self) -> None:
        """Make the next `rescan_due` say yes."""
        self._roster.urgent = True

    def rescan(self) -> list[Finding]:
        """Look at all sources; take in what is new, renamed, truncated or gone.

        Where no directory and no closed file has changed for a while, only their times are looked
        at. Gives what an operator should hear and has not heard within the last hour.
        """
        began = self._clock()
        self._roster.catalogue = None
        self._next_rescan = began + self._options.rescan_interval
        if self._is_full_due(began):
            self._look_at_everything(began)
            took = self._clock() - began
            self._next_rescan = began + max(self._options.rescan_interval, took * _BUSY_SHARE)
            self._next_full = began + max(_FULL_RESCAN, took * _FULL_SHARE)
        self._rereads.look_again()
        self._closing.close_finished()
        self._closing.limit_deleted()
        self._closing.settle()
        self._roster.catalogue = None
        findings, self._roster.findings = self._roster.findings, []
        return findings

    def _is_full_due(self, now: float) -> bool:
        return (
            self._roster.urgent
            or now >= self._next_full
            or self._directories.may_have_changed()
            or self._intake.may_have_changed()
        )

    def _look_at_everything(self, now: float) -> None:
        roster = self._roster
        self._directories.before(now)
        discovered = discover(self._sources)
        self._directories.after(discovered.directories)
        self._say_all(discovered.findings, now)
        self._turns.poll()
        self._turns.verify_open()
        roster.urgent = False  # what it was urgent for happens now
        roster.ages = {found.id: self._order + i for i, found in enumerate(discovered.files)}
        roster.at_path = {found.path: found.id for found in discovered.files}
        roster.present = set(roster.ages)
        self._order += len(discovered.files)
        self._intake.note_present(discovered)
        for found in self._passed_over(discovered.files):
            roster.first_ids.add(found.id)
            self._intake.look_at_all([found])
        roster.first_ids |= self._first_of(discovered.files)
        self._first_start, self._new_sources, self._more_told = False, (), False
        self._intake.look_at_all(discovered.files)
        self._closing.report_lost()
        self._closing.forget_vanished()
        self._turns.note_elders()

    def _say_all(self, findings: Sequence[Finding], now: float) -> None:
        """Let the operator hear what was found; of a file that is not there, only after a grace.

        For a moment of every rotation a log has no file. At the start it is said at once.
        """
        grace = 0.0 if self._absent is None else self._options.grace
        before = self._absent or {}
        self._absent = {
            finding.path: before.get(finding.path, now)
            for finding in findings
            if finding.is_absence
        }
        for finding in findings:
            since = self._absent.get(finding.path)
            if since is None or now - since >= grace:
                self._roster.say(finding)

    def _first_of(self, files: Sequence[Found]) -> set[tuple[int, int]]:
        """Choose the files whose source is new: no other has them, nor any generation of theirs.

        So are those that an earlier version left out.
        """
        if self._first_start:
            return {found.id for found in files}
        new = [found for found in files if found.source in self._new_sources]
        if new:
            old = [one for i, one in enumerate(self._sources) if i not in self._new_sources]
            covered = {found.id for found in discover(old).files}
            new = [found for found in new if found.id not in covered]
        if self._more_told:
            before = {found.id for found in discover(self._sources, as_before=True).files}
            new += [found for found in files if found.id not in before]
        if not new:
            return set()
        known = {lineage_of(file.path) for file in self._roster.registry.known()}
        return {found.id for found in new if found.lineage not in known}

    def _passed_over(self, files: Sequence[Found]) -> list[Found]:
        """Choose what an earlier version did not tell: what is older than all known of its log.

        The newest first, for what is taken in is known, should the program be killed amid them.
        """
        oldest: dict[bytes, int] = {}  # by lineage
        if self._more_told:
            for i, found in enumerate(files):
                if found.lineage not in oldest and self._is_known(found):
                    oldest[found.lineage] = i
        older = [found for i, found in enumerate(files) if i < oldest.get(found.lineage, 0)]
        return older[::-1]

    def _is_known(self, found: Found) -> bool:
        head, known = self._roster.read_head(found.path), self._roster.known()
        candidates = known.candidates(found.device, found.inode, head)
        return bool(candidates or known.beginning_with(head))

    def poll(self) -> bool:
        """Look at the open files; cheap. Gives whether there is something to read."""
        self._turns.poll()
        return self.has_unread

    @property
    def has_unread(self) -> bool:
        """Whether `read` may give something."""
        roster = self._roster
        return bool(roster.ready or roster.archives or roster.pending or self._rereads.ready)

    def read(self, max_chunks: int = 16) -> list[Chunk]:
        """Read on, one block of each file in turn, older generations of a log first.

        Gives about ``max_chunks`` chunks at most; fewer, even none, do not mean that there is no
        more: `has_unread` says that.
        """
        chunks: list[Chunk] = []
        steps = 0
        while len(chunks) < max_chunks and steps < max_chunks:
            steps += 1
            while self._roster.pending and len(chunks) < max_chunks:
                chunks.append(self._roster.pending.popleft())
            chunks += self._rereads.step()
            if self._roster.ready:
                chunks += self._turns.read_next()
            elif self._roster.archives:
                chunks += self._turns.step_archive()
            elif not self._rereads.ready and not self._roster.pending:
                break
        return chunks

    def reread(self, spans: Sequence[Span]) -> None:
        """Deliver again, with ``Chunk.again``, what was handed out and is not acked."""
        self._rereads.add(spans)

    def _miss(self, key: int) -> None:
        known = self._roster.known().get(key)
        path = known.path if known is not None else b"?"
        what = "lines of it were held back and are wanted again, and it is nowhere"
        self._roster.say(Finding(path, what, "bring it back: they are sent when it is found"))

    def files(self) -> list[FileState]:
        """Describe all contents that are followed, or were until lately."""
        logs = self._roster.logs.values()
        last = youngest(logs)
        return [log.state(is_youngest=log.order >= last.get(log.lineage, 0)) for log in logs]

    def directories(self) -> set[bytes]:
        """Tell where a new file could appear: what a watcher should watch."""
        return self._directories.directories

    def keys_on_disk(self) -> set[int]:
        """Tell which contents are on disk now (or held open), for the checkpoint to keep."""
        return {place.key for place in self._roster.places.values() if place.key}

    def source_of(self, key: int) -> int | None:
        """Index of the source that a content belongs to."""
        log = self._roster.logs.get(key)
        return None if log is None else log.source

    def path_of(self, key: int) -> bytes | None:
        """Where a content was seen last."""
        log = self._roster.logs.get(key)
        return None if log is None else log.path

    def marker_at(self, key: int, offset: int) -> Marker | None:
        """Give the marker of the last chunk's end at or below ``offset``, a watermark.

        None where no chunk ended there lately. Asking with a watermark drops what is below it.
        """
        log = self._roster.logs.get(key)
        return None if log is None else log.reading.marks.at(offset)

    def sample(self, key: int, size: int = 65_536) -> tuple[bytes, bytes]:
        """Give the first and the last ``size`` bytes of a content, to tell its format by.

        The end is empty for an archive; both are, where the file cannot be read.
        """
        file = self._roster.locate(key)
        if file is None:
            return b"", b""
        with file:
            try:
                length = file.length
                start = file.read_at(0, size)
                end = b"" if length is None else file.read_at(max(0, length - size), size)
            except OSError:
                return b"", b""
        return start, end

    def close(self) -> None:
        """Give all descriptors back; to be called while the registry still answers."""
        self._closing.settle(at_once=True)
        for log in self._roster.logs.values():
            log.close()
        self._roster.open.clear()
        self._rereads.close()
