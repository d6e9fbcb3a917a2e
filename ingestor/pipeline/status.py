"""How far everything is, from the checkpoint and the logs themselves, beside a running daemon.

One short look at the checkpoint and one at each log: nothing is written, and nobody waits. The age
of a backlog is that of its first line by the line's own time, so that it holds with the daemon
stopped as well.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ingestor.checkpoint import Role, read
from ingestor.errors import FormatError
from ingestor.formats import detect, format_named
from ingestor.logfiles import END, Copies, discover, readable
from ingestor.logfiles.compression import is_tar
from ingestor.logfiles.reader import LogFile
from ingestor.model import Hit, Outcome
from ingestor.observe import human_bytes, printable
from ingestor.pipeline.job import places
from ingestor.pipeline.leftover import STARTED
from ingestor.pipeline.scanners import sample_lines
from ingestor.pipeline.supervision import STANDING, standing_of
from ingestor.pipeline.totals import AMENDED, SENT_AGAIN, by_source
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ingestor.checkpoint import FileSnapshot, Snapshot
    from ingestor.config import Config, Source
    from ingestor.logfiles import Found

_SAMPLE = 65_536  # bytes
_BEGINNING = 512  # bytes, that tell a tar archive
_DATED = 100  # logs whose backlog is dated by its first line; of others by the last write
_DAY = 86_400  # seconds
_BLOCK = 1 << 20  # bytes
# Totals that are told first; a monitor finds them in the JSON from the beginning, at 0.
_ALWAYS = ("lines", "accepted", "refused_as_bot", "rejected")


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One log that can grow. Sizes and offsets in bytes, times in Unix seconds."""

    path: str
    size: int
    offset: int  # everything before it is done with
    backlog: int  # bytes that are not
    age: float | None  # seconds that the first line of the backlog has been waiting; None: no line
    last_page_view: int | None
    trouble: str = ""  # why it cannot be read
    left: int = 0  # bytes at its beginning that no backfill has read

    def as_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        names = ("path", "size", "offset", "backlog", "age", "last_page_view", "left")
        found = {name: getattr(self, name) for name in names}
        return found | ({"trouble": self.trouble} if self.trouble else {})


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source as configured."""

    path: str
    files: tuple[FileStatus, ...]
    archives: int  # files that cannot grow
    totals: dict[str, int]  # outcome or reason → lines, since the checkpoint began
    trouble: str  # why it cannot be looked at; "" where it can

    def as_json(self) -> dict[str, Any]:
        """Give its object of ``--json``."""
        found = {
            "path": self.path,
            "files": [file.as_json() for file in self.files],
            "archives": self.archives,
            "totals": self.totals,
        }
        return found | ({"trouble": self.trouble} if self.trouble else {})


@dataclass(slots=True)
class Status:
    """Everything that `status` tells; ``max_lag`` in seconds is what makes the exit code 1."""

    path: Path
    running: dict[str, int]  # role → process id, 0 where it is hidden
    sources: list[SourceStatus]
    in_flight: int  # page views
    in_doubt: int
    dead_letters: int
    away_since: float | None  # None also while no daemon runs that could tell
    parked: list[str]
    totals: dict[str, int]
    amended: int = 0  # page views among them that a source still counts as accepted
    sent_again: int = 0  # … and as rejected: dead letters that Umami took later on
    max_lag: float | None = None
    error: None = None
    now: float = field(default_factory=time.time)

    @property
    def lag(self) -> float:
        """How many seconds the oldest line that is not done with has been waiting."""
        ages = [file.age for source in self.sources for file in source.files]
        return max((age for age in ages if age is not None), default=0.0)

    @property
    def backlog(self) -> int:
        """Bytes that are not done with, in all logs."""
        return sum(file.backlog for source in self.sources for file in source.files)

    @property
    def exit_code(self) -> int:
        """1 where it is behind by more than it may be, or by what nobody can tell."""
        if self.max_lag is None:
            return 0
        files = [file for source in self.sources for file in source.files]
        hidden = any(file.trouble and file.backlog for file in files)
        return 1 if hidden or self.lag > self.max_lag else 0

    def as_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        return {
            "checkpoint": str(self.path),
            "running": self.running,
            "lag": round(self.lag, 3),
            "backlog": self.backlog,
            "in_flight": self.in_flight,
            "in_doubt": self.in_doubt,
            "dead_letters": self.dead_letters,
            "away_since": self.away_since,
            "parked": self.parked,
            "totals": dict.fromkeys(_ALWAYS, 0) | self.totals,
            "amended": self.amended,
            "sent_again": self.sent_again,
            "sources": [source.as_json() for source in self.sources],
        }

    def as_text(self) -> str:
        """The report for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"checkpoint    {self.path}"
        for role in Role:
            pid = self.running.get(role)
            if pid is not None or role is Role.RUN:
                name = "daemon" if role is Role.RUN else str(role)
                process = f", process {pid}" if pid else ""
                yield f"{name:<14}{'not running' if pid is None else f'running{process}'}"
        if self.away_since is not None:
            lasted = _span(self.now - self.away_since)
            yield f"Umami         away since {_moment(self.away_since)} ({lasted})"
        for website in self.parked:
            yield f"parked        website {website}: its page views wait in the logs"
        yield f"behind        {_span(self.lag)}, {human_bytes(self.backlog)}"
        yield f"in flight     {self.in_flight:,}"
        yield f"in doubt      {self.in_doubt:,}"
        yield f"dead letters  {self.dead_letters:,}"
        yield f"totals        {_totals(self.totals)}"
        if self.amended:
            yield (
                f"              (Umami took {self.amended:,} of them for a bot's later on; by "
                "source they still stand under accepted)"
            )
        if self.sent_again:
            yield (
                f"              ({self.sent_again:,} of them were dead letters that went out "
                "again; by source they still stand under rejected)"
            )
        for source in self.sources:
            yield ""
            archives = f" ({counted(source.archives, 'archive')})" if source.archives else ""
            trouble = f": {source.trouble}" if source.trouble else ""
            yield f"{printable(source.path)}{archives}{trouble}"
            if source.totals:
                yield f"  {_totals(source.totals)}"
            for file in source.files:
                yield f"  {printable(file.path)}: {_file(file)}"


