"""Exactly-once against the sandbox: whatever becomes of an answer, lost 0 and doubled 0."""

from __future__ import annotations

from collections import Counter

import pytest

from ingestor.model import Outcome
from ingestor.sandbox import Sandbox, SandboxOptions

LOGIN = ("admin", "umami")
FAULTS = [
    "drop-before,p=0.3,seed=1",
    "drop-after,p=0.3,seed=2",
    "cut,p=0.3,seed=3",
    "store-late,p=0.3,seed=4",
    "429,retry_after=2,p=0.3,seed=5",
    "502-html,p=0.3,seed=7",
    "504-html,stored=yes,p=0.3,seed=9",
    "200-html,stored=yes,p=0.3,seed=8",
    "200-json,p=0.3,seed=8",
    "408,stored=yes,p=0.3,seed=8",
    "413,entries=3",
    "500-passes,code=P1001,p=0.2,seed=10",
    "500-passes,code=57P01,p=0.2,seed=11",
    "500-passes,code=25006,count=100",
    "500-whole,p=0.2,seed=12",
    "500-whole,stored=yes,p=0.2,seed=12",
    "500-whole,count=30",
    "refuse,for=200ms",
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("mode", ["auto", "send", "batch"])
async def test_a_fault_loses_nothing_and_doubles_nothing(
    fault, mode, ledger, views, deliver, eventually, tmp_path
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        letters = tmp_path / "dead.jsonl"
        delivery = await deliver(
            sandbox.url,
            mode=mode,
            batch_size=8,
            settle_bots=True,
            dead_letters=letters,
            exactly_once=True,
            login=LOGIN,
        )
        sandbox.faults.set(fault)
        await delivery.submit(views(120, website=website))
        assert await delivery.drain(None)
        sandbox.faults.clear()
        await eventually(lambda: not sandbox.counters.in_flight)
        stored = Counter(view.url_path for view in sandbox.page_views(website))
        assert stored == {f"/{number}": 1 for number in range(120)}
        assert ledger.doubts == 0
        assert ledger.outcomes == {Outcome.ACCEPTED: 120}
        assert not ledger.in_flight
        assert not letters.exists()
