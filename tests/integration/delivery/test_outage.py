"""Umami away, websites parked, and page views that may be at fault themselves."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter

import pytest

from ingestor.delivery import read_dead_letters
from ingestor.errors import BadCredentials, UnknownWebsite
from ingestor.model import Outcome

OTHER = "bbbbbbbb-0000-4000-8000-000000000002"

# What nginx answers beyond a limit_req, unless limit_req_status says otherwise.
NGINX_503 = b"""<html>\r
<head><title>503 Service Temporarily Unavailable</title></head>\r
<body>\r
<center><h1>503 Service Temporarily Unavailable</h1></center>\r
<hr><center>nginx/1.22.1</center>\r
</body>\r
</html>\r
"""


async def test_during_an_outage_one_worker_asks_and_nothing_is_lost(
    umami, ledger, views, deliver, reply, sleeps
):
    umami.script = lambda request: reply(503, b"") if 0 <= request.number < 40 else None
    delivery = await deliver(umami.url, workers=4, batch_size=5, retry_min=0.5, retry_max=60)
    await delivery.submit(views(40))
    assert await delivery.drain(20)
    assert umami.urls == Counter(f"/{number}" for number in range(40))
    assert ledger.is_away[0] is not None
    assert ledger.is_away[-1] is None
    assert len(ledger.is_away) == 2
    # 4 flew at first; then one at a time: about 36 pauses that grow to a minute.
    assert 36 * 30 * 0.7 < sleeps.time < 40 * 60


async def test_after_an_outage_requests_come_back_one_two_four(umami, views, deliver, reply):
    busiest_at_first = []

    def script(request):
        if request.number < 0:
            return None
        if request.number < 8:
            return reply(503, b"")
        if request.number == 8:
            busiest_at_first.append(umami.busy)
        return None

    umami.script = script
    delivery = await deliver(umami.url, workers=8, batch_size=2)
    await delivery.submit(views(32))
    assert await delivery.drain(10)
    assert busiest_at_first == [1]
    assert umami.urls.total() == 32


async def test_memory_is_bounded_and_readers_wait(umami, views, deliver, reply, eventually):
    hold = asyncio.Event()
    umami.script = lambda request: reply(until=hold, status=503) if request.number >= 0 else None
    delivery = await deliver(umami.url, workers=2, batch_size=5)
    readers = [
        asyncio.create_task(delivery.submit(views(100, start=100 * reader))) for reader in range(3)
    ]
    await eventually(lambda: umami.busy == 2 and delivery.held == 20)
    for _ in range(50):
        await asyncio.sleep(0)
    assert delivery.held == 20
    assert not any(reader.done() for reader in readers)
    umami.script = lambda _request: None
    hold.set()
    await asyncio.gather(*readers)
    assert await delivery.drain(10)
    assert umami.urls == Counter(f"/{number}" for number in range(300))


async def test_draining_gives_up_in_time_and_leaves_the_batches_in_the_journal(
    umami, ledger, views, deliver, reply
):
    hold = asyncio.Event()
    umami.script = lambda request: reply(until=hold) if request.number >= 0 else None
    delivery = await deliver(umami.url, workers=2, batch_size=5)
    await delivery.submit(views(10))
    assert not await delivery.drain(0.05)
    await delivery.stop()
    hold.set()
    assert sum(len(batch.page_views) for batch in ledger.in_flight.values()) == 10
    assert ledger.ended == {}


async def test_refused_connections_are_no_doubt_and_the_start_waits_for_the_server(
    umami, ledger, views, deliver, caplog
):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    starting = asyncio.create_task(deliver(f"http://127.0.0.1:{port}", workers=2))
    await ledger.until(lambda: bool(ledger.is_away))
    async with await asyncio.start_server(umami.connected, "127.0.0.1", port):
        delivery = await starting
        await delivery.submit(views(3))
        assert await delivery.drain(10)
        assert umami.urls.total() == 3
        assert ledger.doubts == 0
        assert "no connection" in caplog.text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{free}", "no connection to {url}: Connection refused"),
        ("https://127.0.0.1:{plain}", "no secure connection to {url}: wrong version number; what"),
        ("http://no-such-host.invalid", "no connection to {url}: "),
    ],
)
async def test_why_there_is_no_connection_is_told_once_and_in_the_systems_words(
    url, words, ledger, deliver, caplog
):
    def answer(_reader, writer):
        writer.write(b"HTTP/1.1 400 No TLS here\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ports = {"free": unused.getsockname()[1], "plain": plain.sockets[0].getsockname()[1]}
        url = url.format(**ports)
        starting = asyncio.create_task(deliver(url))
        await ledger.until(lambda: bool(ledger.is_away))
        starting.cancel()
    plain.close()
    assert words.format(url=url) in caplog.text
    assert caplog.text.count(url.partition("//")[2]) == 1
    assert "ssl:" not in caplog.text


async def test_an_outage_is_logged_once_a_minute_at_most_and_its_end_once(
    umami, views, deliver, reply, caplog, sleeps
):
    umami.script = lambda request: reply(503, b"\x1b[2Jaway") if 0 <= request.number < 30 else None
    with caplog.at_level(logging.INFO, "ingestor.delivery"):
        delivery = await deliver(umami.url, workers=1)
        await delivery.submit(views(1))
        assert await delivery.drain(10)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 1 <= len(warnings) <= sleeps.time / 60 + 1
    assert not any("\x1b" in record.getMessage() for record in caplog.records)
    assert sum("answers again" in record.getMessage() for record in caplog.records) == 1


async def test_the_daemon_parks_an_unknown_website_and_goes_on_with_others(
    umami, ledger, views, deliver, website
):
    delivery = await deliver(umami.url, park=True, batch_size=5, retry_max=30.0)
    umami.websites = {website}
    await delivery.submit(views(12, website=OTHER))
    await delivery.submit(views(12, start=100))
    assert await delivery.drain(10)
    assert OTHER in ledger.parked_websites
    assert {view.line_start for view in ledger.returned} == {number * 10 for number in range(12)}
    assert ledger.outcomes == {Outcome.ACCEPTED: 12}
    assert delivery.held == 0


async def test_of_many_parked_websites_some_are_told_and_the_rest_is_one_line(
    umami, ledger, views, deliver, caplog
):
    delivery = await deliver(umami.url, park=True)
    others = [OTHER[:-4] + f"{number:04}" for number in range(50)]
    for website in others:
        await delivery.submit(views(1, website=website))
    await ledger.until(lambda: ledger.parked_websites >= set(others))
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert sum("is parked" in text for text in told) == 20
    assert [text for text in told if "is parked" not in text] == [
        "more than 20 websites are parked; `ingestor status` names all"
    ]
    umami.websites.update(others)
    await ledger.until(lambda: not ledger.parked_websites)
    umami.websites.clear()
    caplog.clear()
    await delivery.submit(views(1, website=others[-1]))
    await ledger.until(lambda: ledger.parked_websites)
    assert f"website {others[-1]} is parked" in caplog.text


async def test_a_parked_website_is_tried_again_without_a_trace_and_unparked(
    umami, ledger, views, deliver, website
):
    delivery = await deliver(umami.url, park=True, batch_size=5)
    await delivery.submit(views(12, website=OTHER))
    await ledger.until(lambda: OTHER in ledger.parked_websites)
    await delivery.submit(views(3, website=OTHER, start=12))
    await ledger.until(lambda: len(ledger.returned) == 15)
    umami.websites.add(OTHER)
    await ledger.until(lambda: OTHER not in ledger.parked_websites)
    assert umami.stored == []
    again, ledger.returned = ledger.returned, []
    await delivery.submit(again)
    assert await delivery.drain(10)
    assert umami.urls == Counter(f"/{number}" for number in range(15))


async def test_refused_credentials_park_every_website_until_they_are_mended(
    umami, ledger, views, deliver, reply, caplog
):
    delivery = await deliver(umami.url, park=True)
    umami.script = lambda _request: reply(401, b"who are you")
    await delivery.submit(views(5))
    await ledger.until(lambda: len(ledger.returned) == 5)
    assert "401" in caplog.text
    assert "who are you" in caplog.text
    umami.script = lambda _request: None
    await ledger.until(lambda: not ledger.parked_websites)
    await delivery.submit(ledger.returned)
    assert await delivery.drain(10)
    assert umami.urls.total() == 5


@pytest.mark.parametrize("mode", ["auto", "send", "batch"])
async def test_a_poison_page_view_without_a_code_ends_as_a_dead_letter_and_stops_nobody(
    mode, umami, ledger, views, deliver, tmp_path
):
    umami.script = umami.wordless_over("/13")
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, mode=mode, batch_size=10, dead_letters=letters)
    await delivery.submit(views(60))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 59, Outcome.REJECTED: 1}
    assert [letter.offset for letter in read_dead_letters(letters)] == [130]
    assert max(umami.urls.values()) == 1
    tries = sum("/13" in request.urls for request in umami.carrying)
    assert 5 <= tries <= 40


async def test_several_poison_page_views_alone_end_as_dead_letters_too(
    umami, ledger, views, deliver, reply, refused, tmp_path
):
    umami.script = lambda request: (
        reply(500, refused("server-error", 500))
        if any(url in {"/0", "/1", "/2"} for url in request.urls) and request.number >= 0
        else None
    )
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, mode="send", dead_letters=letters)
    await delivery.submit(views(10))
    feeding = asyncio.create_task(_trickle(delivery, views))
    await ledger.until(lambda: ledger.outcomes[Outcome.REJECTED] == 3)
    feeding.cancel()
    assert {letter.offset for letter in read_dead_letters(letters)} == {0, 10, 20}


@pytest.mark.parametrize("pace", ["auto", "fixed"])
async def test_poison_at_the_head_holds_nobody_up_where_one_request_is_in_flight(
    pace, umami, ledger, views, deliver, reply, refused, tmp_path
):
    umami.script = lambda request: (
        reply(500, refused("server-error", 500))
        if "/0" in request.urls and request.number >= 0
        else None
    )
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, mode="send", pace=pace, workers=1, dead_letters=letters)
    await delivery.submit(views(40))
    assert await delivery.drain(10)
    assert ledger.outcomes == {Outcome.REJECTED: 1, Outcome.ACCEPTED: 39}


async def _trickle(delivery, views):
    for number in range(100, 10_000):
        await delivery.submit(views(1, start=number))


@pytest.mark.parametrize("park", [True, False])
async def test_where_nothing_is_stored_any_more_the_only_page_view_is_not_convicted(
    park, umami, ledger, views, deliver, reply, refused, tmp_path
):
    """A failed migration under a quiet site: every page view fails, the probe that reads passes."""
    failing = range(1, 60)
    umami.script = lambda request: (
        reply(500, refused("server-error", 500)) if request.number in failing else None
    )
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, park=park, dead_letters=letters)
    await delivery.submit(views(1))
    assert await delivery.drain(20)
    await delivery.submit(views(1, start=1))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 2}
    assert ledger.is_away[-1] is None
    assert not letters.exists()


async def test_the_last_page_view_that_failed_beside_stored_ones_is_convicted_by_probes(
    umami, ledger, views, deliver, tmp_path
):
    umami.script = umami.wordless_over("/9")
    delivery = await deliver(umami.url, batch_size=10, dead_letters=tmp_path / "dead.jsonl")
    await delivery.submit(views(10))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 9, Outcome.REJECTED: 1}


async def test_several_that_failed_beside_stored_ones_end_a_backfill_by_themselves(
    umami, ledger, views, deliver, tmp_path
):
    umami.script = umami.wordless_over("/3", "/4", "/9")
    delivery = await deliver(umami.url, batch_size=10, dead_letters=tmp_path / "dead.jsonl")
    await delivery.submit(views(10))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 7, Outcome.REJECTED: 3}


async def test_an_outage_that_begins_amid_a_backfills_batch_convicts_none_of_it(
    umami, ledger, views, deliver, refused, reply, tmp_path
):
    """Others are left that no request was answered for: their being stored can prove something."""
    words = refused("server-error", 500)
    asked = []

    def script(request):
        if request.number < 0 or len(asked) > 400:
            return None
        asked.append(request)
        if len(asked) == 1:
            return umami.batch_failing(request, dict.fromkeys(["/7", "/8", "/9"], words))
        if request.path == "/api/batch":
            return umami.batch_failing(request, dict.fromkeys(request.urls, words))
        return reply(500, words)

    umami.script = script
    delivery = await deliver(
        umami.url, workers=2, batch_size=10, dead_letters=tmp_path / "dead.jsonl"
    )
    await delivery.submit(views(40))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 40}


@pytest.mark.parametrize("status", [403, 413, 500])
async def test_what_was_a_dead_letter_before_ends_as_one_where_nothing_else_is_sent(
    status, umami, ledger, views, deliver, reply
):
    umami.script = lambda request: reply(status, b"<html>no") if request.number >= 0 else None
    delivery = await deliver(umami.url, kept=True)
    await delivery.submit(views(3))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.REJECTED: 3}


@pytest.mark.parametrize("mode", ["auto", "send", "batch"])
async def test_an_outage_that_says_nothing_makes_no_dead_letter(
    mode, umami, ledger, views, deliver, reply, refused, tmp_path
):
    """A read-only database under Umami 2: each page view fails, the probe that reads does not."""

    def script(request):
        if not 0 <= request.number < 150:
            return None
        if request.path == "/api/batch":
            body = refused("server-error", 500)
            return umami.batch_failing(request, dict.fromkeys(request.urls, body))
        return reply(500, refused("server-error", 500))

    umami.script = script
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, mode=mode, batch_size=5, dead_letters=letters)
    await delivery.submit(views(40))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 40}
    assert not letters.exists()
    assert ledger.is_away


async def test_a_page_view_over_which_the_connection_always_breaks_stops_nobody(
    umami, ledger, views, deliver, reply, tmp_path, caplog, eventually
):
    umami.script = lambda request: reply(hang_up=True) if "/3" in request.urls else None
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, workers=2, batch_size=4, dead_letters=letters)
    feeding = asyncio.create_task(_trickle(delivery, views))
    await delivery.submit(views(40))
    await ledger.until(lambda: sum(start < 400 for start in ledger.ended) == 39)
    told = "it is tried on: the one at offset 30 of /var/log/\\xffaccess.log."
    await eventually(lambda: told in caplog.text)
    feeding.cancel()
    assert 30 not in ledger.ended, "it is tried on, and never given up"
    assert not letters.exists()


@pytest.mark.parametrize("mode", ["auto", "send", "batch"])
async def test_a_firewall_that_dislikes_one_url_rejects_that_one_alone(
    mode, umami, ledger, views, deliver, reply, tmp_path
):
    umami.script = lambda request: reply(403, b"<html>blocked") if "/3" in request.urls else None
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, mode=mode, batch_size=4, dead_letters=letters)
    await delivery.submit(views(40))
    feeding = asyncio.create_task(_trickle(delivery, views))
    await ledger.until(lambda: 30 in ledger.ended)
    feeding.cancel()
    assert ledger.ended[30] is Outcome.REJECTED
    assert [letter.offset for letter in read_dead_letters(letters)] == [30]
    assert ledger.parked_websites == set()


async def test_a_gateway_that_says_forbidden_for_a_while_is_not_taken_for_umami_2(
    umami, ledger, views, deliver, reply, tmp_path
):
    """Umami 2 says no more where it blocks an address; this one is no Umami 2."""
    umami.script = lambda request: (
        reply(403, {"error": "Forbidden"}) if 0 <= request.number < 8 else None
    )
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, batch_size=4, dead_letters=letters)
    await delivery.submit(views(8))
    assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 8}
    assert not letters.exists()


@pytest.mark.parametrize("mode", ["auto", "send", "batch"])
@pytest.mark.parametrize("disliked", [{"/0": 403}, {"/9": 406}, {"/3": 403, "/7": 403, "/8": 403}])
async def test_a_firewalls_dislikes_are_found_out_where_a_backfill_ends_with_them(
    disliked, mode, umami, ledger, views, deliver, reply, tmp_path
):
    umami.script = lambda request: (
        reply(max(disliked.values()), b"<html>blocked") if disliked.keys() & request.urls else None
    )
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, mode=mode, batch_size=10, dead_letters=letters)
    await delivery.submit(views(10))
    assert await delivery.drain(20)
    assert ledger.outcomes == {
        Outcome.ACCEPTED: 10 - len(disliked),
        Outcome.REJECTED: len(disliked),
    }
    assert umami.urls == Counter(f"/{n}" for n in range(10) if f"/{n}" not in disliked)
    assert ledger.doubts == 0
    assert not any(ledger.is_away), "it never was"


@pytest.mark.parametrize("park", [True, False])
async def test_a_firewall_that_dislikes_every_page_view_makes_no_dead_letter(
    park, umami, ledger, views, deliver, reply, tmp_path
):
    """Only what asks for nothing passes it: no page view is known to."""
    umami.script = lambda request: reply(403, b"<html>blocked") if request.number >= 0 else None
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, park=park, batch_size=4, dead_letters=letters)
    await delivery.submit(views(10))
    if park:
        await ledger.until(lambda: len(umami.carrying) > 200)
        umami.script = lambda _request: None
        assert await delivery.drain(20)
    else:
        with pytest.raises(BadCredentials, match="403: a web page"):
            await delivery.drain(20)
    assert ledger.outcomes == ({Outcome.ACCEPTED: 10} if park else {})
    assert not letters.exists()


@pytest.mark.parametrize("count", [40, 10])
async def test_a_firewall_that_begins_to_dislike_every_page_view_ends_a_backfill(
    count, umami, ledger, views, deliver, reply, tmp_path
):
    umami.script = lambda request: reply(403, b"<html>blocked") if request.number >= 3 else None
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, workers=1, batch_size=2, dead_letters=letters)

    async def backfill():
        await delivery.submit(views(count))
        await delivery.drain(20)

    with pytest.raises(BadCredentials, match="403: a web page"):
        await backfill()
    assert ledger.outcomes == {Outcome.ACCEPTED: 6}
    assert not letters.exists()


async def test_a_firewall_that_dislikes_every_page_view_for_a_while_convicts_none_of_a_quiet_site(
    umami, ledger, views, deliver, reply, tmp_path
):
    umami.script = lambda request: (
        reply(403, b"<html>blocked") if 1 <= request.number < 60 else None
    )
    letters = tmp_path / "dead.jsonl"
    delivery = await deliver(umami.url, park=True, dead_letters=letters)
    for number in range(3):
        await delivery.submit(views(1, start=number))
        assert await delivery.drain(20)
    assert ledger.outcomes == {Outcome.ACCEPTED: 3}
    assert not letters.exists()
    assert ledger.is_away[-1] is None, "it was told of, and is over"


async def test_a_fatal_answer_lets_the_requests_under_way_come_back(
    umami, ledger, views, deliver, reply, website, eventually
):
    hold = asyncio.Event()
    umami.script = lambda request: (
        reply(until=hold, store=True, body=_stored(request))
        if request.number >= 0 and request.page_views[0]["website"] == website
        else None
    )
    delivery = await deliver(umami.url, workers=2, batch_size=5)
    await delivery.submit(views(5))
    await delivery.submit(views(5, website=OTHER, start=5))
    draining = asyncio.create_task(delivery.drain(10))
    await eventually(lambda: len(umami.carrying) == 2 and umami.busy == 1)
    hold.set()
    with pytest.raises(UnknownWebsite):
        await draining
    assert set(ledger.ended) == {0, 10, 20, 30, 40}


def _stored(request):
    size = len(request.urls)
    return {"size": size, "processed": size, "errors": 0, "details": [], "cache": "token"}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("exactly_once", [False, True])
async def test_a_limiter_that_lets_one_request_pass_at_a_time_stops_nothing(
    exactly_once, status, umami, ledger, views, deliver, reply, sleeps
):
    passed: list[float] = []
    lost: list[float] = []

    def script(request):
        if passed and sleeps.time - passed[-1] < 0.9:
            return reply(status, b"<html>")
        passed.append(sleeps.time)
        if lost or "/3" not in request.urls:
            return None
        lost.append(sleeps.time)
        return reply(hang_up=True, store=True)

    umami.script = script
    async with asyncio.timeout(10):
        delivery = await deliver(
            umami.url, exactly_once=exactly_once, login=("admin", "umami"), batch_size=10
        )
        await delivery.submit(views(40))
        assert await delivery.drain(None)
    assert set(umami.urls) == {f"/{n}" for n in range(40)}
    assert umami.urls.total() == 40 + ledger.doubts
    assert lost
    assert ledger.doubts == 0 or not exactly_once


@pytest.mark.parametrize("refusal", [(429, b"<html>"), (503, NGINX_503)])
async def test_a_limiters_refusals_are_no_page_views_fault(
    refusal, umami, ledger, views, deliver, reply, sleeps, caplog
):
    passed: list[float] = []

    def script(request):
        if passed and sleeps.time - passed[-1] < 0.9:
            return reply(*refusal)
        passed.append(sleeps.time)
        return None

    delivery = await deliver(umami.url, workers=4, batch_size=10)
    umami.script = script
    await delivery.submit(views(400))
    assert await delivery.drain(10)
    assert ledger.outcomes == {Outcome.ACCEPTED: 400}
    assert "again and again" not in caplog.text
    assert {len(request.urls) for request in umami.carrying} == {10}, "none was split"
