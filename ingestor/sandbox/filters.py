"""Query parameters of the read API → SQL conditions: dates, columns and operators.

``tag=a,b`` is one of both, ``tag=neq.a`` neither, ``c.``/``dnc.`` contain, ``re.``/``nre.`` match;
``match=any`` joins them by "or". Names may carry a number (``path1=…``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from ingestor.sandbox.javascript import to_number

FILTERS: Final = {  # query parameter → column
    "path": "records.url_path",
    "entry": "records.url_path",
    "exit": "records.url_path",
    "referrer": "records.referrer_domain",
    "domain": "records.referrer_domain",
    "hostname": "records.hostname",
    "distinctId": "sessions.distinct_id",
    "title": "records.title",
    "query": "records.url_query",
    "os": "sessions.os",
    "browser": "sessions.browser",
    "device": "sessions.device",
    "screen": "sessions.screen",
    "country": "sessions.country",
    "region": "sessions.region",
    "city": "sessions.city",
    "language": "sessions.language",
    "event": "records.event_name",
    "tag": "records.tag",
    "eventType": "records.event_type",
    "utmSource": "records.utm_source",
    "utmMedium": "records.utm_medium",
    "utmCampaign": "records.utm_campaign",
    "utmContent": "records.utm_content",
    "utmTerm": "records.utm_term",
}
SESSION_TYPES: Final = (
    "browser",
    "os",
    "device",
    "screen",
    "language",
    "country",
    "city",
    "region",
    "distinctId",
)
OTHER_SITE: Final = (
    "(records.referrer_domain is null or records.referrer_domain != no_www(records.hostname))"
)

_OPERATOR = re.compile(r"(eq|neq|s|ns|c|dnc|re|nre|t|f|gt|lt|gte|lte|bf|af)\.(.*)", re.DOTALL)
UNITS: Final = ("minute", "hour", "day", "month", "year")  # from the finest
_PAGE_SIZE: Final = 20


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows a request asks for. ``start`` and ``end`` in milliseconds, both included."""

    website: str
    start: float
    end: float
    conditions: str  # SQL, "" or beginning with "and"
    values: dict[str, Any]
    query: dict[str, str]

    @property
    def where(self) -> str:
        """The whole condition over ``records`` joined with ``sessions``."""
        return (
            "records.website = :website and records.created_at between :start / 1000.0"
            " and :end / 1000.0"
            f" {self.conditions}"
        )

    def between(self, start: float, end: float) -> Selection:
        """The same rows of another period."""
        values = {**self.values, "start": start, "end": end}
        return Selection(self.website, start, end, self.conditions, values, self.query)


def select(website: str, query: dict[str, str], reset_at: int | None) -> Selection:
    """The selection of a request; rows older than the website's reset are never in it."""
    start = float(to_number(query["startAt"]))
    end = float(to_number(query["endAt"]))
    if reset_at is not None:
        start = max(start, reset_at)
    conditions, values = _conditions(query)
    values |= {"website": website, "start": start, "end": end}
    return Selection(website, start, end, conditions, values, query)


def _conditions(query: dict[str, str]) -> tuple[str, dict[str, Any]]:
    either: list[str] = []
    always: list[str] = []
    values: dict[str, Any] = {}
    for name, text in query.items():
        base = re.sub(r"\d+$", "", name)
        if base not in FILTERS:
            continue
        clause = _clause(FILTERS[base], f"f{len(values)}_", text, values, base)
        (either if query.get("match") == "any" and base != "eventType" else always).append(clause)
        if base == "referrer":
            always.append(OTHER_SITE)
    if either:
        always.insert(0, f"({' or '.join(either)})")
    return "".join(f" and {clause}" for clause in always), values


def _clause(column: str, prefix: str, text: str, values: dict[str, Any], name: str) -> str:
    found = _OPERATOR.fullmatch(text)
    operator, value = (found[1], found[2]) if found else ("eq", text)
    if operator in ("eq", "neq"):
        choices = value.split(",")
        names = [f"{prefix}{place}" for place in range(len(choices))]
        for each, choice in zip(names, choices, strict=True):
            values[each] = int(to_number(choice)) if name == "eventType" else choice
        listed = ", ".join(f":{each}" for each in names)
        return f"{column} {'not ' if operator == 'neq' else ''}in ({listed})"
    values[prefix] = f"%{value}%" if operator in ("c", "dnc") else value
    if operator in ("c", "dnc"):
        return f"{column} {'not ' if operator == 'dnc' else ''}like :{prefix}"
    if operator in ("re", "nre"):
        return f"{'not ' if operator == 'nre' else ''}matches(:{prefix}, {column})"
    return f":{prefix} is not null"


def query_errors(query: dict[str, str], *, dates: bool = True) -> dict[str, Any] | None:
    """The error tree of a query, or None."""
    properties: dict[str, Any] = {}
    for name in ("startAt", "endAt", "page", "pageSize", "limit", "offset"):
        if name in query:
            number = to_number(query[name])
            if number != number:  # noqa: PLR0124 - NaN
                words = "Invalid input: expected number, received NaN"
                properties[name] = {"errors": [words]}
            elif name in ("page", "pageSize") and (words_of := _positive(number)):
                properties[name] = {"errors": [words_of]}
    if (unit := query.get("unit")) is not None and unit not in UNITS:
        properties["unit"] = {"errors": ["Invalid unit"]}
    missing = "Either startAt+endAt or startDate+endDate must be provided"
    lacks = dates and not ("startAt" in query and "endAt" in query)
    if not properties and not lacks:
        return None
    tree: dict[str, Any] = {"errors": [missing] if lacks and not properties else []}
    if properties:
        tree["properties"] = properties
    return tree


def _positive(number: float) -> str | None:
    if number != int(number):
        return "Invalid input: expected int, received number"
    return "Too small: expected number to be >0" if number <= 0 else None


def paging(query: dict[str, str]) -> tuple[int, int]:
    """Page (from 1) and its size."""
    page = int(to_number(query.get("page", "1")))
    return page, int(to_number(query.get("pageSize", _PAGE_SIZE)))
