"""Which known log is this physical file? Weighs content, place, and what else is there.

The hard cases: a copy beside its original (never read twice), a copy that is not whole yet, two
logs that merely start alike, a log that was cut and begins anew, a generation whose first line
repeats its predecessor's.
"""

# ruff: noqa: PTH119, PTH120 - names are bytes, and pathlib takes only text
from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ingestor.logfiles.archives import has_content_beyond
from ingestor.logfiles.discovery import id_at, lineage_of
from ingestor.logfiles.generations import is_successor
from ingestor.logfiles.identity import (
    DEEP,
    HEAD,
    Catalogue,
    Fit,
    fit,
    has_marker,
    last_left,
    same_content,
)
from ingestor.logfiles.reader import LogFile
from ingestor.model import KnownFile, Marker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ingestor.logfiles.discovery import Found


_SECOND = 1_000_000_000  # nanoseconds; compressors keep a file's time, not all to the nanosecond


class Relation(Enum):
    """What a physical file is to a known log."""

    SAME = "it is that log, wherever it was before"
    COPY = "the log itself is elsewhere, and this has nothing that it has not"
    LONGER = "the log's place so far is a beginning of this one"
    CUT = "a beginning of what was read of that log"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which known log a file is, and how; ``known`` None: it is new.

    ``started_over``: the known log that was at this place, now shorter than what was read of it.
    """

    relation: Relation | None = None
    known: KnownFile | None = None
    started_over: KnownFile | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """Where a content is now, other than the file in question."""

    id: tuple[int, int]
    path: bytes
    file: LogFile | None  # where it is open already
    deleted: bool = False
    length: int | None = None  # of an archive: how far its content was read
    site: str | None = None  # whose log it is there

    def open(self) -> LogFile:
        """Open it for a look.

        Raises:
            OSError: it is not there any more.

        """
        if self.file is not None:
            return self.file.duplicate()
        file = LogFile(self.path)
        if file.id != self.id:
            file.close()
            raise FileNotFoundError(2, "replaced by another file")
        return file


class Surroundings(Protocol):
    """What the reader of many files knows beside the registry."""

    def home_of(self, key: int) -> Home | None:
        """Where the content lives now; None if nowhere that is known to exist."""

    def own_marker(self, key: int) -> Marker | None:
        """Give a fresher marker than the registry's: at the place this process has read up to."""

    def with_longer_head(self, head: bytes, path: bytes) -> Iterable[int]:
        """Keys of contents that start with ``head`` and have a longer one; ``path``: its file."""


def recognize(
    found: Found,
    file: LogFile,
    head: bytes,
    catalogue: Catalogue,
    around: Surroundings,
    excluded: Iterable[int] = (),
) -> Verdict:
    """Decide which known log an open file is. ``excluded``: known not to be it.

    Raises:
        OSError: the file cannot be read.

    """
    out = set(excluded)
    candidates = catalogue.candidates(found.device, found.inode, head)
    told = [one for one in candidates if one.identity.fingerprint_length and one.key not in out]
    out.update(one.key for one in told)
    best = _best(_told(found, file, head, told, around))
    if best.relation is not None and not _is_doubtful(best, found):
        return best
    # A log that is longer than another may only begin as that one does: a whole copy tells more.
    short = _beginning(found, file, head, catalogue, around, out)
    if short is not None and (best.relation is None or short.relation is Relation.COPY):
        return short
    if best.relation is not None:
        return best
    for known in candidates:  # files that were empty, at this place
        home = around.home_of(known.key)
        if known.key not in out and (home is None or home.id == found.id):
            return Verdict(Relation.SAME, known)
    return best


class Left(NamedTuple):
    """How much of a file was read already, as what stood there before."""

    marker: Marker  # where that ends
    origin: int  # bytes: what is before it was left to a backfill


