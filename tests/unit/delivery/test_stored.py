"""What Umami keeps of a page view, held against the recordings of a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ingestor.delivery.stored import Stored, as_stored

RECORDINGS = Path(__file__).parents[2] / "data" / "umami-exchanges.jsonl"


def page_views() -> list[tuple[str, dict, list[dict]]]:
    """Name, payload and stored rows of every recorded page view."""
    found = []
    for line in RECORDINGS.read_text().splitlines():
        exchange = json.loads(line)
        body, stored = exchange["request"]["body"], exchange["stored"]
        if exchange["request"]["path"] != "/api/send" or not isinstance(body, dict) or not stored:
            continue
        payload = body.get("payload")
        if isinstance(payload, dict) and body.get("type") == "event":
            found.append((exchange["name"], payload, stored["events"]))
    return found


def expected(row: dict) -> Stored:
    return Stored(row["created_at"], row["hostname"], row["url_path"], row["url_query"])


RECORDED = page_views()
KEPT = [
    (name, payload, rows)
    for name, payload, rows in RECORDED
    if len(rows) == 1
    and isinstance(payload.get("timestamp"), int)
    and payload["timestamp"] not in (True, 0)
    and not any("…" in str(value) for value in payload.values())
]


@pytest.mark.parametrize(
    ("payload", "row"), [(p, r[0]) for _, p, r in KEPT], ids=[n for n, *_ in KEPT]
)
def test_a_page_view_is_kept_as_the_recording_has_it(payload, row):
    assert as_stored(payload) == expected(row)


def test_the_recordings_are_many():
    assert len(KEPT) > 70


@pytest.mark.parametrize("hostname", ["not a host", "%", "::1", "999.1.1.1"])
def test_what_is_no_host_is_never_stored(hostname):
    assert as_stored({"hostname": hostname, "url": "/x", "timestamp": 1}) is None


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        ("/" + "p" * 600, "/" + "p" * 499, ""),
        ("/?" + "q" * 600, "/", "q" * 500),
        ("/" + "☃" * 600, "/" + "☃" * 499, ""),
        ("/%E2%98%83%2Fx", "/☃%2Fx", ""),
        ("/a%2F%E2%98%83?b=%2F", "/a%2F☃", "b=%2F"),
        ("/" + "%F0%9F%98%80" * 300, "/" + "😀" * 249 + "�", ""),
        ("/?" + "%F0%9F%98%80" * 60, "/", ("%F0%9F%98%80" * 60)[:500]),
        ("/%E2%98", "/%E2%98", ""),
        ("https://other.example//x/../y?z#f", "//y#f", "z"),
    ],
)
def test_paths_are_decoded_and_both_are_cut(url, path, query):
    assert as_stored({"hostname": "h.example", "url": url, "timestamp": 5}) == Stored(
        5, "h.example", path, query
    )


def test_without_a_hostname_the_urls_own_counts():
    absolute = {"hostname": "", "url": "https://www.shop.example/x", "timestamp": 5}
    assert as_stored(absolute) == Stored(5, "shop.example", "/x", "")
    assert as_stored({"url": "/x", "timestamp": 5}) == Stored(5, "localhost", "/x", "")
