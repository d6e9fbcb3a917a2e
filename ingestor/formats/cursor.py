"""The ordinary lines of a block while they are read: how far each is, and what was found in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingestor.formats.clocks import EARLIEST
from ingestor.formats.fields import Role
from ingestor.formats.marks import below, byte, outside, rows_at, words_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingestor.formats.layouts import Value
    from ingestor.formats.marks import Flags, Kind, Offsets, Words, Workspace

    Word = tuple[np.uint64, np.uint64]  # which bits count, and what they are
    Times = Callable[[Offsets], Offsets]
    """The times of some lines, by their numbers, in Unix seconds."""

_WIDEST_ZONE = 16 * 3_600  # seconds
_HYPHEN, _DOT, _ZERO, _NINE, _MARK, _QUOTE = b'-.09?"'
_NIBBLE = np.uint64(15)

is_quote = byte(_QUOTE)
# What ends a word or a path: space, quote, #, % and all below, what is no ASCII; ? and ;, which
# differs by one bit. And what is rare in either: &, brackets, plus, commas. One look at the block
# serves for both.
is_no_word = below(_HYPHEN, but=_MARK)
is_no_number = outside(_DOT, _NINE)
is_no_digit = outside(_ZERO, _NINE)


class Cursor:
    """The ordinary lines of a block while they are read.

    ``starts`` and ``ends`` (at the newline) are those of the lines; ``latest`` is the latest
    believable time in Unix seconds. A line that has lost its way may stand behind the block's end,
    by no more than the widths of all steps.
    """

    def __init__(self, space: Workspace, starts: Offsets, ends: Offsets, latest: int) -> None:
        self.octets = space.octets
        self.starts = starts
        self.ends = ends
        self.stops: Offsets = ends - (space.octets[ends - 1] == ord("\r"))
        self.at = starts
        self.sure: Flags = np.ones(len(starts), np.bool_)
        self.values: dict[Role, tuple[Offsets, Offsets]] = {}
        self.times: Times  # a layout has one time
        self.knows_zone = True
        self.statuses: Words | None = None  # three digits each, as numbers with the first lowest
        self._space = space
        self._latest = latest

    def next(self, kind: Kind, offsets: Offsets) -> Offsets:
        """Find the next byte of a kind at or behind each offset; the block's end where none is."""
        return self._space.marks(kind).next(offsets)

    def rows(self, offsets: Offsets, count: int) -> Words:
        """Give so many words of eight bytes from each offset on, a row each."""
        return rows_at(self.octets, offsets, count)

    def words(self, offsets: Offsets) -> Words:
        """Give the word of eight bytes at each offset."""
        return words_at(self.octets, offsets)

    def take(self, value: Value, begins: Offsets, ends: Offsets) -> None:
        """Note a value, and hold it to what it has to be."""
        if value.filled:
            self.sure &= ends - begins > 1  # a single byte might be the hyphen
        if value.role is not Role.NONE:
            self.values[value.role] = begins, ends

    def tell_times(self, times: Times, span: tuple[int, int] | None = None) -> None:
        """Hold times to what is believable: from 1995 to the latest, in any zone.

        ``span`` are the first and the last that there can be, in Unix seconds.
        """
        margin = 0 if self.knows_zone else _WIDEST_ZONE
        earliest, latest = EARLIEST + margin, self._latest - margin
        if span is None or span[0] < earliest or span[1] > latest:
            seconds = times(np.arange(len(self.starts)))
            self.sure &= (seconds >= earliest) & (seconds <= latest)
        self.times = times


def text_word(text: bytes) -> Word:
    """Give the mask and the value of up to eight bytes at a word's beginning."""
    mask = (1 << (8 * len(text))) - 1
    return np.uint64(mask), np.uint64(int.from_bytes(text, "little"))


def number_in(words: Words, digits: int) -> Offsets:
    """Read a number from a word's first bytes."""
    number = words & _NIBBLE
    for place in range(1, digits):
        number = number * np.uint64(10) + ((words >> np.uint64(8 * place)) & _NIBBLE)
    return number.view(np.int64)