def left_of_what_was_read(
    found: Found,
    file: LogFile,
    head: bytes,
    catalogue: Catalogue,
    around: Surroundings,
    key: int,
) -> Left | None:
    """Tell how far a plain file is what stood there before, and was read.

    A power cut took the log's end, an older state of it was restored, or its last lines were
    edited: it counts as another log (``key``), but only what comes after that place is new.
    """
    if file.compression is not None or len(head) < HEAD:
        return None
    best = None
    for known in catalogue.candidates(found.device, found.inode, head):
        there = known.path == found.path or known.identity[:2] == found.id
        if not there or known.key == key or known.identity.fingerprint_length < HEAD:
            continue
        home = around.home_of(known.key)
        if known.marker is None or (home is not None and home.id != found.id and not home.deleted):
            continue
        left = last_left(known.marker, file)
        if left is not None and (best is None or best.marker.offset < left.offset):
            best = Left(left, min(known.origin, left.offset))
    return best


def _is_doubtful(verdict: Verdict, found: Found) -> bool:
    """Whether another log may suit better: one that has all of the file, whatever begins it."""
    if verdict.relation is Relation.SAME and verdict.known is not None:
        return verdict.known.identity[:2] != found.id and not verdict.known.watermark
    return verdict.relation is Relation.LONGER


def _told(
    found: Found, file: LogFile, head: bytes, told: Sequence[KnownFile], around: Surroundings
) -> Iterator[Verdict]:
    """Hold a file against each log whose fingerprint it has, best first."""
    heads = Counter(known.identity[2:] for known in told)
    for known in told:
        home, verdict = _at_home(found, file, known, around)
        if home is None or home.id == found.id:
            verdict = _alone(found, file, head, known, around)
            if heads[known.identity[2:]] > 1 and not _is_proved(verdict, found, file):
                continue  # several logs begin so: that proves nothing of what follows
        if verdict is not None:
            yield verdict


def _is_proved(verdict: Verdict | None, found: Found, file: LogFile) -> bool:
    """Whether more than the head speaks for a verdict on a log that is nowhere else.

    That is the place where it stood, or the marker. An archive is decompressed for that up to the
    marker, so it is done only where it must be.
    """
    if verdict is None or verdict.relation is Relation.CUT:
        return False
    if verdict.known is None or verdict.known.identity[:2] == found.id:
        return True
    marker = verdict.known.marker
    if marker is None or marker.offset == 0:
        return False  # nothing of it is finished: if it is that log after all, it is read now
    return file.compression is None or has_marker(marker, file)


def _best(verdicts: Iterable[Verdict]) -> Verdict:
    """The first that names a log; after one that is longer than a log, only a whole copy."""
    best = Verdict()
    for verdict in verdicts:
        if best.relation is not None:
            if verdict.relation is Relation.COPY:
                return verdict
        elif verdict.relation is None or verdict.relation is Relation.LONGER:
            best = verdict
        else:
            return verdict
    return best


def _at_home(
    found: Found, file: LogFile, known: KnownFile, around: Surroundings
) -> tuple[Home | None, Verdict | None]:
    """Where a log is now, and what the file is to it, if that is another place.

    A log may have been there when the look began, and be compressed and removed by now, or cut.
    """
    home = around.home_of(known.key)
    if home is None or home.id == found.id:
        return home, None
    try:
        return home, _beside(found, file, known, home, around)
    except FileNotFoundError:
        return None, None


def _beside(
    found: Found, file: LogFile, known: KnownFile, home: Home, around: Surroundings
) -> Verdict | None:
    """Hold a file against a log that is alive elsewhere: it is a copy, or only similar.

    One client may visit two sites in one second: their logs begin alike, and are two.

    Raises:
        FileNotFoundError: the log is not there any more.

    """
    if None not in (found.site, home.site) and found.site != home.site:
        return None
    length = file.length  # before the bytes are compared: what comes later was not
    try:
        with home.open() as other:
            if not same_content(file, other):
                _check_home(other, known, around)
                return None
            less = length is not None and _length_seen(other) > length
            more = not less and _has_more(found, file, length, other, home)
            if more and not _has_what_was_read(file, known, around):
                return None  # the other was cut: what is left of it tells nothing
    except FileNotFoundError:
        raise
    except OSError:
        return None
    if less and _is_successor(found.path, home):
        return None  # a new file that starts as the old one did
    return Verdict(Relation.LONGER if more else Relation.COPY, known)


