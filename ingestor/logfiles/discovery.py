"""Files, directories and globs → the regular files behind them, oldest first.

Names are bytes from end to end. A path that cannot be looked at is a finding, never the end;
only a path given on the command line that names nothing is a usage error.
"""

# ruff: noqa: PTH112, PTH114, PTH116, PTH118, PTH119, PTH120 - names are bytes, and pathlib takes only text
from __future__ import annotations

import fnmatch
import os
import re
import stat
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from ingestor.errors import UsageError
from ingestor.logfiles.directories import mtime_of
from ingestor.logfiles.findings import Finding, readable
from ingestor.logfiles.generations import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MAGIC = re.compile(rb"[*?[]")
_LEFTOVERS = (b"~", b".swp", b".tmp", b".part", b".filepart")
_MAX_DEPTH = 32  # directories below a source; deeper is a mistake or a trap


@dataclass(frozen=True, slots=True)
class FollowSource:
    """One place where logs are: a file, a directory (searched with what is below it) or a glob.

    ``include`` and ``exclude`` are shell patterns on a file's name, and on its path below the
    source; there ``exclude`` only with a slash in it, for a site's directory may have any word in
    its name. ``include`` chooses in directories, and where a glob ends in a mere ``*``: any other
    says itself which files it means. A file that was named itself is never excluded. Hidden files
    and editors' leftovers are passed over. ``site`` is whose the logs are: those of two sites are
    never copies of each other, however alike they begin.
    """

    path: bytes
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ("*error*",)
    site: str | None = field(default=None, compare=False)  # another one moves no file


@dataclass(frozen=True, slots=True)
class Found:
    """One physical file, met once however many names lead to it."""

    path: bytes  # symbolic links of the file itself are resolved
    source: int  # index of the first source that names it
    device: int
    inode: int
    size: int  # bytes on disk
    mtime_ns: int
    site: str | None = None  # its source's

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode

    @property
    def lineage(self) -> bytes:
        """The directory and live name of the log that this file is a generation of."""
        return lineage_of(self.path)


@dataclass(slots=True)
class Discovered:
    """What one look at all sources gave."""

    files: list[Found] = field(default_factory=list)  # oldest first
    findings: list[Finding] = field(default_factory=list)
    directories: set[bytes] = field(default_factory=set)  # where a new file could appear


@lru_cache(maxsize=32768)
def lineage_of(path: bytes) -> bytes:
    """Directory and live name: the same for all generations of one log."""
    directory, name = os.path.split(path)
    return os.path.join(directory, os.fsencode(parse(os.fsdecode(name)).base))


def id_at(path: bytes) -> tuple[int, int] | None:
    """Device and inode of what stands at a path now; None where nothing can be seen there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def discover(
    sources: Sequence[FollowSource],
    *,
    generations: bool = True,
    once: bool = False,
    required: bool = False,
    as_before: bool = False,
) -> Discovered:
    """Find the files of all sources, oldest first, each physical file once.

    With ``generations``, rotated siblings of a named file, or of one that a glob matches, belong
    to it. With ``once``, this is the only look that is taken, and findings say so. With
    ``required``, a source that names nothing is an error. With ``as_before``, every pattern of
    ``exclude`` holds for paths as well, as in earlier versions.

    Raises:
        UsageError: ``required``, and a path does not exist or a glob matches nothing.

    """
    result = Discovered()
    listings: dict[bytes, _Listing] = {}
    seen: dict[tuple[int, int], Found] = {}
    for index, source in enumerate(sources):
        before = len(seen)
        look = _Look(
            source,
            index,
            result,
            listings,
            generations=generations,
            once=once,
            as_before=as_before,
        )
        for found in look.files():
            seen.setdefault(found.id, found)
        if required and before == len(seen):
            _require(source)
    result.files = oldest_first(seen.values())
    return result


def owned(files: Sequence[Found], owners: Sequence[FollowSource], first: int) -> list[Found]:
    """Give files that lie in one of ``owners`` to it; its index counts from ``first``.

    An owner whose patterns take the file comes before one that only has it in its directory.
    """
    found = {one.id: one for one in discover(owners).files}
    if any(one.id not in found for one in files):
        wide = [replace(owner, include=("*",), exclude=()) for owner in owners]
        found = {one.id: one for one in discover(wide).files} | found
    return [
        one
        if (mine := found.get(one.id)) is None
        else replace(one, source=first + mine.source, site=mine.site)
        for one in files
    ]


def _require(source: FollowSource) -> None:
    if os.path.lexists(source.path):
        return
    shown = readable(source.path)
    if _MAGIC.search(source.path):
        raise UsageError(f"no file matches {shown}; quote the pattern and check its directory")
    raise UsageError(f"there is no {shown}; check the path")


def oldest_first(files: Iterable[Found]) -> list[Found]:
    """Sort by modification time, but never against the order that generations' names tell."""
    lineages: dict[bytes, list[Found]] = {}
    for found in sorted(files, key=lambda one: (one.mtime_ns, one.path)):
        lineages.setdefault(found.lineage, []).append(found)
    keyed: list[tuple[int, bytes, int, Found]] = []
    for lineage, members in lineages.items():
        latest = 0
        for index, found in enumerate(_by_rank(members)):
            latest = max(latest, found.mtime_ns)
            keyed.append((latest, lineage, index, found))
    keyed.sort(key=lambda entry: entry[:3])
    return [entry[3] for entry in keyed]


