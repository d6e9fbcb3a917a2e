"""A sandbox over loopback and a client session, for every test of the room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from ingestor.sandbox import Sandbox, SandboxOptions

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/138.0.0.0 Safari/537.36"
)
WEBSITE = "4a4f0cc9-8ee5-42a6-9b80-36f63aa61362"


@pytest.fixture
def website() -> str:
    return WEBSITE


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    options = SandboxOptions(websites=(WEBSITE,), control_port=0, shutdown_timeout=1.0)
    async with Sandbox(options) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"User-Agent": CHROME}) as session:
        yield session


@pytest.fixture
def entry() -> Callable[..., dict[str, Any]]:
    """A page view as a body of /api/send; keywords change or add fields."""

    def make(**fields: Any) -> dict[str, Any]:
        payload = {
            "website": WEBSITE,
            "hostname": "example.test",
            "language": "en-US",
            "referrer": "",
            "screen": "",
            "title": "",
            "url": "/x",
            "ip": "81.2.69.142",
            "userAgent": CHROME,
            "timestamp": 1_790_000_000,
        }
        return {"type": "event", "payload": payload | fields}

    return make
