"""Memory that processes share: chunks go to those that scan, and answers come back, without a pipe.

Through a pipe, every 64 KiB cost a change of processes. This memory has no name in any directory:
it is gone with the last process that holds it, whatever ends that one.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Slot:
    """Room for one bundle of chunks, or for its answers. ``size`` in bytes.

    Raises OSError where there is no such memory to be had.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._descriptor = os.memfd_create("ingestor")
        try:
            os.posix_fallocate(self._descriptor, 0, size)  # now, and not by a signal later
            self._memory = mmap.mmap(self._descriptor, size)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def write(self, pieces: Sequence[bytes]) -> bool:
        """Put pieces one behind the other; False, and nothing is done, where they are too long."""
        return write(self._memory, pieces)

    def read(self, start: int, end: int) -> bytes:
        """Give what stands between two places, the end not included."""
        return self._memory[start:end]

    def close(self) -> None:
        """Give the memory back; other processes that hold it keep it."""
        self._memory.close()
        os.close(self._descriptor)


def write(memory: mmap.mmap, pieces: Sequence[bytes]) -> bool:
    """Put pieces one behind the other; False, and nothing is done, where they are too long."""
    if sum(map(len, pieces)) > len(memory):
        return False
    at = 0
    for piece in pieces:
        memory[at : at + len(piece)] = piece
        at += len(piece)
    return True


_attached: dict[str, mmap.mmap] = {}


def attached(path: str) -> mmap.mmap:
    """Give another process's slot by its ``path``; it stays open. Raises OSError."""
    memory = _attached.get(path)
    if memory is None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            memory = _attached[path] = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
    return memory
