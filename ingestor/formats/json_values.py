r"""One line's JSON object: read by the strict rules or, as servers write it, by lenient ones.

And the values in it, by the paths of a definition's variables. Lines are hostile: a key that stands
twice is refused, and nothing here recurses deeper than ordinary logs do.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import orjson

from ingestor.formats.format import END

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingestor.formats.extractor import Path
    from ingestor.formats.json_sources import RoleSource

_HEX = re.compile(rb"(?<!\\)((?:\\\\)*)\\x([0-9A-Fa-f]{2})")
_RAW = re.compile(r"[\ud800-\udfff]")  # raw bytes under surrogateescape, or halves of pairs
# A string; a key's with what servers put in place of a number that they do not have, or of which
# they have several: nothing, `-` or `0.1, 0.2 : 0.3`. One that does not end reaches to the end.
_NUMBERS = rb"(?:-|\d[\w.:/+-]*+)(?:(?:, | : | )(?:-|\d[\w.:/+-]*+))*"
_STRING = re.compile(
    rb'("[^"\\]*+(?:\\.[^"\\]*+)*)(?:("\s*+:\s*+)((?:' + _NUMBERS + rb')?)(?=\s*+[,}])|"|\\?\Z)',
    re.DOTALL,
)
_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_DEEP = 8  # objects in objects that ordinary logs have at most


class Unreadable(Exception):
    """The line is no JSON object, or its values have wrong types."""


class NotJson(Unreadable):
    """The line does not even follow JSON's grammar."""


def value_of(values: object, source: RoleSource) -> bytes:
    """Give the value of a source; b"" where it has none, or a hyphen."""
    value = _value(values, source.path, joined=source.joined)
    if value and source.pattern is not None:
        match = source.pattern.fullmatch(value)
        value = b"" if match is None else match[source.group]
    return b"" if value == b"-" else value


def _value(values: object, path: Path, *, joined: bool = False) -> bytes:
    """Follow a path; b"" where it ends early. Raises Unreadable for a value of a wrong type.

    ``joined``: of a list of a header's lines all count, as if they were one (RFC 9110, 5.3).
    """
    for step in path:
        if isinstance(step, int):
            if isinstance(values, list):
                if joined and all(isinstance(value, str) for value in values):
                    values = ", ".join(values) if values else None
                else:
                    values = values[step] if step < len(values) else None
        elif isinstance(values, dict):
            values = values.get(step)
        else:
            return b""
    if isinstance(values, str):
        return values.encode("utf-8", "surrogateescape")
    if values is None:
        return b""
    if isinstance(values, bool) or not isinstance(values, int | float):
        raise Unreadable
    return repr(values).encode()


def is_text(values: object, path: Path) -> bool:
    """Tell whether text stands at the end of a path."""
    for step in path:
        values = values.get(step) if isinstance(values, dict) else None
    return isinstance(values, str)


def strictly(line: bytes) -> dict[str, object]:
    """Read a line by the strict rules. Raises Unreadable."""
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        line = numbers_in_quotes(line)
        values = _leniently(line)
    if not isinstance(values, dict):
        raise Unreadable
    if line.count(b'":') != _keys(values):
        _leniently(line)  # perhaps only spaced otherwise, perhaps a key stands twice
    return values


def _leniently(line: bytes) -> object:
    r"""Read what strict JSON forbids and servers write: raw invalid bytes, ``\x22``.

    Keys that stand twice are refused: somebody put them there.
    """
    if b"\\x" in line:
        line = _HEX.sub(_from_hex, line)
    text = line.decode("utf-8", "surrogateescape")
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        again = json.dumps(values, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise NotJson from None
    if len(_RAW.findall(again)) != len(_RAW.findall(text)):
        raise Unreadable  # an escaped half of a surrogate pair: would pass for a raw byte
    return values


def trouble_of(line: bytes) -> tuple[int, str]:
    """Tell after how many bytes a line stops to be an object, and what is expected there."""
    mended = numbers_in_quotes(line)
    text = _HEX.sub(rb"\1\\\\\2", mended).decode("latin-1")  # a character a byte, none moved
    try:
        json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        if text[:1] == "{":
            expected = END if error.msg == "Extra data" else "valid JSON"
            return _without_quotes(line, error.pos), expected
    except Unreadable:
        return len(line), "no key twice"
    except (ValueError, RecursionError):
        pass
    return 0, "a JSON object"


def numbers_in_quotes(line: bytes) -> bytes:
    """Make text of what stands in place of a number: nginx's upstream times, Apache's ``%b``."""
    return _STRING.sub(_in_quotes, line)


def _in_quotes(match: re.Match[bytes]) -> bytes:
    string, colon, number = match.groups()
    if colon is None or _NUMBER.fullmatch(number):
        return match[0]
    return string + colon + b'"' + number + b'"'


def _without_quotes(line: bytes, at: int) -> int:
    """Tell where in a line stands what is at a place of it with its numbers in quotes."""
    for match in _STRING.finditer(line):
        if match.start() >= at:
            break
        if _in_quotes(match) != match[0]:
            at = max(at - 2, match.end())
    return at


def _from_hex(match: re.Match[bytes]) -> bytes:
    byte = int(match[2], 16)
    if byte < 0x20 or byte in b'"\\':  # noqa: PLR2004 - control characters stay escaped
        return match[1] + b"\\u%04x" % byte
    return match[1] + bytes([byte])


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Unreadable
    return values


def _refuse(_constant: str) -> object:
    raise Unreadable


def _keys(values: dict[str, object]) -> int:
    """Count the keys of an object and all in it; without recursion, for lines are hostile."""
    count = len(values)
    waiting: list[Iterable[object]] = [values.values()]
    while waiting:
        for value in waiting.pop():
            if isinstance(value, dict):
                count += len(value)
                waiting.append(value.values())
            elif isinstance(value, list):
                waiting.append(value)
    return count


def keys_in_objects(values: dict[str, object], depth: int = 0) -> int:
    """Count the keys of an object and those in it, not looking into lists or very deep."""
    count = len(values)
    for value in values.values():
        if type(value) is dict and depth < _DEEP:
            count += keys_in_objects(value, depth + 1)
    return count
