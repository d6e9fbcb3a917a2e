"""Follows the logs and sends their page views as they come, until it is told to stop.

Two tasks share one follower: *look* finds what is new, also while Umami is away, so that no
rotated file slips out of sight; *feed* reads and submits, and waits where delivery has no room.
SIGHUP has both stand still for a moment and go on under the configuration as it is then.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ingestor.checkpoint import Committer, Role, Store
from ingestor.config import parse_date
from ingestor.delivery.delivery import Delivery
from ingestor.errors import ConfigError, FormatError, UsageError
from ingestor.logfiles import Follower, readable
from ingestor.logfiles.watcher import Watcher
from ingestor.model import Span
from ingestor.observe import Counts, Notifier
from ingestor.pipeline.job import places, say_findings
from ingestor.pipeline.ledger import Ledger
from ingestor.pipeline.leftover import (
    goes_on,
    is_first_start,
    left_files,
    new_sources,
    note_sources,
    say_left,
    tells_more,
)
from ingestor.pipeline.misfits import Misfits
from ingestor.pipeline.precedence import Precedence
from ingestor.pipeline.rereading import Uncounted, merged
from ingestor.pipeline.scanners import Scanners, without_lines
from ingestor.pipeline.stopping import Stopping, woken
from ingestor.pipeline.strangers import Strangers
from ingestor.pipeline.supervision import FEED, LOOK, Supervision
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from ingestor.config import Config
    from ingestor.logfiles import Start
    from ingestor.model import Chunk
    from ingestor.scan import Scanner

    Reload = Callable[[], Config]

log = logging.getLogger("ingestor")
T = TypeVar("T")

_QUIET = 10.0  # seconds without a new line, after which it is looked for half as often
_SAY_AGAIN = 60.0  # seconds between two errors about one file's format …
_SAID = 10  # … where no more files than these have none, and as many in that time where more do
_TRYING = 0.2  # seconds of each look in which files without a format are tried again
_PRUNE = 3600.0  # seconds between two looks for what may be forgotten: logs, dead letters


async def run(config: Config, reload: Reload | None = None) -> int:
    """Run until SIGTERM or SIGINT; the exit code.

    On SIGHUP, ``reload`` gives the configuration as it is then, or raises UsageError and the old
    one stays. Raises UsageError for a configuration or checkpoint that cannot be right, and
    UmamiTooOld.
    """
    notifier = Notifier()
    hangup = asyncio.Event()
    if reload is not None:  # from now on: by default SIGHUP would end the process
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    async with AsyncExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        store = stack.enter_context(Store.open(config.checkpoint, Role.RUN))
        committer = await stack.enter_async_context(Committer(store))
        daemon = _Daemon(config, store, committer, notifier)
        stack.push_async_callback(daemon.close)
        await stopping.interrupts(daemon.work(hangup, reload))
        notifier.stopping()
        await daemon.drain()
    log.info("Stopped. %s", daemon.last_words())
    return 0


class _Daemon:
    """The daemon's parts and its two tasks."""

    def __init__(
        self, config: Config, store: Store, committer: Committer, notifier: Notifier
    ) -> None:
        self._store = store
        self._committer = committer
        self._notifier = notifier
        self._precedence = Precedence(config.checkpoint.path)
        self._watcher: Watcher | None = None
        self._wake = asyncio.Event()
        self._readable = asyncio.Event()
        self._next_prune = time.monotonic() + _PRUNE
        self._in_hand: deque[Chunk] = deque()  # read, and not judged yet
        self._handed: dict[int, int] = {}  # file → end of what was ever in hand
        self._unexplained: dict[int, list[Span]] = {}  # files whose format is not known yet
        self._say_again: dict[int, float] = {}  # … and when (monotonic) that may be told again
        self._uncounted = Uncounted()  # handed out, held back, and not counted in this life
        self._reloaded = False  # the counts are of the life since then
        self._follower = self._following(config)
        self._begin_life(config)

    def _following(self, config: Config) -> Follower:
        return Follower(
            places(config.sources),
            self._store,
            config.follow,
            clock=time.monotonic,
            start=_start(config),
            first_start=is_first_start(self._store),
            new_sources=new_sources(self._store, config.sources),
            goes_on=goes_on(self._store),
            more_told=tells_more(self._store),
        )

    def _begin_life(self, config: Config) -> None:
        """Put together what judges, sends and counts. Raises ConfigError, changing nothing."""
        if config.umami is None:
            raise ConfigError("umami.url is not set")
        start = _start(config)
        rules = config.rules(since=start if isinstance(start, int) else None)
        scanners = Scanners(config, config.sources, rules, following=True, in_blocks=False)
        counts = Counts()
        ledger = Ledger(counts, self._store, self._committer, self._source_name)
        ledger.on_unparked = self._read_again
        ledger.on_let_go = self._read_uncounted
        self._delivery = Delivery(
            config.umami,
            config.delivery_options(),
            journal=ledger,
            report=ledger,
            park=True,
            background=config.delivery.in_background(backfill=False),
            file_path=lambda key: self._follower.path_of(key) or b"",
            mask_line=rules.mask_line,
        )
        self._strangers = Strangers(rules)
        self._misfits = Misfits()
        self._config, self._scanners, self._counts, self._ledger = config, scanners, counts, ledger
        self._supervision = Supervision(self._notifier, self._store, ledger, self._delivery)

    async def work(self, hangup: asyncio.Event, reload: Reload | None) -> None:
        """Follow and feed; ends only by being cancelled. ``hangup``: reload, please."""
        self._say_in_doubt()
        self._begin_following()
        while True:
            config = await self._follow(hangup, reload)
            await self._change_to(config)

    def _say_in_doubt(self) -> bool:
        websites = {site.website for site in self._config.sites}
        return self._ledger.say_in_doubt(websites, looked_up=self._delivery.looks_up)

    def _take_up(self) -> None:
        """Take up what a backfill left in doubt that died beside this daemon."""
        if self._say_in_doubt():
            self._delivery.take_up()

    def _begin_following(self) -> None:
        loop = asyncio.get_running_loop()
        if self._config.follow.watchdog:
            self._watcher = Watcher(partial(_wake_from_thread, loop, self._hinted))
        is_new = bool(new_sources(self._store, self._config.sources)) or tells_more(self._store)
        before = left_files(self._store) if is_new else set()
        self._look_once()
        live = [state for state in self._follower.files() if state.state == "live"]
        log.log(
            logging.INFO if live else logging.WARNING,
            "ingestor is following %s.%s",
            counted(len(live), "file"),
            "" if live else " No source has any yet; `ingestor check` tells what is wrong.",
        )
        if is_new:
            say_left(self._store, self._config, before)
        note_sources(self._store, self._config.sources)

    async def _follow(self, hangup: asyncio.Event, reload: Reload | None) -> Config:
        """Follow until a changed configuration is there; gives it, both tasks at rest."""
        tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._feed())]
        self._notifier.ready()
        told = asyncio.create_task(self._changed(hangup, reload))
        try:
            await asyncio.wait((*tasks, told), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():  # they end only by an error
                    task.result()
            return told.result()
        finally:
            for each in (*tasks, told):
                each.cancel()
            await asyncio.gather(*tasks, told, return_exceptions=True)

    async def drain(self) -> None:
        """Finish what is in flight, within the configured time."""
        if not await self._delivery.drain(self._config.run.shutdown_timeout):
            log.warning(
                "%s without an answer in time, for the next start to send.",
                counted(self._counts.in_flight, "page view"),
            )
        self._ledger.set_markers(self._follower.marker_at)
        self._supervision.note(self._follower.files())

    async def close(self) -> None:
        """Let go of everything, in the order of the data's way."""
        self._precedence.release()
        self._close_watcher()
        self._follower.close()
        await self._delivery.stop()
        self._ledger.strike_off_refused()

    def _close_watcher(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def summary(self) -> str:
        """One line of counts."""
        counts = self._counts
        return (
            f"{counts.lines:,} lines: {counts.accepted:,} page views accepted, "
            f"{counts.filtered.total():,} filtered, {counts.malformed.total():,} malformed, "
            f"{counts.refused_as_bot:,} refused as bot, {counts.rejected:,} rejected, "
            f"{counts.in_flight:,} in flight."
        )

    def last_words(self) -> str:
        """The summary of a life that ends, and what of it may be in Umami twice."""
        words = [f"Since the reload: {self.summary()}" if self._reloaded else self.summary()]
        if self._counts.doubted:
            words.append(f"{self._counts.doubted:,} were sent again, and may be double.")
        if unanswered := self._ledger.unanswered:
            words.append(
                f"{unanswered:,} were sent and not answered: the next start sends them again, so "
                "that many may be double."
            )
        return " ".join(words)

    def _source_name(self, key: int) -> str:
        source = self._follower.source_of(key)
        return "(gone)" if source is None else self._config.sources[source].path

    # ---------------------------------------------------------------- reload

    async def _changed(self, hangup: asyncio.Event, reload: Reload | None) -> Config:
        """Wait for SIGHUP and a configuration that can be used."""
        while True:
            await hangup.wait()
            hangup.clear()
            self._notifier.reloading()
            try:
                if reload is not None:
                    config = await asyncio.to_thread(reload)
                    self._check(config)
                    return config
            except UsageError as error:
                log.error("%s The configuration stays as it was.", error)  # noqa: TRY400 - for a person
            except Exception as error:  # the last resort: what is in force is known to work
                log.error(  # noqa: TRY400 - likewise
                    "an error of the program itself in reading the configuration: %.300r. It stays "
                    "as it was. Please report this.",
                    error,
                )
                log.debug("where it happened", exc_info=error)
            self._notifier.ready()

    def _check(self, config: Config) -> None:
        """Raise ConfigError where a running daemon cannot change to this configuration."""
        config.rules()
        if config.umami is None:
            raise ConfigError("umami.url is not set")
        if config.checkpoint != self._config.checkpoint:
            raise ConfigError("checkpoint: changes of it need a restart.")
        if not self._follows_the_same(config):
            held = [state for state in self._follower.files() if state.state == "deleted"]
            unread = [s for s in held if s.backlog or self._store.unread(s.key, s.position)]
            if unread:
                raise ConfigError(
                    "sources: and follow: cannot change while deleted logs are being read "
                    f"({counted(len(unread), 'file')}, the first is {readable(unread[0].path)}); "
                    "reload again when that is done."
                )

    def _follows_the_same(self, config: Config) -> bool:
        old = self._config
        return (places(config.sources), config.follow) == (places(old.sources), old.follow)

    async def _change_to(self, config: Config) -> None:
        """Finish what is in flight, then go on under another configuration."""
        if self._ledger.away_since is None:
            await self._delivery.drain(self._config.run.shutdown_timeout)
        await self._delivery.stop()
        doubted = self._ledger.give_up()
        if doubted:
            log.warning(
                "Sending %s again, which had no answer and may be double.",
                counted(doubted, "page view"),
            )
        log.info("Reloading. Until now: %s", self.summary())
        self._in_hand.clear()
        self._unexplained.clear()
        self._say_again.clear()
        same = self._follows_the_same(config)
        self._begin_life(config)
        self._reloaded = True
        self._say_in_doubt()
        if same:
            self._uncounted = Uncounted(merged(self._unfinished()))
            self._read_again(self._uncounted.spans())
        else:
            self._follow_anew(config)
        log.info("The configuration is in force.")

    def _follow_anew(self, config: Config) -> None:
        """Follow other sources; give logs back that are in none of them."""
        self._close_watcher()
        self._follower.close()
        self._handed.clear()
        self._uncounted = Uncounted()
        before = {state.key for state in self._follower.files()}
        self._follower = self._following(config)
        self._begin_following()
        for key in before - {state.key for state in self._follower.files()}:
            self._store.release(key)

    def _unfinished(self) -> list[Span]:
        """Find what was in hand ever and is not acked."""
        return [
            Span(key, *stretch)
            for key, end in self._handed.items()
            for stretch in self._store.unread(key, end)
        ]

    # ---------------------------------------------------------------- look

    async def _look(self) -> None:
        pause = self._config.follow.poll_interval
        grew = time.monotonic()
        while True:
            self._wake.clear()
            quiet = time.monotonic() - grew > _QUIET
            await woken(self._wake, 2 * pause if quiet else pause)
            if self._look_once():
                grew = time.monotonic()
            if time.monotonic() >= self._next_prune:
                self._next_prune = time.monotonic() + _PRUNE
                self._prune()
                await self._delivery.purge()
            self._precedence.claim(behind=self._delivery.behind)
            self._supervision.came_round(LOOK)
            self._supervision.look(self._follower)

    def _hinted(self) -> None:
        self._follower.hint()
        self._wake.set()

    def _look_once(self) -> bool:
        """Find what is new; whether anything is there to be read."""
        if self._follower.rescan_due():
            say_findings(self._follower.rescan())
            if self._watcher is not None:
                say_findings(self._watcher.check(self._follower.directories()))
            self._try_formats_again()
            self._ledger.set_markers(self._follower.marker_at)
            self._take_up()
            self._strangers.tell()
        is_readable = self._follower.poll()
        if is_readable:
            self._readable.set()
        return is_readable

    def _prune(self) -> None:
        """Forget what is gone; the checkpoint only the oldest of it, beyond its limit."""
        present = self._follower.keys_on_disk()
        present |= {state.key for state in self._follower.files()}
        self._misfits.forget_all_but(present)
        self._scanners.forget_all_but(present)
        self._ledger.forget_all_but(present)
        self._handed = {key: end for key, end in self._handed.items() if key in present}
        self._store.prune(present)

    # ---------------------------------------------------------------- feed

    async def _feed(self) -> None:
        await self._supervised(self._delivery.start())
        while True:
            await woken(self._readable, self._supervision.pulse)
            self._readable.clear()
            while self._in_hand or self._follower.has_unread:
                self._take_in_hand()
                while self._in_hand:
                    await self._take(self._in_hand.popleft())
                await asyncio.sleep(0)  # a long backlog of assets leaves room for the others
                self._supervision.came_round(FEED)
            self._supervision.fed()

    def _take_in_hand(self) -> None:
        self._in_hand.extend(self._follower.read())
        for chunk in self._in_hand:
            self._handed[chunk.file] = max(chunk.end, self._handed.get(chunk.file, 0))

    async def _take(self, chunk: Chunk) -> None:
        scanner = self._scanners.get(chunk.file)
        if scanner is None and chunk.data and chunk.file not in self._unexplained:
            scanner = self._scanner(chunk.file)
        if scanner is None and chunk.data:
            held = self._unexplained.setdefault(chunk.file, [])
            self._unexplained[chunk.file] = merged([*held, chunk.span])
            return
        if chunk.again and self._uncounted.take(chunk.span):
            chunk = replace(chunk, again=False)
        scanned = without_lines(chunk) if scanner is None else scanner.scan(chunk)
        if scanner is not None:
            path = self._follower.path_of(chunk.file)
            self._misfits.note(scanned, path, scanner.format.name)
        self._ledger.scanned(scanned)
        if scanned.page_views:
            await self._supervised(self._delivery.submit(scanned.page_views))

    async def _supervised(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for delivery: that is progress as long as delivery goes on asking Umami."""
        task = asyncio.ensure_future(work)
        began = time.monotonic()
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=self._supervision.pulse)
                self._supervision.waiting(since=began)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _scanner(self, key: int) -> Scanner | None:
        name = readable(self._follower.path_of(key) or b"")
        source = self._follower.source_of(key)
        if source is None:
            return None
        head, tail = self._follower.sample(key)
        if not head:  # renamed or compressed a moment ago
            log.warning("%s cannot be read just now; what is new of it is held.", name)
            return None
        try:
            return self._scanners.make(key, source, name, head, tail)
        except FormatError as error:
            self._say_unexplained(key, error)
            return None

    def _say_unexplained(self, key: int, error: FormatError) -> None:
        """Tell it now and then; its words change with every line, so the log's filter does not."""
        now = time.monotonic()
        if now >= self._say_again.get(key, now):
            self._say_again[key] = now + _SAY_AGAIN * max(1, len(self._unexplained) / _SAID)
            log.error("%s It is held, and looked at again.", error)

    def _try_formats_again(self) -> None:
        """Try files without a format, in turn: of hundreds, all would keep the others waiting."""
        end = time.monotonic() + _TRYING
        for key in list(self._unexplained):
            scanner = self._scanner(key)
            spans = self._unexplained.pop(key)
            if scanner is not None:
                self._read_uncounted(spans)
            else:
                self._unexplained[key] = spans  # behind all others
            if time.monotonic() >= end:
                break

    def _read_uncounted(self, spans: Sequence[Span]) -> None:
        """Read what was held back before it was counted."""
        self._uncounted.add(spans)
        self._read_again(spans)

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
