"""Where the bytes of a kind stand in a block: a bit for each byte, so that the next is found fast.

The number of a bit is an offset in the block. All look-ups are for many offsets at once. The bit
tricks are those of "Bit Twiddling Hacks" (S. E. Anderson).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Offsets = NDArray[np.int64]
    Words = NDArray[np.uint64]
    Flags = NDArray[np.bool_]
    Octets = NDArray[np.uint8]
    Kind = Callable[[Octets, Flags, Octets], Flags]
    """Marks a block's bytes in the flags, and may use the last array as it likes."""

WORD = 8  # bytes of a word
_BITS = 64  # of a word
_SHIFT = 6  # what divides by it
_ONE = np.uint64(1)
_NEWLINE = ord("\n")
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_BEHIND = 3 * _BITS  # bytes behind all that is looked at: a search ends there


class Marks:
    """Marked bytes of a block; from ``limit`` on everything is marked, so that a search ends.

    And so are those of ``others``.
    """

    def __init__(self, marked: Flags, limit: int, others: Marks | None = None) -> None:
        self._bits: Octets = np.packbits(marked, bitorder="little")
        self.words: Words = self._bits.view("<u8")
        if others is not None:
            self.words |= others.words
        last, rest = limit >> _SHIFT, limit & (_BITS - 1)
        self._last, self._below = last, np.uint64((1 << rest) - 1)
        self.words[last] |= ~self._below
        self.words[last + 1 :] = _ALL
        self._before: Offsets | None = None

    def next(self, offsets: Offsets) -> Offsets:
        """Find the first marked byte at or behind each offset; the block's end where none is."""
        at = offsets >> 3
        words = words_at(self._bits, at) >> (offsets & 7).view(np.uint64)
        found: Offsets = offsets + _lowest_bit(words)
        if np.count_nonzero(words) == len(words):
            return found
        waiting = (words == 0).nonzero()[0]
        at = at[waiting]
        while len(waiting):
            at += WORD
            words = words_at(self._bits, at)
            has = words != 0
            found[waiting[has]] = (at[has] << 3) + _lowest_bit(words[has])
            waiting, at = waiting[~has], at[~has]
        return found

    def count_before(self, offsets: Offsets) -> Offsets:
        """Count the marked bytes before each offset."""
        if self._before is None:
            self._before = np.zeros(len(self.words) + 1, np.int64)
            np.cumsum(np.bitwise_count(self.words), out=self._before[1:])
        at = offsets >> _SHIFT
        below = (_ONE << (offsets & (_BITS - 1)).view(np.uint64)) - _ONE
        counted: Offsets = self._before[at] + np.bitwise_count(self.words[at] & below)
        return counted

    def count(self) -> int:
        """Count the marked bytes before the block's end."""
        return int(np.bitwise_count(self._own()).sum())

    def all(self) -> Offsets:
        """Give the offsets of all marked bytes before the block's end, in their order."""
        words = self._own()
        at = words.nonzero()[0]
        words = words[at]
        found = [(at << _SHIFT) + _lowest_bit(words)]
        while True:
            words = words & (words - _ONE)  # without its lowest bit
            more = words.nonzero()[0]
            if not len(more):
                break
            at, words = at[more], words[more]
            found.append((at << _SHIFT) + _lowest_bit(words))
        return found[0] if len(found) == 1 else np.sort(np.concatenate(found))

    def _own(self) -> Words:
        words = self.words[: self._last + 1].copy()
        words[-1] &= self._below
        return words


def _lowest_bit(words: Words) -> Octets:
    """Number the lowest bit that is set, 64 where none is."""
    counted: Octets = np.bitwise_count((words - _ONE) & ~words)
    return counted


def rows_at(octets: Octets, offsets: Offsets, count: int) -> Words:
    """Give so many words of eight bytes from each offset on, a row each."""
    width = WORD * count
    pieces = np.ndarray((len(octets) - width + 1,), f"V{width}", octets.data, strides=(1,))
    return pieces[offsets].view("<u8").reshape(len(offsets), count)


def words_at(octets: Octets, offsets: Offsets) -> Words:
    """Give the word of eight bytes at each offset."""
    pieces = np.ndarray((len(octets) - WORD + 1,), "V8", octets.data, strides=(1,))
    return pieces[offsets].view("<u8")


class Workspace:
    """The bytes of one block at a time, in memory that is used again.

    What was taken from it is good until the next block: fresh memory would cost more than the
    work that is done in it.
    """

    def __init__(self) -> None:
        self.octets: Octets = np.empty(0, np.uint8)
        self.limit = 0  # where the last line ends
        self._all: Octets = self.octets
        self._spare: Octets = self.octets
        self._flags: Flags = np.empty(0, np.bool_)
        self._marks: dict[Kind, Marks] = {}

    def load(self, data: bytes, padding: int) -> None:
        """Take a block, and newlines behind it: so many may be looked at, as offsets and words."""
        self.limit = len(data) + (not data.endswith(b"\n"))
        size = (len(data) + padding + _BEHIND) & -_BITS
        if size > len(self._all):
            self._all, self._spare = np.empty(size, np.uint8), np.empty(size, np.uint8)
            self._flags = np.empty(size, np.bool_)
        self.octets = self._all[:size]
        self.octets[: len(data)] = np.frombuffer(data, np.uint8)
        self.octets[len(data) :] = _NEWLINE
        self._marks.clear()

    def marks(self, kind: Kind) -> Marks:
        """Give the block's bytes of a kind, and all newlines: no search goes beyond its line.

        Else a few lines of another kind could cost as much as many blocks.
        """
        marks = self._marks.get(kind)
        if marks is None:
            newlines = None if kind is ends_line else self.marks(ends_line)
            size = len(self.octets)
            marked = kind(self.octets, self._flags[:size], self._spare[:size])
            marks = self._marks[kind] = Marks(marked, self.limit, newlines)
        return marks


def byte(which: int) -> Kind:
    """Give the kind of one byte."""

    def mark(octets: Octets, flags: Flags, _: Octets) -> Flags:
        return np.equal(octets, which, out=flags)

    return mark


def below(first: int, *, but: int | None = None) -> Kind:
    """Give the kind of all below a byte and of what is no ASCII; ``but`` belongs to it, too.

    And so does what differs from ``but`` by no more than the bit 0x04.
    """

    def mark(octets: Octets, flags: Flags, spare: Octets) -> Flags:
        np.less(octets.view(np.int8), first, out=flags)
        if but is not None:
            np.bitwise_or(octets, 0x04, out=spare)
            also = spare.view(np.bool_)
            np.equal(spare, but | 0x04, out=also)
            np.logical_or(flags, also, out=flags)
        return flags

    return mark


def outside(first: int, last: int) -> Kind:
    """Give the kind of what is not between two bytes, both included."""

    def mark(octets: Octets, flags: Flags, spare: Octets) -> Flags:
        np.subtract(octets, first, out=spare)
        return np.greater(spare, last - first, out=flags)

    return mark


ends_line = byte(_NEWLINE)
