"""Is this the file I was reading? The content decides; device and inode are a shortcut.

Pure: bytes come through a `read_at` function. A file's *fingerprint* is the hash of its first
(decompressed) bytes, and grows with it up to `HEAD` bytes, so that the smallest file has one.
Its *marker* is the hash of the bytes just before an offset, which tells a log that was cut
and has grown past the offset again from one that was only appended to.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from ingestor.model import Chunk, Identity, KnownFile, Marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

HEAD = 4096  # bytes of a file's head in a whole fingerprint
WINDOW = 256  # bytes before an offset that a marker hashes
DEEP = 65536  # bytes compared of two files with the same head, where an archive is one of them

_DIGEST = 16  # bytes of a hash
_RUNG = 4  # bytes of it that are kept for each line of a head
_RUNGS = 64  # lines
_EARLIER = struct.Struct("<q8s")  # an earlier marker: its offset, and so much of its hash
_EARLIER_MOST = 32


class Readable(Protocol):
    """Decompressed content that can be read at any offset."""

    @property
    def length(self) -> int | None:
        """Bytes of content now; None where only decompressing all of it would tell."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the end."""


def digest(data: bytes) -> bytes:
    """BLAKE2b-128."""
    return blake2b(data, digest_size=_DIGEST).digest()


def identity_of(device: int, inode: int, head: bytes) -> Identity:
    """Name a file whose content starts with ``head`` (only its first `HEAD` bytes count).

    The fingerprint is the hash of these bytes, and after it a rung for each line: the hash of all
    bytes up to its end. So a small copy or archive is known for a beginning of a log although the
    log grew, and is nowhere any more.
    """
    head = head[:HEAD]
    return Identity(device, inode, digest(head) + rungs_of(head), len(head))


def rungs_of(head: bytes) -> bytes:
    """Give the rungs of a head's whole lines: those of a beginning are a beginning of them."""
    return b"".join(_rungs(head))


def _rungs(head: bytes) -> Iterator[bytes]:
    state, at = blake2b(digest_size=_DIGEST), 0
    for _ in range(_RUNGS):
        end = head.find(b"\n", at) + 1
        if not end:
            return
        state.update(head[at:end])
        at = end
        yield state.digest()[:_RUNG]


def is_beginning(head: bytes, identity: Identity) -> bool:
    """Whether the whole lines of a short content are the first ones of a longer one."""
    lines = head.count(b"\n")
    if not 0 < lines <= _RUNGS or identity.fingerprint_length <= len(head):
        return False
    at = _DIGEST + (lines - 1) * _RUNG
    rung = identity.fingerprint[at : at + _RUNG]
    return rung == digest(head[: head.rfind(b"\n") + 1])[:_RUNG]


def begun_with(start: bytes, ordered: Sequence[T], key: Callable[[T], bytes]) -> Iterator[T]:
    """Those whose ``key`` begins with ``start``, of some that are ``ordered`` by it."""
    for at in range(bisect_left(ordered, start, key=key), len(ordered)):
        if not key(ordered[at]).startswith(start):
            return
        yield ordered[at]


def marker_of(before: bytes, offset: int) -> Marker:
    """Hash the bytes that end at ``offset``; ``before`` holds at least `WINDOW` of them."""
    window = before[-min(WINDOW, offset) :] if offset else b""
    return Marker(offset, len(window), digest(window))


def marker_at(content: Readable, offset: int) -> Marker:
    """Read and hash the bytes just before ``offset``."""
    length = min(WINDOW, offset)
    return marker_of(content.read_at(offset - length, length), offset)


def has_marker(marker: Marker, content: Readable) -> bool:
    """Whether the content still has, before the marker's offset, the bytes it once had."""
    window = content.read_at(marker.offset - marker.length, marker.length)
    return len(window) == marker.length and digest(window).startswith(marker.digest)


