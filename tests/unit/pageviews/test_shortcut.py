"""The raw columns of plain lines: ordinary ones are decided, as their hits would be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingestor.model import Hit, content_of
from ingestor.pageviews import Rules

COLUMNS = {
    "address": 0, "host": 1, "referrer": 2, "user_agent": 3, "accept_language": 4,
    "purpose": 5, "fetch_dest": 6,
}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "exclude_hosts": ("old.*",),
    "exclude_addresses": ("192.0.2.0/24",),
    "exclude_referrers": ("*.spam.example",),
    "exclude_parameters": ("preview",),
    "strip_query": ("fbclid",),
}


def shortcut(rules: Rules, hit: Hit) -> Any:
    """The verdict on the line of a hit; what is not told is logged as a dash."""

    def texts(name: str) -> list[bytes]:
        return [(getattr(hit, name) or "-").encode()]

    find = rules.shortcut(COLUMNS, None)
    assert find is not None
    (found,) = find(texts, [hit.time])
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target": "/a/b?c=d&e"},
        {"target": "/a?preview=1"},
        {"target": "/a?b=c&fbclid=1"},
        {"host": "Www.Example.com:443"},
        {"host": "elsewhere.example"},
        {"host": "old.example.com"},
        {"address": "192.0.2.7"},
        {"address": "2001:db8::7"},
        {"referrer": "https://www.example.org/x?y=z"},
        {"referrer": "https://example.com/own"},
        {"referrer": "https://www.spam.example/"},
        {"accept_language": "pt-br,en;q=0.5"},
        {"fetch_dest": "document"},
        {"user_agent": "Mozilla/5.0 (X11; Linux x86_64) Möbius/1.0"},
        {"time": 1_700_000_000},
    ],
    ids=str,
)
def test_an_ordinary_line_needs_no_hit_and_is_judged_as_its_hit_would_be(
    changes: dict[str, Any], hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(since=1_750_000_000, **OPTIONS)
    verdict = ours.page_view(hit(**changes))
    expected = content_of(*verdict) if isinstance(verdict, tuple) else verdict
    assert shortcut(ours, hit(**changes)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "unix:"},
        {"target": "//double/slash"},
        {"target": "/caf\xe9"},
        {"purpose": "prefetch"},
        {"fetch_dest": "image"},
    ],
    ids=str,
)
def test_what_is_out_of_the_ordinary_is_left_to_the_hit(
    changes: dict[str, Any], hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert shortcut(rules(), hit(**changes)) is None
