"""The documentation is tested: what it names exists, and what it tells to run, runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import pytest
from parts import ROOT, WEBSITE, Command, SandboxProcess

from ingestor.cli import main
from ingestor.formats import detect, format_named
from ingestor.model import Hit, Malformed, Reason

LATEST = 2_000_000_000
README = (ROOT / "README.md").read_text()
DOCS = {path: path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}


def commands(group: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    yield name, group
    if isinstance(group, click.Group):
        for sub, command in group.commands.items():
            yield from commands(command, f"{name} {sub}".strip())


def paragraph(name: str) -> str:
    """What docs/commands.md says of one command: its paragraph and those that follow it."""
    text = DOCS[ROOT / "docs" / "commands.md"]
    heads = list(re.finditer(r"^\*\*(.+?)\*\*:", text, re.MULTILINE))
    ends = [*(each.start() for each in heads[1:]), len(text)]
    for head, end in zip(heads, ends, strict=True):
        names = [each.split(" FILE")[0] for each in re.findall(r"`(.+?)`", head[1])]
        if name in names:
            return text[head.start() : end]
    return text[: heads[0].start()]  # of the program itself, and of groups of commands


@pytest.mark.parametrize(("name", "command"), list(commands(main)))
def test_every_command_and_option_is_documented(name: str, command: click.Command) -> None:
    assert re.search(rf"\bingestor {name}\b".replace(" \\b", ""), "\n".join(DOCS.values()))
    if not isinstance(command, click.Group):
        assert paragraph(name) != paragraph(""), f"{name} has no paragraph in docs/commands.md"
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert re.search(rf"[` ]{option}(?![\w-])", paragraph(name)), f"{name} {option}"


@pytest.mark.parametrize(("name", "command"), list(commands(main))[1:])
def test_the_help_of_every_command_shows_an_example(name: str, command: click.Command) -> None:
    if not isinstance(command, click.Group):
        assert f"ingestor {name}" in (command.help or ""), name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", DOCS[path]):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def names_in(value: Any) -> set[str]:
    """All keys of a JSON object, but those of what is counted by reason."""
    if isinstance(value, dict):
        names = {name for name in value if "." not in name}
        return names.union(*map(names_in, value.values()))
    return set[str]().union(*map(names_in, value)) if isinstance(value, list) else set()


def test_every_key_of_json_is_documented(
    ingestor: Command, sandbox: SandboxProcess, sample_logs: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(
        f"umami: {{url: {sandbox.url}}}\n"
        f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
        f"sources: [{{path: {sample_logs}/combined.log}}]\n"
        f"checkpoint: {{path: {tmp_path}/checkpoint.db}}\n"
    )
    told = DOCS[ROOT / "docs" / "commands.md"].partition("## `--json`")[2]
    for command in ("backfill", "preview", "status", "checkpoint show", "retry-rejected", "check"):
        seen = ingestor.json(*command.split(), "-c", "config.yaml")
        seen.pop("filtered", 0)
        seen.pop("malformed_reasons", 0)
        missing = {name for name in names_in(seen) if f"`{name}`" not in told}
        assert not missing - {"run"}, command


@pytest.mark.parametrize(
    ("name", "heading", "words"),
    [("commands.md", "## Reasons", Reason), ("formats.md", "## Malformed lines", Malformed)],
)
def test_every_reason_is_documented(name: str, heading: str, words: type[StrEnum]) -> None:
    table = DOCS[ROOT / "docs" / name].partition(f"{heading}\n")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(words)


def quick_start() -> list[str]:
    """The commands of the quick start, joined where a backslash ends a line."""
    section = README.split("## Quick start")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [row for row in text.splitlines() if row.startswith(".venv/bin/ingestor")]


def test_the_quick_start_runs_as_written(
    ingestor: Command, sandbox: SandboxProcess, sample_logs: Path
) -> None:
    rows = quick_start()
    assert len(rows) == 2
    for row in rows:
        words = shlex.split(row)[1:]
        for theirs, ours in (
            ("/var/log/nginx", str(sample_logs)),
            ("https://umami.example.com", sandbox.url),
        ):
            words = [ours if word == theirs else word for word in words]
        assert "/var/log/nginx" not in words
        if "backfill" in words:
            words += ["--checkpoint", "checkpoint.db"]
        ingestor(*words)
    assert sandbox.count(f"website = '{WEBSITE}'") > 100


def test_the_readme_shows_what_the_demo_prints(
    ingestor: Command, sandbox: SandboxProcess, sample_logs: Path
) -> None:
    counts = ingestor.json(
        "backfill",
        *("--url", sandbox.url, "--website", WEBSITE, "--hostname", "example.com"),
        *("--checkpoint", "checkpoint.db", sample_logs),
    )
    shown = dict(
        re.findall(r"^  (lines|malformed|filtered|accepted) +([\d,]+)", README, re.MULTILINE)
    )
    assert shown == {
        "lines": f"{counts['lines']:,}",
        "malformed": f"{counts['malformed']:,}",
        "filtered": f"{sum(counts['filtered'].values()):,}",
        "accepted": f"{counts['accepted']:,}",
    }


def test_the_format_that_tells_all_is_read_as_pasted_and_by_auto() -> None:
    block = re.search(r"```nginx\n(.*?)```", DOCS[ROOT / "docs" / "formats.md"], re.DOTALL)
    assert block is not None
    values = {
        "time_iso8601": "2026-11-22T10:11:12+01:00",
        "remote_addr": "192.0.2.10",
        "request": "GET /pricing HTTP/2.0",
        "status": "200",
        "host": "www.example.com",
        "http_referer": "https://example.org/",
        "http_user_agent": "Mozilla/5.0",
    }
    template = "".join(re.findall("'(.*?)'", block[1]))
    line = re.sub(r"\$(\w+)", lambda name: values.get(name[1], name[1]), template).encode()
    found = detect([line], latest=LATEST).format
    assert found is not None
    assert found.name == "json"
    for each in (found, format_named(block[1])):
        hit = each.parse(line, LATEST)
        assert isinstance(hit, Hit)
        assert (hit.host, hit.referrer, hit.user_agent) == tuple(values.values())[4:]
        assert (hit.accept, hit.accept_language) == ("http_accept", "http_accept_language")
        assert (hit.purpose, hit.fetch_dest) == ("http_sec_purpose", "http_sec_fetch_dest")
        assert hit.fetch_mode == "http_sec_fetch_mode"
        assert hit.requested_with == "http_x_requested_with"
