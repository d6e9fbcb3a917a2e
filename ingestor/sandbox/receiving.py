"""/api/send and /api/batch over HTTP: reads, lets the faults have their way, works off, answers.

A request goes on after its client hung up, as it does in Umami.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from ingestor.sandbox.answers import Answer, server_error, unauthorized
from ingestor.sandbox.collector import Collector, Sender, version_of
from ingestor.sandbox.faults import BY_ENTRY, REPLACING, Fault, Faults, Look
from ingestor.sandbox.javascript import parse_json
from ingestor.sandbox.schema import batch_errors
from ingestor.sandbox.visitors import read as read_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingestor.sandbox.counters import Counters
    from ingestor.sandbox.options import SandboxOptions
    from ingestor.sandbox.outage import Outage
    from ingestor.sandbox.store import Store

SEND: Final = "/api/send"
BATCH: Final = "/api/batch"
API_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "GET, DELETE, POST, PUT",
    "Access-Control-Max-Age": "86400",
    "Cache-Control": "no-cache",
}

_SLICE: Final = 100  # entries between two commits, when nothing slows them down
_ADDRESS_HEADERS: Final = (
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-nf-client-connection-ip",
    "do-connecting-ip",
    "x-real-ip",
    "x-appengine-user-ip",
    "x-forwarded-for",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
)
_PROXY_PAGE: Final = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>"
    "\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_TITLES: Final = {
    200: "Welcome",
    403: "403 Forbidden",
    404: "404 Not Found",
    408: "408 Request Time-out",
    413: "413 Request Entity Too Large",
    429: "429 Too Many Requests",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}
NO_ANSWER: Final = 499  # counted where the client was left without one


def json_response(answer: Answer) -> web.Response:
    """An answer as Umami's API writes it."""
    return web.Response(
        body=orjson.dumps(answer.body),
        status=answer.status,
        content_type="application/json",
        headers=API_HEADERS,
    )


def page_response(status: int, headers: dict[str, str] | None = None) -> web.Response:
    """An HTML page from something that stands before Umami."""
    text = _PROXY_PAGE.format(title=_TITLES[status])
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


