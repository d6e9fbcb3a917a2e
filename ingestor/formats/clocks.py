"""Times as logs write them, to Unix seconds.

A *clock* is a function from the raw bytes of a time to whole Unix seconds, or None where they
are no time. Each keeps a bounded cache by minute: ``strptime`` costs 8 µs a line, a look-up
0.2 µs. Month names are English whatever the locale. Zones are the log's own; a time without one
is taken in ``timezone``: an hour that clocks pass twice is taken the first time, one that they
skip as if they had not (PEP 495, fold=0). A leap second counts as the next minute's first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from ingestor.errors import FormatError

Clock = Callable[[bytes], int | None]

EARLIEST = 788_918_400  # 1995-01-01: no web server's log is older
NO_ZONE = "names no time zone: set `timezone`, for example Europe/Berlin or UTC"
_KEPT = 10_000  # minutes, or times, remembered: a week of minutes

MONTHS = {
    name: number
    for number, name in enumerate(
        b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
        1,
    )
}
_SECONDS = {f"{second:02d}".encode(): second for second in range(61)}
_LOCAL = re.compile(rb"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(?: ?([+-]\d{4}|Z))?")
_ISO = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d): ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?")
_EPOCH = re.compile(rb"-?\d{1,19}(?:\.\d{0,12})?")


def clock_named(kind: str, zone: tzinfo | None) -> Clock:
    """Give the clock for a kind of time; ``zone`` is for times that name none.

    Kinds: ``local`` (10/Oct/2000:13:55:36 -0700), ``bare`` (the same without a zone), ``iso``,
    ``epoch`` (s, or ms, µs, ns by magnitude), ``ms``, ``us``, ``any`` of these, or
    ``strftime:`` and a format.
    """
    if kind.startswith("strftime:"):
        return _strftime_clock(kind.removeprefix("strftime:"), zone)
    if kind in {"local", "bare"}:
        return _minute_clock(18, lambda minute: _local_minute(minute, zone))
    if kind == "iso":
        return _minute_clock(17, lambda minute: _iso_minute(minute, zone))
    return {
        "epoch": _epoch,
        "ms": _epoch_in(1_000),
        "us": _epoch_in(1_000_000),
        "any": _any_clock(zone),
    }[kind]


def needs_zone(kind: str) -> bool:
    """Tell whether a time of this kind names no zone of its own, going by its definition."""
    if kind.startswith("strftime:"):
        return not {"z", "Z", "s"} & set(_directives(kind.removeprefix("strftime:")))
    return kind == "bare"


def _minute_clock(head: int, minute_of: Callable[[bytes], int | None]) -> Clock:
    """Cache by minute: ``head`` bytes come before the two digits of the second."""
    minutes: dict[bytes, int] = {}
    tail = head + 2

    def clock(raw: bytes) -> int | None:
        second = _SECONDS.get(raw[head:tail])
        if second is None:
            return None
        key = raw[:head] + raw[tail:]
        minute = minutes.get(key)
        if minute is None and raw[tail : tail + 1] in {b".", b","}:
            key = raw[:head] + raw[tail + 1 :].lstrip(b"0123456789")
            minute = minutes.get(key)
        if minute is None:
            minute = minute_of(key)
            if minute is None:
                return None
            if len(minutes) >= _KEPT:
                minutes.clear()
            minutes[key] = minute
        return minute + second

    return clock


def _local_minute(text: bytes, zone: tzinfo | None) -> int | None:
    match = _LOCAL.fullmatch(text)
    if match is None:
        return None
    day, name, year, hour, minute, offset = match.groups()
    month = MONTHS.get(name)
    if month is None:
        return None
    return unix_seconds(year, month, day, hour, minute, offset, zone)


def _iso_minute(text: bytes, zone: tzinfo | None) -> int | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, offset = match.groups()
    return unix_seconds(year, int(month), day, hour, minute, offset, zone)


def unix_seconds(
    year: bytes,
    month: int,
    day: bytes,
    hour: bytes,
    minute: bytes,
    offset: bytes | None,
    zone: tzinfo | None,
) -> int | None:
    """Give Unix seconds; ``zone`` is for no ``offset``. None where there is no such moment."""
    tz = zone if offset is None else _offset(offset)
    if tz is None:
        return None
    try:
        moment = datetime(int(year), month, int(day), int(hour), int(minute), tzinfo=tz)
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        return None


def _offset(text: bytes) -> tzinfo | None:
    """Read a zone: ``Z``, ``+0200``, ``+02:00``, ``+02``."""
    if text in {b"Z", b"UTC", b"GMT"}:
        return UTC
    digits = text[1:].replace(b":", b"").ljust(4, b"0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:  # noqa: PLR2004 - the widest zone in history is +15:13:42
        return None
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text[:1] == b"-" else span)


def _epoch(raw: bytes) -> int | None:
    """Read seconds, milli-, micro- or nanoseconds since 1970, told apart by their magnitude."""
    if _EPOCH.fullmatch(raw) is None:
        return None
    number = int(raw.partition(b".")[0])
    while number > 99_999_999_999:  # noqa: PLR2004 - in seconds, the year 5138
        number //= 1_000
    return number


def _epoch_in(unit: int) -> Clock:
    def clock(raw: bytes) -> int | None:
        return int(raw) // unit if raw.isdigit() and len(raw) < 20 else None  # noqa: PLR2004 - 64 bits

    return clock


def _any_clock(zone: tzinfo | None) -> Clock:
    """Tell the kind of a time by its looks: for JSON, where only the key's name is known."""
    iso = _minute_clock(17, lambda minute: _iso_minute(minute, zone))
    local = _minute_clock(18, lambda minute: _local_minute(minute, zone))

    def clock(raw: bytes) -> int | None:
        if raw[2:3] == b"/":
            return local(raw)
        if raw[4:5] == b"-":
            return iso(raw)
        if raw[4:5] == b"/":  # Caddy's wall clock
            return iso(raw.replace(b"/", b"-", 2))
        if raw[:1] == b"[" and raw[-1:] == b"]":  # Apache's %t
            return local(raw[1:-1])
        return _epoch(raw)

    return clock


