"""Delivery and the sandbox: faults of every kind, and old versions of Umami."""

from __future__ import annotations

from collections import Counter

import pytest

from ingestor.delivery.options import UmamiOptions
from ingestor.delivery.umami import ServerFacts, Umami
from ingestor.errors import UmamiTooOld
from ingestor.model import Outcome
from ingestor.sandbox import Sandbox, SandboxOptions

FAULTS = [
    "drop-before,p=0.3,seed=1",
    "drop-after,p=0.3,seed=2",
    "cut,p=0.3,seed=3",
    "store-late,p=0.3,seed=4",
    "429,retry_after=2,p=0.3,seed=5",
    "503,p=0.3,seed=6",
    "502-html,p=0.3,seed=7",
    "200-html,p=0.3,seed=8",
    "502-html,stored=yes,p=0.3,seed=9",
    "413,entries=3",
    "500-passes,code=P1001,p=0.2,seed=10",
    "500-passes,code=57P01,p=0.2,seed=11",
    "500-passes,code=25006,count=100",
    "500-whole,p=0.2,seed=12",
    "500-whole,count=30",
    "refuse,for=200ms",
]
VERSIONS = ["2.18.0", "3.1.0"]
SETUPS = [("auto", "3.1.0"), ("send", "3.1.0"), ("batch", "2.18.0")]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("mode", "version"), SETUPS)
async def test_a_fault_loses_nothing_and_doubles_only_what_was_in_doubt(
    fault, mode, version, ledger, views, deliver, eventually, tmp_path
):
    async with Sandbox(SandboxOptions(version=version)) as sandbox:
        website = sandbox.websites[0]
        letters = tmp_path / "dead.jsonl"
        delivery = await deliver(
            sandbox.url, mode=mode, batch_size=8, settle_bots=True, dead_letters=letters
        )
        sandbox.faults.set(fault)
        await delivery.submit(views(120, website=website))
        assert await delivery.drain(20)
        sandbox.faults.clear()
        await eventually(lambda: not sandbox.counters.in_flight)
        stored = Counter(view.url_path for view in sandbox.page_views(website))
        assert set(stored) == {f"/{number}" for number in range(120)}
        assert stored.total() - 120 <= ledger.doubts
        assert ledger.outcomes == {Outcome.ACCEPTED: 120}
        assert not letters.exists()
        assert any(sandbox.faults.counters.values()) or (mode, fault) == ("send", "413,entries=3")


@pytest.mark.parametrize("version", VERSIONS)
async def test_poison_is_dead_lettered_by_every_version(version, ledger, views, deliver, tmp_path):
    async with Sandbox(SandboxOptions(version=version)) as sandbox:
        website = sandbox.websites[0]
        sandbox.faults.set("500-never,url=/7")
        delivery = await deliver(sandbox.url, batch_size=8, dead_letters=tmp_path / "dead.jsonl")
        await delivery.submit(views(40, website=website))
        assert await delivery.drain(20)
        assert ledger.outcomes == {Outcome.ACCEPTED: 39, Outcome.REJECTED: 1}
        assert ledger.ended[70] is Outcome.REJECTED


@pytest.mark.parametrize("mode", ["batch", "send"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_blocked_addresses_are_dead_lettered_at_once_by_every_version(
    mode, version, ledger, views, deliver, tmp_path
):
    async with Sandbox(SandboxOptions(version=version, ignore_ip=("192.0.2.1",))) as sandbox:
        letters = tmp_path / "dead.jsonl"
        delivery = await deliver(sandbox.url, mode=mode, batch_size=4, dead_letters=letters)
        await delivery.submit(views(8, website=sandbox.websites[0]))
        assert await delivery.drain(20)
        assert ledger.outcomes == {Outcome.REJECTED: 8}
        assert sandbox.counters.entries < 40


async def test_bots_are_counted_as_the_sandbox_counts_them(ledger, views, deliver):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        agents = ["Feedly/1.0", "curl/8.1"] + [
            f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0"
            for n in range(100, 110)
        ]
        delivery = await deliver(sandbox.url, batch_size=10, settle_bots=True)
        await delivery.submit(
            views(300, website=website, user_agent=lambda number: agents[number % len(agents)])
        )
        assert await delivery.drain(20)
        assert ledger.unsettled == 0
        assert ledger.outcomes == {Outcome.ACCEPTED: 250, Outcome.REFUSED_AS_BOT: 50}
        assert sandbox.count(website) == 250


@pytest.mark.parametrize("version", ["2.18.0", "2.20.2", "3.0.0", "3.1.0"])
async def test_every_supported_version_is_found_out_without_a_trace(version):
    async with Sandbox(SandboxOptions(version=version)) as sandbox:
        umami = Umami(UmamiOptions(sandbox.url), timeout=5, connections=1)
        try:
            facts = await umami.facts()
        finally:
            await umami.close()
        assert facts == ServerFacts(True, frozenset({"timestamp", "userAgent", "ip", "id"}))
        assert sandbox.count(sandbox.websites[0]) == 0


@pytest.mark.parametrize("judge", [None, lambda _: False], ids=["", "DISABLE_BOT_CHECK"])
async def test_whether_a_website_exists_is_asked_without_a_page_view(judge):
    async with Sandbox(SandboxOptions(is_bot=judge)) as sandbox:
        umami = Umami(UmamiOptions(sandbox.url), timeout=5, connections=1)
        try:
            assert await umami.website_exists(sandbox.websites[0])
            assert not await umami.website_exists("bbbbbbbb-0000-4000-8000-000000000002")
        finally:
            await umami.close()
        assert sandbox.count(sandbox.websites[0]) == 0


@pytest.mark.parametrize("version", ["2.9.0", "2.16.1", "2.17.0"])
async def test_an_umami_before_2_18_is_too_old(version, deliver):
    async with Sandbox(SandboxOptions(version=version)) as sandbox:
        with pytest.raises(UmamiTooOld):
            await deliver(sandbox.url)
