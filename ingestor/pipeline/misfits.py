"""Live logs whose lines are suddenly all malformed: told, for by their counts few would notice.

A format is proved on a file's lines when that is begun. Where the server is told to write another
one in the middle of a file, all that follows is malformed, until the next file is held for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ingestor.logfiles import readable
from ingestor.model import Malformed

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingestor.model import Scanned

log = logging.getLogger("ingestor")

_MANY = 20  # lines in a row: visitors may write a few that no format explains
_CLIENTS = {Malformed.REQUEST, Malformed.OVERSIZED}  # a client's doing, in a line of the format


class Misfits:
    """Counts, for each file, the malformed lines since the last one that was explained."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}  # by file; only those that have any

    def note(self, scanned: Scanned, path: bytes | None, format_name: str) -> None:
        """Look at how a chunk's lines were judged; ``path`` is for the message."""
        file, tally = scanned.chunk.file, scanned.tally
        by_reason = {
            reason: count for reason, count in tally.malformed.items() if reason not in _CLIENTS
        }
        unexplained = sum(by_reason.values())
        if not unexplained or unexplained < tally.lines:
            if tally.lines:
                self._rows.pop(file, None)
            return
        before = self._rows.get(file, 0)
        row = self._rows[file] = before + unexplained
        if before < _MANY <= row:
            of_time = Malformed.TIME in by_reason
            _tell(readable(path or b""), format_name, row, of_time=of_time)

    def forget_all_but(self, files: Collection[int]) -> None:
        """Drop the rows of files that are gone."""
        self._rows = {file: row for file, row in self._rows.items() if file in files}


def _tell(name: str, format_name: str, lines: int, *, of_time: bool) -> None:
    advice = (
        "Their times are more than a day ahead, or before 1995: look at this machine's clock."
        if of_time
        else f"They are not written as {format_name}: if its server writes another format now, "
        "name that in format: of the source, and reload."
    )
    log.error("%s: the last %d lines are all malformed, and so not sent. %s", name, lines, advice)
