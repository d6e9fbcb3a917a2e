"""Runs ``ingestor`` with one place in it at which it kills itself, as kill -9 does.

Usage: ``CHAOS_KILL=POINT:N python killable.py ARGUMENT…``: at the Nth passing of the point. The
program itself knows nothing of this: the points are put around its methods from outside.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

# point → module, class, method; each gives POINT.before and POINT.after.
PLACES = {
    "register": ("ingestor.checkpoint.registry", "Registry", "register"),
    "rescan": ("ingestor.logfiles.follower", "Follower", "rescan"),
    "scan": ("ingestor.pipeline.ledger", "Ledger", "scanned"),
    "marker": ("ingestor.checkpoint.registry", "Registry", "set_marker"),
    "journal": ("ingestor.checkpoint.committer", "Committer", "journalled"),
    "send": ("ingestor.delivery.umami", "Umami", "_post"),
    "answer": ("ingestor.pipeline.ledger", "Ledger", "answered"),
    "ack": ("ingestor.checkpoint.registry", "Registry", "ack"),
    "commit": ("ingestor.checkpoint.store", "Store", "commit"),
    "transaction": ("ingestor.checkpoint.pending", "Pending", "write"),
    "letter": ("ingestor.delivery.deadletters", "DeadLetters", "append"),
    "drain": ("ingestor.delivery.delivery", "Delivery", "drain"),
}
# … and one in the middle of a request: a few milliseconds after it began.
POINTS = [f"{name}.{side}" for name in PLACES for side in ("before", "after")] + ["send.during"]
_DURING_S = 0.002


def die() -> None:
    """As kill -9, or a power cut of this process alone."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, passing: int) -> None:
    """Put the one place around its method."""
    name, _, side = point.partition(".")
    module, owner, method = PLACES[name]
    found = __import__(module, fromlist=[owner])
    cls = getattr(found, owner)
    setattr(cls, method, _around(getattr(cls, method), side, passing))


def _around(inner: Callable[..., Any], side: str, passing: int) -> Callable[..., Any]:
    count = 0

    def passes(at: str) -> bool:
        nonlocal count
        count += at == side
        return at == side and count == passing

    def enter() -> None:
        if passes("before"):
            die()
        if passes("during"):
            asyncio.get_running_loop().call_later(_DURING_S, die)

    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def asynchronous(*args: Any, **named: Any) -> Any:
            enter()
            value = await inner(*args, **named)
            if passes("after"):
                die()
            return value

        return asynchronous

    @functools.wraps(inner)
    def synchronous(*args: Any, **named: Any) -> Any:
        enter()
        value = inner(*args, **named)
        if passes("after"):
            die()
        return value

    return synchronous


def main() -> None:
    """Arm, then run the command line as it is."""
    point, _, passing = os.environ["CHAOS_KILL"].partition(":")
    arm(point, int(passing))
    from ingestor.cli import main as command  # noqa: PLC0415 - after arming

    command(prog_name="ingestor")


if __name__ == "__main__":
    sys.path.pop(0)  # this directory: its modules are not the program's
    main()
