"""A JSON definition says where in a line's object each role's value stands.

It is a JSON object whose values are nginx variables, or texts with some in them. Where its variable
is unknown, as one of a ``map``, a key's name tells what it holds.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from ingestor.errors import FormatError
from ingestor.formats.compiler import merged
from ingestor.formats.extractor import Path, Source
from ingestor.formats.fields import Decoding, Escape, Field, Part, Role
from ingestor.formats.keys import KEYS
from ingestor.formats.matcher import Matcher, captured_groups
from ingestor.formats.nginx import OF_NO_USE, nginx_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

_BARE = re.compile(r'"(?:[^"\\]|\\.)*"|\$(?:\{[A-Za-z0-9_]+\}|[A-Za-z0-9_]+)')
_GUESSED = 50  # added to a rank: behind the variables that are known
_LAST = 100  # … and behind all others


class RoleSource(NamedTuple):
    """Where a role's value stands in a line's object."""

    path: Path
    pattern: re.Pattern[bytes] | None  # the value holds more than this role
    group: int
    joined: bool  # in a list of several, all count
    whole: bool  # a target with its query
    hyphen: bool  # … and nginx writes a hyphen behind it where it has none

    @property
    def plain(self) -> Source:
        """Tell the extractor about it."""
        return Source(self.path, self.pattern is None and not self.hyphen, self.joined)


def template(definition: str) -> dict[str, object]:
    """Read a definition as JSON; variables without quotes get some. Raises FormatError."""
    quoted = _BARE.sub(
        lambda match: match[0] if match[0][0] == '"' else f'"{match[0]}"', definition
    )
    try:
        values = json.loads(quoted)
    except ValueError as error:
        raise FormatError(f"no JSON object: {error}") from None
    if not isinstance(values, dict):
        raise FormatError("no JSON object")
    return values


def sources_of(
    values: dict[str, object], *, hyphens: bool = False
) -> list[tuple[Role, RoleSource]]:
    """List roles and where they stand, the variables that tell them best first.

    ``hyphens``: nginx wrote the lines with its default escapes. Raises FormatError where a text
    with variables could not be read with certainty.
    """
    ranked: list[tuple[int, Role, RoleSource]] = []
    for path, text in _leaves(values, ()):
        if "$" not in text:
            continue
        parts = merged(nginx_parts(text))
        by_key = len(parts) == 1 and _is_unknown(parts[0]) and path[-1] in KEYS
        if by_key:
            parts = nginx_parts(f"${KEYS[str(path[-1])]}")  # a variable of a map: its key tells
        fields = [part for part in parts if isinstance(part, Field) and part.meaning.role]
        alone = len(parts) == 1
        pattern = None if alone else Matcher(parts, Escape.NONE).compile(fields)
        groups = [1] if pattern is None else captured_groups(pattern)
        for group, field in zip(groups, fields, strict=False):  # alone it may have no role
            role = field.meaning.role
            rank = field.meaning.rank * 2 + (not alone) + by_key * _GUESSED
            joined = role is Role.FORWARDED_FOR and isinstance(path[-1], int)
            hyphen = hyphens and field.meaning.decoding is Decoding.HYPHEN
            source = RoleSource(path, pattern, group, joined, field.meaning.has_query, hyphen)
            ranked.append((rank, role, source))
            if role is Role.REAL_IP:  # stands in where nothing else tells an address
                ranked.append((rank + _LAST, Role.ADDRESS, source))
    if any(role is Role.ADDRESS for _, role, _ in ranked):  # … and last X-Forwarded-For
        lists = [each for each in ranked if each[1] is Role.FORWARDED_FOR]
        ranked += [(rank + 2 * _LAST, Role.ADDRESS, source) for rank, _, source in lists]
    ranked.sort(key=lambda each: each[0])
    return [(role, source) for _, role, source in ranked]


def _is_unknown(part: Part) -> bool:
    """Tell whether nobody but the configuration knows what a variable holds."""
    if not isinstance(part, Field) or part.meaning.role:
        return False
    return part.text.removeprefix("$") not in OF_NO_USE


def _leaves(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _leaves(inner, (*path, at))
    elif isinstance(value, str):
        yield path, value
