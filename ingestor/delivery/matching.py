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
    from collections.abc import Iterable, Mapping

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
    left = _respelled(listed, taken.values(), doubtful.values())
    seen = {row.bare for row, count in listed.items() if count}
    left.subtract(stored for stored in taken.values() if stored is not None)
    alike: dict[Stored | None, list[int]] = defaultdict(list)
    for place in sorted(doubtful):
        alike[doubtful[place]].append(place)
    result = Match()
    short: set[Stored] = set()
    for stored, places in alike.items():
        if stored is None:
            result.missing += places
            continue
        there = min(max(left[stored], 0), len(places))
        result.found += places[:there]
        result.missing += places[there:]
        if there < len(places) and stored.bare in seen:
            short.add(stored.bare)
        left[stored] -= there
    for place, stored in [*doubtful.items(), *taken.items()]:
        if stored is not None and stored.bare in short:
            result.unclear.append(place)
    for found in (result.found, result.missing, result.unclear):
        found.sort()
    result.surplus = sum(count for count in left.values() if count > 0)
    return result


def _respelled(listed: Mapping[Stored, int], *sent: Iterable[Stored | None]) -> Counter[Stored]:
    """The rows under the paths that they were sent with: Umami may have removed a slash.

    Of each of ``sent`` in turn, a row is first taken for the page view of its very path, then for
    one that differs in slashes at its end.
    """
    left = Counter(listed)
    mates: dict[Stored, list[Stored]] = defaultdict(list)
    for row in listed:
        mates[row.bare].append(row)
    found: Counter[Stored] = Counter()
    for keys in sent:
        wanted = Counter(stored for stored in keys if stored is not None)
        for very_path in (True, False):
            for stored in wanted:
                for row in [stored] if very_path else mates[stored.bare]:
                    there = min(wanted[stored], left[row])
                    wanted[stored] -= there
                    left[row] -= there
                    found[stored] += there
    return found + left
