"""What a command loads before it begins: a person who asks for help should not wait for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ingestor.config import Source
from ingestor.pipeline.job import Job, is_worth_processes


def loaded_by(module: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys, ingestor.{module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


@pytest.mark.parametrize("module", ["cli", "config", "pipeline.preview", "pipeline.pool"])
def test_only_who_talks_to_umami_loads_an_http_client(module: str) -> None:
    loaded = loaded_by(module)
    assert "aiohttp" not in loaded
    assert "numpy" not in loaded


@pytest.mark.parametrize("module", ["pipeline.backfill", "pipeline.preview", "pipeline.status"])
def test_only_who_follows_logs_loads_watchdog(module: str) -> None:
    assert "watchdog" not in loaded_by(module)
    assert "watchdog" in loaded_by("pipeline.daemon")


@pytest.mark.parametrize(
    ("jobs", "name", "size", "worth"),
    [
        (2, "access.log", 32_000_000, True),
        (2, "access.log", 31_999_999, False),
        (2, "access.log.1.gz", 3_200_000, True),  # archives are a tenth
        (1, "access.log", 32_000_000, False),
    ],
)
def test_processes_are_worth_it_for_large_logs(
    tmp_path: Path, *, jobs: int, name: str, size: int, worth: bool
) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(size)
    assert is_worth_processes(Job((Source(str(tmp_path / name)),), jobs=jobs)) is worth


def test_standard_input_is_for_one_process() -> None:
    assert not is_worth_processes(Job((Source("-"),), jobs=2))
