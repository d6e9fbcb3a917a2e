"""What delivery does about each kind of answer, over real HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from ingestor.delivery import read_dead_letters
from ingestor.errors import BadCredentials, UmamiTooOld, UnknownWebsite
from ingestor.model import Outcome

OUTAGE = {"errorObject": {"code": "P1001"}}
POISON = {"errorObject": {"name": "DriverAdapterError", "cause": {"originalCode": "22021"}}}


async def test_every_page_view_is_stored_once_and_acked(umami, ledger, views, deliver):
    delivery = await deliver(umami.url, batch_size=10)
    await delivery.submit(views(137))
    assert await delivery.drain(10)
    assert umami.urls == Counter(f"/{number}" for number in range(137))
    assert ledger.outcomes == {Outcome.ACCEPTED: 137}
    assert sorted(ledger.ended) == [number * 10 for number in range(137)]
    assert not ledger.in_flight
    assert delivery.held == 0


async def test_a_batch_carries_one_website_and_stays_in_its_size(umami, ledger, views, deliver):
    other = "bbbbbbbb-0000-4000-8000-000000000002"
    umami.websites.add(other)
    mixed = [
        v for pair in zip(views(40), views(40, website=other, start=40), strict=True) for v in pair
    ]
    delivery = await deliver(umami.url, batch_size=7)
    await delivery.submit(mixed)
    assert await delivery.drain(10)
    for request in umami.carrying:
        assert len({payload["website"] for payload in request.page_views}) == 1
        assert len(request.page_views) <= 7
    assert umami.urls.total() == 80


async def test_headers_say_browser_and_api_key_and_never_a_page_views_token(umami, views, deliver):
    delivery = await deliver(umami.url, api_key="geheim")
    await delivery.submit(views(120))
    await delivery.drain(10)
    for request in umami.carrying:
        assert request.headers["user-agent"].startswith("mozilla/5.0 (x11")
        assert request.headers["x-umami-api-key"] == "geheim"
        assert "x-umami-cache" not in request.headers
        assert "cookie" not in request.headers


async def test_a_base_path_with_a_trailing_slash_is_kept(umami, views, deliver):
    umami.prefix = "/stats"
    delivery = await deliver(umami.url + "/stats/")
    await delivery.submit(views(3))
    assert await delivery.drain(10)
    assert umami.urls.total() == 3


async def test_one_page_view_alone_goes_to_send_and_several_to_batch(umami, views, deliver):
    delivery = await deliver(umami.url, workers=1)
    await delivery.submit(views(1))
    await delivery.drain(10)
    await delivery.submit(views(3, start=1))
    await delivery.drain(10)
    assert [request.path for request in umami.carrying] == ["/api/send", "/api/batch"]


@pytest.mark.parametrize(("mode", "path"), [("send", "/api/send"), ("batch", "/api/batch")])
async def test_a_mode_decides_the_route(mode, path, umami, views, deliver):
    delivery = await deliver(umami.url, mode=mode, workers=1)
    await delivery.submit(views(1))
    await delivery.submit(views(5, start=1))
    assert await delivery.drain(10)
    assert {request.path for request in umami.carrying} == {path}
    assert umami.urls.total() == 6


async def test_auto_sends_one_by_one_where_there_is_no_batch(umami, views, deliver):
    umami.has_batch = False
    delivery = await deliver(umami.url)
    await delivery.submit(views(5))
    assert await delivery.drain(10)
    assert umami.urls.total() == 5
    with pytest.raises(UmamiTooOld):
        await deliver(umami.url, mode="batch")


async def test_only_what_failed_and_can_pass_is_sent_again(
    umami, ledger, views, deliver, refused, tmp_path
):
    failing = {
        "/2": refused("server-error", 500, **POISON),
        "/4": refused("server-error", 500, **OUTAGE),
        "/6": refused("bad-request", 400),
        "/8": refused("forbidden", 403),
    }
    umami.script = lambda request: (
        umami.batch_failing(request, failing) if request.number == 0 else None
    )
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, dead_letters=letters, workers=1)
    await delivery.submit(views(10))
    assert await delivery.drain(10)
    assert [request.urls for request in umami.carrying][1:] == [["/4"]]
    assert ledger.outcomes == {Outcome.ACCEPTED: 7, Outcome.REJECTED: 3}
    assert max(umami.urls.values()) == 1
    dead = list(read_dead_letters(letters))
    assert [letter.offset for letter in dead] == [20, 60, 80]
    assert dead[0].line == b"line 2"
    assert dead[0].file == "/var/log/\\xffaccess.log.7"
    assert "22021" in dead[0].answer
    assert dead[0].payload is not None
    assert dead[0].payload["url"] == "/2"
    assert letters.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("which", [5, 11])
async def test_a_413_halves_down_to_the_page_view_that_is_too_large(
    which, umami, ledger, views, deliver, reply
):
    umami.script = lambda request: (
        reply(413, b"<html>too large") if f"/{which}" in request.urls else None
    )
    delivery = await deliver(umami.url, workers=1)
    await delivery.submit(views(12))
    assert await delivery.drain(10)
    assert ledger.ended[which * 10] is Outcome.REJECTED
    assert ledger.outcomes == {Outcome.ACCEPTED: 11, Outcome.REJECTED: 1}
    assert umami.urls == Counter(f"/{number}" for number in range(12) if number != which)


async def test_a_413_for_everything_is_an_outage_and_no_page_views_fault(
    umami, ledger, views, deliver, reply, caplog
):
    delivery = await deliver(umami.url, workers=2)
    umami.script = lambda _: reply(413, b"<html>too large")
    await delivery.submit(views(12))
    assert not await delivery.drain(1)
    assert ledger.outcomes == {}
    assert "answered 413" in caplog.text
    umami.script = lambda _: None
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 12}


async def test_bodies_as_large_as_one_that_met_a_413_are_not_tried_again(
    umami, views, deliver, reply
):
    umami.script = lambda request: reply(413) if len(request.urls) > 5 else None
    delivery = await deliver(umami.url, workers=1, batch_size=10)
    await delivery.submit(views(100))
    assert await delivery.drain(10)
    assert umami.urls.total() == 100
    assert sum(len(request.urls) == 10 for request in umami.carrying) == 1


async def test_a_400_for_the_whole_batch_finds_the_culprit_and_rejects_nothing_else(
    umami, ledger, views, deliver, refused, reply
):
    def script(request):
        if "/5" not in request.urls:
            return None
        return reply(400, refused("bad-request", 400, message="Invalid input"))

    umami.script = script
    delivery = await deliver(umami.url, workers=2)
    await delivery.submit(views(12))
    assert await delivery.drain(10)
    assert ledger.outcomes == {Outcome.ACCEPTED: 11, Outcome.REJECTED: 1}
    assert ledger.ended[50] is Outcome.REJECTED


BELIEVABLE = b'{"size":10,"processed":10,"errors":0,"details":[],"cache":"t"}'
LIES = {
    "html": lambda reply: reply(200, b"<html>Welcome to HotelWiFi</html>"),
    "error inside": lambda reply: reply(200, {"error": {"message": "no"}}),
    "wrong counts": lambda reply: reply(
        200, {"size": 1, "processed": 1, "errors": 0, "details": []}
    ),
    "half a document": lambda reply: reply(200, b'{"size":10,"processed":10,"err'),
    "cut": lambda reply: reply(200, {"size": 10, "processed": 10, "errors": 0}, cut=10),
    "hang-up": lambda reply: reply(hang_up=True),
    "redirect": lambda reply: reply(302, b"", {"Location": "https://sso.example/login"}),
    "html 500": lambda reply: reply(500, b"<html>Internal Server Error"),
    "html 404": lambda reply: reply(404, b"404 page not found"),
    "html 400": lambda reply: reply(400, b"<html>Bad Request"),
    "502": lambda reply: reply(502, b"<html>Bad Gateway"),
    "503": lambda reply: reply(503, b""),
    "429": lambda reply: reply(429, b""),
    "408": lambda reply: reply(408, b""),
    "endless": lambda reply: reply(200, b" " * (5 << 20) + BELIEVABLE),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("mode", ["batch", "send"])
async def test_what_is_not_umamis_answer_is_tried_again_and_rejects_nothing(
    lie, mode, umami, ledger, views, deliver, reply
):
    umami.script = lambda request: LIES[lie](reply) if 0 <= request.number < 3 else None
    delivery = await deliver(umami.url, mode=mode, workers=2, batch_size=10)
    await delivery.submit(views(30))
    assert await delivery.drain(10)
    assert umami.urls == Counter(f"/{number}" for number in range(30))
    assert ledger.outcomes == {Outcome.ACCEPTED: 30}
    assert ledger.is_away[-1] is None


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_no_redirect_is_followed(status, umami, views, deliver, reply, caplog):
    target = {"Location": umami.url + "/api/send"}
    umami.script = lambda request: reply(status, b"", target) if request.number == 0 else None
    delivery = await deliver(umami.url, mode="send", workers=1)
    await delivery.submit(views(1))
    assert await delivery.drain(10)
    assert "redirects" in caplog.text
    assert [request.json["payload"]["url"] for request in umami.carrying] == ["/0", "/0"]


async def test_nothing_leaves_before_the_journal_is_on_disk(
    umami, ledger, views, deliver, monkeypatch
):
    on_disk = asyncio.Event()
    journalled = asyncio.Event()
    at_once = ledger.before_send

    async def slow_disk(batch, bodies=None):
        journalled.set()
        await on_disk.wait()
        await at_once(batch, bodies)

    monkeypatch.setattr(ledger, "before_send", slow_disk)
    delivery = await deliver(umami.url, workers=1)
    await delivery.submit(views(3))
    await journalled.wait()
    assert not await delivery.drain(0.05)
    assert umami.carrying == []
    on_disk.set()
    assert await delivery.drain(10)
    assert umami.urls.total() == 3


async def test_a_timeout_is_in_doubt_and_repeated(umami, ledger, views, deliver, reply):
    never = asyncio.Event()
    umami.script = lambda request: reply(until=never, store=True) if request.number == 0 else None
    delivery = await deliver(umami.url, workers=1, timeout=0.1)
    await delivery.submit(views(3))
    assert await delivery.drain(10)
    never.set()
    assert ledger.doubts == 3
    assert umami.urls == Counter({"/0": 2, "/1": 2, "/2": 2})
    assert len(ledger.batches) == 1, "the same batch is repeated, and journaled once"


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_batch_too_large_to_be_answered_in_time_goes_on_in_halves(
    workers, umami, ledger, views, deliver, reply
):
    umami.script = lambda request: (
        reply(504, b"<html>", store=True) if len(request.urls) > 3 else None
    )
    delivery = await deliver(umami.url, workers=workers, batch_size=12, pace="fixed")
    await delivery.submit(views(24))
    assert await delivery.drain(10)
    assert ledger.outcomes == {Outcome.ACCEPTED: 24}
    assert max(umami.urls.values()) <= 1 + 3 + 3, "three times at most in each size"
    assert umami.urls.total() - 24 <= ledger.doubts
    assert ledger.doubts - ledger.told <= 3 * 24, "what was split is no more page views in doubt"
    assert not ledger.in_flight


async def test_what_was_sent_without_an_answer_stays_in_the_journal_in_halves(
    umami, ledger, views, deliver, reply
):
    known: list[int] = []  # page views that are in the journal, or ended

    def script(request):
        if request.number < 0:
            return None
        known.append(sum(len(b.page_views) for b in ledger.in_flight.values()) + len(ledger.ended))
        return reply(504, b"<html>", store=True) if len(request.urls) > 3 else None

    umami.script = script
    delivery = await deliver(umami.url, workers=1, batch_size=12, pace="fixed")
    await delivery.submit(views(12))
    assert await delivery.drain(10)
    assert set(known) == {12}, "a crash at any moment knows what may be stored"
    assert not ledger.in_flight


async def test_a_stop_strikes_no_half_off_whose_own_request_alone_was_refused(
    umami, ledger, views, deliver, reply, monkeypatch
):
    left: Counter[int] = Counter()  # requests that may have been taken, by batch
    known: list[int] = []  # page views in the journal of which there was one, or ended

    def refused(batch):
        left[batch.id] -= 1
        in_doubt = [batch for batch in ledger.in_flight.values() if left[batch.id]]
        known.append(sum(len(batch.page_views) for batch in in_doubt) + len(ledger.ended))

    def script(request):
        if request.number < 0:
            return None
        if len(request.urls) > 6:
            return reply(504, b"<html>", store=True)
        return reply(503, b"") if len(known) < 2 else None

    monkeypatch.setattr(ledger, "leaving", lambda batch: left.update([batch.id]))
    monkeypatch.setattr(ledger, "refused", refused)
    umami.script = script
    delivery = await deliver(umami.url, workers=1, batch_size=12, pace="fixed")
    await delivery.submit(views(12))
    assert await delivery.drain(10)
    assert known == [12, 12]


async def test_retry_after_is_obeyed_by_all_workers(umami, views, deliver, reply, sleeps):
    umami.script = lambda request: (
        reply(429, b"", {"Retry-After": "17"}) if request.number == 0 else None
    )
    delivery = await deliver(umami.url, workers=4, batch_size=5)
    await delivery.submit(views(5))
    await delivery.submit(views(15, start=5))
    assert await delivery.drain(10)
    assert 17 <= sleeps.time < 20
    assert umami.urls.total() == 20


async def test_an_unknown_website_ends_a_backfill_and_acks_nothing(umami, ledger, views, deliver):
    umami.websites.clear()
    delivery = await deliver(umami.url)
    with pytest.raises(UnknownWebsite) as caught:
        await delivery.submit(views(5000))
    assert caught.value.website == views(1)[0].website
    with pytest.raises(UnknownWebsite):
        await delivery.drain(10)
    assert ledger.ended == {}


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_end_a_backfill(status, umami, ledger, views, deliver, reply):
    delivery = await deliver(umami.url)
    umami.script = lambda _request: reply(status, {"error": "Unauthorized"})
    await delivery.submit(views(10))
    with pytest.raises(BadCredentials):
        await delivery.drain(10)
    assert ledger.ended == {}


async def test_a_server_that_ignores_the_time_is_too_old(umami, deliver, reply, refused):
    umami.script = lambda _request: reply(400, refused("bad-request", 400, "Website not found."))
    with pytest.raises(UmamiTooOld, match="upgrade"):
        await deliver(umami.url)


async def test_refused_credentials_at_the_start_end_a_backfill(umami, deliver, reply):
    umami.script = lambda _request: reply(403, b"<html>")
    with pytest.raises(BadCredentials):
        await deliver(umami.url)


@pytest.mark.parametrize("status", [401, 503])
async def test_the_daemon_waits_at_the_start_for_whatever_is_wrong(
    status, umami, views, deliver, reply, ledger, sleeps
):
    umami.script = lambda _request: reply(status, b"") if len(umami.requests) < 6 else None
    delivery = await deliver(umami.url, park=True)
    await delivery.submit(views(2))
    assert await delivery.drain(10)
    assert umami.urls.total() == 2
    assert len(ledger.is_away) == 2
    assert sleeps.time > 1


def reject_one(umami, refused) -> None:
    """Have /1 rejected, in whatever batch it comes."""
    umami.script = lambda request: (
        umami.batch_failing(request, {"/1": refused("bad-request", 400)})
        if request.number >= 0
        else None
    )


async def test_a_dead_letter_without_a_place_waits_for_one(
    umami, ledger, views, deliver, refused, tmp_path: Path, caplog, eventually
):
    """A full disk has room again later; until then its page view has no end, and no ack."""
    reject_one(umami, refused)
    letters = tmp_path / "missing" / "dead.jsonl"
    delivery = await deliver(umami.url, dead_letters=letters)
    await delivery.submit(views(3))
    await eventually(lambda: "offset 10" in caplog.text)
    assert not await delivery.drain(0.1)
    assert ledger.outcomes == {Outcome.ACCEPTED: 2}
    assert not ledger.in_flight
    assert delivery.held == 1
    assert delivery.last_sign > 0
    letters.parent.mkdir()
    assert await delivery.drain(10)
    assert ledger.outcomes == {Outcome.ACCEPTED: 2, Outcome.REJECTED: 1}
    assert [letter.offset for letter in read_dead_letters(letters)] == [10]


async def test_who_stops_tries_a_last_time_to_write_dead_letters(
    umami, ledger, views, deliver, refused, tmp_path: Path, caplog, eventually
):
    reject_one(umami, refused)
    letters = tmp_path / "missing" / "dead.jsonl"
    delivery = await deliver(umami.url, dead_letters=letters, real=True)
    await delivery.submit(views(3))
    await eventually(lambda: "no dead letter can be written" in caplog.text)
    letters.parent.mkdir()
    await delivery.stop()
    assert ledger.ended[10] is Outcome.REJECTED
    assert [letter.offset for letter in read_dead_letters(letters)] == [10]


async def test_dead_letters_that_found_no_place_are_not_said_to_be_kept(
    umami, views, deliver, refused, tmp_path: Path, caplog, eventually
):
    reject_one(umami, refused)
    letters = tmp_path / "missing" / "dead.jsonl"
    delivery = await deliver(umami.url, dead_letters=letters, real=True)
    await delivery.submit(views(3))
    await eventually(lambda: "no dead letter can be written" in caplog.text)
    await delivery.stop()
    assert "1 page view rejected" in caplog.text
    assert "are kept" not in caplog.text


async def test_a_batch_route_that_breaks_is_left_for_send(umami, ledger, views, deliver, reply):
    """Umami 2.17 to 2.20 and 3.0.0 to 3.0.1 on Node 24."""
    umami.script = lambda request: (
        reply(500, b"") if request.path == "/api/batch" and request.json else None
    )
    delivery = await deliver(umami.url, batch_size=10)
    await delivery.submit(views(60))
    assert await delivery.drain(10)
    assert umami.urls == Counter(f"/{number}" for number in range(60))
    assert ledger.outcomes == {Outcome.ACCEPTED: 60}
    batches = sum(request.path == "/api/batch" for request in umami.carrying)
    assert batches <= 12


async def test_a_batch_route_that_vanishes_is_left_for_send(umami, ledger, views, deliver):
    delivery = await deliver(umami.url, batch_size=10)
    umami.has_batch = False
    await delivery.submit(views(30))
    assert await delivery.drain(10)
    assert umami.urls.total() == 30
    assert ledger.outcomes == {Outcome.ACCEPTED: 30}
