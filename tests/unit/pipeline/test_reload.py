"""What a reload cannot read leaves the old configuration in force."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from ingestor.errors import ConfigError
from ingestor.observe import Notifier
from ingestor.pipeline.daemon import _Daemon


async def test_whatever_goes_wrong_in_a_reload_the_daemon_lives_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon: Any = object.__new__(_Daemon)
    daemon._notifier = Notifier()
    daemon._check = lambda _config: None
    answers: list[Any] = [ConfigError("wrong."), OverflowError("too large"), "new"]
    hangup = asyncio.Event()

    def reload() -> Any:
        asyncio.run_coroutine_threadsafe(again(), loop)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def again() -> None:
        hangup.set()

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(logging.getLogger("ingestor"), "propagate", True)
    hangup.set()
    async with asyncio.timeout(10):
        assert await daemon._changed(hangup, reload) == "new"
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told[0] == "wrong. The configuration stays as it was."
    assert "OverflowError('too large'). It stays as it was" in told[1]
