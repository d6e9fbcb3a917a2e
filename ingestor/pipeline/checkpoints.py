"""Looking into the checkpoint, and forgetting a log so that it is read anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestor.checkpoint import forget, read
from ingestor.errors import UsageError
from ingestor.logfiles import END, readable
from ingestor.words import counted

if TYPE_CHECKING:
    from ingestor.checkpoint import FileSnapshot
    from ingestor.config import Config


def shown(config: Config) -> dict[str, Any]:
    """Describe the checkpoint as one object: files, batches without an answer, who is at work.

    Raises CheckpointError where it cannot be read.
    """
    snapshot = read(config.checkpoint.path)
    return {
        "path": str(snapshot.path),
        "at_work": {str(role): pid for role, pid in snapshot.alive.items()},
        "in_flight": snapshot.in_flight,
        "in_doubt": snapshot.in_doubt,
        "files": [_file(file) for file in snapshot.files],
    }


def as_text(snapshot: dict[str, Any]) -> str:
    """Write the same for people, a line a file."""
    rows = [f"{'watermark':>14} {'acked beyond':>13} {'holes':>6}  file"]
    for file in snapshot["files"]:
        note = f"  ({file['note']})" if file["note"] else ""
        rows.append(
            f"{file['watermark']:>14,} {file['beyond']:>13,} {file['holes']:>6,}  "
            f"{file['path']}{note}"
        )
    at_work = ", ".join(f"{role} (pid {pid})" for role, pid in snapshot["at_work"].items())
    rows.append(
        f"{counted(len(snapshot['files']), 'file')}; "
        f"{counted(snapshot['in_flight'], 'page view')} in flight, "
        f"{snapshot['in_doubt']} in doubt; at work: {at_work or 'nobody'}"
    )
    return "\n".join(rows)


def forgotten(config: Config, file: str) -> int:
    """Forget what was read of a log, known by the path where it was seen last.

    Gives how many contents that was. Raises UsageError where there is none, CheckpointError
    while somebody works with the checkpoint.
    """
    names = {
        os.fsencode(file),
        os.fsencode(Path(file).absolute()),
        os.path.realpath(os.fsencode(file)),
    }
    count = sum(forget(config.checkpoint.path, name) for name in names)
    if count == 0:
        raise UsageError(
            f"the checkpoint {config.checkpoint.path} knows no {readable(os.fsencode(file))}; "
            "`ingestor checkpoint show` lists what it knows"
        )
    return count


def _file(file: FileSnapshot) -> dict[str, Any]:
    nowhere = file.origin >= END  # the daemon reads nothing of it
    reached = file.from_start if nowhere else file.watermark
    return {
        "path": readable(file.path),
        "origin": None if nowhere else file.origin,
        "watermark": reached,
        "acked": file.acked,
        "beyond": file.acked - file.from_start if nowhere else file.beyond,
        "holes": file.holes,
        "archived": file.archived,
        "claimed_by": [str(role) for role in file.claimed_by],
        "note": _note(file),
    }


def _note(file: FileSnapshot) -> str:
    """Say what of a file was there before the daemon's first start, and whether it was read."""
    if file.origin == 0:
        return ""
    if file.origin < END:
        left = file.origin - file.from_start
        return (
            f"of its first {file.origin:,} bytes, {left:,} left to a backfill" if left > 0 else ""
        )
    if not file.acked:
        return "left to a backfill"
    return "read by a backfill" if file.acked == file.from_start else "a backfill has begun it"
