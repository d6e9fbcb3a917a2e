"""What backfill and preview are asked to do, where their lines come from, and what they found."""

from __future__ import annotations

import logging
import os
import select
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from ingestor.config import Source
from ingestor.errors import UsageError
from ingestor.logfiles import (
    Backfill,
    BackfillCounts,
    Damage,
    Discovered,
    Finding,
    FollowSource,
    Found,
    MemoryRegistry,
    ReadOptions,
    Registry,
    Unsupported,
    discover,
    owned,
    read_descriptor,
)
from ingestor.model import Reason
from ingestor.observe import Counts
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingestor.config import Config
    from ingestor.model import Chunk, Marker

log = logging.getLogger("ingestor")

STDIN = "-"
_STDIN_KEY = 1
CHUNK = 768 * 1024  # bytes read at a time, at least: scanning finds all values of so many at once
_WORTH = 32_000_000  # bytes: for less, starting processes takes longer than the work
_NAMED = 3  # files that a summary names
_MANY, _SHARE = 20, 0.05  # lines without an address, and of all, that are worth a word
_SQUEEZED = 10  # how much smaller an archive is


@dataclass(frozen=True, slots=True)
class Job:
    """Which logs, and which span of time (Unix seconds; from `since` to just before `until`)."""

    sources: tuple[Source, ...]
    since: int | None = None
    until: int | None = None
    named: bool = False  # a person typed the paths: one that names nothing is a mistake
    configured: tuple[Source, ...] = ()  # then: whose settings hold for what lies in them
    jobs: int = 1  # processes that scan; with 1, this one does
    allow_hidden: bool = False  # send what is older than a website's reset
    allow_overlap: bool = False  # send although others counted these days

    @property
    def settings(self) -> tuple[Source, ...]:
        """What the index of a file's source (`Lines.source_of`) counts in."""
        return self.sources + self.configured

    @property
    def is_stdin(self) -> bool:
        """Whether standard input is read; raises UsageError where it is named beside files."""
        named = [source.path == STDIN for source in self.sources]
        if any(named) and not all(named):
            raise UsageError("`-` (standard input) stands alone; read files in a run of their own.")
        return all(named)


@dataclass(slots=True)
class Result:
    """What a run came to; the command prints it."""

    counts: Counts
    seconds: float
    preview: bool = False
    unexplained: list[str] = field(default_factory=list)  # files that no format explains
    problems: list[str] = field(default_factory=list)  # what a person should look at
    error: Exception | None = None  # what stopped the run
    interrupted: bool = False  # by a signal: what is left, the same command does

    @property
    def exit_code(self) -> int:
        """0 fine, 1 something was rejected or failed; what stopped the run brings its own."""
        if self.error is not None:
            return int(getattr(self.error, "exit_code", 1))
        return 1 if self.problems or self.counts.rejected or self.unexplained else 0

    def as_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        found = self.counts.as_json(self.seconds, preview=self.preview)
        return found | {
            "unexplained": self.unexplained,
            "problems": self.problems,
            "interrupted": self.interrupted,
        }

    def as_text(self) -> str:
        """The summary for people."""
        text = self.counts.as_text(self.seconds, preview=self.preview)
        if self.interrupted:
            text += "\n  Interrupted: this is not all of it. The same command again goes on here."
        if not self.unexplained:
            return text
        left = f"{counted(len(self.unexplained), 'file')} left unread, as said above:"
        return f"{text}\n  {left} {_some(self.unexplained)}"