# ── strftime ──────────────────────────────────────────────────────────────────────────────────

_DIRECTIVE = re.compile(r"%([-_0^#EO]*[A-Za-z%])")
_EXPANSIONS = {
    "D": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "R": "%H:%M",
    "T": "%H:%M:%S",
    "r": "%I:%M:%S %p",
    "c": "%a %b %e %H:%M:%S %Y",
    "x": "%m/%d/%y",
    "X": "%H:%M:%S",
    "h": "%b",
    "n": "\n",
    "t": "\t",
}
_PATTERNS = {
    "Y": rb"\d{4}",
    "m": rb"\d\d",
    "d": rb"\d\d",
    "H": rb"\d\d",
    "M": rb"\d\d",
    "S": rb"\d\d",
    "I": rb"\d\d",
    "y": rb"\d\d",
    "j": rb"\d{3}",
    "e": rb"[ \d]\d",
    "k": rb"[ \d]\d",
    "l": rb"[ \d]\d",
    "b": rb"[A-Z][a-z]{2}",
    "B": rb"[A-Z][a-z]{2,8}",
    "a": rb"[A-Z][a-z]{2}",
    "A": rb"[A-Z][a-z]{5,8}",
    "p": rb"[AaPp][Mm]",
    "z": rb"[+-]\d\d:?\d\d",
    "Z": rb"(?:[A-Za-z]{1,5}|[+-]\d\d(?:\d\d)?)",  # +03 where a zone has no letters of its own
    "s": rb"\d{1,12}",
    "u": rb"\d",
    "w": rb"\d",
    "U": rb"\d\d",
    "W": rb"\d\d",
    "V": rb"\d\d",
    "G": rb"\d{4}",
    "g": rb"\d\d",
    "C": rb"\d\d",
}


def _expanded(text: str) -> str:
    """Write out ``%T`` and its like, and drop padding flags that do not change the digits."""
    while True:
        wider = re.sub(r"%[EO^#0]*([DFRTrcxXhnt])", lambda match: _EXPANSIONS[match[1]], text)
        if wider == text:
            return text
        text = wider


def _directives(text: str) -> list[str]:
    return [match[1][-1] for match in _DIRECTIVE.finditer(_expanded(text))]


