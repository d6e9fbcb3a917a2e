"""Reads discovered files to their end, oldest first, each content once; then it is done.

The same content met twice in a run (a copy, a gz beside its original) is read once, and what an
earlier run or the daemon finished is not read again.
"""

# ruff: noqa: PTH120 - names are bytes, and pathlib takes only text
from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ingestor.logfiles.archives import ArchiveReader, WrongContent
from ingestor.logfiles.compression import TAR, Damage, is_supported, is_tar
from ingestor.logfiles.discovery import Found, id_at
from ingestor.logfiles.findings import Finding
from ingestor.logfiles.heads import Heads
from ingestor.logfiles.identity import HEAD, Catalogue, Fit, fit, identity_of
from ingestor.logfiles.reader import (
    LogFile,
    Reading,
    ReadOptions,
    Rewritten,
    came_after_opening,
    last_line_end,
    read_surely,
)
from ingestor.logfiles.recognition import Home, left_of_what_was_read, recognize
from ingestor.logfiles.registry import END, Registry
from ingestor.model import Chunk, KnownFile, Marker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

_LOOKS = 5  # at all files, while logs are rotated
_QUIET = 5.0  # seconds since the last write after which an unfinished last line is taken


@dataclass(slots=True)
class BackfillCounts:
    """What was read so far. Lines are counted by who parses them."""

    files: int = 0  # files of which something was read
    bytes: int = 0  # decompressed bytes handed out
    skipped: int = 0  # files with nothing left to read: finished before, copies, empty
    damaged: int = 0  # archives that could not be read to their end
    refused: int = 0  # files that another process is reading


@dataclass(slots=True)
class _Read:
    """One content that this run has met."""

    path: bytes
    id: tuple[int, int]
    source: int
    reading: Reading
    end: int = 0  # handed out up to here
    length: int | None = None  # of the content, once it is known
    found: Found | None = None  # the archive that was read to its end
    site: str | None = None  # whose log it is


