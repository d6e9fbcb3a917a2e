"""Takes in what a look at the sources found: what each file is, and whether to read it."""

# ruff: noqa: PTH116, PTH119 - names are bytes, and pathlib takes only text
from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ingestor.logfiles.compression import TAR, Damage, Incomplete, is_supported, is_tar
from ingestor.logfiles.findings import Finding
from ingestor.logfiles.followed import Followed, Place, PlaceKind, Start
from ingestor.logfiles.generations import parse
from ingestor.logfiles.identity import DEEP, HEAD, beginning_of, identity_of, marker_at
from ingestor.logfiles.reader import (
    LogFile,
    Reading,
    came_after_opening,
    last_line_end,
    tail_of,
)
from ingestor.logfiles.recognition import Left, Relation, Verdict, left_of_what_was_read, recognize
from ingestor.logfiles.registry import END
from ingestor.model import Chunk, KnownFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.logfiles.discovery import Discovered, Found
    from ingestor.logfiles.roster import Roster
    from ingestor.model import Marker

_CLAIM_RETRY = 5.0  # seconds until a content that another process reads is asked for again
_UNFINISHED_ARCHIVE = 120.0  # seconds without change until an incomplete archive is called so


class Intake:
    """Identifies files, and gives each content its place."""

    def __init__(self, roster: Roster, start: Start, *, goes_on: bool) -> None:
        self._roster = roster
        self._start = start
        self._goes_on = goes_on  # where a backfill ended
        self._orphans: set[tuple[int, int]] = set()  # copies of what is nowhere at this look

    def note_present(self, discovered: Discovered) -> None:
        """Note which contents are where they were, renamed, or deleted."""
        for log in self._roster.logs.values():
            log.present = log.home in self._roster.present
            if log.file is not None:
                try:
                    log.deleted = os.fstat(log.file.fd).st_nlink == 0
                except OSError:
                    log.deleted = False
        for found in discovered.files:
            place = self._roster.places.get(found.id)
            if place is not None and place.key and place.path != found.path:
                self._moved(place, found)

    def _moved(self, place: Place, found: Found) -> None:
        place.path = found.path
        log = self._roster.logs.get(place.key)
        if place.kind is not PlaceKind.COPY:
            self._roster.registry.update(place.key, path=found.path)
            if log is not None and log.home == found.id:
                log.path = found.path

    def look_at_all(self, files: Sequence[Found]) -> None:
        """Identify what is unknown: first what stands where it was, for others may be copies of it.

        Small files come last, the larger first: a hash does not tell whether they are a beginning
        of another, but its bytes do.
        """
        unknown = [found for found in files if self._needs_a_look(found)]
        order = {found.id: self._first_sight(found) for found in unknown}
        unknown.sort(key=lambda found: order[found.id])
        for found in unknown:
            copy = self._roster.places[found.id]
            if found.id in self._orphans and self._roster.home_of(copy.key) is not None:
                continue  # what it is a copy of was found again
            self._identify(found)
        self._orphans.clear()
        if self._roster.first_ids:  # but what could not be read yet
            waiting = {
                id_ for id_, place in self._roster.places.items() if place.kind is PlaceKind.WAITING
            }
            self._roster.first_ids &= waiting

    def may_have_changed(self) -> bool:
        """Whether a file that is not open has changed, or is to be tried again."""
        now = self._roster.clock()
        return any(self._is_due(place, now) for place in self._roster.places.values())

    def _is_due(self, place: Place, now: float) -> bool:
        if (place.kind is PlaceKind.WAITING or not place.measured) and now >= place.retry_at:
            return True
        if place.kind is not PlaceKind.CLOSED and place.kind is not PlaceKind.COPY:
            return False
        try:
            status = os.stat(place.path)
        except OSError:
            return True
        return (status.st_size, status.st_mtime_ns) != (place.size, place.mtime_ns)

    def _first_sight(self, found: Found) -> tuple[bool, int]:
        """Sort key: what is at its known place first, then by the length of the head."""
        head = self._roster.read_head(found.path)
        at_home = self._roster.known().stands_at(found.device, found.inode, head)
        return not at_home, -len(head)

    def _needs_a_look(self, found: Found) -> bool:
        now = self._roster.clock()
        place = self._roster.places.get(found.id)
        if place is None:
            place = Place(found.path, found.size, found.mtime_ns, since=now, site=found.site)
            self._roster.places[found.id] = place
            return True
        unchanged = place.is_unchanged(found)
        place.take(found, now)
        match place.kind:
            case PlaceKind.FOLLOWED:
                log = self._roster.without_descriptor(place.key)
                if log is None or unchanged:
                    return False
                self._roster.gone(log)  # nothing proves that it is still the same
                return True
            case PlaceKind.CLOSED | PlaceKind.DONE:
                if not unchanged:  # perhaps another file, with the same inode
                    self._roster.wait(place, 0.0)
                    place.measured = False
                    self._roster.done_before.pop(found.id, None)
                return not unchanged
            case PlaceKind.COPY:
                place.measured = place.measured and unchanged
                unmeasured = not place.measured and now >= place.retry_at
                is_being_made = now - place.cut_since < self._roster.options.grace
                if place.cut and (unmeasured or not unchanged) and not is_being_made:
                    self._roster.not_it.add((found.id, found.mtime_ns, place.key))
                orphan = self._roster.home_of(place.key) is None
                if orphan and unchanged and place.measured:
                    self._orphans.add(found.id)
                return not unchanged or unmeasured or orphan
            case _:
                return now >= place.retry_at

    def _identify(self, found: Found) -> None:
        place = self._roster.places[found.id]
        self._roster.make_room()
        try:
            file = LogFile(found.path)
        except OSError as error:
            self._roster.cannot_open(found, place, error)
            return
        try:
            if file.id != found.id:
                self._roster.wait(place, 0.0)
                self._roster.urgent = True
            elif not self._identify_open(found, file, place):
                file.close()
                return
        except OSError as error:
            self._roster.cannot_open(found, place, error)
        except BaseException:
            file.close()
            raise
        if (log := self._roster.logs.get(place.key)) is None or log.file is not file:
            file.close()

    def _identify_open(self, found: Found, file: LogFile, place: Place) -> bool:
        """Find out what an open file is, and follow it if that is wanted; whether it was kept."""
        if file.compression is not None and not is_supported(file.compression):
            what = f"compressed as {file.compression}, which is not read"
            self._roster.say(Finding(found.path, what, "compress it as gz, bz2, xz or zst"))
            place.kind = PlaceKind.DONE
            return False
        key = self._roster.registry.copy_of(*found.id, found.size, found.mtime_ns)
        if key is not None and (file.compression is not None or not self._is_home(key, found)):
            place.kind, place.key = PlaceKind.DONE, key
            self._roster.done_before[found.id] = place
            return False
        length = file.length  # before the head is read: what comes later was not looked at
        head = file.read_at(0, HEAD)
        if is_tar(head):
            self._roster.say(Finding(found.path, *TAR))
            place.kind = PlaceKind.DONE
            return False
        if self._is_unfinished(found, file, head, place):
            self._roster.wait(place, self._roster.options.rescan_interval)
            return False
        if file.compression is not None and len(head) < HEAD:
            head = file.read_at(0, HEAD)  # it may have become whole just now
        if not head and file.compression is not None:  # an empty log, compressed
            place.kind = PlaceKind.DONE
            return False
        excluded = {
            key
            for place, time, key in self._roster.not_it
            if (place, time) == (found.id, found.mtime_ns)
        }
        verdict = recognize(found, file, head, self._roster.known(), self._roster, excluded)
        if verdict.started_over is not None:
            what = "shorter than what was read of it: what is new in it is read"
            self._roster.say(Finding(found.path, what))
        return self._act(verdict, found, file, head, len(head) if length is None else length)

    def _is_unfinished(self, found: Found, file: LogFile, head: bytes, place: Place) -> bool:
        """Whether an archive is still too short, or was at its opening, to be recognised."""
        if came_after_opening(file, head):
            return True
        named = parse(os.fsdecode(os.path.basename(found.path))).compressed
        if len(head) >= HEAD or not (named or file.compression):
            return False
        if self._roster.clock() - place.since >= _UNFINISHED_ARCHIVE:
            return False
        if file.compression is None:
            return not head
        stream = file.stream()
        try:
            while stream.read():
                pass
        except Damage as damage:
            return isinstance(damage, Incomplete)
        return False

    def _act(self, verdict: Verdict, found: Found, file: LogFile, head: bytes, length: int) -> bool:
        """Do what a verdict asks for; ``length``: bytes that it rests on."""
        place, known = self._roster.places[found.id], verdict.known
        if known is None:
            return self._take_in(found, file, head)
        was_copy = place.kind is PlaceKind.COPY and place.key == known.key and place.measured
        relation = verdict.relation
        beyond = relation is Relation.LONGER and self._has_nothing_new(known, file)
        if beyond:
            relation = Relation.COPY
        match relation:
            case Relation.COPY:
                self._set_aside(known.key, found, file, cut=False)
                if beyond:  # of what is left of the log, which proves nothing of the rest
                    place.copied = None
                return False
            case Relation.CUT if not self._is_all_that_is_left(known.key, length):
                self._set_aside(known.key, found, file, cut=True)
                return False
            case Relation.CUT:
                ends_at = last_line_end(file, length) if file.compression is None else None
                return self._attach(known, found, file, head, ends_at=ends_at)
            case _:
                return self._attach(known, found, file, head, was_copy=was_copy)

    def _is_all_that_is_left(self, key: int, length: int) -> bool:
        """Whether a beginning of a content has something unread that is nowhere else."""
        log = self._roster.logs.get(key)
        if log is not None:
            return log.cut and log.lost_home
        return bool(self._roster.registry.unread(key, length))

    def _has_nothing_new(self, known: KnownFile, file: LogFile) -> bool:
        """Whether a plain file ends where the log was read to, or before."""
        log = self._roster.logs.get(known.key)
        read = known.watermark if log is None else log.position
        return file.length is not None and file.length <= read

    def _set_aside(self, key: int, found: Found, file: LogFile, *, cut: bool) -> None:
        """Leave a copy unread; remember it when what it holds is acked."""
        place = self._roster.places[found.id]
        if not (cut and place.cut and place.key == key):  # else it may have grown
            place.cut_since, place.measured = self._roster.clock(), True
        place.kind, place.key, place.cut, place.copied = PlaceKind.COPY, key, cut, None
        place.retry_at = place.cut_since + self._roster.options.grace
        length = file.length
        if length is not None and not cut:
            marker = marker_at(file, last_line_end(file, min(length, found.size)))
            place.copied = beginning_of(file.read_at(0, HEAD), marker)
        if length is None and (log := self._roster.logs.get(key)) is not None:
            # An archive has no more than what it is a copy of, read or not.
            if not log.archived:
                length = max(log.position, log.size)
            elif log.reading.finished:
                length = log.position
        if length is not None and place.measured:
            self._roster.settling[found.id] = key, found, length

    def _is_home(self, key: int, found: Found) -> bool:
        """Whether a plain file is where its content was followed last: it may go on there."""
        known = self._roster.known().get(key)
        return known is not None and known.identity[:2] == found.id

    def _take_in(self, found: Found, file: LogFile, head: bytes) -> bool:
        """Register new content, and read it from 0; or as `start` says of what was there first."""
        archived = file.compression is not None
        identity = identity_of(found.device, found.inode, head)
        origin = 0
        if found.id in self._roster.first_ids and self._is_skipped(found):
            origin = END if archived else last_line_end(file, file.length or 0)
        elif (left := self._left(found, file, head)) is not None:
            origin = left.origin
        self._roster.first_ids.discard(found.id)
        key = self._roster.registry.register(identity, found.path, origin=origin, archived=archived)
        marker = None
        if 0 < origin < END:
            marker = marker_at(file, origin)
            self._roster.registry.update(key, marker=marker)
        known = KnownFile(key, identity, marker, found.path, origin, origin, archived)
        self._roster.known().add(known)
        copied = self._roster.places[found.id].copied
        kept = self._attach(known, found, file, head)
        # Less than that may be two logs' that begin alike: a doubt is decided for reading.
        if kept and copied is not None and copied.length >= DEEP and copied.is_of(file):
            log = self._roster.logs[key]
            if log.position == 0:
                self._pass_over(log, copied.marker)
                tail_of(file, log.reading)
        return kept

    def _left_to_backfill(self, known: KnownFile, file: LogFile) -> KnownFile:
        """Of a log that only backfills know: the daemon reads what came since they read it last."""
        registry = self._roster.registry
        unread = registry.unread(known.key, END)
        origin = unread[-1][0] if unread else 0
        if origin == 0 or not self._goes_on:  # registered and never read, or left for its date
            origin = last_line_end(file, file.length or 0)
        known = replace(known, origin=END if file.compression is not None else origin)
        registry.update(known.key, origin=known.origin)
        self._roster.known().add(known)
        return known

    def _pass_over(self, log: Followed, read: Marker) -> None:
        """What a new log begins with, up to here, was read where another has it, or had."""
        begin, unread = log.position, [(read.offset, END)]
        log.reading = Reading(log.key, unread, self._roster.read_options, read)
        log.reading.marks.add(read)
        self._roster.pending.append(Chunk(log.key, begin, read.offset, b""))

    def _is_skipped(self, found: Found) -> bool:
        if self._start == "end":
            return True
        return not isinstance(self._start, str) and found.mtime_ns < self._start * 1_000_000_000

    def _attach(
        self,
        known: KnownFile,
        found: Found,
        file: LogFile,
        head: bytes,
        *,
        was_copy: bool = False,
        ends_at: int | None = None,
    ) -> bool:
        """Read a content from this file from now on; whether the file was kept open.

        ``ends_at``: a plain file is only a beginning of the content, up to this line's end. How it
        goes on is not known: when it grows, it is recognised anew.
        """
        key, place = known.key, self._roster.places[found.id]
        if not self._claim(key, found):
            return False
        if found.id in self._roster.first_ids and self._is_skipped(found):
            known = self._left_to_backfill(known, file)
        log = self._roster.logs.get(key)
        whole = log is not None and was_copy and self._was_read_whole(log)
        if log is None:
            log = self._follow(known, found)
        self._roster.leave_home(log, found.id)
        archived = file.compression is not None
        log.cut = ends_at is not None
        self._place_at(log, known, found, head, archived=archived)
        place.kind, place.key, place.failures, place.copied = PlaceKind.FOLLOWED, key, 0, None
        place.measured = True
        if archived:
            if whole or log.reading.finished:
                place.kind = PlaceKind.DONE
                self._roster.settling[found.id] = key, found, log.position
            else:
                self._roster.archives[key] = None
            return False
        if log.reading.finished:  # an archive was at its end; a file may have more
            log.reading.reopen(self._roster.registry.unread(key, END))
        if ends_at is not None:
            log.reading.end_at(ends_at)
        elif log.position == known.origin:
            left = self._left(found, file, head, key)
            if left is not None and left.origin == log.position < left.marker.offset:
                self._pass_over(log, left.marker)
        tail_of(file, log.reading)
        log.file = file
        self._roster.open[key] = log
        self._roster.ready[key] = None
        status = os.fstat(file.fd)
        log.size = log.owned = status.st_size
        log.mtime_ns, log.changed_at = status.st_mtime_ns, self._roster.clock()
        return True

    def _left(self, found: Found, file: LogFile, head: bytes, key: int = 0) -> Left | None:
        roster = self._roster
        return left_of_what_was_read(found, file, head, roster.known(), roster, key)

    def _claim(self, key: int, found: Found) -> bool:
        """Take a content for this process; False, and it is said, while another reads it."""
        if self._roster.registry.claim(key):
            return True
        self._roster.wait(self._roster.places[found.id], _CLAIM_RETRY)
        what = "read by another process at the moment"
        self._roster.say(Finding(found.path, what, "it is asked for again every few seconds"))
        return False

    def _follow(self, known: KnownFile, found: Found) -> Followed:
        key, options = known.key, self._roster.read_options
        reading = Reading(key, self._roster.registry.unread(key, END), options, known.marker)
        log = Followed(
            key, found.source, found.path, found.id, reading, self._roster.ages[found.id]
        )
        self._roster.logs[key] = log
        return log

    def _was_read_whole(self, log: Followed) -> bool:
        return not log.archived and log.file is None and not log.lost_home and log.backlog == 0

    def _place_at(
        self, log: Followed, known: KnownFile, found: Found, head: bytes, *, archived: bool
    ) -> None:
        log.home, log.path, log.source, log.site = found.id, found.path, found.source, found.site
        log.archived, log.lost_home, log.present, log.deleted = archived, False, True, False
        log.head = b"" if archived else head
        if archived:
            self._roster.plain.pop(log.key, None)
        else:
            self._roster.plain[log.key] = log
        if log.cut:
            return  # the content is known by more than this
        identity = identity_of(found.device, found.inode, head)
        if (identity, found.path, archived) != (known.identity, known.path, known.archived):
            self._roster.registry.update(
                log.key, identity=identity, path=found.path, archived=archived
            )
            self._roster.known().add(replace(known, identity=identity, path=found.path))
