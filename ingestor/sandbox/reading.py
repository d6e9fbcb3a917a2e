"""The read API over what was stored: stats, events, metrics, page views by time, sessions.

Rules as in Umami 3.1's PostgreSQL queries; a metric's ``y`` counts visitors, not page views.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingestor.sandbox.filters import FILTERS, OTHER_SITE, SESSION_TYPES, UNITS, Selection, paging
from ingestor.sandbox.javascript import civil_date, iso_time, to_number

if TYPE_CHECKING:
    from ingestor.sandbox.store import Store, Website

Json = dict[str, Any]

EVENT_TYPES: Final = (
    "path",
    "entry",
    "exit",
    "referrer",
    "domain",
    "title",
    "query",
    "event",
    "tag",
    "hostname",
    "utmSource",
    "utmMedium",
    "utmCampaign",
    "utmContent",
    "utmTerm",
)
STATS: Final = ("pageviews", "visitors", "visits", "bounces", "totaltime")

_FROM: Final = (
    "from records left join sessions"
    " on sessions.id = records.session_id and sessions.website = records.website"
)
_COUNTED: Final = "and records.event_type not in (2, 5)"


class Reader:
    """Answers questions about a store. It never changes it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def stats(self, selection: Selection) -> Json:
        """Counts of the period, and of the one just before as ``comparison``."""
        minutes = int((selection.end - selection.start) / 60_000)
        shift = minutes * 60_000
        before = selection.between(selection.start - shift, selection.end - shift)
        return {**self._stats(selection), "comparison": self._stats(before)}

    def _stats(self, selection: Selection) -> Json:
        sql = f"""
            select coalesce(sum(c), 0), count(distinct session_id), count(distinct visit_id),
                coalesce(sum(c = 1), 0), coalesce(sum(last - first), 0)
            from (select records.session_id, records.visit_id, count(*) c,
                min(records.created_at) first, max(records.created_at) last
                {_FROM} where {selection.where} {_COUNTED} group by 1, 2)
        """  # noqa: S608 - our own column names; values are bound
        row = next(iter(self._store.query(sql, selection.values)))
        return dict(zip(STATS, row, strict=True))

    def events(self, selection: Selection) -> Json:
        """The stored rows, the newest first, a page of them."""
        search = (
            "and (event_name like :search and event_type = 2"
            " or url_path like :search and event_type = 1)"
        )
        text = selection.query.get("search")
        rows = f"{_FROM} where {selection.where} {search if text else ''}"
        values = {**selection.values, "search": text}
        page, size = paging(selection.query)
        sql = f"""
            select records.id, records.website, session_id, records.created_at, hostname,
                url_path, url_query, referrer_path, referrer_query, referrer_domain, country,
                city, device, os, browser, title, event_type, event_name,
                exists (select 1 from record_data where record = records.id)
            {rows} order by records.created_at desc, records.id desc limit :size offset :from
        """  # noqa: S608 - our own column names; values are bound
        values |= {"size": size, "from": size * (page - 1)}
        data = [_event(row) for row in self._store.query(sql, values)]
        return {"data": data, "count": self._count(rows, values), "page": page, "pageSize": size}

    def _count(self, rows: str, values: Json) -> int:
        sql = f"select count(*) {rows}"
        return int(next(iter(self._store.query(sql, values)))[0])

    def sessions(self, selection: Selection) -> Json:
        """The visitors of the period, the latest first, a page of them."""
        text = selection.query.get("search")
        fields = ("distinct_id", "city", "browser", "os", "device")
        search = " or ".join(f"sessions.{name} like :search" for name in fields)
        rows = f"""{_FROM} where {selection.where} and sessions.id is not null
            {f"and ({search})" if text else ""} group by sessions.id, records.hostname"""
        values = {**selection.values, "search": f"%{text}%"}
        page, size = paging(selection.query)
        values |= {"size": size, "from": size * (page - 1)}
        sql = f"""
            select sessions.id, sessions.website, records.hostname, browser, os, device, screen,
                language, country, region, city, min(records.created_at),
                max(records.created_at), count(distinct visit_id), sum(event_type = 1),
                sum(event_type = 2)
            {rows} order by max(records.created_at) desc limit :size offset :from
        """
        data = [_session(row) for row in self._store.query(sql, values)]
        count = self._count(f"from (select 1 {rows})", values)
        return {"data": data, "count": count, "page": page, "pageSize": size}

    def metrics(self, kind: str, selection: Selection) -> list[Json] | None:
        """Visitors by a column's values; None where there is no such column."""
        if (column := _column(kind)) is None:
            return None
        counted = "count(distinct records.session_id)"
        where = f"{_COUNTED} and {column} != ''"
        if kind == "event":
            counted, where = "count(*)", "and records.event_type = 2"
        where += _own_excluded(kind)
        extra = ", sessions.country" if kind in ("city", "region") else ""
        sql = f"""
            select {column} x, {counted} y {extra} {_FROM} where {selection.where} {where}
            group by 1 {extra} order by 2 desc, 1 limit :limit offset :offset
        """
        names = ("x", "y", "country") if extra else ("x", "y")
        rows = self._store.query(sql, selection.values | _limits(selection.query))
        return [dict(zip(names, row, strict=True)) for row in rows]

    def expanded_metrics(self, kind: str, selection: Selection) -> list[Json] | None:
        """All the counts by a column's values; None where there is no such column."""
        if (column := _column(kind)) is None:
            return None
        counted = "and records.event_type = 2" if kind == "event" else _COUNTED
        sql = f"""
            select name, sum(c), count(distinct session_id), count(distinct visit_id) visits,
                sum(c = 1), sum(last - first)
            from (select {column} name, records.session_id, records.visit_id, count(*) c,
                min(records.created_at) first, max(records.created_at) last
                {_FROM} where {selection.where} {counted} {_own_excluded(kind)} group by 1, 2, 3)
            where name != '' group by name order by 3 desc, visits desc, name
            limit :limit offset :offset
        """  # noqa: S608 - our own column names; values are bound
        rows = self._store.query(sql, selection.values | _limits(selection.query))
        found = [dict(zip(("name", *STATS), row, strict=True)) for row in rows]
        # PostgreSQL's sums of these are numeric, which Umami hands on as text
        return [
            row | {name: str(row[name]) for name in ("pageviews", "totaltime")} for row in found
        ]

    def page_views_by_time(self, selection: Selection) -> Json:
        """Page views and visitors by ``unit`` in ``timezone``."""
        zone = selection.query.get("timezone", "utc")
        unit = _unit(selection)
        sql = f"""
            select records.created_at, records.session_id
            {_FROM} where {selection.where} {_COUNTED} order by 1
        """
        views: dict[str, int] = {}
        visitors: dict[str, set[str]] = {}
        for created_at, session in self._store.query(sql, selection.values):
            label = bucket(created_at, unit, zone)
            views[label] = views.get(label, 0) + 1
            visitors.setdefault(label, set()).add(session)
        return {
            "pageviews": [{"x": x, "y": y} for x, y in views.items()],
            "sessions": [{"x": x, "y": len(those)} for x, those in visitors.items()],
        }

    def date_range(self, website: str) -> Json:
        """The first and the last row's time since 2000."""
        sql = """
            select min(created_at), max(created_at) from records
            where website = ? and created_at >= 946684800
        """
        first, last = next(iter(self._store.query(sql, (website,))))
        return {"startDate": _shown(first), "endDate": _shown(last)}

    def website(self, website: Website, *, owner: bool = False) -> Json:
        """A website; in lists with its ``owner``."""
        user = {"user": {"username": "admin", "id": self._store.user_id}} if owner else {}
        return {
            "id": website.id,
            "name": website.name,
            "domain": website.domain,
            "resetAt": None if website.reset_at is None else iso_time(website.reset_at),
            "userId": self._store.user_id,
            "teamId": None,
            "createdBy": self._store.user_id,
            "createdAt": iso_time(website.created_at),
            "updatedAt": iso_time(website.updated_at),
            "deletedAt": None,
            "replayEnabled": False,
            "replayConfig": None,
            **user,
            "shareId": None,
        }

    def websites(self, query: dict[str, str]) -> Json:
        """A page of the websites; ``search`` looks into name and domain."""
        text = query.get("search", "").lower()
        found = [
            website
            for website in self._store.websites.values()
            if text in website.name.lower() or text in (website.domain or "").lower()
        ]
        page, size = paging(query)
        shown = found[size * (page - 1) : size * page]
        searched = {"search": query["search"]} if text else {}
        return {
            "data": [self.website(website, owner=True) for website in shown],
            "count": len(found),
            "page": page,
            "pageSize": size,
            **searched,
        }


