"""The same requests in two logs: a proxy's and its backend's, an access log and a vhost's own.

Page views of the two are laid side by side. A proxy hides the visitor's address and may be a
second apart, so path, user agent and about the time decide; where the addresses agree as well,
few page views are proof enough.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    views = [_views(sample) for sample in samples]
    pairs = [pair for pair in sorted(_candidates(views)) if _are_twins(*(views[i] for i in pair))]
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


_Views = dict[tuple[str, str], list[_Seen]]


def _views(sample: Sample) -> _Views:
    """Page views by path and user agent."""
    found: _Views = defaultdict(list)
    for hit, verdict in sample.hits:
        if isinstance(verdict, tuple):
            found[hit.target, hit.user_agent or ""].append(_Seen(hit.time, hit.address))
    return found


def _candidates(views: Sequence[_Views]) -> Iterable[tuple[int, int]]:
    """Pairs of logs that have enough in common to be looked at."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, of_log in enumerate(views):
        for key in of_log:
            places[key].append(number)
    common: Counter[tuple[int, int]] = Counter()
    for numbers in places.values():
        if len(numbers) <= _POPULAR:
            common.update(combinations(numbers, 2))
    return common.keys()


def _are_twins(one: _Views, other: _Views) -> bool:
    begin = max(min(_times(one)), min(_times(other))) - _APART
    end = min(max(_times(one)), max(_times(other))) + _APART
    sizes = [sum(begin <= time <= end for time in _times(views)) for views in (one, other)]
    smaller = min(sizes)
    if smaller < _FEW:
        return False
    same = exact = 0
    for key, seen in one.items():
        others = list(other.get(key, ()))
        for each in seen:
            if not begin <= each.time <= end:
                continue
            match = _nearest(each, others)
            if match is not None:
                others.remove(match)
                same += 1
                exact += match.address == each.address
    if exact >= max(_FEW, _SHARE * smaller):
        return True
    return same >= max(_MANY, _SHARE * smaller)


def _nearest(seen: _Seen, others: Sequence[_Seen]) -> _Seen | None:
    """The one that is the same, by address if possible."""
    near = [other for other in others if abs(other.time - seen.time) <= _APART]
    return min(near, key=lambda other: other.address != seen.address, default=None)


def _times(views: _Views) -> list[int]:
    return [seen.time for of_key in views.values() for seen in of_key]
