"""What others see of the running daemon: systemd's watchdog and status line, notes for `status`.

The watchdog is fed by progress. *Look* makes progress by coming round; *feed* by coming round, or
by waiting for delivery while delivery goes on asking Umami, however long Umami is away.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from ingestor.observe import Progress, human_bytes
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingestor.checkpoint import Store
    from ingestor.logfiles import FileState
    from ingestor.observe import Notifier
    from ingestor.pipeline.ledger import Ledger

LOOK, FEED = "look", "feed"
STANDING = "run.standing"  # the note that `status` reads: JSON

_PULSE = 1.0  # seconds between two looks at a wait, at most
_EVERY = 5.0  # seconds between two status lines
_KNOWN_FILES = 20_000  # whose newest page view is noted


class Following(Protocol):
    """What is asked of the follower."""

    @property
    def has_unread(self) -> bool:
        """Whether there is something to read."""
        ...

    def files(self) -> Sequence[FileState]:
        """Describe all contents that are followed."""
        ...


class Sending(Protocol):
    """What is asked of delivery; it documents these."""

    @property
    def held(self) -> int: ...  # noqa: D102
    @property
    def last_sign(self) -> float: ...  # noqa: D102
    @property
    def patience(self) -> float: ...  # noqa: D102


class Supervision:
    """One life of the daemon, from its start or from a reload on.

    ``clock`` is monotonic, ``wall`` gives Unix seconds.
    """

    def __init__(
        self,
        notifier: Notifier,
        store: Store,
        ledger: Ledger,
        delivery: Sending,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.pulse = min(_PULSE, (notifier.watchdog or 8.0) / 8)  # seconds
        self._notifier = notifier
        self._store = store
        self._ledger = ledger
        self._delivery = delivery
        self._clock = clock
        self._wall = wall
        self._progress = Progress(notifier, (LOOK, FEED), clock=clock)
        self._holding_since: float | None = None  # monotonic: page views under way without a pause
        self._caught_up = clock()  # monotonic: when nothing was left to do last
        self._next = clock()
        self._counted = (clock(), 0)  # for the rate: when, and the accepted ones then
        self._noted = ""
        self._remember_newest()

    # ---------------------------------------------------------------- progress

    def came_round(self, name: str) -> None:
        """``LOOK`` or ``FEED`` has come round."""
        self._progress.mark(name)

    def waiting(self, *, since: float) -> None:
        """*Feed* waits for delivery since then (monotonic seconds)."""
        if self._clock() - max(since, self._delivery.last_sign) < self._delivery.patience:
            self._progress.mark(FEED)

    def fed(self) -> None:
        """*Feed* has read all there is; page views may still be under way."""
        now = self._clock()
        if self._delivery.held == 0:
            self._holding_since = None
            self._progress.mark(FEED)
        else:
            self._holding_since = now if self._holding_since is None else self._holding_since
            self.waiting(since=self._holding_since)

    # ---------------------------------------------------------------- standing

    def look(self, follower: Following) -> None:
        """Tell how things stand, every few seconds; called at every look."""
        now = self._clock()
        if not follower.has_unread and self._delivery.held == 0:
            self._caught_up = now
        if now < self._next:
            return
        self._next = now + _EVERY
        files = follower.files()
        self._notifier.status(self._line(now, files))
        self.note(files)

    def lag(self) -> float:
        """How many seconds Umami is behind the logs.

        By the time of the newest page view that is finished; or, where the logs were silent
        before, by when nothing was left to do last.
        """
        by_time = self._clock() - self._caught_up
        totals = self._ledger.totals
        if totals is None or not totals.newest_done:
            return max(0.0, by_time)
        return max(0.0, min(by_time, self._wall() - totals.newest_done))

    def _line(self, now: float, files: Sequence[FileState]) -> str:
        """``systemctl status`` shows it."""
        began, before = self._counted
        accepted = self._ledger.counts.accepted
        rate = max(0, accepted - before) / (now - began) if now > began else 0.0
        self._counted = (now, accepted)
        lag = self.lag()
        behind = "up to date" if lag < 1 else f"{lag:.0f} s behind"
        unread = sum(state.backlog for state in files)
        parts = [behind, f"{rate:.1f} page views/s", counted(len(files), "file")]
        if unread:
            parts.insert(1, f"{human_bytes(unread)} unread")
        if self._ledger.away_since is not None:
            since = time.strftime("%H:%M:%S", time.localtime(self._ledger.away_since))
            parts.insert(0, f"Umami is away since {since}")
        if self._ledger.held:
            parts.append(f"{counted(len(self._ledger.held), 'website')} parked")
        return ", ".join(parts)

    def note(self, files: Sequence[FileState]) -> None:
        """Note for `status` what only this process knows, where it has changed."""
        keys = {state.key for state in files}
        totals = self._ledger.totals
        newest = {} if totals is None else totals.newest
        for key in [key for key in newest if key not in keys]:
            del newest[key]
        standing = {
            "away_since": self._ledger.away_since,
            "parked": sorted(self._ledger.held),
            "newest": {str(key): newest[key] for key in sorted(newest)[:_KNOWN_FILES]},
        }
        text = orjson.dumps(standing).decode()
        if text != self._noted:
            self._noted = text
            self._store.note(STANDING, text)

    def _remember_newest(self) -> None:
        """Take over what the life before this one noted."""
        if self._ledger.totals is not None:
            for key, moment in standing_of(self._store.noted(STANDING))["newest"].items():
                self._ledger.totals.newest.setdefault(key, moment)


def standing_of(note: object) -> dict[str, Any]:
    """Read the note: ``away_since`` (Unix seconds or None), ``parked``, ``newest`` by file."""
    found: dict[str, Any] = {"away_since": None, "parked": [], "newest": {}}
    if isinstance(note, str):
        with suppress(LookupError, AttributeError, ValueError, TypeError):
            loaded = orjson.loads(note)
            found["newest"] = {int(key): int(at) for key, at in loaded["newest"].items()}
            found |= {"away_since": loaded["away_since"], "parked": list(loaded["parked"])}
    return found
