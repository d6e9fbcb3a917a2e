"""What a command is started in: its environment, its streams, its directory."""

from __future__ import annotations

from pathlib import Path

from parts import WEBSITE, Command, Line

SITE = ("--website", WEBSITE, "--hostname", "example.com")


def test_a_proxy_that_cannot_be_used_is_told_before_all_else(
    ingestor: Command, tmp_path: Path, line: Line
) -> None:
    (tmp_path / "access.log").write_bytes(line("/"))
    (tmp_path / "c.yaml").write_text(
        "umami: {url: http://umami.example.com}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        "sources: [{path: access.log}]\n"
        "checkpoint: {path: checkpoint.db}\n"
    )
    for command in (("run",), ("backfill",), ("retry-rejected",)):
        done = ingestor(*command, "-c", "c.yaml", code=2, HTTP_PROXY="https://me:s3cret@p.example")
        assert "HTTP_PROXY names no proxy that can be used" in done.stderr
        assert "s3cret" not in done.stderr
    assert not (tmp_path / "checkpoint.db").exists()
