"""What the follower knows: contents, places, and how a content comes to lose its place.

The state that intake, reading and closing share, and the few transitions that all of them need.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from ingestor.logfiles.compression import is_readable
from ingestor.logfiles.discovery import Found, lineage_of
from ingestor.logfiles.findings import Finding
from ingestor.logfiles.followed import Followed, Place, PlaceKind
from ingestor.logfiles.identity import HEAD, Catalogue, identity_of
from ingestor.logfiles.reader import (
    LogFile,
)
from ingestor.logfiles.recognition import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ingestor.logfiles.options import FollowOptions
    from ingestor.logfiles.registry import Registry
    from ingestor.model import Chunk, Marker

_SPARE_DESCRIPTORS = 96  # left to connections, the checkpoint, watches
_MAX_RETRY = 60.0  # seconds between tries of a file that cannot be opened or read
_MAX_SAID = 10_000  # findings remembered, whatever the directories hold
_NOWHERE = (-1, -1)  # device and inode of no file
_SAY_AGAIN = 3600.0  # seconds until a finding is worth repeating


class Roster:
    """All contents and all places of one follower."""

    def __init__(
        self, registry: Registry, options: FollowOptions, clock: Callable[[], float]
    ) -> None:
        self.registry = registry
        self.options = options
        self.read_options = options.read
        self.clock = clock
        self.logs: dict[int, Followed] = {}
        self.plain: dict[int, Followed] = {}  # of these, that are no archives
        self.open: dict[int, Followed] = {}  # plain files with a descriptor
        self.parked: dict[int, Followed] = {}  # plain files closed to stay within the limit
        self.ready: dict[int, None] = {}  # keys of plain files with something to read, in turn
        self.archives: dict[int, None] = {}  # keys in turn: only the first is being read
        self.pending: deque[Chunk] = deque()  # cut already, to be handed out next
        self.places: dict[tuple[int, int], Place] = {}
        self.present: set[tuple[int, int]] = set()  # found at the last look
        self.ages: dict[tuple[int, int], int] = {}  # of the files at hand: smaller is older
        self.at_path: dict[bytes, tuple[int, int]] = {}
        self.not_it: set[tuple[tuple[int, int], int, int]] = set()  # place, its time, content
        self.done_before: dict[tuple[int, int], Place] = {}  # archives and copies acked earlier
        self.settling: dict[tuple[int, int], tuple[int, Found, int]] = {}  # key, file, length
        self.first_ids: set[tuple[int, int]] = set()  # there when their source was new
        self.urgent = True  # a look at everything is due
        self.findings: list[Finding] = []
        self.catalogue: Catalogue | None = None  # of one rescan
        self._said: dict[tuple[bytes, str], float] = {}
        self._limit = self._descriptor_limit()

    def known(self) -> Catalogue:
        """Give the registry's files, indexed; asked for anew in each rescan that needs them."""
        if self.catalogue is None:
            self.catalogue = Catalogue(self.registry.known())
        return self.catalogue

    def home_of(self, key: int) -> Home | None:
        """Where a content lives now (for `recognize`)."""
        log = self.logs.get(key)
        if log is None:
            return self._done_home(key)
        if log.lost_home:
            return None
        if log.file is not None and log.archive is None:
            return Home(log.home, log.path, log.file, log.deleted, site=log.site)
        place = self.places.get(log.home)
        told = place is not None and place.kind is not PlaceKind.WAITING and place.key == key
        if place is not None and told and log.home in self.present:
            length = log.position if log.archived else None
            return Home(log.home, place.path, None, length=length, site=log.site)
        return None

    def _done_home(self, key: int) -> Home | None:
        """Where a content lives that was acked whole, and is not followed in this run."""
        known = self.known().get(key)
        for id_, place in self.done_before.items():
            if place.key == key and id_ in self.present and known is not None:
                return Home(id_, place.path, None, length=known.watermark, site=place.site)
        return None

    def own_marker(self, key: int) -> Marker | None:
        """Tell how far this process has read a content (for `recognize`)."""
        log = self.logs.get(key)
        return None if log is None else log.own_marker()

    def with_longer_head(self, head: bytes, path: bytes) -> Iterable[int]:
        """Contents of which ``head`` is only a beginning (for `recognize`)."""
        if len(head) >= HEAD:
            return []
        logs = ((log.key, log.head) for log in self.plain.values())
        keys = [key for key, other in logs if len(other) > len(head) and other.startswith(head)]
        # The heads of archives would be 4 KB for each of many thousands: their lines tell as well.
        lines = self.known().beginning_with(head)
        keys += [key for key in lines if (log := self.logs.get(key)) and log.archived]
        for place in self.done_before.values():
            if place.key not in self.logs and lineage_of(place.path) == lineage_of(path):
                other = self.read_head(place.path)
                if len(other) > len(head) and other.startswith(head):
                    keys.append(place.key)
        return keys

    def head_grew(self, log: Followed, head: bytes) -> None:
        """Know a content by more of its beginning."""
        log.head = head
        identity = identity_of(*log.home, head)
        self.registry.update(log.key, identity=identity)
        if self.catalogue is not None and (known := self.catalogue.get(log.key)) is not None:
            self.catalogue.add(replace(known, identity=identity))

    def resembles_another(self, log: Followed, head: bytes) -> bool:
        """Whether a file that was empty when it was taken in begins as a known log does.

        A copy is met so, when the look comes between its creation and its first byte.
        """
        candidates = self.known().candidates(*log.home, head)
        if any(one.identity.fingerprint_length and one.key != log.key for one in candidates):
            return True
        return any(key != log.key for key in self.with_longer_head(head, log.path))

    def read_head(self, path: bytes) -> bytes:
        """Read up to `HEAD` bytes of content; nothing where that fails."""
        try:
            with LogFile(path) as file:
                return file.read_at(0, HEAD) if is_readable(file.compression) else b""
        except OSError:
            return b""

    def locate(self, key: int) -> LogFile | None:
        """Open a content for another look, wherever it is."""
        home = self.home_of(key)
        if home is None:
            return None
        try:
            return home.open()
        except OSError:
            return None

    def say(self, finding: Finding) -> None:
        """Let the operator hear it with the next rescan, unless that was said lately."""
        now = self.clock()
        said = finding.path, finding.what
        if now - self._said.get(said, -_SAY_AGAIN) < _SAY_AGAIN:
            return
        if len(self._said) > _MAX_SAID:
            self._said.clear()
        self._said[said] = now
        self.findings.append(finding)

    def wait(self, place: Place, seconds: float) -> None:
        """Look at a place again, but not before that time has passed."""
        place.kind = PlaceKind.WAITING
        place.retry_at = self.clock() + seconds

    def cannot_open(self, found: Found, place: Place, error: OSError) -> None:
        """Opening or reading failed: say it, and try again with growing patience."""
        place.failures += 1
        is_refused = error.errno in {errno.EACCES, errno.EPERM, errno.ENOENT}
        # Rights come back without a sign, and to ask for them costs next to nothing.
        most = self.options.rescan_interval if is_refused else _MAX_RETRY
        self.wait(place, min(most, 0.5 * 2 ** min(place.failures, 10)))
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self._limit = max(1, len(self.open) - 1)
            advice = "raise LimitNOFILE or lower follow.max_open_files"
        elif error.errno in (errno.EACCES, errno.EPERM):
            advice = "give the program's user the right to read it; it is tried again"
        else:
            advice = "it is tried again"
        if error.errno != errno.ENOENT:
            what = os.strerror(error.errno) if error.errno else str(error)
            self.say(Finding(found.path, f"cannot be read: {what}", advice))

    def leave_home(self, log: Followed, home: tuple[int, int]) -> None:
        """Stop reading a content where it is; ``home`` is where it goes, if that is known."""
        if home not in (_NOWHERE, log.home) and not log.is_intact():  # it was cut amid this look
            self.broke(log)
            return
        copied = None if home == _NOWHERE else log.beginning()
        log.close()
        self.open.pop(log.key, None)
        self.parked.pop(log.key, None)
        self.ready.pop(log.key, None)
        self.archives.pop(log.key, None)
        old = self.places.get(log.home)
        waits = old is not None and old.kind is PlaceKind.WAITING  # it may have more: it is asked
        if log.home != home and old is not None and old.key == log.key and not waits:
            old.kind, old.copied = PlaceKind.COPY, copied
            old.measured = not log.archived  # an archive may have more than what replaces it
            old.retry_at = self.clock() + self.options.grace

    def gone(self, log: Followed) -> None:
        """The content is not where it was: the next rescan looks for it."""
        self.leave_home(log, _NOWHERE)
        self.ready.pop(log.key, None)
        log.lost_home = True
        self.urgent = True
        if (place := self.places.get(log.home)) is not None and place.key == log.key:
            self.wait(place, 0.0)

    def without_descriptor(self, key: int) -> Followed | None:
        """Give a content that is to be read from a file that is closed: parked, or an archive."""
        log = self.logs.get(key)
        queued = log is not None and key in self.archives and log.archive is None
        return log if queued else self.parked.get(key)

    def read_what_is_left(self, log: Followed) -> None:
        """A plain file that is only a beginning of the content was read to its end."""
        self.leave_home(log, _NOWHERE)
        log.lost_home = True
        log.size = log.owned = log.reading.cutter.start

    def broke(self, log: Followed) -> None:
        """The file at this place has other content now: truncated, rewritten, or never it."""
        place = self.places.pop(log.home, None)
        if log.archived and place is not None:
            self.not_it.add((log.home, place.mtime_ns, log.key))
        self.gone(log)

    def failed(self, log: Followed, error: OSError) -> None:
        """Reading failed (EIO, ESTALE, EACCES, …): close, and try again a little later."""
        self.leave_home(log, _NOWHERE)
        self.ready.pop(log.key, None)
        place = self.places.get(log.home)
        if place is None:
            self.urgent = True
            return
        place.key = log.key
        size, mtime_ns = place.size, place.mtime_ns
        self.cannot_open(Found(log.path, log.source, *log.home, size, mtime_ns), place, error)

    def reopen(self, log: Followed) -> bool:
        """Open a parked file again; False (and a look at everything) if it is not there."""
        self.parked.pop(log.key, None)
        self.make_room()
        try:
            file = LogFile(log.path)
        except FileNotFoundError:  # renamed, most likely
            self.gone(log)
            return False
        except OSError as error:
            self.failed(log, error)
            return False
        if file.id != log.home or file.compression is not None:
            file.close()
            self.gone(log)
            return False
        log.file = file
        self.open[log.key] = log
        return True

    def make_room(self) -> None:
        """Close the file that is missed least, if as many are open as may be."""
        if len(self.open) < self._limit:
            return
        candidates = [log for log in self.open.values() if not log.deleted and log.present]
        if not candidates:
            return
        least = min(candidates, key=lambda log: (log.key in self.ready, log.changed_at))
        least.close()
        del self.open[least.key]
        self.parked[least.key] = least

    def _descriptor_limit(self) -> int:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return self.options.max_open_files
        return max(1, min(self.options.max_open_files, soft - _SPARE_DESCRIPTORS))

    def closed(self, log: Followed) -> None:
        """Note how a file looked when it was closed."""
        if (place := self.places.get(log.home)) is not None and place.key == log.key:
            place.kind = PlaceKind.CLOSED
            place.size, place.mtime_ns = log.size, log.mtime_ns
