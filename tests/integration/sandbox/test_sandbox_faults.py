"""Each fault does what its name says, counts that it did, and ends when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from ingestor.errors import UsageError
from ingestor.sandbox import KINDS, Sandbox, SandboxOptions

Entry = Callable[..., dict[str, Any]]


async def post(
    client: aiohttp.ClientSession, sandbox: Sandbox, body: Any, path: str = "/api/send"
) -> tuple[int, str]:
    async with client.post(sandbox.url + path, json=body) as response:
        return response.status, await response.text()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is the server's, over loopback
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("401", 401, '"code":"unauthorized"'),
        ("403-html", 403, "<h1>403 Forbidden</h1>"),
        ("404-html", 404, "<h1>404 Not Found</h1>"),
        ("408", 408, "<h1>408 Request Time-out</h1>"),
        ("413", 413, "<h1>413 Request Entity Too Large</h1>"),
        ("429", 429, "<h1>429 Too Many Requests</h1>"),
        ("503", 503, "<h1>503 Service Temporarily Unavailable</h1>"),
        ("502-html", 502, "<h1>502 Bad Gateway</h1>"),
        ("504-html", 504, "<h1>504 Gateway Time-out</h1>"),
        ("200-html", 200, "<h1>Welcome</h1>"),
        ("200-json", 200, '{"ok":true}'),
        ("200-empty", 200, ""),
        ("500-whole", 500, '"code":"server-error"'),
    ],
)
async def test_a_replaced_answer_stores_nothing(
    kind: str,
    status: int,
    words: str,
    sandbox: Sandbox,
    client: aiohttp.ClientSession,
    entry: Entry,
) -> None:
    sandbox.faults.set(f"{kind},count=1")

    assert (await post(client, sandbox, entry()))[0] == status
    sandbox.faults.set(f"{kind},count=1")
    found, text = await post(client, sandbox, [entry()], "/api/batch")

    assert (found, words in text, sandbox.count()) == (status, True, 0)
    assert sandbox.faults.counters == {f"{kind},count=1": 2}
    assert (await post(client, sandbox, entry()))[0] == 200
    assert sandbox.count() == 1


async def test_a_replaced_answer_can_store_first(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("502-html,stored=yes")

    assert (await post(client, sandbox, entry()))[0] == 502
    assert sandbox.count() == 1


async def test_retry_after_is_sent_in_seconds_or_as_a_date(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("429,retry_after=7")
    async with client.post(sandbox.url + "/api/send", json=entry()) as response:
        assert response.headers["Retry-After"] == "7"
    sandbox.faults.clear()
    sandbox.faults.set("503,retry_after_date=60")
    async with client.post(sandbox.url + "/api/send", json=entry()) as response:
        ahead = parsedate_to_datetime(response.headers["Retry-After"]) - parsedate_to_datetime(
            response.headers["Date"]
        )
    assert 55 <= ahead.total_seconds() <= 65


async def test_413_minds_bytes_and_entries(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("413,entries=2")
    assert (await post(client, sandbox, [entry()] * 2, "/api/batch"))[0] == 200
    assert (await post(client, sandbox, [entry()] * 3, "/api/batch"))[0] == 413
    sandbox.faults.clear()
    sandbox.faults.set("413,bytes=1000")
    assert (await post(client, sandbox, [entry()], "/api/batch"))[0] == 200
    assert (await post(client, sandbox, [entry()] * 3, "/api/batch"))[0] == 413
    assert sandbox.count() == 3


async def test_a_database_that_is_away_fails_every_entry_and_the_read_api(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("500-passes")

    status, text = await post(client, sandbox, entry())
    answer = json.loads((await post(client, sandbox, [entry(), entry(url="//")], "/api/batch"))[1])
    async with client.get(f"{sandbox.url}/api/websites") as response:
        assert response.status == 500
    async with client.get(f"{sandbox.url}/api/heartbeat") as response:
        assert response.status == 200

    assert (status, "P1001" in text, sandbox.count()) == (500, True, 0)
    statuses = [each["response"]["error"]["status"] for each in answer["details"]]
    assert (answer["processed"], statuses, answer["cache"]) == (0, [500, 400], None)
    sandbox.faults.clear()
    assert (await post(client, sandbox, entry()))[0] == 200


@pytest.mark.parametrize(
    ("spec", "code", "shown"),
    [
        ("500-passes,code=57P01", "57P01", "DriverAdapterError"),
        ("500-passes,code=25006", "25006", "P2010"),
        ("500-never", "22021", "DriverAdapterError"),
    ],
)
async def test_databases_fail_in_other_ways_too(
    spec: str, code: str, shown: str, sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set(spec)

    status, text = await post(client, sandbox, entry())

    assert (status, code in text, shown in text, sandbox.count()) == (500, True, True, 0)


async def test_poison_can_be_one_url_among_many(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("500-never,url=/bad*")
    batch = [entry(url=url) for url in ("/a", "/bad/1", "/b", "/bad/2")]

    answer = json.loads((await post(client, sandbox, batch, "/api/batch"))[1])

    assert [each["index"] for each in answer["details"]] == [1, 3]
    assert [row.url_path for row in sandbox.page_views()] == ["/a", "/b"]
    assert sandbox.faults.counters["500-never,url=/bad*"] == 2


async def test_an_outage_of_some_entries_ends_by_itself(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("500-passes,skip=1,count=2")
    answer = json.loads((await post(client, sandbox, [entry()] * 4, "/api/batch"))[1])
    assert [each["index"] for each in answer["details"]] == [1, 2]


async def test_drop_before_stores_nothing_and_drop_after_stores_all(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    for kind, stored in (("drop-before", 0), ("drop-after", 3)):
        sandbox.faults.set(kind)
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(client, sandbox, [entry()] * 3, "/api/batch")
        sandbox.faults.clear()
        assert sandbox.count() == stored


async def test_a_cut_answer_was_stored(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("cut")
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(client, sandbox, [entry()], "/api/batch")
    assert sandbox.count() == 1


async def test_storing_goes_on_after_the_sandbox_hung_up(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("store-late,entry=5ms")
    with pytest.raises(aiohttp.ClientConnectionError):
        await post(client, sandbox, [entry()] * 10, "/api/batch")
    early = sandbox.count()
    await until(lambda: sandbox.count() == 10)
    assert early < 10


async def test_storing_goes_on_after_the_client_hung_up(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("slow,entry=5ms")
    task = asyncio.create_task(post(client, sandbox, [entry()] * 20, "/api/batch"))
    await until(lambda: sandbox.count() > 2)
    task.cancel()
    await until(lambda: sandbox.count() == 20)


async def test_stopping_lets_a_late_batch_finish(website: str, entry: Entry) -> None:
    sandbox = Sandbox(SandboxOptions(websites=(website,), fail=("store-late,entry=2ms",)))
    await sandbox.start()
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(client, sandbox, [entry()] * 10, "/api/batch")
    await sandbox.stop()
    assert sandbox.counters.stored == 10


async def test_a_frozen_server_answers_nothing_and_stores_when_it_thaws(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("freeze")
    task = asyncio.create_task(post(client, sandbox, entry()))
    await until(lambda: sandbox.counters.in_flight == 1)
    assert (sandbox.count(), task.done()) == (0, False)
    sandbox.faults.clear("freeze")
    assert (await task)[0] == 200
    assert sandbox.count() == 1


async def test_a_freeze_stops_a_batch_in_the_middle(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("slow,entry=2ms")
    task = asyncio.create_task(post(client, sandbox, [entry()] * 10, "/api/batch"))
    await until(lambda: sandbox.count() >= 2)
    sandbox.faults.set("freeze")
    await until(lambda: sandbox.count() >= 3)
    assert sandbox.count() < 10
    sandbox.faults.clear()
    assert (await task)[0] == 200
    assert sandbox.count() == 10


async def test_a_refusing_server_has_no_open_port_and_comes_back_on_the_same(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    await post(client, sandbox, entry())
    sandbox.faults.set("refuse")
    with pytest.raises(aiohttp.ClientConnectionError):
        await post(client, sandbox, entry())
    sandbox.faults.clear()
    assert (await post(client, sandbox, entry()))[0] == 200
    assert (sandbox.count(), sandbox.faults.counters["refuse"]) == (2, 1)


async def test_a_fault_ends_after_its_time(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("refuse,for=20ms")
    await until(lambda: not sandbox.faults.is_on("refuse"))
    assert (await post(client, sandbox, entry()))[0] == 200


async def test_a_saturated_server_works_no_faster_for_more_connections(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("saturate,workers=2,entry=4ms")
    loop = asyncio.get_running_loop()
    start = loop.time()
    batches = [post(client, sandbox, [entry()] * 10, "/api/batch") for _ in range(4)]
    await asyncio.gather(*batches)
    assert loop.time() - start >= 4 * 10 * 0.004 / 2
    assert sandbox.count() == 40


async def test_filters_choose_by_path_website_and_chance(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    sandbox.faults.set("503,path=/api/batch")
    assert (await post(client, sandbox, entry()))[0] == 200
    assert (await post(client, sandbox, [entry()], "/api/batch"))[0] == 503
    sandbox.faults.clear()
    sandbox.faults.set("503,website=ffff*")
    assert (await post(client, sandbox, entry()))[0] == 200
    sandbox.faults.clear()
    sandbox.faults.set("503,p=0.5,seed=1")
    statuses = [(await post(client, sandbox, entry()))[0] for _ in range(40)]
    assert 5 < statuses.count(503) < 35
    assert sandbox.faults.counters["503,p=0.5,seed=1"] == statuses.count(503)


async def test_reading_is_spared_unless_its_path_is_named(
    sandbox: Sandbox, client: aiohttp.ClientSession
) -> None:
    async def heartbeat() -> int:
        async with client.get(sandbox.url + "/api/heartbeat") as response:
            return response.status

    sandbox.faults.set("503")
    assert await heartbeat() == 200
    sandbox.faults.set("503,path=*")
    assert await heartbeat() == 503


@pytest.mark.parametrize(
    "spec", ["nonsense", "503,colour=red", "503,count=few", "503,p=2", "slow,entry=soon"]
)
async def test_a_fault_that_cannot_be_read_is_a_usage_error_and_changes_nothing(
    spec: str, sandbox: Sandbox
) -> None:
    sandbox.faults.set("503")
    with pytest.raises(UsageError):
        sandbox.faults.set("429", spec)
    assert [fault.spec for fault in sandbox.faults] == ["503"]
    with pytest.raises(UsageError):
        await Sandbox(SandboxOptions(fail=(spec,))).start()


def test_every_kind_is_explained() -> None:
    from ingestor.sandbox import faults  # noqa: PLC0415 - the module's own words

    assert all(kind in (faults.__doc__ or "") for kind in KINDS)


Call = Callable[[str, str, Any], Awaitable[tuple[int, Any]]]


@pytest.fixture
def control(sandbox: Sandbox, client: aiohttp.ClientSession) -> Call:
    async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with client.request(method, f"{sandbox.control_url}{path}", data=body) as response:
            return response.status, await response.json()

    return call


async def test_the_control_port_switches_faults_and_counts(
    control: Call, sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    status, state = await control("POST", "/faults", "503,count=1\n\n429,skip=1")
    assert (status, [fault["kind"] for fault in state["faults"]]) == (200, ["503", "429"])
    assert (await post(client, sandbox, entry()))[0] == 503
    _, state = await control("PUT", "/faults", json.dumps({"specs": ["401"]}))
    assert [fault["spec"] for fault in state["faults"]] == ["401"]
    assert (await post(client, sandbox, entry()))[0] == 401
    await control("DELETE", "/faults?name=401", None)
    bot = entry(userAgent="Googlebot/2.1")
    await post(client, sandbox, [entry(), bot, entry(url="//")], "/api/batch")

    _, state = await control("GET", "/", None)

    assert state["requests"] == {"/api/send": 2, "/api/batch": 1}
    assert (state["entries"], state["stored"], state["bots"], state["rejected"]) == (3, 1, 1, 1)
    assert state["fired"] == {"503,count=1": 1, "429,skip=1": 0, "401": 1}
    assert state["batches"] == {"3": 1}
    assert state["by_website"] == {sandbox.websites[0]: 1}
    _, rows = await control("GET", f"/page-views?website={sandbox.websites[0]}", None)
    assert [row["url_path"] for row in rows] == ["/x"]
    await control("DELETE", "/counters", None)
    _, state = await control("GET", "/", None)
    assert (state["requests"], state["stored"]) == ({}, 0)


async def test_the_control_port_says_what_it_does_not_understand(control: Call) -> None:
    assert (await control("POST", "/faults", "explode"))[0] == 400
    assert (await control("POST", "/faults", "{nonsense"))[0] == 400
    assert (await control("PUT", "/faults", "explode"))[0] == 400
    assert (await control("POST", "/reset", None))[0] == 400
    assert (await control("GET", "/nothing", None))[0] == 404


async def test_the_control_port_answers_while_the_server_refuses(
    control: Call, sandbox: Sandbox
) -> None:
    await control("POST", "/faults", "refuse")
    assert (await control("GET", "/", None))[0] == 200
    await control("DELETE", "/faults", None)
    assert not sandbox.faults.is_on("refuse")
