"""Beside jwodder's apachelogs: the same fields on every line that both accept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apachelogs
import pytest

from ingestor.formats import format_named
from ingestor.model import Hit

LATEST = 1_800_000_000
ROOT = Path(__file__).resolve().parents[3]
LOGS = ROOT.parent / "shared" / "logs"
DEFINITIONS = {
    "common": '%h %l %u %t "%r" %>s %b',
    "combined": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "vhost_combined": '%v %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "cpanel": '%v:%p %h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"',
    "combinedio": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %I %O',
}


def compared(name: str, lines: list[bytes]) -> int:
    """Compare every line that both accept; gives how many these are."""
    ours = format_named(name)
    # Latin-1 carries every byte through; the escapes are undone by both.
    theirs = apachelogs.LogParser(DEFINITIONS[name], encoding="iso-8859-1")
    both = 0
    for line in lines:
        try:
            entry = theirs.parse(line.decode("iso-8859-1"))
        except apachelogs.InvalidEntryError:
            continue
        hit = ours.parse(line, LATEST)
        if not isinstance(hit, Hit):
            # They take garbage for a request line, and addresses that are none; we do not.
            continue
        both += 1
        assert hit.time == int(entry.request_time.timestamp())
        assert hit.address == entry.remote_host
        assert hit.status == entry.final_status
        request = (entry.request_line or "").encode("iso-8859-1")
        words = [hit.method, hit.target, *filter(None, [hit.protocol])]
        assert " ".join(words).encode("utf-8", "surrogateescape") == request
        if hit.user_agent is not None:
            headers = entry.headers_in
            for value, header in ((hit.referrer, "Referer"), (hit.user_agent, "User-Agent")):
                theirs_raw = (headers[header] or "").encode("iso-8859-1")
                assert (value or "").encode("utf-8", "surrogateescape") == theirs_raw
        if hit.host is not None:
            assert hit.host == entry.virtual_host
    return both


@pytest.mark.parametrize(
    ("name", "file", "least"),
    [
        ("common", "common.log", 60),
        ("combined", "combined.log", 60),
        ("combinedio", "combinedio.log", 30),
        ("vhost_combined", "vhost_main.log", 0),
        ("cpanel", "vhost_combined.log", 60),
    ],
)
def test_our_samples_give_the_same_fields(
    name: str, file: str, least: int, sample: Callable[[str], list[bytes]]
) -> None:
    lines = [line.removesuffix(b"\r") for line in sample(file)]
    assert compared(name, lines) >= least


@pytest.mark.skipif(not LOGS.is_dir(), reason="shared/logs is not beside this checkout")
@pytest.mark.parametrize(
    ("name", "file", "least"),
    [
        ("combined", "elastic_apache_logs.log", 1900),
        ("vhost_combined", "goatcounter__combined-vhost", 3),
        ("cpanel", "apachelogs__vhost_combined.log", 6),
        ("combined", "hub__http_dos_bypass_cache.log", 350),
        ("common", "hub__apache-http-probing.log", 70),
        ("vhost_combined", "hub__nginx_http-logs.log", 2),
    ],
)
def test_other_peoples_logs_give_the_same_fields(name: str, file: str, least: int) -> None:
    lines = (LOGS / file).read_bytes().split(b"\n")
    assert compared(name, lines[:2000]) >= least
