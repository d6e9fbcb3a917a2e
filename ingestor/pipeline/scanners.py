"""One scanner a file: its format as configured or found on its own lines, and its site."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ingestor.errors import FormatError
from ingestor.formats import detect, format_named
from ingestor.observe import printable
from ingestor.scan import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingestor.config import Config, Source
    from ingestor.pageviews import Rules

log = logging.getLogger("ingestor")

_DAY = 86400  # seconds
_SAMPLE_LINES = 100  # looked at from each end of a file: 20 ms, also with a thousand files


class Scanners:
    """Makes scanners and keeps them by the file's key. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        config: Config,
        sources: Sequence[Source],
        rules: Rules,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources = sources
        self._sites = {site.hostname: site for site in config.sites}
        self._require_user_agent = config.pageviews.require_user_agent
        self._rules = rules
        self._clock = clock
        self._scanners: dict[int, Scanner] = {}

    def get(self, key: int) -> Scanner | None:
        """Give the scanner that was made for this file, if any."""
        return self._scanners.get(key)

    def make(self, key: int, source_index: int, name: str, head: bytes, tail: bytes) -> Scanner:
        """Make the scanner for a file, from its first and last bytes.

        ``name`` is for messages. Raises FormatError where no format explains the lines.
        """
        source = self._sources[source_index]
        zone = None if source.timezone is None else ZoneInfo(source.timezone)
        whole = head.endswith(tail)  # a file shorter than a sample
        first, last = sample_lines(head), [] if whole else sample_lines(tail, cut_first=True)
        if source.format == "auto":
            found = detect([*first, *last], latest=int(self._clock()) + _DAY, timezone=zone)
            if found.format is None:
                raise FormatError(
                    f"no format explains {printable(name)}: {found.explanation} "
                    "Name its format with --format, or format: in the configuration."
                )
            log.debug("%s: %s", name, found.explanation)
            line_format = found.format
        else:
            line_format = format_named(source.format, timezone=zone)
        site = None if source.site is None else self._sites.get(source.site)
        scanner = Scanner(line_format.for_file(first), self._rules, site=site, clock=self._clock)
        if "user_agent" not in line_format.fields:
            log.warning(
                "%s: its format (%s) has no user agent, so bots cannot be told from people%s.",
                name,
                line_format.name,
                ", and its lines are filtered (pageviews.require_user_agent)"
                if self._require_user_agent
                else "",
            )
        assumed = [
            f"{field} (every line counts as {value})"
            for field, value in (("status", "200"), ("method", "GET"))
            if field not in line_format.fields
        ]
        if assumed:
            log.warning(
                "%s: its format (%s) has no %s, so requests that showed nobody a page may count.",
                name,
                line_format.name,
                " and no ".join(assumed),
            )
        if "host" not in line_format.fields and site is None and "" in self._sites:
            log.warning(
                "%s: its format (%s) has no vhost, and Umami will show its page views under "
                "localhost; give --hostname.",
                name,
                line_format.name,
            )
        self._scanners[key] = scanner
        return scanner

    def forget(self, key: int) -> None:
        """Drop a file's scanner: the file is done."""
        self._scanners.pop(key, None)


def sample_lines(data: bytes, *, cut_first: bool = False) -> list[bytes]:
    """Whole lines of a piece of a file, a bounded number; ``cut_first``: the first may be cut."""
    lines = data.split(b"\n")
    if len(lines) > 1:
        lines.pop()  # empty, or cut
    if cut_first:
        lines = lines[1:]
    return [line for line in lines if line.strip(b"\r\0")][:_SAMPLE_LINES]
