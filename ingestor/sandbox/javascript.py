"""Where JavaScript and Python differ about the same value: Umami's rules are JavaScript's.

Lengths count UTF-16 units, ``Number("")`` is 0, ``decodeURI`` keeps reserved escapes, and a time
may lie in the year 275760. Source: ECMA-262.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final, NoReturn

import orjson

MAX_SAFE_INTEGER: Final = 9_007_199_254_740_991
MAX_SECONDS: Final = 8.64e12  # beyond it a Date is invalid

_PLAIN: Final = 1e21  # ECMA-262 prints numbers below it without an exponent

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|Infinity)")
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_SPACE = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_ESCAPES = re.compile("(?:%[0-9a-fA-F]{2})+")
_BROKEN_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")
_RESERVED: Final = frozenset(b";/?:@&=+$,#")


class Undefined:
    """JavaScript's ``undefined``: a key that is not there, a body that is no JSON."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED: Final = Undefined()

_TYPES: Final[dict[type, str]] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    Undefined: "undefined",
}


def parse_json(body: bytes) -> object:
    """``await request.json()``: the value, or UNDEFINED where the body is no JSON.

    Invalid UTF-8 and lone surrogates become U+FFFD, as they would on their way to PostgreSQL.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        value: object = json.loads(text, parse_constant=_no_constant, parse_int=_number_of)
    except (ValueError, RecursionError):
        return UNDEFINED
    return _well_formed(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _number_of(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)  # noqa: PLR2004 - more may not fit 64 bits


def _well_formed(value: object) -> object:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_well_formed(each) for each in value]
    if isinstance(value, dict):
        return {_well_formed(key): _well_formed(each) for key, each in value.items()}
    return value


def type_of(value: object) -> str:
    """The word that a validation answer has for a value's type."""
    if value is None:
        return "null"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return _TYPES.get(type(value), "object")


def to_number(value: object) -> int | float:
    """``Number(value)`` of a JSON value; NaN where it is none."""
    if value is None:
        return 0
    if isinstance(value, bool | int | float):
        return +value
    if isinstance(value, str):
        return _number_from_text(value.strip(_SPACE))
    if isinstance(value, list):
        return _number_from_text(to_text(value).strip(_SPACE))
    return math.nan


def _number_from_text(text: str) -> int | float:
    if not text:
        return 0
    if _RADIX.fullmatch(text):
        return int(text, 0)
    if not text.isascii() or _NUMBER.fullmatch(text) is None:
        return math.nan
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= MAX_SAFE_INTEGER else number


def to_text(value: object) -> str:
    """``String(value)`` of a JSON value (an array's elements joined with commas)."""
    if isinstance(value, list):
        return ",".join("" if each is None else to_text(each) for each in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _PLAIN:
        return str(int(value))
    if value is None:
        return "null"
    return "[object Object]" if isinstance(value, dict) else str(value)


def units(text: str) -> int:
    """``text.length``: UTF-16 units."""
    if text.isascii():
        return len(text)
    return len(text) + len(_ASTRAL.findall(text))


def cut(text: str, limit: int) -> str:
    """``text.substring(0, limit)``; half a surrogate pair becomes U+FFFD, as it is stored."""
    if len(text) <= limit and (text.isascii() or units(text) <= limit):
        return text
    if text.isascii():
        return text[:limit]
    encoded = text.encode("utf-16-le", "surrogatepass")[: limit * 2]
    return encoded.decode("utf-16-le", "replace")


def decode_uri(text: str) -> str:
    """``decodeURI``, or the text as it is where it is not validly encoded."""
    return _decode(text, _RESERVED)


def decode_uri_component(text: str) -> str:
    """``decodeURIComponent``, or the text as it is where it is not validly encoded."""
    return _decode(text, frozenset())


def _decode(text: str, reserved: frozenset[int]) -> str:
    if "%" not in text:
        return text
    if _BROKEN_ESCAPE.search(text):
        return text
    try:
        return _ESCAPES.sub(lambda found: _decode_run(found[0], reserved), text)
    except UnicodeDecodeError:
        return text


def _decode_run(run: str, reserved: frozenset[int]) -> str:
    raw = bytes.fromhex(run.replace("%", ""))
    if not reserved.intersection(raw):
        return raw.decode("utf-8")
    out: list[str] = []
    start = 0
    for place, byte in enumerate(raw):
        if byte in reserved:
            out += (raw[start:place].decode("utf-8"), run[place * 3 : place * 3 + 3])
            start = place + 1
    out.append(raw[start:].decode("utf-8"))
    return "".join(out)


def civil_date(days: int) -> tuple[int, int, int]:
    """Year, month and day of the proleptic Gregorian calendar, ``days`` after 1970-01-01.

    Python's own dates end in 9999; a time sent in milliseconds lands in 58864.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9  # noqa: PLR2004 - a year starts in March here
    year = year_of_era + era * 400 + (month <= 2)  # noqa: PLR2004 - January and February
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1


def iso_time(milliseconds: int) -> str:
    """``Date.toISOString()``."""
    seconds, rest = divmod(milliseconds, 1000)
    days, second = divmod(seconds, 86_400)
    year, month, day = civil_date(days)
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):06d}"  # noqa: PLR2004 - ECMA-262
    hour, minute = divmod(second // 60, 60)
    return f"{shown}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second % 60:02d}.{rest:03d}Z"
