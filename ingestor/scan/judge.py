"""What becomes of a line, the plain way: parse it, then ask the rules.

The hot loop in scanner.py takes every shortcut it can find and has to come to the same verdicts;
a test holds it to this page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ingestor.model import Chunk, Hit, Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingestor import pageviews
    from ingestor.formats import Format
    from ingestor.pageviews import Rules, Site

Verdict: TypeAlias = "pageviews.Verdict | Malformed"


class Judged(NamedTuple):
    """One line and its verdict."""

    start: int  # offset of the line
    end: int  # just past its newline
    line: bytes  # without the newline
    verdict: Verdict


class Judge:
    """The format of a file, the rules, and the site for lines without vhost."""

    def __init__(self, line_format: Format, rules: Rules, site: Site | None) -> None:
        self.format = line_format
        self.rules = rules
        self.site = site

    def verdict(self, line: bytes, latest: int) -> Verdict:
        """Judge one line; ``latest`` is the latest believable time in Unix seconds."""
        columns = self.format.split(line)
        hit = None if columns is None else self.format.hit(columns, latest)
        if isinstance(hit, Hit):
            verdict = self.rules.decide(hit, self.site)
            if verdict is not Reason.BAD_ADDRESS or not self.format.follows:
                return verdict
        return self.exactly(line, latest)  # the format as a whole may explain what columns do not

    def exactly(self, line: bytes, latest: int) -> Verdict:
        """Judge a line that has no simple shape. A blank one is the log's own, as a header is."""
        if not line or line.isspace():
            return Reason.DIRECTIVE
        hit = self.format.parse(line, latest)
        return self.rules.decide(hit, self.site) if isinstance(hit, Hit) else hit

    def verdicts(self, chunk: Chunk, latest: int) -> Iterator[Judged]:
        """Judge line by line."""
        data, position = chunk.data, chunk.start
        if not data:
            return
        for line in lines_of(data):
            start, position = position, min(position + len(line) + 1, chunk.end)
            yield Judged(start, position, line, self.verdict(line, latest))


def lines_of(data: bytes) -> list[bytes]:
    """Split into lines without their newlines; the last one may lack it."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines
