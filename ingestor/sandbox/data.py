"""An event's or a visitor's `data`: flattened to typed keys, or the trouble that it makes.

The row itself is stored by then, so whatever fails here leaves it behind.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from ingestor.sandbox.answers import (
    nul,
    out_of_range,
    script_error,
    too_long,
    validation_error,
)
from ingestor.sandbox.javascript import to_number, to_text
from ingestor.sandbox.store import Datum

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRING, _NUMBER, _BOOLEAN, _DATE, _ARRAY = 1, 2, 3, 4, 5
_LENGTH: Final = 500  # characters of a key and of a string
_TOO_MUCH: Final = 1e15  # numeric(19,4)
_CURRENCY: Final = 10  # characters
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{3}(?:Z|\+[0-9]{2}:[0-9]{2})?)?"
)


def flatten(data: dict[str, Any], model: str, call: str) -> list[Datum]:
    """The rows of ``data``; raises ServerTrouble where one cannot be stored."""
    rows = [_datum(name, value) for name, value in _leaves(data, "")]
    texts = [text for row in rows for text in (row.name, row.string_value) if text is not None]
    if any("\0" in text for text in texts):
        raise nul()
    if any(len(text.rstrip(" ")) > _LENGTH for text in texts):
        raise too_long(model, call, _LENGTH)
    if any(abs(round(row.number_value or 0, 4)) >= _TOO_MUCH for row in rows):
        raise out_of_range(model, call)
    return rows


def _leaves(data: dict[str, Any], parent: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        name = f"{parent}.{key}" if parent else key
        if isinstance(value, dict):
            yield from _leaves(value, name)
        else:
            yield name, value


def _datum(name: str, value: object) -> Datum:
    if isinstance(value, bool):
        return Datum(name, "true" if value else "false", None, None, _BOOLEAN)
    if isinstance(value, int | float):
        return Datum(name, f"{value:.4f}", float(value), None, _NUMBER)
    if isinstance(value, str):
        if _TIME.fullmatch(value):
            return Datum(name, value, None, _milliseconds(value), _DATE)
        return Datum(name, value, None, None, _STRING)
    return Datum(name, orjson.dumps(value).decode(), None, None, _ARRAY)


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise script_error("RangeError", "Invalid time value") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def check_revenue(data: dict[str, Any], name: str | None) -> None:
    """A revenue row wants a name: raises ServerTrouble where Umami's insert would fail."""
    revenue, currency = to_number(data.get("revenue", math.nan)), data.get("currency")
    if not (revenue > 0 and currency):
        return
    if name is None or not isinstance(currency, str):
        argument = "eventName" if name is None else "currency"
        raise validation_error("revenue.create", f"Argument `{argument}` is missing.")
    if "\0" in to_text(currency):
        raise nul()
    if len(currency.rstrip(" ")) > _CURRENCY:
        raise too_long("Revenue", "revenue.create", _CURRENCY)
