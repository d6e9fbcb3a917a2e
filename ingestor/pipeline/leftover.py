"""What the daemon's first start leaves to a backfill: told once, with the command that reads it."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ingestor.logfiles import END
from ingestor.observe import counted, human_bytes

if TYPE_CHECKING:
    from ingestor.checkpoint import Store
    from ingestor.config import Config
    from ingestor.model import KnownFile

log = logging.getLogger("ingestor")


def say_left(store: Store, config: Config) -> None:
    """Tell how many files and bytes the daemon will not read, if there are any."""
    left = [file for file in store.known() if file.origin]
    if left:
        log.info(
            "What was in the logs before this first start is left to a backfill: %s, %s. To send "
            "it as well, while the daemon runs: %s",
            counted(len(left), "file"),
            human_bytes(sum(map(_size, left))),
            config.backfill_command(),
        )


def _size(file: KnownFile) -> int:
    """How many bytes of a file are not the daemon's; of an archive, its size on disk."""
    if file.origin < END:
        return file.origin
    with suppress(OSError):
        return os.stat(file.path).st_size  # noqa: PTH116 - a path is bytes
    return 0
