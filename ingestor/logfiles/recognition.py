"""Which known log is this physical file? Weighs content, place, and what else is there.

The hard cases: a copy beside its original (never read twice), a copy that is not whole yet, two
logs that merely start alike, a log that was cut and begins anew, a generation whose first line
repeats its predecessor's.
"""

# ruff: noqa: PTH119, PTH120 - names are bytes, and pathlib takes only text
from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ingestor.logfiles.generations import is_younger
from ingestor.logfiles.identity import Catalogue, Fit, fit, same_content
from ingestor.logfiles.reader import LogFile
from ingestor.model import KnownFile, Marker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingestor.logfiles.discovery import Found


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

    def with_longer_head(self, head: bytes) -> Iterable[int]:
        """Keys of contents that start with ``head`` and have a longer one."""


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
    started_over: KnownFile | None = None
    out = set(excluded)
    for known in catalogue.candidates(found.device, found.inode, head):
        if known.key in out:
            continue
        out.add(known.key)
        home = around.home_of(known.key)
        if home is not None and home.id != found.id:
            verdict = _beside(found, file, known, home)
        else:
            verdict = _alone(found, file, head, known, around)
        if verdict is not None and verdict.relation is not None:
            return verdict
        if verdict is not None:
            started_over = verdict.started_over
    short = _beginning(found, file, head, catalogue, around, out)
    return short or Verdict(started_over=started_over)


def _beside(found: Found, file: LogFile, known: KnownFile, home: Home) -> Verdict | None:
    """Hold a file against a log that is alive elsewhere: it is a copy, or only similar."""
    if os.path.dirname(found.path) == os.path.dirname(home.path) and is_younger(
        os.fsdecode(os.path.basename(found.path)), os.fsdecode(os.path.basename(home.path))
    ):
        return None  # copies are made of live files, not of their rotated generations
    try:
        with home.open() as other:
            if not same_content(file, other):
                return None
            longer = _longer(file, other)
    except OSError:
        return None
    if home.deleted and found.path == home.path and longer is False:
        return None  # removed and made again
    return Verdict(Relation.LONGER if longer else Relation.COPY, known)


def _longer(one: LogFile, other: LogFile) -> bool | None:
    """Whether the first is longer; None where an archive is one of them."""
    first, second = one.length, other.length
    return None if first is None or second is None else first > second


def _alone(
    found: Found, file: LogFile, head: bytes, known: KnownFile, around: Surroundings
) -> Verdict | None:
    """Hold a file against a log that is nowhere else."""
    own = around.own_marker(known.key)
    if own is not None:
        known = replace(known, marker=own)
    match fit(known, file, head):
        case Fit.YES:
            return Verdict(Relation.SAME, known)
        case Fit.CUT if (known.identity.device, known.identity.inode) == found.id:
            return Verdict(started_over=known)
        case Fit.CUT:
            return Verdict(Relation.CUT, known)
        case _:
            return None


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
    for key in around.with_longer_head(head):
        known = catalogue.get(key)
        if key in out or known is None:
            continue
        home = around.home_of(key)
        if home is None:
            return Verdict(Relation.CUT, known)
        if home.id != found.id and (verdict := _beside(found, file, known, home)) is not None:
            return verdict
    return None
