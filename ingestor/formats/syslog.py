"""The prefix that syslog puts before a line, and any format behind it.

RFC 3164 (``<190>Nov 22 10:11:12 host nginx[7]: ``), with rsyslog's ISO date or one of
journalctl's (``short-precise``, ``short-unix``) in its place, and RFC 5424
(``<190>1 2026-11-22T10:11:12.000Z host nginx 7 - - ``), perhaps counted (RFC 6587, 3.4.1). Its
time is when syslog took the line; the format's own time counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingestor.formats.format import Extent, Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.formats.hits import Columns
    from ingestor.model import Hit, Malformed, Reason

_PREFIX = re.compile(
    rb"(?:(?:\d{1,6} (?=<))?<\d{1,3}>)?(?:"
    rb"(?:[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{10}\.\d{6}"
    rb"|\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:?\d\d))"
    rb" (?:[^\s\"\[\]]{1,255} )?[^\s:\"\[\]]{1,64}(?:\[\d{1,10}\])?:(?!\d{1,5} ) ?"
    rb"|1 (?:-|\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d)) [^\s\"]{1,255} [^\s\"]{1,64}"
    rb" [^\s\"]{1,128} [^\s\"]{1,32} "
    rb"(?:-|(?:\[[^\s\]]{1,64}(?: [^\s=\]]{1,64}=\"(?:[^\"\\\]]|\\.){0,512}\"){0,16}\]){1,8})"
    rb" (?:\xef\xbb\xbf)?)",
    re.DOTALL,
)


def prefix_length(line: bytes) -> int:
    """Give the length of a syslog prefix in bytes; 0 where there is none."""
    match = _PREFIX.match(line)
    return 0 if match is None else match.end()


class Prefixed(Format):
    """A format behind a syslog prefix. A line without the prefix is read all the same."""

    kind = "syslog"

    def __init__(self, inner: Format) -> None:
        """Wrap a format."""
        self.inner = inner
        self.name = f"{self.kind} {inner.name}"
        self.definition = inner.definition
        self.fields = inner.fields
        self.columns = inner.columns
        self.is_plain = inner.is_plain

    def bare(self, line: bytes) -> bytes:
        """Give the line behind its prefix."""
        return line[prefix_length(line) :]

    def parse(self, line: bytes, latest: int) -> Hit | Malformed | Reason:
        """Read the line behind its prefix."""
        return self.inner.parse(self.bare(line), latest)

    def split(self, line: bytes) -> Columns | None:
        """Split the line behind its prefix."""
        return self.inner.split(self.bare(line))

    def hit(self, columns: Columns, latest: int) -> Hit | Malformed:
        """Make a hit as the format does."""
        return self.inner.hit(columns, latest)

    def time_of(self, columns: Columns) -> int | None:
        """Read the time as the format does."""
        return self.inner.time_of(columns)

    def extent(self, line: bytes) -> Extent:
        """Tell how much prefix and format explain of the line."""
        bare = self.bare(line)
        extent = self.inner.extent(bare)
        return extent._replace(length=len(line) - len(bare) + extent.length)

    @property
    def changed(self) -> bool:
        """Whether the format has changed."""
        return self.inner.changed

    def for_file(self, head: Sequence[bytes]) -> Format:
        """Wrap what the format becomes for this file."""
        inner = self.inner.for_file([self.bare(line) for line in head])
        return self if inner is self.inner else type(self)(inner)
