"""A scripted Umami on loopback, and what delivery reports to, for the tests of this room."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest

from ingestor.delivery import DeliveryOptions, Left, UmamiOptions
from ingestor.delivery.bodies import unpack
from ingestor.delivery.delivery import Delivery
from ingestor.model import Batch, Ended, Outcome, PageView, Span

WEBSITE = "aaaaaaaa-0000-4000-8000-000000000001"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    json: Any
    number: int  # of the requests that carried page views, from 0; -1 for probes

    @property
    def page_views(self) -> list[dict[str, Any]]:
        entries = self.json if isinstance(self.json, list) else [self.json]
        return [entry["payload"] for entry in entries if entry.get("type") == "event"]

    @property
    def urls(self) -> list[str]:
        return [payload.get("url", "") for payload in self.page_views]


@dataclass
class Reply:
    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # send so many bytes of the body, then hang up
    hang_up: bool = False  # say nothing at all
    store: bool = False  # store the page views all the same
    until: asyncio.Event | None = None  # answer only then


Script = Callable[[Request], Reply | None]


@dataclass
class ScriptedUmami:
    """A small true Umami, whose ``script`` may answer in its place (None: let it be)."""

    url: str = ""
    script: Script = lambda _request: None
    stored: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    websites: set[str] = field(default_factory=lambda: {WEBSITE})
    bot: Callable[[str], bool] = lambda user_agent: "bot" in user_agent.lower()
    has_batch: bool = True
    without_slash: bool = False  # REMOVE_TRAILING_SLASH
    prefix: str = ""
    busy: int = 0
    busiest: int = 0
    connections: int = 0

    @property
    def carrying(self) -> list[Request]:
        """The requests that carried page views."""
        return [request for request in self.requests if request.number >= 0]

    @property
    def urls(self) -> Counter[str]:
        return Counter(payload["url"] for payload in self.stored)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _method, target, _protocol = head[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = self._note(target, headers, json.loads(body) if body else [])
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            reply = self.script(request)
            if reply is None:
                reply = self.answer(request)
            elif reply.store:
                self.answer(request)
            if reply.until is not None:
                await reply.until.wait()
        finally:
            self.busy -= 1
        return await self._reply(writer, reply)

    def _note(self, target: str, headers: dict[str, str], parsed: Any) -> Request:
        request = Request(target.removeprefix(self.prefix), headers, parsed, -1)
        if any("ip" in p and isinstance(p["ip"], str) for p in request.page_views):
            request.number = len(self.carrying)
        self.requests.append(request)
        return request

    async def _reply(self, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        if reply.hang_up:
            return False
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": len(body), **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} Word\r\n{lines}\r\n".encode() + body[: reply.cut])
        await writer.drain()
        return reply.cut is None

    def answer(self, request: Request) -> Reply:
        """What a true Umami answers."""
        if request.path == "/api/send":
            return self._send(request.json, request.headers)
        if request.path == "/api/batch" and self.has_batch:
            return self._batch(request.json)
        if request.path == "/api/auth/login":
            return Reply(200, {"token": "login"})
        if request.headers.get("authorization") == "bearer login":
            return self._read(request.path.partition("?")[0], parse_qs(request.path))
        return Reply(404, b"<!DOCTYPE html>", {"Content-Type": "text/html"})

    def _read(self, path: str, query: dict[str, list[str]]) -> Reply:
        """What a true Umami answers to whoever is logged in; all times are in reach."""
        if path == "/api/websites":
            return Reply(200, {"data": [], "count": 0})
        if path.count("/") == 3:
            return Reply(200, {"id": path.rpartition("/")[2], "resetAt": None})
        rows = [
            {
                "id": str(number),
                "createdAt": datetime.fromtimestamp(payload["timestamp"], UTC).isoformat(),
                "hostname": payload["hostname"],
                "urlPath": payload["url"].removesuffix("/" if self.without_slash else ""),
                "eventType": 1,
            }
            for number, payload in enumerate(self.stored)
            if payload.get("tag") in query["tag"]
        ]
        if path.endswith("/stats"):
            return Reply(200, {"pageviews": len(rows)})
        size, page = int(query["pageSize"][0]), int(query["page"][0])
        return Reply(200, {"data": rows[size * (page - 1) : size * page], "count": len(rows)})

    def _send(self, entry: dict[str, Any], headers: dict[str, str]) -> Reply:
        payload = entry["payload"]
        if not isinstance(payload.get("timestamp", 0), int):
            wrong = {name: {"errors": ["Invalid"]} for name in ("timestamp", "userAgent", "id")}
            properties = {"payload": {"properties": wrong}}
            return Reply(400, refusal("bad-request", 400, properties=properties))
        if payload["website"] not in self.websites:
            return Reply(400, refusal("bad-request", 400, message="Website not found."))
        if self.bot(payload["userAgent"]):
            return Reply(200, {"beep": "boop"})
        if entry["type"] == "event":
            self.stored.append(payload)
        else:
            assert headers["x-umami-cache"] == "token"
        return Reply(200, {"cache": "token", "sessionId": "s", "visitId": "v"})

    def _batch(self, entries: list[dict[str, Any]]) -> Reply:
        replies = [self._send(entry, {}) for entry in entries]
        details = [
            {"index": index, "response": reply.body}
            for index, reply in enumerate(replies)
            if reply.status != 200
        ]
        return Reply(200, counts(len(entries), details, [reply.body for reply in replies]))

    def batch_failing(self, request: Request, failing: dict[str, Any]) -> Reply:
        """A batch's answer where the page views of these urls fail with these bodies."""
        details = [
            {"index": index, "response": failing[url]}
            for index, url in enumerate(request.urls)
            if url in failing
        ]
        good = [payload for payload in request.page_views if payload["url"] not in failing]
        self.stored.extend(good)
        return Reply(200, counts(len(request.urls), details, [{"cache": "token"}] if good else []))

    def wordless_over(self, *urls: str) -> Callable[[Request], Reply | None]:
        """A script: page views of these urls fail without saying why, in a batch they alone."""
        words = refusal("server-error", 500)

        def script(request: Request) -> Reply | None:
            if request.number < 0 or not set(urls).intersection(request.urls):
                return None
            if request.path == "/api/batch":
                return self.batch_failing(request, dict.fromkeys(urls, words))
            return Reply(500, words)

        return script


