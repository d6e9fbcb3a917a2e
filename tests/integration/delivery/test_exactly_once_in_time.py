"""Exactly-once while time passes as it does: the settle time, and the second reading."""

from __future__ import annotations

from collections import Counter

from ingestor.sandbox import Sandbox, SandboxOptions

LOGIN = ("admin", "umami")


def paths(sandbox):
    website = sandbox.websites[0]
    return Counter(view.url_path for view in sandbox.page_views(website))


async def test_a_server_that_stores_late_is_waited_for(deliver, ledger, views):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await deliver(
            sandbox.url, exactly_once=True, login=LOGIN, batch_size=8, real=True, settle_time=0.4
        )
        sandbox.faults.set("store-late,entry=20ms,p=0.4,seed=1")
        await delivery.submit(views(80, website=website))
        assert await delivery.drain(None)
        assert paths(sandbox) == {f"/{n}": 1 for n in range(80)}
        assert ledger.was_in_doubt > 0
        assert ledger.doubts == 0


async def test_a_request_that_times_out_is_looked_up_and_not_repeated(deliver, ledger, views):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await deliver(
            sandbox.url,
            exactly_once=True,
            login=LOGIN,
            batch_size=8,
            real=True,
            timeout=0.2,
            settle_time=0.5,
            retry_min=0.01,
            retry_max=0.05,
        )
        sandbox.faults.set("slow,request=400ms,count=2")
        await delivery.submit(views(60, website=website))
        assert await delivery.drain(None)
        assert paths(sandbox) == {f"/{n}": 1 for n in range(60)}
        assert ledger.was_in_doubt > 0


async def test_a_server_that_stalls_longer_than_the_settle_time_doubles_and_it_is_reported(
    deliver, ledger, views, caplog, eventually
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await deliver(
            sandbox.url,
            exactly_once=True,
            login=LOGIN,
            mode="batch",
            real=True,
            park=True,
            timeout=0.2,
            settle_time=0.25,
            retry_min=0.01,
            retry_max=0.05,
        )
        sandbox.faults.set("slow,request=700ms,count=1")
        await delivery.submit(views(3, website=website))
        await eventually(lambda: ledger.doubts == 3)
        assert paths(sandbox) == {f"/{n}": 2 for n in range(3)}
        assert "3 page views double" in caplog.text


async def test_a_server_that_is_still_at_work_when_it_is_asked_is_asked_until_it_has_finished(
    deliver, ledger, views
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await deliver(
            sandbox.url,
            exactly_once=True,
            login=LOGIN,
            mode="batch",
            pace="fixed",
            batch_size=40,
            real=True,
            settle_time=0.2,
        )
        sandbox.faults.set("store-late,entry=15ms,count=1")
        await delivery.submit(views(40, website=website))
        assert await delivery.drain(None)
        assert paths(sandbox) == {f"/{n}": 1 for n in range(40)}
        assert ledger.was_in_doubt > 20
