"""Whether a log is only a copy of a known one, for a look that follows nothing.

It is decided as a follower decides it, by content; but where each log is now, only the registry
can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestor.logfiles.identity import HEAD, Catalogue
from ingestor.logfiles.recognition import Home, Relation, recognize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingestor.logfiles.discovery import Found
    from ingestor.logfiles.reader import LogFile
    from ingestor.model import KnownFile, Marker


class Copies:
    """Tells copies of known logs. ``sites``: whose the logs are, by device and inode."""

    def __init__(
        self, known: Sequence[KnownFile], sites: Mapping[tuple[int, int], str | None]
    ) -> None:
        self._catalogue = Catalogue(known)
        self._around = _LastSeen(self._catalogue, sites)

    def has(self, found: Found, file: LogFile) -> bool:
        """Whether a file has nothing that a log in another place has not.

        Raises:
            OSError: the file cannot be read.

        """
        verdict = recognize(found, file, file.read_at(0, HEAD), self._catalogue, self._around)
        return verdict.relation is Relation.COPY


@dataclass(frozen=True, slots=True)
class _LastSeen:
    """Logs are where they were seen last, or nowhere."""

    catalogue: Catalogue
    sites: Mapping[tuple[int, int], str | None]

    def home_of(self, key: int) -> Home | None:
        one = self.catalogue.get(key)
        if one is None:
            return None
        place = one.identity.device, one.identity.inode
        return Home(place, one.path, None, site=self.sites.get(place))

    def own_marker(self, key: int) -> Marker | None:  # noqa: ARG002 - nothing is being read
        return None

    def with_longer_head(self, head: bytes, path: bytes) -> Iterable[int]:  # noqa: ARG002 - likewise
        return ()
