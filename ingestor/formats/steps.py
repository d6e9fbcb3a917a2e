"""The steps in which a block's lines are read along a layout, all lines at once.

A cursor holds where each line has been read to, and whether it has kept to the layout so far. A
line that has not goes on being read, for it costs nothing; what is found in it means nothing.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ingestor.formats.clocks import EARLIEST, MONTHS
from ingestor.formats.fields import Role
from ingestor.formats.layouts import Kind, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ingestor.formats.layouts import Piece

    Offsets = NDArray[np.int64]
    Words = NDArray[np.uint64]
    Flags = NDArray[np.bool_]
    Word = tuple[np.uint64, np.uint64]  # which bits count, and what they are
else:
    Offsets = Words = Flags = Word = object

ENDING = ord("\n")
_WORD = 8  # bytes
_WIDEST_ZONE = 16 * 3_600  # seconds
_HYPHEN, _DOT, _ZERO = b"-.0"


def repeated(byte: int) -> np.uint64:
    """Give a word of eight times this byte."""
    return np.uint64(int.from_bytes(bytes([byte]) * _WORD, "little"))


_ONE = np.uint64(1)
_THREE = np.uint64(3)
_ONES, _HIGH = repeated(0x01), repeated(0x80)
_NIBBLES, _DIGITS, _SIXES = repeated(0xF0), repeated(0x30), repeated(0x06)
_TENTH_BITS = repeated(0x10)
_BELOW_DOT = repeated(0x2E)
_ABOVE_NINE = repeated(0x7F - 0x39)
# The lower bytes of a word, by their number.
_LOWER = np.array([(1 << (8 * count)) - 1 for count in range(_WORD + 1)], np.uint64)


def text_word(text: bytes) -> Word:
    """Give the mask and the value of up to eight bytes at a word's beginning."""
    mask = (1 << (8 * len(text))) - 1
    return np.uint64(mask), np.uint64(int.from_bytes(text, "little"))


def first_flag(flags: Words) -> Offsets:
    """Number the first byte whose highest bit is set, 8 where there is none."""
    flags = flags & _HIGH
    lowest = (flags & (~flags + _ONE)) - _ONE
    return (np.bitwise_count(lowest) >> np.uint8(3)).astype(np.int64)


def lower(words: Words, lengths: Offsets) -> Words:
    """Give the first bytes of words alone, at most eight; none for lengths beyond."""
    return np.where(lengths <= _WORD, words & _LOWER[np.clip(lengths, 0, _WORD)], np.uint64(0))


def one_of(words: Words, texts: Sequence[Word]) -> Flags:
    """Whether words are one of these texts, or begin with it where it was cut before."""
    found = np.zeros(len(words), np.bool_)
    for _, value in texts:
        found |= words == value
    return found


class Cursor:
    """The ordinary lines of a block while they are read.

    ``starts`` and ``ends`` (at the newline) of the lines, the block's quotes, and which of these
    is the ``first`` of each line. ``limit`` is the highest offset to be read from.
    """

    def __init__(  # noqa: PLR0913 - a block's arrays
        self,
        padded: bytes,
        octets: NDArray[np.uint8],
        starts: Offsets,
        ends: Offsets,
        quotes: Offsets,
        first: Offsets,
        limit: int,
    ) -> None:
        self.octets = octets
        # One word at each offset: they overlap.
        self.words: Words = np.ndarray((len(padded) - _WORD + 1,), "<u8", padded, strides=(1,))
        self.starts = starts
        self.ends = ends
        self.stops = ends - (octets[np.maximum(ends - 1, 0)] == ord("\r"))
        self.at = starts
        self.sure: Flags = np.ones(len(starts), np.bool_)
        self.values: dict[Role, tuple[Offsets, Offsets]] = {}
        self.times: Offsets = np.zeros(len(starts), np.int64)
        self.knows_zone = True
        self.statuses: Offsets | None = None
        self._quotes = quotes
        self._first = first
        self._limit = limit
        self._passed = 0  # quotes

    def move(self, to: Offsets, *, quotes: int = 0) -> None:
        """Go on; a line that has lost its way stays within the block."""
        self.at = np.minimum(to, self._limit)
        self._passed += quotes

    def next_quote(self) -> Offsets:
        """Where each line has its next quote."""
        return self._quotes[self._first + self._passed]

    def take(self, value: Value, begins: Offsets, ends: Offsets) -> None:
        """Note a value, and hold it to what it has to be."""
        if value.filled:
            length = ends - begins
            empty = (length == 0) | ((length == 1) & (self.octets[begins] == _HYPHEN))
            self.sure &= ~empty
        if value.role is not Role.NONE:
            self.values[value.role] = begins, ends

    def is_believable(self, latest: int) -> Flags:
        """Whether times are between 1995 and ``latest`` (Unix seconds), in any zone."""
        margin = 0 if self.knows_zone else _WIDEST_ZONE
        return (self.times >= EARLIEST + margin) & (self.times <= latest - margin)


