"""What /api/send and /api/batch accept, with the error tree of zod 4 where they do not.

The tree is ``{"errors": […], "properties": {field: tree}, "items": [tree or null]}``, in the
order of the fields below, which is the order of Umami 3.1's own schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import ada_url

from ingestor.sandbox.javascript import MAX_SAFE_INTEGER, UNDEFINED, to_number, type_of, units

Json = dict[str, Any]
Tree = dict[str, Any]

TYPES: Final = ("event", "identify", "performance")

_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    r"|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff"
)


class Problem(NamedTuple):
    """Why one value is refused."""

    words: str
    final: bool = False  # the value has no right type: the payload's own rule is not asked


Check = Callable[[Any], Problem | None]


def is_uuid(value: str) -> bool:
    """As zod's ``z.uuid()``: RFC 9562, any case, or all zeros or ``f``."""
    return _UUID.fullmatch(value) is not None


@lru_cache(maxsize=16_384)
def is_url_or_path(value: str) -> bool:
    """``new URL(value, "https://localhost")`` does not throw."""
    return bool(ada_url.URL.can_parse(value, "https://localhost"))


def _wrong_type(expected: str, value: object) -> Problem:
    return Problem(f"Invalid input: expected {expected}, received {type_of(value)}", final=True)


def _text(value: object) -> Problem | None:
    return None if isinstance(value, str) else _wrong_type("string", value)


def _text_up_to(limit: int) -> Check:
    def check(value: object) -> Problem | None:
        if not isinstance(value, str):
            return _wrong_type("string", value)
        if len(value) * 2 <= limit or units(value) <= limit:
            return None
        return Problem(f"Too big: expected string to have <={limit} characters")

    return check


def _uuid(value: object) -> Problem | None:
    if not isinstance(value, str):
        return _wrong_type("string", value)
    return None if is_uuid(value) else Problem("Invalid UUID")


def _url(value: object) -> Problem | None:
    if not isinstance(value, str):
        return _wrong_type("string", value)
    return None if is_url_or_path(value) else Problem("Invalid URL.")


def _record(value: object) -> Problem | None:
    return None if isinstance(value, dict) else _wrong_type("record", value)


def _timestamp(value: object) -> Problem | None:
    number = value if type(value) is int else to_number(value)
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        return _wrong_type("number", number)
    if isinstance(number, float) and not number.is_integer():
        return Problem("Invalid input: expected int, received number", final=True)
    if number > MAX_SAFE_INTEGER:
        return Problem(f"Too big: expected int to be <={MAX_SAFE_INTEGER}")
    if number < -MAX_SAFE_INTEGER:
        return Problem(f"Too small: expected int to be >=-{MAX_SAFE_INTEGER}")
    return None


def _measure(limit: int) -> Check:
    def check(value: object) -> Problem | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _wrong_type("number", value)
        if value in (float("inf"), float("-inf")):
            return _wrong_type("number", value)
        if value < 0:
            return Problem("Too small: expected number to be >=0")
        return Problem(f"Too big: expected number to be <={limit}") if value > limit else None

    return check


FIELDS: Final[dict[str, Check]] = {
    "website": _uuid,
    "link": _uuid,
    "pixel": _uuid,
    "data": _record,
    "hostname": _text_up_to(100),
    "language": _text_up_to(35),
    "referrer": _url,
    "screen": _text_up_to(11),
    "title": _text,
    "url": _url,
    "name": _text_up_to(50),
    "tag": _text_up_to(50),
    "ip": _text,
    "userAgent": _text,
    "timestamp": _timestamp,
    "id": _text,
    "browser": _text,
    "os": _text,
    "device": _text,
    "lcp": _measure(60_000),
    "inp": _measure(60_000),
    "cls": _measure(100),
    "fcp": _measure(60_000),
    "ttfb": _measure(60_000),
}


def send_errors(body: object, unknown: frozenset[str] = frozenset()) -> Tree | None:
    """The error tree of a body of /api/send, or None where it is right.

    ``unknown`` names payload fields that this server is too old to know: they are not looked at.
    """
    if not isinstance(body, dict):
        return {"errors": [_wrong_type("object", body).words]}
    properties: Tree = {}
    if not (isinstance(kind := body.get("type"), str) and kind in TYPES):
        options = "|".join(f'"{name}"' for name in TYPES)
        properties["type"] = {"errors": [f"Invalid option: expected one of {options}"]}
    payload = body.get("payload", UNDEFINED)
    if not isinstance(payload, dict):
        properties["payload"] = {"errors": [_wrong_type("object", payload).words]}
    elif (tree := _payload_errors(payload, unknown)) is not None:
        properties["payload"] = tree
    return {"errors": [], "properties": properties} if properties else None


def _payload_errors(payload: Json, unknown: frozenset[str]) -> Tree | None:
    found: dict[str, list[str]] = {}
    final = False
    for name, check in FIELDS.items():
        if name not in payload or name in unknown:
            continue
        problem = check(payload[name])
        if problem is not None:
            found[name] = [problem.words]
            final = final or problem.final
    if not final and sum(1 for name in ("website", "link", "pixel") if payload.get(name)) != 1:
        found.setdefault("website", []).append(
            "Exactly one of website, link, or pixel must be provided"
        )
    if not found:
        return None
    return {"errors": [], "properties": {name: {"errors": words} for name, words in found.items()}}


def batch_errors(body: object) -> Tree | None:
    """The error tree of a body of /api/batch (an array of objects), or None."""
    if not isinstance(body, list):
        return {"errors": [_wrong_type("array", body).words]}
    found = {
        place: {"errors": [_wrong_type("record", each).words]}
        for place, each in enumerate(body)
        if not isinstance(each, dict)
    }
    if not found:
        return None
    return {"errors": [], "items": [found.get(place) for place in range(max(found) + 1)]}
