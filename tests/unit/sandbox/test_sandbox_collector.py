"""What is stored of an entry, and what fails for ever, by the rules of Umami's documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ingestor.sandbox.answers import Answer
from ingestor.sandbox.collector import Collector, Sender
from ingestor.sandbox.counters import Counters
from ingestor.sandbox.options import SandboxOptions
from ingestor.sandbox.store import Store, StoredPageView

WEBSITE = "4a4f0cc9-8ee5-42a6-9b80-36f63aa61362"
TIME = 1_790_000_000
SENDER = Sender(user_agent="sender", address="192.0.2.1")

Send = Callable[..., Answer]


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(None)
    store.add_website(WEBSITE, "test", None)
    yield store
    store.close()


@pytest.fixture
def send(store: Store) -> Send:
    collector = Collector(store, Counters(), SandboxOptions(), lambda text: "bot" in text)

    def make(kind: str = "event", sender: Sender = SENDER, **fields: Any) -> Answer:
        payload = {"website": WEBSITE, "hostname": "example.test", "url": "/x", "timestamp": TIME}
        return collector.collect({"type": kind, "payload": payload | fields}, sender)

    return make


def trouble(answer: Answer) -> tuple[int, str]:
    """Status and what a client may go by: the code, the cause's code, or the name."""
    error = answer.body["error"]
    found = error.get("errorObject", {})
    code = found.get("code") or found.get("cause", {}).get("originalCode") or found.get("name", "")
    if code == "P2010":
        code += " " + found["meta"]["driverAdapterError"]["cause"]["originalCode"]
    return answer.status, code


def only(store: Store) -> StoredPageView:
    (row,) = store.page_views()
    return row


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "/a\0b"}, "22021"),
        ({"url": "/?utm_term=%00"}, "22021"),
        ({"url": "/?twclid=a%00"}, "22021"),
        ({"referrer": "/%00"}, "22021"),
        ({"title": "%00"}, "22021"),
        ({"tag": "\0"}, "22021"),
        ({"name": "\0"}, "22021"),
        ({"hostname": "a\0b"}, "ERR_INVALID_URL"),
        ({"hostname": "a b"}, "ERR_INVALID_URL"),
        ({"hostname": "999.1.1.1"}, "ERR_INVALID_URL"),
        ({"hostname": "::1"}, "ERR_INVALID_URL"),
        ({"hostname": "%"}, "ERR_INVALID_URL"),
        ({"url": "/?utm_content=" + "x" * 256}, "P2000"),
        ({"url": "/?li_fat_id=" + "%C3%A9" * 256}, "P2000"),
        ({"id": "x" * 51}, "P2010 22001"),
        ({"browser": "x" * 21}, "P2010 22001"),
        ({"os": "x" * 21}, "P2010 22001"),
        ({"device": "x" * 21}, "P2010 22001"),
        ({"language": "\0"}, "P2010 22021"),
        ({"timestamp": 8_640_000_000_001}, "PrismaClientValidationError"),
        ({"timestamp": -8_640_000_000_001}, "PrismaClientValidationError"),
    ],
)
def test_what_never_succeeds_stores_no_page_view(
    fields: dict[str, Any], code: str, send: Send, store: Store
) -> None:
    assert trouble(send(**fields)) == (500, code)
    assert store.count() == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"k": "v" * 501}, "P2000"),
        ({"k" * 501: 1}, "P2000"),
        ({"k": ["v" * 500]}, "P2000"),
        ({"a": {"b": "\0"}}, "22021"),
        ({"k": 1e15}, "P2020"),
        ({"k": -999_999_999_999_999.99999}, "P2020"),
        ({"k": "2024-13-45T00:00:00"}, "RangeError"),
        ({"revenue": 5, "currency": "EUR"}, "PrismaClientValidationError"),
        ({"revenue": "5", "currency": 7}, "PrismaClientValidationError"),
    ],
)
def test_data_that_fails_leaves_the_page_view_behind(
    data: dict[str, Any], code: str, send: Send, store: Store
) -> None:
    assert trouble(send(data=data)) == (500, code)
    assert trouble(send(data=data)) == (500, code)
    assert store.count() == 2


def test_data_is_flattened_and_typed(send: Send, store: Store) -> None:
    data = {
        "text": "x",
        "number": 1.5,
        "yes": True,
        "none": None,
        "list": [1, "a"],
        "deep": {"er": {"date": "2024-01-02T03:04:05.000Z"}},
        "local": "2024-01-02T03:04:05",
    }
    assert send(data=data).status == 200
    rows = store.query(
        "select name, string_value, number_value, date_value, data_type from record_data"
    )
    assert list(rows) == [
        ("text", "x", None, None, 1),
        ("number", "1.5000", 1.5, None, 2),
        ("yes", "true", None, None, 3),
        ("none", "null", None, None, 5),
        ("list", '[1,"a"]', None, None, 5),
        ("deep.er.date", "2024-01-02T03:04:05.000Z", None, 1_704_164_645_000, 4),
        ("local", "2024-01-02T03:04:05", None, 1_704_164_645_000, 4),
    ]


