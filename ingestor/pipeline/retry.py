"""Sends dead letters again; those that Umami takes leave their file, the others stay.

A letter is judged anew by today's rules, for its old payload is what was refused; where its line
tells nothing any more, the old payload goes out. What a killed run had under way is looked up with
exactly-once; else it is sent again, and said to be perhaps double.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestor.checkpoint import amend
from ingestor.delivery import Left, Resending, Sent
from ingestor.delivery.delivery import Delivery
from ingestor.errors import CheckpointError, ConfigError, FormatError, StoppedByUmami, UsageError
from ingestor.model import Chunk, Outcome, PageView, Reason, Span
from ingestor.observe import Counts
from ingestor.pipeline.ledger import Ledger
from ingestor.pipeline.progress import Progress
from ingestor.pipeline.scanners import Scanners
from ingestor.pipeline.stopping import Stopping
from ingestor.pipeline.totals import Amendments
from ingestor.words import counted, what_helps

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingestor.config import Config
    from ingestor.delivery import DeadLetter
    from ingestor.model import Batch, Ended, Payload
    from ingestor.scan import Scanner

log = logging.getLogger("ingestor")

_TOGETHER = 100  # letters submitted at once
_SAMPLE = 50  # lines of a file by which its format is told
_FILES = 1000  # of which a sample is kept


@dataclass(slots=True)
class Retried:
    """What became of the dead letters."""

    path: Path
    letters: int = 0
    accepted: int = 0
    refused_as_bot: int = 0
    rejected: int = 0  # again
    filtered: int = 0  # no page views any more, by today's rules
    doubted: int = 0  # of the accepted: perhaps double, since no answer came at first
    unreadable: int = 0  # neither a payload nor a line that tells one
    waits: bool = False  # for Umami's first answer: nothing was looked at yet
    error: Exception | None = None

    @property
    def left(self) -> int:
        """How many stay in the file."""
        return self.letters - self.accepted - self.refused_as_bot

    @property
    def exit_code(self) -> int:
        """0: none is left; 1: some are; what stopped it brings its own."""
        if self.error is not None:
            return int(getattr(self.error, "exit_code", 1))
        return 1 if self.left or self.waits else 0

    def as_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        names = ["letters", "accepted", "refused_as_bot", "rejected", "filtered", "unreadable"]
        counts = {name: getattr(self, name) for name in [*names, "left", "doubted"]}
        return {"path": str(self.path)} | counts

    def as_text(self) -> str:
        """One line for people."""
        if self.waits:
            return f"Nothing was sent; the dead letters stay in {self.path}."
        if not self.letters:
            return f"There are no dead letters in {self.path}."
        parts = [f"{self.accepted:,} accepted"]
        parts += [f"of them up to {self.doubted:,} double"] if self.doubted else []
        parts += [f"{self.refused_as_bot:,} refused as bot"] if self.refused_as_bot else []
        parts += [f"{self.rejected:,} rejected again"] if self.rejected else []
        parts += [f"{self.filtered:,} no page views by today's rules"] if self.filtered else []
        parts += [f"{self.unreadable:,} that cannot be read"] if self.unreadable else []
        return (
            f"{counted(self.letters, 'dead letter')}: {', '.join(parts)}; "
            f"{self.left:,} stay in {self.path}."
        )


async def retry_rejected(config: Config) -> Retried:
    """Send every dead letter once more.

    Raises UsageError where another process does so already, or where the file cannot be used.
    """
    path = config.delivery_options().dead_letters
    if config.umami is None or path is None:
        raise ConfigError("umami.url is not set")
    result = Retried(path)
    try:
        if not path.exists() and not path.with_name(f"{path.name}.1").exists():
            return result
        with Resending(path) as resending:
            await _Retry(config, resending, result).do()
    except StoppedByUmami as error:
        result.error = error
    except OSError as error:
        rights = "run this as the user of the service, or as root"
        raise UsageError(
            f"the dead letters {path} cannot be used: {error.strerror}; {what_helps(error, rights)}"
        ) from error
    return result


class _Books(Ledger):
    """Takes down which letters came to an end; a letter is the span of its own number."""

    def __init__(self, resending: Resending, websites: Collection[str]) -> None:
        super().__init__(Counts(), None, None, lambda _: "dead letters")
        self._resending = resending
        self._under_way = resending.under_way
        self._websites = websites
        self.amendments = Amendments()
        left = self._under_way.left()
        self._marks = {number: mark for sent in left for number, mark in sent.letters.items()}
        self._next = max(self._marks, default=-1) + 1
        self._batch_id = max((sent.id for sent in left), default=0)

    def number(self, mark: bytes) -> int:
        """Give a letter its number."""
        self._marks[self._next] = mark
        self._next += 1
        return self._next - 1

    def take_over(self, *, looked_up: bool) -> set[bytes]:
        """Say what a killed run had under way; the marks of what delivery has taken up.

        ``looked_up``: it asks Umami first.
        """
        kept: set[bytes] = set()
        doubtful = 0
        for sent in self._under_way.left():
            count = len(self._resending.open_among(sent.letters.values()))
            if sent.bodies is None:
                self._under_way.strike(sent.id)
                self.counts.doubted += count
                self.amendments.doubted(sent.website, count)
            else:  # delivery reports them as it sends them
                kept.update(sent.letters.values())
            if sent.bodies is None or not looked_up:
                doubtful += count
        if doubtful:
            log.warning(
                "The last run was killed with %s sent and not answered; they are sent again, so "
                "up to %d may be double.",
                counted(doubtful, "dead letter"),
                doubtful,
            )
        return kept

    def left_in_doubt(self) -> list[Left]:
        """Give what a killed run sent with exactly-once."""
        kept: list[Left] = []
        for sent in self._under_way.left():
            if sent.bodies is not None:
                self._handed_on[sent.id] = sent.website, len(sent.letters)
                kept.append(Left(sent.id, sent.website, sent.tag or "", sent.bodies))
        return kept

    def strays(self) -> set[str]:
        """Give the websites under way that are in no site."""
        left = {sent.website for sent in self._under_way.left()}
        return left.difference(self._websites) if self._websites else set()

    def let_go(self, website: str) -> None:
        """Have its letters sent as any other, by the rules of today."""
        for sent in self._under_way.left():
            if sent.website == website:
                self._under_way.strike(sent.id)

    async def before_send(self, batch: Batch, bodies: bytes | None = None) -> None:
        """Note what is about to be sent."""
        await super().before_send(batch, bodies)
        numbers = [view.span.start for view in batch.page_views]
        letters = {number: self._marks[number] for number in numbers}
        self._under_way.note(Sent(batch.id, batch.website, letters, batch.tag, bodies))

    def answered(self, batch: Batch, ended: Ended) -> None:
        """Let those that are stored, or dropped as a bot's, leave the file."""
        super().answered(batch, ended)
        self._settle(ended)
        self._under_way.strike(batch.id)

    def unsent(self, ended: Ended) -> None:
        """Likewise."""
        super().unsent(ended)
        self._settle(ended)

    def resettled(self, outcome: Outcome, count: int) -> None:
        """Amend the counts, and what the checkpoint is to count."""
        super().resettled(outcome, count)
        if outcome is Outcome.REFUSED_AS_BOT:
            self.amendments.resettled(count)

    def doubted(
        self, website: str, count: int, *, answered: bool = False, told: bool = False
    ) -> None:
        """Count letters that may be in Umami, answered or not."""
        super().doubted(website, count, answered=answered, told=told)
        self.amendments.doubted(website, count)

    def _settle(self, ended: Ended) -> None:
        self.amendments.finished(ended)
        for outcome, page_views in ended.items():
            if outcome is not Outcome.REJECTED:
                self._resending.settled([self._marks[view.span.start] for view in page_views])


