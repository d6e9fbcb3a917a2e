"""The same requests in two logs: a proxy's and its backend's, an access log and a vhost's own.

Page views of the two are laid side by side. A proxy hides the visitor's address and may be a
second apart, so path, user agent and about the time decide; where the addresses agree as well,
few page views are proof enough.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.pipeline.checks.logs import Sample
    from ingestor.pipeline.checks.remarks import Remarks

_SHARE = 0.8  # of the smaller log's page views in the time that both cover
_FEW, _MANY = 3, 10  # page views that are proof, with equal addresses and without
_APART = 2  # seconds
_POPULAR = 50  # logs that have the same page view: no pair can be told by it
_SHOWN = 10


class _Seen(NamedTuple):
    time: int
    address: str


def check_twins(samples: Sequence[Sample], remarks: Remarks) -> None:
    """Name pairs of logs that have the same requests."""
    logs = [_views(sample) for sample in samples]
    common = sorted(_in_common(logs).items())
    pairs = [(i, j) for (i, j), most in common if _are_twins(logs[i], logs[j], most)]
    for one, other in pairs[:_SHOWN]:
        names = samples[one].name, samples[other].name
        remarks.warn(
            "same_requests",
            f"{names[0]} and {names[1]}",
            "both have the same requests, so each page view would be counted twice",
            "keep one of the two: exclude: the other, or take it out of sources",
        )
    if len(pairs) > _SHOWN:
        text = f"{len(pairs) - _SHOWN} more pairs of logs have the same requests"
        remarks.warn("same_requests", "", text, "keep one log of each pair")


@dataclass(frozen=True, slots=True)
class _Views:
    """Page views of a log."""

    by_key: dict[tuple[str, str], list[_Seen]]  # path and user agent
    times: list[int]  # sorted

    def between(self, begin: int, end: int) -> int:
        """How many there are from ``begin`` to ``end``, both included."""
        return bisect_right(self.times, end) - bisect_left(self.times, begin)


def _views(sample: Sample) -> _Views:
    found: dict[tuple[str, str], list[_Seen]] = defaultdict(list)
    for hit, verdict in sample.hits:
        if isinstance(verdict, tuple):
            found[hit.target, hit.user_agent or ""].append(_Seen(hit.time, hit.address))
    return _Views(found, sorted(seen.time for of_key in found.values() for seen in of_key))


def _in_common(logs: Sequence[_Views]) -> Counter[tuple[int, int]]:
    """Pairs of logs, and how many page views at most may be the same: times aside."""
    places: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for number, views in enumerate(logs):
        for key, seen in views.by_key.items():
            places[key].append((number, len(seen)))
    common: Counter[tuple[int, int]] = Counter()
    popular: Counter[int] = Counter()  # log → page views that tell no pair, and count for one
    for those in places.values():
        if len(those) > _POPULAR:
            popular.update(dict(those))
            continue
        for (one, count), (other, others) in combinations(those, 2):
            common[one, other] += min(count, others)
    for one, other in common:
        common[one, other] += min(popular[one], popular[other])
    return common


def _are_twins(one: _Views, other: _Views, most: int) -> bool:
    """Whether two logs have the same requests; ``most`` of them bounds how many may be."""
    begin = max(one.times[0], other.times[0]) - _APART
    end = min(one.times[-1], other.times[-1]) + _APART
    left = one.between(begin, end)  # that may have their like
    smaller = min(left, other.between(begin, end))
    enough = max(_FEW, _SHARE * smaller)
    if smaller < _FEW or most < enough:  # of hundreds of logs, nearly all pairs end here
        return False
    same = exact = 0
    for key, seen in one.by_key.items():
        others = list(other.by_key.get(key, ()))
        for each in seen:
            if not begin <= each.time <= end:
                continue
            match = _nearest(each, others)
            if match is not None:
                others.remove(match)
                same += 1
                exact += match.address == each.address
                continue
            left -= 1
            if left < enough:
                return False
    return exact >= enough or same >= max(_MANY, _SHARE * smaller)


def _nearest(seen: _Seen, others: Sequence[_Seen]) -> _Seen | None:
    """The one that is the same, by address if possible."""
    near = [other for other in others if abs(other.time - seen.time) <= _APART]
    return min(near, key=lambda other: other.address != seen.address, default=None)
