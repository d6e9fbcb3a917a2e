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
from ingestor.formats.layouts import Kind as Reach
from ingestor.formats.layouts import Value
from ingestor.formats.marks import byte, outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.formats.layouts import Piece
    from ingestor.formats.marks import Flags, Kind, Offsets, Words, Workspace

    Word = tuple[np.uint64, np.uint64]  # which bits count, and what they are

_WORD = 8  # bytes
_WIDEST_ZONE = 16 * 3_600  # seconds
_HYPHEN, _DOT, _ZERO, _NINE, _QUOTE = b'-.09"'
_FIRST, _LAST = 0x2D, 0x7E  # of a word
_NIBBLE = np.uint64(15)
_SIXES = np.uint64(0x0606_0606_0606_0606)
_DIGITS = np.uint64(0x3030_3030_3030_3030)
# The lower bytes of a word, by their number.
_LOWER = np.array([(1 << (8 * count)) - 1 for count in range(_WORD + 1)], np.uint64)


def text_word(text: bytes) -> Word:
    """Give the mask and the value of up to eight bytes at a word's beginning."""
    mask = (1 << (8 * len(text))) - 1
    return np.uint64(mask), np.uint64(int.from_bytes(text, "little"))


def lower(words: Words, lengths: Offsets) -> Words:
    """Give only the first bytes of words; none for more than eight."""
    return np.where(lengths <= _WORD, words & _LOWER[np.clip(lengths, 0, _WORD)], np.uint64(0))


is_quote = byte(_QUOTE)
is_no_word = outside(_FIRST, _LAST)
_is_no_number = outside(_DOT, _NINE)
_is_no_digit = outside(_ZERO, _NINE)


class Cursor:
    """The ordinary lines of a block while they are read.

    ``starts`` and ``ends`` (at the newline) are those of the lines.
    """

    def __init__(self, space: Workspace, starts: Offsets, ends: Offsets) -> None:
        self.octets, self.limit = space.octets, space.limit
        self.rows, self.words = space.rows, space.words
        self.starts = starts
        self.ends = ends
        self.stops: Offsets = ends - (space.octets[np.maximum(ends - 1, 0)] == ord("\r"))
        self.at = starts
        self.sure: Flags = np.ones(len(starts), np.bool_)
        self.values: dict[Role, tuple[Offsets, Offsets]] = {}
        self.times: Offsets = np.zeros(len(starts), np.int64)
        self.knows_zone = True
        self.statuses: Offsets | None = None
        self._space = space

    def next(self, kind: Kind, offsets: Offsets) -> Offsets:
        """Find the next byte of a kind at or behind each offset; the block's end where none is."""
        return self._space.marks(kind).next(offsets)

    def move(self, width: int) -> None:
        """Go on by so many bytes; a line that has lost its way stays within the block."""
        self.at = np.minimum(self.at + width, self.limit)

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

    @property
    def width(self) -> int:
        """Bytes."""

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
        if run.is_text and steps and isinstance(steps[-1], _Quoted):
            steps[-1].behind = run.width
        steps.append(run)
    return steps


# ── what has a fixed width ────────────────────────────────────────────────────────────────────


class _Run:
    """Texts and numbers of so many digits, one behind the other."""

    def __init__(self) -> None:
        self._bytes = bytearray()  # what has to be there; of a digit its upper half
        self._mask = bytearray()
        self._digits = bytearray()  # 0xF0 where a digit is
        self._values: list[tuple[Value, int, int]] = []
        self._moment: _Moment | None = None
        self._moment_at: Sequence[int] = ()
        self._status_at: int | None = None
        self._no_zero = False
        self._rows: tuple[Words, Words, Words] | None = None

    @property
    def width(self) -> int:
        return len(self._bytes)

    @property
    def is_text(self) -> bool:
        """Whether no value is in it."""
        return not self._values

    def text(self, text: bytes) -> None:
        self._bytes += text
        self._mask += b"\xff" * len(text)
        self._digits += bytes(len(text))

    def digits(self, count: int) -> None:
        self._bytes += b"\x30" * count
        self._mask += b"\xf0" * count
        self._digits += b"\xf0" * count

    def moment(self, value: Value, moment: _Moment, places: Sequence[int]) -> None:
        """Take a time like the example's, with two digits at each of these places."""
        begin, at, text = self.width, 0, value.example
        for place in places:
            self.text(text[at:place])
            self.digits(2)
            at = place + 2
        self.text(text[at:])
        self._moment = moment
        self._moment_at = [begin + place for place in places]
        self._values.append((value, begin, self.width))

    def status(self, value: Value) -> None:
        self._status_at, self._no_zero = self.width, value.filled
        self._values.append((value, self.width, self.width + 3))
        self.digits(3)

    def read(self, cursor: Cursor) -> None:
        at = cursor.at
        if self.width == 1:
            cursor.sure &= cursor.octets[at] == self._bytes[0]
            cursor.move(1)
            return
        if self._rows is None:
            self._rows = _in_words(self._bytes), _in_words(self._mask), _in_words(self._digits)
        text, mask, digits = self._rows
        rows = cursor.rows(at, len(text))
        wrong = (rows ^ text) & mask
        if self._values:
            wrong |= ((rows + _SIXES) ^ _DIGITS) & digits
        differs = wrong[:, 0]
        for column in range(1, len(text)):
            differs = differs | wrong[:, column]
        cursor.sure &= differs == 0
        for value, begin, end in self._values:
            cursor.take(value, at + begin, at + end)
        if self._status_at is not None:
            cursor.statuses = _number(cursor.words(at + self._status_at), 3)
            if self._no_zero:
                cursor.sure &= cursor.octets[at + self._status_at] != _ZERO
        if self._moment is not None:
            self._moment.read(cursor, [_pair(cursor, rows, at, place) for place in self._moment_at])
        cursor.move(self.width)


