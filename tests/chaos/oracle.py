"""What must hold, whatever happened: nothing lost, nothing invented, no more doubled than said."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.receiver import AMBIGUOUS, Receiver
from chaos.supervisor import Supervisor, Usage
from chaos.writer import HOSTNAME, POISON, World

_SUMMARY = re.compile(
    r"Stopped\. ([\d,]+) lines: ([\d,]+) page views accepted, ([\d,]+) filtered, "
    r"([\d,]+) malformed, ([\d,]+) refused as bot, ([\d,]+) rejected, ([\d,]+) in flight"
)
GRACE_S = 1.0  # what is destroyed so soon after it was written may be lost
RSS_MAX = 160 * 1024 * 1024
THREADS_MAX = 16
DESCRIPTORS_MAX = 64  # and one a log file


@dataclass
class Outcome:
    """What a run came to; ``wrong`` is empty where everything held."""

    name: str
    wrong: list[str] = field(default_factory=list)
    written: int = 0
    stored: int = 0
    lost: list[str] = field(default_factory=list)
    excused: int = 0  # destroyed by the rotator where nobody could help it
    doubled: int = 0
    bound: int = 0
    replayed: int = 0  # lives after the first that had something to send
    crashes: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


def missing(world: World, receiver: Receiver, dead: set[str]) -> set[str]:
    """What was written and is neither stored nor a dead letter."""
    stored = {row["url_path"] for row in receiver.rows()}
    with world.guard:
        return set(world.written) - stored - dead - world.torn


def excused(
    world: World,
    supervisor: Supervisor,
    id_: str,
    settled: float,
    *,
    begins_at_end: bool = False,
) -> bool:
    """Whether a missing line may be missing.

    It was destroyed within a second of its writing, or while the program was not there, or the
    program was stopped afterwards while it still held the deleted file's rest. ``settled``: the
    last moment up to which everything had to be delivered. ``begins_at_end``: what stood there
    when the daemon came is a backfill's, and nobody promises one before it is destroyed.
    """
    destroyed = world.destroyed.get(id_)
    if destroyed is None:
        return False
    written = world.written[id_]
    if destroyed - written < GRACE_S:
        return True
    if begins_at_end and not supervisor.was_watching(written, written):
        return True
    return not supervisor.was_watching(destroyed - GRACE_S, max(settled, destroyed))


def judge(
    outcome: Outcome,
    world: World,
    receiver: Receiver,
    supervisor: Supervisor,
    knobs: dict[str, Any],
    directory: Path,
) -> None:
    """Hold everything that is stored against everything that was written."""
    rows = receiver.rows()
    counts = Counter(row["url_path"] for row in rows)
    outcome.written = len(world.written)
    outcome.stored = len(rows)
    outcome.doubled = sum(count - 1 for count in counts.values())
    outcome.bound = bound(knobs, receiver, supervisor)
    outcome.crashes = supervisor.crashes
    outcome.fired = receiver.all_fired()
    outcome.usage = supervisor.usage
    wrong = outcome.wrong
    wrong += supervisor.wrong
    if outcome.lost:
        shown = ", ".join(sorted(outcome.lost)[:10])
        wrong.append(f"lost {len(outcome.lost)}: {shown}")
    if outcome.doubled > outcome.bound:
        twice = [id_ for id_, count in counts.items() if count > 1]
        wrong.append(f"doubled {outcome.doubled} > {outcome.bound}: {', '.join(twice[:10])}")
    wrong += invented(world, rows)
    wrong += wrong_letters(directory)
    wrong += wrong_sums(supervisor.logs())
    wrong += too_much(supervisor.usage, knobs)


def bound(knobs: dict[str, Any], receiver: Receiver, supervisor: Supervisor) -> int:
    """How many may be double: what was in flight at each crash, and at each ambiguous answer."""
    if knobs.get("exactly_once"):
        return 0
    batch = knobs["batch_size"]
    in_flight = knobs["workers"] * batch
    fired = receiver.all_fired()
    ambiguous = sum(
        count
        for name, count in fired.items()
        if name.split()[0] in AMBIGUOUS or name.endswith(" stored")
    )
    cuts = fired["refuse"] + receiver.restarts + supervisor.stops
    if "no answer from" in supervisor.logs():  # a timeout, by a fault or by a busy machine
        cuts += supervisor.lives
    return in_flight * (supervisor.crashes + cuts) + batch * ambiguous


def invented(world: World, rows: Iterable[Any]) -> list[str]:
    """Rows that nobody wrote, or that differ from what was written."""
    found = []
    for row in rows:
        view = world.views.get(row["url_path"])
        if view is None:
            found.append(f"invented: {row['url_path']!r}")
            continue
        stored = (
            row["created_at"],
            row["url_query"],
            (row["referrer_domain"], row["referrer_path"]),
            row["ip"],
            row["user_agent"],
            row["hostname"],
        )
        wanted = (view.time, view.query, view.referrer, view.address, view.agent, HOSTNAME)
        if stored != wanted:
            found.append(f"changed: {stored} instead of {wanted}")
    return found[:5]


def dead_letters(directory: Path) -> list[dict[str, Any]]:
    """What was buried."""
    found = []
    for path in directory.glob("state/dead-letters.jsonl*"):
        for line in path.read_bytes().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # the half of a line that a crash left
    return found


def buried(directory: Path) -> set[str]:
    """Ids of page views that were buried."""
    return {str(letter["payload"]["url"]).split("?")[0] for letter in dead_letters(directory)}


def wrong_letters(directory: Path) -> list[str]:
    """Only poison may be buried."""
    return [
        f"buried though it is no poison: {id_}" for id_ in buried(directory) if POISON not in id_
    ]


def wrong_sums(log: str) -> list[str]:
    """Every line ends in exactly one outcome."""
    found = []
    for match in _SUMMARY.finditer(log):
        lines, *parts = (int(number.replace(",", "")) for number in match.groups())
        if lines != sum(parts):
            found.append(f"the counts do not add up: {match[0]}")
    return found


def too_much(usage: Usage, knobs: dict[str, Any]) -> list[str]:
    """Memory, threads and descriptors stay within bounds."""
    found = []
    if usage.rss > RSS_MAX:
        found.append(f"RSS {usage.rss:,} bytes")
    if usage.threads > THREADS_MAX:
        found.append(f"{usage.threads} threads")
    if usage.descriptors > DESCRIPTORS_MAX + knobs.get("files", 0):
        found.append(f"{usage.descriptors} descriptors")
    return found
