"""The pace as Umami sees it: requests in flight, sizes, page views a second."""

from __future__ import annotations

import pytest


async def test_auto_begins_with_one_small_request_and_grows_to_what_is_configured(
    umami, ledger, views, deliver
):
    delivery = await deliver(umami.url, pace="auto", workers=3, batch_size=40)
    await delivery.submit(views(2_000))
    assert await delivery.drain(10)
    sizes = [len(request.page_views) for request in umami.carrying]
    assert max(sizes[:2]) <= 25
    assert max(sizes) == 40
    assert umami.connections == 3
    assert len(ledger.ended) == 2_000


async def test_a_fixed_pace_uses_what_is_configured_from_the_first_request(umami, views, deliver):
    delivery = await deliver(umami.url, pace="fixed", workers=3, batch_size=40)
    await delivery.submit(views(400))
    assert await delivery.drain(10)
    assert len(umami.carrying[0].page_views) == 40
    assert umami.connections == 3


async def test_auto_never_gathers_where_page_views_travel_alone(umami, views, deliver):
    umami.has_batch = False
    delivery = await deliver(umami.url, pace="auto")
    await delivery.submit(views(60))
    assert await delivery.drain(10)
    assert {len(request.page_views) for request in umami.carrying} == {1}


@pytest.mark.parametrize("pace", ["auto", "fixed"])
async def test_no_more_page_views_leave_in_a_second_than_the_rate_says(
    pace, umami, views, deliver, sleeps
):
    delivery = await deliver(umami.url, pace=pace, max_rate=20)
    await delivery.submit(views(110))
    assert await delivery.drain(10)
    assert sleeps.time >= 4.5
    assert max(len(request.page_views) for request in umami.carrying) <= 20
    assert umami.urls.total() == 110
