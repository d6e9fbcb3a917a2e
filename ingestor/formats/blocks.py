"""A whole block at once: numpy finds the values of ordinary lines, and tells which are assets.

Most lines of a log are assets. Taking one apart in Python costs a microsecond; here one operation
looks at the same place of all lines. A line is read left to right along a layout; where it departs
from it, it is left to the splitter. All offsets count from the block's start.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingestor.formats.cursor import Cursor, is_no_word, is_quote, number_in, text_word
from ingestor.formats.endings import endings_of
from ingestor.formats.fields import Role
from ingestor.formats.marks import WORD, Workspace, below, ends_line
from ingestor.formats.runs import Run
from ingestor.formats.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingestor.formats.cursor import Word
    from ingestor.formats.layouts import Layout
    from ingestor.formats.marks import Flags, Offsets, Words

_ENDING, _CR, _SLASH, _MARK, _SPACE = b"\n\r/? "
_PROTOCOLS = [text_word(text)[1] for text in (b"HTTP/1.1", b"HTTP/2.0", b"HTTP/1.0", b"HTTP/3.0")]
_NEVER_ORDINARY = (b"\\", b"\x7f")  # an escape; DEL, the one control above the letters
_FEW = 64  # lines
_SHORTEST = 24  # bytes; no line with time, address and request is shorter
_TOO_SHORT = 2  # times what fits: at least half of the lines are shorter than an ordinary one
_GET, _GET_PATH = text_word(b"GET"), text_word(b"GET /")
_BEHIND_TARGET = len(" HTTP/1.1")
_is_strange = below(_SPACE)


# Free workspaces: as many as threads ever read at a time, whatever the number of files.
_spaces: list[Workspace] = []


class Pages(NamedTuple):
    """Which lines are plain GETs; where their targets begin, the paths end, and the targets stop.

    Between path and stop is a query, of which nothing is known.
    """

    plain: Flags
    begins: Offsets
    ends: Offsets
    stops: Offsets


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
        pages: Pages,
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
        self._pages = pages
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

    def requests(self, numbers: Offsets) -> list[bytes]:
        """Give what some lines ask for: the path alone of a plain GET, whatever its query.

        Else the whole request behind a space.
        """
        data, pages = self._data, self._pages
        begins, ends = pages.begins[numbers].tolist(), pages.ends[numbers].tolist()
        texts = [data[begin:end] for begin, end in zip(begins, ends, strict=True)]
        others = (~pages.plain[numbers]).nonzero()[0]
        wholes = self.texts(Role.REQUEST, numbers[others])
        for at, whole in zip(others.tolist(), wholes, strict=True):
            texts[at] = b" " + whole
        return texts

    def targets(self, numbers: Offsets, requests: Sequence[bytes]) -> list[bytes]:
        """Give the same with the queries; ``requests`` is what `requests` gave for these lines."""
        data, pages, texts = self._data, self._pages, list(requests)
        begins, stops = pages.begins[numbers], pages.stops[numbers]
        asked = (pages.plain[numbers] & (pages.ends[numbers] != stops)).nonzero()[0]
        places = zip(asked.tolist(), begins[asked].tolist(), stops[asked].tolist(), strict=True)
        for at, begin, stop in places:
            texts[at] = data[begin:stop]
        return texts

    def times(self, numbers: Offsets) -> list[int]:
        """Give the times of some lines, in Unix seconds."""
        times: list[int] = self._times(numbers).tolist()
        return times

    def statuses(self, numbers: Offsets) -> Offsets | None:
        """Give the statuses of some lines as numbers; None where lines have none."""
        return None if self._statuses is None else number_in(self._statuses[numbers], 3)


class Blocks:
    """Reads the blocks of one layout.

    ``extensions`` are lower case, without dots; a hit by one of ``methods`` for such a path is an
    asset, and nothing else can be said of it first. Of others than GET the rules say so, and of
    paths that begin with ``articles`` (up to eight bytes).
    """

    def __init__(
        self,
        layout: Layout,
        extensions: Collection[str],
        methods: Collection[str],
        articles: bytes,
    ) -> None:
        self._layout = layout
        self._steps = steps_of(layout.pieces)
        # A line that has lost its way stands no further behind the block.
        self._padding = 4 * WORD + 2 * sum(step.width for step in self._steps)
        texts = sum(step.width for step in self._steps if isinstance(step, Run))
        self._shortest = max(texts, _SHORTEST)
        self._endings = endings_of(frozenset(extensions))
        self._has_assets = "GET" in methods and self._endings.any
        self._articles = text_word(articles)

    def read(self, data: bytes, latest: int) -> Block | None:
        """Read whole lines; ``latest`` is the latest believable time in Unix seconds.

        None where most of them are too short for the layout: so many would take much memory.
        """
        try:
            space = _spaces.pop()
        except IndexError:
            space = Workspace()
        try:
            space.load(data, self._padding)
            ends = space.marks(ends_line).all()
            if len(ends) * self._shortest > _TOO_SHORT * len(data):
                return None
            return self._read(data, space, ends, latest)
        finally:
            _spaces.append(space)

    def _read(self, data: bytes, space: Workspace, ends: Offsets, latest: int) -> Block:
        starts, usable = self._lines(data, space, ends)
        kept = usable.nonzero()[0]
        cursor = Cursor(space, starts[kept], ends[kept], latest)
        for step in self._steps:
            step.read(cursor)
        usable[kept] = cursor.sure & (cursor.at == cursor.stops)
        self._count_quotes(data, space, starts, ends, usable)
        sure = usable[kept]
        pages = self._pages(cursor)
        assets = sure & self._assets(cursor, pages)
        others = ~usable
        return Block(
            data,
            cursor,
            pages,
            len(starts),
            int(np.count_nonzero(assets)),
            plain=(sure & ~assets).nonzero()[0],
            others=(starts[others], ends[others]),
        )

    def _lines(self, data: bytes, space: Workspace, ends: Offsets) -> tuple[Offsets, Flags]:
        """Find where lines start, and which of them may be ordinary ones."""
        octets = space.octets
        starts = np.empty_like(ends)
        starts[:1] = 0
        starts[1:] = ends[:-1] + 1
        usable: Flags = ends - starts >= self._shortest
        if self._layout.printable and space.marks(_is_strange).count() > len(ends):
            strange = space.marks(_is_strange).all()
            odd = strange[octets[strange] != _ENDING]
            odd = odd[(octets[odd] != _CR) | (octets[odd + 1] != _ENDING)]
            usable[np.searchsorted(ends, odd)] = False
        for which in _NEVER_ORDINARY:
            at = data.find(which)
            while at >= 0:  # few
                line = int(np.searchsorted(ends, at))
                usable[line] = False
                at = data.find(which, int(ends[line]))
        return starts, usable

    def _count_quotes(
        self, data: bytes, space: Workspace, starts: Offsets, ends: Offsets, usable: Flags
    ) -> None:
        """Give up lines with more quotes than the layout has; no line read along it has fewer."""
        quotes, marks = self._layout.quotes, space.marks(is_quote)
        others = (~usable).nonzero()[0]
        if len(others) <= _FEW:
            places = zip(starts[others].tolist(), ends[others].tolist(), strict=True)
            theirs = sum(data.count(b'"', start, end) for start, end in places)
            if marks.count() - len(ends) - theirs == quotes * (len(usable) - len(others)):
                return
        counts = marks.count_before(ends) - np.arange(len(ends))  # without the newlines
        counts[1:] -= counts[:-1]
        usable &= counts == quotes

    def _pages(self, cursor: Cursor) -> Pages:
        """Find the paths of plain GETs: nothing in one is to decode."""
        values, octets = cursor.values, cursor.octets
        plain: Flags
        if Role.REQUEST in values:
            begins, ends = values[Role.REQUEST]
            plain = _is(cursor.words(begins), _GET_PATH)
            targets, stops = begins + len(b"GET "), np.maximum(ends - _BEHIND_TARGET, 0)
            plain &= _one_of(cursor.words(stops + 1), _PROTOCOLS) & (octets[stops] == _SPACE)
        else:
            targets, stops = values[Role.TARGET if Role.TARGET in values else Role.PATH]
            begins, ends = values[Role.METHOD]
            plain = _is(cursor.words(begins), _GET) & (ends - begins == len(b"GET"))
            begins, ends = values[Role.PROTOCOL]
            plain &= _one_of(cursor.words(begins), _PROTOCOLS) & (ends - begins == WORD)
            plain &= octets[targets] == _SLASH
        plain &= targets < stops
        path_ends = np.minimum(cursor.next(is_no_word, targets), stops)
        plain &= (path_ends == stops) | (octets[path_ends] == _MARK)
        return Pages(plain, targets, path_ends, stops)

    def _assets(self, cursor: Cursor, pages: Pages) -> Flags:
        """Tell which lines ask for an asset."""
        if not self._has_assets:
            return np.zeros(len(cursor.starts), np.bool_)
        words = cursor.words(np.maximum(pages.ends - WORD, 0))
        articles = _is(cursor.words(pages.begins), self._articles)
        return pages.plain & self._endings.end(words) & ~articles


@lru_cache(maxsize=64)
def blocks_like(
    layout: Layout, extensions: frozenset[str], methods: frozenset[str], articles: bytes
) -> Blocks:
    """Give the reader for a layout: files of a kind share it."""
    return Blocks(layout, extensions, methods, articles)


def _is(words: Words, text: Word) -> Flags:
    found: Flags = (words & text[0]) == text[1]
    return found


def _one_of(words: Words, texts: Collection[np.uint64]) -> Flags:
    found: Flags = np.zeros(len(words), np.bool_)
    for text in texts:
        found |= words == text
    return found
