"""Which methods and statuses count, as an operator writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingestor.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATUS = re.compile(r"(!?)\s*(\d{3})(?:\s*-\s*(\d{3}))?", re.ASCII)
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def methods_of(methods: Sequence[str]) -> frozenset[str]:
    """Methods in upper case. Raises ConfigError."""
    if not methods:
        raise _nothing_counts("pageviews.methods", "[GET]")
    for i, method in enumerate(methods):
        if _METHOD.fullmatch(method) is None:
            key = f"pageviews.methods[{i}]"
            raise ConfigError(f"{key}: {method!r} is no HTTP method, such as GET.", key=key)
    return frozenset(method.upper() for method in methods)


def statuses_of(texts: Sequence[str]) -> frozenset[int]:
    """Codes and ranges; what begins with "!" is taken out again. Raises ConfigError."""
    meant: set[int] = set()
    unmeant: set[int] = set()
    for i, text in enumerate(texts):
        match = _STATUS.fullmatch(text.strip())
        first, last = (int(match[2]), int(match[3] or match[2])) if match else (1, 0)
        if match is None or first > last:
            key = f"pageviews.statuses[{i}]"
            raise ConfigError(
                f"{key}: {text!r} is no status. Write a code such as 304, a range such as "
                "200-299, or either with ! in front to leave it out.",
                key=key,
            )
        (unmeant if match[1] else meant).update(range(first, last + 1))
    if not meant - unmeant:
        raise _nothing_counts("pageviews.statuses", '["200-299", "304", "!204", "!206"]')
    return frozenset(meant - unmeant)


def _nothing_counts(key: str, example: str) -> ConfigError:
    return ConfigError(
        f"{key}: so nothing would be a page view. Name what counts, such as {example}.", key=key
    )
