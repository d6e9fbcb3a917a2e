"""What has a fixed width in a line: texts, and numbers of so many digits, one behind the other."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ingestor.formats.clocks import unix_seconds
from ingestor.formats.marks import WORD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.formats.cursor import Cursor
    from ingestor.formats.layouts import Value
    from ingestor.formats.marks import Flags, Offsets, Words

_ZERO = ord("0")
_CLOCK = len("00:00:00")
_DAY = 86_400  # seconds
_BYTE = np.uint64(0xFF)
_HIGHEST = 0x80  # bit of a byte


def _constant(octets: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(octets, "little"))


class Run:
    """Texts and numbers of so many digits, one behind the other.

    A word of eight bytes is compared at once. Exclusive or with what has to be there, a zero for
    each digit, leaves 0 of a text's byte and 0 to 9 of a digit: adding the most that either may
    lack carries what is more into the byte's highest bit.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()  # what has to be there; zeros for digits
        self._slack = bytearray()  # what may be added to a byte that is as it has to be
        self._values: list[tuple[Value, int, int]] = []
        self._moment: Moment | None = None
        self._day_at = self._clock_at = 0
        self._status_at: int | None = None
        self._no_zero = False
        self._columns: list[_Column] | None = None

    @property
    def width(self) -> int:
        """Bytes."""
        return len(self._bytes)

    @property
    def is_text(self) -> bool:
        """Whether no value is in it."""
        return not self._values

    def text(self, text: bytes) -> None:
        """Take a text that has to be there."""
        self._bytes += text
        self._slack += b"\x7f" * len(text)

    def digits(self, count: int) -> None:
        """Take so many digits."""
        self._bytes += b"0" * count
        self._slack += b"\x76" * count

    def moment(self, value: Value, moment: Moment, day: int, clock: int) -> None:
        """Take a time like the example's, with a day of two digits and a clock (00:00:00) there."""
        begin, text = self.width, value.example
        at = 0
        for place in (day, clock, clock + 3, clock + 6):
            self.text(text[at:place])
            self.digits(2)
            at = place + 2
        self.text(text[at:])
        self._moment = moment
        self._day_at, self._clock_at = begin + day, begin + clock
        self._values.append((value, begin, self.width))

    def status(self, value: Value) -> None:
        """Take a status of three digits."""
        self._status_at, self._no_zero = self.width, value.filled
        self._values.append((value, self.width, self.width + 3))
        self.digits(3)

    def read(self, cursor: Cursor) -> None:
        """Read on, as a step does."""
        at = cursor.at
        cursor.at = at + self.width
        if self.width == 1:
            cursor.sure &= cursor.octets[at] == self._bytes[0]
            return
        if self._columns is None:
            self._columns = _columns_of(self._bytes, self._slack)
        rows = cursor.rows(at, len(self._columns))
        wrong: Words | None = None
        digits: list[Words] = []
        for number, column in enumerate(self._columns):
            left = rows[:, number] ^ column.text
            odd = column.odd(left)
            wrong = odd if wrong is None else np.bitwise_or(wrong, odd, out=odd)
            digits.append(left)
        cursor.sure &= wrong == 0
        for value, begin, end in self._values:
            cursor.values[value.role] = at + begin, at + end
        if self._status_at is not None:
            cursor.statuses = _word(digits, self._status_at, 3)
            if self._no_zero:
                cursor.sure &= cursor.octets[at + self._status_at] != _ZERO
        if self._moment is not None:
            day, clock = _word(digits, self._day_at, 2), _word(digits, self._clock_at, _CLOCK)
            self._moment.read(cursor, day, clock)


class _Column:
    """Eight bytes of a run, or what is left of it."""

    def __init__(self, text: bytes, slack: bytes) -> None:
        self.text = _constant(text)
        self._has_digits = slack != b"\x7f" * len(text)
        self._slack = _constant(slack)
        self._highest = _constant(bytes([_HIGHEST]) * len(text))
        self._all = _constant(b"\xff" * len(text))

    def odd(self, left: Words) -> Words:
        """Give zero where what was left of a word by exclusive or is as it has to be."""
        if not self._has_digits:
            return left & self._all  # also if whole: it is written into
        return ((left + self._slack) | left) & self._highest


def _columns_of(text: bytearray, slack: bytearray) -> list[_Column]:
    places = range(0, len(text), WORD)
    return [_Column(bytes(text[at : at + WORD]), bytes(slack[at : at + WORD])) for at in places]


def _word(digits: Sequence[Words], place: int, count: int) -> Words:
    """Give a word with so many bytes from a place on as its lowest; zeros behind them."""
    column, byte = divmod(place, WORD)
    word = digits[column] >> np.uint64(8 * byte)
    if byte + count > WORD:
        word |= digits[column + 1] << np.uint64(8 * (WORD - byte))
    return word & _constant(b"\xff" * count)


class Moment:
    """A month's days, hours, minutes and seconds.

    ``base`` is the start of the day before the month, in Unix seconds.
    """

    # Of a clock whose pairs of digits are numbers, in its bytes 0, 3 and 6.
    _slack = _constant(bytes([_HIGHEST - 24, 0, 0, _HIGHEST - 60, 0, 0, _HIGHEST - 60]))
    _highest = _constant(bytes([_HIGHEST, 0, 0, _HIGHEST, 0, 0, _HIGHEST]))
    _hour_and_minute = _constant(b"\xff\0\0\xff")
    _sixty = np.uint64((60 << 24) + 1)  # brings 60 hours to the minute

    def __init__(self, base: int, days: int, *, knows_zone: bool) -> None:
        self._base = base
        self._days = np.uint64(days)
        self._length = days * _DAY
        self._knows_zone = knows_zone

    def read(self, cursor: Cursor, day: Words, clock: Words) -> None:
        """Give each line its time, by the digits of day and clock; leap seconds are rare."""
        days: Words = (day & _BYTE) * np.uint64(10) + (day >> np.uint64(8))
        pairs = clock * np.uint64(10) + (clock >> np.uint64(8))
        fits: Flags = ((pairs + self._slack) & self._highest) == 0
        fits &= days - np.uint64(1) < self._days  # there are many days before day 1
        cursor.sure &= fits
        cursor.knows_zone = self._knows_zone
        first = self._base + _DAY
        cursor.tell_times(partial(self._times, days, pairs), (first, first + self._length))

    def _times(self, days: Words, pairs: Words, numbers: Offsets) -> Offsets:
        days, pairs = days[numbers], pairs[numbers]
        minutes: Words = ((pairs & self._hour_and_minute) * self._sixty) >> np.uint64(24)
        minutes &= np.uint64(0xFFFF)
        seconds: Words = (pairs >> np.uint64(48)) & _BYTE
        seconds += minutes * np.uint64(60) + days * np.uint64(_DAY)
        return seconds.view(np.int64) + self._base


def month(year: bytes, month: int, zone: bytes) -> Moment:
    """Make the moments of a month; ``zone`` as logged, empty where it is not."""
    begin = unix_seconds(year, month, b"1", b"0", b"0", zone or None, UTC)
    if begin is None:
        return Moment(0, 0, knows_zone=True)
    return Moment(begin - _DAY, monthrange(int(year), month)[1], knows_zone=bool(zone))
