"""Offline: what would be sent and what not. Nothing is sent, nothing is remembered."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING

import orjson

from ingestor.errors import FormatError
from ingestor.formats import shown
from ingestor.logfiles import readable
from ingestor.model import Malformed
from ingestor.observe import Counts, printable
from ingestor.pipeline.job import Job, Result, lines_of, say_findings, say_unaddressed
from ingestor.pipeline.proxies import Proxies
from ingestor.pipeline.scanners import Scanners, without_lines
from ingestor.pipeline.strangers import Strangers
from ingestor.scan.collector import collect_rarely

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from ingestor.config import Config
    from ingestor.model import Chunk
    from ingestor.pipeline.job import Lines
    from ingestor.scan import Judged, Scanner

    Show = Literal["lines", "payloads"] | None

log = logging.getLogger("ingestor")


def preview(config: Config, job: Job, *, show: Show = None) -> Result:
    """Judge all lines of a job; ``show`` prints a verdict or a payload a line as they come."""
    began = time.monotonic()
    result = Result(Counts(), 0.0, preview=True)
    rules = config.rules(since=job.since, until=job.until)
    scanners = Scanners(config, job.settings, rules)
    lines = lines_of(config, job, None)
    proxies = Proxies(config)
    collect_rarely()
    for chunk in lines:
        if show == "lines" and chunk.oversized:
            told = _told(
                Malformed.OVERSIZED, f"(a line too long to be read, at byte {chunk.start})"
            )
            sys.stdout.write(told * chunk.oversized)
        if not chunk.data:
            result.counts.scanned(without_lines(chunk))
            continue
        scanner = _scanner(scanners, lines, chunk, result)
        if scanner is None:
            continue  # a backfill leaves it unread likewise
        scanned = scanner.scan(chunk)
        result.counts.scanned(scanned)
        proxies.note(scanned.page_views)
        if show is not None:
            sys.stdout.writelines(_shown(scanner, chunk, show))
    Strangers(rules).tell()
    proxies.tell()
    say_unaddressed(result.counts)
    result.counts.files = lines.counts.files
    result.problems = say_findings(lines.findings)
    result.seconds = time.monotonic() - began
    return result


def _scanner(scanners: Scanners, lines: Lines, chunk: Chunk, result: Result) -> Scanner | None:
    known = scanners.get(chunk.file)
    name = readable(lines.path_of(chunk.file) or b"")
    if known is not None or name in result.unexplained:
        return known
    try:
        source = lines.source_of(chunk.file) or 0
        return scanners.make(chunk.file, source, name, *lines.sample(chunk.file))
    except FormatError as error:
        log.error("%s It would be left unread.", error)  # noqa: TRY400 - for a person
        if error.example:
            log.info("Such a line is %s", shown(scanners.rules.mask_line(error.example)))
        result.unexplained.append(name)
        return None


def _shown(scanner: Scanner, chunk: Chunk, show: Show) -> Iterator[str]:
    for judged in scanner.verdicts(chunk):
        if show == "lines":
            yield _told(_word(judged), printable(judged.line.decode(errors="replace")))
        elif isinstance(judged.verdict, tuple):
            body = {"type": "event", "payload": judged.verdict[1]}
            yield f"{_plain(orjson.dumps(body).decode())}\n"


def _plain(text: str) -> str:
    """Write the same JSON without what a terminal would obey, or show in another order."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _told(verdict: str, line: str) -> str:
    return f"{verdict:<14} {line}\n"


def _word(judged: Judged) -> str:
    return "page view" if isinstance(judged.verdict, tuple) else str(judged.verdict)