def status(config: Config, *, max_lag: float | None = None) -> Status:
    """Take one look. Raises CheckpointError where there is no checkpoint, or it cannot be read."""
    snapshot = read(config.checkpoint.path)
    standing = standing_of(snapshot.notes.get(STANDING))
    totals = by_source([*snapshot.totals.values(), snapshot.amended])
    look = _Look(snapshot, standing["newest"], totals)
    whole: Counter[str] = Counter()
    for counts in totals.values():
        whole.update(counts)
    again = totals.get(SENT_AGAIN, {})
    rejected = max(0, whole[Outcome.REJECTED])  # letters of standard input were never counted
    return Status(
        path=snapshot.path,
        running={str(role): pid for role, pid in snapshot.alive.items()},
        sources=look.sources(config.sources) if config.sources else [look.known_files()],
        in_flight=snapshot.in_flight,
        in_doubt=snapshot.in_doubt,
        dead_letters=_count_letters(config.delivery_options().dead_letters),
        away_since=standing["away_since"] if Role.RUN in snapshot.alive else None,
        parked=standing["parked"] if Role.RUN in snapshot.alive else [],
        totals=dict(whole) | ({str(Outcome.REJECTED): rejected} if again else {}),
        amended=totals.get(AMENDED, {}).get(Outcome.REFUSED_AS_BOT, 0),
        sent_again=-again.get(Outcome.REJECTED, 0),
        max_lag=max_lag,
    )


