"""A request to stop is always heard."""

from __future__ import annotations

import asyncio

import pytest

from ingestor.pipeline.stopping import woken


async def test_a_cancellation_that_comes_with_the_event_is_not_swallowed() -> None:
    event = asyncio.Event()
    task = asyncio.create_task(woken(event, 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_wakes_by_the_event_and_by_the_time() -> None:
    event = asyncio.Event()
    await woken(event, 0.001)
    event.set()
    await woken(event, 60)
