"""Reads logs to their end and sends their page views; run again, it sends nothing twice."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import TYPE_CHECKING

from ingestor.checkpoint import CheckpointUnavailable, Committer, Role, Store
from ingestor.delivery.delivery import Delivery
from ingestor.errors import ConfigError, FormatError, StoppedByUmami
from ingestor.logfiles import readable
from ingestor.observe import Counts
from ingestor.pipeline.forecast import Questions, estimate, foresee
from ingestor.pipeline.gathering import Gathering
from ingestor.pipeline.job import (
    Job,
    Result,
    lines_of,
    say_findings,
    say_unaddressed,
    unread_bytes,
)
from ingestor.pipeline.ledger import Ledger
from ingestor.pipeline.precedence import Precedence
from ingestor.pipeline.progress import Progress
from ingestor.pipeline.scanners import Scanners
from ingestor.pipeline.scanning import Alone, Files, Together
from ingestor.pipeline.stopping import Stopping
from ingestor.scan.collector import collect_rarely

if TYPE_CHECKING:
    from ingestor.config import Config
    from ingestor.model import Chunk, Scanned
    from ingestor.pipeline.forecast import Forecast
    from ingestor.pipeline.job import Lines
    from ingestor.pipeline.pool import Pool
    from ingestor.scan import Recipe, Scanner
    from ingestor.scan.worker import About

log = logging.getLogger("ingestor")


async def backfill(config: Config, job: Job, pool: Pool | None) -> Result:
    """Do the whole job; what Umami stops ends in the result's ``error``, nothing is skipped.

    ``pool``: the processes that scan, which end with it; None: this one alone does. Raises
    UsageError for paths, rules and checkpoints that cannot be right.
    """
    began = time.monotonic()
    result = Result(Counts(), 0.0)
    run = _Backfill(config, job, pool, result)
    try:
        await run.do()
    except StoppedByUmami as error:
        result.error = error
    except CheckpointUnavailable as error:  # where no other moment came to write it
        text = (
            f"{error}; the next run sends again what could not be noted as sent (with "
            "exactly-once it asks Umami first)"
        )
        result.error = CheckpointUnavailable(text)
    result.seconds = time.monotonic() - began
    return result


class _Backfill:
    """One run; its parts live as long as ``do``."""

    def __init__(self, config: Config, job: Job, pool: Pool | None, result: Result) -> None:
        self._config = config
        self._job = job
        self._pool = pool
        self._result = result
        self._rules = config.rules(since=job.since, until=job.until)
        self._scanners = Scanners(config, job.settings, self._rules)
        self._unexplained: set[int] = set()
        self._store: Store | None = None  # none for standard input

    async def do(self) -> None:
        """Open, read, drain, close: in this order, whatever happens in between."""
        config, counts = self._config, self._result.counts
        async with AsyncExitStack() as stack:
            if self._pool is not None:
                await stack.enter_async_context(self._pool)
            stopping = stack.enter_context(Stopping(hangup=True))
            committer = None
            if self._job.is_stdin:
                log.warning("Standard input: no checkpoint is kept; a second run sends it again.")
            else:
                self._store = stack.enter_context(Store.open(config.checkpoint, Role.BACKFILL))
                committer = await stack.enter_async_context(Committer(self._store))
                log.info("The checkpoint is %s.", config.checkpoint.path)
            questions = Questions(config, self._job)
            forecast = None
            if questions.asked:
                forecast = await self._foresee(questions, stopping)
                if forecast is None:
                    self._result.interrupted = True
                    return
            lines = lines_of(config, self._job, self._store)
            ledger = Ledger(counts, self._store, committer, partial(self._source_name, lines))
            if config.umami is None:
                raise ConfigError("umami.url is not set")
            delivery = Delivery(
                config.umami,
                config.delivery_options(),
                journal=ledger,
                report=ledger,
                park=False,
                background=config.delivery.in_background(backfill=True),
                give_way=Precedence(config.checkpoint.path).claimed,
                file_path=lambda key: lines.path_of(key) or b"",
                mask_line=self._rules.mask_line,
            )
            stack.callback(ledger.strike_off_refused)
            stack.push_async_callback(delivery.stop)
            websites = {site.website for site in config.sites}
            ledger.say_in_doubt(websites, looked_up=delivery.looks_up)
            progress = Progress(config, counts, self._store)
            telling = asyncio.create_task(progress.tell())
            stack.callback(telling.cancel)
            reading = self._read(lines, ledger, delivery, progress, forecast)
            done = await stopping.interrupts(reading)
            progress.end()
            self._result.interrupted = done is None
            if done is None:
                lines.interrupt()
                await delivery.drain(config.run.shutdown_timeout)
            else:
                ledger.set_markers(lines.marker_at)
                lines.settle()
            self._tell(lines)

    async def _foresee(self, questions: Questions, stopping: Stopping) -> Forecast | None:
        """Judge all that is about to be sent; None: a signal came.

        Raises UsageError where it should not be, and StoppedByUmami.
        """
        # Lines of its own: what is registered here is known when the real reading begins.
        lines = lines_of(self._config, self._job, self._store)
        scanner = partial(self._scanner, lines)
        forecast = await stopping.interrupts(
            foresee(self._config, questions, lines, scanner, stopped=stopping.requested.is_set)
        )
        # A scanner may have learnt from the end of a file what does not hold at its beginning.
        self._scanners = Scanners(self._config, self._job.settings, self._rules)
        return forecast

    async def _read(
        self,
        lines: Lines,
        ledger: Ledger,
        delivery: Delivery,
        progress: Progress,
        forecast: Forecast | None,
    ) -> bool:
        collect_rarely()
        size = 1 if self._job.is_stdin else self._config.delivery.batch_size
        gathering = Gathering(size)
        scanning = self._scanning(lines)

        async def submit(scanned: Scanned) -> None:
            ledger.scanned(scanned)
            if scanned.page_views:
                await delivery.submit(gathering.add(scanned.page_views))
            ledger.set_marker(scanned.chunk.file, lines.marker_at)

        if forecast is not None:
            progress.begin(forecast)
        await delivery.start()
        async with aclosing(scanning.scanned(iter(lines))) as all_:
            first: list[Scanned] = []
            if forecast is None and self._store is not None:
                whole = partial(unread_bytes, self._job, self._store)
                forecast, first = await estimate(self._config, all_, whole=whole)
                progress.begin(forecast)
            while first:
                await submit(first.pop(0))
            async for scanned in all_:
                await submit(scanned)
        await delivery.submit(gathering.rest())
        await delivery.drain(None)
        return True

    def _scanning(self, lines: Lines) -> Alone | Together:
        """Let this process scan, or those of a pool."""
        files = Files(
            self._scanners.get,
            partial(self._scanner, lines),
            partial(self._recipe, lines),
            partial(self._about, lines),
            partial(self._unexplains, lines),
        )
        if self._pool is None:
            return Alone(files, ahead=not self._job.is_stdin)
        return Together(files, self._pool, self._rules)

    def _name(self, lines: Lines, key: int) -> str:
        return readable(lines.path_of(key) or b"")

    def _recipe(self, lines: Lines, chunk: Chunk) -> Recipe:
        source = lines.source_of(chunk.file) or 0
        name = self._name(lines, chunk.file)
        return self._scanners.recipe(source, name, *lines.sample(chunk.file))

    def _about(self, lines: Lines, chunk: Chunk, about: About) -> None:
        site = self._scanners.site(lines.source_of(chunk.file) or 0)
        self._scanners.remark(self._name(lines, chunk.file), about, site)

    def _scanner(self, lines: Lines, chunk: Chunk) -> Scanner | None:
        scanner = self._scanners.get(chunk.file)
        if scanner is not None or chunk.file in self._unexplained:
            return scanner
        name = self._name(lines, chunk.file)
        try:
            source = lines.source_of(chunk.file) or 0
            return self._scanners.make(chunk.file, source, name, *lines.sample(chunk.file))
        except FormatError as error:
            self._unexplains(lines, chunk, str(error))
            return None

    def _unexplains(self, lines: Lines, chunk: Chunk, why: str) -> None:
        """Note that no format explains a file, once."""
        if chunk.file not in self._unexplained:
            log.error("%s It is left unread.", why)
            self._unexplained.add(chunk.file)
            self._result.unexplained.append(self._name(lines, chunk.file))

    def _source_name(self, lines: Lines, key: int) -> str:
        return self._job.settings[lines.source_of(key) or 0].path

    def _tell(self, lines: Lines) -> None:
        self._result.counts.files = lines.counts.files
        say_unaddressed(self._result.counts)
        texts = say_findings(lines.findings)
        if len(texts) > lines.counts.refused:  # what the daemon reads is no failure
            self._result.problems = texts
