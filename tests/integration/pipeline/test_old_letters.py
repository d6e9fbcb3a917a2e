"""Dead letters hold visitors' data: the daemon drops what is too old also while it runs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from parts import WEBSITE, until

from ingestor.config import load
from ingestor.delivery.deadletters import DeadLetter, DeadLetters
from ingestor.pipeline import daemon
from ingestor.sandbox import Sandbox, SandboxOptions


async def test_a_dead_letter_that_grows_too_old_while_the_daemon_runs_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_PRUNE", 0.1)
    path = tmp_path / "dead-letters.jsonl"
    async with Sandbox(SandboxOptions(websites=(WEBSITE,))) as sandbox:
        (tmp_path / "config.yaml").write_text(
            f"umami: {{url: {sandbox.url}}}\n"
            f"sites: [{{website: {WEBSITE}, hostname: example.com}}]\n"
            f"sources: [{{path: {tmp_path}/access.log}}]\n"
            f"checkpoint: {{path: {tmp_path}/checkpoint.db}}\n"
            "delivery: {dead_letter_max_age: 1s}\n"
        )
        (tmp_path / "access.log").touch()
        config = load(tmp_path / "config.yaml", environment={})
        running = asyncio.create_task(daemon.run(config))
        await asyncio.to_thread(until, lambda: sandbox.counters.answers)
        letter = DeadLetter(int(time.time()), "", "", "access.log", 0, WEBSITE, b"a line")
        DeadLetters(path, max_bytes=100_000, max_age=90, wall=time.time).append([letter])
        halves = path, path.with_name("dead-letters.jsonl.1")
        await asyncio.to_thread(until, lambda: not any(map(Path.exists, halves)))
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0
