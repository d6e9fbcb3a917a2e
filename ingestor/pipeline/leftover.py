"""What the daemon leaves to a backfill of a source that is new to it, and which sources are.

At the very first start all are. It is told once, with the command that reads it.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from ingestor.config import Source
from ingestor.logfiles import END
from ingestor.observe import human_bytes
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ingestor.checkpoint import Store
    from ingestor.config import Config
    from ingestor.model import KnownFile

log = logging.getLogger("ingestor")


STARTED = "run.started"  # the checkpoint's note that the very first start is behind us
DATED = "backfill.dated"  # … and that a backfill left lines for their date
_SOURCES = "run.sources"  # … and of which sources there were then and since
_NAMES = "run.names"  # … and of which names were told as generations then
_NAMES_TOLD = 4  # … by this version: to be counted up with every name or place more
_EXCLUDED = Source("").exclude  # where a configuration says nothing of it


def is_first_start(store: Store) -> bool:
    """Whether no daemon has ever followed anything with this checkpoint."""
    return store.noted(STARTED) is None


def new_sources(store: Store, sources: Sequence[Source]) -> set[int]:
    """Give the indexes of sources that were never followed with this checkpoint.

    One that had no file is followed all the same: what appears there is read from its start. At the
    very first start all are new.
    """
    noted = store.noted(_SOURCES)
    if noted is None and not is_first_start(store):  # by a version that did not note them
        return set()
    known = str(noted or "").split()
    new = {i for i, source in enumerate(sources) if _mark(source) not in known}
    if tells_more(store):  # the one before did not note what a source leaves out
        new = {i for i in new if _mark(replace(sources[i], exclude=_EXCLUDED)) not in known}
    return new


def tells_more(store: Store) -> bool:
    """Whether this version finds generations that the one before it passed over."""
    return not is_first_start(store) and store.noted(_NAMES) != _NAMES_TOLD


def goes_on(store: Store) -> bool:
    """Whether the daemon may go on in a log where backfills ended: not where they left a part."""
    return store.noted(DATED) is None


def note_sources(store: Store, sources: Sequence[Source]) -> None:
    """Remember that these are followed now."""
    marks = dict.fromkeys([*str(store.noted(_SOURCES) or "").split(), *map(_mark, sources)])
    text = " ".join(marks)
    if text != store.noted(_SOURCES):
        store.note(_SOURCES, text)
    if store.noted(_NAMES) != _NAMES_TOLD:
        store.note(_NAMES, _NAMES_TOLD)
    if is_first_start(store):
        store.note(STARTED, value=True)


def _mark(source: Source) -> str:
    told: tuple[object, ...] = (source.path, source.include)
    if source.exclude != _EXCLUDED:  # else as earlier versions noted it
        told += (source.exclude,)
    text = repr(told)
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()


def left_files(store: Store) -> set[int]:
    """Keys of the files that have something which only a backfill will read."""
    return {file.key for file, _ in _left(store)}


def say_left(store: Store, config: Config, before: Collection[int]) -> None:
    """Tell how many files and bytes the daemon will not read, beside those known ``before``."""
    left = [_size(file, count) for file, count in _left(store) if file.key not in before]
    if left:
        log.info(
            "What was in these logs before they were followed is left to a backfill: %s, %s. To "
            "send it as well, while the daemon runs: %s",
            counted(len(left), "file"),
            human_bytes(sum(left)),
            config.backfill_command(),
        )


def _left(store: Store) -> Iterator[tuple[KnownFile, int]]:
    """Give the files that a backfill has to read something of, and how much."""
    for file in store.known():
        if file.origin and (left := store.left(file.key)):
            yield file, left


def _size(file: KnownFile, left: int) -> int:
    """How many bytes of a file are a backfill's; of an archive, its size on disk."""
    if left < END:
        return left
    with suppress(OSError):
        return os.stat(file.path).st_size  # noqa: PTH116 - a path is bytes
    return 0
