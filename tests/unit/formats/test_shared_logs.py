"""Other people's logs, where they are at hand: what is read, and what is not and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestor.formats import detect
from ingestor.formats.adaptive import is_explained
from ingestor.model import Hit, Malformed, Reason

LATEST = 1_800_000_000
ROOT = Path(__file__).resolve().parents[3]
LOGS = ROOT.parent / "shared" / "logs"
NO_LOGS = frozenset({"MANIFEST.tsv", "useragents.txt"})

# Files that no preset explains, and what they are.
NOT_EXPLAINED = {
    "beats__traefik_clf.log": "two lines, one of them with a quote missing",
    "hub__modsecurity-logs-nginx.log": "nginx's error log",
    "hub__modsecurity-nginx.log": "nginx's error log",
    "hub__nginx-http-generic-bf.log": "nginx's error log for the most part",
    "hub__nginx-mail-logs.log": "nginx's mail log for the most part",
    "hub__nginx_http-catch-npm.log": "six lines, three definitions of somebody's own",
    "hub__nginx_req_limit_exceeded.log": "nginx's error log",
    "hub__pfsense-rfc5424-nginx.log": "nginx's error log behind a syslog prefix",
}
# Files with lines that the preset does not explain, and how many these are.
BROKEN_LINES = {
    "apachelogs__vhost_combined.log": 1,  # "Bad line"
    "elastic_apache_logs.log": 1,  # cut in the middle of the user agent
    "hub__apache-cve-2021-41773.log": 1,  # a line of the error log
    "hub__apache2-logs.log": 2,  # of the error log
    "hub__nginx-proxy-manager-logs.log": 2,  # of the error log
    "hub__nginx_http-logs.log": 2,  # one without a user, and one of the error log
    "hub__traefik_json.log": 1,  # a plugin's debug line
}


def files() -> list[Path]:
    if not LOGS.is_dir():
        return []
    return sorted(path for path in LOGS.iterdir() if path.name not in NO_LOGS)


@pytest.mark.skipif(not files(), reason="shared/logs is not beside this checkout")
@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_other_peoples_logs_are_read(path: Path) -> None:
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    sample = lines if len(lines) <= 1000 else lines[:500] + lines[-500:]
    found = detect(sample, latest=LATEST)
    assert (found.format is None) is (path.name in NOT_EXPLAINED), found.explanation
    if found.format is None:
        told = ("stops at column", "of a server's error log")
        assert any(words in found.explanation for words in told)
        return
    verdicts = [found.format.parse(line, LATEST) for line in lines]
    assert all(isinstance(verdict, Hit | Malformed | Reason) for verdict in verdicts)
    broken = sum(not is_explained(verdict) for verdict in verdicts)
    assert broken == BROKEN_LINES.get(path.name, 0)
    fresh = found.format.for_file(lines)
    for line, verdict in zip(lines, verdicts, strict=True):
        columns = fresh.split(line)
        if columns is not None:
            assert fresh.hit(columns, LATEST) == verdict
