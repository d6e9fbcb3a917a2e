"""Which page views of a batch in doubt are stored: two multisets held against each other.

Pure. Page views of one second and one URL look alike. Umami works a batch off in its order, so
the first of them are taken for those that are there; `Match.unclear` names those of which only
some are, for then it matters who among them is a bot that left a hole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingestor.delivery.stored import Stored


@dataclass(slots=True)
class Match:
    """Places of page views in their batch."""

    found: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    unclear: list[int] = field(default_factory=list)  # alike, taken ones too; not all are stored
    surplus: int = 0  # rows that no page view accounts for: they are double


def match(
    listed: Mapping[Stored, int],
    doubtful: Mapping[int, Stored | None],
    taken: Mapping[int, Stored | None],
) -> Match:
    """Tell which doubtful page views (place → what Umami would keep) are among the listed.

    ``taken``: those of the same tag that are known to be stored. None: never storable, so
    missing.
    """
    left = Counter(listed)
    left.subtract(stored for stored in taken.values() if stored is not None)
    alike: dict[Stored | None, list[int]] = defaultdict(list)
    for place in sorted(doubtful):
        alike[doubtful[place]].append(place)
    result = Match()
    for stored, places in alike.items():
        if stored is None:
            result.missing += places
            continue
        there = min(max(left[stored], 0), len(places))
        result.found += places[:there]
        result.missing += places[there:]
        if there < len(places) and listed.get(stored):
            result.unclear += places
            result.unclear += [place for place, other in taken.items() if other == stored]
        left[stored] -= there
    for found in (result.found, result.missing, result.unclear):
        found.sort()
    result.surplus = sum(count for count in left.values() if count > 0)
    return result