class Step(Protocol):
    """One step along all lines; ``width`` is how many bytes it looks at where it stands."""

    width: int

    def read(self, cursor: Cursor) -> None:
        """Read on."""


def steps_of(pieces: Sequence[Piece]) -> list[Step]:
    """Turn a layout into steps; what has a fixed width becomes one."""
    steps: list[Step] = []
    run = _Run()
    for piece in pieces:
        if isinstance(piece, bytes):
            run.text(piece)
        elif piece.kind in _FIXED:
            _FIXED[piece.kind](run, piece)
        else:
            if run.width:
                steps.append(run)
                run = _Run()
            steps.append(_MOVING[piece.kind](piece))
    if run.width:
        steps.append(run)
    return steps


# ── what has a fixed width ────────────────────────────────────────────────────────────────────


class _Run:
    """Texts and numbers of so many digits, one behind the other."""

    def __init__(self) -> None:
        self._bytes = bytearray()  # what has to be there; of a digit its upper half
        self._mask = bytearray()
        self._digits = bytearray()  # 0xF0 where a digit is
        self._quotes = 0
        self._values: list[tuple[Value, int, int]] = []
        self._moment: _Moment | None = None
        self._status_at: int | None = None
        self._words: list[tuple[int, np.uint64, np.uint64, np.uint64]] = []

    @property
    def width(self) -> int:
        return len(self._bytes)

    def text(self, text: bytes) -> None:
        self._bytes += text
        self._mask += b"\xff" * len(text)
        self._digits += bytes(len(text))
        self._quotes += text.count(b'"')

    def digits(self, count: int) -> None:
        self._bytes += b"\x30" * count
        self._mask += b"\xf0" * count
        self._digits += b"\xf0" * count

    def like(self, example: bytes, places: Sequence[int]) -> None:
        """Take a text in which two digits stand at each of these places."""
        at = 0
        for place in places:
            self.text(example[at:place])
            self.digits(2)
            at = place + 2
        self.text(example[at:])

    def moment(self, value: Value, moment: _Moment, places: Sequence[int]) -> None:
        begin = self.width
        self.like(value.example, places)
        moment.places = [begin + place for place in places]
        self._moment = moment
        self._values.append((value, begin, self.width))

    def status(self, value: Value) -> None:
        self._status_at = self.width
        self._values.append((value, self.width, self.width + 3))
        self.digits(3)

    def read(self, cursor: Cursor) -> None:
        at = cursor.at
        for offset, mask, text, digits in self._words or self._in_words():
            word = cursor.words[at + offset]
            cursor.sure &= (word & mask) == text
            if digits:
                cursor.sure &= ((word + _SIXES) & digits) == (_DIGITS & digits)
        for value, begin, end in self._values:
            cursor.take(value, at + begin, at + end)
        if self._status_at is not None:
            cursor.statuses = _number(cursor.words[at + self._status_at], 3)
        if self._moment is not None:
            self._moment.read(cursor, at)
        cursor.move(at + self.width, quotes=self._quotes)

    def _in_words(self) -> list[tuple[int, np.uint64, np.uint64, np.uint64]]:
        rows = self._mask, self._bytes, self._digits
        for offset in range(0, self.width, _WORD):
            mask, text, digits = (
                np.uint64(int.from_bytes(row[offset : offset + _WORD], "little")) for row in rows
            )
            self._words.append((offset, mask, text, digits))
        return self._words


def _number(words: Words, digits: int) -> Offsets:
    """Read a number from a word's first bytes."""
    number = words & np.uint64(15)
    for place in range(1, digits):
        number = number * np.uint64(10) + ((words >> np.uint64(8 * place)) & np.uint64(15))
    return number.astype(np.int64)


