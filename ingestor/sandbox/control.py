"""The control port: switch faults on and off, read the counters, look at what was stored.

======================  ==========================================================================
GET /                   counters, faults that are on, how often each fired, websites
POST /faults            a spec as text, or ``{"specs": [...]}``; beside those that are on
PUT /faults             the same, in place of those that are on
DELETE /faults          all off; with ``?name=KIND`` (or a whole spec) only those
DELETE /counters        start counting at nothing
GET /page-views         what is stored, ``?website=`` of one website: a JSON array
POST /reset             ``?website=``: set its resetAt to now and keep its rows
======================  ==========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ingestor.errors import UsageError
from ingestor.sandbox.answers import Answer
from ingestor.sandbox.receiving import json_response

if TYPE_CHECKING:
    from aiohttp import web

    from ingestor.sandbox.counters import Counters
    from ingestor.sandbox.faults import Faults
    from ingestor.sandbox.store import Store


class Control:
    """The control port's routes."""

    def __init__(self, store: Store, faults: Faults, counters: Counters) -> None:
        self._store = store
        self._faults = faults
        self._counters = counters

    async def dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to the control port."""
        try:
            found = await self._dispatch(request)
        except (UsageError, orjson.JSONDecodeError, KeyError) as error:
            return json_response(Answer(400, {"error": str(error)}))
        status = 404 if found is None else 200
        return json_response(Answer(status, {"error": "not found"} if found is None else found))

    async def _dispatch(self, request: web.BaseRequest) -> Any:  # noqa: PLR0911 - a route a line
        match request.method, request.path:
            case "GET", "/":
                return self.state()
            case "POST" | "PUT", "/faults":
                specs = _specs(await request.read())
                if request.method == "PUT":
                    self._faults.replace(*specs)
                else:
                    self._faults.set(*specs)
                return self.state()
            case "DELETE", "/faults":
                self._faults.clear(*request.query.getall("name", []))
                return self.state()
            case "DELETE", "/counters":
                self._counters.clear()
                self._faults.clear_counters()
                return self.state()
            case "GET", "/page-views":
                rows = self._store.page_views(request.query.get("website"))
                return [row._asdict() for row in rows]
            case "POST", "/reset":
                website = request.query["website"].lower()
                return {"resetAt": self._store.reset_website(website, keep_rows=True).reset_at}
        return None

    def state(self) -> dict[str, Any]:
        """Everything that is counted, and the faults that are on."""
        return {
            **self._counters.as_json(),
            "faults": [fault.as_json() for fault in self._faults],
            "fired": dict(self._faults.counters),
            "websites": list(self._store.websites),
        }


def _specs(body: bytes) -> list[str]:
    if body.lstrip().startswith(b"{"):
        return [str(spec) for spec in orjson.loads(body)["specs"]]
    return [line.strip() for line in body.decode("utf-8", "replace").splitlines() if line.strip()]
