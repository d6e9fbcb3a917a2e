"""How presets fare on a sample of a file's lines, and which of them is the foremost.

A file is told by some hundred lines, and there may be thousands of files: of a preset that does not
explain enough, no more lines are looked at than it takes to see that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestor.formats.adaptive import (
    is_address,
    is_addressed,
    is_explained,
    is_plausible,
    was_served,
)
from ingestor.formats.format import Format
from ingestor.formats.w3c import W3cFormat
from ingestor.model import Hit, Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

ENOUGH = 0.95  # the share of lines that a format must explain
PLAUSIBLE = 0.8  # … and of its hits that must look right: visitors may write nonsense
SHORT = 20  # lines: one of fewer is more than a twentieth
_OWN_ADDRESSES = 8  # that requests may name as their host
_TIME = re.compile(rb" \[\d\d/[A-Z][a-z]{2}/\d{4}:")


@dataclass(frozen=True, slots=True)
class Score:
    """How one preset fares on a sample."""

    format: Format
    place: int  # in the presets' order
    explained: frozenset[int]  # which of the sample's lines
    hits: int
    plausible: int
    addressed: int  # hits that have an address, and not only a name
    doubted: int  # hits whose host is none: X-Forwarded-For perhaps, or a name of something else

    @property
    def is_believable(self) -> bool:
        """Tell whether fields hold what their names say; names alone may be anything's."""
        right = self.plausible >= PLAUSIBLE * self.hits and (self.addressed or not self.hits)
        return bool(self.explained and right)

    def is_enough(self, lines: int) -> bool:
        """Tell whether it is believable, and explains enough of so many lines."""
        return self.is_believable and suffices(len(self.explained), lines)

    @property
    def merit(self) -> tuple[int, int, int]:
        """Sort by this: more fields first, then more lines, then the presets' order."""
        doubtful = self.doubted * 2 > self.hits or not self.hits
        fields = len(self.format.fields) - ("host" in self.format.fields and doubtful)
        return (fields, len(self.explained), -self.place)


def suffices(explained: int, lines: int) -> bool:
    """Tell whether enough lines are explained; in a short file one line may be broken."""
    return explained >= ENOUGH * lines or (lines < SHORT and explained >= max(lines - 1, 2))


def foremost(formats: Sequence[Format], sample: Sequence[bytes], latest: int) -> Score | None:
    """Give the believable one of most merit that explains enough, if any does."""
    best: Score | None = None
    for place, each in sorted(enumerate(formats), key=_promise):
        told = not isinstance(each, W3cFormat)  # its lines may tell it of other fields
        if told and best is not None and (len(each.fields), len(sample), -place) < best.merit:
            break  # and all behind it promise less
        verdicts = _verdicts(each, sample, latest)
        if verdicts is None:
            continue
        found = _scored(each, place, sample, verdicts)
        if found.is_enough(len(sample)) and (best is None or found.merit > best.merit):
            best = found
    return best


def _promise(entry: tuple[int, Format]) -> tuple[bool, int, int]:
    """Sort by this: the most that a format's merit can be, in falling order; W3C's in front."""
    place, each = entry
    return (not isinstance(each, W3cFormat), -len(each.fields), place)


def _verdicts(
    each: Format, sample: Sequence[bytes], latest: int
) -> list[Hit | Malformed | Reason] | None:
    """Parse a sample; None as soon as too many of its lines are not explained."""
    verdicts = []
    missed = 0
    for line in sample:
        verdict = each.parse(line, latest)
        if not is_explained(verdict):
            missed += 1
            if not suffices(len(sample) - missed, len(sample)):
                return None
        verdicts.append(verdict)
    return verdicts


def score_of(each: Format, place: int, sample: Sequence[bytes], latest: int) -> Score:
    """Hold one format against all of a sample; ``place`` is its own among the presets."""
    return _scored(each, place, sample, [each.parse(line, latest) for line in sample])


def _scored(
    each: Format, place: int, sample: Sequence[bytes], verdicts: Sequence[Hit | Malformed | Reason]
) -> Score:
    # A header explains itself only to the format that it belongs to.
    explained = frozenset(at for at, verdict in enumerate(verdicts) if is_explained(verdict))
    hits = [verdict for verdict in verdicts if isinstance(verdict, Hit)]
    if not hits:
        directives = sum(verdicts[at] is Reason.DIRECTIVE for at in explained)
        # A list of fields says nothing about lines that hold something else in each of them.
        if directives == len(explained) or (not directives and each.definition.startswith("#")):
            explained = frozenset()
        # And a field that never holds a request is none, where the server found what to answer.
        explained = frozenset(
            at
            for at in explained
            if verdicts[at] is not Malformed.REQUEST or not was_served(each, sample[at])
        )
    return Score(
        each,
        place,
        explained,
        len(hits),
        plausible=0 if _are_visitors_hosts(hits) else sum(map(_is_right, verdicts, sample)),
        addressed=sum(map(is_addressed, hits)),
        doubted=sum(hit.host is not None and not _is_surely_host(hit.host) for hit in hits),
    )


def _is_right(verdict: Hit | Malformed | Reason, line: bytes) -> bool:
    return isinstance(verdict, Hit) and is_plausible(verdict) and not _is_hidden(verdict, line)


def _is_hidden(hit: Hit, line: bytes) -> bool:
    """Tell whether what passes for a user's name has an address in it: then that is the client's.

    The word right behind the address may be one: lighttpd has the vhost there.
    """
    time = _TIME.search(line)
    if time is None:
        return False
    before = line[: time.start()].decode("utf-8", "surrogateescape")
    _, _, behind = before.rpartition(hit.address)
    return any(map(is_address, behind.split()[1:]))


def _are_visitors_hosts(hits: Sequence[Hit]) -> bool:
    """Tell whether X-Forwarded-For stands where the host should, and so the proxies as visitors.

    A server has few addresses, and more visitors than that. Scanners may ask for any host.
    """
    hosts = [hit.host for hit in hits if hit.host and is_address(hit.host)]
    few = max(_OWN_ADDRESSES, len({hit.address for hit in hits}))
    return len(hosts) * 2 > len(hits) and len(set(hosts)) > few


def _is_surely_host(text: str) -> bool:
    return ("." in text or text.startswith("localhost")) and not is_address(text)
