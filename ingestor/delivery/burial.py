"""Dead letters that find no place are kept until there is one; their page views end only then.

A disk that is full now has room again later. Meanwhile these page views count as held, so there
are never more than may be in memory, and a crash has their lines read again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ingestor.delivery.answers import printable
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ingestor.delivery.deadletters import DeadLetter, DeadLetters

logger = logging.getLogger(__name__)

_TELL_EVERY = 60.0  # seconds between two warnings
_PAUSE = 15.0  # seconds between two tries


class _Waiting(NamedTuple):
    letters: list[DeadLetter]
    end: Callable[[], None]  # what is to be done once they are on disk


class Burial:
    """Writes dead letters, now or later. Without a file for them, they are only logged."""

    def __init__(
        self,
        letters: DeadLetters | None,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._letters = letters
        self._clock = clock
        self._sleep = sleep
        self._waiting: list[_Waiting] = []
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.due = 0.0  # monotonic; when it is tried again
        self._untold = 0  # rejected page views
        self._newest: DeadLetter | None = None  # of these
        self._more = ""  # the word for those that come after others
        self._tell_at = -math.inf  # monotonic

    async def bury(self, letters: Sequence[DeadLetter], end: Callable[[], None]) -> bool:
        """Write letters; False: that is done later, and ``end`` called then."""
        for letter in letters:
            logger.debug("rejected: %s at offset %d", printable(letter.file), letter.offset)
        self._untold += len(letters)
        self._newest = letters[-1]
        written = await self._written(letters, end)
        if self._clock() >= self._tell_at:
            self._tell()
        return written

    async def _written(self, letters: Sequence[DeadLetter], end: Callable[[], None]) -> bool:
        try:
            await self._write(letters)
        except OSError as error:
            first = letters[0]
            logger.error(  # noqa: TRY400 - the place matters, not the traceback
                "no dead letter can be written (%s): %s rejected, waiting for that, the first "
                "in %s at offset %d. Make room or give the right to; it is tried again.",
                printable(str(error)),
                counted(len(letters), "page view"),
                printable(first.file),
                first.offset,
            )
            self._waiting.append(_Waiting(list(letters), end))
            if self._task is None:
                self.due = self._clock() + _PAUSE
                self._task = asyncio.create_task(self._try_again())
            return False
        return True

    def _tell(self) -> None:
        """Warn of rejected page views: once in a while, and of the last ones at the end."""
        letter = self._newest
        if letter is None:
            return
        place = kept = ""  # where dead letters are sent again, they are in their file already
        if self._letters is not None:
            place = f", such as the one at offset {letter.offset} of {printable(letter.file)}"
            kept = "" if self._waiting else f" They are kept in {self._letters.path}."
        logger.warning(
            "%s rejected%s: %s: %s.%s",
            counted(self._untold, f"{self._more}page view"),
            place,
            letter.reason,
            printable(letter.answer, 200),
            kept,
        )
        self._untold, self._newest, self._more = 0, None, "more "
        self._tell_at = self._clock() + _TELL_EVERY

    async def close(self) -> None:
        """Try a last time; what finds no place is read from the log again by the next run."""
        if self._task is not None:
            async with self._writing:  # a thread that is cancelled writes all the same
                self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(OSError):
            await self._write_waiting()
        self._tell()

    async def _write(self, letters: Sequence[DeadLetter]) -> None:
        if self._letters is not None:
            await asyncio.to_thread(self._letters.append, letters)

    async def _try_again(self) -> None:
        while self._waiting:
            await self._sleep(_PAUSE)
            self.due = self._clock() + _PAUSE
            with suppress(OSError):
                await self._write_waiting()
        logger.info("dead letters can be written again")
        self._task = None

    async def _write_waiting(self) -> None:
        async with self._writing:
            while self._waiting:
                await self._write(self._waiting[0].letters)
                self._waiting.pop(0).end()
