"""Messages between the processes of a backfill: one behind the other, each with its length.

They are pickled: both ends are the same program, and nobody else can write to their line.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH = 8  # bytes, little-endian, before each message


def framed(message: object) -> bytes:
    """Turn a message into what goes over the line."""
    data = pickle.dumps(message)
    return len(data).to_bytes(_LENGTH, "little") + data


class Frames:
    """Puts together again what comes in pieces."""

    def __init__(self) -> None:
        self._heard = bytearray()

    def heard(self, piece: bytes) -> Iterator[Any]:
        """Give each message that ends with this piece; to be exhausted before the next one."""
        heard = self._heard
        heard += piece
        while (end := _LENGTH + int.from_bytes(heard[:_LENGTH], "little")) <= len(heard):
            message = bytes(memoryview(heard)[_LENGTH:end])
            del heard[:end]
            yield pickle.loads(message)  # noqa: S301 - our own processes wrote it
