"""Reads a log's name: which log it belongs to, and which generation of it the file is.

Pure. Covers logrotate's numbers, `dateext`, `dateformat` (a second to a month), `extension` and
`start`, newsyslog, Apache's rotatelogs (seconds since 1970), cronolog's dated names, Caddy's
(lumberjack, timberjack), dates in front (ISPConfig) and the TAI64N labels of multilog, svlogd and
s6-log.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_COMPRESSED = re.compile(r"\.(?:gz|bz2|xz|zst|zstd|lzma|Z|zip)\Z")
_DATE = re.compile(
    r"(?:[-._]|\A)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"(?:[-_.T]?(\d{2}(?:[-_.:]?\d{2}){0,2}))?"
    r"(?:(?<=T\d\d-\d\d-\d\d)\.(\d{3})(?:-(?:size|time))?|-(\d{9,11}))?(?!\d)"
)
_PERIOD = re.compile(  # a month, or a week of a year; the lookahead: only at the name's end
    r"[-._]((?:19|20)\d\d)(?:[-_]?W|[-_]|(?=0[1-9]|1[0-2]))([0-5]\d)"
    r"(?=(?:\.[A-Za-z]+)?(?:\.\d{1,6})?\Z)"
)
_TAI = re.compile(r"@([0-9a-f]{24})\.[su]")
_SECONDS = re.compile(r"[-._](\d{9,11})(?!\d)")
_NUMBER = re.compile(r"\.(\d{1,6})\Z")
_NUMBER_INSIDE = re.compile(r"\.(\d{1,6})(?=\.[A-Za-z]+\Z)")
_SET_ASIDE = re.compile(r"\.(?:old|prev|bak|orig)\Z")

_DATE_DIGITS = 14  # YYYYMMDDhhmmss


class Generation(NamedTuple):
    """A log's name taken apart.

    ``kind`` is "live" for a plain name, else how ``rank`` counts: "number", "date" or
    "seconds". A smaller rank is older; a live file is younger than all of them.
    """

    base: str  # the live file's name
    kind: str
    rank: tuple[int, ...]
    compressed: bool  # by its name only; its first bytes decide what it really is


@lru_cache(maxsize=16384)
def parse(name: str) -> Generation:
    """Take the name (no directory) of a log apart: `access.log.2.gz` is `access.log`'s second."""
    stem = _COMPRESSED.sub("", name)
    compressed = stem != name
    if (date := _DATE.search(stem) or _PERIOD.search(stem)) is not None:
        return _dated(stem, date, compressed=compressed)
    if (seconds := _SECONDS.search(stem)) is not None:
        base = stem[: seconds.start()] + stem[seconds.end() :]
        return Generation(base, "seconds", (int(seconds[1]),), compressed)
    for shape in (_NUMBER, _NUMBER_INSIDE):
        if (number := shape.search(stem)) is not None:
            base = stem[: number.start()] + stem[number.end() :]
            return Generation(base, "number", (-int(number[1]),), compressed)
    if (label := _TAI.fullmatch(stem)) is not None:
        return Generation("current", "seconds", (int(label[1], 16),), compressed)
    if (aside := _SET_ASIDE.search(stem)) is not None:
        return Generation(stem[: aside.start()], "number", (0,), compressed)
    return Generation(stem, "live", (), compressed)


def _dated(stem: str, date: re.Match[str], *, compressed: bool) -> Generation:
    digits, part = date[1] + date[2], 0
    if date.re is _DATE:
        digits = date[1] + date[3] + date[4] + re.sub(r"\D", "", date[5] or "")
        part = int(date[6] or date[7] or 0)
    base = stem[: date.start()] + stem[date.end() :]
    number = _NUMBER.search(base)  # access.log-20240101.1: rotated again on the same day
    again = 0
    if number is not None:
        base, again = base[: number.start()], -int(number[1])
    if date.start() == 0:
        base = base.lstrip("-._")
    day = int(digits.ljust(_DATE_DIGITS, "0"))
    return Generation(base, "date", (day, part, again), compressed)


def is_successor(name: str, other: str) -> bool:
    """Whether ``name`` is the live file of the log that ``other`` is a rotated generation of."""
    one, two = parse(name), parse(other)
    return one.base == two.base and one.kind == "live" != two.kind
