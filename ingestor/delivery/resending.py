"""Dead letters that are sent again: those that Umami takes leave the file, the rest stays in it.

The daemon may append meanwhile, and this process may be killed at any moment. So the file is
changed once, at the end, in one step and with the daemon kept out; until then a list beside it
says which letters are settled, and another which are under way (`underway.py`). The next run begins
with both.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from ingestor.delivery.deadletters import DeadLetter, alone, letter_of, write_whole
from ingestor.delivery.underway import UnderWay
from ingestor.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader
    from pathlib import Path

_ROOM = 64 * 1024  # bytes that have to be free beside the size of the letters
_MARK = 16  # bytes: BLAKE2b-128 of a letter's line, which names file, offset and time


class Resending:
    """The dead letters of ``path`` and of its older half; a context manager, used once.

    Entering raises UsageError where another process sends them again already. Everything raises
    OSError, and nothing is lost where it does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._halves = (path.with_name(path.name + ".1"), path)
        self._list = path.with_name(path.name + ".settled")
        self._settled: set[bytes] = set()
        self.under_way = UnderWay(path.with_name(path.name + ".sending"))
        self._descriptor = -1  # of the list, which is the lock as well

    def __enter__(self) -> Self:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._list, flags, 0o600)
        try:
            self._refuse_a_second_one()
            self._refuse_a_full_disk()
            self.under_way.open()
        except BaseException:
            os.close(self._descriptor)
            raise
        with self._list.open("rb") as file:
            while len(mark := file.read(_MARK)) == _MARK:
                self._settled.add(mark)
        os.ftruncate(self._descriptor, len(self._settled) * _MARK)  # without a torn last one
        return self

    def _refuse_a_second_one(self) -> None:
        if not self._is_ours():
            raise UsageError(
                f"the dead letters {self._path} are being sent again by another process; "
                "wait for it"
            )

    def _refuse_a_full_disk(self) -> None:
        """Raise OSError where the lists, or the files without what is settled, had no room.

        What was sent could not be noted then, and the next run would send it again.
        """
        wanted = 2 * sum(half.stat().st_size for half in self._halves if half.exists())
        if shutil.disk_usage(self._path.parent).free < wanted + _ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _is_ours(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(self._descriptor).st_ino == self._list.stat().st_ino
        except (BlockingIOError, FileNotFoundError):  # the latter: it was done just now
            return False

    def __exit__(self, *_: object) -> None:
        try:
            self._take_out()
        finally:
            self.under_way.close()
            os.close(self._descriptor)

    def letters(self) -> Iterator[tuple[bytes, DeadLetter | None]]:
        """Give the letters that were there at the first call, oldest first, each with its mark.

        None: a line that is no dead letter.
        """
        with alone(self._path):  # so that both halves are those of one moment
            files = [file for half in self._halves if (file := _open(half)) is not None]
            ends = [os.fstat(file.fileno()).st_size for file in files]
        for file, end in zip(files, ends, strict=True):
            with file:
                while file.tell() < end and (raw := file.readline()):
                    mark, letter = _mark(raw), letter_of(raw)
                    if raw.strip() and mark not in self._settled:
                        yield mark, letter

    def open_among(self, marks: Iterable[bytes]) -> list[bytes]:
        """Give those of these letters that are not settled."""
        return [mark for mark in marks if mark not in self._settled]

    def settled(self, marks: Iterable[bytes]) -> None:
        """Note letters that are done with: no later run sends them."""
        marks = self.open_among(marks)
        self._settled.update(marks)
        write_whole(self._descriptor, b"".join(marks))

    def _take_out(self) -> None:
        if not self._settled:
            self._list.unlink(missing_ok=True)
            return
        with alone(self._path):
            for half in self._halves:
                _rewrite(half, self._settled)
        self._list.unlink(missing_ok=True)


def _open(path: Path) -> BufferedReader | None:
    try:
        # Opening a FIFO would wait for somebody who writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return file


def _mark(raw: bytes) -> bytes:
    return hashlib.blake2b(raw.rstrip(b"\n"), digest_size=_MARK).digest()


def _rewrite(path: Path, settled: set[bytes]) -> None:
    """Put a file without the settled letters in its place; what is no letter stays as it is."""
    old = _open(path)
    if old is None:
        return
    fresh = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with old:
        times = os.fstat(old.fileno())
        descriptor = os.open(fresh, flags, 0o600)
        try:
            kept = 0
            for raw in old:
                if _mark(raw) not in settled:
                    write_whole(descriptor, raw)
                    kept += len(raw)
            os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
        finally:
            os.close(descriptor)
    if kept == 0:
        path.unlink()
        fresh.unlink()
        return
    os.utime(fresh, ns=(times.st_atime_ns, times.st_mtime_ns))  # by which the older half ages
    fresh.replace(path)
