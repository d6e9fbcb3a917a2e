"""Lists of globs and regular expressions, as an operator writes them, compiled once.

One notation everywhere. A glob stands for the whole value, in upper or lower case: ``*`` is any
text, with slashes, ``?`` is one character, ``[abc]`` one of these. ``re:`` begins a regular
expression (Python's ``re``, as written, found anywhere in the value).

Visitors choose the values, so ordinary globs never become regular expressions: ``x``, ``x*``,
``*x`` and ``*x*`` are looked up as they are, in time that grows with the value's length alone.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from ingestor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIMPLE = re.compile(r"(\*?)([^*?\[]*)(\*?)")
_QUERY = re.compile(r"(?!re:)[^?]*\?[\w.*-]+=.*", re.DOTALL)  # "?" is any one character
PREFIX = "re:"
GLOB = re.compile(r"[*?\[]")  # a character that stands for others
_SHOWN = 200  # characters of a pattern in an error


class Patterns:
    """Does a value match one of a list? Empty: nothing matches. ``key`` names it in errors."""

    def __init__(self, patterns: Sequence[str], key: str) -> None:
        exact: set[str] = set()
        starts: list[str] = []
        ends: list[str] = []
        inside: list[str] = []
        self._globs: list[tuple[str, re.Pattern[str]]] = []
        self._regexes: list[re.Pattern[str]] = []
        for i, pattern in enumerate(patterns):
            if pattern.startswith(PREFIX):
                self._regexes.append(_regex(pattern, f"{key}[{i}]"))
                continue
            lowered = pattern.lower()
            match = _SIMPLE.fullmatch(lowered)
            if match is None:
                # The longest plain piece of it is looked for first.
                piece = max(re.split(r"\[.*\]|[*?\[]", lowered), key=len)
                self._globs.append((piece, re.compile(fnmatch.translate(lowered))))
                continue
            place = {("", ""): exact.add, ("", "*"): starts.append, ("*", ""): ends.append}
            place.get((match[1], match[3]), inside.append)(match[2])
        self._exact = frozenset(exact)
        self._starts = tuple(starts)
        self._ends = tuple(ends)
        self._inside = tuple(inside)
        self._any = bool(patterns)

    def __bool__(self) -> bool:
        return self._any

    def match(self, value: str) -> bool:
        """Whether one of the patterns matches ``value``."""
        if not self._any:
            return False
        lowered = value.lower()
        if (
            lowered in self._exact
            or lowered.startswith(self._starts)
            or lowered.endswith(self._ends)
        ):
            return True
        for inside in self._inside:  # no generators: each costs as much as three look-ups
            if inside in lowered:
                return True
        for piece, glob in self._globs:
            if piece in lowered and glob.match(lowered) is not None:
                return True
        if not self._regexes:
            return False
        return any(regex.search(value) is not None for regex in self._regexes)


def is_pattern(text: str) -> bool:
    """Whether a text of a list of patterns stands for more than itself."""
    return text.startswith(PREFIX) or GLOB.search(text) is not None


def path_patterns(patterns: Sequence[str], key: str) -> Patterns:
    """Patterns over paths, all of which begin with a slash; ``key`` names them in errors."""
    for i, pattern in enumerate(patterns):
        if not pattern.startswith(("/", "*", "?", "[", PREFIX)):
            raise ConfigError(
                f"{key}[{i}]: {pattern[:_SHOWN]!r} matches no path: it stands for the whole path, "
                "which begins with a slash. Write /private, /private/*, */private or re:private.",
                key=f"{key}[{i}]",
            )
        if _QUERY.fullmatch(pattern) is not None:
            raise ConfigError(
                f"{key}[{i}]: {pattern[:_SHOWN]!r} matches no path: the query does not belong to "
                "it. pageviews.exclude_parameters takes name or name=value.",
                key=f"{key}[{i}]",
            )
    return Patterns(patterns, key)


def _regex(pattern: str, key: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern[len(PREFIX) :])
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        why = f"{error.msg}{where} after 're:'"
    except (OverflowError, RecursionError, ValueError) as error:  # a{9999999999}, (((…, (?a)(?u)
        deep = isinstance(error, RecursionError)
        why = "its groups are nested too deeply" if deep else str(error)
    shown = pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}…"
    raise ConfigError(
        f"{key}: {shown!r} is no regular expression: {why}. "
        "Without 're:' it is a glob, such as /private/*.",
        key=key,
    )