def _some(names: Sequence[str]) -> str:
    """``a, b, c and 4 more``."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class Lines(Protocol):
    """Where the lines of a job come from."""

    counts: BackfillCounts
    findings: list[Finding]

    def __iter__(self) -> Iterator[Chunk]:
        """Give all chunks, file by file."""
        ...

    def source_of(self, key: int) -> int | None:
        """Index of the source a chunk belongs to."""
        ...

    def path_of(self, key: int) -> bytes | None:
        """Path of the file a chunk belongs to."""
        ...

    def sample(self, key: int, size: int = 65_536) -> tuple[bytes, bytes]:
        """Give the first and the last bytes of a file."""
        ...

    def marker_at(self, key: int, offset: int) -> Marker | None:
        """Give the proof of an offset."""
        ...

    def settle(self) -> None:
        """Everything handed out is acked."""
        ...

    def interrupt(self) -> None:
        """No more is wanted: whoever waits for it gives up."""
        ...


def places(sources: Sequence[Source]) -> list[FollowSource]:
    """Sources as the readers of logs take them."""
    return [
        FollowSource(
            path=source.path.encode(errors="surrogateescape"),
            include=source.include,
            exclude=source.exclude,
            site=source.site,
        )
        for source in sources
    ]


def look(job: Job, *, required: bool = False) -> Discovered:
    """Find the files of a job once: a configured source's with generations, as it is followed.

    Raises UsageError where one is ``required`` and names nothing.
    """
    generations = not job.named
    return discover(places(job.sources), generations=generations, once=True, required=required)


def lines_of(config: Config, job: Job, registry: Registry | None) -> Lines:
    """Find the files of a job; without a registry, nothing is remembered.

    Raises UsageError where a path that a person typed names nothing; of a configured source that
    is a finding, and the others are read.
    """
    options = config.follow.read
    if job.is_stdin:
        return StandardInput(options)
    options = replace(options, chunk_bytes=max(options.chunk_bytes, CHUNK))
    found = look(job, required=job.named)
    final = True if registry is None else None

    def in_sources(files: list[Found]) -> list[Found]:
        if not job.configured:
            return files
        return owned(files, places(job.configured), len(job.sources))

    def again() -> list[Found]:
        return in_sources(look(job).files)

    files = in_sources(found.files)
    lines = Backfill(files, registry or MemoryRegistry(), options, final=final, again=again)
    lines.findings += found.findings
    if not job.named:
        lines.findings += empty_sources(job.sources, found)
    return lines


def empty_sources(sources: Sequence[Source], discovered: Discovered) -> list[Finding]:
    """Find the sources that name no log, though nothing was said of their paths."""
    used = {found.source for found in discovered.files}
    said = {finding.path for finding in discovered.findings}
    return [
        Finding(
            place.path,
            f"no log is there that include ({', '.join(place.include)}) takes",
            "check path, include and exclude",
        )
        for i, place in enumerate(places(sources))
        # Another source may have its files.
        if i not in used and place.path not in said and not discover([place]).files
    ]


def unread_bytes(job: Job, registry: Registry) -> int:
    """Guess how many bytes of content a job has to read; archives are taken to be a tenth."""
    known = {(file.identity.device, file.identity.inode): file for file in registry.known()}
    total = 0
    for found in look(job).files:
        if found.path.endswith((b".gz", b".bz2", b".xz", b".zst")):
            if registry.copy_of(*found.id, found.size, found.mtime_ns) is None:  # not read whole
                total += found.size * _SQUEEZED
        elif (file := known.get(found.id)) is not None:
            total += sum(end - start for start, end in registry.unread(file.key, found.size))
        else:
            total += found.size
    return total


def is_worth_processes(job: Job) -> bool:
    """Whether several processes are wanted, and there is enough for them, were it all unread."""
    if job.jobs < 2 or job.is_stdin:  # noqa: PLR2004 - "several"
        return False
    return unread_bytes(job, MemoryRegistry()) >= _WORTH


class StandardInput:
    """Standard input as one file; it cannot be read twice, so nothing of it is remembered."""

    def __init__(self, options: ReadOptions) -> None:
        self.counts = BackfillCounts()
        self.findings: list[Finding] = []
        self._options = options
        self._first = b""
        self._wake, self._woken = os.pipe()
        self._either = select.poll()
        for descriptor in (0, self._wake):
            self._either.register(descriptor, select.POLLIN)

    def interrupt(self) -> None:
        """Have a thread that waits for more give up."""
        os.write(self._woken, b"\0")

    def _wait(self) -> bool:
        return self._wake not in dict(self._either.poll())

    def __iter__(self) -> Iterator[Chunk]:
        """Read to the end; damage is a finding."""
        self.counts.files = 1
        try:
            for chunk in read_descriptor(0, _STDIN_KEY, self._options, self._wait):
                self._first = self._first or chunk.data
                self.counts.bytes += chunk.end - chunk.start
                yield chunk
        except (Damage, Unsupported, OSError) as error:
            self.findings.append(Finding(b"standard input", str(error), lost=True))

    def source_of(self, key: int) -> int | None:
        """There is one source."""
        return key - _STDIN_KEY

    def path_of(self, key: int) -> bytes | None:
        """A name for messages."""
        del key
        return b"standard input"

    def sample(self, key: int, size: int = 65_536) -> tuple[bytes, bytes]:
        """Give what came first."""
        del key
        return self._first[:size], b""

    def marker_at(self, key: int, offset: int) -> Marker | None:
        """Nothing is remembered."""
        del key, offset
        return None

    def settle(self) -> None:
        """Nothing is remembered."""


def say_unaddressed(counts: Counts) -> None:
    """Warn where many lines hold something else where their format has the client's address."""
    lines = counts.filtered[Reason.BAD_ADDRESS]
    if lines >= _MANY and lines >= _SHARE * counts.lines:
        log.warning(
            "%s of %s have no client's address where their format has it, and cannot be counted "
            "(bad_address): `ingestor preview --lines` shows them. Perhaps the server logs names "
            "(HostnameLookups Off mends that), or a named format meets lines of another one.",
            f"{lines:,}",
            counted(counts.lines, "line"),
        )


def say_findings(findings: Sequence[Finding]) -> list[str]:
    """Log what the readers found; gives the texts."""
    for finding in findings:
        log.log(logging.ERROR if finding.lost else logging.WARNING, "%s", finding)
    return [str(finding) for finding in findings]
