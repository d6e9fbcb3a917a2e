"""What a scanner is made from: plain values, so that it can be made in another process as well."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ingestor.errors import FormatError
from ingestor.formats import detect, format_named
from ingestor.formats.adaptive import was_served
from ingestor.formats.detect import ENOUGH
from ingestor.model import Malformed, Reason
from ingestor.observe import printable
from ingestor.pageviews import Site
from ingestor.scan.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingestor.formats import Detection, Format
    from ingestor.pageviews import Rules

log = logging.getLogger("ingestor")

_DAY = 86400  # seconds
_SAMPLE_LINES = 100  # looked at from each end of a file: 20 ms, also with a thousand files


@dataclass(frozen=True, slots=True)
class Recipe:
    """One file: its name for messages, its source's settings, its first and last bytes."""

    name: str
    format: str  # a preset's name, a definition, or "auto"
    timezone: str | None  # IANA name
    site: Site | None  # for lines without a vhost
    head: bytes
    tail: bytes

    def scanner(
        self, rules: Rules, clock: Callable[[], float], *, in_blocks: bool = True
    ) -> Scanner:
        """Make the scanner. ``clock`` gives Unix seconds; ``in_blocks``: see `Scanner`.

        Raises FormatError where no format explains the lines.
        """
        zone = None if self.timezone is None else ZoneInfo(self.timezone)
        whole = self.head.endswith(self.tail)  # a file shorter than a sample
        first = sample_lines(self.head)
        if self.format == "auto":
            last = [] if whole else sample_lines(self.tail, cut_first=True)
            found = detect([*first, *last], latest=int(clock()) + _DAY, timezone=zone)
            if found.format is None:
                raise FormatError(self._why_not(found), example=found.example)
            if found.share < ENOUGH:
                log.warning(
                    "%s: only %.0f %% of the lines that were looked at are written as %s; the "
                    "others count as malformed.",
                    self.name,
                    100 * found.share,
                    found.names,
                )
            log.debug("%s: %s", self.name, found.explanation)
            line_format = found.format
        else:
            line_format = format_named(self.format, timezone=zone).for_file(first)
            self._require_lines_of(line_format, first, int(clock()) + _DAY)
        line_format = line_format.for_file(first)
        return Scanner(line_format, rules, site=self.site, clock=clock, in_blocks=in_blocks)

    def _why_not(self, found: Detection) -> str:
        name = printable(self.name)
        if found.is_error_log:
            return f"{name} is no access log: {found.explanation}. Leave it out with exclude:."
        return (
            f"no format explains {name}: {found.explanation}. "
            "Name its format with --format, or format: in the configuration."
        )

    def _require_lines_of(self, line_format: Format, lines: list[bytes], latest: int) -> None:
        """A wrong name must not use up a log as malformed; raises FormatError."""
        is_any_foreign = False
        for line in lines:
            verdict = line_format.parse(line, latest)
            if verdict is Reason.DIRECTIVE:
                continue
            if verdict is Malformed.REQUEST:
                is_foreign = was_served(line_format, line)
            else:
                is_foreign = verdict in {Malformed.NO_MATCH, Malformed.JSON}
            if not is_foreign:
                return
            is_any_foreign = True
        if is_any_foreign:
            raise FormatError(
                f"no line of the first {len(lines)} of {printable(self.name)} is written as "
                f"{printable(self.format)}. Correct --format, or format: in the configuration."
            )


def sample_lines(data: bytes, *, cut_first: bool = False) -> list[bytes]:
    """Whole lines of a piece of a file, a bounded number; ``cut_first``: the first may be cut.

    As reading does it, a hole of NULs before a line is passed over, and a byte order mark.
    """
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if len(lines) > 1:
        lines.pop()  # empty, or cut
    if cut_first:
        lines = lines[1:]
    return [line.lstrip(b"\0") for line in lines if line.strip(b"\r\0")][:_SAMPLE_LINES]
