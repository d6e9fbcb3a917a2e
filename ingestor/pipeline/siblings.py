"""The format of a log that shows too little of its own: that of other logs of its source.

A new vhost's first lines may be a scanner's bytes, a small log may have one good line and one that
is broken. Held against the logs beside it, that is enough; an error log stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ingestor.formats import Format, detect
from ingestor.formats.adaptive import is_explained, is_plausible
from ingestor.formats.detect import is_text
from ingestor.logfiles import Unsupported, discover
from ingestor.logfiles.reader import LogFile
from ingestor.model import Hit, Reason
from ingestor.pipeline.job import places
from ingestor.scan import sample_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingestor.config import Source
    from ingestor.model import Malformed

_SHORT = 20  # lines; a log with more of them speaks for itself
_LOOKED_AT = 8  # logs of a source, the largest: 0.2 s
_AGAIN = 60.0  # seconds until they are looked at anew
_SAMPLE = 65_536  # bytes
_DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class _Look:
    """What the logs of a source are written in, and when that was looked at (Unix seconds)."""

    at: float
    formats: tuple[Format, ...]


class Siblings:
    """The formats of all sources' logs, looked at when they are asked for."""

    def __init__(self, sources: Sequence[Source], clock: Callable[[], float]) -> None:
        self._sources = sources
        self._clock = clock
        self._looks: dict[int, _Look] = {}

    def format_of(self, source_index: int, lines: Sequence[bytes]) -> Format | None:
        """Give the format for a short log of this source, ready for its lines; or None.

        It explains at least half of the lines that are text and no directives, the format of the
        largest log first. Where none is text, all logs of the source have to be written alike.
        """
        if not 0 < len(lines) < _SHORT:
            return None
        formats = [each.for_file(lines) for each in self._formats(source_index)]
        text = [line for line in lines if is_text(line)]
        if not text:
            return formats[0] if len(formats) == 1 else None
        latest = int(self._clock()) + _DAY
        scores = [_score(each, text, latest) for each in formats]
        best = max(scores, default=0)
        return formats[scores.index(best)] if best else None

    def _formats(self, source_index: int) -> tuple[Format, ...]:
        now = self._clock()
        look = self._looks.get(source_index)
        if look is None or abs(now - look.at) >= _AGAIN:
            look = _Look(now, self._look_at(self._sources[source_index], int(now) + _DAY))
            self._looks[source_index] = look
        return look.formats

    def _look_at(self, source: Source, latest: int) -> tuple[Format, ...]:
        zone = None if source.timezone is None else ZoneInfo(source.timezone)
        found: dict[str, Format] = {}
        files = sorted(discover(places([source])).files, key=lambda each: -each.size)
        for each in files[:_LOOKED_AT]:
            try:
                with LogFile(each.path) as file:
                    head = file.read_at(0, _SAMPLE)
            except (OSError, Unsupported):
                continue
            line_format = detect(sample_lines(head), latest=latest, timezone=zone).format
            if line_format is not None:
                found.setdefault(line_format.name, line_format)
        return tuple(found.values())


def _score(line_format: Format, lines: Sequence[bytes], latest: int) -> int:
    """Count the lines that a format explains; 0 where it leaves most requests unexplained.

    A header of its own explains itself and nothing of what follows it.
    """
    verdicts = [line_format.parse(line, latest) for line in lines]
    requests = [verdict for verdict in verdicts if verdict is not Reason.DIRECTIVE]
    explained = sum(map(_fits, requests))
    return len(verdicts) - len(requests) + explained if explained * 2 >= len(requests) else 0


def _fits(verdict: Hit | Malformed | Reason) -> bool:
    """Tell whether a line is explained, and its fields hold what their names say."""
    return is_plausible(verdict) if isinstance(verdict, Hit) else is_explained(verdict)
