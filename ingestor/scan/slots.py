"""Memory that processes share: chunks go to those that scan, and answers come back, without a pipe.

Through a pipe, every 64 KiB cost a change of processes. This memory has no name anywhere: it is
gone with the last process that holds it, whatever ends that one.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Slot:
    """Room for one bundle of chunks, or for its answers. ``size`` in bytes.

    A process has it from the one that it was forked from. Raises OSError where there is no such
    memory to be had.
    """

    def __init__(self, size: int) -> None:
        self._memory = mmap.mmap(-1, size)

    def write(self, pieces: Sequence[bytes]) -> bool:
        """Put pieces one behind the other; False, and nothing is done, where they are too long."""
        memory = self._memory
        if sum(map(len, pieces)) > len(memory):
            return False
        at = 0
        for piece in pieces:
            memory[at : at + len(piece)] = piece
            at += len(piece)
        return True

    def read(self, start: int, end: int) -> bytes:
        """Give what stands between two places, the end not included."""
        return self._memory[start:end]

    def close(self) -> None:
        """Give the memory back; other processes that hold it keep it."""
        self._memory.close()
