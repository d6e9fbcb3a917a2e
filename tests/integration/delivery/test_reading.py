"""Reading a website back from the sandbox: reset, date range, page views by day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import aiohttp
import pytest

from ingestor.delivery import CannotTell, Reader, UmamiOptions
from ingestor.delivery.umami import Umami
from ingestor.errors import BadCredentials, TryAgain
from ingestor.sandbox import Sandbox, SandboxOptions

WEBSITE = "aaaaaaaa-0000-4000-8000-000000000001"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0"
DAY = 86_400
FIRST = int(datetime(2025, 1, 31, 23, 0, tzinfo=UTC).timestamp())

Ask = Callable[..., Awaitable[Reader]]


@pytest.fixture(params=["2.18.0", "3.1.0"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    options = SandboxOptions(websites=(WEBSITE,), version=request.param)
    async with Sandbox(options) as running:
        yield running


@pytest.fixture
async def reader(sandbox: Sandbox) -> AsyncIterator[Callable[..., Reader]]:
    opened: list[Umami] = []

    def build(*, password: str = "umami", url: str = sandbox.url) -> Reader:  # noqa: S107
        umami = Umami(UmamiOptions(url), timeout=5, connections=1)
        opened.append(umami)
        return Reader(umami, username="admin", password=password)

    yield build
    for umami in opened:
        await umami.close()


async def store(sandbox: Sandbox, *times: int) -> None:
    async with aiohttp.ClientSession() as session:
        for time in times:
            payload = {"website": WEBSITE, "url": "/", "timestamp": time, "hostname": "h"}
            payload |= {"language": "", "referrer": "", "screen": "", "title": ""}
            payload |= {"ip": "192.0.2.1", "userAgent": CHROME}
            body = {"type": "event", "payload": payload}
            async with session.post(f"{sandbox.url}/api/send", json=body) as answer:
                assert "sessionId" in await answer.json()


async def test_page_views_are_counted_by_day_over_years(
    sandbox: Sandbox, reader: Callable[..., Reader]
) -> None:
    await store(sandbox, FIRST, FIRST + 2 * 3600, FIRST + 3 * 3600, FIRST + 400 * DAY)
    found = await reader().by_day(WEBSITE, FIRST, FIRST + 400 * DAY)
    assert found == {"2025-01-31": 1, "2025-02-01": 2, "2026-03-07": 1}
    assert await reader().by_day(WEBSITE, FIRST + 1, FIRST + 2 * 3600 - 1) == {}
    assert await reader().by_day(WEBSITE, FIRST, FIRST) == {"2025-01-31": 1}


async def test_a_website_tells_its_reset_and_its_dates(
    sandbox: Sandbox, reader: Callable[..., Reader]
) -> None:
    assert await reader().date_range(WEBSITE) is None
    await store(sandbox, FIRST, FIRST + DAY)
    assert await reader().date_range(WEBSITE) == (FIRST, FIRST + DAY)
    facts = await reader().website(WEBSITE)
    assert facts is not None
    assert facts.reset_at is None
    sandbox.reset_website(WEBSITE)
    facts = await reader().website(WEBSITE)
    assert facts is not None
    assert facts.reset_at is not None
    assert facts.reset_at > FIRST
    assert await reader().website("11111111-1111-4111-8111-111111111111") is None


async def test_a_wrong_password_is_told_and_never_shown(reader: Callable[..., Reader]) -> None:
    with pytest.raises(BadCredentials) as refused:
        await reader(password="hunter2").website(WEBSITE)  # noqa: S106
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("fault", ["502-html", "200-html", "200-json", "200-empty", "refuse"])
async def test_trouble_is_to_be_tried_again(
    fault: str, sandbox: Sandbox, reader: Callable[..., Reader]
) -> None:
    asked = reader()
    await asked.website(WEBSITE)
    sandbox.faults.set(f"{fault},path=*" if fault != "refuse" else fault)
    with pytest.raises((TryAgain, CannotTell)):
        await asked.by_day(WEBSITE, FIRST, FIRST)