def _shown(seconds: int | None) -> str | None:
    return None if seconds is None else iso_time(seconds * 1000)


def record_uuid(number: int) -> str:
    """The id that the read API gives a row: its number in a UUID's shape."""
    return f"00000000-0000-4000-8000-{number:012x}"


def _event(row: Any) -> Json:
    return {
        "id": record_uuid(row[0]),
        "websiteId": row[1],
        "sessionId": row[2],
        "createdAt": _shown(row[3]),
        "hostname": row[4],
        "urlPath": row[5],
        "urlQuery": row[6],
        "referrerPath": row[7],
        "referrerQuery": row[8],
        "referrerDomain": row[9],
        "country": row[10],
        "city": row[11],
        "device": row[12],
        "os": row[13],
        "browser": row[14],
        "pageTitle": row[15],
        "eventType": row[16],
        "eventName": row[17],
        "hasData": bool(row[18]),
    }


def _session(row: Any) -> Json:
    names = ("id", "websiteId", "hostname", "browser", "os", "device", "screen", "language")
    return {
        **dict(zip((*names, "country", "region", "city"), row[:11], strict=True)),
        "firstAt": _shown(row[11]),
        "lastAt": _shown(row[12]),
        "visits": row[13],
        "views": row[14],
        "events": row[15],
        "createdAt": _shown(row[12]),
    }


