"""First bytes of a log's generations, to find those of which a short file is a beginning.

A log may have a generation an hour, for years: sorted, each file is held against few of them.
"""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from ingestor.logfiles.compression import is_readable
from ingestor.logfiles.discovery import Found, lineage_of
from ingestor.logfiles.identity import HEAD, begun_with, rungs_of
from ingestor.logfiles.reader import LogFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class _Headed(NamedTuple):
    """A file by its first bytes."""

    rungs: bytes  # of its lines: all of it would be 4 KB for each of ten thousands
    place: int  # among the generations of its log
    found: Found


class Heads:
    """The first bytes of ``files``, read when a log is first asked about."""

    def __init__(self, files: Sequence[Found]) -> None:
        self._families: dict[bytes, list[Found]] = defaultdict(list)
        for found in files:
            self._families[found.lineage].append(found)
        self._sorted: dict[bytes, list[_Headed]] = {}  # by lineage

    def longer_than(self, head: bytes, path: bytes) -> Iterator[tuple[Found, bytes]]:
        """Give the other generations of a log that begin with ``head`` and go on, oldest first.

        Each with its own first bytes. Nothing for a ``head`` of HEAD bytes: none is longer.
        """
        if len(head) >= HEAD:
            return
        heads = self._of(lineage_of(path))
        begun_alike = begun_with(rungs_of(head), heads, attrgetter("rungs"))
        for _, _, found in sorted(begun_alike, key=attrgetter("place")):
            longer = b"" if found.path == path else _head_of(found)
            if len(longer) > len(head) and longer.startswith(head):
                yield found, longer

    def _of(self, lineage: bytes) -> list[_Headed]:
        heads = self._sorted.get(lineage)
        if heads is None:
            family = enumerate(self._families[lineage])
            heads = sorted(_Headed(rungs_of(_head_of(found)), at, found) for at, found in family)
            self._sorted[lineage] = heads
        return heads


def _head_of(found: Found) -> bytes:
    try:
        with LogFile(found.path) as file:
            return file.read_at(0, HEAD) if is_readable(file.compression) else b""
    except OSError:
        return b""
