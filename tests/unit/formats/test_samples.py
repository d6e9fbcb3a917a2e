"""The sample logs hold what real ones hold, traps included: each counted, none a surprise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestor.formats import PRESETS, detect
from ingestor.model import Hit

LATEST = 1_800_000_000

COUNTS = {
    "aws_alb.log": {"hit": 30},
    "caddy.log": {"hit": 39},
    "changing.log": {"hit": 50, "request": 3},
    "cloudfront.log": {"directive": 2, "hit": 30},
    "combined.log": {"hit": 76, "request": 3, "no_match": 1},
    "combined_trailing.log": {"hit": 62, "request": 3},
    "combinedio.log": {"hit": 30},
    "common.log": {"hit": 62, "request": 4},
    "common_vhost.log": {"hit": 57, "request": 3},
    "envoy.log": {"hit": 30},
    "forwarded_combined.log": {"hit": 30},
    "forwarded_combined_quoted.log": {"hit": 30},
    "iis.log": {"directive": 8, "hit": 30},
    "ingress_nginx.log": {"hit": 30},
    "json.log": {"hit": 31},
    "lighttpd.log": {"hit": 30},
    "main.log": {"hit": 62, "request": 3},
    "main_trailing.log": {"hit": 30},
    "nginx_proxy_manager.log": {"hit": 30},
    "nginx_proxy_manager_standard.log": {"hit": 30},
    "syslog.log": {"hit": 30},
    "traefik.log": {"hit": 30},
    "traefik_clf.log": {"hit": 30},
    "vhost_combined.log": {"hit": 75, "request": 4},
    "vhost_combined_trailing.log": {"hit": 30},
    "vhost_main.log": {"hit": 30},
    "w3c.log": {"directive": 2, "hit": 30},
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_line_of_a_sample_is_counted_as_expected(
    name: str, sample: Callable[[str], list[bytes]]
) -> None:
    lines = sample(name)
    found = detect(lines, latest=LATEST)
    assert found.format is not None
    verdicts = [found.format.parse(line, LATEST) for line in lines]
    counts = Counter("hit" if isinstance(v, Hit) else v.value for v in verdicts)
    assert counts == COUNTS[name]


def test_every_sample_is_tested_and_every_preset_of_its_own_has_one(root: Path) -> None:
    files = {path.name for path in (root / "sample_logs").iterdir()}
    assert files == set(COUNTS)
    templates = {
        PRESETS[name.removesuffix(".log")].template
        for name in files
        if name.removesuffix(".log") in PRESETS
    }
    # HAProxy's times need a zone, so its samples stand only among the presets; the others are
    # written like a preset that has one.
    assert {n for n, p in PRESETS.items() if p.template not in templates} == {
        "haproxy",
        "haproxy_http",
        "haproxy_https",
        "httplog",
        "httpslog",
        "plesk",
        "cpanel",
        "ispconfig",
    }


def test_the_samples_name_nobody_real(root: Path) -> None:
    for path in (root / "sample_logs").iterdir():
        for verdict in _hits(path):
            address = verdict.address.split(",")[0].strip()
            assert address.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:", "10."))


def _hits(path: Path) -> list[Hit]:
    lines = path.read_bytes().split(b"\n")[:-1]
    found = detect(lines, latest=LATEST)
    assert found.format is not None
    verdicts = [found.format.parse(line, LATEST) for line in lines]
    return [verdict for verdict in verdicts if isinstance(verdict, Hit)]


def test_the_traps_in_combined_give_what_was_sent(root: Path) -> None:
    every = _hits(root / "sample_logs" / "combined.log")
    hits = {hit.target: hit for hit in every}
    assert hits["/about"].user_agent is not None
    assert hits["/about"].user_agent.endswith(' "beta"')
    assert hits["/about"].referrer == 'https://www.example.org/"quoted"\\path'
    assert hits["/blog/über-uns"].referrer == "https://www.example.org/größe"
    assert hits["/blog/\udcff\udcfe"].referrer == "https://www.example.org/\udce9"
    assert hits["*"].method == "OPTIONS"
    assert hits["example.net:443"].method == "CONNECT"
    assert hits["https://www.example.com/pricing"].status == 200
    assert hits["/docs/two words"].status == 400
    assert hits["//docs//install"].address == "2001:db8::beef"
    assert {hit.protocol for hit in every} == {"", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}
