"""Follows the logs and sends their page views as they come, until it is told to stop.

Two tasks share one follower: *look* finds what is new, also while Umami is away, so that no
rotated file slips out of sight; *feed* reads and submits, and waits where delivery has no room.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ingestor.checkpoint import Committer, Role, Store
from ingestor.config import parse_date
from ingestor.delivery import Delivery
from ingestor.errors import ConfigError, FormatError
from ingestor.logfiles import Follower, FollowSource, Watcher, readable
from ingestor.observe import Counts
from ingestor.pipeline.backfill import delivery_options
from ingestor.pipeline.job import say_findings
from ingestor.pipeline.ledger import Ledger, merged
from ingestor.pipeline.scanners import Scanners
from ingestor.pipeline.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingestor.config import Config
    from ingestor.logfiles import Start
    from ingestor.model import Chunk, Span
    from ingestor.scan import Scanner

log = logging.getLogger("ingestor")

_STARTED = "run.started"  # the checkpoint's note that the very first start is behind us


async def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; the exit code.

    Raises UsageError for a configuration or checkpoint that cannot be right.
    """
    async with AsyncExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        store = stack.enter_context(Store.open(config.checkpoint, Role.RUN))
        committer = await stack.enter_async_context(Committer(store))
        daemon = _Daemon(config, store, committer)
        stack.push_async_callback(daemon.close)
        try:
            await stopping.interrupts(daemon.work())
        except ExceptionGroup as group:  # of the two tasks; the first is the reason
            raise group.exceptions[0] from None
        await daemon.drain()
    log.info("Stopped. %s", daemon.summary())
    return 0


class _Daemon:
    """The daemon's parts and its two tasks."""

    def __init__(self, config: Config, store: Store, committer: Committer) -> None:
        if config.umami is None:
            raise ConfigError("umami.url is not set")
        self._config = config
        self._store = store
        start = _start(config)
        since = start if isinstance(start, int) else None
        rules = config.rules(since=since)
        self._scanners = Scanners(config, config.sources, rules)
        self._counts = Counts()
        self._ledger = Ledger(self._counts, store, committer)
        self._ledger.on_unparked = self._read_again
        self._follower = Follower(
            [
                FollowSource(
                    path=source.path.encode(errors="surrogateescape"),
                    include=source.include,
                    exclude=source.exclude,
                )
                for source in config.sources
            ],
            store,
            config.follow,
            clock=time.monotonic,
            start=start,
            first_start=store.noted(_STARTED) is None,
        )
        self._delivery = Delivery(
            config.umami,
            delivery_options(config),
            journal=self._ledger,
            report=self._ledger,
            park=True,
            file_path=lambda key: self._follower.path_of(key) or b"",
            mask_line=rules.mask_line,
        )
        self._watcher: Watcher | None = None
        self._wake = asyncio.Event()
        self._readable = asyncio.Event()
        self._unexplained: dict[int, list[Span]] = {}  # files whose format is not known yet
        self._uncounted: list[Span] = []  # of those, being read again for the first count

    async def work(self) -> None:
        """Follow and feed; ends only by being cancelled."""
        loop = asyncio.get_running_loop()
        self._ledger.say_in_doubt()
        if self._config.follow.watchdog:
            self._watcher = Watcher(partial(_wake_from_thread, loop, self._hinted))
        self._look_once()
        self._store.note(_STARTED, value=True)
        live = [state for state in self._follower.files() if state.state == "live"]
        log.info("ingestor is following %d files.", len(live))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            tasks.create_task(self._feed())

    async def drain(self) -> None:
        """Finish what is in flight, within the configured time."""
        if not await self._delivery.drain(self._config.run.shutdown_timeout):
            log.warning(
                "%d page views had no answer in time; they are sent at the next start.",
                self._counts.in_flight,
            )
        self._ledger.set_markers(self._follower.marker_at)

    async def close(self) -> None:
        """Let go of everything, in the order of the data's way."""
        if self._watcher is not None:
            self._watcher.close()
        self._follower.close()
        await self._delivery.stop()

    def summary(self) -> str:
        """One line of counts."""
        counts = self._counts
        return (
            f"{counts.lines:,} lines: {counts.accepted:,} page views accepted, "
            f"{counts.filtered.total():,} filtered, {counts.malformed.total():,} malformed, "
            f"{counts.refused_as_bot:,} refused as bot, {counts.rejected:,} rejected, "
            f"{counts.in_flight:,} in flight."
        )

    # ---------------------------------------------------------------- look

    async def _look(self) -> None:
        pause = self._config.follow.poll_interval
        while True:
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._look_once()

    def _hinted(self) -> None:
        self._follower.hint()
        self._wake.set()

    def _look_once(self) -> None:
        if self._follower.rescan_due():
            say_findings(self._follower.rescan())
            if self._watcher is not None:
                say_findings(self._watcher.check(self._follower.directories()))
            self._try_formats_again()
            self._ledger.set_markers(self._follower.marker_at)
        if self._follower.poll():
            self._readable.set()

    # ---------------------------------------------------------------- feed

    async def _feed(self) -> None:
        await self._delivery.start()
        while True:
            await self._readable.wait()
            self._readable.clear()
            while self._follower.has_unread:
                for chunk in self._follower.read():
                    await self._take(chunk)
                await asyncio.sleep(0)  # a long backlog of assets leaves room for the others

    async def _take(self, chunk: Chunk) -> None:
        scanner = self._scanners.get(chunk.file) or self._scanner(chunk.file)
        if scanner is None:
            held = self._unexplained.setdefault(chunk.file, [])
            self._unexplained[chunk.file] = merged([*held, chunk.span])
            return
        if chunk.again and self._is_uncounted(chunk):
            chunk = replace(chunk, again=False)
        scanned = scanner.scan(chunk)
        self._ledger.scanned(scanned)
        if scanned.page_views:
            await self._delivery.submit(scanned.page_views)

    def _scanner(self, key: int) -> Scanner | None:
        name = readable(self._follower.path_of(key) or b"")
        source = self._follower.source_of(key)
        if source is None:
            return None
        try:
            return self._scanners.make(key, source, name, *self._follower.sample(key))
        except FormatError as error:
            log.error("%s It is held, and looked at again.", error)  # noqa: TRY400 - for a person
            return None

    def _try_formats_again(self) -> None:
        for key in [key for key in self._unexplained if self._scanner(key) is not None]:
            spans = self._unexplained.pop(key)
            self._uncounted += spans
            self._read_again(spans)

    def _is_uncounted(self, chunk: Chunk) -> bool:
        return any(
            span.file == chunk.file and span.start <= chunk.start and chunk.end <= span.end
            for span in self._uncounted
        )

    def _read_again(self, spans: Sequence[Span]) -> None:
        self._follower.reread(spans)
        self._readable.set()


def _wake_from_thread(loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
    """Called on watchdog's thread, perhaps after the loop's end."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(wake)


def _start(config: Config) -> Start:
    if config.run.start == "beginning":
        return "beginning"
    return "end" if config.run.start == "end" else parse_date(config.run.start)