class _Moment:
    """A month's days, hours, minutes and seconds; ``base`` is the month's start (Unix seconds)."""

    def __init__(self, base: int, days: int, *, knows_zone: bool) -> None:
        self._base = base
        self._days = days
        self._knows_zone = knows_zone
        self.places: Sequence[int] = ()

    def read(self, cursor: Cursor, at: Offsets) -> None:
        day, hour, minute, second = (
            _number(cursor.words[at + place], 2) for place in self.places
        )
        cursor.sure &= (day >= 1) & (day <= self._days) & (hour < 24) & (minute < 60)  # noqa: PLR2004 - a day's
        cursor.sure &= second < 60  # noqa: PLR2004 - leap seconds are rare
        cursor.times = ((day * 24 + hour) * 60 + minute) * 60 + second + self._base
        cursor.knows_zone = self._knows_zone


def _month(year: bytes, month: int, zone: bytes) -> _Moment:
    """Make the moments of a month; ``zone`` as logged, empty where it is not."""
    number = int(year)
    if not 1 <= month <= 12 or number < 1:  # noqa: PLR2004 - months
        return _Moment(0, 0, knows_zone=True)
    ahead = 0
    if zone not in {b"", b"Z"}:
        digits = zone.replace(b":", b"")
        ahead = (int(digits[1:3]) * 60 + int(digits[3:5])) * 60
        if ahead >= _WIDEST_ZONE or digits[3:5] > b"59":
            return _Moment(0, 0, knows_zone=True)
        if digits[:1] == b"-":
            ahead = -ahead
    first = int(datetime(number, month, 1, tzinfo=UTC).timestamp())
    # The first day has the number 1, not 0.
    base = first - 86_400 - ahead
    return _Moment(base, monthrange(number, month)[1], knows_zone=bool(zone))


def _local(run: _Run, value: Value) -> None:
    text = value.example
    month = _month(text[7:11], MONTHS.get(text[3:6], 0), text[21:])
    run.moment(value, month, (0, 12, 15, 18))


def _status(run: _Run, value: Value) -> None:
    run.status(value)


_FIXED = {Kind.LOCAL: _local, Kind.BARE: _local, Kind.DIGITS: _status}


# ── what reaches as far as its bytes do ───────────────────────────────────────────────────────


class _Quoted:
    """Anything up to the next quote."""

    width = 0

    def __init__(self, value: Value) -> None:
        self._value = value

    def read(self, cursor: Cursor) -> None:
        begins, ends = cursor.at, cursor.next_quote()
        cursor.sure &= begins <= ends
        cursor.take(self._value, begins, ends)
        cursor.move(ends)


class _Word:
    """Visible ASCII from the hyphen on, without a byte that ends it."""

    width = 0

    def __init__(self, value: Value) -> None:
        self._value = value
        self._stop = repeated(value.stop) if value.stop else None

    def read(self, cursor: Cursor) -> None:
        begins = cursor.at
        ends = _run_ends(cursor, self._flags)
        cursor.take(self._value, begins, ends)
        cursor.move(ends)

    def _flags(self, words: Words) -> Words:
        flags = ((words - _FIRSTS) & ~words) | words | (words + _ONES)
        if self._stop is None:
            return flags
        others = words ^ self._stop
        return flags | ((others - _ONES) & ~others)


_FIRSTS = repeated(0x2D)


def _run_ends(cursor: Cursor, flags_of: object) -> Offsets:
    """Where bytes end that are not flagged, from where the cursor stands."""
    ends = cursor.at.copy()
    waiting = np.arange(len(ends))
    at = cursor.at
    while len(waiting):
        flags = first_flag(flags_of(cursor.words[at]))  # type: ignore[operator]
        found = flags < _WORD
        ends[waiting[found]] = at[found] + flags[found]
        waiting, at = waiting[~found], at[~found] + _WORD
    return ends


class _Number:
    """A number of JSON's without sign and exponent."""

    width = 0
    _longest = 24  # bytes

    def __init__(self, value: Value) -> None:
        self._value = value

    def read(self, cursor: Cursor) -> None:
        begins = cursor.at
        ends = _run_ends(cursor, _no_number)
        length = ends - begins
        cursor.sure &= (length > 0) & (length <= self._longest)
        dots = np.zeros(len(begins), np.uint8)
        for offset in range(0, self._longest, _WORD):
            here = np.minimum(begins + offset, ends)
            words = cursor.words[here]
            inside = _LOWER[np.clip(ends - here, 0, _WORD)]
            other = (~words & _TENTH_BITS) & inside  # a dot or a slash: the digits have this bit
            cursor.sure &= (((other >> np.uint64(4)) & words) & _ONES) == 0  # no slash
            dots += np.bitwise_count(other)
        first, second = cursor.octets[begins], cursor.octets[begins + 1]
        last = cursor.octets[np.maximum(ends - 1, 0)]
        cursor.sure &= (dots <= 1) & (first != _DOT) & (last != _DOT)
        cursor.sure &= (first != _ZERO) | (length == 1) | (second == _DOT)
        self._taken(cursor, begins, ends)
        cursor.move(ends)

    def _taken(self, cursor: Cursor, begins: Offsets, ends: Offsets) -> None:
        cursor.take(self._value, begins, ends)


