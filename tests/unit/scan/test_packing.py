"""What travels between processes arrives as it was, and formats say when they have learnt."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestor.formats import Format, detect, format_named
from ingestor.model import Chunk
from ingestor.pageviews import PageViewOptions, Rules, Site
from ingestor.scan import Recipe, Scanner
from ingestor.scan.packing import pack, unpack

NOW = 1_796_083_200  # 2026-12-01T00:00:00Z
SITE = Site("3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c", "example.com", ("*",))
SAMPLES = Path(__file__).parents[3] / "sample_logs"
NAMES = ("combined.log", "json.log", "vhost_main.log", "iis.log", "changing.log")


@pytest.mark.parametrize("name", NAMES)
def test_a_scanned_chunk_comes_back_as_it_was(
    name: str, scanner: Callable[[Format, Rules], Scanner]
) -> None:
    data = (SAMPLES / name).read_bytes()
    recipe = Recipe(name, "auto", "UTC", SITE, data, data)
    scanned = recipe.scanner(Rules(PageViewOptions(), (SITE,)), lambda: NOW)
    chunk = Chunk(7, 1000, 1000 + len(data), data, oversized=2)
    result = scanned.scan(chunk)
    assert result.page_views
    assert unpack(pack(*scanned.judge(chunk)), chunk) == result


def test_recipes_and_chunks_can_be_sent() -> None:
    recipe = Recipe("x", "auto", None, SITE, b"head", b"tail")
    chunk = Chunk(1, 2, 3, b"\n")
    assert pickle.loads(pickle.dumps((recipe, chunk))) == (recipe, chunk)  # noqa: S301 - our own


def test_a_format_that_follows_changes_says_so() -> None:
    lines = (SAMPLES / "changing.log").read_bytes().splitlines()
    found = detect(lines, latest=NOW)
    assert found.format is not None
    following = found.format
    assert not following.changed
    changed = []
    for line in lines:
        following.parse(line, NOW)
        changed.append(following.changed)
        assert not following.for_file(lines).changed
    assert set(changed) == {True, False}


def test_a_w3c_log_that_names_other_fields_says_so() -> None:
    w3c = format_named("w3c").for_file([b"#Fields: date time c-ip cs-method cs-uri-stem sc-status"])
    w3c.parse(b"#Fields: date time c-ip cs-method cs-uri-stem sc-status", NOW)
    w3c.parse(b"2026-11-22 09:11:12 192.0.2.10 GET /x 200", NOW)
    assert not w3c.changed
    w3c.parse(b"#Fields: time date c-ip cs-method cs-uri-stem sc-status", NOW)
    assert w3c.changed
    w3c.parse(b"#Fields: date time c-ip cs-method cs-uri-stem sc-status", NOW)
    assert w3c.changed  # it knows one more


def test_other_formats_never_learn() -> None:
    combined = format_named("syslog combined")
    combined.parse(b"nonsense", NOW)
    assert not combined.changed
    assert not format_named("json").changed
