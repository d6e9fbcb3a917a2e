"""Memory that processes share: chunks go to those that scan, and answers come back, without a pipe.

Through a pipe, every 64 KiB cost a change of processes. This memory has no name anywhere: it is
gone with the last process that holds it, whatever ends that one.
"""

from __future__ import annotations

import errno
import mmap
import os
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Slot:
    """Room for one bundle of chunks, or for its answers. ``size`` in bytes.

    A process inherits it when it is started, and cannot be sent it later. Raises OSError where
    there is no such memory to be had.
    """

    def __init__(self, size: int) -> None:
        make = getattr(os, "memfd_create", None)
        if make is None:
            raise OSError(errno.ENOSYS, "this Python knows no memfd_create(2)")
        descriptor = make("ingestor")
        try:
            os.posix_fallocate(descriptor, 0, size)  # now, and not by a signal later
            self._attach(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def _attach(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, 0)

    def __reduce__(self) -> tuple[Callable[[Any], Slot], tuple[Any]]:
        return _inherited, (DupFd(self._descriptor),)

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
        os.close(self._descriptor)


def _inherited(descriptor: Any) -> Slot:
    slot = Slot.__new__(Slot)
    slot._attach(descriptor.detach())  # noqa: SLF001 - its other constructor
    return slot