def _no_number(words: Words) -> Words:
    return ((words - _BELOW_DOT) & ~words) | words | (words + _ABOVE_NINE)


class _Epoch(_Number):
    """Unix seconds of ten digits, perhaps with a fraction."""

    width = 3 * _WORD

    def _taken(self, cursor: Cursor, begins: Offsets, ends: Offsets) -> None:
        words = cursor.words
        whole = begins + 10
        cursor.sure &= (ends == whole) | (cursor.octets[whole] == _DOT)
        cursor.sure &= ends >= whole
        # A parser might round so many nines up.
        nines = (words[whole + 1] & _NINES[0]) == _NINES[1]
        cursor.sure &= ~(nines & (ends >= whole + 7))
        cursor.times = _eight(words[begins]) * 100 + _number(words[begins + _WORD], 2)
        cursor.take(self._value, begins, ends)


_NINES = text_word(b"999999")


def _eight(words: Words) -> Offsets:
    """Read numbers of eight digits: pairs first, then pairs of pairs."""
    words = (words & repeated(0x0F)) * np.uint64(2561) >> np.uint64(8)
    words = (words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6_553_601) >> np.uint64(16)
    words = (words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42_949_672_960_001) >> np.uint64(32)
    return words.astype(np.int64)


class _Keyword:
    """JSON's true, false or null."""

    width = _WORD

    def __init__(self, value: Value) -> None:
        self._value = value

    def read(self, cursor: Cursor) -> None:
        words = cursor.words[cursor.at]
        four = ((words & _TRUE[0]) == _TRUE[1]) | ((words & _NULL[0]) == _NULL[1])
        five = (words & _FALSE[0]) == _FALSE[1]
        cursor.sure &= four | five
        cursor.move(cursor.at + 4 + five)


_TRUE, _FALSE, _NULL = text_word(b"true"), text_word(b"false"), text_word(b"null")


class _Iso:
    """A date and time by ISO 8601, its zone as in the example, a fraction of any length."""

    _clock = 19  # bytes before fraction and zone
    _most = 9  # digits of a fraction

    def __init__(self, value: Value) -> None:
        text = value.example
        self._value = value
        self._run = _Run()
        zone = text[self._clock :].lstrip(b".0123456789")
        self._zone = text_word(zone)
        self._zone_length = len(zone)
        moment = _month(text[:4], int(text[5:7]), zone)
        date = Value(value.kind, example=text[: self._clock])
        self._run.moment(date, moment, (8, 11, 14, 17))
        self.width = self._run.width + 2 * _WORD

    def read(self, cursor: Cursor) -> None:
        begins = cursor.at
        self._run.read(cursor)
        fractions = cursor.at
        dotted = cursor.octets[fractions] == _DOT
        length = _digits_at(cursor.words[fractions + 1])
        length += np.where(length == _WORD, _digits_at(cursor.words[fractions + 1 + _WORD]), 0)
        cursor.sure &= ~dotted | ((length >= 1) & (length <= self._most))
        zones = np.where(dotted, fractions + 1 + length, fractions)
        cursor.sure &= (cursor.words[zones] & self._zone[0]) == self._zone[1]
        ends = zones + self._zone_length
        cursor.take(self._value, begins, ends)
        cursor.move(ends)


def _digits_at(words: Words) -> Offsets:
    """Count the digits that words begin with, at most eight."""
    return first_flag(((words - _DIGITS) & ~words) | words | (words + _ABOVE_NINE))


_MOVING = {
    Kind.QUOTED: _Quoted,
    Kind.WORD: _Word,
    Kind.NUMBER: _Number,
    Kind.KEYWORD: _Keyword,
    Kind.EPOCH: _Epoch,
    Kind.ISO: _Iso,
}
