"""Which logs have the same requests, and what it costs where there are hundreds."""

from __future__ import annotations

from parts import counting_calls

from ingestor.config import Source
from ingestor.formats import format_named
from ingestor.logfiles.discovery import Found
from ingestor.model import Hit
from ingestor.pageviews.rules import Verdict
from ingestor.pipeline.checks import Remarks
from ingestor.pipeline.checks.logs import Sample
from ingestor.pipeline.checks.twins import check_twins

FORMAT = format_named("combined")


def sample(name: str, *page_views: tuple[int, str, str]) -> Sample:
    """A log with these page views: Unix seconds, path, address."""
    found = Found(name.encode(), 0, 0, 0, 0, 0)
    hits: list[tuple[Hit, Verdict]] = [
        (Hit(time, address, "GET", path, "HTTP/1.1", 200, user_agent="Firefox"), ("a", {}))
        for time, path, address in page_views
    ]
    return Sample(found, Source(name), None, FORMAT, len(hits), hits)


def twins(*samples: Sample) -> list[str]:
    remarks = Remarks()
    check_twins(samples, remarks)
    return [remark.subject for remark in remarks.found]


def test_few_page_views_are_proof_where_the_addresses_agree() -> None:
    one = sample("one", *((second, "/", "192.0.2.1") for second in (10, 20, 30)))
    assert twins(one, sample("other", *((s + 1, "/", "192.0.2.1") for s in (10, 20, 30)))) == [
        "one and other"
    ]
    assert twins(one, sample("other", *((s + 1, "/", "10.0.0.1") for s in (10, 20, 30)))) == []
    assert twins(one, sample("other", *((s + 9, "/", "192.0.2.1") for s in (10, 20, 30)))) == []


def test_requests_that_many_logs_have_count_for_a_pair_that_others_tell() -> None:
    """Half of what two logs have in common is "/", which is visited in all of them."""
    both = [(100 * i, "/" if i % 2 else f"/both{i}", "192.0.2.1") for i in range(20)]
    others = [
        sample(f"log{j}", *((100 * i + 50, "/", "192.0.2.1") for i in range(20))) for j in range(60)
    ]
    assert twins(sample("one", *both), sample("other", *both), *others) == ["one and other"]


def test_hundreds_of_logs_with_a_few_paths_in_common_are_not_held_against_each_other() -> None:
    logs = [
        sample(f"log{i}", *((10 * j, f"/{(i + j * j) % 500}", "192.0.2.1") for j in range(20)))
        for i in range(100)
    ]
    with counting_calls() as calls:
        assert twins(*logs) == []
    assert calls.count < 200_000
