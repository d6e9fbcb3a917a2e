"""Asks Umami about a website: when it was reset, and how many page views it has, day by day."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ingestor.delivery.listing import believed, disbelieved, moment_of
from ingestor.delivery.lookup import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingestor.delivery.answers import Raw
    from ingestor.delivery.umami import Umami

_SPAN = 180 * 86_400  # seconds asked about at a time: of more, Umami tells only months
_DATE = 10  # characters of 2026-01-31


class WebsiteFacts(NamedTuple):
    """What Umami says of a website."""

    name: str
    reset_at: float | None  # Unix seconds; page views before it are hidden


class Reader:
    """What a login may read. ``wall`` gives Unix seconds.

    Every method raises TryAgain, BadCredentials, and CannotTell where this server does not say.
    """

    def __init__(
        self,
        umami: Umami,
        *,
        username: str,
        password: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._lookup = Lookup(umami, username=username, password=password, wall=wall)

    async def website(self, website: str) -> WebsiteFacts | None:
        """What there is to know of a website; None where this login sees none of that id."""
        return await self._lookup.get(f"/api/websites/{website}", {}, read_website)

    async def see_tags(self, website: str) -> None:
        """See whether page views of a tag can be looked up here, as exactly-once does."""
        await self._lookup.see_tags(website)

    async def date_range(self, website: str) -> tuple[float, float] | None:
        """Unix seconds of the first and the last page view; None where there is none."""
        return await self._lookup.get(f"/api/websites/{website}/daterange", {}, read_range)

    async def by_day(self, website: str, first: int, last: int) -> dict[str, int]:
        """Count the page views from ``first`` to ``last``, both included, by day (UTC)."""
        found: dict[str, int] = {}
        start = first
        while start <= last:
            end = min(last, start + _SPAN)
            query = {
                "startAt": str(start * 1000),
                "endAt": str(end * 1000 + 999),
                "unit": "day",
                "timezone": "UTC",
            }
            path = f"/api/websites/{website}/pageviews"
            for day, count in (await self._lookup.get(path, query, read_days)).items():
                found[day] = found.get(day, 0) + count
            start = end + 1
        return found


def read_website(raw: Raw, *, now: float) -> WebsiteFacts | None:
    """Read a website's facts. Raises what `believed` raises, as all that follow."""
    body = believed(raw, now)
    if body is None:
        return None
    if not isinstance(body, dict) or "id" not in body:
        raise disbelieved(raw)
    reset = body.get("resetAt")
    return WebsiteFacts(str(body.get("name", "")), None if reset is None else moment_of(reset))


def read_range(raw: Raw, *, now: float) -> tuple[float, float] | None:
    """Read the times of the first and the last page view."""
    body = believed(raw, now)
    if not isinstance(body, dict):
        raise disbelieved(raw)
    # 2.x says mindate and maxdate
    first = moment_of(body.get("startDate", body.get("mindate")))
    last = moment_of(body.get("endDate", body.get("maxdate")))
    return None if first is None or last is None else (first, last)


def read_days(raw: Raw, *, now: float) -> dict[str, int]:
    """Read page views by day: ``2026-01-31`` → count."""
    body = believed(raw, now)
    rows = body.get("pageviews") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise disbelieved(raw)
    found: dict[str, int] = {}
    for row in rows:
        try:
            day, count = str(row["x"])[:_DATE], int(row["y"])
        except (TypeError, ValueError, KeyError):
            raise disbelieved(raw) from None
        found[day] = found.get(day, 0) + count
    return found
