"""Tells systemd how the daemon fares: sd_notify(3) over its datagram socket, in a few lines.

Outside of a unit with ``Type=notify`` there is no socket, and every call does nothing. The
watchdog is fed by progress: whoever has to come round marks it, and only when all have done so
since the last time is systemd told.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STATUS_MAX = 200  # characters


class Notifier:
    """The socket that ``NOTIFY_SOCKET`` names, abstract ones (``@…``) included."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._status = ""
        self.watchdog = _watchdog_seconds(environment)  # None: systemd does not watch us

    def ready(self) -> None:
        """Reading began, for the first time or after a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """The configuration is read anew; `ready` ends it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The drain began."""
        self._say("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``, where it is another than the last one."""
        text = "".join(c if c.isprintable() else " " for c in text[:_STATUS_MAX])
        if text != self._status:
            self._status = text
            self._say(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
                s.setblocking(False)  # noqa: FBT003 - the socket's own signature
                s.sendto("\n".join(lines).encode(), self._address)
        except OSError:  # systemd is being restarted, or its queue is full: the next one tells
            pass


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """How often systemd wants to hear of us, if it does (sd_watchdog_enabled(3))."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
    if not text.isdigit() or int(text) == 0 or pid not in (None, str(os.getpid())):
        return None
    return int(text) / 1e6


class Progress:
    """Feeds the watchdog once all of ``names`` were marked since the last time.

    It asks for no more than four times in the watchdog's interval. ``clock`` is monotonic.
    """

    def __init__(
        self,
        notifier: Notifier,
        names: tuple[str, ...],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._names = frozenset(names)
        self._clock = clock
        self._marked: set[str] = set()
        self._fed_at = float("-inf")

    def mark(self, name: str) -> None:
        """``name`` has come round."""
        self._marked.add(name)
        interval = self._notifier.watchdog
        if interval is None or not self._marked >= self._names:
            return
        now = self._clock()
        if now - self._fed_at >= interval / 4:
            self._fed_at = now
            self._marked.clear()
            self._notifier.alive()
