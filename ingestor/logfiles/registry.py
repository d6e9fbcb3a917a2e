"""What this room asks of whoever remembers files: the checkpoint; or memory, for a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ingestor.model import Identity, KnownFile, Marker

if TYPE_CHECKING:
    from collections.abc import Sequence

END = 1 << 62  # bytes: beyond the end of any log; an `origin` of END means "a backfill's alone"


class Registry(Protocol):
    """Keys for contents, and who reads what of them."""

    def known(self) -> Sequence[KnownFile]:
        """Every content that has a key."""

    def register(
        self, identity: Identity, path: bytes, *, origin: int = 0, archived: bool = False
    ) -> int:
        """Take in new content; gives its key. The daemon reads from ``origin`` on."""

    def update(
        self,
        key: int,
        *,
        identity: Identity | None = None,
        path: bytes | None = None,
        marker: Marker | None = None,
        archived: bool | None = None,
        origin: int | None = None,
    ) -> None:
        """Change what is given, leave the rest."""

    def unread(self, key: int, end: int) -> list[tuple[int, int]]:
        """Stretches of [0, ``end``) that this process may and should read, ascending.

        That is: not acked by anybody, not claimed by the other role, and for the daemon not
        below the origin. ``end`` may be `END` where the length is not known.
        """

    def claim(self, key: int) -> bool:
        """Take the content for this process; False while another live process reads it."""

    def release(self, key: int) -> None:
        """Give a claimed content back: this process has nothing to do with it any more."""

    def copy_of(self, device: int, inode: int, size: int, mtime_ns: int) -> int | None:
        """Look up a physical file that was remembered by `remember_copy` and did not change."""

    def remember_copy(self, device: int, inode: int, size: int, mtime_ns: int, key: int) -> None:
        """Note that everything in this physical file is acked under ``key``."""


class MemoryRegistry:
    """Forgets everything with the process: for a preview, and for standard input."""

    def __init__(self) -> None:
        self._known: dict[int, KnownFile] = {}

    def known(self) -> Sequence[KnownFile]:
        """Every content met in this run."""
        return list(self._known.values())

    def register(
        self, identity: Identity, path: bytes, *, origin: int = 0, archived: bool = False
    ) -> int:
        """Number contents from 1."""
        key = len(self._known) + 1
        self._known[key] = KnownFile(key, identity, None, path, origin, origin, archived)
        return key

    def update(
        self,
        key: int,
        *,
        identity: Identity | None = None,
        path: bytes | None = None,
        marker: Marker | None = None,
        archived: bool | None = None,
        origin: int | None = None,
    ) -> None:
        """Change what is given."""
        old = self._known[key]
        self._known[key] = KnownFile(
            key,
            old.identity if identity is None else identity,
            old.marker if marker is None else marker,
            old.path if path is None else path,
            old.origin if origin is None else origin,
            old.watermark,
            old.archived if archived is None else archived,
        )

    def unread(self, key: int, end: int) -> list[tuple[int, int]]:
        """Everything: nothing is ever acked here."""
        del key
        return [(0, end)] if end > 0 else []

    def claim(self, key: int) -> bool:
        """Nobody else is there."""
        return key in self._known

    def release(self, key: int) -> None:
        """Nobody else waits for it."""

    def copy_of(self, device: int, inode: int, size: int, mtime_ns: int) -> int | None:
        """Nothing is remembered."""
        del device, inode, size, mtime_ns
        return None

    def remember_copy(self, device: int, inode: int, size: int, mtime_ns: int, key: int) -> None:
        """Nothing is remembered."""
