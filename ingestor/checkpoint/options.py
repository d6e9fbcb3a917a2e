"""What the operator may decide about the checkpoint; the defaults are the documented ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ingestor.errors import require

Sync = Literal["normal", "full"]

DEFAULT_PATH = Path("/var/lib/ingestor/checkpoint.db")


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """Where the checkpoint is, and how hard it is written."""

    path: Path = DEFAULT_PATH
    sync: Sync = "normal"  # survives a crash of the process; "full": of the machine's power too
    max_files: int = 50_000  # files that are gone from disk, and yet remembered
    max_copies: int = 20_000  # copies (archives of known logs) that need no second reading

    def __post_init__(self) -> None:
        nameless = self.path.name in ("", "..") or "\0" in str(self.path)
        wrong = {
            "path has to name a file, such as checkpoint.db": nameless,
            "max_files is not negative": self.max_files < 0,
            "max_copies is not negative": self.max_copies < 0,
        }
        require("checkpoint", wrong)
