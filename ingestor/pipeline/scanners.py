"""One scanner a file: its format as configured or found on its own lines, and its site."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.model import Malformed, Scanned, Tally
from ingestor.pipeline.siblings import Siblings
from ingestor.scan import Recipe, Scanner, is_utf16, sample_lines
from ingestor.scan.worker import About

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingestor.config import Config, Source
    from ingestor.model import Chunk
    from ingestor.pageviews import Rules, Site

__all__ = ["Scanners", "agent_advice", "sample_lines", "without_lines"]

log = logging.getLogger("ingestor")

_KEPT = 16  # scanners, of files that are read one after the other


class Scanners:
    """Makes scanners and keeps them by the file's key. ``clock`` gives Unix seconds.

    ``following``: all are kept, for lines come from any of their files; else files are read one
    after the other. ``in_blocks``: many lines come at a time (see `Scanner`).
    """

    def __init__(
        self,
        config: Config,
        sources: Sequence[Source],
        rules: Rules,
        *,
        clock: Callable[[], float] = time.time,
        following: bool = False,
        in_blocks: bool = True,
    ) -> None:
        self._following = following
        self._in_blocks = in_blocks
        self._sources = sources
        self._sites = {site.hostname: site for site in config.sites}
        self._require_user_agent = config.pageviews.require_user_agent
        self.rules = rules
        self._clock = clock
        self._siblings = Siblings(sources, clock)
        self._scanners: dict[int, Scanner] = {}
        self._remarked: set[tuple[str, bool]] = set()

    def get(self, key: int) -> Scanner | None:
        """Give the scanner that was made for this file, if any."""
        return self._scanners.get(key)

    def recipe(self, source_index: int, name: str, head: bytes, tail: bytes) -> Recipe:
        """Tell what the scanner for a file is made from; ``name`` is for messages."""
        source = self._sources[source_index]
        site = self.site(source_index)
        return Recipe(name, source.format, source.timezone, site, head, tail)

    def site(self, source_index: int) -> Site | None:
        """Give a source's own site, if it has one."""
        site = self._sources[source_index].site
        return None if site is None else self._sites.get(site)

    def make(self, key: int, source_index: int, name: str, head: bytes, tail: bytes) -> Scanner:
        """Make the scanner for a file, from its first and last bytes.

        ``name`` is for messages; a ``head`` without bytes means that the file cannot be read.
        Raises FormatError where no format explains the lines.
        """
        recipe = self.recipe(source_index, name, head, tail)
        try:
            scanner = recipe.scanner(self.rules, self._clock, in_blocks=self._in_blocks)
        except FormatError:
            if not head:  # nobody asks for the format of a file without lines
                raise FormatError(
                    f"{name} cannot be read just now, so its format cannot be told."
                ) from None
            found = self._as_siblings(source_index, recipe)
            if found is None:
                raise
            scanner = found
        about = About(scanner.format.name, scanner.format.fields, scanner.names_agents)
        self.remark(name, about, recipe.site)
        if len(self._scanners) >= _KEPT and not self._following:
            del self._scanners[next(iter(self._scanners))]
        self._scanners[key] = scanner
        return scanner

    def _as_siblings(self, source_index: int, recipe: Recipe) -> Scanner | None:
        """Make a scanner for a log too short to tell its format, as for others of its source."""
        is_whole = recipe.head.endswith(recipe.tail)
        if recipe.format != "auto" or not is_whole or is_utf16(recipe.head):
            return None
        line_format = self._siblings.format_of(source_index, sample_lines(recipe.head))
        if line_format is None:
            return None
        log.warning(
            "%s is too short to tell its format by; it is read as %s, like other logs of its "
            "source.",
            recipe.name,
            line_format.name,
        )
        return Scanner(
            line_format,
            self.rules,
            site=recipe.site,
            clock=self._clock,
            in_blocks=self._in_blocks,
        )

    def remark(self, name: str, about: About, site: Site | None) -> None:
        """Tell a person, once a format, what it does not tell us; ``name`` is the first file."""
        format_name, fields, names_agents = about
        if (format_name, names_agents) in self._remarked:
            return
        self._remarked.add((format_name, names_agents))
        if not names_agents:
            log.warning(
                "%s: its format (%s) has no user agent%s, so bots cannot be told from people%s. "
                "%s.",
                name,
                format_name,
                " in any of the lines that were looked at" if "user_agent" in fields else "",
                ", and its lines are filtered (pageviews.require_user_agent)"
                if self._require_user_agent
                else "",
                agent_advice(format_name),
            )
        assumed = [
            f"{field} (every line counts as {value})"
            for field, value in (("status", "200"), ("method", "GET"))
            if field not in fields
        ]
        if assumed:
            log.warning(
                "%s: its format (%s) has no %s, so requests that showed nobody a page may count.",
                name,
                format_name,
                " and no ".join(assumed),
            )
        if "host" not in fields and site is None and "" in self._sites:
            log.warning(
                "%s: its format (%s) has no vhost, and Umami will show its page views under "
                "localhost; give --hostname.",
                name,
                format_name,
            )

    def forget_all_but(self, keys: Collection[int]) -> None:
        """Drop the scanners of files that are gone."""
        self._scanners = {key: one for key, one in self._scanners.items() if key in keys}


def agent_advice(format_name: str) -> str:
    """Tell how to get user agents into a log of this format."""
    if "traefik" in format_name:
        return "Set accessLog.fields.headers.names.User-Agent: keep in Traefik; it drops headers"
    return "Let the server log them, as the format combined does"


def without_lines(chunk: Chunk) -> Scanned:
    """Judge a chunk without data (NULs, a byte order mark, a line too long), of any format."""
    malformed: dict[str, int] = {}
    if chunk.oversized:
        malformed[Malformed.OVERSIZED] = chunk.oversized
    return Scanned(chunk, [], Tally(chunk.oversized, malformed))
