"""What many runs came to, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from chaos.oracle import Outcome
from chaos.plan import FAULTS
from chaos.receiver import name_of


def table(outcomes: Sequence[Outcome]) -> str:
    """Faults with counts, then lost, doubled and the worst of them."""
    did, fired = Counter[str](), Counter[str]()
    for outcome in outcomes:
        did += outcome.did
        fired += outcome.fired
    worst = max(outcomes, key=lambda one: one.doubled, default=Outcome("none"))
    use = [one.usage for one in outcomes]
    facts = [
        ("runs", f"{len(outcomes)}"),
        ("page views written", f"{sum(one.written for one in outcomes):,}"),
        ("destroyed by the rotator", f"{sum(one.excused for one in outcomes):,}"),
        ("lost", f"{sum(len(one.lost) for one in outcomes):,}"),
        ("doubled", f"{sum(one.doubled for one in outcomes):,}"),
        ("most doubled", f"{worst.doubled} of the {worst.bound} that may be, in {worst.name}"),
        ("crashes", f"{sum(one.crashes for one in outcomes):,}"),
        ("lives that repeated something", f"{sum(one.replayed for one in outcomes):,}"),
        ("most memory", f"{max((one.rss for one in use), default=0) / 1e6:.0f} MB"),
        ("most descriptors", f"{max((one.descriptors for one in use), default=0)}"),
        ("most threads", f"{max((one.threads for one in use), default=0)}"),
        ("slowest run", f"{max((one.seconds for one in outcomes), default=0):.1f} s"),
        ("failed runs", f"{sum(1 for one in outcomes if one.wrong)}"),
    ]
    never = [name for name in dict.fromkeys(map(name_of, FAULTS)) if not fired[name]]
    parts = [
        "Umami's faults that fired:",
        *_columns(fired.items()),
        *([f"  never fired: {', '.join(never)}"] if never else []),
        "",
        "What writer, rotator and supervisor did (POINT.before/after: killed there):",
        *_columns(did.items()),
        "",
        *(f"{name:<30} {value}" for name, value in facts),
    ]
    return "\n".join(parts)


def _columns(counts: Iterable[tuple[str, int]], width: int = 3) -> list[str]:
    cells = [f"{name:<24}{count:>6}" for name, count in sorted(counts) if count]
    return [
        "  " + "   ".join(cells[at : at + width]).rstrip() for at in range(0, len(cells), width)
    ]