def with_earlier(marker: Marker, earlier: Iterable[Marker]) -> Marker:
    """Let a marker carry some before it: the oldest of each doubling of the distance back.

    That one stays as the log grows, until it has come to the next. What is within the head tells
    nothing that the head does not.
    """
    kept: dict[int, Marker] = {}
    for one in sorted(earlier):
        if HEAD <= one.offset < marker.offset:
            kept.setdefault(((marker.offset - one.offset) // WINDOW).bit_length(), one)
    packed = [_EARLIER.pack(one.offset, one.digest) for one in kept.values()]
    return marker._replace(earlier=b"".join(packed[-_EARLIER_MOST:]))


def with_those_before(marker: Marker) -> list[Marker]:
    """Take a marker and what it carries apart, in the order of the log."""
    earlier = _EARLIER.iter_unpack(marker.earlier)
    found = [Marker(offset, min(WINDOW, offset), shortened) for offset, shortened in earlier]
    return [*found, marker._replace(earlier=b"")]


def last_left(marker: Marker, content: Readable) -> Marker | None:
    """Give the last of a log's markers that content which begins as the log did still has.

    None where that is not past the head, or among lines that are all the same: so much may two
    logs have in common.
    """
    length = content.length or 0
    found = with_those_before(marker)
    for i in range(len(found) - 1, -1, -1):
        at = found[i].offset
        if HEAD <= at <= length and has_marker(found[i], content) and _is_telling(content, at):
            return with_earlier(marker_at(content, at), found[:i])
    return None


def _is_telling(content: Readable, offset: int) -> bool:
    """Whether the bytes before an offset are others than those before the line that ends there."""
    before = content.read_at(offset - HEAD, HEAD)
    line = before.rfind(b"\n", 0, len(before) - 1) + 1
    return line > WINDOW and before[line - WINDOW : line] != before[-WINDOW:]


class Beginning(NamedTuple):
    """A content's first bytes, up to an offset: known by the first and the last of them."""

    head: bytes  # the hash of the first `HEAD` of them
    marker: Marker

    @property
    def length(self) -> int:
        """Bytes."""
        return self.marker.offset

    def is_of(self, content: Readable) -> bool:
        """Whether the content begins so."""
        head = content.read_at(0, min(HEAD, self.length))
        return digest(head) == self.head and has_marker(self.marker, content)


def beginning_of(head: bytes, marker: Marker) -> Beginning:
    """Of a content that starts with ``head`` and has this marker."""
    return Beginning(digest(head[: min(HEAD, marker.offset)]), marker)


class Fit(Enum):
    """How a physical file's content goes with what is known of a log."""

    NO = "other content"
    YES = "the same content, at least as long as what was finished"
    CUT = "it starts the same, and ends before what was finished"


def has_head(identity: Identity, head: bytes) -> bool:
    """Whether content that starts with ``head`` has this fingerprint."""
    length = identity.fingerprint_length
    return len(head) >= length and digest(head[:length]) == identity.fingerprint[:_DIGEST]


def fit(known: KnownFile, content: Readable, head: bytes) -> Fit:
    """Hold content against one known log: fingerprint first, then marker.

    An archive's marker is not looked at here: it is checked while the archive is read.
    """
    if not has_head(known.identity, head):
        return Fit.NO
    if known.marker is None or known.marker.offset == 0 or content.length is None:
        return Fit.YES
    if content.length < known.marker.offset:
        return Fit.CUT
    return Fit.YES if has_marker(known.marker, content) else Fit.NO


def same_content(one: Readable, two: Readable) -> bool:
    """Whether the shorter of two is a beginning of the longer: a copy, perhaps not whole yet.

    Looks at the head and, where both lengths are known, at the bytes before the shorter's end;
    with an archive, at the first `DEEP` bytes.
    """
    if one.length is None or two.length is None:
        first, second = one.read_at(0, DEEP), two.read_at(0, DEEP)
        common = min(len(first), len(second))
        return first[:common] == second[:common]
    common = min(one.length, two.length)
    if one.read_at(0, min(common, HEAD)) != two.read_at(0, min(common, HEAD)):
        return False
    window = min(common, 16 * WINDOW)
    return one.read_at(common - window, window) == two.read_at(common - window, window)


class Catalogue:
    """All known logs, indexed so that a new file is looked up in microseconds."""

    def __init__(self, known: Iterable[KnownFile]) -> None:
        self._by_inode: dict[tuple[int, int], list[KnownFile]] = {}
        self._by_lines: dict[bytes, list[KnownFile]] = {}  # by their last rung, b"" for none
        self._by_key: dict[int, KnownFile] = {}
        self._by_rungs: list[KnownFile] = []  # so those with the same first lines stand together
        for one in known:
            self._add(one)
            self._by_rungs.append(one)
        self._by_rungs.sort(key=_known_rungs)

    def add(self, known: KnownFile) -> None:
        """Take in one more."""
        self._add(known)
        insort(self._by_rungs, known, key=_known_rungs)

    def _add(self, known: KnownFile) -> None:
        identity = known.identity
        self._by_key[known.key] = known
        self._by_inode.setdefault((identity.device, identity.inode), []).append(known)
        self._by_lines.setdefault(_known_rungs(known)[-_RUNG:], []).append(known)

    def get(self, key: int) -> KnownFile | None:
        """Look one up by its key."""
        return self._by_key.get(key)

    def stands_at(self, device: int, inode: int, head: bytes) -> bool:
        """Whether a log with this head was last seen at this place."""
        known = (self._by_key[one.key] for one in self._by_inode.get((device, inode), []))
        return any(
            one.identity.fingerprint_length > 0
            and one.identity[:2] == (device, inode)
            and has_head(one.identity, head)
            for one in known
        )

    def beginning_with(self, head: bytes) -> list[int]:
        """Keys of longer contents whose first lines are those of ``head``: furthest read first."""
        rungs = rungs_of(head)
        if not rungs:
            return []
        keys = dict.fromkeys(one.key for one in begun_with(rungs, self._by_rungs, _known_rungs))
        known = map(self._by_key.__getitem__, keys)
        found = [one for one in known if is_beginning(head, one.identity)]
        return [one.key for one in sorted(found, key=_progress, reverse=True)]

    def candidates(self, device: int, inode: int, head: bytes) -> list[KnownFile]:
        """Known logs whose fingerprint ``head`` has: best first.

        The one last seen at this device and inode comes first, then the one that was read
        furthest. An empty file is known by its inode alone, which counts least.
        """
        keys = {one.key for one in self._by_inode.get((device, inode), [])}
        for rung in (b"", *_rungs(head)):
            keys.update(one.key for one in self._by_lines.get(rung, []))
        found: list[tuple[bool, bool, tuple[int, int, int], KnownFile]] = []
        for one in map(self._by_key.__getitem__, keys):
            identity = one.identity  # the newest: an older one may be indexed too
            here = (identity.device, identity.inode) == (device, inode)
            told = identity.fingerprint_length > 0
            if has_head(identity, head) and (here or told):
                found.append((told, here, _progress(one), one))
        found.sort(key=lambda entry: entry[:3], reverse=True)
        return [entry[3] for entry in found]


def _known_rungs(known: KnownFile) -> bytes:
    return known.identity.fingerprint[_DIGEST:]


def _progress(known: KnownFile) -> tuple[int, int, int]:
    offset = known.marker.offset if known.marker is not None else 0
    return offset, known.identity.fingerprint_length, known.key


class Marks:
    """Markers at the ends of chunks that were handed out, until they are needed or overtaken.

    Bounded: beyond `LIMIT` every second one is dropped, and a later `at` finds an older marker,
    which is as true, only a little further back.
    """

    LIMIT = 128

    def __init__(self, before: Marker | None = None) -> None:
        self._marks: list[Marker] = []
        self._inner: list[Marker] = []  # within the chunk that came last
        self._passed = before  # and those that it carries

    def note(self, chunks: Sequence[Chunk], before: bytes, data: bytes, offset: int) -> None:
        """Remember the markers at the chunks' ends, and some within the last.

        ``data`` stands at ``offset``, and ``before`` are up to `WINDOW` bytes just before it.
        """

        def mark(end: int) -> Marker:
            window = data[end - WINDOW : end] if end >= WINDOW else before + data[:end]
            return marker_of(window, offset + end)

        self._marks += [mark(chunk.end - offset) for chunk in chunks]
        if len(self._marks) > self.LIMIT:
            last = self._marks[-1]
            self._marks = [*self._marks[:-1:2], last]
        if chunks:
            begin, end = chunks[-1].start - offset, chunks[-1].end - offset
            self._inner = [mark(at) for at in _line_ends(data, max(begin, 0), end)]

    def at(self, offset: int) -> Marker | None:
        """Give the last marker at or below ``offset`` (a watermark); drops those before it.

        It carries some of those that were given before.
        """
        at = 0
        while at < len(self._marks) and self._marks[at].offset <= offset:
            at += 1
        if at == 0:
            return None
        marker = self._with_earlier(at - 1)
        self._passed = marker
        del self._marks[: at - 1]
        return marker

    def pack(self) -> None:
        """Take little room, for nothing is noted any more: the last mark carries the others."""
        if self._marks:
            self._marks[-1] = self._with_earlier(len(self._marks) - 1)
        self._inner = []

    def _with_earlier(self, at: int) -> Marker:
        passed = [] if self._passed is None else with_those_before(self._passed)
        found = with_those_before(self._marks[at])
        return with_earlier(found[-1], [*passed, *self._marks[:at], *found, *self._inner])

    def add(self, marker: Marker) -> None:
        """Remember one that was made elsewhere, past all others."""
        self._marks.append(marker)


def _line_ends(data: bytes, begin: int, end: int) -> Iterator[int]:
    """Offsets of line ends within a chunk: that before the last line, and ever further back."""
    back = 1
    while (at := data.rfind(b"\n", begin, max(begin, end - back)) + 1) > begin:
        yield at
        back = max(WINDOW, 2 * (end - at))
