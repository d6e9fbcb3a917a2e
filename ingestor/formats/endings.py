"""Whether paths end with one of many extensions, for many paths at once.

A path's last eight bytes are one number. What stands from the last dot on is looked up in a table,
at a place computed from it: the factor is chosen so that no two extensions have the same place
(perfect hashing; the multiplicative method of Knuth, TAOCP 3, section 6.4).
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingestor.formats.marks import Flags, Words

_NAME = re.compile(r"[a-z0-9_]{1,7}")
_DOTS = np.uint64(0x2E2E_2E2E_2E2E_2E2E)
_LOW = np.uint64(0x7F7F_7F7F_7F7F_7F7F)
_WORD_BITS = 64
_SPARE_BITS, _TRIES = 4, 16  # so many places for each extension; more after so many bad factors
_EMPTY = 1  # what no ending is: each begins with a dot, and that is its lowest byte


class Endings:
    """Extensions of up to seven lower-case letters, digits and underscores; others are not found.

    ``any``: whether there are such.
    """

    def __init__(self, extensions: Collection[str]) -> None:
        names = sorted(name for name in extensions if _NAME.fullmatch(name))
        endings = [int.from_bytes(b"." + name.encode(), "little") for name in names]
        self.any = bool(endings)
        factor, bits, places = _without_collision(endings)
        self._factor, self._shift = np.uint64(factor), np.uint64(_WORD_BITS - bits)
        self._table: Words = np.full(1 << bits, _EMPTY, np.uint64)
        self._table[places] = endings

    def end(self, words: Words) -> Flags:
        """Tell which words end with one; no path has a NUL."""
        others = words ^ _DOTS  # zero where a dot is: the highest bit of each byte tells
        dots = ~(((others & _LOW) + _LOW) | others | _LOW)
        for further in (8, 16, 32):  # and of all bytes before the last dot
            dots |= dots >> np.uint64(further)
        before = np.bitwise_count(dots) - np.uint8(1)
        tails = words >> (before.astype(np.uint64) << np.uint64(3))  # nothing where no dot is
        places = (tails * self._factor) >> self._shift
        found: Flags = self._table[places.view(np.int64)] == tails
        return found


def _without_collision(endings: list[int]) -> tuple[int, int, list[int]]:
    """Find a factor and bits of places so that each ending has its own, and these places."""
    factors = random.Random(0)  # noqa: S311 - any will do
    bits = len(endings).bit_length() + _SPARE_BITS
    while True:
        for _ in range(_TRIES):
            factor = factors.getrandbits(_WORD_BITS) | 1
            places = [
                (ending * factor) % (1 << _WORD_BITS) >> (_WORD_BITS - bits) for ending in endings
            ]
            if len(set(places)) == len(endings):
                return factor, bits, places
        bits += 1


@lru_cache(maxsize=16)
def endings_of(extensions: frozenset[str]) -> Endings:
    """Give the endings of a configuration: its layouts share them."""
    return Endings(extensions)
