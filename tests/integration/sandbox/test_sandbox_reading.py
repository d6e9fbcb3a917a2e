"""The read API over a few stored visits: every route, its filters, its refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from ingestor.sandbox import Sandbox, SandboxOptions

Entry = Callable[..., dict[str, Any]]
Ask = Callable[..., Awaitable[Any]]

START = 1_790_000_000
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
async def token(sandbox: Sandbox, client: aiohttp.ClientSession) -> str:
    body = {"username": "admin", "password": "umami"}
    async with client.post(sandbox.url + "/api/auth/login", json=body) as response:
        return str((await response.json())["token"])


@pytest.fixture
def ask(sandbox: Sandbox, client: aiohttp.ClientSession, token: str, website: str) -> Ask:
    async def get(route: str, status: int = 200, **query: Any) -> Any:
        path = f"/api/websites/{website}/{route}".rstrip("/")
        params = {"startAt": START * 1000, "endAt": (START + 7200) * 1000} | query
        headers = {"Authorization": f"Bearer {token}"}
        url = sandbox.url + path
        async with client.get(url, params=params, headers=headers) as response:
            assert response.status == status
            return await response.json()

    return get


@pytest.fixture
async def visits(sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry) -> None:
    """One visitor with three page views in two visits, another with one, and an event."""
    entries = [
        entry(url="/a?utm_source=news", timestamp=START, tag="t1"),
        entry(url="/b", timestamp=START + 60, referrer="https://www.google.com/"),
        entry(url="/a", timestamp=START + 3600),
        entry(url="/c", timestamp=START + 5, userAgent=FIREFOX, language="de-DE", tag="t2"),
        entry(url="/c", timestamp=START + 6, name="download", data={"file": "x"}),
        entry(url="/other-time", timestamp=START - 86_400),
    ]
    async with client.post(sandbox.url + "/api/batch", json=entries) as response:
        assert (await response.json())["errors"] == 0


@pytest.mark.usefixtures("visits")
async def test_stats_count_page_views_visitors_visits_and_bounces(ask: Ask) -> None:
    stats = await ask("stats")
    comparison = stats.pop("comparison")
    assert stats == {"pageviews": 4, "visitors": 2, "visits": 3, "bounces": 2, "totaltime": 60}
    assert comparison["pageviews"] == 1  # both ends of a period belong to it


@pytest.mark.usefixtures("visits")
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"tag": "t1"}, 1),
        ({"tag": "t1,t2"}, 2),
        ({"tag": "neq.t1"}, 1),
        ({"path": "/a"}, 2),
        ({"path": "c./"}, 4),
        ({"path": "dnc.a"}, 2),
        ({"path": "re.^/[ab]$"}, 3),
        ({"path": "nre.^/[ab]$"}, 1),
        ({"path": "/a", "browser": "firefox", "match": "any"}, 3),
        ({"browser": "firefox"}, 1),
        ({"referrer": "google.com"}, 1),
        ({"utmSource": "news"}, 1),
        ({"path": "/b", "path1": "/a"}, 0),
        ({"eventType": 1}, 4),
        ({"tag": "'; drop table records; --"}, 0),
    ],
)
async def test_filters_choose_rows(query: dict[str, Any], count: int, ask: Ask) -> None:
    assert (await ask("stats", **query))["pageviews"] == count


@pytest.mark.usefixtures("visits")
async def test_events_are_listed_newest_first_and_by_pages(ask: Ask) -> None:
    first = await ask("events", pageSize=2)
    second = await ask("events", pageSize=2, page=2)
    assert [each["urlPath"] for each in first["data"]] == ["/a", "/b"]
    assert [each["urlPath"] for each in second["data"]] == ["/c", "/c"]
    assert (first["count"], second["page"], second["pageSize"]) == (5, 2, 2)
    event = second["data"][0]
    assert (event["eventType"], event["eventName"], event["hasData"]) == (2, "download", True)
    assert [each["urlPath"] for each in (await ask("events", search="/B"))["data"]] == ["/b"]


@pytest.mark.usefixtures("visits")
@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("path", {"/a": 1, "/b": 1, "/c": 1}),
        ("tag", {"t1": 1, "t2": 1}),
        ("referrer", {"google.com": 1}),
        ("browser", {"chrome": 1, "firefox": 1}),
        ("os", {"Windows 10": 1, "Linux": 1}),
        ("device", {"desktop": 2}),
        ("language", {"en": 1, "de": 1}),
        ("hostname", {"example.test": 2}),
        ("country", {}),
        ("event", {"download": 1}),
        ("entry", {"/a": 1, "/c": 1}),
        ("exit", {"/a": 1, "/b": 1, "/c": 1}),
        ("utmSource", {"news": 1}),
    ],
)
async def test_metrics_count_visitors(kind: str, rows: dict[str, int], ask: Ask) -> None:
    assert {row["x"]: row["y"] for row in await ask("metrics", type=kind)} == rows
    expanded = await ask("metrics/expanded", type=kind)
    assert {row["name"]: row["visitors"] for row in expanded} == rows


@pytest.mark.usefixtures("visits")
async def test_expanded_metrics_add_page_views_and_metrics_can_be_searched(ask: Ask) -> None:
    rows = await ask("metrics/expanded", type="path", limit=1)
    assert rows == [
        {"name": "/a", "pageviews": "2", "visitors": 1, "visits": 2, "bounces": 2, "totaltime": "0"}
    ]
    assert await ask("metrics", type="path", search="b") == [{"x": "/b", "y": 1}]
    assert (await ask("metrics", 400, type="nonsense"))["error"]["code"] == "bad-request"


@pytest.mark.usefixtures("visits")
async def test_page_views_by_time_follow_unit_and_timezone(ask: Ask) -> None:
    hours = await ask("pageviews", unit="hour", timezone="UTC")
    assert hours["pageviews"] == [
        {"x": "2026-09-21 14:00:00", "y": 3},
        {"x": "2026-09-21 15:00:00", "y": 1},
    ]
    assert [row["y"] for row in hours["sessions"]] == [2, 1]
    tokyo = await ask("pageviews", unit="day", timezone="Asia/Tokyo")
    assert [row["x"] for row in tokyo["pageviews"]] == [
        "2026-09-21 00:00:00",
        "2026-09-22 00:00:00",
    ]
    plain = await ask("pageviews", unit="day")
    assert [row["x"] for row in plain["pageviews"]] == ["2026-09-21T00:00:00Z"]


@pytest.mark.parametrize(
    ("days_before", "label"),
    [(232, "2026-09-21"), (233, "2026-09-01"), (750, "2026-09-01"), (751, "2026-01-01")],
)
@pytest.mark.usefixtures("visits")
async def test_the_finest_unit_goes_by_the_calendars_months(
    days_before: int, label: str, ask: Ask
) -> None:
    """Day up to seven months apart (from February to September), month up to 24, then year."""
    start = (START - days_before * 86_400) * 1000
    rows = (await ask("pageviews", startAt=start, unit="day", timezone="UTC"))["pageviews"]
    assert rows[-1]["x"] == f"{label} 00:00:00"


@pytest.mark.usefixtures("visits")
async def test_a_filter_without_a_value_finds_what_has_none(ask: Ask) -> None:
    assert (await ask("stats", tag=""))["pageviews"] == 0
    assert (await ask("events", tag=""))["count"] == 0
    assert (await ask("events", path="/a", query=""))["count"] == 1


@pytest.mark.usefixtures("visits")
async def test_sessions_tell_visits_views_and_events(ask: Ask) -> None:
    answer = await ask("sessions")
    found = [(each["browser"], each["views"], each["events"]) for each in answer["data"]]
    assert (found, answer["count"]) == ([("chrome", 3, 1), ("firefox", 1, 0)], 2)
    assert [each["browser"] for each in (await ask("sessions", search="fire"))["data"]] == [
        "firefox"
    ]


@pytest.mark.usefixtures("visits")
async def test_a_reset_hides_older_rows_and_keeps_them(
    ask: Ask, sandbox: Sandbox, client: aiohttp.ClientSession, website: str, token: str
) -> None:
    assert (await ask(""))["resetAt"] is None
    before = sandbox.count()
    sandbox.reset_website(website)
    assert (await ask(""))["resetAt"] is not None
    assert sandbox.count() == before
    now = 4_000_000_000_000
    assert (await ask("stats", startAt=0, endAt=now))["pageviews"] == before - 5
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{sandbox.url}/api/websites/{website}/reset"
    async with client.post(url, headers=headers) as response:
        assert (response.status, sandbox.count()) == (200, 0)


@pytest.mark.usefixtures("visits")
async def test_the_date_range_is_that_of_all_rows(ask: Ask) -> None:
    assert await ask("daterange") == {
        "startDate": "2026-09-20T14:13:20.000Z",
        "endDate": "2026-09-21T15:13:20.000Z",
    }


async def test_questions_that_cannot_be_right_are_refused(ask: Ask) -> None:
    answer = await ask("stats", 400, startAt="x")
    assert list(answer["error"]["properties"]) == ["startAt"]
    assert "pageSize" in (await ask("events", 400, pageSize=0))["error"]["properties"]
    assert "page" in (await ask("events", 400, page=1.5))["error"]["properties"]
    assert "timezone" in (await ask("pageviews", 400, timezone="x"))["error"]["properties"]
    assert "unit" in (await ask("pageviews", 400, unit="week"))["error"]["properties"]
    assert "type" in (await ask("metrics", 400))["error"]["properties"]


@pytest.mark.usefixtures("visits")
async def test_questions_that_the_database_refuses_are_a_500(ask: Ask) -> None:
    assert (await ask("stats", 500, path="re.("))["error"]["code"] == "server-error"
    await ask("events", 500, page=10**30)
    await ask("pageviews", 500, endAt="Infinity")


async def test_a_period_has_to_be_given(
    sandbox: Sandbox, client: aiohttp.ClientSession, website: str
) -> None:
    async with client.get(f"{sandbox.url}/api/websites/{website}/stats") as response:
        assert response.status == 400
        assert (await response.json())["error"]["errors"] == [
            "Either startAt+endAt or startDate+endDate must be provided"
        ]


async def test_every_route_wants_a_token(
    sandbox: Sandbox, client: aiohttp.ClientSession, website: str
) -> None:
    period = "startAt=1&endAt=2&type=path"
    routes = ("", "/stats", "/events", "/metrics", "/pageviews", "/sessions", "/daterange")
    for route in routes:
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "nonsense"}):
            url = f"{sandbox.url}/api/websites/{website}{route}?{period}"
            async with client.get(url, headers=headers) as response:
                assert response.status == 401


async def test_websites_are_made_found_and_deleted(
    sandbox: Sandbox, client: aiohttp.ClientSession, token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    url = sandbox.url + "/api/websites"

    async def make(**body: Any) -> tuple[int, Any]:
        async with client.post(url, json=body, headers=headers) as response:
            return response.status, await response.json()

    status, made = await make(name="shop", domain="shop.test")
    assert (status, made["name"], made["id"] in sandbox.websites) == (200, "shop", True)
    assert (await make(name="shop"))[1]["error"]["properties"] == {
        "domain": {"errors": ["Invalid input: expected string, received undefined"]}
    }
    assert (await make(name="x" * 101, domain=""))[0] == 400
    assert (await make(name="x", domain="", id="nope"))[0] == 400
    async with client.get(url, params={"search": "SHOP"}, headers=headers) as response:
        listed = await response.json()
    assert ([each["id"] for each in listed["data"]], listed["count"]) == ([made["id"]], 1)
    async with client.delete(f"{url}/{made['id']}", headers=headers) as response:
        assert await response.json() == {"ok": True}
    assert made["id"] not in sandbox.websites


async def test_old_servers_answer_stats_with_values(
    client: aiohttp.ClientSession, website: str
) -> None:
    async with Sandbox(SandboxOptions(websites=(website,), version="2.20.0")) as sandbox:
        body = {"username": "admin", "password": "umami"}
        async with client.post(sandbox.url + "/api/auth/login", json=body) as response:
            token = (await response.json())["token"]
        url = f"{sandbox.url}/api/websites/{website}/stats?startAt=1&endAt=2"
        headers = {"Authorization": f"Bearer {token}"}
        async with client.get(url, headers=headers) as response:
            assert (await response.json())["pageviews"] == {"value": 0, "prev": 0}
        async with client.post(f"{sandbox.url}/api/auth/verify", headers=headers) as response:
            assert (await response.json())["username"] == "admin"