def _by_rank(members: list[Found]) -> list[Found]:
    """Oldest generation first; stays as it is (by time) where names count in different ways."""
    names = [parse(os.fsdecode(os.path.basename(found.path))) for found in members]
    if len({name.kind for name in names} - {"live"}) != 1:
        return members
    order = sorted(range(len(members)), key=lambda i: (names[i].kind == "live", names[i].rank, i))
    return [members[i] for i in order]


@lru_cache(maxsize=256)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


@lru_cache(maxsize=256)
def _component(glob: bytes) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(os.fsdecode(glob)))


class _Listing:
    """What is in a directory, for all sources that look into it.

    A hoster has a source for each of five hundred logs in one directory, and thousands of their
    generations beside them. ``mtime_ns``: of the directory, just before it was listed.
    """

    def __init__(self, mtime_ns: int, entries: list[os.DirEntry[bytes]]) -> None:
        self.mtime_ns = mtime_ns
        self.entries = entries

    @cached_property
    def by_base(self) -> dict[str, list[os.DirEntry[bytes]]]:
        """All but hidden files and leftovers, by the live name of their log."""
        found: dict[str, list[os.DirEntry[bytes]]] = {}
        for entry in self.entries:
            if not _is_out(entry.name):
                found.setdefault(parse(os.fsdecode(entry.name)).base, []).append(entry)
        return found


