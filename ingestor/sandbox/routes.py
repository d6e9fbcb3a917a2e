"""Every route of the sandbox but the two that store: login, websites, the read API, health.

Unknown paths are an HTML 404, a trailing slash is a 308, a wrong method a 405, as Next.js does.
"""

from __future__ import annotations

import hmac
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from ingestor.sandbox.answers import Answer, bad_request, not_found, server_error, unauthorized
from ingestor.sandbox.collector import version_of
from ingestor.sandbox.faults import STORING_PATHS, Faults, Look
from ingestor.sandbox.filters import query_errors, select
from ingestor.sandbox.javascript import UNDEFINED, iso_time, parse_json, type_of, units
from ingestor.sandbox.reading import Reader, is_timezone
from ingestor.sandbox.receiving import (
    API_HEADERS,
    BATCH,
    SEND,
    Receiver,
    method_not_allowed,
    read_up_to,
)
from ingestor.sandbox.schema import is_uuid
from ingestor.sandbox.visitors import read as read_token
from ingestor.sandbox.visitors import sign

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ingestor.sandbox.options import SandboxOptions
    from ingestor.sandbox.store import Store, Website

    Route = Callable[[web.BaseRequest], Awaitable[Answer]]

_NOT_FOUND_PAGE: Final = (
    '<!DOCTYPE html><html lang="en" class=" "><head><meta charSet="utf-8"/>'
    "<title>404: This page could not be found.</title></head><body></body></html>"
)
_WITHOUT_DATABASE: Final = ("/api/heartbeat", "/api/config")
_NAMES: Final = {"name": 100, "domain": 500}  # longest, in UTF-16 units


