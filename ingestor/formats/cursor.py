"""The ordinary lines of a block while they are read: how far each is, and what was found in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingestor.formats.clocks import EARLIEST
from ingestor.formats.fields import Role
from ingestor.formats.marks import WORD, byte, outside, rows_at, words_at

if TYPE_CHECKING:
    from ingestor.formats.layouts import Value
    from ingestor.formats.marks import Flags, Kind, Offsets, Words, Workspace

    Word = tuple[np.uint64, np.uint64]  # which bits count, and what they are

_WIDEST_ZONE = 16 * 3_600  # seconds
_DOT, _ZERO, _NINE, _QUOTE = b'.09"'
_FIRST, _LAST = 0x2D, 0x7E  # of a word
_NIBBLE = np.uint64(15)
# The lower bytes of a word, by their number.
_LOWER = np.array([(1 << (8 * count)) - 1 for count in range(WORD + 1)], np.uint64)

is_quote = byte(_QUOTE)
is_no_word = outside(_FIRST, _LAST)
is_no_number = outside(_DOT, _NINE)
is_no_digit = outside(_ZERO, _NINE)


class Cursor:
    """The ordinary lines of a block while they are read.

    ``starts`` and ``ends`` (at the newline) are those of the lines. A line that has lost its way
    may stand behind the block's end, by no more than the widths of all steps.
    """

    def __init__(self, space: Workspace, starts: Offsets, ends: Offsets) -> None:
        self.octets = space.octets
        self.starts = starts
        self.ends = ends
        self.stops: Offsets = ends - (space.octets[ends - 1] == ord("\r"))
        self.at = starts
        self.sure: Flags = np.ones(len(starts), np.bool_)
        self.values: dict[Role, tuple[Offsets, Offsets]] = {}
        self.times: Offsets = np.zeros(len(starts), np.int64)
        self.knows_zone = True
        self.statuses: Words | None = None  # three digits each, as numbers with the first lowest
        self._space = space

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

    def is_believable(self, latest: int) -> Flags:
        """Whether times are between 1995 and ``latest`` (Unix seconds), in any zone."""
        margin = 0 if self.knows_zone else _WIDEST_ZONE
        return (self.times >= EARLIEST + margin) & (self.times <= latest - margin)


def text_word(text: bytes) -> Word:
    """Give the mask and the value of up to eight bytes at a word's beginning."""
    mask = (1 << (8 * len(text))) - 1
    return np.uint64(mask), np.uint64(int.from_bytes(text, "little"))


def lower(words: Words, lengths: Offsets) -> Words:
    """Give only the first bytes of words; none for more than eight."""
    return np.where(lengths <= WORD, words & _LOWER[np.clip(lengths, 0, WORD)], np.uint64(0))


def number_in(words: Words, digits: int) -> Offsets:
    """Read a number from a word's first bytes."""
    number = words & _NIBBLE
    for place in range(1, digits):
        number = number * np.uint64(10) + ((words >> np.uint64(8 * place)) & _NIBBLE)
    return number.view(np.int64)
