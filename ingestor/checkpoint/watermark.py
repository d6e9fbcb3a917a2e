"""Pure: spans acknowledged out of order → how far everything is done.

`Intervals` is a set of byte offsets, kept as sorted, disjoint, never touching [start, end)
pairs. Acks arrive nearly in order, so the set usually holds one or two intervals and an ack
lengthens the last one; holes stay where something is still under way. It also remembers what
changed since it was last written down, so that a commit touches only those rows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Intervals:
    """A set of offsets as [start, end) intervals: ends are exclusive, all in bytes, from 0."""

    __slots__ = ("_changes", "_ends", "_starts")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._changes: dict[int, int | None] = {}
        for start, end in spans:
            self.add(start, end)
        self._changes.clear()

    def add(self, start: int, end: int) -> None:
        """Put [start, end) into the set, merging what it overlaps or touches.

        An empty span changes nothing. Raises ValueError for a negative start or end < start.
        """
        if not 0 <= start <= end:
            raise ValueError(f"not a span: [{start}, {end})")
        starts, ends = self._starts, self._ends
        if starts and starts[-1] <= start <= ends[-1]:  # the usual case: the last one grows
            if end > ends[-1]:
                ends[-1] = end
                self._changes[starts[-1]] = end
            return
        if start != end:
            self._merge(start, end)

    def _merge(self, start: int, end: int) -> None:
        starts, ends = self._starts, self._ends
        first = bisect_left(ends, start)  # the first that ends at or after our start
        past = bisect_right(starts, end)  # one past the last that starts at or before our end
        if first < past:
            start = min(start, starts[first])
            end = max(end, ends[past - 1])
            if past == first + 1 and start == starts[first] and end == ends[first]:
                return  # it was there already
            for swallowed in starts[first:past]:
                self._changes[swallowed] = None
        starts[first:past] = [start]
        ends[first:past] = [end]
        self._changes[start] = end

    def contains(self, start: int, end: int) -> bool:
        """Whether the whole of [start, end) is in the set; an empty span always is."""
        if start >= end:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and end <= self._ends[at]

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any offset of [start, end) is in the set."""
        return self.gaps(start, end) != [(start, end)] and start < end

    def gaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """What of [start, end) is not in the set: sorted, disjoint [start, end) pairs."""
        found = []
        at = bisect_right(self._ends, start)
        while start < end:
            if at == len(self._starts) or self._starts[at] >= end:
                found.append((start, end))
                break
            if start < self._starts[at]:
                found.append((start, self._starts[at]))
            start = self._ends[at]
            at += 1
        return found

    def contiguous(self, origin: int = 0) -> int:
        """The offset up to which everything from `origin` on is in the set, without a hole."""
        at = bisect_right(self._starts, origin) - 1
        return max(origin, self._ends[at]) if at >= 0 else origin

    def size(self, start: int = 0) -> int:
        """How many bytes at or after `start` are in the set."""
        at = bisect_right(self._ends, start)
        return sum(
            end - max(first, start)
            for first, end in zip(self._starts[at:], self._ends[at:], strict=True)
        )

    def take_changes(self) -> dict[int, int | None]:
        """Hand out, and forget, what changed since the last call.

        Maps the start of an interval to its new end, or to None where no interval starts any
        more. Applied to rows keyed by their start, it makes them equal to this set.
        """
        changes, self._changes = self._changes, {}
        return changes

    def restore_changes(self, changes: dict[int, int | None]) -> None:
        """Take back changes that could not be written; newer ones stay on top of them."""
        self._changes = {**changes, **self._changes}

    def mark_all_changed(self) -> None:
        """Make the next `take_changes` hand out every interval, for writing them anew."""
        self._changes.update(self)

    def copy(self) -> Intervals:
        """Build an equal set that shares nothing with this one, without changes."""
        twin = Intervals()
        twin._starts, twin._ends = self._starts[:], self._ends[:]
        return twin

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # a set that changes has no hash

    def __repr__(self) -> str:
        return f"Intervals({list(self)})"


def union(*parts: Intervals) -> Intervals:
    """Everything that is in at least one of the sets, as a new set without changes."""
    together = max(parts, key=len).copy()
    for part in parts:
        for start, end in part:
            together.add(start, end)
    together.take_changes()
    return together


def watermark(origin: int, *parts: Intervals) -> int:
    """The offset up to which everything from `origin` on is in one or another of the sets."""
    reached = origin
    while True:
        further = max((part.contiguous(reached) for part in parts), default=reached)
        if further == reached:
            return reached
        reached = further
