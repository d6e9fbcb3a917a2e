"""One run of the machine, written down: knobs and steps, so that a failure can be played again.

A trace is data. `plan.py` makes one from a seed, `play.py` plays it, `shrink.py` makes a failing
one smaller, and `traces/` keeps those that ever failed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TRACES = Path(__file__).resolve().parent / "traces"


@dataclass(frozen=True)
class Step:
    """What one actor does: `writer`, `rotator`, `supervisor` or `umami`, and the details."""

    actor: str
    act: str
    how: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        details = " ".join(f"{name}={value}" for name, value in self.how.items())
        return f"{self.actor} {self.act} {details}".rstrip()


@dataclass(frozen=True)
class Trace:
    """A whole run. ``why`` tells, of a kept one, what it once broke."""

    name: str
    knobs: dict[str, Any]
    steps: tuple[Step, ...]
    why: str = ""

    def save(self, path: Path) -> None:
        """Write it as JSON, a step a line."""
        steps = ",\n  ".join(json.dumps([s.actor, s.act, s.how]) for s in self.steps)
        path.write_text(
            f'{{"why": {json.dumps(self.why)},\n "knobs": {json.dumps(self.knobs)},\n'
            f' "steps": [\n  {steps}\n ]}}\n'
        )

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read what `save` wrote."""
        data = json.loads(path.read_text())
        steps = tuple(Step(*step) for step in data["steps"])
        return cls(path.stem, data["knobs"], steps, data["why"])


def kept() -> list[Path]:
    """The traces that ever failed."""
    return sorted(TRACES.glob("*.json"))
