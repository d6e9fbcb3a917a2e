r"""A whole block at once: one regular expression that finds the lines that are surely assets.

Most lines of a log are assets. `re` passes over one in half a microsecond, where taking it apart
costs twice that, so a block is rid of them before its lines are looked at. The expression takes
no chance: it matches only lines that splitter and matcher read alike, with every value in its
strictest spelling, a time that is surely believable, and a path whose extension stands as it is.
All other lines, assets among them, are left for the splitter.

It begins at the newline before a line and ends before the one after it, since `re` looks for a
literal first byte fast. A quoted value is matched up to the next quote, newlines included, for
that is fast as well: whoever uses it counts newlines (see `asset_lines`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from ingestor.formats.adaptive import Adaptive
from ingestor.formats.compiler import TextFormat
from ingestor.formats.fields import Field, Literal, Part, Role, Shape

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ingestor.formats.format import Format

_DAY = 86_400  # seconds
_WIDEST_ZONE = 16 * 3_600  # seconds
_FIRST_YEAR = 1996
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_ZONE = rb"[+-](?:0\d|1[0-5])[0-5]\d"

# A value between quotes: a backslash before the quote may escape it.
_QUOTED = rb'[^"]*+(?<!\\)'
# Words: character sets without anything that could end or begin another value.
_ADDRESS = b"0-9a-fA-F.:"
_WORD = rb"\w.:/+%-"
_TARGET = rb"/(?:[\w/~@!$&'()*+,=:-]++|\.(?!%s[? \x22]))*+\.%s(?:\?[!#-\[\]-~]*+)?"


def asset_lines(
    line_format: Format, extensions: Collection[str], methods: Collection[str], latest: int
) -> re.Pattern[bytes] | None:
    r"""Give an expression for "a newline, and a line that is surely an asset"; None: there is none.

    ``extensions`` are lower case, without dots; a hit by one of ``methods`` for such a path is an
    asset, and nothing else can be said of it first. ``latest`` is the latest believable time.

    To be used on a block between newlines. A match is sure only where it holds one newline,
    so where as many newlines vanish with the matches as there were matches.
    """
    if isinstance(line_format, Adaptive):
        line_format = line_format.first
    if not isinstance(line_format, TextFormat) or not line_format.is_simple:
        return None
    names = [name for name in extensions if re.fullmatch(r"[a-z0-9]+", name)]
    verbs = [name for name in methods if re.fullmatch(r"[A-Z]{1,16}", name)]
    if not names or not verbs or "method" not in line_format.fields:
        return None
    target = _TARGET.replace(b"%s", _choice(names))
    fixed = {
        Role.REQUEST: _choice(verbs) + b" " + target + rb" HTTP/\d(?:\.\d)?",
        Role.METHOD: _choice(verbs),
        Role.TARGET: target,
        Role.STATUS: rb"\d\d\d",
    }
    last_day = (latest - _WIDEST_ZONE) // _DAY - 1
    pattern = _pattern(line_format, fixed, last_day)
    return None if pattern is None else _compiled(pattern)


@lru_cache(maxsize=64)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)


def _pattern(line_format: TextFormat, fixed: Mapping[Role, bytes], last_day: int) -> bytes | None:
    parts = line_format.parts
    found = rb"\n"
    for at, part in enumerate(parts):
        piece: bytes | None
        if isinstance(part, Literal):
            # Between tabs and bars other rules hold.
            piece = None if b"\t" in part.text or b"|" in part.text else re.escape(part.text)
        elif not any(part is kept for kept in line_format.captured):
            piece = _value(parts, at, part)
        elif part.meaning.role is Role.TIME:
            piece = _time(part.meaning.clock, last_day)
        elif part.meaning.role in {Role.PATH, Role.QUERY}:
            piece = None
        else:
            piece = fixed.get(part.meaning.role) or _value(parts, at, part)
        if piece is None:
            return None
        found += piece
    return found + rb"\r?+(?=\n)"


def _value(parts: Sequence[Part], at: int, field: Field) -> bytes | None:
    """Match a value that says nothing about assets."""
    before, after = _text(parts, at - 1), _text(parts, at + 1)
    meaning = field.meaning
    if before[-1:] == b'"' and after[:1] == b'"':
        return b"[" + _ADDRESS + b"]++" if meaning.role is Role.ADDRESS else _QUOTED
    if meaning.shape is Shape.TEXT:
        return b"-"
    if meaning.shape is Shape.TIME and meaning.clock in {"local", "bare"}:
        return None  # several words
    address = meaning.role is Role.ADDRESS
    kind, often = (_ADDRESS, b"++") if address else (_WORD, b"*+")
    if after and re.match(b"[" + kind + b"]", after):
        return b"(?:(?!" + re.escape(after[:1]) + b")[" + kind + b"])" + often
    return b"[" + kind + b"]" + often


def _text(parts: Sequence[Part], at: int) -> bytes:
    part = parts[at] if 0 <= at < len(parts) else None
    return part.text if isinstance(part, Literal) else b""


# ── times that are surely believable ──────────────────────────────────────────────────────────


def _time(kind: str, last_day: int) -> bytes | None:
    """Match times from 1996 to the end of ``last_day`` (days since 1970), whatever their zone."""
    last = datetime.fromtimestamp(last_day * _DAY, UTC)
    if last.year <= _FIRST_YEAR:
        return None
    years = _choice([str(year) for year in range(_FIRST_YEAR, last.year)])
    this = b"%d" % last.year
    if kind in {"local", "bare"}:
        found = _local_days(last, years, this) + b":" + _CLOCK
        return found + b" " + _ZONE if kind == "local" else found
    if kind == "iso":
        return _iso_days(last, years, this) + b"T" + _CLOCK + rb"(?:Z|[+-](?:0\d|1[0-5]):[0-5]\d)"
    return None


def _local_days(last: datetime, years: bytes, this: bytes) -> bytes:
    forms = [_days(_MONTHS, b"/") + b"/" + years]
    if last.month > 1:
        forms.append(_days(_MONTHS[: last.month - 1], b"/") + b"/" + this)
    month = _MONTHS[last.month - 1].encode()
    forms.append(_up_to(last.day) + b"/" + month + b"/" + this)
    return b"(?:" + b"|".join(forms) + b")"


def _iso_days(last: datetime, years: bytes, this: bytes) -> bytes:
    day = b"-(?:0[1-9]|1\\d|2[0-8])"
    forms = [years + b"-(?:0[1-9]|1[0-2])" + day]
    if last.month > 1:
        months = _choice([f"{month:02d}" for month in range(1, last.month)])
        forms.append(this + b"-" + months + day)
    forms.append(this + b"-%02d-" % last.month + _up_to(last.day))
    return b"(?:" + b"|".join(forms) + b")"


def _days(months: Sequence[str], separator: bytes) -> bytes:
    """Match a day and the name of one of these months."""
    forms = [rb"(?:0[1-9]|1\d|2[0-8])" + separator + _choice(months)]
    long = [month for month in months if month != "Feb"]
    longest = [month for month in long if month not in {"Apr", "Jun", "Sep", "Nov"}]
    if long:
        forms.append(rb"(?:29|30)" + separator + _choice(long))
    if longest:
        forms.append(b"31" + separator + _choice(longest))
    return b"(?:" + b"|".join(forms) + b")"


def _up_to(day: int) -> bytes:
    return _choice([f"{each:02d}" for each in range(1, day + 1)])


# ── one of several words ──────────────────────────────────────────────────────────────────────


def _choice(words: Collection[str]) -> bytes:
    """Match one of these words, the longest possible, by a tree of their letters."""
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
        return f"(?:{'|'.join(forms)})?+"
    return forms[0] if len(forms) == 1 else f"(?:{'|'.join(forms)})"