def _in_words(octets: bytearray) -> Words:
    """Give bytes as words; zeros behind them."""
    return np.frombuffer(bytes(octets) + bytes(-len(octets) % _WORD), "<u8")


def _pair(cursor: Cursor, rows: Words, at: Offsets, place: int) -> Offsets:
    """Read a number of two digits."""
    column, byte = divmod(place, _WORD)
    if byte == _WORD - 1:
        return _number(cursor.words(at + place), 2)
    return _number(rows[:, column] >> np.uint64(8 * byte), 2)


def _number(words: Words, digits: int) -> Offsets:
    """Read a number from a word's first bytes."""
    number = words & _NIBBLE
    for place in range(1, digits):
        number = number * np.uint64(10) + ((words >> np.uint64(8 * place)) & _NIBBLE)
    return number.view(np.int64)


class _Moment:
    """A month's days, hours, minutes and seconds.

    ``base`` is the start of the day before the month, in Unix seconds.
    """

    def __init__(self, base: int, days: int, *, knows_zone: bool) -> None:
        self._base = base
        self._days = days
        self._knows_zone = knows_zone

    def read(self, cursor: Cursor, numbers: Sequence[Offsets]) -> None:
        day, hour, minute, second = numbers
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
    base = first - 86_400 - ahead
    return _Moment(base, monthrange(number, month)[1], knows_zone=bool(zone))


def _local(run: _Run, value: Value) -> None:
    text = value.example
    month = _month(text[7:11], MONTHS.get(text[3:6], 0), text[21:])
    run.moment(value, month, (0, 12, 15, 18))


def _status(run: _Run, value: Value) -> None:
    run.status(value)


_FIXED = {Reach.LOCAL: _local, Reach.BARE: _local, Reach.DIGITS: _status}


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

    width = _WORD

    def ends(self, cursor: Cursor) -> Offsets:
        words = cursor.words(cursor.at)
        four = ((words & _TRUE[0]) == _TRUE[1]) | ((words & _NULL[0]) == _NULL[1])
        five = (words & _FALSE[0]) == _FALSE[1]
        cursor.sure &= four | five
        ends: Offsets = np.minimum(cursor.at + 4 + five, cursor.limit)
        return ends


_TRUE, _FALSE, _NULL = text_word(b"true"), text_word(b"false"), text_word(b"null")


class _Number(_Moving):
    """A number of JSON's without sign and exponent."""

    width = _WORD
    _longest = 24  # bytes

    def ends(self, cursor: Cursor) -> Offsets:
        begins, octets = cursor.at, cursor.octets
        ends = cursor.next(_is_no_number, begins)
        whole = cursor.next(_is_no_digit, begins)
        length = ends - begins
        cursor.sure &= (whole > begins) & (length <= self._longest)
        cursor.sure &= (octets[begins] != _ZERO) | (whole == begins + 1)
        fraction = cursor.next(_is_no_digit, np.minimum(whole + 1, cursor.limit))
        dotted = (octets[whole] == _DOT) & (fraction == ends) & (fraction > whole + 1)
        cursor.sure &= (whole == ends) | dotted
        return ends


class _Epoch(_Number):
    """Unix seconds of ten digits, perhaps with a fraction."""

    width = 3 * _WORD
    _most = 12  # digits of a fraction

    def ends(self, cursor: Cursor) -> Offsets:
        begins = cursor.at
        ends = super().ends(cursor)
        whole = begins + 10
        cursor.sure &= cursor.next(_is_no_digit, begins) == whole
        cursor.sure &= ends <= whole + 1 + self._most
        # A parser might round so many nines up.
        nines = (cursor.words(whole + 1) & _NINES[0]) == _NINES[1]
        cursor.sure &= ~(nines & (ends >= whole + 7))
        first = _number(cursor.words(begins), 8)
        cursor.times = first * 100 + _number(cursor.words(begins + _WORD), 2)
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
        self._run = _Run()
        moment = _month(text[:4], int(text[5:7]), zone)
        date = Value(value.kind, example=text[: self._clock])
        self._run.moment(date, moment, (8, 11, 14, 17))
        self.width = self._run.width + 2 * _WORD

    def ends(self, cursor: Cursor) -> Offsets:
        self._run.read(cursor)
        clocks = cursor.at
        dotted = cursor.octets[clocks] == _DOT
        zones = np.where(dotted, cursor.next(_is_no_digit, clocks + dotted), clocks)
        digits = zones - clocks - 1
        cursor.sure &= ~dotted | ((digits >= 1) & (digits <= self._most))
        cursor.sure &= (cursor.words(zones) & self._zone[0]) == self._zone[1]
        ends: Offsets = np.minimum(zones + self._zone_length, cursor.limit)
        return ends


_MOVING = {
    Reach.QUOTED: _Quoted,
    Reach.WORD: _Word,
    Reach.NUMBER: _Number,
    Reach.KEYWORD: _Keyword,
    Reach.EPOCH: _Epoch,
    Reach.ISO: _Iso,
}
