"""The steps in which a block's lines are read along a layout, all lines at once.

A cursor holds where each line has been read to, and whether it has kept to the layout so far. A
line that has not goes on being read, for it costs nothing; what is found in it means nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ingestor.formats.clocks import MONTHS
from ingestor.formats.cursor import (
    is_no_digit,
    is_no_number,
    is_no_word,
    is_quote,
    number_in,
    text_word,
)
from ingestor.formats.layouts import Reach, Value
from ingestor.formats.marks import WORD, byte
from ingestor.formats.runs import Run, month

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.formats.cursor import Cursor
    from ingestor.formats.layouts import Piece
    from ingestor.formats.marks import Offsets

_DOT, _ZERO = b".0"


class Step(Protocol):
    """One step along all lines.

    ``width`` is how many bytes it looks at where it stands; that far it may go astray.
    """

    @property
    def width(self) -> int:
        """Bytes."""

    def read(self, cursor: Cursor) -> None:
        """Read on."""


def steps_of(pieces: Sequence[Piece]) -> list[Step]:
    """Turn a layout into steps; what has a fixed width becomes one."""
    steps: list[Step] = []
    run = Run()
    for piece in pieces:
        if isinstance(piece, bytes):
            run.text(piece)
        elif piece.reach in _FIXED:
            _FIXED[piece.reach](run, piece)
        else:
            if run.width:
                steps.append(run)
                run = Run()
            steps.append(_MOVING[piece.reach](piece))
    if run.width:
        if run.is_text and steps and isinstance(steps[-1], _Quoted):
            steps[-1].behind = run.width
        steps.append(run)
    return steps


def _local(run: Run, value: Value) -> None:
    text = value.example
    begin = month(text[7:11], MONTHS.get(text[3:6], 0), text[21:])
    run.moment(value, begin, day=0, clock=12)


_FIXED = {Reach.LOCAL: _local, Reach.BARE: _local, Reach.DIGITS: Run.status}


# ── what reaches as far as its bytes do ───────────────────────────────────────────────────────


class _Moving:
    """A value that ends where its bytes say."""

    width = 0

    def __init__(self, value: Value) -> None:
        self._value = value

    def read(self, cursor: Cursor) -> None:
        begins = cursor.at
        ends = self.ends(cursor)
        cursor.take(self._value, begins, ends)
        cursor.at = ends

    def ends(self, cursor: Cursor) -> Offsets:
        """Where it ends in each line."""
        raise NotImplementedError


class _Quoted(_Moving):
    """Anything up to the next quote; the last one up to so many bytes before the line's end."""

    behind = 0

    def ends(self, cursor: Cursor) -> Offsets:
        if self.behind:  # no quote is in between: the line has no more of them
            ends = np.maximum(cursor.stops - self.behind, 0)
            cursor.sure &= cursor.at <= ends
            return ends
        return cursor.next(is_quote, cursor.at)


class _Word(_Moving):
    """Visible ASCII from the hyphen on, without a byte that ends it."""

    def __init__(self, value: Value) -> None:
        super().__init__(value)
        self._stop = byte(value.stop) if value.stop else None

    def ends(self, cursor: Cursor) -> Offsets:
        ends = cursor.next(is_no_word, cursor.at)
        return ends if self._stop is None else np.minimum(ends, cursor.next(self._stop, cursor.at))


class _Keyword(_Moving):
    """JSON's true, false or null."""

    width = WORD

    def ends(self, cursor: Cursor) -> Offsets:
        words = cursor.words(cursor.at)
        four = ((words & _TRUE[0]) == _TRUE[1]) | ((words & _NULL[0]) == _NULL[1])
        five = (words & _FALSE[0]) == _FALSE[1]
        cursor.sure &= four | five
        ends: Offsets = cursor.at + 4 + five
        return ends


_TRUE, _FALSE, _NULL = text_word(b"true"), text_word(b"false"), text_word(b"null")


class _Number(_Moving):
    """A number of JSON's without sign and exponent."""

    width = WORD
    _longest = 24  # bytes

    def ends(self, cursor: Cursor) -> Offsets:
        begins, octets = cursor.at, cursor.octets
        ends = cursor.next(is_no_number, begins)
        whole = cursor.next(is_no_digit, begins)
        length = ends - begins
        cursor.sure &= (whole > begins) & (length <= self._longest)
        cursor.sure &= (octets[begins] != _ZERO) | (whole == begins + 1)
        fraction = cursor.next(is_no_digit, whole + 1)
        dotted = (octets[whole] == _DOT) & (fraction == ends) & (fraction > whole + 1)
        cursor.sure &= (whole == ends) | dotted
        return ends


class _Epoch(_Number):
    """Unix seconds of ten digits, perhaps with a fraction."""

    width = 3 * WORD
    _most = 12  # digits of a fraction

    def ends(self, cursor: Cursor) -> Offsets:
        begins = cursor.at
        ends = super().ends(cursor)
        whole = begins + 10
        cursor.sure &= cursor.next(is_no_digit, begins) == whole
        cursor.sure &= ends <= whole + 1 + self._most
        # A parser might round so many nines up.
        nines = (cursor.words(whole + 1) & _NINES[0]) == _NINES[1]
        cursor.sure &= ~(nines & (ends >= whole + 7))
        first = number_in(cursor.words(begins), 8)
        times = first * 100 + number_in(cursor.words(begins + WORD), 2)
        cursor.tell_times(times.__getitem__)
        return ends


_NINES = text_word(b"999999")


class _Iso(_Moving):
    """A date and time by ISO 8601, its zone as in the example, a fraction of any length."""

    _clock = 19  # bytes before fraction and zone
    _most = 9  # digits of a fraction

    def __init__(self, value: Value) -> None:
        super().__init__(value)
        text = value.example
        zone = text[self._clock :].lstrip(b".0123456789")
        self._zone = text_word(zone)
        self._zone_length = len(zone)
        self._run = Run()
        moment = month(text[:4], int(text[5:7]), zone)
        date = Value(value.reach, example=text[: self._clock])
        self._run.moment(date, moment, day=8, clock=11)
        self.width = self._run.width + 2 * WORD

    def ends(self, cursor: Cursor) -> Offsets:
        self._run.read(cursor)
        clocks = cursor.at
        dotted = cursor.octets[clocks] == _DOT
        zones = np.where(dotted, cursor.next(is_no_digit, clocks + dotted), clocks)
        digits = zones - clocks - 1
        cursor.sure &= ~dotted | ((digits >= 1) & (digits <= self._most))
        cursor.sure &= (cursor.words(zones) & self._zone[0]) == self._zone[1]
        ends: Offsets = zones + self._zone_length
        return ends


_MOVING = {
    Reach.QUOTED: _Quoted,
    Reach.WORD: _Word,
    Reach.NUMBER: _Number,
    Reach.KEYWORD: _Keyword,
    Reach.EPOCH: _Epoch,
    Reach.ISO: _Iso,
}