class _Look:
    """One look at all logs, beside what the checkpoint knows of them."""

    def __init__(
        self,
        snapshot: Snapshot,
        newest: dict[int, int],
        totals: Mapping[str, Mapping[str, int]],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._by_place = {
            (file.identity.device, file.identity.inode): file for file in snapshot.files
        }
        self._files = snapshot.files
        self._copies = snapshot.copies
        self._newest = newest
        self._totals = totals
        self._began = STARTED in snapshot.notes  # from then on, new files are the daemon's
        self._now = wall()
        self._dated = 0
        self._sites: dict[tuple[int, int], str | None] = {}

    def sources(self, sources: Sequence[Source]) -> list[SourceStatus]:
        """Look at what is there now, source by source."""
        files: list[list[FileStatus]] = [[] for _ in sources]
        archives = [0] * len(sources)
        looked_at = places(sources)
        discovered = discover(looked_at)
        said = {finding.path: finding.what for finding in discovered.findings}
        self._sites = {found.id: found.site for found in discovered.files}
        for found in discovered.files:
            seen = self._look_at(found.path, found, sources[found.source])
            if seen is None:
                archives[found.source] += 1
            else:
                files[found.source].append(seen)
        return [
            self._source(source.path, files[i], archives[i], said.get(looked_at[i].path, ""))
            for i, source in enumerate(sources)
        ]

    def known_files(self) -> SourceStatus:
        """Without a configuration: what the checkpoint knows and is still in its place."""
        seen = [self._look_at(file.path, None, None) for file in self._files]
        there = [file for file in seen if file is not None]
        return self._source("(all known logs)", there, len(seen) - len(there))

    def _source(
        self, path: str, files: Sequence[FileStatus], archives: int, trouble: str = ""
    ) -> SourceStatus:
        return SourceStatus(path, tuple(files), archives, dict(self._totals.get(path, {})), trouble)

    def _look_at(
        self, path: bytes, found: Found | None, source: Source | None
    ) -> FileStatus | None:
        """One log; None for an archive, or for one that is not there any more."""
        name = readable(path)
        try:
            with LogFile(path) as file:
                size = file.length
                if size is None or is_tar(file.read_at(0, _BEGINNING)):
                    return None
                known = self._by_place.get(file.id)
                is_new = known is None or not known.identity.fingerprint_length  # or was empty
                if is_new and found is not None and self._unregistered.has(found, file):
                    return FileStatus(name, size, size, 0, None, None)
                return self._weigh(name, file, size, known, source)
        except OSError as error:
            if found is None:
                return None
            known = self._by_place.get(found.id)
            offset, backlog = self._progress(known, found.size)
            trouble = f"cannot be read: {error.strerror}"
            return FileStatus(name, found.size, offset, backlog, None, None, trouble)

    @cached_property
    def _unregistered(self) -> Copies:
        """Copies that the checkpoint does not name: of logs that were not read from their start."""
        return Copies(self._files, self._sites)

    def _weigh(
        self, name: str, file: LogFile, size: int, known: FileSnapshot | None, source: Source | None
    ) -> FileStatus:
        offset, backlog = self._progress(known, size)
        if (*file.id, size, os.fstat(file.fd).st_mtime_ns) in self._copies:
            offset, backlog = size, 0
        newest = None if known is None else self._newest.get(known.key)
        age = self._age(file, offset, source) if backlog else None
        left = 0
        if known is not None and known.origin < END:
            left = max(0, known.origin - known.from_start)
        return FileStatus(name, size, offset, backlog, age, newest, left=left)

    def _progress(self, known: FileSnapshot | None, size: int) -> tuple[int, int]:
        """Offset and backlog; a file that is shorter than what was read is another one by now."""
        if known is None:
            return (0, size) if self._began else (size, 0)
        if known.origin >= END:  # a backfill's alone
            return size, 0
        if known.watermark > size:
            return 0, size
        return known.watermark, max(0, size - known.watermark - known.beyond)

    def _age(self, file: LogFile, offset: int, source: Source | None) -> float | None:
        rest = file.read_at(offset, _SAMPLE)
        if b"\n" not in rest and len(rest) < _SAMPLE:
            return None  # an unfinished last line waits for its newline
        self._dated += 1
        moment = _first_time(file, rest, source, self._now) if self._dated <= _DATED else None
        if moment is None:
            moment = os.fstat(file.fd).st_mtime
        return max(0.0, self._now - moment)


def _first_time(file: LogFile, rest: bytes, source: Source | None, now: float) -> float | None:
    """The time of the first line, of the first few, that a format explains."""
    lines = sample_lines(rest)[:100]
    latest = int(now) + _DAY
    zone = None if source is None or source.timezone is None else ZoneInfo(source.timezone)
    head = sample_lines(file.read_at(0, _SAMPLE))[:100]
    try:
        if source is None or source.format == "auto":
            line_format = detect([*head, *lines], latest=latest, timezone=zone).format
        else:
            line_format = format_named(source.format, timezone=zone)
    except FormatError:
        return None
    if line_format is None:
        return None
    line_format = line_format.for_file(head)
    for line in lines[:20]:
        hit = line_format.parse(line, latest)
        if isinstance(hit, Hit):
            return hit.time
    return None


def _count_letters(path: Path | None) -> int:
    count = 0
    for half in () if path is None else (path, path.with_name(f"{path.name}.1")):
        try:
            if not half.is_file():  # opening a FIFO would wait for somebody who writes
                continue
            with half.open("rb") as file:
                while block := file.read(_BLOCK):
                    count += block.count(b"\n")
        except OSError:
            continue
    return count


def _file(file: FileStatus) -> str:
    if file.trouble:
        return file.trouble
    parts = [f"offset {file.offset:,}"]
    if file.backlog:
        age = "" if file.age is None else f", {_span(file.age)} old"
        parts.append(f"backlog {human_bytes(file.backlog)}{age}")
    if file.left:
        parts.append(f"{human_bytes(file.left)} at its beginning left to a backfill")
    if file.last_page_view is not None:
        parts.append(f"last page view {_moment(file.last_page_view)}")
    return ", ".join(parts)


def _totals(totals: dict[str, int]) -> str:
    if not totals:
        return "nothing yet"
    first = [f"{name.replace('_', ' ')} {totals[name]:,}" for name in _ALWAYS if totals.get(name)]
    rest = [
        f"{name.replace('.', ' ')} {count:,}"
        for name, count in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
        if name not in _ALWAYS
    ]
    return ", ".join([*first, *rest])


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _span(seconds: float) -> str:
    """``4 s``, ``12 min``, ``3.5 h``, ``2.0 d``."""
    if seconds < 120:  # noqa: PLR2004 - two minutes read best in seconds
        return f"{seconds:.0f} s"
    if seconds < 7200:  # noqa: PLR2004 - likewise in minutes
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.1f} d"
