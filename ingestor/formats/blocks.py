r"""A whole block at once: one regular expression that tells assets and takes plain lines apart.

Most lines of a log are assets. `re` passes over one in half a microsecond, where taking it apart
costs twice that; and what it matched of other lines up to their request need not be read again.
The expression takes no chance: it matches only lines that splitter and matcher read alike, with
every value in its strictest spelling and a time of one month that is surely believable; an asset
only by a path whose extension stands as it is. All other lines are left for the splitter.

It begins at the newline before a line and ends before the one after it, since `re` looks for a
literal first byte fast. A quoted value is matched up to the next quote, newlines and backslashes
included, for that is fast as well: whoever uses it looks for both (see `LinesLike`). What may be
missing is written as one of two branches, and digits as a range: `(?:…)?` and `\d` cost more.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ingestor.formats.adaptive import Adaptive
from ingestor.formats.clocks import MONTHS
from ingestor.formats.compiler import TextFormat
from ingestor.formats.fields import Field, Literal, Part, Role, Shape
from ingestor.formats.json import JsonFormat
from ingestor.formats.shapes import Template

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ingestor.formats.format import Format
    from ingestor.formats.shapes import Read

_DAY = 86_400  # seconds
_WIDEST_ZONE = 16 * 3_600  # seconds
_FIRST_YEAR = 1996
_CLOCK = rb"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = rb"[+-](?:0[0-9]|1[0-5])[0-5][0-9]"
_ISO_ZONE = rb"(?:\.[0-9]{1,9}|)(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])"
_LOCAL_MONTH = re.compile(rb"\d\d/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):")
_ISO_MONTH = re.compile(rb"(?P<year>\d{4})-(?P<month>\d\d)-\d\dT")
_EPOCH_DIGITS = 4  # of the ten that Unix seconds have: 11 days
_TIME = b"\0"  # stands for the time in an expression that is not finished; no definition has it

# A value between quotes: a backslash before the quote may escape it.
_QUOTED = rb'[^"]*+(?<!\\)'
_ANY = rb'[^"]*+'
# Words: character sets without anything that could end or begin another value.
_ADDRESS = b"0-9a-fA-F.:"
_WORD = rb"0-9A-Za-z_.:/+%-"
_IN_PATH = b"0-9A-Za-z_/~@!$&'()*+,=:.-"
_TARGET = b"/[" + _IN_PATH + rb"]*\.%b(?:\?[!#-\[\]-~]*+|)"
_ENDED = b"(?![" + _IN_PATH + b"])"  # the path does not go on behind its extension
_PROTOCOL = rb"HTTP/(?:1\.[01]|[0-9](?:\.[0-9]|))"


class LinesLike(NamedTuple):
    r"""An expression for "a newline, and a line": an asset, a plain one, or any other.

    To be used on a block between newlines. Matches are sure only where there are as many lines
    as there are matches: else one of them went beyond its line, or a line is empty. A plain line
    is sure only if no backslash is in it.
    """

    pattern: re.Pattern[bytes]
    asset: int | None  # the `lastindex` of an asset, …
    plain: int  # … and of a plain line; that of others is another
    read: Read  # the match of a plain line → its columns


class PlainLines:
    """Makes `LinesLike` for a format, month by month.

    ``extensions`` are lower case, without dots; a hit by one of ``methods`` for such a path is an
    asset, and nothing else can be said of it first.
    """

    def __init__(
        self, line_format: Format, extensions: Collection[str], methods: Collection[str]
    ) -> None:
        if isinstance(line_format, Adaptive):
            line_format = line_format.first
        self._json = line_format if isinstance(line_format, JsonFormat) else None
        self._text: Template | None = None
        self._clock = "any"
        names = [name for name in extensions if re.fullmatch(r"[a-z0-9]+", name)]
        verbs = [name for name in methods if re.fullmatch(r"[A-Z]{1,16}", name)]
        self._is_possible = bool(names and verbs)
        if not self._is_possible:
            return
        target = _TARGET % choice(names)
        self._kinds = {
            Role.TIME: _TIME,
            Role.REQUEST: choice(verbs) + b" " + target + b" " + _PROTOCOL,
            Role.METHOD: choice(verbs),
            Role.TARGET: target + _ENDED,
            Role.STATUS: b"[0-9][0-9][0-9]",
        }
        if isinstance(line_format, TextFormat):
            times = [part for part in line_format.captured if part.meaning.role is Role.TIME]
            self._clock = times[0].meaning.clock
            if line_format.is_simple and "method" in line_format.fields:
                self._text = _template(line_format, self._kinds)

    def period_of(self, time: bytes) -> bytes:
        """Tell times apart that need expressions of their own: by the month, or by 11 days."""
        if time[2:3] == b"/":
            return time[2:11]
        return time[:_EPOCH_DIGITS] if time[:5].isdigit() else time[:7]

    def like(self, line: bytes, time: bytes, latest: int) -> LinesLike | None:
        """Give the expression for lines like this one in its period; None where there is none.

        ``time`` is the line's own as logged, ``latest`` the latest believable one (Unix seconds).
        """
        if not self._is_possible:
            return None
        template = self._text
        if self._json is not None:
            kinds = {
                **self._kinds,
                Role.ADDRESS: b"[" + _ADDRESS + b"]++",
                Role.PROTOCOL: _PROTOCOL,
            }
            template = self._json.lines_like(line, kinds)
        pattern = None if template is None else _time(self._clock, time, latest)
        if template is None or pattern is None:
            return None
        line = rb"%b(?:%b)\r?+(?=\n)" % (template.start, b"|".join(filter(None, template[1:3])))
        compiled = _compiled(rb"\n(?:%b|([^\n]++))" % line.replace(_TIME, pattern))
        asset = re.compile(template.start).groups or None
        return LinesLike(compiled, asset, compiled.groups - 1, template.reader())


@lru_cache(maxsize=64)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)


def _template(line_format: TextFormat, kinds: Mapping[Role, bytes]) -> Template | None:
    """Write a definition as expressions; None where it has no lines that are sure."""
    parts = line_format.parts
    assets: list[bytes] = []
    plain: list[bytes] = []
    alike = 0  # parts before the first that assets and plain lines have otherwise
    is_whole = False  # the request is one value, between quotes
    for at, part in enumerate(parts):
        captured = any(part is kept for kept in line_format.captured)
        strict = _piece(parts, at, kinds if captured else {})
        if strict is None:
            return None
        # Without a backslash in the line, nothing is escaped.
        piece = _ANY if strict == _QUOTED else strict
        if captured and isinstance(part, Field) and part.meaning.role is Role.REQUEST:
            is_whole = _is_quoted(parts, at)
            piece = _ANY
        alike += alike == at and piece == strict
        assets.append(strict)
        plain.append(b"(" + piece + b")" if captured else piece)
    if not is_whole:
        return Template(b"", b"".join(assets))
    return Template(
        b"".join(plain[:alike]),
        b"".join(assets[alike:]),
        b"".join(plain[alike:]),
        range(1, len(line_format.captured) + 1),
    )


def _piece(parts: Sequence[Part], at: int, kinds: Mapping[Role, bytes]) -> bytes | None:
    """Match a part in its strictest spelling; ``kinds`` are those of the roles that count."""
    part = parts[at]
    if isinstance(part, Literal):
        # Between tabs and bars other rules hold.
        return None if b"\t" in part.text or b"|" in part.text else re.escape(part.text)
    role = part.meaning.role
    if kinds and role in {Role.PATH, Role.QUERY}:
        return None
    return kinds.get(role) or _value(parts, at, part)


def _value(parts: Sequence[Part], at: int, field: Field) -> bytes | None:
    """Match a value that says nothing about assets."""
    after = _text(parts, at + 1)
    meaning = field.meaning
    if _is_quoted(parts, at):
        return b"[" + _ADDRESS + b"]++" if meaning.role is Role.ADDRESS else _QUOTED
    if meaning.shape is Shape.TEXT:
        return b"-"
    if meaning.shape is Shape.TIME and meaning.clock in {"local", "bare"}:
        return None  # several words
    address = meaning.role is Role.ADDRESS
    kind, often = (_ADDRESS, b"++") if address else (_WORD, b"*+")
    # What follows a word must not be a part of it.
    letters = [bytes([n]) for n in range(128) if re.match(b"[" + kind + b"]", bytes([n]))]
    if after[:1] in letters:
        kind = b"".join(re.escape(letter) for letter in letters if letter != after[:1])
    return b"[" + kind + b"]" + often


def _is_quoted(parts: Sequence[Part], at: int) -> bool:
    return _text(parts, at - 1)[-1:] == b'"' == _text(parts, at + 1)[:1]


def _text(parts: Sequence[Part], at: int) -> bytes:
    part = parts[at] if 0 <= at < len(parts) else None
    return part.text if isinstance(part, Literal) else b""


# ── times that are surely believable ──────────────────────────────────────────────────────────


def _time(clock: str, example: bytes, latest: int) -> bytes | None:
    """Match the times of an example's period, if all of them are believable."""
    last = datetime.fromtimestamp(((latest - _WIDEST_ZONE) // _DAY - 1) * _DAY, UTC)
    if clock == "any":
        if example[:10].isdigit():
            return _epoch(example[:_EPOCH_DIGITS], latest)
        clock = "local" if example[2:3] == b"/" else "iso"
    return _of_month(clock, example, last) if clock in {"local", "bare", "iso"} else None


def _epoch(start: bytes, latest: int) -> bytes | None:
    """Match Unix seconds that begin with these digits, ten in all."""
    span = 10 ** (10 - _EPOCH_DIGITS)
    if start[:1] == b"0" or (int(start) + 1) * span > latest:
        return None
    return start + rb"[0-9]{%d}(?:\.(?!9{6})[0-9]{1,12}|)" % (10 - _EPOCH_DIGITS)


def _of_month(clock: str, example: bytes, last: datetime) -> bytes | None:
    """Match the times of an example's month up to the end of the day ``last``, in any zone."""
    match = (_ISO_MONTH if clock == "iso" else _LOCAL_MONTH).match(example)
    if match is None:
        return None
    year, name = int(match["year"]), match["month"]
    month = int(name) if clock == "iso" else MONTHS.get(name, 0)
    if not 1 <= month <= 12 or year < _FIRST_YEAR or (year, month) > (last.year, last.month):  # noqa: PLR2004 - months
        return None
    count = monthrange(year, month)[1]
    if (year, month) == (last.year, last.month):
        count = last.day
    days = choice([f"{day:02d}" for day in range(1, count + 1)])
    if clock == "iso":
        return b"%d-%b-" % (year, name) + days + b"T" + _CLOCK + _ISO_ZONE
    time = days + b"/%b/%d:" % (name, year) + _CLOCK
    return time + b" " + _ZONE if clock == "local" else time


# ── one of several words ──────────────────────────────────────────────────────────────────────


def choice(words: Collection[str]) -> bytes:
    """Give an expression for one of these words, the longest that fits: a tree of letters."""
    tree: _Tree = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}
    return _branches(tree).encode()


_Tree = dict[str, "_Tree"]


def _branches(tree: _Tree) -> str:
    letters = sorted(letter for letter in tree if letter)
    ends = [letter for letter in letters if list(tree[letter]) == [""]]
    forms = [f"[{''.join(ends)}]" if len(ends) > 1 else ends[0]] if ends else []
    forms += [letter + _branches(tree[letter]) for letter in letters if letter not in ends]
    if not forms:
        return ""
    if "" in tree:
        return f"(?:{'|'.join(forms)}|)"
    return forms[0] if len(forms) == 1 else f"(?:{'|'.join(forms)})"
