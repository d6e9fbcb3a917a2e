"""The daemon and a backfill against one busy Umami: live page views go first."""

from __future__ import annotations

from pathlib import Path

from parts import WEBSITE, Command, Line, start_sandbox, until

from ingestor.pipeline.precedence import Precedence

LIVE, OLD = 1_400, 600


def test_a_backfill_stands_aside_while_the_daemon_is_behind(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    busy = ("--fail", "saturate,workers=1,entry=3ms")
    sandbox = start_sandbox(ingestor, tmp_path / "umami.db", *busy, websites=(WEBSITE,))
    for name, prefix, count in (("logs", "live", LIVE), ("old", "old", OLD)):
        (tmp_path / name).mkdir()
        lines = b"".join(line(f"/{prefix}/{n}", n) for n in range(count))
        (tmp_path / name / "access.log").write_bytes(lines)
    config = tmp_path / "config.yaml"
    config.write_text(f"""\
umami: {{url: {sandbox.url}}}
sites: [{{website: {WEBSITE}, hostname: example.com}}]
sources: [{{path: {tmp_path}/logs, site: example.com}}]
run: {{start: beginning}}
checkpoint: {{path: {tmp_path}/checkpoint.db}}
""")
    daemon = ingestor.start("run", "-c", config)
    until(Precedence(tmp_path / "checkpoint.db").claimed, what="the daemon to be behind")
    backfill = ingestor.start("backfill", "-c", config, tmp_path / "old")
    until(lambda: sandbox.count("url_path LIKE '/live/%'") == LIVE, what="the live page views")
    # Some slip in while the daemon's last requests are in flight; side by side it would be half.
    assert sandbox.count("url_path LIKE '/old/%'") < OLD / 4
    assert backfill.process.wait(60) == 0, backfill.log()
    assert sandbox.count() == LIVE + OLD
    assert daemon.stop() == 0