def _check_home(other: LogFile, known: KnownFile, around: Surroundings) -> None:
    """Make sure that a log is still where it was when the look began.

    Raises:
        FileNotFoundError: it was cut since, or has other content.

    """
    if fit(_freshest(known, around), other, other.read_at(0, HEAD)) is not Fit.YES:
        raise FileNotFoundError(errno.ENOENT, "has other content now", other.path)


def _freshest(known: KnownFile, around: Surroundings) -> KnownFile:
    """Know a log by the place up to which this process has read it, if it has."""
    own = around.own_marker(known.key)
    return known if own is None else replace(known, marker=own)


def _has_what_was_read(file: LogFile, known: KnownFile, around: Surroundings) -> bool:
    """Whether a plain file has the marker of a log; true where it ends before it."""
    marker = _freshest(known, around).marker
    if marker is None or file.length is None or file.length < marker.offset:
        return True
    return has_marker(marker, file)


def _length_seen(file: LogFile) -> int:
    """How long a content is at least: of an archive, only the beginning is looked at."""
    return len(file.read_at(0, DEEP)) if file.length is None else file.length


def _has_more(
    found: Found, file: LogFile, file_length: int | None, other: LogFile, home: Home
) -> bool:
    """Whether a file has more of a log than the other, as far as that was read.

    ``file_length``: of a plain file, how much of it was compared. A plain file beside an
    archive that was not read so far has the precedence: it is easier.
    """
    length = other.length
    if length is None:
        length = home.length or 0
    if file_length is not None:
        return file_length > length
    if found.path.rpartition(b".")[0] == home.path and _is_its_source(other, found, home):
        return False
    content = file.read_at(0, DEEP)
    if len(content) < DEEP:
        return len(content) > len(other.read_at(0, DEEP))
    return has_content_beyond(file, length)


def _is_its_source(other: LogFile, found: Found, home: Home) -> bool:
    """Whether an archive is what a compressor makes, or made, of the file that had its name.

    Since the last look that name may have come to another file, which was compressed and removed.
    And what was written later than the archive may be half of what was unpacked from it.
    """
    written, made = os.fstat(other.fd).st_mtime_ns // _SECOND, found.mtime_ns // _SECOND
    return written == made or (written < made and id_at(home.path) == home.id)


def _is_successor(path: bytes, home: Home) -> bool:
    """Whether a file is where the writer writes, and the log at ``home`` was moved from there.

    Copies are made of live files, and elsewhere.
    """
    if path == home.path:
        return home.deleted and lineage_of(path) == path
    name, other = os.path.basename(path), os.path.basename(home.path)
    together = os.path.dirname(path) == os.path.dirname(home.path)
    return together and is_successor(os.fsdecode(name), os.fsdecode(other))


def _alone(
    found: Found, file: LogFile, head: bytes, known: KnownFile, around: Surroundings
) -> Verdict | None:
    """Hold a file against a log that is nowhere else."""
    known = _freshest(known, around)
    match fit(known, file, head):
        case Fit.YES:
            return Verdict(Relation.SAME, known)
        case Fit.CUT:
            return _cut(found, known)
        case _:
            return None


def _cut(found: Found, known: KnownFile) -> Verdict:
    """What is only a beginning of a log: where the log was, its writer began anew."""
    if known.identity[:2] == found.id and known.path == found.path:
        return Verdict(started_over=known)
    return Verdict(Relation.CUT, known)


def _beginning(
    found: Found,
    file: LogFile,
    head: bytes,
    catalogue: Catalogue,
    around: Surroundings,
    out: set[int],
) -> Verdict | None:
    """Find the log of which a small file is a beginning: a copy that is not whole, or was cut."""
    if not head:
        return None
    longer = [*around.with_longer_head(head, found.path), *catalogue.beginning_with(head)]
    for key in dict.fromkeys(longer):
        known = catalogue.get(key)
        if key in out or known is None:
            continue
        home, verdict = _at_home(found, file, known, around)
        if home is None:
            return _cut(found, known)
        if verdict is not None:
            return verdict
    return None
