"""What a scanner is made from: plain values, so that it can be made in another process as well."""

from __future__ import annotations

import codecs
import logging
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ingestor.errors import FormatError
from ingestor.formats import detect, format_named
from ingestor.formats.adaptive import is_addressed, was_served
from ingestor.formats.clocks import NO_ZONE
from ingestor.formats.named import word_in_front
from ingestor.formats.scores import ENOUGH
from ingestor.model import Hit, Malformed, Reason
from ingestor.observe import printable
from ingestor.pageviews import Site
from ingestor.scan.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingestor.formats import Detection, Format
    from ingestor.pageviews import Rules

log = logging.getLogger("ingestor")

_DAY = 86400  # seconds
_FEW = 5  # requests without a user agent may be all a scanner's
_SHOWN = 64  # characters of a value in a message
_WANTED = (
    "Umami tells visitors apart by their addresses, so let the server log them: whole, or masked "
    "as 203.0.113.0, but not as names (HostnameLookups Off)."
)
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
        if is_utf16(self.head):
            raise FormatError(
                f"{printable(self.name)} is written in UTF-16, as its first two bytes say, and "
                "logs are read as UTF-8. Let the server write UTF-8; for what there is, "
                "`iconv -f UTF-16 -t UTF-8` makes a copy that can be read."
            )
        latest = int(clock()) + _DAY
        first = sample_lines(self.head)
        last = [] if whole else sample_lines(self.tail, cut_first=True)
        if self.format == "auto":
            found = detect([*first, *last], latest=latest, timezone=zone)
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
            self._require_lines_of(line_format, [*first, *last], latest)
        names_agents = _names_agents(line_format.for_file(first), first, latest)
        line_format = line_format.for_file(first)
        scanner = Scanner(line_format, rules, site=self.site, clock=clock, in_blocks=in_blocks)
        scanner.names_agents = names_agents
        return scanner

    def _why_not(self, found: Detection) -> str:
        name = printable(self.name)
        if found.is_error_log:
            return f"{name} is no access log: {found.explanation}. Leave it out with exclude:."
        if found.has_no_address:
            return f"{name} cannot be counted: {found.explanation}. {_WANTED}"
        return (
            f"no format explains {name}: {found.explanation}. "
            "Name its format with --format, or format: in the configuration."
        )

    def _require_lines_of(self, line_format: Format, lines: list[bytes], latest: int) -> None:
        """A wrong name must not use up a log; raises FormatError.

        Nothing of it would count: its lines would be malformed, or hits without an address.
        """
        foreign: bytes | None = None
        untimed: bytes | None = None
        unaddressed: Hit | None = None
        for line in lines:
            verdict = line_format.parse(line, latest)
            if verdict is Reason.DIRECTIVE:
                continue
            if isinstance(verdict, Hit):
                if is_addressed(verdict) or not verdict.address:  # "": not every request has one
                    return
                unaddressed = unaddressed or verdict
            elif not _is_foreign(line_format, line, verdict):
                return
            elif verdict is Malformed.TIME:
                untimed = untimed or line
            foreign = foreign or line
        if foreign is not None:
            if untimed is not None and unaddressed is None:
                raise FormatError(self._why_no_time(len(lines), untimed, latest))
            word = word_in_front(line_format, foreign, latest)
            raise FormatError(self._why_not_so(len(lines), unaddressed, word))

    def _why_no_time(self, lines: int, line: bytes, latest: int) -> str:
        """Say why no line's time can be read; JSON's may be written in any way."""
        name, named = printable(self.name), printable(self.format)
        if self.timezone is None:
            in_utc = format_named(self.format, timezone=UTC).for_file(sample_lines(self.head))
            if in_utc.parse(line, latest) is not Malformed.TIME:
                return f"the time in the lines of {name} {NO_ZONE}."
        return (
            f"no line of the first {lines} of {name} tells a time between 1995 and tomorrow where "
            f"{named} has it. Correct --format, or format: in the configuration."
        )

    def _why_not_so(self, lines: int, unaddressed: Hit | None, word: str) -> str:
        """Say why the format that was named is the wrong one, or the log the wrong log."""
        name, named = printable(self.name), printable(self.format)
        where = "--format, or format: in the configuration"
        if word:
            return (
                f"something stands before each line of {name} that {named} does not know. "
                f"Put the word {word} in front of it, as in `{word} {named}`, in {where}."
            )
        if unaddressed is None:
            return f"no line of the first {lines} of {name} is written as {named}. Correct {where}."
        return (
            f"no line of the first {lines} of {name} has an address where {named} has the "
            f"client's: `{printable(unaddressed.address[:_SHOWN])}` stands there. Correct {where}, "
            f"if the address stands elsewhere. {_WANTED}"
        )


def _names_agents(line_format: Format, lines: list[bytes], latest: int) -> bool:
    """Tell whether some line names a user agent, or there are too few to tell."""
    if "user_agent" not in line_format.fields:
        return False
    hits = 0
    for line in lines:
        hit = line_format.parse(line, latest)
        if isinstance(hit, Hit):
            if hit.user_agent:
                return True
            hits += 1
    return hits < _FEW


def _is_foreign(line_format: Format, line: bytes, verdict: Malformed | Reason) -> bool:
    """Tell whether a line that is no hit speaks against the format: the client's fault does not."""
    if verdict is Malformed.REQUEST:
        return was_served(line_format, line)
    return isinstance(verdict, Malformed)


def is_utf16(head: bytes) -> bool:
    """Tell whether a file begins with the byte order mark of UTF-16."""
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


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