class _Retry:
    """One run over the letters."""

    def __init__(self, config: Config, resending: Resending, result: Retried) -> None:
        self._config = config
        self._resending = resending
        self._result = result
        self._books = _Books(resending, {site.website for site in config.sites})
        self._today = _Today(config)
        self._progress = Progress(config, self._books.counts, None)
        self._count = 0  # letters in the file

    async def do(self) -> None:
        """Send all, and wait for the answers; SIGTERM and SIGINT end it in good order."""
        config, result, books = self._config, self._result, self._books
        if config.umami is None:
            raise ConfigError("umami.url is not set")
        for _, letter in self._resending.letters():
            self._count += 1
            if letter is not None:
                self._today.sample(letter)
        result.waits = True
        async with AsyncExitStack() as stack:
            delivery = Delivery(
                config.umami,
                # A letter that is rejected again is in the file already.
                replace(config.delivery, dead_letters=None),
                journal=books,
                report=books,
                park=False,
                kept=True,
            )
            stack.callback(books.strike_off_refused)
            stack.push_async_callback(delivery.stop)
            stopping = stack.enter_context(Stopping(hangup=True))
            try:
                telling = asyncio.create_task(self._progress.tell())
                stack.callback(telling.cancel)
                if await stopping.interrupts(self._send(delivery)) is None:
                    await delivery.drain(config.run.shutdown_timeout)
            finally:
                result.accepted = books.counts.accepted
                result.refused_as_bot = books.counts.refused_as_bot
                result.rejected = books.counts.rejected
                result.doubted = min(books.counts.doubted, result.accepted)
                self._amend()

    def _amend(self) -> None:
        """Have the checkpoint's totals follow: for `status`, and for a later look for overlaps."""
        counts = self._books.amendments.counts
        if not counts:
            return
        try:
            amend(self._config.checkpoint.path, counts)
        except CheckpointError as error:
            log.warning("The totals of `status` do not follow: %s", error)

    async def _send(self, delivery: Delivery) -> bool:
        await delivery.start()
        self._result.waits = False
        self._progress.begin_again(self._count)
        in_doubt = self._books.take_over(looked_up=delivery.looks_up)
        self._result.letters += len(in_doubt)  # of which some may have left the file
        together: list[PageView] = []
        for mark, letter in self._resending.letters():
            if mark in in_doubt:
                continue
            self._result.letters += 1
            number = self._books.number(mark)
            page_view = None if letter is None else self._page_view(letter, number)
            if page_view is None:
                self._result.unreadable += letter is None
                self._progress.need_not(1)
                continue
            together.append(page_view)
            if len(together) >= _TOGETHER:
                await delivery.submit(together)
                together = []
        await delivery.submit(together)
        await delivery.drain(None)
        return True

    def _page_view(self, letter: DeadLetter, number: int) -> PageView | None:
        verdict = self._today.verdict(letter)
        if isinstance(verdict, Reason):
            self._result.filtered += 1
            return None
        website, payload = verdict or (letter.website, letter.payload)
        if payload is None:
            self._result.unreadable += 1
            return None
        return PageView.of(website, payload, Span(0, number, number + 1), number, letter.line)


