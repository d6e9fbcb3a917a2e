"""Signals to stop: the first asks for a drain, the second ends the process at once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

log = logging.getLogger("ingestor")
T = TypeVar("T")


class Stopping:
    """Listens for SIGTERM and SIGINT while it is entered.

    ``hangup``: for SIGHUP as well, which comes when the terminal is closed; but under nohup, which
    has it ignored, the work goes on.
    """

    def __init__(self, *, hangup: bool = False) -> None:
        self.requested = asyncio.Event()
        self._signals = [signal.SIGTERM, signal.SIGINT]
        if hangup and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._signals.append(signal.SIGHUP)

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._before = [signal.getsignal(sig) for sig in self._signals]
        for sig in self._signals:
            loop.add_signal_handler(sig, self._signalled, sig)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for sig, before in zip(self._signals, self._before, strict=True):
            loop.remove_signal_handler(sig)
            signal.signal(sig, before)

    def _signalled(self, sig: signal.Signals) -> None:
        if self.requested.is_set():
            os._exit(128 + sig)  # the checkpoint survives that as it survives a crash
        log.info("%s: finishing what is in flight; once more to exit at once.", sig.name)
        self.requested.set()

    async def interrupts(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do the work to its end, or until a signal comes: then it is cancelled, and None."""
        task = asyncio.ensure_future(work)
        signalled = asyncio.ensure_future(self.requested.wait())
        try:
            await asyncio.wait((task, signalled), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            for future in (task, signalled):
                future.cancel()
            await asyncio.gather(task, signalled, return_exceptions=True)


async def woken(by: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or until that time has passed.

    Not `asyncio.wait_for`, which (before Python 3.12) swallows a cancellation that comes together
    with the event: a SIGTERM would go unheard.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await by.wait()


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    with Stopping() as stopping:
        await stopping.requested.wait()
