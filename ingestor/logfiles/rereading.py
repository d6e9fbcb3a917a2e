"""Stretches that were handed out once and held back: read again when they can be delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ingestor.logfiles.archives import ArchiveReader, WrongContent
from ingestor.logfiles.compression import Damage
from ingestor.logfiles.reader import LogFile, Reading, ReadOptions, Rewritten, read_surely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingestor.model import Chunk, Span


class Rereads:
    """A queue of contents, each with the spans that are wanted of it again."""

    def __init__(
        self,
        options: ReadOptions,
        locate: Callable[[int], LogFile | None],
        miss: Callable[[int], None],
    ) -> None:
        self._options = options
        self._locate = locate
        self._miss = miss  # is told the key of a content that is nowhere
        self._wanted: dict[int, list[tuple[int, int]]] = {}
        self._missing: dict[int, list[tuple[int, int]]] = {}  # not found: after the next rescan
        self._file: LogFile | None = None
        self._reading: Reading | None = None
        self._archive: ArchiveReader | None = None

    @property
    def ready(self) -> bool:
        """Whether a step may give something."""
        return bool(self._wanted) or self._reading is not None

    def add(self, spans: Sequence[Span]) -> None:
        """Want these again."""
        for span in spans:
            self._wanted.setdefault(span.file, []).append((span.start, span.end))

    def look_again(self) -> None:
        """Try what was missing: files may have been found since."""
        for key, stretches in self._missing.items():
            self._wanted.setdefault(key, []).extend(stretches)
        self._missing.clear()

    def step(self) -> list[Chunk]:
        """Read a bounded amount."""
        if self._reading is None and not self._next():
            return []
        reading, file = self._reading, self._file
        assert reading is not None and file is not None  # noqa: S101, PT018 - `_next` said so
        try:
            if self._archive is not None:
                chunks = self._archive.step()
            else:
                chunks = read_surely(file, reading, self._options)
        except (Damage, Rewritten, WrongContent, OSError):
            self._put_off()
            return []
        if chunks is None or reading.finished:
            self.close()
        return [replace(chunk, again=True) for chunk in chunks or []]

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()
        self._file = self._reading = self._archive = None

    def _next(self) -> bool:
        while self._wanted:
            key = next(iter(self._wanted))
            stretches = _merged(self._wanted.pop(key))
            file = self._locate(key)
            if file is None:
                self._missing.setdefault(key, []).extend(stretches)
                self._miss(key)
                continue
            self._file = file
            self._reading = Reading(key, stretches, self._options)
            if file.compression is not None:
                self._archive = ArchiveReader(file, self._reading, self._options)
            return True
        return False

    def _put_off(self) -> None:
        """Keep what was not read yet for after the next rescan."""
        if self._reading is not None:
            left = self._reading.left()
            self._missing.setdefault(self._reading.key, []).extend(left)
        self.close()


def _merged(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort; join those that touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