def _column(kind: str) -> str | None:
    if kind == "language":
        return "lower(substr(sessions.language, 1, 2))"
    if kind in ("entry", "exit"):
        order = "" if kind == "entry" else "desc"
        return (
            "(select url_path from records r where r.visit_id = records.visit_id"  # noqa: S608 - our own column names; values are bound
            f" and r.event_type not in (2, 5) order by created_at {order}, id {order} limit 1)"
        )
    return FILTERS[kind] if kind in EVENT_TYPES or kind in SESSION_TYPES else None


def _own_excluded(kind: str) -> str:
    if kind not in ("referrer", "domain"):
        return ""
    return f" and {OTHER_SITE} and records.referrer_domain != ''"


def _limits(query: dict[str, str]) -> Json:
    return {
        "limit": int(to_number(query.get("limit", 500))),
        "offset": int(to_number(query.get("offset", 0))),
    }


def _unit(selection: Selection) -> str:
    """The unit asked for, unless it is finer than Umami allows for the period."""
    minutes = int((selection.end - selection.start) / 60_000)
    finest = "minute" if minutes <= 60 else "hour" if minutes <= 31 * 1440 - 1 else "day"  # noqa: PLR2004 - Umami's limits
    months = _month(selection.end) - _month(selection.start)
    if finest == "day" and months > 7:  # noqa: PLR2004 - Umami's limits
        finest = "month" if months <= 24 else "year"  # noqa: PLR2004 - Umami's limits
    allowed = UNITS[UNITS.index("month" if finest == "year" else finest) :]
    wanted = selection.query.get("unit", "")
    return wanted if wanted in allowed else finest


def _month(milliseconds: float) -> int:
    """Months of the calendar (UTC), counted from its year 0."""
    year, month, _ = civil_date(int(milliseconds // 86_400_000))
    return year * 12 + month


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def is_timezone(name: str) -> bool:
    """Whether it is a zone's name."""
    return name == "utc" or _zone(name) is not None


def bucket(created_at: int, unit: str, zone: str) -> str:
    """The start of the unit that a time lies in, as Umami labels it."""
    offset = 0
    if zone != "utc" and (info := _zone(zone)) is not None and 0 <= created_at < 253_402_300_800:  # noqa: PLR2004 - the year 10000
        offset_of = datetime.fromtimestamp(created_at, UTC).astimezone(info).utcoffset()
        offset = int(offset_of.total_seconds()) if offset_of else 0
    days, second = divmod(created_at + offset, 86_400)
    year, month, day = civil_date(days)
    hour = second // 3600 if unit in ("minute", "hour") else 0
    minute = second // 60 % 60 if unit == "minute" else 0
    if unit in ("month", "year"):
        month, day = (1 if unit == "year" else month), 1
    between, end = ("T", "Z") if zone == "utc" else (" ", "")
    return f"{year:04d}-{month:02d}-{day:02d}{between}{hour:02d}:{minute:02d}:00{end}"
