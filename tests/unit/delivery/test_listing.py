"""The read API's answers: as recorded, and as they may lie."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from ingestor.delivery.answers import NoSuchRoute, Raw
from ingestor.delivery.listing import (
    CannotTell,
    Unauthorized,
    read_filters_by_tag,
    read_login,
    read_page,
    read_reset,
    read_websites,
)
from ingestor.delivery.stored import as_stored
from ingestor.errors import BadCredentials, TryAgain

RECORDED = {
    exchange["name"]: exchange
    for exchange in map(
        json.loads,
        (Path(__file__).parents[2] / "data" / "umami-exchanges.jsonl").read_text().splitlines(),
    )
}


def recorded(name: str) -> Raw:
    exchange = RECORDED[name]
    return Raw(exchange["status"], orjson.dumps(exchange["response"]))


def answer(body: object, status: int = 200) -> Raw:
    return Raw(status, body if isinstance(body, bytes) else orjson.dumps(body))


def test_the_login_gives_a_token():
    assert read_login(recorded("login"), now=0) == "<token>"


def test_a_refused_login_speaks_of_the_credentials_and_not_of_what_was_sent():
    with pytest.raises(BadCredentials, match=r"umami\.username and umami\.password"):
        read_login(recorded("login refused"), now=0)


@pytest.mark.parametrize(
    "raw",
    [
        answer({"token": 5, "secret": "hush"}),
        answer(b"<html>hush"),
        answer({"token": "a\r\nb: hush"}),
        answer({"token": ""}),
        answer(b"hush", 502),
        Raw(503, b"hush", "7"),
    ],
)
def test_another_answer_to_the_login_is_an_outage_and_never_shown(raw):
    with pytest.raises(TryAgain) as raised:
        read_login(raw, now=0)
    assert "hush" not in str(raised.value)
    assert raised.value.retry_after == (7 if raw.retry_after else None)


def test_without_a_login_nothing_can_be_told():
    with pytest.raises(CannotTell):
        read_login(answer(b"<html>", 404), now=0)


def test_the_recorded_page_views_of_a_tag_are_those_that_were_sent():
    batch = RECORDED["batch of eight with a bot and a poison item under one tag"]
    sent = [as_stored(entry["payload"]) for entry in batch["request"]["body"]]
    raw = recorded("read: events of the tag")
    rows = json.loads(raw.body)["data"]
    for number, row in enumerate(rows):  # ids are masked in the recordings
        row["id"] = str(number)
    page = read_page(answer({"data": rows, "count": 6}), now=0)
    assert page.total == 6
    assert set(page.rows.values()) == {sent[place] for place in (0, 1, 2, 4, 6, 7)}


def test_custom_events_are_no_page_views():
    row = {"id": "x", "createdAt": "2026-09-21T14:13:27.000Z", "eventType": 2}
    assert read_page(answer({"data": [row], "count": 1}), now=0) == ({}, 0)


def test_a_reset_is_read_in_milliseconds():
    assert read_reset(recorded("read: website"), now=0) == 0
    moment = answer({"id": "w", "resetAt": "2026-09-21T14:13:27.500Z"})
    assert read_reset(moment, now=0) == 1_790_000_007_500
    assert read_reset(answer(None), now=0) == 0
    with pytest.raises(CannotTell):
        read_reset(answer({"id": "w", "resetAt": "yesterday"}), now=0)
    with pytest.raises(TryAgain):
        read_reset(answer({"ok": True}), now=0)


def test_umami_3_filters_by_tag_and_older_ones_do_not():
    read_filters_by_tag(recorded("read: stats of the tag"), now=0)
    with pytest.raises(CannotTell, match="older than Umami 3"):
        read_filters_by_tag(answer({"pageviews": {"value": 6, "prev": 0}}), now=0)
    with pytest.raises(TryAgain):
        read_filters_by_tag(answer({"pageviews": True}), now=0)


def test_the_first_website_of_a_list():
    assert read_websites(recorded("read: websites"), now=0) == "<website>"
    assert read_websites(answer({"data": []}), now=0) is None
    with pytest.raises(TryAgain):
        read_websites(answer({"data": "x"}), now=0)


def test_no_token_is_unauthorized():
    with pytest.raises(Unauthorized):
        read_page(recorded("read: no token"), now=0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        {"error": {"message": "no"}},
        {"data": {}, "count": 1},
        {"data": [], "count": True},
        {"data": [], "count": "1"},
        {"data": [5], "count": 1},
        {"data": [{"id": 5}], "count": 1},
    ],
)
def test_a_200_in_other_words_is_not_believed(body):
    with pytest.raises(TryAgain):
        read_page(answer(body), now=0)


def test_what_refuses_the_question_can_never_tell():
    with pytest.raises(CannotTell):
        read_page(answer({"error": {"message": "Bad request"}}, 400), now=0)
    row = {"id": "x", "createdAt": "in the evening"}
    with pytest.raises(CannotTell):
        read_page(answer({"data": [row], "count": 1}), now=0)
    with pytest.raises(TryAgain):
        read_page(answer(b"<html>", 400), now=0)


def test_an_outage_passes_and_a_missing_route_is_told():
    with pytest.raises(TryAgain) as raised:
        read_page(Raw(429, b"slow", "9"), now=0)
    assert raised.value.retry_after == 9
    with pytest.raises(NoSuchRoute):
        read_page(Raw(404, b"<html>"), now=0)


@pytest.mark.parametrize("read", [read_login, read_reset])
def test_what_a_proxy_answers_in_umamis_place_is_told_as_such(read):
    page = b"<html><head><title>401 Authorization Required</title></head>hush"
    with pytest.raises(BadCredentials, match=r"401 Authorization.*stands before Umami") as refused:
        read(Raw(401, page), now=0)
    assert "hush" not in str(refused.value)
    assert "umami.password" not in str(refused.value)
    with pytest.raises(TryAgain, match=r"redirects \(301\) to https://umami\.example/api"):
        read(Raw(301, b"", location="https://umami.example/api"), now=0)
    plain = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title>hush"
    with pytest.raises(TryAgain, match="sent to HTTPS port") as plainly:
        read(Raw(400, plain), now=0)
    assert "hush" not in str(plainly.value)


def test_of_a_proxys_page_the_title_is_told_and_not_its_html():
    page = b"<html><head><title>429 Too Many Requests</title></head><body>"
    with pytest.raises(TryAgain, match=r"429: a web page, '429 Too Many Requests'$"):
        read_reset(Raw(429, page), now=0)
    with pytest.raises(TryAgain, match=r"words: a web page, '429 Too Many Requests'"):
        read_reset(Raw(200, page), now=0)
