"""Dead letters that are under way: noted before they are sent, struck off when they are answered.

What a crash leaves here may be stored already: the next run says how much that is, or looks it up
by its tag. Lines of JSON, only ever appended; of a torn one nothing was sent.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ingestor.delivery.deadletters import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch of dead letters."""

    id: int
    website: str
    letters: dict[int, bytes]  # a letter's number in its run → its mark
    tag: str | None = None
    bodies: bytes | None = None  # with exactly-once: to look it up, and to send the rest


class UnderWay:
    """The list in ``path``. Everything raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sent: dict[int, Sent] = {}
        self._descriptor = -1

    def open(self) -> None:
        """Read what an earlier run left."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        with self._path.open("rb") as file:
            for line in file:
                self._take(line)

    def close(self) -> None:
        """Let go of the list; without anything under way it is removed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if not self._sent:
                self._path.unlink(missing_ok=True)

    def left(self) -> list[Sent]:
        """Give what is under way; before anything is sent: what an earlier run left."""
        return list(self._sent.values())

    def note(self, sent: Sent) -> None:
        """Note a batch; its first byte leaves only then."""
        self._sent[sent.id] = sent
        fields = {
            "id": sent.id,
            "website": sent.website,
            "letters": [[number, mark.hex()] for number, mark in sent.letters.items()],
            "tag": sent.tag,
            "bodies": None if sent.bodies is None else base64.b64encode(sent.bodies).decode(),
        }
        self._append(fields)

    def strike(self, batch_id: int) -> None:
        """Strike a batch off: it is answered, or nothing of it was taken."""
        if self._sent.pop(batch_id, None) is not None:
            self._append({"id": batch_id})

    def _append(self, fields: Mapping[str, object]) -> None:
        write_whole(self._descriptor, b"\n" + orjson.dumps(fields))  # apart from a torn one

    def _take(self, line: bytes) -> None:
        try:
            fields = orjson.loads(line)
            if "letters" not in fields:
                self._sent.pop(fields["id"], None)
                return
            bodies = fields["bodies"]
            self._sent[fields["id"]] = Sent(
                int(fields["id"]),
                str(fields["website"]),
                {int(number): bytes.fromhex(mark) for number, mark in fields["letters"]},
                fields["tag"],
                None if bodies is None else base64.b64decode(bodies),
            )
        except (ValueError, TypeError, KeyError):  # torn, or nothing
            return