class Receiver:
    """The two routes that store."""

    def __init__(
        self,
        options: SandboxOptions,
        store: Store,
        collector: Collector,
        faults: Faults,
        counters: Counters,
    ) -> None:
        self._options = options
        self._store = store
        self._collector = collector
        self._faults = faults
        self._counters = counters
        version = version_of(options.version)
        self._has_batch = version >= (2, 17)
        self._has_token = version >= (3, 0, 2)

    @property
    def has_batch(self) -> bool:
        """Whether this version of Umami has /api/batch."""
        return self._has_batch

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a POST to either route."""
        raw = await read_up_to(request, self._options.body_limit)
        if self._options.instant:
            return self._instant(request.path, raw)
        body = parse_json(raw)
        look = look_at(request.path, body, len(raw))

        async def work() -> Answer:
            if (key := self._options.api_key) and request.headers.get("x-umami-api-key") != key:
                return unauthorized()
            return await self._work_off(request, body, look)

        return await self.through_faults(request, look, work)

    async def through_faults(
        self, request: web.BaseRequest, look: Look, work: Callable[[], Awaitable[Answer]]
    ) -> web.StreamResponse:
        """Do the work, or what the faults make of it."""
        faults = self._faults
        if (frozen := faults.hit(("freeze",), look)) is not None:
            await frozen.over.wait()
        replaced = faults.hit(REPLACING, look)
        if replaced is not None and not replaced.stored:
            return self._replace(replaced)
        if faults.hit(("drop-before",), look):
            return hang_up(request)
        answer = await work()
        if replaced is not None:
            return self._replace(replaced)
        if faults.hit(("drop-after",), look):
            return hang_up(request)
        if faults.hit(("cut",), look):
            return await cut_short(request, json_response(answer))
        return json_response(answer)

    def _replace(self, fault: Fault) -> web.Response:
        headers = {}
        if fault.retry_after is not None:
            headers["Retry-After"] = fault.retry_after
        if fault.retry_after_date is not None:
            moment = time.time() + fault.retry_after_date
            headers["Retry-After"] = formatdate(moment, usegmt=True)
        status = int(fault.kind[:3])
        match fault.kind:
            case "401":
                return json_response(unauthorized())
            case "500-whole":
                return json_response(server_error(None))
            case "200-json":
                return json_response(Answer(200, {"ok": True}))
            case "200-empty":
                return web.Response(status=status)
        return page_response(status, headers)

    def _sender(self, request: web.BaseRequest) -> Sender:
        token = request.headers.get("x-umami-cache")
        return Sender(
            user_agent=_clean(request.headers.get("user-agent", "")),
            address=_clean(sender_address(request)),
            claims=read_token(token, self._store.secret) if token else None,
        )

    async def _work_off(self, request: web.BaseRequest, body: object, look: Look) -> Answer:
        late = self._faults.hit(("store-late",), look)
        slow = self._faults.hit(("slow",), look)
        pace = [late, slow, self._faults.hit(("saturate",), look)]
        if late is not None:
            hang_up(request)
        sender = self._sender(request)
        if slow is not None:
            await asyncio.sleep(slow.request)
        brakes = [fault for fault in pace if fault is not None and fault.entry]
        try:
            if look.path == SEND:
                await self._before_entry(look, brakes)
                return self._collector.collect(body, sender, outage=self._outage(body, look))
            return await self._work_off_batch(body, sender, look, brakes)
        finally:
            self._store.commit()

    async def _work_off_batch(
        self, body: object, sender: Sender, look: Look, brakes: list[Fault]
    ) -> Answer:
        errors = batch_errors(body)
        if errors is not None or not isinstance(body, list):
            return self._collector.refuse(errors or {})
        self._counters.batches[len(body)] += 1
        details = []
        cache: dict[str, Any] = {"cache": None} if self._has_token else {}
        for index, entry in enumerate(body):
            if brakes or self._faults.is_on("freeze"):
                self._store.commit()
                await self._before_entry(look, brakes)
            elif index % _SLICE == _SLICE - 1:
                self._store.commit()
                await asyncio.sleep(0)
            answer = self._collector.collect(
                entry,
                sender,
                outage=self._outage(entry, look),
                token=self._has_token and cache.get("cache") is None,
            )
            if answer.status != 200:  # noqa: PLR2004 - HTTP
                details.append({"index": index, "response": answer.body})
            elif self._has_token and cache.get("cache") is None:
                # a bot's answer has none, and takes the key away
                token = answer.body.get("cache")
                cache = {} if token is None else {"cache": token}
        failed = len(details)
        counts = {"size": len(body), "processed": len(body) - failed, "errors": failed}
        return Answer(200, {**counts, "details": details, **cache})

    async def _before_entry(self, look: Look, brakes: list[Fault]) -> None:
        """Wait as long as the faults of this request want an entry to take."""
        for fault in self._faults:
            if fault.kind == "freeze" and fault.concerns(look):
                await fault.over.wait()
        for fault in brakes:
            if fault.over.is_set():
                continue
            async with fault.threads or contextlib.nullcontext():
                await asyncio.sleep(fault.entry)

    def _outage(self, entry: object, look: Look) -> Outage | None:
        if not self._faults.is_on(*BY_ENTRY):
            return None
        payload = entry.get("payload") if isinstance(entry, dict) else None
        if not isinstance(payload, dict):
            return None
        website, url = payload.get("website"), payload.get("url")
        return self._faults.entry_outage(look, str(website).lower(), str(url))

    def _instant(self, path: str, raw: bytes) -> web.Response:
        token = {"cache": "instant", "sessionId": _NO_ID, "visitId": _NO_ID}
        if path == SEND:
            self._counters.entries += 1
            return json_response(Answer(200, token))
        size = len(orjson.loads(raw))
        self._counters.entries += size
        counts = {"size": size, "processed": size, "errors": 0, "details": []}
        return json_response(Answer(200, {**counts, "cache": "instant" if size else None}))


_NO_ID: Final = "00000000-0000-4000-8000-000000000000"


async def read_up_to(request: web.BaseRequest, limit: int) -> bytes:
    """The body, cut at ``limit`` bytes; what is beyond is read and thrown away."""
    parts: list[bytes] = []
    size = 0
    if request.headers.get("expect") == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async for part in request.content.iter_any():
        if size < limit:
            parts.append(part[: limit - size])
        size += len(part)
    return b"".join(parts)


def look_at(path: str, body: object, size: int) -> Look:
    """What the faults' filters see of a request."""
    entries = body if isinstance(body, list) else [body]
    payloads = (entry.get("payload") for entry in entries if isinstance(entry, dict))
    websites = frozenset(
        str(payload.get("website")).lower() for payload in payloads if isinstance(payload, dict)
    )
    return Look(path, websites, size, len(entries))


def sender_address(request: web.BaseRequest) -> str:
    """The address that Umami falls back to: a proxy's header, else the connection's."""
    for name in _ADDRESS_HEADERS:
        if found := request.headers.get(name):
            return found.split(",")[0].strip()
    return request.remote or ""


def _clean(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def hang_up(request: web.BaseRequest) -> web.Response:
    """Cut the connection without an answer (the response that is returned goes nowhere)."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=NO_ANSWER)


async def cut_short(request: web.BaseRequest, whole: web.Response) -> web.StreamResponse:
    """Send the head and half of the body, then close."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    part = web.StreamResponse(status=whole.status, headers=whole.headers)
    part.content_length = len(body)
    await part.prepare(request)
    await part.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return part


def method_not_allowed() -> web.Response:
    """405 without a body, as for GET /api/send."""
    return web.Response(status=405, headers=API_HEADERS)