def test_revenue_wants_a_name_and_a_currency_of_ten_letters(send: Send) -> None:
    assert send(name="buy", data={"revenue": 5, "currency": "EUR"}).status == 200
    assert send(data={"revenue": 0, "currency": "EUR"}).status == 200
    assert trouble(send(name="buy", data={"revenue": 5, "currency": "E" * 11})) == (500, "P2000")
    assert trouble(send(name="buy", data={"revenue": 5, "currency": "E\0"})) == (500, "22021")


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        ("/a\tb\nc", "/abc", ""),
        ("", "/", ""),
        ("/undefined", "", ""),
        ("/undefined#x", "", ""),
        ("/a%2Fb", "/a%2Fb", ""),
        ("/a?x=ü", "/a", "x=%C3%BC"),
        ("/" + "😀" * 300, "/" + "😀" * 249 + "\ufffd", ""),
        ("/?" + "q" * 600, "/", "q" * 500),
        ("https://elsewhere.test/p?q#h", "/p#h", "q"),
    ],
)
def test_paths_and_queries_are_kept_as_umami_keeps_them(
    url: str, path: str, query: str, send: Send, store: Store
) -> None:
    assert send(url=url).status == 200
    assert (only(store).url_path, only(store).url_query) == (path, query)


@pytest.mark.parametrize(
    ("hostname", "url", "stored"),
    [
        ("", "/x", "localhost"),
        ("", "https://www.host.test:8080/x", "host.test"),
        ("Example.TEST:8443", "/x", "Example.TEST:8443"),
        ("example.test", "https://other.test/x", "example.test"),
    ],
)
def test_a_hostname_is_stored_as_sent_or_taken_from_the_url(
    hostname: str, url: str, stored: str, send: Send, store: Store
) -> None:
    send(hostname=hostname, url=url)
    assert only(store).hostname == stored


def test_campaign_values_are_decoded_and_the_first_one_counts(send: Send, store: Store) -> None:
    send(url="/?utm_source=a+b%26&utm_source=c&utm%5Fmedium=m&gclid=&x=%00&utm_term=" + "t" * 255)
    columns = "utm_source, utm_medium, gclid, utm_campaign, length(utm_term)"
    assert list(store.query(f"select {columns} from page_views")) == [("a b&", "m", "", None, 255)]


def test_trailing_spaces_do_not_make_a_value_too_long(send: Send, store: Store) -> None:
    assert send(url="/?utm_term=" + "t" * 255 + "+++").status == 200
    assert list(store.query("select utm_term from page_views")) == [("t" * 255,)]


def test_milliseconds_and_the_remote_past_are_accepted(send: Send, store: Store) -> None:
    assert send(timestamp=TIME * 1000).status == 200
    assert send(timestamp=-1).status == 200
    assert trouble(send(timestamp=-8_000_000_000_000)) == (500, "P2010 22007")
    assert [row.created_at for row in store.page_views()] == [TIME * 1000, -1]


def test_a_session_is_website_address_agent_and_month(send: Send) -> None:
    def session(**fields: Any) -> str:
        return str(send(**({"ip": "192.0.2.9", "userAgent": "A"} | fields)).body["sessionId"])

    september = 1_790_812_799  # 2026-09-30T23:59:59Z
    first = session()
    assert session(url="/other", timestamp=september) == first
    assert session(timestamp=september + 1) != first
    assert session(ip="192.0.2.10") != first
    assert session(userAgent="B") != first
    assert session(website=WEBSITE.upper()) != first
    assert session(id="u", ip="1", timestamp=1) == session(id="u", userAgent="B") != first


def test_a_visit_is_session_and_clock_hour(send: Send) -> None:
    hour = 1_790_002_800
    visits = [send(timestamp=when).body["visitId"] for when in (hour - 1, hour, hour + 3599)]
    assert visits[0] != visits[1] == visits[2]


def test_sessions_tell_what_was_sent_over_what_was_guessed(send: Send, store: Store) -> None:
    send(browser="b", os="", device="d", screen="390x844", id="")
    rows = store.query("select browser, os, device, screen, language, distinct_id from sessions")
    assert list(rows) == [("b", "", "d", "390x844", None, "")]


def test_a_name_makes_a_custom_event_and_an_empty_one_does_not(send: Send, store: Store) -> None:
    send(name="")
    send(name="click")
    rows = store.query("select event_type, event_name from records order by id")
    assert (list(rows), store.count()) == ([(1, None), (2, "click")], 1)


def test_an_empty_user_agent_falls_back_to_the_senders(send: Send, store: Store) -> None:
    assert send(userAgent="", sender=Sender("a bot", "")).body == {"beep": "boop"}
    assert send(userAgent="", sender=Sender("", "")).status == 200
    assert send(userAgent="person", sender=Sender("a bot", "")).status == 200
    assert [row.user_agent for row in store.page_views()] == ["", "person"]


def test_web_vitals_identities_and_other_sources_are_no_page_views(
    send: Send, store: Store
) -> None:
    assert send("performance", lcp=1.5).status == 200
    assert send("identify", data={"plan": "pro"}, id="u").status == 200
    assert send("identify", data={"plan": "free"}, id="u").status == 200
    other = "11111111-1111-4111-8111-111111111111"
    assert send(website="", link=other).status == 400
    assert store.count() == 0
    assert list(store.query("select name, string_value from session_data")) == [("plan", "free")]
    assert list(store.query("select event_type, title from records")) == [(5, None)]


def test_a_link_or_a_pixel_needs_no_website(store: Store) -> None:
    collector = Collector(store, Counters(), SandboxOptions(), lambda _: False)
    for name in ("link", "pixel"):
        body = {"type": "event", "payload": {name: "11111111-1111-4111-8111-111111111111"}}
        assert collector.collect(body, SENDER).status == 200
    rows = store.query("select event_type from records order by id")
    assert [row[0] for row in rows] == [3, 4]


def test_a_token_without_a_timestamp_expires(send: Send, store: Store) -> None:
    claims = {"websiteId": WEBSITE, "sessionId": "s", "visitId": "v", "iat": 1}
    sender = Sender("x", "y", claims)
    assert send(sender=sender).body["visitId"] == "v"
    assert send(sender=sender, timestamp=None).body["visitId"] != "v"
    assert list(store.query("select count(*) from sessions")) == [(0,)]
