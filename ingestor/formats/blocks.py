"""A whole block at once: numpy finds the values of ordinary lines, and tells which are assets.

Most lines of a log are assets. Taking one apart in Python costs a microsecond; here one operation
looks at the same place of all lines, a word of eight bytes at a time (the bit tricks are those of
"Bit Twiddling Hacks", S. E. Anderson: *determine if a word has a zero byte*, *… a byte less than
n*; they are sure for the lowest byte found). A line is read left to right along a layout; where
it departs from it, it is left to the splitter. All offsets count from the block's start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ingestor.formats.fields import Role
from ingestor.formats.steps import (
    ENDING,
    Cursor,
    Offsets,
    Words,
    first_flag,
    lower,
    one_of,
    repeated,
    steps_of,
    text_word,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingestor.formats.layouts import Layout

_SLASH, _MARK, _SPACE, _CR = b"/? \r"
# A path ends before these: space, quote, #, % and what is below; ; and ? (they differ by one bit).
_IN_PATH = repeated(0x26)
_BIT_3B_3F = repeated(0x04)
_QUESTION = repeated(0x3F)
_IN_QUERY = repeated(0x21)
_PROTOCOLS = tuple(text_word(text) for text in (b"HTTP/1.1", b"HTTP/2.0", b"HTTP/1.0", b"HTTP/3.0"))
_BEHIND_TARGET = len(" HTTP/1.1")
_WORD = 8  # bytes


class Block:
    """What was found in a block. ``plain`` numbers the ordinary lines that are no assets."""

    def __init__(
        self, data: bytes, cursor: Cursor, lines: int, assets: int, plain: Offsets
    ) -> None:
        self._data = data
        self._cursor = cursor
        self.lines = lines
        self.assets = assets
        self.plain = plain
        self.others: list[tuple[int, int]] = []  # start and end of each other line

    @property
    def knows_zone(self) -> bool:
        """Whether `times` are Unix seconds; else a zone is missing in them."""
        return self._cursor.knows_zone

    def places(self, numbers: Offsets) -> tuple[list[int], list[int]]:
        """Start and end, without the newline, of some lines."""
        cursor = self._cursor
        return cursor.starts[numbers].tolist(), cursor.ends[numbers].tolist()

    def texts(self, role: str, numbers: Offsets) -> list[bytes]:
        """Give the values of a column in some lines; empty where the lines have none."""
        data = self._data
        if role == Role.REQUEST and Role.REQUEST not in self._cursor.values:
            target = Role.TARGET if Role.TARGET in self._cursor.values else Role.PATH
            pieces = [self.texts(part, numbers) for part in (Role.METHOD, target, Role.PROTOCOL)]
            return [b"%b %b %b" % piece for piece in zip(*pieces, strict=True)]
        found = self._cursor.values.get(Role(role))
        if found is None:
            return [b""] * len(numbers)
        begins, ends = found
        return [
            data[begin:end]
            for begin, end in zip(begins[numbers].tolist(), ends[numbers].tolist(), strict=True)
        ]

    def times(self, numbers: Offsets) -> list[int]:
        """Give the times of some lines, in Unix seconds."""
        times: list[int] = self._cursor.times[numbers].tolist()
        return times

    def statuses(self, numbers: Offsets) -> Offsets | None:
        """Give the statuses of some lines as numbers; None where lines have none."""
        statuses = self._cursor.statuses
        return None if statuses is None else statuses[numbers]


class Blocks:
    """Reads the blocks of one layout.

    ``extensions`` are lower case, without dots; a hit by one of ``methods`` for such a path is an
    asset, and nothing else can be said of it first.
    """

    def __init__(
        self, layout: Layout, extensions: Collection[str], methods: Collection[str]
    ) -> None:
        self._layout = layout
        self._steps = steps_of(layout.pieces)
        self._padding = 2 * _WORD + max(step.width for step in self._steps)
        self._endings = _endings(extensions)
        self._verbs = [
            text_word(name.encode()) for name in methods if re.fullmatch(r"[A-Z]{1,7}", name)
        ]
        self._spaced = [
            (len(name) + 1, text_word(name.encode() + b" "))
            for name in methods
            if re.fullmatch(r"[A-Z]{1,7}", name)
        ]

    def read(self, data: bytes, latest: int) -> Block:
        """Read whole lines; ``latest`` is the latest believable time in Unix seconds."""
        padded = data + b"\n" * (self._padding + _WORD)
        octets = np.frombuffer(padded, np.uint8)
        size = len(data) + (not data.endswith(b"\n"))
        starts, ends, usable = self._lines(data, octets[:size])
        quotes = np.flatnonzero(octets[: len(data)] == ord('"'))
        first = np.searchsorted(quotes, starts)
        usable &= np.diff(first, append=len(quotes)) == self._layout.quotes
        kept = np.flatnonzero(usable)
        cursor = Cursor(
            padded, octets, starts[kept], ends[kept], quotes, first[kept], len(data) + 1
        )
        for step in self._steps:
            step.read(cursor)
        sure = cursor.sure & (cursor.at == cursor.stops) & cursor.is_believable(latest)
        assets = sure & self._assets(cursor)
        block = Block(
            data, cursor, len(starts), int(np.count_nonzero(assets)), np.flatnonzero(sure & ~assets)
        )
        others = np.ones(len(starts), np.bool_)
        others[kept[sure]] = False
        block.others = list(zip(starts[others].tolist(), ends[others].tolist(), strict=True))
        return block

    def _lines(self, data: bytes, octets: np.ndarray) -> tuple[Offsets, Offsets, np.ndarray]:
        """Find where lines start and end, and which of them may be ordinary ones."""
        odd: Sequence[int] | Offsets = ()
        if self._layout.printable:
            strange = np.flatnonzero((octets - np.uint8(0x20)) >= 0x5F)  # noqa: PLR2004 - visible
            newline = octets[strange] == ENDING
            ends, odd = strange[newline], strange[~newline]
        else:
            ends = np.flatnonzero(octets == ENDING)
        starts = np.empty_like(ends)
        starts[:1] = 0
        starts[1:] = ends[:-1] + 1
        usable = np.ones(len(starts), np.bool_)
        if len(odd):
            carriage = (octets[odd] == _CR) & (octets[odd + 1] == ENDING)
            usable[np.searchsorted(ends, odd[~carriage])] = False
        at = data.find(b"\\")
        while at >= 0:  # few: whatever is escaped is not ordinary
            line = int(np.searchsorted(ends, at))
            usable[line] = False
            at = data.find(b"\\", int(ends[line]))
        return starts, ends, usable

    def _assets(self, cursor: Cursor) -> np.ndarray:
        """Tell which lines ask for an asset, by a path that has nothing in it to decode."""
        values, octets, words = cursor.values, cursor.octets, cursor.words
        if not self._verbs or not self._endings:
            return np.zeros(len(cursor.starts), np.bool_)
        if Role.REQUEST in values:
            begins, ends = values[Role.REQUEST]
            targets, known = self._after_verb(words[begins], begins)
            stops = np.maximum(ends - _BEHIND_TARGET, 0)
            known &= one_of(words[stops + 1], _PROTOCOLS) & (octets[stops] == _SPACE)
        else:
            targets, stops = values[Role.TARGET if Role.TARGET in values else Role.PATH]
            begins, ends = values[Role.METHOD]
            known = one_of(lower(words[begins], ends - begins), self._verbs)
            begins, ends = values[Role.PROTOCOL]
            known &= one_of(words[begins], _PROTOCOLS) & (ends - begins == _WORD)
        known &= (octets[targets] == _SLASH) & (targets < stops) & cursor.sure
        path_ends = _path_ends(words, targets, stops, known)
        found = known & self._has_ending(words[np.maximum(path_ends - _WORD, 0)])
        found &= path_ends - targets > 1  # "/" and an ending at least
        asked = np.flatnonzero(found & (path_ends != stops))
        found[asked] = (octets[path_ends[asked]] == _MARK) & (
            _query_ends(words, path_ends[asked], stops[asked]) == stops[asked]
        )
        return found

    def _after_verb(self, words: Words, begins: Offsets) -> tuple[Offsets, np.ndarray]:
        """Where targets begin behind a method that counts, and whether there is one."""
        targets, known = begins, np.zeros(len(begins), np.bool_)
        for length, verb in self._spaced:
            has = (words & verb[0]) == verb[1]
            targets = np.where(has, begins + length, targets)
            known |= has
        return targets, known

    def _has_ending(self, words: Words) -> np.ndarray:
        """Whether words end like the path of an asset."""
        found = np.zeros(len(words), np.bool_)
        for shift, endings in self._endings:
            tails = words >> shift
            here = np.flatnonzero((tails & np.uint64(0xFF)) == ord("."))
            tails = tails[here]
            at = np.searchsorted(endings, tails)
            at[at == len(endings)] = 0
            found[here] |= endings[at] == tails
        return found


def _endings(extensions: Collection[str]) -> list[tuple[np.uint64, Words]]:
    """Give extensions with their dots as numbers, by length: how far to shift a word, and which."""
    by_length: dict[int, list[int]] = {}
    for name in extensions:
        if re.fullmatch(r"[a-z0-9]{1,7}", name):
            by_length.setdefault(len(name) + 1, []).append(
                int.from_bytes(b"." + name.encode(), "little")
            )
    return [
        (np.uint64(8 * (_WORD - length)), np.array(sorted(found), np.uint64))
        for length, found in by_length.items()
    ]


def _path_ends(words: Words, begins: Offsets, stops: Offsets, wanted: np.ndarray) -> Offsets:
    """Where paths end: at their query, at what needs a closer look, or at ``stops``."""
    ends = stops.copy()
    waiting = np.flatnonzero(wanted)
    at = begins[waiting]
    while len(waiting):
        word = words[at]
        marks = (word | _BIT_3B_3F) ^ _QUESTION
        flags = first_flag(((word - _IN_PATH) & ~word) | ((marks - _ONES) & ~marks) | word
                           | (word + _ONES))  # fmt: skip
        found = flags < _WORD
        here = waiting[found]
        ends[here] = np.minimum(at[found] + flags[found], stops[here])
        more = ~found & (at + _WORD < stops[waiting])
        waiting, at = waiting[more], at[more] + _WORD
    return ends


def _query_ends(words: Words, begins: Offsets, stops: Offsets) -> Offsets:
    """Where visible ASCII ends, from ``begins`` on, at the latest at ``stops``."""
    ends = stops.copy()
    waiting = np.arange(len(begins))
    at = begins
    while len(waiting):
        word = words[at]
        flags = first_flag(((word - _IN_QUERY) & ~word) | word | (word + _ONES))
        found = flags < _WORD
        here = waiting[found]
        ends[here] = np.minimum(at[found] + flags[found], stops[here])
        more = ~found & (at + _WORD < stops[waiting])
        waiting, at = waiting[more], at[more] + _WORD
    return ends


_ONES = repeated(1)
