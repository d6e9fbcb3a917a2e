"""User agents that Umami drops without a word, settled and counted truthfully."""

from __future__ import annotations

from ingestor.delivery.options import UmamiOptions
from ingestor.delivery.umami import Umami
from ingestor.model import Outcome

WEAK_BOT = "Feedly-robot/1.0"


def _mixed(number: int) -> str:
    return WEAK_BOT if number % 4 == 0 else f"Mozilla/5.0 (Person {number % 7})"


async def test_accepted_means_stored_once_every_agent_is_settled(umami, ledger, views, deliver):
    delivery = await deliver(umami.url, settle_bots=True, batch_size=10)
    await delivery.submit(views(400, user_agent=_mixed))
    assert await delivery.drain(10)
    assert ledger.unsettled == 0
    assert ledger.outcomes == {Outcome.ACCEPTED: 300, Outcome.REFUSED_AS_BOT: 100}
    assert umami.urls.total() == 300


async def test_a_known_bot_is_no_longer_sent(umami, ledger, views, deliver):
    delivery = await deliver(umami.url, settle_bots=True)
    await delivery.submit(views(1, user_agent=WEAK_BOT))
    assert await delivery.drain(10)
    await delivery.submit(views(20, start=1, user_agent=WEAK_BOT))
    assert await delivery.drain(10)
    assert len(umami.carrying) == 1
    assert ledger.outcomes == {Outcome.REFUSED_AS_BOT: 21}
    assert len(ledger.ended) == 21


async def test_probes_are_under_a_tenth_of_the_requests_and_leave_no_trace(
    umami, ledger, views, deliver
):
    delivery = await deliver(umami.url, settle_bots=True, batch_size=5, workers=2)
    many = views(3000, user_agent=lambda number: f"Mozilla/5.0 (Person {number % 900})")
    await delivery.submit(many)
    assert await delivery.drain(20)
    probes = [r for r in umami.requests if "x-umami-cache" in r.headers]
    assert probes, "there was a budget"
    assert len(probes) * 10 < len(umami.requests)
    assert umami.urls.total() == 3000
    assert all(request.json["type"] == "identify" for request in probes)
    assert ledger.outcomes == {Outcome.ACCEPTED: 3000}
    assert 0 < ledger.unsettled < 3000


async def test_what_umami_2_18_says_of_a_visitor_without_data_is_no_bots_verdict(
    umami, reply, website
):
    bots = umami.bot
    umami.script = lambda request: (
        reply(400, {"error": "Data required."})
        if not bots(request.json["payload"]["userAgent"])
        else None
    )
    asked = Umami(UmamiOptions(umami.url), timeout=5, connections=1)
    try:
        assert await asked.is_bot(website, "token", WEAK_BOT)
        assert not await asked.is_bot(website, "token", "Mozilla/5.0 (Person)")
    finally:
        await asked.close()


async def test_a_million_agents_do_not_make_every_page_view_travel_alone(
    umami, ledger, views, deliver
):
    delivery = await deliver(umami.url, settle_bots=True, batch_size=50, workers=1)
    await delivery.submit(views(2000, user_agent=lambda number: f"Mozilla/5.0 (Person {number})"))
    assert await delivery.drain(20)
    alone = sum(len(request.urls) == 1 for request in umami.carrying)
    assert alone <= 32 + len(umami.carrying) / 3 + 1


async def test_a_probe_that_fails_changes_nothing(umami, ledger, views, deliver, reply):
    umami.script = lambda request: reply(500, b"") if "x-umami-cache" in request.headers else None
    delivery = await deliver(umami.url, settle_bots=True, batch_size=5)
    many = views(1500, user_agent=lambda number: f"Mozilla/5.0 (Person {number % 300})")
    await delivery.submit(many)
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 1500}
    assert ledger.is_away == []


async def test_without_settling_only_what_travelled_alone_is_settled(umami, ledger, views, deliver):
    delivery = await deliver(umami.url, settle_bots=False, workers=1)
    await delivery.submit(views(10, user_agent=_mixed))
    assert await delivery.drain(10)
    assert ledger.unsettled == 10
    assert not any("x-umami-cache" in request.headers for request in umami.requests)


async def test_a_batch_of_one_agent_is_settled_by_its_token(umami, ledger, views, deliver):
    delivery = await deliver(umami.url, settle_bots=False, mode="batch", workers=1)
    await delivery.submit(views(10))
    assert await delivery.drain(10)
    await delivery.submit(views(10, start=10, user_agent=WEAK_BOT))
    assert await delivery.drain(10)
    assert ledger.unsettled == 0
    assert ledger.outcomes == {Outcome.ACCEPTED: 10, Outcome.REFUSED_AS_BOT: 10}
