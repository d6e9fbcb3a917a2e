"""Answers of pure functions by value, bounded: the log is written by strangers.

A look-up that hits costs one dict access in C. When the room is full, all is forgotten at once:
keeping an order of use would cost more at each look-up than computing the common answers again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

K = TypeVar("K", bound="Sized")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """``remembered[key]`` is ``compute(key)``.

    At most ``limit`` answers are kept, and none for a key longer than ``longest`` (characters,
    bytes or items), so that neither many nor long keys can fill the memory.
    """

    __slots__ = ("compute", "limit", "longest")

    def __init__(self, compute: Callable[[K], V], *, limit: int, longest: int = 512) -> None:
        super().__init__()
        self.compute = compute
        self.limit = limit
        self.longest = longest

    def __missing__(self, key: K) -> V:
        value = self.compute(key)
        if len(key) <= self.longest:
            if len(self) >= self.limit:
                self.clear()
            self[key] = value
        return value
