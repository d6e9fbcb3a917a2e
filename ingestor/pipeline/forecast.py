"""Before a backfill sends anything: how much that is, and whether it should be sent at all.

Where nothing but the number depends on it, it is estimated by the first part, which is held back
until then. Where Umami can be asked, all lines are judged in advance, which costs little beside the
sending: what would be hidden or double is refused before the first page view leaves.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ingestor.delivery import CannotTell, Reader
from ingestor.delivery.umami import Umami
from ingestor.errors import TryAgain, UsageError
from ingestor.pipeline.overlap import Foreign, Ours, Period, foreign, moment, reset_of
from ingestor.pipeline.proxies import Proxies
from ingestor.pipeline.scanners import without_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from ingestor.config import Config
    from ingestor.model import Chunk, Scanned
    from ingestor.pipeline.job import Job
    from ingestor.scan import Scanner

log = logging.getLogger("ingestor")

_ENOUGH = 1 << 20  # bytes that an estimate rests on: some thousand lines
_PAUSE = 5.0  # seconds between two tries to ask Umami

T = TypeVar("T")


@dataclass(slots=True)
class Forecast:
    """What is to be sent, by website."""

    proxies: Proxies
    periods: dict[str, Period] = field(default_factory=dict)
    resets: dict[str, float] = field(default_factory=dict)  # Unix seconds
    read: int = 0  # bytes that were judged …
    whole: int = 0  # … of so many, where that is not all

    @property
    def count(self) -> int:
        """Page views; an estimate where not all was read."""
        counted = sum(period.count for period in self.periods.values())
        if self.whole <= self.read or not self.read:
            return counted
        return round(counted * self.whole / self.read)

    @property
    def is_estimate(self) -> bool:
        """Whether not all was read."""
        return self.whole > self.read

    @property
    def has_enough(self) -> bool:
        """Whether what was judged is enough for an estimate."""
        return self.read >= _ENOUGH

    def take(self, scanned: Scanned) -> None:
        """Take in what became of a chunk."""
        self.read += scanned.chunk.end - scanned.chunk.start
        self.proxies.note(scanned.page_views)
        for page_view in scanned.page_views:
            at = page_view.time
            reset_at = self.resets.get(page_view.website, 0.0)
            period = self.periods.get(page_view.website)
            if period is None:
                period = self.periods[page_view.website] = Period(at, at, 0)
            period.add(at, reset_at=reset_at)

    def read_through(
        self,
        chunks: Iterable[Chunk],
        scanner: Callable[[Chunk], Scanner | None],
        *,
        stopped: Callable[[], bool],
    ) -> None:
        """Judge all lines of a job, until somebody stops it."""
        for chunk in chunks:
            if stopped():
                return
            judge = scanner(chunk) if chunk.data else None
            self.take(without_lines(chunk) if judge is None else judge.scan(chunk))


class Questions:
    """What Umami is asked before a backfill, where there is a login and it is wanted."""

    def __init__(self, config: Config, job: Job) -> None:
        self._config = config
        self._job = job
        umami = config.umami
        wanted = not job.is_stdin and not (job.allow_hidden and job.allow_overlap)
        self.asked = bool(wanted and umami and umami.username and umami.password)

    async def resets(self) -> dict[str, float]:
        """When each website was reset, in Unix seconds. Raises StoppedByUmami."""
        websites = sorted({site.website.lower() for site in self._config.sites})

        async def ask(reader: Reader) -> dict[str, float]:
            return {each: reset_of(await reader.website(each)) for each in websites}

        return await self._patiently(ask) or {}

    async def refuse(self, forecast: Forecast, checkpoint: Path) -> None:
        """Raise UsageError where page views would be hidden or double; StoppedByUmami."""
        job, ours = self._job, Ours(checkpoint)
        problems = []
        for website, period in forecast.periods.items():
            if period.hidden and not job.allow_hidden:
                problems.append(self._hidden(website, period, forecast.resets[website]))
            if not job.allow_overlap:
                problems += await self._doubled(website, period, ours)
        if problems:
            raise UsageError(" ".join(["nothing was sent.", *problems]))

    def _hidden(self, website: str, period: Period, reset_at: float) -> str:
        return (
            f"{period.hidden:,} of {period.count:,} page views of {self._name(website)} are older "
            f"than its reset, and Umami would hide them: begin there with --since "
            f"{moment(reset_at)}, or add --allow-hidden."
        )

    async def _doubled(self, website: str, period: Period, ours: Ours) -> list[str]:
        async def ask(reader: Reader) -> Foreign | None:
            return await foreign(reader, website, period, ours)

        others = await self._patiently(ask)
        if others is None:
            return []
        problem = (
            f"{self._name(website)} already has {others}, such as its own tracker's: the same "
            f"people would be double. End before them with --until {others.first_day}, give the "
            "logs a website of their own, or add --allow-overlap."
        )
        return [problem]

    def _name(self, website: str) -> str:
        sites = self._config.sites
        name = next((site.hostname for site in sites if site.website.lower() == website), "")
        return f"website {website} ({name})" if name else f"website {website}"

    async def _patiently(self, ask: Callable[[Reader], Awaitable[T]]) -> T | None:
        """Ask for as long as Umami is away; None where this server does not tell."""
        options = self._config.umami
        if options is None or options.username is None or options.password is None:
            return None
        umami = Umami(options, timeout=self._config.delivery.timeout, connections=1)
        reader = Reader(umami, username=options.username, password=options.password)
        try:
            while True:
                try:
                    return await ask(reader)
                except TryAgain as error:
                    log.warning("Umami cannot be asked what it has: %s. It is asked again.", error)
                    await asyncio.sleep(_PAUSE)
                except CannotTell as error:
                    log.warning(
                        "What Umami has already is not known, so an overlap is not seen: %s.", error
                    )
                    return None
        finally:
            await umami.close()


async def foresee(
    config: Config,
    questions: Questions,
    chunks: Iterable[Chunk],
    scanner: Callable[[Chunk], Scanner | None],
    *,
    stopped: Callable[[], bool],
) -> Forecast:
    """Judge a job in advance. Raises UsageError where it should not be done, StoppedByUmami.

    ``chunks`` and ``scanner`` are for this alone; they are used in a thread.
    """
    forecast = Forecast(Proxies(config))
    forecast.resets = await questions.resets()
    await asyncio.to_thread(forecast.read_through, chunks, scanner, stopped=stopped)
    forecast.proxies.tell()
    await questions.refuse(forecast, config.checkpoint.path)
    return forecast


async def estimate(
    config: Config, scanned: AsyncIterator[Scanned], *, whole: Callable[[], int]
) -> tuple[Forecast, list[Scanned]]:
    """Judge a job by its first part; gives that, too. ``whole``: about how many bytes it has."""
    forecast, first = Forecast(Proxies(config)), []
    async for one in scanned:
        forecast.take(one)
        first.append(one)
        if forecast.has_enough:
            forecast.whole = await asyncio.to_thread(whole)
            break
    forecast.proxies.tell()
    return forecast, first