def refusal(code: str, status: int, message: str = "no", **rest: Any) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, "status": status, **rest}}


def counts(size: int, details: list[Any], bodies: list[Any]) -> dict[str, Any]:
    cache = next((body["cache"] for body in bodies if "cache" in body), None)
    errors = len(details)
    return {
        "size": size,
        "processed": size - errors,
        "errors": errors,
        "details": details,
        "cache": cache,
    }


@dataclass
class Ledger:
    """The journal and the report in one; checks the order of calls as it goes."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    unsettled: int = 0
    ended: dict[int, Outcome] = field(default_factory=dict)  # by line_start
    in_flight: dict[int, Batch] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    parked_websites: set[str] = field(default_factory=set)
    returned: list[PageView] = field(default_factory=list)
    is_away: list[float | None] = field(default_factory=list)
    doubts: int = 0
    told: int = 0  # of these, page views that were doubted before, in a larger batch
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1000))
    was_in_doubt: int = 0  # page views, with exactly-once
    bodies: dict[int, bytes | None] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    stray: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def next_batch_id(self) -> int:
        return next(self.numbers)

    def tag(self, batch_id: int) -> str:
        return f"7-{batch_id}"

    async def before_send(self, batch: Batch, bodies: bytes | None = None) -> None:
        assert len({view.website for view in batch.page_views}) == 1
        assert (bodies is None) == (batch.tag is None)
        self.bodies[batch.id] = bodies
        self.batches.append(batch)
        self.in_flight[batch.id] = batch

    def answered(self, batch: Batch, ended: Ended) -> None:
        del self.in_flight[batch.id]
        self._end(ended)

    def leaving(self, batch: Batch) -> None:
        assert batch.id in self.in_flight

    def refused(self, batch: Batch) -> None:
        assert batch.id in self.in_flight

    def put_in_doubt(self, batch: Batch) -> None:
        assert batch.tag
        self.was_in_doubt += len(batch.page_views)
        self.changed.set()

    def left_in_doubt(self) -> Sequence[Left]:
        for left in self.left:
            views = unpack(left.bodies, left.website)
            self.in_flight[left.id] = Batch(left.id, left.website, views, left.tag)
        return self.left

    def strays(self) -> set[str]:
        return set(self.stray)

    def let_go(self, website: str) -> None:
        self.stray.remove(website)

    def unsent(self, ended: Ended) -> None:
        self._end(ended)

    def _end(self, ended: Ended) -> None:
        for outcome, views in ended.items():
            for view in views:
                assert view.line_start not in self.ended, "a page view ended twice"
                self.ended[view.line_start] = outcome
        self.changed.set()

    def finished(self, outcome: Outcome, count: int, *, unsettled: int = 0) -> None:
        assert 0 <= unsettled <= count
        self.outcomes[outcome] += count
        self.unsettled += unsettled

    def resettled(self, outcome: Outcome, count: int) -> None:
        self.unsettled -= count
        assert self.unsettled >= 0
        self.outcomes[Outcome.ACCEPTED] -= count
        self.outcomes[outcome] += count

    def doubted(
        self, website: str, count: int, *, answered: bool = False, told: bool = False
    ) -> None:
        under_way = [batch for batch in self.in_flight.values() if batch.website == website]
        assert answered or sum(len(batch.page_views) for batch in under_way) >= count
        self.doubts += count
        self.told += count if told else 0

    def away(self, since: float | None) -> None:
        self.is_away.append(since)
        self.changed.set()

    def parked(self, website: str) -> None:
        assert website not in self.parked_websites
        self.parked_websites.add(website)
        self.changed.set()

    def deferred(self, page_views: Sequence[PageView]) -> None:
        self.returned.extend(page_views)
        self.changed.set()

    def unparked(self, website: str) -> None:
        self.parked_websites.remove(website)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was reported makes the condition true."""
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def make_views(
    count: int,
    *,
    website: str = WEBSITE,
    start: int = 0,
    user_agent: str | Callable[[int], str] = BROWSER,
) -> list[PageView]:
    views = []
    for number in range(start, start + count):
        agent = user_agent if isinstance(user_agent, str) else user_agent(number)
        payload: dict[str, str | int] = {"website": website, "hostname": "example.com"}
        payload |= {"language": "", "referrer": "", "screen": "", "title": "", "url": f"/{number}"}
        payload |= {"ip": "192.0.2.1", "userAgent": agent, "timestamp": 1_790_000_000 + number}
        span = Span(7, number * 10, number * 10 + 10)
        views.append(PageView.of(website, payload, span, number * 10, b"line %d" % number))
    return views


