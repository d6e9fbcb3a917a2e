"""The sandbox as an older Umami: what a real 2.18.0 answered to the same requests."""

from __future__ import annotations

import json

import aiohttp
import pytest

from ingestor.sandbox import Sandbox, SandboxOptions

WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"
NOBODY = "22222222-2222-4222-8222-222222222222"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def event(**payload: object) -> dict[str, object]:
    return {"type": "event", "payload": {"website": WEBSITE, "url": "/a", **payload}}


IDENTIFY = {"type": "identify", "payload": {"website": WEBSITE, "userAgent": BROWSER}}
REFUSED = {"error": ["payload: "]}
UNKNOWN = {"error": "Website not found."}
EXCHANGES = [
    ("/api/send", event(timestamp="abc"), 400, REFUSED),
    ("/api/send", event(url="http://[bad"), 400, REFUSED),
    ("/api/send", event(language="a" * 36), 400, REFUSED),
    ("/api/send", event(website=NOBODY), 400, UNKNOWN),
    ("/api/send", event(ip="192.0.2.9"), 403, {"error": "Forbidden"}),
    ("/api/send", [], 400, {"error": []}),
    ("/api/send", event(userAgent="Googlebot/2.1"), 200, {"beep": "boop"}),
    ("/api/send", IDENTIFY, 400, {"error": "Data required."}),
    ("/api/batch", {}, 400, {"error": []}),
    ("/api/batch", [], 200, {"size": 0, "processed": 0, "errors": 0, "details": []}),
]


@pytest.fixture
async def sandbox():
    options = SandboxOptions(version="2.18.0", websites=(WEBSITE,), ignore_ip=("192.0.2.9",))
    async with Sandbox(options) as made:
        yield made


async def post(sandbox: Sandbox, path: str, body: object) -> tuple[int, object]:
    headers = {"User-Agent": BROWSER}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(sandbox.url + path, json=body) as answer,
    ):
        return answer.status, json.loads(await answer.read())


@pytest.mark.parametrize(("path", "body", "status", "answer"), EXCHANGES)
async def test_it_answers_as_2_18_does(sandbox, path, body, status, answer):
    assert await post(sandbox, path, body) == (status, answer)


async def test_a_batch_has_no_token_and_tells_each_error_in_the_same_words(sandbox):
    entries = [event(), event(timestamp="abc"), event(website=NOBODY)]
    details = [{"index": 1, "response": REFUSED}, {"index": 2, "response": UNKNOWN}]
    counts = {"size": 3, "processed": 1, "errors": 2}
    assert await post(sandbox, "/api/batch", entries) == (200, {**counts, "details": details})