class _Today:
    """What a letter's line is by today's rules."""

    def __init__(self, config: Config) -> None:
        self._sources = config.sources
        self._judges = bool(config.sites and config.sources)
        rules = config.rules()
        self._scanners = Scanners(config, config.sources, rules, following=True, in_blocks=False)
        self._samples: dict[str, list[bytes]] = {}
        self._known: dict[str, Scanner | None] = {}

    def sample(self, letter: DeadLetter) -> None:
        """Take down a line; all lines of a file together tell its format."""
        lines = self._samples.get(letter.file)
        if lines is None:
            if len(self._samples) >= _FILES or not self._judges:
                return
            lines = self._samples[letter.file] = []
        if len(lines) < _SAMPLE:
            lines.append(letter.line)

    def verdict(self, letter: DeadLetter) -> tuple[str, Payload] | Reason | None:
        """A website and a payload; why it is no page view; None where it cannot be told."""
        scanner = self._scanner(letter.file)
        if scanner is None:
            return None
        line = letter.line
        for judged in scanner.verdicts(Chunk(0, 0, len(line), line)):
            if isinstance(judged.verdict, tuple):
                before = letter.payload or judged.verdict[1]
                # Another time would be another page view: the format or the zone was mistaken.
                same = judged.verdict[1]["timestamp"] == before.get("timestamp")
                return judged.verdict if same else None
            return judged.verdict if isinstance(judged.verdict, Reason) else None
        return None

    def _scanner(self, file: str) -> Scanner | None:
        if file not in self._known and file in self._samples:
            self._known[file] = None
            source = self._source_of(file)
            if source is not None:
                lines = b"".join(line + b"\n" for line in self._samples[file])
                try:
                    number = len(self._known)
                    self._known[file] = self._scanners.make(number, source, file, lines, b"")
                except FormatError as error:
                    log.debug("%s", error)
        return self._known.get(file)

    def _source_of(self, file: str) -> int | None:
        """The first source that a log belongs to, by its path."""
        for i, source in enumerate(self._sources):
            path = source.path.rstrip("/")
            if file.startswith((f"{path}/", f"{path}.", f"{path}-")) or fnmatchcase(file, path):
                return i
        return None
