"""Makes a failing trace smaller: it takes steps away for as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chaos.trace import Step, Trace


def shrink(
    trace: Trace, fails: Callable[[Trace], bool], *, budget: int = 60, tries: int = 1
) -> Trace:
    """Give a smaller trace that fails, too; ``budget`` bounds the runs.

    ``tries``: how often a candidate is played before it counts as one that holds: races do not
    show every time.
    """
    steps = list(trace.steps)
    size = max(1, len(steps) // 2)
    while budget > 0:
        at, removed = 0, False
        while at < len(steps) and budget > 0:
            candidate = replace(trace, steps=tuple(_without(steps, at, size)))
            budget -= 1
            if any(fails(candidate) for _ in range(tries)):
                steps = list(candidate.steps)
                removed = True
            else:
                at += size
        if size == 1 and not removed:
            break
        size = max(1, size // 2)
    return replace(trace, steps=tuple(steps))


def _without(steps: list[Step], at: int, size: int) -> list[Step]:
    return steps[:at] + steps[at + size :]