class Routes:
    """The routes over one store; `table` is what the server serves."""

    def __init__(
        self, options: SandboxOptions, store: Store, receiver: Receiver, faults: Faults
    ) -> None:
        self._options = options
        self._store = store
        self._reader = Reader(store)
        self._receiver = receiver
        self._faults = faults
        self._old_stats = version_of(options.version) < (3, 0)
        self._fixed: dict[str, dict[str, Route]] = {
            SEND: {"POST": _stores},
            "/api/heartbeat": {"GET": self._heartbeat},
            "/api/config": {"GET": self._config},
            "/api/auth/login": {"POST": self._login},
            "/api/auth/verify": {"POST": self._verify},
            "/api/websites": {"GET": self._websites, "POST": self._add_website},
        }
        if receiver.has_batch:
            self._fixed[BATCH] = {"POST": _stores}
        self._by_website: dict[str, dict[str, Route]] = {
            "": {"GET": self._website, "DELETE": self._delete_website},
            "stats": {"GET": self._stats},
            "events": {"GET": self._events},
            "sessions": {"GET": self._sessions},
            "metrics": {"GET": self._metrics},
            "metrics/expanded": {"GET": self._metrics},
            "pageviews": {"GET": self._page_views},
            "daterange": {"GET": self._date_range},
            "reset": {"POST": self._reset},
        }

    async def dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        """Find the route; 308, 404 and 405 where there is none."""
        path = request.path
        if len(path) > 1 and path.endswith("/"):
            where = path.rstrip("/") + (f"?{request.query_string}" if request.query_string else "")
            return web.Response(status=308, headers={"Location": where})
        methods = self._methods(path)
        if methods is None:
            return web.Response(text=_NOT_FOUND_PAGE, status=404, content_type="text/html")
        if request.method == "OPTIONS":
            allowed = ", ".join(("OPTIONS", *methods))
            return web.Response(status=204, headers={**API_HEADERS, "Allow": allowed})
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            return method_not_allowed()
        if path in STORING_PATHS:
            return await self._receiver.handle(request)
        return await self._receiver.through_faults(
            request, Look(path), lambda: self._ask(route, request)
        )

    async def _ask(self, route: Route, request: web.BaseRequest) -> Answer:
        if self._faults.outage_of_reading() and request.path not in _WITHOUT_DATABASE:
            return server_error(None)
        try:
            return await route(request)
        except (sqlite3.Error, OverflowError):  # a question that PostgreSQL refuses, too
            return server_error(None)

    def _methods(self, path: str) -> dict[str, Route] | None:
        if (methods := self._fixed.get(path)) is not None:
            return methods
        prefix, _, rest = path.partition("/api/websites/")
        return None if prefix or not rest else self._by_website.get(rest.partition("/")[2])

    async def _heartbeat(self, _request: web.BaseRequest) -> Answer:
        return Answer(200, {"ok": True})

    async def _config(self, _request: web.BaseRequest) -> Answer:
        names = ("cloudMode", "privateMode", "telemetryDisabled", "updatesDisabled")
        values: dict[str, Any] = dict.fromkeys(names, False)
        values |= {"telemetryDisabled": True, "updatesDisabled": True, "currentVersion": True}
        return Answer(200, values)

    async def _login(self, request: web.BaseRequest) -> Answer:
        body = await self._body(request)
        if (errors := _text_errors(body, {"username": None, "password": None})) is not None:
            return bad_request(**errors)
        sent = f"{body['username']}\0{body['password']}".encode()
        right = f"{self._options.username}\0{self._options.password}".encode()
        if not hmac.compare_digest(sent, right):
            return unauthorized("incorrect-username-password")
        claims = {"userId": self._store.user_id, "role": "admin"}
        token = sign(claims, f"login {self._store.secret}")
        return Answer(200, {"token": token, "user": self._user()})

    async def _verify(self, request: web.BaseRequest) -> Answer:
        if not self._is_known(request):
            return unauthorized()
        return Answer(200, self._user())

    def _user(self) -> dict[str, Any]:
        return {
            "id": self._store.user_id,
            "username": self._options.username,
            "role": "admin",
            "createdAt": iso_time(self._store.born),
            "isAdmin": True,
            "teams": [],
        }

    async def _body(self, request: web.BaseRequest) -> Any:
        return parse_json(await read_up_to(request, self._options.body_limit))

    def _is_known(self, request: web.BaseRequest) -> bool:
        parts = request.headers.get("authorization", "").split(" ")
        token = parts[1] if len(parts) > 1 else ""
        claims = read_token(token, f"login {self._store.secret}")
        return claims is not None and claims.get("userId") == self._store.user_id

    async def _websites(self, request: web.BaseRequest) -> Answer:
        query = dict(request.query)
        if (errors := query_errors(query, dates=False)) is not None:
            return bad_request(**errors)
        if not self._is_known(request):
            return unauthorized()
        return Answer(200, self._reader.websites(query))

    async def _add_website(self, request: web.BaseRequest) -> Answer:
        body = await self._body(request)
        errors = _text_errors(body, _NAMES)
        wanted = body.get("id") if isinstance(body, dict) else None
        if (
            errors is None
            and wanted is not None
            and not (isinstance(wanted, str) and is_uuid(wanted))
        ):
            errors = {"errors": [], "properties": {"id": {"errors": ["Invalid UUID"]}}}
        if errors is not None:
            return bad_request(**errors)
        if not self._is_known(request):
            return unauthorized()
        made = self._store.add_website(wanted or str(uuid.uuid4()), body["name"], body["domain"])
        return Answer(200, self._reader.website(made))

    def _named(self, request: web.BaseRequest) -> str:
        return request.path.split("/")[3].lower()

    def _known_website(self, request: web.BaseRequest) -> Website | None:
        return self._store.websites.get(self._named(request))

    async def _website(self, request: web.BaseRequest) -> Answer:
        if not self._is_known(request):
            return unauthorized()
        website = self._known_website(request)
        return Answer(200, website and self._reader.website(website))

    async def _delete_website(self, request: web.BaseRequest) -> Answer:
        if not self._is_known(request):
            return unauthorized()
        self._store.delete_website(self._named(request))
        return Answer(200, {"ok": True})

    async def _reset(self, request: web.BaseRequest) -> Answer:
        if not self._is_known(request):
            return unauthorized()
        if self._known_website(request) is None:
            return not_found()
        self._store.reset_website(self._named(request))
        return Answer(200, {"ok": True})

    async def _read(
        self, request: web.BaseRequest, question: Callable[[dict[str, str]], Any]
    ) -> Answer:
        query = dict(request.query)
        errors = query_errors(query)
        if errors is None and (zone := query.get("timezone")) and not is_timezone(zone):
            errors = {"errors": [], "properties": {"timezone": {"errors": ["Invalid timezone"]}}}
        if errors is not None:
            return bad_request(**errors)
        if not self._is_known(request):
            return unauthorized()
        found = question(query)
        return bad_request() if found is None else Answer(200, found)

    def _selection(self, request: web.BaseRequest, query: dict[str, str]) -> Any:
        website = self._known_website(request)
        return select(self._named(request), query, website.reset_at if website else None)

    async def _stats(self, request: web.BaseRequest) -> Answer:
        def ask(query: dict[str, str]) -> Any:
            stats = self._reader.stats(self._selection(request, query))
            if not self._old_stats:
                return stats
            before = stats.pop("comparison")
            return {name: {"value": stats[name], "prev": before[name]} for name in stats}

        return await self._read(request, ask)

    async def _events(self, request: web.BaseRequest) -> Answer:
        return await self._read(
            request, lambda query: self._reader.events(self._selection(request, query))
        )

    async def _sessions(self, request: web.BaseRequest) -> Answer:
        return await self._read(
            request, lambda query: self._reader.sessions(self._selection(request, query))
        )

    async def _metrics(self, request: web.BaseRequest) -> Answer:
        expanded = request.path.endswith("/expanded")
        ask = self._reader.expanded_metrics if expanded else self._reader.metrics
        kind = request.query.get("type")
        if kind is None:
            words = "Invalid input: expected string, received undefined"
            tree = {"errors": [], "properties": {"type": {"errors": [words]}}}
            return bad_request(**tree)

        def answer(query: dict[str, str]) -> Any:
            if text := query.get("search"):
                query = {**query, kind: f"c.{text}"}
            return ask(kind, self._selection(request, query))

        return await self._read(request, answer)

    async def _page_views(self, request: web.BaseRequest) -> Answer:
        return await self._read(
            request, lambda query: self._reader.page_views_by_time(self._selection(request, query))
        )

    async def _date_range(self, request: web.BaseRequest) -> Answer:
        if not self._is_known(request):
            return unauthorized()
        return Answer(200, self._reader.date_range(self._named(request)))


async def _stores(_request: web.BaseRequest) -> Answer:
    """Stand in the table for the two routes that go to the Receiver."""
    return not_found()


def _text_errors(body: object, fields: Mapping[str, int | None]) -> Any:
    """The error tree of a body whose fields are all strings that have to be there."""
    if not isinstance(body, dict):
        return {"errors": [f"Invalid input: expected object, received {type_of(body)}"]}
    properties = {}
    for name, limit in fields.items():
        value = body.get(name, UNDEFINED)
        if not isinstance(value, str):
            words = f"Invalid input: expected string, received {type_of(value)}"
            properties[name] = {"errors": [words]}
        elif limit is not None and units(value) > limit:
            words = f"Too big: expected string to have <={limit} characters"
            properties[name] = {"errors": [words]}
    return {"errors": [], "properties": properties} if properties else None
