"""What a sandbox can be told: every default here is the program's documented default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How the sandbox listens, what it stores and which faults it starts with."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    db: str | None = None  # a SQLite file that survives restarts; None: in memory
    websites: tuple[str, ...] = ()  # UUIDs; none, and none in the file: one is made
    control_port: int | None = None  # a second port for faults and counters; 0: any; None: off
    fail: tuple[str, ...] = ()  # fault specs, see faults.py
    instant: bool = False  # the right answers, nothing validated or stored: for benchmarks
    username: str = "admin"
    password: str = "umami"  # noqa: S105 - Umami's own documented default
    api_key: str | None = None  # demanded as `x-umami-api-key`, as Umami Cloud does
    version: str = "3.1.0"  # Umami's: fields, routes and answer shapes that this one has
    ignore_ip: tuple[str, ...] = ()  # addresses and CIDRs, Umami's IGNORE_IP
    body_limit: int = 10_485_760  # bytes; what is beyond it is cut, as the official image does
    keepalive: float = 5.0  # seconds until an idle connection is closed, as Node does
    shutdown_timeout: float = 5.0  # seconds that requests under way have when stopping
    is_bot: Callable[[str], bool] | None = None  # None: the sandbox's own judge
