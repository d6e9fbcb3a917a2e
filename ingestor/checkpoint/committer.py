"""Group commit on the event loop: whoever waits shares one transaction, acks ride along.

A disk that refuses never stops delivery: what waits stays in memory, `journalled` says that it
is not on disk, one ERROR a minute calls for a person, and the commit is tried again with
back-off. A crash meanwhile repeats what was delivered since; an alarm is better than a halt. Only
who promised exactly-once waits, and the alarm says so.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from ingestor.checkpoint.database import CheckpointUnavailable

if TYPE_CHECKING:
    from ingestor.checkpoint.store import Store
    from ingestor.model import Batch

_log = logging.getLogger(__name__)

_GOES_ON = "page views go on being delivered; until it is mended, a crash would send them again"
_HELD_UP = "with exactly-once no page view is sent until it is mended; nothing is lost"


@dataclass(frozen=True, slots=True)
class CommitPace:
    """How long things wait, in seconds."""

    delay: float = 0.25  # acks that no batch carries along
    first_pause: float = 1.0  # after a refusal; doubles with each
    longest_pause: float = 30.0
    alarm_every: float = 60.0
    patience: float = 10.0  # with another process that is writing, before the alarm


class Committer:
    """Commits a store's changes; an async context manager, used on one event loop.

    With `sync: full` a commit waits for the disk, so it runs in a thread; otherwise it takes less
    time than handing it to one.
    """

    def __init__(self, store: Store, *, pace: CommitPace | None = None) -> None:
        self._store = store
        self._pace = pace or CommitPace()
        self._waiting: list[asyncio.Future[bool]] = []
        self._planned = False
        self._urgent = False
        self._busy = False
        self._pause = 0.0
        self._since = 0.0  # of the trouble, on the loop's clock
        self._alarmed = False  # about this trouble
        self._alarmed_at: float | None = None
        self._look = True  # the next commit sees whether the file is still there
        self._holds_up = False  # batches wait for the disk: exactly-once
        self._timer: asyncio.TimerHandle | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._closed = True
        self.trouble: str | None = None  # why the disk refuses, None while it does not

    async def __aenter__(self) -> Self:
        if self._store.options.sync == "full":
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._closed = False
        self._plan_tick(self._pace.delay)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Write what waits, once, and stop; the store stays open.

        What the disk refuses now is still pending in the store, whose own `close` tries again.
        """
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._next_commit(at_once=True)
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def journalled(self, batch: Batch, *, bodies: bytes | None = None) -> bool:
        """Write a batch down before it is sent; True when it is on disk.

        False means that the disk refuses at the moment: the batch is noted in memory, a later
        commit carries it, and delivery goes on. Who promised exactly-once awaits `on_disk`
        instead before sending.
        """
        self._store.journal(batch, bodies=bodies)
        self._holds_up = bodies is not None
        if self.trouble is not None or self._closed:
            return False
        return await self._next_commit()

    async def flush(self) -> None:
        """Write everything that waits, now. Raises CheckpointUnavailable where the disk refuses."""
        if self._closed or not await self._next_commit(at_once=True):
            raise CheckpointUnavailable(self.trouble or "the checkpoint's committer is closed")

    async def on_disk(self) -> None:
        """Wait until everything reported up to now is on disk, for as long as that takes.

        Raises CheckpointUnavailable where the committer is closed meanwhile.
        """
        while self._closed or not await self._next_commit():
            if self._closed:
                raise CheckpointUnavailable(self.trouble or "the checkpoint's committer is closed")

    # -- behind the curtain --------------------------------------------------------------------

    def _next_commit(self, *, at_once: bool = False) -> asyncio.Future[bool]:
        """Ask for a commit that carries everything reported up to now; tells whether it did.

        While the disk refuses it comes with the next attempt, or `at_once`.
        """
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        self._urgent = self._urgent or at_once
        if not self._planned and (self.trouble is None or at_once):
            self._planned = True
            loop.call_soon(self._begin)  # whoever comes in this turn of the loop shares it
        return waiter

    def _begin(self) -> None:
        self._planned = False
        if self._busy:  # its end begins the next one
            return
        waiting, self._waiting = self._waiting, []
        commit = partial(self._store.commit, look=self._look or self._closed)
        self._urgent = self._look = False
        if self._threads is not None:
            self._busy = True
            done = asyncio.get_running_loop().run_in_executor(self._threads, commit)
            done.add_done_callback(lambda done: self._ended(done.exception(), waiting))
            return
        failure = None
        try:
            commit()
        except Exception as error:  # noqa: BLE001 - whoever waits gets to see it
            failure = error
        self._ended(failure, waiting)

    def _ended(self, error: BaseException | None, waiting: list[asyncio.Future[bool]]) -> None:
        self._busy = False
        if isinstance(error, CheckpointUnavailable):
            self._refused(error)
        elif error is None:
            self._written()
        waiting = [waiter for waiter in waiting if not waiter.done()]
        for waiter in waiting:
            if error is None or isinstance(error, CheckpointUnavailable):
                waiter.set_result(error is None)
            else:
                waiter.set_exception(error)
        if self._waiting and (self.trouble is None or self._urgent):
            self._begin()
        if error is not None and not isinstance(error, CheckpointUnavailable) and not waiting:
            raise error  # nobody else would ever hear of it

    def _plan_tick(self, delay: float) -> None:
        if not self._closed:
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._look = True  # not with each commit: it costs as much as a row
        if self._store.uncommitted and not self._busy:
            self._begin()
        self._plan_tick(self._pause or self._pace.delay)

    def _refused(self, error: CheckpointUnavailable) -> None:
        pace = self._pace
        self._look = True
        now = asyncio.get_running_loop().time()
        if self.trouble is None:
            self._since = now
        self.trouble = str(error)
        if error.locked and now - self._since < pace.patience:
            self._pause = pace.delay
            return
        self._pause = min(pace.longest_pause, self._pause * 2 or pace.first_pause)
        if self._alarmed_at is None or now - self._alarmed_at >= pace.alarm_every:
            self._alarmed_at = now
            self._alarmed = True
            _log.error("%s (%s)", error, _HELD_UP if self._holds_up else _GOES_ON)

    def _written(self) -> None:
        if self._alarmed:
            _log.warning("the checkpoint %s is written again", self._store.path)
        self._alarmed = False
        self.trouble = None
        self._pause = 0.0