def strftime_pattern(text: str, *, named: bool = False) -> bytes:
    """Give a regular expression for what ``strftime`` writes with this format.

    With ``named``, the first of each directive is a group of that name, and seconds may have a
    fraction: W3C's may, whose definition does not tell.
    Raises FormatError for a directive that cannot be read back.
    """
    pattern, at, seen = b"", 0, set[str]()
    text = _expanded(text)
    for match in _DIRECTIVE.finditer(text):
        pattern += re.escape(text[at : match.start()].encode())
        at = match.end()
        flags, letter = match[1][:-1], match[1][-1]
        if letter == "%":
            pattern += b"%"
            continue
        piece = _PATTERNS.get(letter)
        if piece is None:
            raise FormatError(f"%{match[1]} in the time format {text!r} cannot be read back")
        if "-" in flags:
            piece = rb"\d{1,4}"
        elif "_" in flags:
            piece = rb"[ \d]{1,3}\d"
        if named and letter not in seen:
            seen.add(letter)
            piece = b"(?P<" + letter.encode() + b">" + piece + b")"
            piece += rb"(?:\.\d{1,9})?" if letter == "S" else b""
        pattern += piece
    return pattern + re.escape(text[at:].encode())


def _strftime_clock(text: str, zone: tzinfo | None) -> Clock:
    pattern = re.compile(strftime_pattern(text, named=True))
    letters = set(pattern.groupindex)
    dated = ({"d", "e"} & letters and {"m", "b", "B"} & letters) or "j" in letters
    whole = "s" in letters or ({"Y", "y"} & letters and dated and {"H", "k", "I", "l"} & letters)
    if not whole:
        raise FormatError(f"the time format {text!r} tells no whole date and hour")
    times: dict[bytes, int] = {}

    def clock(raw: bytes) -> int | None:
        time = times.get(raw)
        if time is None:
            match = pattern.fullmatch(raw)
            time = None if match is None else _from_parts(match.groupdict(), zone)
            if time is not None:
                if len(times) >= _KEPT:
                    times.clear()
                times[raw] = time
        return time

    return clock


def _from_parts(parts: dict[str, bytes], zone: tzinfo | None) -> int | None:
    """Put the parts of a time together, each under its strftime letter."""
    if "s" in parts:
        return int(parts["s"])
    offset = parts.get("z")
    if "Z" in parts and offset is None:
        if parts["Z"] in {b"UTC", b"GMT", b"Z"}:
            offset = b"Z"
        elif parts["Z"][:1] in {b"+", b"-"}:
            offset = parts["Z"]
        elif zone is None:  # names like CEST and IST mean different zones to different people
            return None
    date = _date(parts)
    if date is None:
        return None
    year, month, day = date
    hour = _hour(parts)
    minute = unix_seconds(year, month, day, b"%d" % hour, parts.get("M", b"0"), offset, zone)
    second = int(parts.get("S", b"0"))
    return None if minute is None or second > 60 else minute + second  # noqa: PLR2004 - leap


def _date(parts: dict[str, bytes]) -> tuple[bytes, int, bytes] | None:
    year = parts.get("Y")
    if year is None:
        short = int(parts["y"])
        year = b"%d" % (short + (1900 if short > 68 else 2000))  # noqa: PLR2004 - POSIX's pivot
    if "j" in parts and "d" not in parts and "e" not in parts:
        try:
            first = datetime(int(year), 1, 1, tzinfo=UTC)
            day_of_year = first + timedelta(days=int(parts["j"]) - 1)
        except (ValueError, OverflowError):
            return None
        if day_of_year.year != first.year:
            return None
        return year, day_of_year.month, b"%d" % day_of_year.day
    month = MONTHS.get((parts.get("b") or parts.get("B") or b"")[:3])
    if month is None:
        if "m" not in parts:
            return None
        month = int(parts["m"])
    return year, month, (parts.get("d") or parts["e"]).strip()


def _hour(parts: dict[str, bytes]) -> int:
    for letter in ("H", "k"):
        if letter in parts:
            return int(parts[letter])
    hour = int(parts.get("I") or parts["l"]) % 12
    return hour + 12 if parts.get("p", b"").upper() == b"PM" else hour
