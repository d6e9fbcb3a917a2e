"""A whole block at once: numpy finds the values of ordinary lines, and tells which are assets.

Most lines of a log are assets. Taking one apart in Python costs a microsecond; here one operation
looks at the same place of all lines. A line is read left to right along a layout; where it departs
from it, it is left to the splitter. All offsets count from the block's start.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ingestor.formats.cursor import Cursor, is_no_word, is_quote, lower, text_word
from ingestor.formats.fields import Role
from ingestor.formats.marks import WORD, Workspace, byte, outside
from ingestor.formats.runs import three_digits
from ingestor.formats.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingestor.formats.layouts import Layout
    from ingestor.formats.marks import Flags, Offsets, Words

_ENDING, _CR, _SLASH, _MARK, _SPACE, _DOT = b"\n\r/? ."
_TILDE = ord("~")
_PROTOCOLS = [text_word(text)[1] for text in (b"HTTP/1.1", b"HTTP/2.0", b"HTTP/1.0", b"HTTP/3.0")]
_BEHIND_TARGET = len(" HTTP/1.1")
_ends_line = byte(_ENDING)
_is_strange = outside(_SPACE, _TILDE)
# Its query, or what needs a closer look: space, quote, #, % and all below; ;, which differs from ?
# by one bit; what is no ASCII.
_ends_path = outside(ord("&"), _TILDE, but=_MARK)
_VERB = re.compile(r"[A-Z]{1,7}")
_ENDING_NAME = re.compile(r"[a-z0-9]{1,7}")


# Free workspaces: as many as threads ever read at a time, whatever the number of files.
_spaces: list[Workspace] = []


class Block:
    """What was found in a block of so many ``lines``, of which so many are ``assets``.

    ``plain`` are the numbers of the ordinary lines that are no assets: for the methods, which take
    some of them. ``odd`` counts the lines that are no ordinary ones. ``knows_zone``: `times` are
    Unix seconds; else a zone is missing in them.
    """

    def __init__(
        self,
        data: bytes,
        cursor: Cursor,
        lines: int,
        assets: int,
        *,
        plain: Offsets,
        others: tuple[Offsets, Offsets],
    ) -> None:
        self.lines = lines
        self.assets = assets
        self.plain = plain
        self.odd = len(others[0])
        self.knows_zone = cursor.knows_zone
        # Nothing that stands in the workspace: that will be another block's.
        self._data = data
        self._others = others
        self._starts, self._ends = cursor.starts, cursor.ends
        self._values = cursor.values
        self._times, self._statuses = cursor.times, cursor.statuses

    def others(self) -> list[tuple[int, int]]:
        """Start and end, without the newline, of each line that is no ordinary one, in order."""
        starts, ends = self._others
        return list(zip(starts.tolist(), ends.tolist(), strict=True))

    def places(self, numbers: Offsets) -> tuple[list[int], list[int]]:
        """Start and end, without the newline, of some lines."""
        return self._starts[numbers].tolist(), self._ends[numbers].tolist()

    def texts(self, role: str, numbers: Offsets) -> list[bytes]:
        """Give the values of a column in some lines; empty where the lines have none."""
        data, values = self._data, self._values
        if role == Role.REQUEST and Role.REQUEST not in values:
            target = Role.TARGET if Role.TARGET in values else Role.PATH
            pieces = [self.texts(part, numbers) for part in (Role.METHOD, target, Role.PROTOCOL)]
            return [b"%b %b %b" % piece for piece in zip(*pieces, strict=True)]
        found = values.get(Role(role))
        if found is None:
            return [b""] * len(numbers)
        begins, ends = (offsets[numbers].tolist() for offsets in found)
        return [data[begin:end] for begin, end in zip(begins, ends, strict=True)]

    def times(self, numbers: Offsets) -> list[int]:
        """Give the times of some lines, in Unix seconds."""
        times: list[int] = self._times[numbers].tolist()
        return times

    def statuses(self, numbers: Offsets) -> Offsets | None:
        """Give the statuses of some lines as numbers; None where lines have none."""
        return None if self._statuses is None else three_digits(self._statuses[numbers])


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
        # A line that has lost its way stands no further behind the block.
        self._padding = 4 * WORD + 2 * sum(step.width for step in self._steps)
        self._endings = _endings(extensions)
        verbs = [name.encode() for name in methods if _VERB.fullmatch(name)]
        self._verbs = [text_word(verb)[1] for verb in verbs]
        self._spaced = [(len(verb) + 1, *text_word(verb + b" ")) for verb in verbs]

    def read(self, data: bytes, latest: int) -> Block:
        """Read whole lines; ``latest`` is the latest believable time in Unix seconds."""
        try:
            space = _spaces.pop()
        except IndexError:
            space = Workspace()
        try:
            space.load(data, self._padding)
            return self._read(data, space, latest)
        finally:
            _spaces.append(space)

    def _read(self, data: bytes, space: Workspace, latest: int) -> Block:
        starts, ends, usable = self._lines(data, space)
        quotes = space.marks(is_quote).count_before(ends)
        quotes[1:] -= quotes[:-1]
        usable &= quotes == self._layout.quotes
        kept = usable.nonzero()[0]
        cursor = Cursor(space, starts[kept], ends[kept])
        for step in self._steps:
            step.read(cursor)
        sure = cursor.sure & (cursor.at == cursor.stops) & cursor.is_believable(latest)
        assets = sure & self._assets(cursor)
        usable[kept] = sure
        others = ~usable
        return Block(
            data,
            cursor,
            len(starts),
            int(np.count_nonzero(assets)),
            plain=(sure & ~assets).nonzero()[0],
            others=(starts[others], ends[others]),
        )

    def _lines(self, data: bytes, space: Workspace) -> tuple[Offsets, Offsets, Flags]:
        """Find where lines start and end, and which of them may be ordinary ones."""
        octets = space.octets
        ends = space.marks(_ends_line).all()
        starts = np.empty_like(ends)
        starts[:1] = 0
        starts[1:] = ends[:-1] + 1
        usable: Flags = np.ones(len(starts), np.bool_)
        if self._layout.printable:
            strange = space.marks(_is_strange).all()
            odd = strange[octets[strange] != _ENDING]
            odd = odd[(octets[odd] != _CR) | (octets[odd + 1] != _ENDING)]
            usable[np.searchsorted(ends, odd)] = False
        at = data.find(b"\\")
        while at >= 0:  # few: whatever is escaped is not ordinary
            line = int(np.searchsorted(ends, at))
            usable[line] = False
            at = data.find(b"\\", int(ends[line]))
        return starts, ends, usable

    def _assets(self, cursor: Cursor) -> Flags:
        """Tell which lines ask for an asset, by a path that has nothing in it to decode."""
        values, octets = cursor.values, cursor.octets
        if not self._verbs or not len(self._endings[0]):
            return np.zeros(len(cursor.starts), np.bool_)
        known: Flags
        if Role.REQUEST in values:
            begins, ends = values[Role.REQUEST]
            targets, known = self._after_verb(cursor.words(begins), begins)
            stops = np.maximum(ends - _BEHIND_TARGET, 0)
            known &= _one_of(cursor.words(stops + 1), _PROTOCOLS) & (octets[stops] == _SPACE)
        else:
            targets, stops = values[Role.TARGET if Role.TARGET in values else Role.PATH]
            begins, ends = values[Role.METHOD]
            known = _one_of(lower(cursor.words(begins), ends - begins), self._verbs)
            begins, ends = values[Role.PROTOCOL]
            known &= _one_of(cursor.words(begins), _PROTOCOLS) & (ends - begins == WORD)
        known &= (octets[targets] == _SLASH) & (targets < stops)
        path_ends = np.minimum(cursor.next(_ends_path, targets), stops)
        known &= path_ends - targets > 1
        found = known & self._has_ending(cursor.words(np.maximum(path_ends - WORD, 0)))
        asked = (found & (path_ends != stops)).nonzero()[0]
        # Queries of one version or so; what else there is the rules know as well.
        query_ends = cursor.next(is_no_word, path_ends[asked])
        found[asked] = (octets[path_ends[asked]] == _MARK) & (query_ends >= stops[asked])
        return found

    def _after_verb(self, words: Words, begins: Offsets) -> tuple[Offsets, Flags]:
        """Where targets begin behind a method that counts, and whether there is one."""
        targets = begins
        known: Flags = np.zeros(len(begins), np.bool_)
        for length, mask, text in self._spaced:
            has = (words & mask) == text
            targets = np.where(has, begins + length, targets)
            known |= has
        return targets, known

    def _has_ending(self, words: Words) -> Flags:
        """Whether words end like the path of an asset."""
        lowest, highest = self._endings
        return words <= highest[np.searchsorted(lowest, words, "right")]


@lru_cache(maxsize=64)
def blocks_like(layout: Layout, extensions: frozenset[str], methods: frozenset[str]) -> Blocks:
    """Give the reader for a layout: files of a kind share it."""
    return Blocks(layout, extensions, methods)


def _endings(extensions: Collection[str]) -> tuple[Words, Words]:
    """Give the words that end with extensions and their dots, in spans: from one to another.

    As a number, a word that is read from memory has its last byte first: those with the same
    ending follow each other. A span's highest stands one place further than its lowest.
    """
    spans = []
    for name in extensions:
        if _ENDING_NAME.fullmatch(name):
            length = len(name) + 1
            ending = int.from_bytes(b"." + name.encode(), "little")
            shift = 8 * (WORD - length)
            spans.append((ending << shift, ((ending + 1) << shift) - 1))
    spans.sort()
    lowest = np.array([lowest for lowest, _ in spans], np.uint64)
    return lowest, np.array([0, *(highest for _, highest in spans)], np.uint64)


def _one_of(words: Words, texts: Collection[np.uint64]) -> Flags:
    found: Flags = np.zeros(len(words), np.bool_)
    for text in texts:
        found |= words == text
    return found