class Backfill:
    """One run over ``files`` (oldest first). Iterate over it once; plain synchronous code.

    ``final``: whether a plain file's last line counts without its newline: True, False, or None
    for "if nobody has written to the file for five seconds". ``again`` looks for the files anew,
    where logs were rotated meanwhile. ``now``: Unix seconds.
    """

    def __init__(
        self,
        files: Sequence[Found],
        registry: Registry,
        options: ReadOptions | None = None,
        *,
        final: bool | None = None,
        again: Callable[[], Sequence[Found]] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.counts = BackfillCounts()
        self.findings: list[Finding] = []
        self._files = files
        self._by_id = {found.id: found for found in files}
        self._registry = registry
        self._options = options or ReadOptions()
        self._final = final
        self._now = now
        self._again = again
        self._moved: list[Found] = []  # not at their paths any more
        self._catalogue = Catalogue(registry.known())
        self._read: dict[int, _Read] = {}
        self._heads = Heads(files)

    def __iter__(self) -> Iterator[Chunk]:
        """Read all files; what cannot be read is a finding.

        Whoever reads for hours is overtaken by logrotate: what is not at its path any more is
        looked for under the names it has then.
        """
        known = {found.id for found in self._files}
        for look in range(_LOOKS):
            yield from self._read_all()
            moved, self._moved = self._moved, []
            if not moved:
                return
            if look == _LOOKS - 1:
                self._say(moved[0], "was rotated again and again meanwhile", "run again")
                return
            self._prove()
            self._files = [] if self._again is None else self._again()
            self._by_id = {found.id: found for found in self._files}
            self._heads = Heads(self._files)
            self._tell_gone(moved, known)
            known.update(found.id for found in self._files)

    def _prove(self) -> None:
        """Let contents be known by what was read of them, wherever they are now."""
        for key, read in self._read.items():
            known, marker = self._catalogue.get(key), read.reading.marks.at(read.end)
            if known is not None and marker is not None:
                self._catalogue.add(replace(known, marker=marker))

    def _read_all(self) -> Iterator[Chunk]:
        for found in self._files:
            try:
                yield from self._read_one(found)
            except FileNotFoundError:
                self._moved.append(found)
            except OSError as error:
                what = os.strerror(error.errno) if error.errno else str(error)
                self._say(found, f"cannot be read: {what}", "mend that and run again")

    def _tell_gone(self, moved: Sequence[Found], known: Collection[tuple[int, int]]) -> None:
        """Tell of files that have no other name, and that no new one may have the content of."""
        ids = {found.id for found in self._files}
        fresh = {found.lineage for found in self._files if found.id not in known}
        for found in moved:
            if found.id not in ids and found.lineage not in fresh:
                self._say(found, "cannot be read: it was removed", "run again if it comes back")

    def source_of(self, key: int) -> int | None:
        """Index of the source that a content belongs to."""
        read = self._read.get(key)
        return None if read is None else read.source

    def path_of(self, key: int) -> bytes | None:
        """Where a content is read from."""
        read = self._read.get(key)
        return None if read is None else read.path

    def marker_at(self, key: int, offset: int) -> Marker | None:
        """Give the marker of the last chunk's end at or below ``offset``, a watermark."""
        read = self._read.get(key)
        return None if read is None else read.reading.marks.at(offset)

    def sample(self, key: int, size: int = 65_536) -> tuple[bytes, bytes]:
        """Give the first and the last ``size`` bytes of a content, to tell its format by.

        The end is empty for an archive; both are, where the file cannot be read.
        """
        home = self.home_of(key)
        if home is None:
            return b"", b""
        try:
            with home.open() as file:
                length = file.length
                start = file.read_at(0, size)
                end = b"" if length is None else file.read_at(max(0, length - size), size)
        except OSError:
            return b"", b""
        return start, end

    def interrupt(self) -> None:
        """Nothing here waits for anybody."""

    def settle(self) -> None:
        """Note which archives are acked whole, so that no later run has to look into them.

        To be called when everything that was handed out is acked.
        """
        for key, read in self._read.items():
            found, length = read.found, read.length
            if found is None or length is None or self._registry.unread(key, length):
                continue
            self._registry.remember_copy(*found.id, found.size, found.mtime_ns, key)

    # ---------------------------------------------------------------- one file

    def _say(self, found: Found, what: str, advice: str = "", *, lost: bool = False) -> None:
        self.findings.append(Finding(found.path, what, advice, lost))

    def _read_one(self, found: Found) -> Iterator[Chunk]:
        with LogFile(found.path) as file:
            if file.id != found.id:  # replaced a moment ago: take it as it is now
                if self._again is not None:
                    self._moved.append(found)
                status = os.fstat(file.fd)
                found = replace(
                    found,
                    device=file.device,
                    inode=file.inode,
                    size=status.st_size,
                    mtime_ns=status.st_mtime_ns,
                )
            if file.compression is not None and not is_supported(file.compression):
                what = f"compressed as {file.compression}, which is not read"
                self._say(found, what, "compress it as gz, bz2, xz or zst")
                return
            key = self._registry.copy_of(*found.id, found.size, found.mtime_ns)
            if key is not None and (file.compression is not None or not self._is_home(key, found)):
                self.counts.skipped += 1
                return
            yield from self._read_content(found, file)

    def _is_home(self, key: int, found: Found) -> bool:
        """Whether a plain file is where its content was seen last: it may have more of it."""
        known = self._catalogue.get(key)
        return known is not None and known.identity[:2] == found.id

    def _is_no_log(self, found: Found, file: LogFile, head: bytes) -> bool:
        """Whether there is nothing to read: an empty file, or an archive of files."""
        if came_after_opening(file, head) or (not head and file.compression is None):
            self.counts.skipped += 1
            return True
        if is_tar(head):
            self._say(found, *TAR)
            return True
        return False

    def _read_content(
        self, found: Found, file: LogFile, excluded: frozenset[int] = frozenset()
    ) -> Iterator[Chunk]:
        length = file.length or 0  # what is written from now on is for a later run
        head = file.read_at(0, HEAD)
        if self._is_no_log(found, file, head):
            return
        verdict = recognize(found, file, head, self._catalogue, self, excluded)
        known, archived = verdict.known, file.compression is not None
        if known is None:
            known = self._register(found, head, archived=archived)
        end = END if archived else length
        read = self._read.get(known.key)
        stretches = self._registry.unread(known.key, end)
        left = self._left(found, file, head, known) if stretches[:1] == [(0, end)] else None
        if left is not None:
            stretches = _behind(stretches, left.offset)
        if read is not None:  # a copy, or the rest of what this run has begun elsewhere
            whole = archived and read.length is not None
            stretches = [] if whole else _behind(stretches, read.end)
        if not stretches:
            self.counts.skipped += 1
            return
        if not self._registry.claim(known.key):
            self.counts.refused += 1
            what = "the running daemon, or another backfill, is reading it"
            self._say(found, what, "run again when it is done")
            return
        reading = Reading(known.key, stretches, self._options, left or known.marker)
        if read is None:
            read = self._read[known.key] = _Read(
                found.path, found.id, found.source, reading, site=found.site
            )
        else:
            reading.marks = read.reading.marks
            read.path, read.id, read.reading = found.path, found.id, reading
            read.site = found.site
        if left is not None:
            yield Chunk(known.key, 0, left.offset, b"")
        if archived:
            yield from self._archive(found, file, known, read, excluded)
        else:
            self._remember_place(known, found, head)
            yield from self._plain(found, file, length, read, head)

    def _left(self, found: Found, file: LogFile, head: bytes, known: KnownFile) -> Marker | None:
        """How far new content was read as what stood there before; all of it, not the live part."""
        left = left_of_what_was_read(found, file, head, self._catalogue, self, known.key)
        return left.marker if left is not None and left.origin == 0 else None

    def _register(self, found: Found, head: bytes, *, archived: bool) -> KnownFile:
        identity = identity_of(found.device, found.inode, head)
        key = self._registry.register(identity, found.path, archived=archived)
        known = KnownFile(key, identity, None, found.path, 0, 0, archived)
        self._catalogue.add(known)
        return known

    def _remember_place(self, known: KnownFile, found: Found, head: bytes) -> None:
        """Let the fingerprint grow with a plain file."""
        if len(head) > known.identity.fingerprint_length:
            identity = identity_of(found.device, found.inode, head)
            self._registry.update(known.key, identity=identity, path=found.path)

    def _plain(
        self, found: Found, file: LogFile, length: int, read: _Read, head: bytes
    ) -> Iterator[Chunk]:
        reading = read.reading
        if not self._is_final(found):
            length = last_line_end(file, length)
        reading.end_at(length)
        if reading.finished:
            self.counts.skipped += 1
            return
        self.counts.files += 1
        try:
            while not reading.finished:
                chunks = read_surely(file, reading, self._options, head)
                yield from self._hand_out(read, chunks)
        except Rewritten:
            what = "truncated or rewritten while it was read"
            self._say(found, what, "run again for what it has now")

    def _is_final(self, found: Found) -> bool:
        if self._final is not None:
            return self._final
        return abs(self._now() - found.mtime_ns / 1e9) >= _QUIET

    def _archive(
        self,
        found: Found,
        file: LogFile,
        known: KnownFile,
        read: _Read,
        excluded: frozenset[int],
    ) -> Iterator[Chunk]:
        marker = known.marker if read.end == 0 else None
        archive = ArchiveReader(file, read.reading, self._options, marker)
        before = self.counts.bytes
        try:
            archive.check()
            while (chunks := archive.step()) is not None:
                yield from self._hand_out(read, chunks)
            read.length, read.found = archive.decompressed, found
            read.reading.retire()
        except WrongContent:
            del self._read[known.key]
            yield from self._read_content(found, file, excluded | {known.key})
            return
        except Damage as damage:
            self.counts.damaged += 1
            what = f"{damage}; whole lines were read up to offset {read.reading.cutter.start}"
            self._say(found, what, "run again when the file is mended", lost=True)
        if self.counts.bytes > before:
            self.counts.files += 1
        else:
            self.counts.skipped += 1

    def _hand_out(self, read: _Read, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            read.end = max(read.end, chunk.end)
            self.counts.bytes += chunk.end - chunk.start
            yield chunk

    # ---------------------------------------------------------------- surroundings

    def home_of(self, key: int) -> Home | None:
        """Where this run met a content before, or an earlier one left it, if it is still there."""
        read = self._read.get(key)
        if read is None:
            return self._standing(key)
        if not _found_again(read):
            return None
        return Home(read.id, read.path, None, length=read.end, site=read.site)

    def _standing(self, key: int) -> Home | None:
        """Where an earlier run left a plain log, if this run was given it and it is there still.

        What begins as it does is another log's if it goes on differently, though all is acked.
        """
        known = self._catalogue.get(key)
        found = None if known is None else self._by_id.get(known.identity[:2])
        if known is None or known.archived or found is None:
            return None
        try:
            with LogFile(found.path) as file:
                same = file.id == found.id and file.compression is None
                if not same or fit(known, file, file.read_at(0, HEAD)) is not Fit.YES:
                    return None
        except OSError:
            return None
        return Home(found.id, found.path, None, length=known.watermark, site=found.site)

    def own_marker(self, key: int) -> Marker | None:
        """Nothing fresher than the registry's (for `recognize`)."""
        del key
        return None

    def with_longer_head(self, head: bytes, path: bytes) -> Iterable[int]:
        """Known contents of the same log of which ``head`` is a beginning (for `recognize`)."""
        for found, longer in self._heads.longer_than(head, path):
            for known in self._catalogue.candidates(found.device, found.inode, longer):
                yield known.key


def _found_again(read: _Read) -> bool:
    """Whether a content is still at its place; where it was renamed in its directory, note that."""
    try:
        if id_at(read.path) == read.id:
            return True
        directory = os.path.dirname(read.path) or b"."
        with os.scandir(directory) as entries:
            paths = [entry.path for entry in entries if entry.inode() == read.id[1]]
        for path in paths:
            if id_at(path) == read.id:
                read.path = path
                return True
    except OSError:
        pass
    return False


def _behind(stretches: Sequence[tuple[int, int]], offset: int) -> list[tuple[int, int]]:
    """Cut off what is below ``offset``."""
    cut = [(max(start, offset), end) for start, end in stretches]
    return [stretch for stretch in cut if stretch[0] < stretch[1]]
