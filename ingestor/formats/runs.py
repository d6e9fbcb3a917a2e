"""What has a fixed width in a line: texts, and numbers of so many digits, one behind the other."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np

from ingestor.formats.clocks import unix_seconds
from ingestor.formats.cursor import WORD, number_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.formats.cursor import Cursor
    from ingestor.formats.layouts import Value
    from ingestor.formats.marks import Offsets, Words

_ZERO = ord("0")
_SIXES = np.uint64(0x0606_0606_0606_0606)
_DIGITS = np.uint64(0x3030_3030_3030_3030)


class Run:
    """Texts and numbers of so many digits, one behind the other."""

    def __init__(self) -> None:
        self._bytes = bytearray()  # what has to be there; of a digit its upper half
        self._mask = bytearray()
        self._digits = bytearray()  # 0xF0 where a digit is
        self._values: list[tuple[Value, int, int]] = []
        self._moment: Moment | None = None
        self._moment_at: Sequence[int] = ()
        self._status_at: int | None = None
        self._no_zero = False
        self._rows: tuple[Words, Words, Words] | None = None

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
        self._mask += b"\xff" * len(text)
        self._digits += bytes(len(text))

    def digits(self, count: int) -> None:
        """Take so many digits."""
        self._bytes += b"\x30" * count
        self._mask += b"\xf0" * count
        self._digits += b"\xf0" * count

    def moment(self, value: Value, moment: Moment, places: Sequence[int]) -> None:
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
        """Take a status of three digits."""
        self._status_at, self._no_zero = self.width, value.filled
        self._values.append((value, self.width, self.width + 3))
        self.digits(3)

    def read(self, cursor: Cursor) -> None:
        """Read on, as a step does."""
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
            cursor.statuses = number_in(cursor.words(at + self._status_at), 3)
            if self._no_zero:
                cursor.sure &= cursor.octets[at + self._status_at] != _ZERO
        if self._moment is not None:
            self._moment.read(cursor, [_pair(cursor, rows, at, place) for place in self._moment_at])
        cursor.move(self.width)


def _in_words(octets: bytearray) -> Words:
    """Give bytes as words; zeros behind them."""
    return np.frombuffer(bytes(octets) + bytes(-len(octets) % WORD), "<u8")


def _pair(cursor: Cursor, rows: Words, at: Offsets, place: int) -> Offsets:
    """Read a number of two digits."""
    column, byte = divmod(place, WORD)
    if byte == WORD - 1:
        return number_in(cursor.words(at + place), 2)
    return number_in(rows[:, column] >> np.uint64(8 * byte), 2)


class Moment:
    """A month's days, hours, minutes and seconds.

    ``base`` is the start of the day before the month, in Unix seconds.
    """

    def __init__(self, base: int, days: int, *, knows_zone: bool) -> None:
        self._base = base
        self._days = days
        self._knows_zone = knows_zone

    def read(self, cursor: Cursor, numbers: Sequence[Offsets]) -> None:
        """Give each line its time, by day, hour, minute and second."""
        day, hour, minute, second = numbers
        cursor.sure &= (day >= 1) & (day <= self._days) & (hour < 24) & (minute < 60)  # noqa: PLR2004 - a day's
        cursor.sure &= second < 60  # noqa: PLR2004 - leap seconds are rare
        cursor.times = ((day * 24 + hour) * 60 + minute) * 60 + second + self._base
        cursor.knows_zone = self._knows_zone


def month(year: bytes, month: int, zone: bytes) -> Moment:
    """Make the moments of a month; ``zone`` as logged, empty where it is not."""
    begin = unix_seconds(year, month, b"1", b"0", b"0", zone or None, UTC)
    if begin is None:
        return Moment(0, 0, knows_zone=True)
    return Moment(begin - 86_400, monthrange(int(year), month)[1], knows_zone=bool(zone))
