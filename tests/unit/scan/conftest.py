"""Scanners at a fixed time, and the plain way to judge a chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
from parts import counted

from ingestor.formats import Format
from ingestor.model import Chunk, Hit, Reason, Scanned, Span, content_of
from ingestor.pageviews import PageViewOptions, Rules, Site
from ingestor.scan import Scanner

NOW = 1_796_083_200  # 2026-12-01T00:00:00Z
DAY = 86_400
SITE = Site("3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c", "example.com", ("*",))

SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no bots, any method": {
        "filter_bots": False, "methods": ("GET", "POST", "HEAD"), "require_user_agent": False,
    },
    "paths win over assets": {"include_paths": ("/assets/*", "*.png")},
    "few assets": {"assets": ("css",), "statuses": ("200-399", "!302")},
    "nothing is an asset": {"assets": (), "exclude_paths": ()},
    "only posts": {"methods": ("POST",), "statuses": ("404",)},
    "excluding": {
        "exclude_user_agents": ("*chrome*",), "exclude_addresses": ("192.0.2.0/24",),
        "exclude_referrers": ("*.example.org",), "exclude_hosts": ("www.*",),
    },
    "behind a proxy": {"trusted_proxies": ("192.0.2.0/24",), "anonymize_ip": True},
}  # fmt: skip


@pytest.fixture(scope="session")
def all_rules() -> list[Rules]:
    """Rules of every kind; the first are the defaults."""
    dates = cycle(
        (
            {"since": NOW - 3_000 * DAY},
            {"until": NOW - DAY},
            {},
            {"since": NOW - 3_000 * DAY, "until": NOW - DAY},
        )
    )
    return [
        Rules(PageViewOptions(**options), (SITE,), **next(dates)) for options in SETTINGS.values()
    ]


@pytest.fixture(scope="session")
def scanner() -> Callable[[Format, Rules], Scanner]:
    """A scanner whose sieve takes blocks of any size."""

    def make(line_format: Format, rules: Rules) -> Scanner:
        made = Scanner(line_format, rules, site=SITE, clock=lambda: NOW)
        if made._sieve is not None:
            made._sieve.least = 0
        return made

    return make


@pytest.fixture(scope="session")
def check() -> Callable[[Scanned, Format, Rules], None]:
    """Hold what a scanner made of a chunk to parse and decide, line by line."""

    def hold(scanned: Scanned, line_format: Format, rules: Rules) -> None:
        chunk, tally = scanned.chunk, scanned.tally
        counts: Counter[tuple[type, str]] = Counter()  # a word may be one of both
        expected = []
        at = chunk.start
        lines = chunk.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            blank = not line.strip()
            hit = Reason.DIRECTIVE if blank else line_format.parse(line, NOW + DAY)
            verdict = rules.decide(hit, SITE) if isinstance(hit, Hit) else hit
            if isinstance(verdict, tuple):
                expected.append((*content_of(*verdict), at, line))
            else:
                counts[type(verdict), verdict] += 1
            at += len(line) + 1
        found = [(*view[:4], view.line_start, view.line) for view in scanned.page_views]
        assert found == expected
        assert counted(tally) == counts
        assert tally.lines == len(lines)
        hold_spans(scanned, chunk)

    return hold


def hold_spans(scanned: Scanned, chunk: Chunk) -> None:
    """The page views' spans follow each other without a hole, up to the chunk's end.

    Where page views of another time are left, each has its own line alone.
    """
    if Reason.DATE in scanned.tally.filtered:
        for view in scanned.page_views:
            end = min(view.line_start + len(view.line) + 1, chunk.end)
            assert view.span == Span(chunk.file, view.line_start, end)
        assert scanned.finished is None
        return
    at = chunk.start
    for view in scanned.page_views:
        assert view.span.start == at
        assert view.span.file == chunk.file
        assert view.line_start >= at
        at = view.span.end
        assert at >= view.line_start + len(view.line)
    assert scanned.page_views == [] or at == chunk.end
