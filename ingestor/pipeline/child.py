"""One of the processes that scan for a backfill, and the line to it.

A pool of the standard library would pass every bundle through three threads of this process, which
wait for each other and for the interpreter: a tenth of all CPU time, and the other process starved
for another tenth. Here the event loop itself writes questions and hears answers.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections import deque
from typing import TYPE_CHECKING

from ingestor.scan.frames import Frames, framed
from ingestor.scan.worker import SCANNERS, serve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingestor.scan.slots import Slot
    from ingestor.scan.worker import Answer, Question, RulesRecipe


class Child(asyncio.Protocol):
    """A forked process. ``foreign`` are the lines to others, which it is not to hold.

    Raises OSError where none can be started.
    """

    def __init__(
        self, rules: RulesRecipe, slots: Sequence[Slot], foreign: Sequence[socket.socket]
    ) -> None:
        self.is_lost = False  # it has ended: nothing that it is asked will be answered
        self._asked: deque[asyncio.Future[list[Answer] | None]] = deque()  # and not answered yet
        self._known: set[int] = set()  # files whose recipes it has
        self._frames = Frames()
        self._transport: asyncio.WriteTransport | None = None
        self.line, theirs = socket.socketpair()
        with theirs:
            self._process = multiprocessing.get_context("fork").Process(
                target=serve, args=(theirs, rules, slots, [self.line, *foreign]), daemon=True
            )
            try:
                self._process.start()
            except OSError:
                self.line.close()
                raise

    @property
    def load(self) -> int:
        """How many questions it has yet to answer."""
        return len(self._asked)

    @property
    def pid(self) -> int | None:
        """Its process's number."""
        return self._process.pid

    def learns(self, files: Iterable[int], *, all_: bool = False) -> set[int]:
        """Note that it is about to be told recipes, and say of which files: those new to it.

        ``all_``: of all these.
        """
        new = set(files) if all_ else set(files) - self._known
        if len(self._known) + len(new) > SCANNERS:  # then it forgets them, too
            self._known.clear()
        self._known |= new
        return new

    async def connect(self) -> None:
        """Let this event loop talk to it."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=self.line)

    def ask(self, question: Question) -> asyncio.Future[list[Answer] | None]:
        """Have chunks scanned; gives None where the process ends before it has answered."""
        future: asyncio.Future[list[Answer] | None] = asyncio.get_running_loop().create_future()
        if self.is_lost or self._transport is None:
            future.set_result(None)
        else:
            self._asked.append(future)
            self._transport.write(framed(question))
        return future

    def end(self) -> None:
        """End it, whatever it does, were it stopped: it holds nothing that would be missed."""
        self._process.kill()
        if self._transport is None:
            self.line.close()
        else:
            self._transport.abort()

    def join(self) -> None:
        """Wait until it has ended."""
        self._process.join()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note what goes to it: called by asyncio, as the next two."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for mypy
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take answers, which come in the order of the questions."""
        for answers in self._frames.heard(data):
            self._answer(answers)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell whoever waits that no answer will come, and nothing be written to a slot.

        Where this end of the line failed, for want of memory, say, it may be at work yet.
        """
        self.is_lost = True
        self._process.kill()
        self.join()
        while self._asked:
            self._answer(None)

    def _answer(self, answers: list[Answer] | None) -> None:
        future = self._asked.popleft()
        if not future.done():  # nobody waits for it any more
            future.set_result(answers)
