"""Exactly-once against the sandbox: whatever becomes of an answer, lost 0 and doubled 0."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import pytest

from ingestor.delivery import Left
from ingestor.delivery.bodies import pack
from ingestor.errors import BadCredentials, UnknownWebsite
from ingestor.model import Outcome, PageView
from ingestor.sandbox import Sandbox, SandboxOptions

LOGIN = ("admin", "umami")
KILLED = {
    "error": {"code": "server-error", "status": 500, "errorObject": {"cause": {"code": "57P01"}}}
}
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


@pytest.fixture
async def exactly_once(deliver):
    """A delivery to a sandbox with exactly-once; options by name."""

    async def make(sandbox, **options):
        return await deliver(
            sandbox.url, **{"exactly_once": True, "login": LOGIN, "batch_size": 8, **options}
        )

    return make


def paths(sandbox):
    website = sandbox.websites[0]
    return Counter(view.url_path for view in sandbox.page_views(website))


async def test_every_batch_has_a_tag_of_its_own_and_without_the_option_none(
    exactly_once, deliver, ledger, views
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox, tag_prefix="x-", mode="batch")
        await delivery.submit(views(20, website=website))
        assert await delivery.drain(None)
        tags = Counter(view.tag for view in sandbox.page_views(website))
        assert set(tags) == {f"x-7-{batch.id}" for batch in ledger.batches}
        assert all(len(batch.page_views) == tags[batch.tag] for batch in ledger.batches)
        plain = await deliver(sandbox.url)
        await plain.submit(views(5, website=website, start=20))
        assert await plain.drain(None)
        assert [view.tag for view in sandbox.page_views(website)][20:] == [None] * 5


def changed(view: PageView, **values: str | int) -> PageView:
    """The same page view with other values in its payload."""
    payload = {**view.payload, **values}
    return PageView.of(view.website, payload, view.span, view.line_start, view.line)


async def test_page_views_that_look_alike_are_told_apart_by_their_number(
    exactly_once, ledger, views
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        alike = [
            changed(view, url="/same", timestamp=1_790_000_000)
            for view in views(40, website=website)
        ]
        sandbox.faults.set("500-passes,code=57P01,p=0.5,seed=3", "cut,p=0.3,seed=4")
        delivery = await exactly_once(sandbox)
        await delivery.submit(alike)
        assert await delivery.drain(None)
        assert paths(sandbox) == {"/same": 40}
        assert ledger.outcomes == {Outcome.ACCEPTED: 40}


async def test_what_was_a_dead_letter_before_ends_as_one_where_nothing_else_is_sent(
    umami, ledger, views, deliver, reply, refused
):
    umami.script = lambda request: (
        reply(500, refused("server-error", 500))
        if request.number >= 0 and request.path in {"/api/send", "/api/batch"}
        else None
    )
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, kept=True)
    await delivery.submit(views(3))
    async with asyncio.timeout(20):
        assert await delivery.drain(None)
    assert ledger.outcomes == {Outcome.REJECTED: 3}


@pytest.mark.parametrize("without_slash", [True, False])
async def test_an_umami_that_removes_trailing_slashes_is_recognised(
    without_slash, umami, ledger, views, deliver, reply
):
    urls = ["/", "/a/", "/a", "/b//", "/c"]
    umami.without_slash = without_slash
    umami.script = lambda request: reply(hang_up=True, store=True) if request.number == 0 else None
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN)
    await delivery.submit(
        [changed(view, url=url) for view, url in zip(views(5), urls, strict=True)]
    )
    assert await delivery.drain(None)
    assert umami.urls == Counter(urls)
    assert ledger.outcomes == {Outcome.ACCEPTED: 5}
    assert ledger.doubts == 0


AGENTS = ["Feedly/1.0", "curl/8.1"] + [
    f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0"
    for n in range(100, 104)
]


@pytest.mark.parametrize("settle_bots", [True, False])
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize(
    "fault", ["cut,p=0.5,seed=1", "500-passes,code=57P01,p=0.4,seed=2", "drop-before,p=0.5,seed=3"]
)
async def test_a_bots_hole_is_not_mistaken_for_a_missing_page_view(
    fault, alike, settle_bots, exactly_once, ledger, views
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        mixed = views(90, website=website, user_agent=lambda n: AGENTS[n % len(AGENTS)])
        if alike:
            mixed = [changed(view, url="/", timestamp=1_790_000_000) for view in mixed]
        sandbox.faults.set(fault)
        delivery = await exactly_once(sandbox, settle_bots=settle_bots)
        await delivery.submit(mixed)
        assert await delivery.drain(None)
        stored = Counter(view.user_agent for view in sandbox.page_views(website))
        assert stored == dict.fromkeys(AGENTS[2:], 15)
        assert sum(ledger.outcomes.values()) == 90
        assert ledger.outcomes[Outcome.REFUSED_AS_BOT] <= 30


async def test_poison_ends_as_a_dead_letter_and_leaves_the_others_alone(
    exactly_once, ledger, views, tmp_path
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        sandbox.faults.set("500-never,url=/7", "cut,p=0.4,seed=1")
        delivery = await exactly_once(sandbox, dead_letters=tmp_path / "dead.jsonl")
        await delivery.submit(views(40, website=website))
        assert await delivery.drain(None)
        assert paths(sandbox) == {f"/{n}": 1 for n in range(40) if n != 7}
        assert ledger.ended[70] is Outcome.REJECTED


async def test_a_500_that_never_says_why_convicts_one_page_view_in_the_end(
    umami, deliver, ledger, views, reply, refused, tmp_path
):
    wordless = reply(500, refused("server-error", 500))
    umami.script = lambda request: wordless if "/7" in request.urls else None
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(
        umami.url, exactly_once=True, login=LOGIN, batch_size=8, dead_letters=letters
    )
    await delivery.submit(views(40))
    assert await delivery.drain(None)
    assert ledger.outcomes == {Outcome.ACCEPTED: 39, Outcome.REJECTED: 1}
    assert ledger.ended[70] is Outcome.REJECTED
    assert umami.urls == {f"/{n}": 1 for n in range(40) if n != 7}


async def test_the_last_page_view_that_failed_beside_stored_ones_is_convicted(
    umami, deliver, ledger, views, tmp_path
):
    umami.script = umami.wordless_over("/9")
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(
        umami.url, exactly_once=True, login=LOGIN, batch_size=10, dead_letters=letters
    )
    await delivery.submit(views(10))
    assert await delivery.drain(None)
    assert ledger.outcomes == {Outcome.ACCEPTED: 9, Outcome.REJECTED: 1}


async def test_where_nothing_is_stored_any_more_nothing_in_doubt_is_convicted(
    umami, deliver, ledger, views, reply, refused, tmp_path
):
    wordless = reply(500, refused("server-error", 500))
    failing = range(1, 60)
    umami.script = lambda request: wordless if request.number in failing else None
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, dead_letters=letters)
    await delivery.submit(views(1))
    assert await delivery.drain(None)
    await delivery.submit(views(3, start=1))
    assert await delivery.drain(None)
    assert ledger.outcomes == {Outcome.ACCEPTED: 4}
    assert not letters.exists()


async def test_a_website_that_vanished_keeps_its_page_views_in_doubt(
    umami, deliver, ledger, views, reply
):
    answers = iter([reply(cut=5, body=b"0123456789")])

    def script(request):
        if request.number < 0 or request.path != "/api/batch":
            return None
        umami.websites.clear()
        return next(answers, None)

    umami.script = script
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, batch_size=8)
    await delivery.submit(views(8))
    with pytest.raises(UnknownWebsite):
        await delivery.drain(None)
    assert not ledger.ended
    assert [len(batch.page_views) for batch in ledger.in_flight.values()] == [8]


async def test_a_token_that_grew_old_is_replaced(exactly_once, ledger, views):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox)
        sandbox.faults.set("cut,count=3", "401,path=/api/websites*,count=1,skip=2")
        await delivery.submit(views(40, website=website))
        assert await delivery.drain(None)
        assert paths(sandbox) == {f"/{n}": 1 for n in range(40)}
        assert all(sandbox.faults.counters.values())


async def test_a_wrong_password_ends_a_backfill_before_anything_is_sent(exactly_once):
    async with Sandbox(SandboxOptions()) as sandbox:
        with pytest.raises(BadCredentials, match=r"umami\.password"):
            await exactly_once(sandbox, login=("admin", "Hush-Hush"))


async def test_a_daemon_with_a_wrong_password_keeps_what_is_in_doubt(
    exactly_once, ledger, views, caplog, sleeps
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox, login=("admin", "Hush-Hush"), park=True)
        sandbox.faults.set("cut,count=1")
        await delivery.submit(views(40, website=website))
        await ledger.until(lambda: len(ledger.ended) == 40 - delivery.in_doubt > 0)
        assert await delivery.drain(5)
        assert delivery.in_doubt > 0
        assert paths(sandbox) == {f"/{n}": 1 for n in range(40)}
        assert "Hush" not in caplog.text
        assert "umami.password" in caplog.text


async def test_a_login_that_may_not_read_the_website_stops_a_backfill(exactly_once, views):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox)
        sandbox.faults.set("cut,count=1", f"401,path=/api/websites/{website}*")
        await delivery.submit(views(40, website=website))
        with pytest.raises(BadCredentials, match="may not read"):
            await delivery.drain(None)


async def test_without_credentials_it_is_at_least_once_and_says_so(
    exactly_once, ledger, views, caplog
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox, login=(None, None))
        assert "umami.username" in caplog.text
        sandbox.faults.set("cut,count=2")
        await delivery.submit(views(40, website=website))
        assert await delivery.drain(None)
        assert set(paths(sandbox)) == {f"/{n}" for n in range(40)}
        assert 0 < paths(sandbox).total() - 40 <= ledger.doubts
        assert {view.tag for view in sandbox.page_views(website)} == {None}


async def test_an_umami_before_3_cannot_tell_and_it_is_at_least_once(
    exactly_once, ledger, views, caplog
):
    async with Sandbox(SandboxOptions(version="2.20.0")) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox)
        assert "older than Umami 3" in caplog.text
        sandbox.faults.set("cut,count=2")
        await delivery.submit(views(40, website=website))
        assert await delivery.drain(None)
        assert set(paths(sandbox)) == {f"/{n}" for n in range(40)}
        assert 0 < paths(sandbox).total() - 40 <= ledger.doubts


async def test_page_views_older_than_a_reset_are_repeated_and_counted_as_perhaps_double(
    exactly_once, ledger, views, caplog
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox, mode="batch", batch_size=40, workers=1)
        sandbox.reset_website(website)
        reset = int(time.time()) + 1
        mixed = [
            changed(view, timestamp=reset - 20 + n)
            for n, view in enumerate(views(40, website=website))
        ]
        sandbox.faults.set("cut,count=1")
        await delivery.submit(mixed)
        assert await delivery.drain(None)
        assert paths(sandbox) == {f"/{n}": 2 if n < 20 else 1 for n in range(40)}
        assert ledger.doubts == 20
        assert "reset" in caplog.text


async def test_a_503_that_took_its_time_is_looked_up(umami, deliver, ledger, views, reply, sleeps):
    def script(request):
        if request.number != 0:
            return None
        sleeps.time += 30
        return reply(503, b"<title>503 Backend fetch failed</title>", store=True)

    umami.script = script
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN)
    await delivery.submit(views(3))
    assert await delivery.drain(None)
    assert ledger.outcomes == {Outcome.ACCEPTED: 3}
    assert umami.urls.total() == 3


async def test_a_read_api_that_fails_while_page_views_are_stored_is_told(
    exactly_once, ledger, views, caplog, eventually
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox)
        sandbox.faults.set("cut,count=2", "502-html,path=/api/websites*")
        await delivery.submit(views(40, website=website))
        await eventually(lambda: "does not tell which" in caplog.text)
        assert caplog.text.count("does not tell which") == 1
        sandbox.faults.clear()
        assert await delivery.drain(None)
        assert paths(sandbox) == {f"/{n}": 1 for n in range(40)}


async def test_others_go_on_while_one_batch_waits(exactly_once, ledger, views, sleeps):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        delivery = await exactly_once(sandbox, workers=1, real=True, settle_time=60.0)
        sandbox.faults.set("cut,count=1")
        await delivery.submit(views(60, website=website))
        assert await delivery.drain(10)
        assert len(ledger.ended) + delivery.in_doubt == 60
        assert 0 < delivery.in_doubt <= 8


async def test_what_a_crash_left_is_looked_up_and_only_the_rest_is_sent(
    exactly_once, ledger, views
):
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        first = await exactly_once(sandbox, real=True, settle_time=60.0, mode="batch")
        sandbox.faults.set("500-passes,code=57P01,p=0.4,seed=5", "cut,count=3")
        await first.submit(views(24, website=website))
        assert await first.drain(10)
        await first.stop()
        half = paths(sandbox)
        assert 0 < half.total() < 24
        sandbox.faults.clear()
        for batch in ledger.in_flight.values():
            bodies = ledger.bodies[batch.id]
            ledger.left.append(Left(batch.id, website, batch.tag, bodies))
        ledger.ended.clear()
        ledger.outcomes.clear()
        second = await exactly_once(sandbox)
        assert await second.drain(None)
        assert paths(sandbox) == {f"/{n}": 1 for n in range(24)}
        assert not ledger.in_flight


async def test_what_is_in_no_site_is_let_go_only_where_umami_does_not_know_its_website(
    umami, deliver, ledger
):
    gone = "11111111-2222-4333-8444-555555555555"
    (known,) = umami.websites
    ledger.stray = {gone, known}
    await deliver(umami.url)
    assert ledger.stray == {known}
    assert not umami.stored


async def test_page_views_in_the_journal_that_cannot_be_read_are_left_to_the_log(
    exactly_once, ledger, caplog
):
    async with Sandbox(SandboxOptions()) as sandbox:
        good = Left(5, sandbox.websites[0], "log-7-5", pack([], bytes))
        ledger.left = [good]
        before = await exactly_once(sandbox)
        assert await before.drain(None)
        ledger.left = [good._replace(bodies=b"garbage")]
        ledger.left_in_doubt = lambda: [ledger.in_flight.setdefault(5, None) or ledger.left[0]]
        delivery = await exactly_once(sandbox)
        assert await delivery.drain(None)
        assert not ledger.in_flight
        assert "cannot be read" in caplog.text


async def test_a_database_that_failed_amid_a_batch_is_an_outage_with_exactly_once_too(
    umami, deliver, ledger, views, sleeps
):
    """No further batch is thrown at it before the pause is over."""
    killed = dict.fromkeys(("/6", "/7"), KILLED)

    def script(request):
        return umami.batch_failing(request, killed) if request.number == 0 else None

    umami.script = script
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, workers=1, batch_size=8)
    await delivery.submit(views(16))
    assert await delivery.drain(None)
    assert umami.urls == {f"/{n}": 1 for n in range(16)}
    assert [since is not None for since in ledger.is_away] == [True, False]


async def test_a_website_deleted_amid_a_batch_that_half_failed_ends_a_backfill(
    umami, deliver, ledger, views, refused
):
    gone = refused("bad-request", 400, message="Website not found.")

    def script(request):
        if request.number == 0:
            return umami.batch_failing(request, {"/5": KILLED, "/6": gone, "/7": gone})
        return None

    umami.script = script
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, batch_size=8)
    await delivery.submit(views(8))
    with pytest.raises(UnknownWebsite):
        await delivery.drain(None)
    assert {start // 10 for start in ledger.ended}.isdisjoint({6, 7})


async def test_a_list_that_lacks_what_was_stored_is_not_believed(
    umami, deliver, ledger, views, reply
):
    """A replica lags: it shows nothing of the batch, though the answer said what was stored."""
    lag = [3]

    def script(request):
        if request.path == "/api/batch" and request.urls and not umami.stored:
            umami.stored.extend(request.page_views)
            away = {"index": 5, "response": KILLED}
            return reply(
                200, {"size": 8, "processed": 7, "errors": 1, "details": [away], "cache": "token"}
            )
        if "/events?" in request.path and lag[0]:
            lag[0] -= 1
            return reply(200, {"data": [], "count": 0})
        return None

    umami.script = script
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, pace="fixed", batch_size=8)
    await delivery.submit(views(8))
    assert await delivery.drain(None)
    assert umami.urls == {f"/{n}": 1 for n in range(8)}
    assert ledger.outcomes == {Outcome.ACCEPTED: 8}
    assert lag == [0]


async def test_a_list_that_never_shows_what_was_stored_cannot_tell(
    umami, deliver, ledger, views, reply, caplog
):
    def script(request):
        if request.path == "/api/batch" and request.urls and not umami.stored:
            umami.stored.extend(request.page_views)
            away = {"index": 5, "response": KILLED}
            return reply(
                200, {"size": 8, "processed": 7, "errors": 1, "details": [away], "cache": "token"}
            )
        if "/events?" in request.path:
            return reply(200, {"data": [], "count": 0})
        return None

    umami.script = script
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, pace="fixed", batch_size=8)
    await delivery.submit(views(8))
    assert await delivery.drain(None)
    assert umami.urls == {f"/{n}": 2 if n == 5 else 1 for n in range(8)}
    assert ledger.doubts == 1
    assert "cannot tell" in caplog.text


async def test_a_proxys_500_is_waited_for_longer_than_umamis_own(
    umami, deliver, ledger, views, reply, refused, sleeps
):
    answers = [reply(500, b"<html>"), reply(500, refused("server-error", 500))]
    umami.script = lambda request: answers.pop() if request.number >= 0 and answers else None
    delivery = await deliver(umami.url, exactly_once=True, login=LOGIN, mode="batch")
    await delivery.submit(views(3))
    assert await delivery.drain(None)
    assert sleeps.asked == [10.0, 10.0, 60.0, 10.0]  # to the look-up, to its second reading
    assert umami.urls == {f"/{n}": 1 for n in range(3)}


MIXTURE = [
    *("drop-before", "drop-after", "cut", "store-late", "502-html", "200-json", "500-whole"),
    *("504-html,stored=yes", "200-html,stored=yes", "408,stored=yes", "500-whole,stored=yes"),
    *(f"500-passes,code={code}" for code in ("P1001", "57P01", "25006")),
]


@pytest.mark.parametrize("seed", range(10))
async def test_no_mixture_of_faults_loses_or_doubles_anything(
    seed, exactly_once, ledger, views, eventually, tmp_path
):
    dice = random.Random(seed)
    async with Sandbox(SandboxOptions()) as sandbox:
        website = sandbox.websites[0]
        agents = AGENTS if seed % 2 else AGENTS[3:4]
        urls = dice.choice([1, 3, 10, 1000])
        mixed = [
            changed(view, url=f"/{n % urls}", timestamp=1_790_000_000 + n // 7)
            for n, view in enumerate(
                views(100, website=website, user_agent=lambda _: dice.choice(agents))
            )
        ]
        delivery = await exactly_once(
            sandbox,
            mode=dice.choice(["auto", "send", "batch"]),
            batch_size=dice.choice([1, 8, 40]),
            settle_bots=dice.random() < 0.5,
            dead_letters=tmp_path / "dead.jsonl",
        )
        chosen = dice.sample(MIXTURE, 3)
        sandbox.faults.set(*(f"{kind},p=0.3,seed={dice.randrange(99)}" for kind in chosen))
        await delivery.submit(mixed)
        assert await delivery.drain(None)
        sandbox.faults.clear()
        await eventually(lambda: not sandbox.counters.in_flight)
        people = [view.payload for view in mixed if view.payload["userAgent"] not in AGENTS[:2]]
        stored = Counter((row.created_at, row.url_path) for row in sandbox.page_views(website))
        assert stored == Counter((payload["timestamp"], payload["url"]) for payload in people)
        assert sum(ledger.outcomes.values()) == 100
        assert ledger.doubts == 0
        assert not (tmp_path / "dead.jsonl").exists()
