"""Umami's recorded answers, and answers that lie."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.delivery.answers import (
    RETRY_AFTER_MAX,
    NoSuchRoute,
    Raw,
    TooLarge,
    Verdict,
    http_time,
    printable,
    read_batch,
    read_fields,
    read_presence,
    read_send,
    retry_after,
)
from ingestor.errors import BadCredentials, IngestorError, TryAgain

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data" / "umami-exchanges.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
BY_NAME = {exchange["name"]: exchange for exchange in RECORDED}


def raw(status: int, body: object = None, **headers: str) -> Raw:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Raw(status, data, headers.get("retry_after"), headers.get("location"))


def recorded(name: str) -> Raw:
    exchange = BY_NAME[name]
    return raw(exchange["status"], exchange["response"])


def error(code: object = "server-error", status: int = 500, **rest: object) -> dict[str, object]:
    return {"error": {"message": "x", "code": code, "status": status, **rest}}


def poison(**error_object: object) -> dict[str, object]:
    return error(errorObject=error_object)


def expected(exchange: dict[str, object]) -> Verdict:
    """What the recording itself says: its status, its body, the rows that were there after."""
    status, response = exchange["status"], json.dumps(exchange["response"])
    if status == 200:
        return Verdict.BOT if "boop" in response else Verdict.STORED
    if "Website not found" in response or '"website"' in response:
        return Verdict.UNKNOWN_WEBSITE
    if "P1001" in response:
        return Verdict.AGAIN
    return Verdict.REJECTED


SENDS = [
    exchange
    for exchange in RECORDED
    if (exchange["request"]["method"], exchange["request"]["path"]) == ("POST", "/api/send")
]


@pytest.mark.parametrize("exchange", SENDS, ids=lambda exchange: exchange["name"])
def test_every_recorded_answer_of_send_is_understood(exchange: dict[str, object]) -> None:
    answer = raw(int(str(exchange["status"])), exchange["response"])
    reading, token = read_send(answer, now=0)
    assert reading.verdict is expected(exchange)
    assert (token is not None) == (reading.verdict is Verdict.STORED)


def test_many_answers_of_send_were_recorded() -> None:
    assert len(SENDS) > 100


def test_a_recorded_batch_is_read_page_view_by_page_view() -> None:
    answer = read_batch(
        recorded("batch mixed good, bot, unknown website, bad url, poison, good"), 6, now=0
    )
    assert [reading.verdict for reading in answer.readings] == [
        Verdict.COUNTED,
        Verdict.COUNTED,
        Verdict.UNKNOWN_WEBSITE,
        Verdict.REJECTED,
        Verdict.REJECTED,
        Verdict.COUNTED,
    ]
    assert answer.token is not None
    assert answer.token.startswith("<")
    assert "22021" in answer.readings[4].words


def test_a_recorded_batch_with_the_database_away_rejects_only_what_is_wrong_in_itself() -> None:
    answer = read_batch(recorded("database down: batch"), 2, now=0)
    assert [reading.verdict for reading in answer.readings] == [Verdict.AGAIN, Verdict.REJECTED]
    assert answer.token is None


PASSING = [
    poison(code="P1001"),
    poison(code="P1017"),
    poison(code="P2024"),
    poison(name="DriverAdapterError", cause={"originalCode": "57P01"}),
    poison(name="DriverAdapterError", cause={"code": "25006", "kind": "postgres"}),
    poison(code="P2010", meta={"driverAdapterError": {"cause": {"originalCode": "53100"}}}),
    poison(meta={"driverAdapterError": {"cause": {"kind": "DatabaseNotReachable"}}}),
    poison(code="P2010", meta={"code": "40P01"}),
    poison(name="PrismaClientInitializationError"),
    poison(code="ECONNREFUSED"),
    poison(code="P2000", cause={"code": "57P01"}),  # both: an outage never makes a dead letter
    {"error": {"name": "PrismaClientKnownRequestError", "code": "P1001"}},
]
PERMANENT = [
    poison(code="P2000"),
    poison(code="P2020"),
    poison(code="ERR_INVALID_URL", name="TypeError"),
    poison(name="PrismaClientValidationError"),
    poison(name="DriverAdapterError", cause={"originalCode": "22021"}),
    poison(name="DriverAdapterError", cause={"code": "22P05", "kind": "postgres"}),
    poison(code="P2010", meta={"driverAdapterError": {"cause": {"originalCode": "22001"}}}),
    poison(code="P2010", meta={"code": "22003"}),
    {"error": {"name": "PrismaClientKnownRequestError", "code": "P2000"}},
]
UNKNOWN = [
    error(),
    error(errorObject=None),
    error(errorObject="22021"),
    error(errorObject=[{"code": "P2000"}]),
    {"error": "Server error"},
    {},
    [],
    b"Internal Server Error",
    b"<html>500</html>",
    b"",
    poison(code="P2010"),
    poison(code="22"),
    poison(code=22021),
    poison(message="P2000 22021 ERR_INVALID_URL"),  # words, not codes
    poison(input="P1001"),
]


@pytest.mark.parametrize(
    ("body", "verdict"),
    [(body, Verdict.AGAIN) for body in PASSING]
    + [(body, Verdict.REJECTED) for body in PERMANENT]
    + [(body, Verdict.SUSPECT) for body in UNKNOWN],
)
def test_a_500_is_an_outage_or_poison_or_cannot_be_told(body: object, verdict: Verdict) -> None:
    assert read_send(raw(500, body), now=0)[0].verdict is verdict
    whole = read_batch(raw(500, body), 3, now=0)
    assert whole.whole
    assert [reading.verdict for reading in whole.readings] == [verdict] * 3
    if isinstance(body, dict):
        answer = {"size": 2, "processed": 1, "errors": 1}
        answer["details"] = [{"index": 1, "response": body}]
        readings = read_batch(raw(200, answer), 2, now=0).readings
        assert [reading.verdict for reading in readings] == [Verdict.COUNTED, verdict]


def test_an_answer_nested_beyond_all_measure_is_read_all_the_same() -> None:
    deep = b'{"cause":' * 900 + b'{"code":"P2000"}' + b"}" * 900
    body = b'{"error":{"errorObject":' + deep + b"}}"
    assert read_send(raw(500, body), now=0)[0].verdict is Verdict.SUSPECT
    batch = b'{"size":1,"processed":0,"errors":1,"details":[{"index":0,"response":' + body + b"}]}"
    assert read_batch(raw(200, batch), 1, now=0).readings[0].verdict is Verdict.SUSPECT


@pytest.mark.parametrize(
    "response",
    [
        {"error": "Website not found."},
        error("bad-request", 400, message="Website not found."),
        error(
            "bad-request", 400, properties={"payload": {"properties": {"website": {"errors": []}}}}
        ),
    ],
)
def test_an_unknown_website_is_told_apart_in_every_shape(response: dict[str, object]) -> None:
    assert read_send(raw(400, response), now=0)[0].verdict is Verdict.UNKNOWN_WEBSITE
    whole = read_batch(raw(400, response), 2, now=0)
    assert [reading.verdict for reading in whole.readings] == [Verdict.UNKNOWN_WEBSITE] * 2
    answer = {"size": 1, "processed": 0, "errors": 1}
    answer["details"] = [{"index": 0, "response": response}]
    assert read_batch(raw(200, answer), 1, now=0).readings[0].verdict is Verdict.UNKNOWN_WEBSITE


_POSTGRES = (
    'kind: QueryError(PostgresError { code: "%s", message: "in \\"UTF8\\": 0x00", hint: None })'
)
_MYSQL = 'kind: QueryError(Server(MysqlError { code: 1366, message: "too long", state: "%s" }))'


def unknown_to_prisma_6(words: str) -> dict[str, object]:
    """What Umami 2 answers for an error of the database that Prisma has no code for."""
    call = "\nInvalid `prisma.websiteEvent.create()` invocation:\n\n\n"
    return {
        "name": "PrismaClientUnknownRequestError",
        "message": f"{call}ConnectorError({words}",
        "clientVersion": "6.7.0",
    }


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        (error("forbidden", 403), Verdict.REJECTED),
        ({"error": "Forbidden"}, Verdict.REJECTED),
        ({"error": {"name": "ZodError", "issues": []}}, Verdict.REJECTED),
        ({"error": ["payload: "]}, Verdict.REJECTED),
        ({"error": unknown_to_prisma_6(_POSTGRES % "22021")}, Verdict.REJECTED),
        ({"error": unknown_to_prisma_6(_POSTGRES % "53100")}, Verdict.AGAIN),
        ({"error": unknown_to_prisma_6(_MYSQL % "22001")}, Verdict.REJECTED),
        ({"error": unknown_to_prisma_6("no code in it")}, Verdict.SUSPECT),
        (error("bad-request", 400), Verdict.REJECTED),
        (error("busy", 503), Verdict.AGAIN),
        (error("limit", 429), Verdict.AGAIN),
    ],
)
def test_one_page_view_of_a_batch_fails_for_its_own_reason(
    response: dict[str, object], verdict: Verdict
) -> None:
    answer = {"size": 1, "processed": 0, "errors": 1}
    answer["details"] = [{"index": 0, "response": response}]
    assert read_batch(raw(200, answer), 1, now=0).readings[0].verdict is verdict


def test_a_blocked_address_rejects_one_page_view_and_other_refusals_none() -> None:
    assert read_send(raw(403, error("forbidden", 403)), now=0)[0].verdict is Verdict.REJECTED
    for status, body in [
        (403, b"<html>"),
        (401, error("unauthorized", 401)),
        (403, error("x")),
        (402, b"pay"),
        *((status, b"<html>") for status in (406, 411, 415, 418, 422, 431, 451)),
    ]:
        with pytest.raises(BadCredentials):
            read_send(raw(status, body), now=0)
        with pytest.raises(BadCredentials):
            read_batch(raw(status, body), 2, now=0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please log in</html>",
        b'{"cache":"tok',
        b"null",
        b"[]",
        b"{}",
        b'"ok"',
        b'{"cache":""}',
        b'{"cache":5}',
        b'{"beep":"bop"}',
        b'{"error":{"message":"no"}}',
        b'{"cache":"t","error":"x"}',
        b"[" * 100_000,
    ],
)
def test_a_200_that_is_not_in_umamis_words_is_not_believed(body: bytes) -> None:
    with pytest.raises(TryAgain) as caught:
        read_send(raw(200, body), now=0)
    assert caught.value.in_doubt
    with pytest.raises(TryAgain) as caught:
        read_batch(raw(200, body), 2, now=0)
    assert caught.value.in_doubt


GOOD = {"size": 3, "processed": 2, "errors": 1}
DETAIL = {"index": 1, "response": error("bad-request", 400)}


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "details": []},
        {**GOOD, "details": [DETAIL, DETAIL]},
        {**GOOD, "errors": 2, "processed": 1, "details": [DETAIL, DETAIL]},
        {**GOOD, "size": 4, "details": [DETAIL]},
        {**GOOD, "processed": 3, "details": [DETAIL]},
        {**GOOD, "errors": "1", "details": [DETAIL]},
        {**GOOD, "details": {"0": DETAIL}},
        {**GOOD, "details": [{**DETAIL, "index": 3}]},
        {**GOOD, "details": [{**DETAIL, "index": -1}]},
        {**GOOD, "details": [{**DETAIL, "index": "1"}]},
        {**GOOD, "details": [{**DETAIL, "index": True}]},
        {**GOOD, "details": [{**DETAIL, "response": "no"}]},
        {**GOOD, "details": ["no"]},
        {"size": 3, "processed": 3, "errors": 0},
    ],
)
def test_a_batch_whose_counts_do_not_add_up_is_not_believed(body: dict[str, object]) -> None:
    with pytest.raises(TryAgain) as caught:
        read_batch(raw(200, body), 3, now=0)
    assert caught.value.in_doubt


@pytest.mark.parametrize(
    ("status", "in_doubt"),
    [(408, True), (429, False), (503, False), (502, True), (504, True), (409, True), (201, True)],
)
def test_overload_and_proxies_errors_are_tried_again(status: int, *, in_doubt: bool) -> None:
    with pytest.raises(TryAgain) as caught:
        read_batch(raw(status, b"<html>"), 2, now=0)
    assert caught.value.in_doubt is in_doubt


@pytest.mark.parametrize(("seconds", "in_doubt"), [(0.9, False), (30.0, True)])
def test_a_503_that_took_its_time_may_come_after_the_page_views_were_stored(
    seconds: float, *, in_doubt: bool
) -> None:
    with pytest.raises(TryAgain) as caught:
        read_batch(raw(503, b"<html>")._replace(seconds=seconds), 2, now=0)
    assert caught.value.in_doubt is in_doubt


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_outage_that_names_its_target(status: int) -> None:
    with pytest.raises(TryAgain, match=r"redirects .* to https://sso\.example/login"):
        read_send(raw(status, b"", location="https://sso.example/login\x1b"), now=0)


@pytest.mark.parametrize("status", [404, 405])
def test_a_missing_route_skips_nothing(status: int) -> None:
    with pytest.raises(NoSuchRoute, match=r"without /websites/…, /api or /script\.js"):
        read_batch(raw(status, b"<!DOCTYPE html>"), 1, now=0)


def test_a_web_page_in_umamis_place_is_told_with_what_the_url_should_be() -> None:
    with pytest.raises(TryAgain, match=r"a web page; umami\.url \(or --url\) is what"):
        read_fields(raw(200, b"\n<!DOCTYPE html>"), now=0)
    page = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title>"
    with pytest.raises(TryAgain, match=r"sent to HTTPS port'; umami\.url \(or --url\) is what"):
        read_fields(raw(400, page), now=0)


@pytest.mark.parametrize("status", [403, 429, 502, 503, 504])
def test_of_a_proxys_page_the_title_is_told(status: int) -> None:
    page = b"<html>\r\n<head><title>%d Too\x1b Bad </title></head>\r\n<body><hr></body>" % status
    with pytest.raises(Exception, match=rf"with {status}|answered {status}") as caught:
        read_batch(raw(status, page), 1, now=0)
    assert f"a web page, '{status} Too  Bad'" in str(caught.value)
    assert "<" not in str(caught.value)


def test_a_400_that_is_not_umamis_is_an_outage() -> None:
    for read in (
        lambda answer: read_send(answer, now=0),
        lambda answer: read_batch(answer, 2, now=0),
    ):
        with pytest.raises(TryAgain):
            read(raw(400, b"<html><h1>400 The plain HTTP request was sent to HTTPS port</h1>"))


def test_a_413_or_a_400_for_the_whole_batch_asks_for_halves() -> None:
    with pytest.raises(TooLarge) as caught:
        read_batch(raw(413, b"<html>"), 2, now=0)
    assert caught.value.by_size
    with pytest.raises(TooLarge) as caught:
        read_batch(recorded("batch malformed"), 2, now=0)
    assert not caught.value.by_size


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("2", 2.0),
        (" 7 ", 7.0),
        ("99999999999999", RETRY_AFTER_MAX),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("Thu, 01 Jan 1970 00:16:45 GMT", 5.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_capped(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value, now=1000.0) == seconds
    if value is not None:
        with pytest.raises(TryAgain) as caught:
            read_send(raw(429, b"", retry_after=value), now=1000.0)
        assert caught.value.retry_after == seconds


@pytest.mark.parametrize("now", [0.0, 1000.0, 9e9])
def test_a_date_is_measured_by_the_clock_of_who_gave_it(now: float) -> None:
    dates = "Thu, 01 Jan 1970 00:16:45 GMT", "Thu, 01 Jan 1970 00:16:40 GMT"
    assert retry_after(dates[0], now, dates[1]) == 5.0
    assert retry_after(dates[0], 1000.0, "noon") == 5.0


def test_a_date_that_no_clock_holds_is_none() -> None:
    assert http_time("Thu, 01 Jan 1970 00:16:45 GMT") == 1005.0
    for date in (None, "", "soon", "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT"):
        assert http_time(date) is None


def test_the_probe_of_fields_lists_what_the_server_knows() -> None:
    assert read_fields(recorded("probe of fields"), now=0) == {"timestamp", "userAgent", "ip", "id"}
    assert read_fields(recorded("website unknown"), now=0) == frozenset()
    issues = [{"path": ["payload", "timestamp"]}, {"path": ["payload", "userAgent"]}]
    known = read_fields(raw(400, {"error": {"name": "ZodError", "issues": issues}}), now=0)
    assert known == {"timestamp", "userAgent"}
    assert read_fields(raw(400, {"error": ["payload: "]}), now=0) is None
    assert read_fields(raw(400, {"error": "Website not found."}), now=0) == frozenset()
    for status, body in [
        (200, b"<html>"),
        (400, b"<html>"),
        (400, {"error": []}),
        (500, error()),
        (200, {"cache": "t"}),
    ]:
        with pytest.raises(TryAgain):
            read_fields(raw(status, body), now=0)


def test_a_bots_visit_tells_whether_the_website_exists() -> None:
    assert read_presence(raw(200, {"beep": "boop"}), now=0)
    assert read_presence(raw(403, error("forbidden", 403)), now=0)
    assert not read_presence(recorded("probe bot with unknown website"), now=0)
    for name in ("PrismaClientValidationError", "RangeError"):  # its time is none
        assert read_presence(raw(500, error(errorObject={"name": name})), now=0)
        assert read_presence(raw(500, {"error": {"name": name}}), now=0)
    for name in ("database down: bot",):
        with pytest.raises(TryAgain):
            read_presence(recorded(name), now=0)
    with pytest.raises(TryAgain):
        read_presence(raw(500, error()), now=0)


def test_words_for_people_hold_no_control_characters() -> None:
    assert printable("a\x1b[31mb\nc\x00d\u202e") == "a [31mb c d "
    assert printable(b"\xff\xfe" * 400, 10) == "\ufffd" * 10 + "…"


KEYS = ["error", "errorObject", "code", "cause", "details", "index", "response", "size"]
KEYS += ["processed", "errors", "cache", "beep", "status", "message", "meta"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(status=st.sampled_from([200, 400, 403, 413, 500, 503]), body=JSON, size=st.integers(1, 3))
def test_no_answer_crashes_the_reader_or_passes_for_stored(
    status: int, body: object, size: int
) -> None:
    """Whatever JSON comes, there is a verdict for each page view or an error of ours."""
    answer = raw(status, body) if not _too_big(body) else raw(status, b"")
    for read in (lambda: read_send(answer, now=0), lambda: read_batch(answer, size, now=0)):
        try:
            result = read()
        except (IngestorError, TooLarge):
            continue
        readings = [result[0]] if len(result) == 2 else result.readings
        if status != 200:
            assert {reading.verdict for reading in readings}.isdisjoint(
                {Verdict.STORED, Verdict.COUNTED, Verdict.BOT}
            )


def _too_big(body: object) -> bool:
    try:
        orjson.dumps(body)
    except TypeError:
        return True
    return False