@pytest.fixture
def views() -> Callable[..., list[PageView]]:
    return make_views


@pytest.fixture
def website() -> str:
    return WEBSITE


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def refused() -> Callable[..., dict[str, Any]]:
    return refusal


@pytest.fixture
async def umami() -> AsyncIterator[ScriptedUmami]:
    scripted = ScriptedUmami()
    server = await asyncio.start_server(scripted.connected, "127.0.0.1", 0, limit=1 << 24)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield scripted
    server.close()


async def come_true(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nobody tells of; the loop goes on meanwhile."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - servers and workers set no event for a test
            await asyncio.sleep(0.001)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    return come_true


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@dataclass
class Sleeps:
    """Sleeping that takes no time, and how long it would have taken."""

    asked: list[float] = field(default_factory=list)
    time: float = 0.0

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)

    def clock(self) -> float:
        return self.time


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


MakeDelivery = Callable[..., Awaitable[Delivery]]


@pytest.fixture
async def deliver(ledger: Ledger, sleeps: Sleeps) -> AsyncIterator[MakeDelivery]:
    """A started delivery to a URL, on a clock that only sleeping moves; options by name.

    ``login``: user name and password; ``real``: time passes as it does.
    """
    started: list[Delivery] = []

    async def make(
        url: str,
        *,
        park: bool = False,
        kept: bool = False,
        api_key: str | None = None,
        login: tuple[str | None, str | None] = (None, None),
        real: bool = False,
        **options: Any,
    ) -> Delivery:
        options = {"settle_bots": False, "timeout": 5.0, "pace": "fixed", **options}
        delivery = Delivery(
            UmamiOptions(url, api_key=api_key, username=login[0], password=login[1]),
            DeliveryOptions(**options),
            journal=ledger,
            report=ledger,
            park=park,
            kept=kept,
            file_path=lambda key: b"/var/log/\xffaccess.log.%d" % key,
            clock=time.monotonic if real else sleeps.clock,
            wall=lambda: 1_790_000_000.0,
            sleep=asyncio.sleep if real else sleeps,
        )
        started.append(delivery)
        await delivery.start()
        return delivery

    yield make
    for delivery in started:
        await delivery.stop()