class _Look:
    """One source, looked at once. ``listings``: the directories that this look has listed."""

    def __init__(
        self,
        source: FollowSource,
        index: int,
        result: Discovered,
        listings: dict[bytes, _Listing],
        *,
        generations: bool,
        once: bool,
        as_before: bool,
    ) -> None:
        self._source = source
        self._index = index
        self._result = result
        self._listings = listings
        self._generations = generations
        self._once = once
        globs = source.exclude if as_before else (glob for glob in source.exclude if "/" in glob)
        self._excluded_paths = tuple(globs)
        self._visited: set[tuple[int, int]] = set()  # directories: symlink loops end here
        self._targets: set[bytes] = set()  # of symbolic links

    def files(self) -> Iterator[Found]:
        """Give all files; a log that a link leads to is rotated where it is, by its own name."""
        yield from self._at_path()
        if self._generations and self._targets:
            yield from self._generations_of({lineage_of(target) for target in self._targets})

    def _at_path(self) -> Iterator[Found]:
        path = self._source.path
        try:
            status = os.stat(path)
        except OSError as error:
            if _MAGIC.search(path) and not os.path.lexists(path):
                yield from self._glob()
                return
            self._say(path, error)
            self._result.directories.add(os.path.dirname(path) or b".")
            if self._generations:
                yield from self._siblings(path)
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._walk(path, b"", 0)
        else:
            yield from self._named(path)

    def _say(self, path: bytes, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            again = "it is looked for again every few seconds"
            advice = "check the path, or the link" if self._once else again
        elif isinstance(error, PermissionError):
            advice = "give the program's user the right to read it (group adm on Debian)"
        else:
            advice = "" if self._once else "it is tried again"
        what = os.strerror(error.errno) if error.errno else str(error)
        self._result.findings.append(Finding(path, what, advice))

    def _named(self, path: bytes) -> Iterator[Found]:
        """A file that was named itself, with its generations."""
        found = self._file(path)
        if self._generations:
            yield from self._siblings(path)
        if found is not None:
            yield found

    def _siblings(self, path: bytes) -> Iterator[Found]:
        directory, name = os.path.split(path)
        base = parse(os.fsdecode(name)).base
        for entry in self._listing(directory or b".").by_base.get(base, ()):
            if entry.name != name and not self._excluded(entry.name):
                found = self._file(os.path.join(directory, entry.name), quiet=True)
                if found is not None:
                    yield found

    def _listing(self, directory: bytes) -> _Listing:
        """List a directory, unless an earlier source did and nothing was renamed in it since."""
        mtime_ns = mtime_of(directory)
        known = self._listings.get(directory)
        if known is None or not mtime_ns or known.mtime_ns != mtime_ns:
            known = self._listings[directory] = _Listing(mtime_ns, self._list(directory))
        return known

    def _list(self, directory: bytes) -> list[os.DirEntry[bytes]]:
        found: list[os.DirEntry[bytes]] = []
        try:
            with os.scandir(directory) as entries:
                found = list(entries)
        except NotADirectoryError:  # a file beside directories that a glob goes through
            return found
        except FileNotFoundError:
            pass
        except OSError as error:
            self._say(directory, error)
        self._result.directories.add(directory)
        return found

    def _entries(self, directory: bytes) -> list[os.DirEntry[bytes]]:
        return self._listing(directory).entries

    def _enter(self, directory: bytes) -> bool:
        """Whether this directory was not visited yet."""
        try:
            status = os.stat(directory)
        except OSError:
            return True  # scandir will say what is wrong
        mark = status.st_dev, status.st_ino
        fresh = mark not in self._visited
        self._visited.add(mark)
        return fresh

    def _walk(self, directory: bytes, below: bytes, depth: int) -> Iterator[Found]:
        if depth > _MAX_DEPTH or not self._enter(directory):
            return
        for entry in self._entries(directory):
            if _is_out(entry.name):
                continue
            path = os.path.join(directory, entry.name)
            relative = os.path.join(below, entry.name)
            if _is_directory(entry):
                yield from self._walk(path, relative, depth + 1)
            elif self._wanted(entry.name, relative):
                found = self._file(path, entry)
                if found is not None:
                    yield found

    def _glob(self) -> Iterator[Found]:
        path = os.path.normpath(self._source.path)
        parts = path.split(b"/")
        root = b"/" if path.startswith(b"/") else b""
        says_nothing = not parts[-1].strip(b"*")  # of the names that it means
        lineages: set[bytes] = set()
        for match in self._match(root, [part for part in parts if part], 0):
            name = os.path.basename(match)
            if os.path.isdir(match):
                yield from self._walk(match, b"", 0)
            elif self._wanted(name, name) if says_nothing else not self._excluded(name):
                found = self._file(match)
                if found is not None:
                    lineages.add(lineage_of(match))
                    yield found
        if self._generations:
            yield from self._generations_of(lineages)

    def _generations_of(self, lineages: set[bytes]) -> Iterator[Found]:
        for directory, base in sorted(map(os.path.split, lineages)):
            for entry in self._listing(directory or b".").by_base.get(os.fsdecode(base), ()):
                if not self._excluded(entry.name):
                    found = self._file(os.path.join(directory, entry.name), quiet=True)
                    if found is not None:
                        yield found

    def _match(self, root: bytes, parts: list[bytes], depth: int) -> Iterator[bytes]:
        """Paths below ``root`` that the remaining pattern ``parts`` lead to."""
        if not parts:
            yield root
            return
        head, rest = parts[0], parts[1:]
        if head == b"**":
            yield from self._match_deep(root, rest or [b"*"], depth)
        elif not _MAGIC.search(head):
            path = os.path.join(root, head)
            if os.path.lexists(path):
                yield from self._match(path, rest, depth + 1)
        else:
            pattern = _component(head)
            for entry in self._entries(root or b"."):
                hidden = entry.name.startswith(b".") and not head.startswith(b".")
                if not hidden and pattern.match(os.fsdecode(entry.name)):
                    yield from self._match(os.path.join(root, entry.name), rest, depth + 1)

    def _match_deep(self, root: bytes, rest: list[bytes], depth: int) -> Iterator[bytes]:
        if depth > _MAX_DEPTH or not self._enter(root or b"."):
            return
        yield from self._match(root, rest, depth)
        for entry in self._entries(root or b"."):
            if not entry.name.startswith(b".") and _is_directory(entry):
                path = os.path.join(root, entry.name)
                yield from self._match_deep(path, rest, depth + 1)

    def _excluded(self, name: bytes) -> bool:
        return bool(_pattern(self._source.exclude).match(os.fsdecode(name)))

    def _wanted(self, name: bytes, relative: bytes) -> bool:
        include, path = _pattern(self._source.include), os.fsdecode(relative)
        if not (include.match(os.fsdecode(name)) or include.match(path)) or self._excluded(name):
            return False
        return _pattern(self._excluded_paths).match(path) is None

    def _file(
        self, path: bytes, entry: os.DirEntry[bytes] | None = None, *, quiet: bool = False
    ) -> Found | None:
        """Stat one path; None (and a finding) unless it leads to a regular file."""
        try:
            linked = entry.is_symlink() if entry is not None else os.path.islink(path)
            status = os.stat(path) if entry is None else entry.stat()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._say(path, error)
            elif os.path.islink(path):
                self._say(path, OSError(error.errno, "a symbolic link to nothing"))
            return None
        if not stat.S_ISREG(status.st_mode):
            if not quiet and not stat.S_ISDIR(status.st_mode):
                what = f"passed over: {_kind(status.st_mode)}, not a regular file"
                advice = "log into a file, or pipe into `ingestor backfill -`"
                self._result.findings.append(Finding(path, what, advice))
            return None
        real = os.path.realpath(path) if linked else path
        if linked:
            self._targets.add(real)
            self._result.directories.add(os.path.dirname(real))
        return Found(
            real,
            self._index,
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            self._source.site,
        )


def _is_out(name: bytes) -> bool:
    return name.startswith(b".") or name.endswith(_LEFTOVERS)


def _is_directory(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    ):
        if test(mode):
            return word
    return "a special file"
