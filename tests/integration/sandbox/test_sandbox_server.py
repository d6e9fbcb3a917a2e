"""What the sandbox does as a server: ports, files, methods, limits, batches, tokens."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import aiohttp
import pytest

from ingestor.errors import UsageError
from ingestor.sandbox import Sandbox, SandboxOptions

Entry = Callable[..., dict[str, Any]]
OTHER = "11111111-1111-4111-8111-111111111111"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
GOOGLEBOT = "Googlebot/2.1"


async def post(
    client: aiohttp.ClientSession,
    sandbox: Sandbox,
    body: Any,
    path: str = "/api/send",
    **headers: str,
) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post(sandbox.url + path, json=body, headers=named) as response:
        return response.status, await response.json()


async def test_without_a_website_one_is_made() -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        assert len(sandbox.websites) == 1
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert sandbox.control_url is None


async def test_the_file_keeps_websites_rows_and_tokens_across_a_restart(
    tmp_path: Path, website: str, client: aiohttp.ClientSession, entry: Entry
) -> None:
    file = str(tmp_path / "umami.db")
    async with Sandbox(SandboxOptions(db=file, websites=(website,))) as sandbox:
        _, answer = await post(client, sandbox, entry(tag="t"))
        with contextlib.closing(sqlite3.connect(file)) as db:  # visible at once, from outside
            rows = db.execute("select website, url_path, tag, ip from page_views").fetchall()
        assert rows == [(website, "/x", "t", "81.2.69.142")]

    async with Sandbox(SandboxOptions(db=file)) as sandbox:
        assert sandbox.websites == [website]
        assert [row.session_id for row in sandbox.page_views()] == [answer["sessionId"]]
        status, probe = await post(
            client,
            sandbox,
            {"type": "identify", "payload": {"website": website, "userAgent": GOOGLEBOT}},
            x_umami_cache=answer["cache"],
        )
        assert (status, probe) == (200, {"beep": "boop"})
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600  # noqa: PTH116 - a test


async def test_a_port_in_use_is_a_usage_error(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"port {port}"):
        await Sandbox(SandboxOptions(port=port)).start()
    with pytest.raises(UsageError, match=f"port {port}"):
        await Sandbox(SandboxOptions(control_port=port)).start()


async def test_options_that_cannot_be_right_are_usage_errors(tmp_path: Path) -> None:
    not_a_database = tmp_path / "file"
    not_a_database.write_bytes(b"x" * 5000)
    for options, words in (
        (SandboxOptions(websites=("nope",)), "no website id"),
        (SandboxOptions(db=str(tmp_path)), "database"),
        (SandboxOptions(db=str(not_a_database)), "database"),
        (SandboxOptions(version="three"), "version"),
        (SandboxOptions(ignore_ip=("10.0.0.0/99",)), "ignore_ip"),
    ):
        with pytest.raises(UsageError, match=words):
            await Sandbox(options).start()


async def test_a_trailing_slash_a_wrong_method_and_an_unknown_path(
    sandbox: Sandbox, client: aiohttp.ClientSession
) -> None:
    async def ask(method: str, path: str) -> tuple[int, str]:
        async with client.request(method, sandbox.url + path, allow_redirects=False) as response:
            return response.status, response.headers.get("Location", response.content_type)

    assert await ask("POST", "/api/send/") == (308, "/api/send")
    assert await ask("POST", "/api/batch/?x=1") == (308, "/api/batch?x=1")
    assert (await ask("PUT", "/api/send"))[0] == 405
    assert (await ask("OPTIONS", "/api/send"))[0] == 204
    assert (await ask("HEAD", "/api/heartbeat"))[0] == 200
    assert await ask("GET", "/api/nothing") == (404, "text/html")
    assert await ask("GET", "/x/api/websites/1") == (404, "text/html")


async def test_a_client_that_goes_away_in_the_middle_is_no_error(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(sandbox.url.rpartition(":")[2]))
    writer.write(b"POST /api/send HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    async with asyncio.timeout(10):
        while not sandbox.counters.in_flight:  # noqa: ASYNC110 - over loopback
            await asyncio.sleep(0.002)
        writer.transport.abort()
        while not sandbox.counters.answers:  # noqa: ASYNC110 - over loopback
            await asyncio.sleep(0.002)
    assert (dict(sandbox.counters.answers), caplog.records) == ({499: 1}, [])


async def test_a_large_body_is_asked_for_with_continue(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /api/batch HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"[]")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_compressed_body_is_a_400(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    body = gzip.compress(json.dumps([entry()]).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with client.post(sandbox.url + "/api/batch", data=body, headers=headers) as response:
        assert response.status == 400
        words = "Invalid input: expected array, received undefined"
        assert (await response.json())["error"]["errors"] == [words]


async def test_a_body_beyond_the_limit_is_cut(
    website: str, client: aiohttp.ClientSession, entry: Entry
) -> None:
    size = len(json.dumps([entry()]))
    async with Sandbox(SandboxOptions(websites=(website,), body_limit=size)) as sandbox:
        assert (await post(client, sandbox, [entry()], "/api/batch"))[0] == 200
        status, answer = await post(client, sandbox, [entry(title="more")], "/api/batch")
    assert (status, answer["error"]["errors"]) == (
        400,
        ["Invalid input: expected array, received undefined"],
    )


async def test_bodies_are_read_as_javascript_reads_them(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    text = json.dumps(entry(title="TITLE"))
    bodies = (b"\xef\xbb\xbf" + text.encode(), text.replace("TITLE", "\\ud800").encode())
    for body in (*bodies, text.encode().replace(b"TITLE", b"\xff")):
        async with client.post(sandbox.url + "/api/send", data=body) as response:
            assert response.status == 200
    assert [row.title for row in sandbox.page_views()] == ["TITLE", "\ufffd", "\ufffd"]


async def test_a_batch_of_bots_or_of_nothing(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    _, none = await post(client, sandbox, [], "/api/batch")
    _, bots = await post(client, sandbox, [entry(userAgent=GOOGLEBOT)] * 2, "/api/batch")
    mixed = [entry(url="//"), entry(userAgent=GOOGLEBOT), entry(), entry()]
    _, some = await post(client, sandbox, mixed, "/api/batch")

    assert none == {"size": 0, "processed": 0, "errors": 0, "details": [], "cache": None}
    assert bots == {"size": 2, "processed": 2, "errors": 0, "details": []}
    assert (some["processed"], isinstance(some["cache"], str)) == (3, True)


async def test_a_batch_with_elements_that_are_no_objects_is_refused_whole(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    status, answer = await post(client, sandbox, ["x", entry(), [entry()], 3], "/api/batch")

    assert (status, sandbox.count()) == (400, 0)
    assert answer["error"]["items"] == [
        {"errors": ["Invalid input: expected record, received string"]},
        None,
        {"errors": ["Invalid input: expected record, received array"]},
        {"errors": ["Invalid input: expected record, received number"]},
    ]


async def test_a_large_batch_shows_while_it_is_worked_off(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    batch = [entry(url=f"/{place}") for place in range(2000)]
    task = asyncio.create_task(post(client, sandbox, batch, "/api/batch"))
    seen: set[int] = set()
    while not task.done():
        seen.add(sandbox.count())
        await asyncio.sleep(0)
    assert (await task)[1]["processed"] == 2000
    assert any(0 < count < 2000 for count in seen)
    assert [row.url_path for row in sandbox.page_views()] == [f"/{n}" for n in range(2000)]


async def test_a_token_fixes_the_visit_and_passes_over_website_and_session(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    _, first = await post(client, sandbox, entry())
    later = entry(timestamp=1_790_000_000 + 7200)
    _, without = await post(client, sandbox, later)
    _, with_token = await post(client, sandbox, later, x_umami_cache=first["cache"])
    _, stranger = await post(client, sandbox, entry(website=OTHER), x_umami_cache=first["cache"])
    _, forged = await post(client, sandbox, entry(website=OTHER), x_umami_cache="a.b.c")

    assert without["visitId"] != first["visitId"]
    assert with_token["visitId"] == first["visitId"]
    assert stranger["visitId"] == first["visitId"]
    assert stranger["sessionId"] != first["sessionId"]
    assert forged["error"]["message"] == "Website not found."


async def test_an_identify_probe_leaves_no_row(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry, website: str
) -> None:
    _, first = await post(client, sandbox, entry())
    probe = {"type": "identify", "payload": {"website": website, "userAgent": FIREFOX}}
    _, answer = await post(client, sandbox, probe, x_umami_cache=first["cache"])

    assert set(answer) == {"cache", "sessionId", "visitId"}
    assert (sandbox.count(), sandbox.counters.identify_probes) == (1, 1)
    assert sandbox._store is not None
    assert list(sandbox._store.query("select count(*) from sessions")) == [(1,)]


async def test_a_blocked_address_is_forbidden(
    website: str, client: aiohttp.ClientSession, entry: Entry
) -> None:
    options = SandboxOptions(websites=(website,), ignore_ip=("192.0.2.1", "10.0.0.0/8"))
    async with Sandbox(options) as sandbox:
        for address, status in (
            ("192.0.2.1", 403),
            ("10.1.2.3", 403),
            ("192.0.2.2", 200),
            ("2001:db8::1", 200),
            ("garbage", 500),
        ):
            assert (await post(client, sandbox, entry(ip=address)))[0] == status
        _, answer = await post(client, sandbox, entry(ip="10.1.2.3"))
    assert answer == {"error": {"message": "Forbidden", "code": "forbidden", "status": 403}}


async def test_an_api_key_can_be_demanded(
    website: str, client: aiohttp.ClientSession, entry: Entry
) -> None:
    async with Sandbox(SandboxOptions(websites=(website,), api_key="k")) as sandbox:
        assert (await post(client, sandbox, entry()))[0] == 401
        assert (await post(client, sandbox, entry(), x_umami_api_key="no"))[0] == 401
        assert (await post(client, sandbox, entry(), x_umami_api_key="k"))[0] == 200


async def test_the_sender_stands_in_for_an_empty_address(
    sandbox: Sandbox, client: aiohttp.ClientSession, entry: Entry
) -> None:
    await post(client, sandbox, entry(ip=""))
    await post(client, sandbox, entry(ip=""), X_Forwarded_For="192.0.2.7, 10.0.0.1")
    assert [row.ip for row in sandbox.page_views()] == ["127.0.0.1", "192.0.2.7"]


@pytest.mark.parametrize(
    ("version", "known"),
    [("2.9", []), ("2.16.0", ["ip", "userAgent"])],
)
async def test_an_older_umami_ignores_what_it_does_not_know(
    version: str, known: list[str], website: str, client: aiohttp.ClientSession, entry: Entry
) -> None:
    probe = entry(website=OTHER, ip=5, userAgent=5, timestamp="abc", id=5)
    async with Sandbox(SandboxOptions(websites=(website,), version=version)) as sandbox:
        status, answer = await post(client, sandbox, probe)
        async with client.post(sandbox.url + "/api/batch", json=[]) as response:
            has_batch = response.status == 200
        poison = await post(client, sandbox, entry(url="/%00"))

    assert status == 400
    error = answer["error"]
    found = error["properties"]["payload"]["properties"] if known else error["message"]
    assert (list(found) == known) if known else (found == "Website not found.")
    assert not has_batch
    assert "errorObject" not in poison[1]["error"]


async def test_umami_2_17_to_2_20_names_no_field_and_gives_batches_no_token(
    website: str, client: aiohttp.ClientSession, entry: Entry
) -> None:
    """As zod 3 has it: the schema's own words are lost below the first level."""
    options = SandboxOptions(websites=(website,), version="2.20.2", ignore_ip=("192.0.2.1",))
    async with Sandbox(options) as sandbox:
        for body, status, error in [
            (entry(ip=5), 400, ["payload: "]),
            (entry(website=OTHER), 400, "Website not found."),
            (entry(ip="192.0.2.1"), 403, "Forbidden"),
        ]:
            assert await post(client, sandbox, body) == (status, {"error": error})
        answer = await post(client, sandbox, [1], "/api/batch")
        assert answer == (400, {"error": [ANY]})
        answer = await post(client, sandbox, {}, "/api/batch")
        assert answer == (400, {"error": []})
        _, batch = await post(client, sandbox, [entry(), entry(ip=5)], "/api/batch")
    details = [{"index": 1, "response": {"error": ["payload: "]}}]
    assert batch == {"size": 2, "processed": 1, "errors": 1, "details": details}


async def test_the_instant_mode_answers_the_right_shape_and_stores_nothing(
    client: aiohttp.ClientSession, entry: Entry
) -> None:
    async with Sandbox(SandboxOptions(instant=True)) as sandbox:
        _, batch = await post(client, sandbox, [entry()] * 3, "/api/batch")
        _, single = await post(client, sandbox, entry())
        assert (batch["processed"], sandbox.count(), sandbox.counters.entries) == (3, 0, 4)
    assert set(single) == {"cache", "sessionId", "visitId"}


async def test_another_judge_of_bots_can_be_passed_in(
    website: str, client: aiohttp.ClientSession, entry: Entry
) -> None:
    asked: list[str] = []

    def judge(user_agent: str) -> bool:
        asked.append(user_agent)
        return user_agent == "human"

    async with Sandbox(SandboxOptions(websites=(website,), is_bot=judge)) as sandbox:
        for user_agent in ("human", "human", GOOGLEBOT):
            await post(client, sandbox, entry(userAgent=user_agent))
        assert [row.user_agent for row in sandbox.page_views()] == [GOOGLEBOT]
    assert asked == ["human", GOOGLEBOT]  # a verdict is remembered
