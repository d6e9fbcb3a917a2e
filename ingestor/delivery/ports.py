"""What delivery asks of the rest of the program: a journal that lasts, and someone to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ingestor.model import Batch, Ended, Outcome, PageView


class Left(NamedTuple):
    """A batch that an earlier run sent with exactly-once, and whose answer it never saw."""

    id: int
    website: str
    tag: str
    bodies: bytes  # what ``before_send`` was given


class Journal(Protocol):
    """The checkpoint, as delivery sees it.

    The order of calls for one batch is ``next_batch_id``, ``before_send``, for each request
    ``leaving`` and perhaps ``refused``, then ``answered`` exactly once, unless the program is
    stopped before. A batch is asked about again under the same id as often as it takes; page views
    that its answer leaves unfinished come again in a later batch with a new id.

    With exactly-once, a batch that is in doubt stays in the journal until all of it has its end:
    ``unsent`` then acks parts of it, and ``answered`` the last ones. ``tag``, ``left_in_doubt``,
    ``strays`` and ``let_go`` are there for nothing but that.
    """

    def next_batch_id(self) -> int:
        """Give a number that this checkpoint never gave before."""
        ...

    def tag(self, batch_id: int) -> str:
        """Give ``<run>-<batch>``: unique among all runs of all machines, at most 25 characters."""
        ...

    async def before_send(self, batch: Batch, bodies: bytes | None = None) -> None:
        """Return when the batch is on disk; only then does its first byte leave.

        Without ``bodies`` a disk that refuses stops nothing: the journal then holds the batch in
        memory. With them, they are on disk, too, however long that takes.
        """
        ...

    def leaving(self, batch: Batch) -> None:
        """Note that a request with the batch leaves now, or left earlier, in another batch."""
        ...

    def refused(self, batch: Batch) -> None:
        """Note that nothing of the last request was taken: that one left no doubt."""
        ...

    def put_in_doubt(self, batch: Batch) -> None:
        """Note that a batch left, that its answer did not come, and that it is looked up."""
        ...

    def left_in_doubt(self) -> Sequence[Left]:
        """What earlier runs left behind with bodies; each is kept until it is ``answered``."""
        ...

    def strays(self) -> Collection[str]:
        """Websites of what earlier runs left behind that this run sends nothing else for."""
        ...

    def let_go(self, website: str) -> None:
        """Strike off what earlier runs left for a stray website: Umami does not know it."""
        ...

    def answered(self, batch: Batch, ended: Ended) -> None:
        """Strike the batch off and ack the spans of ``ended`` (perhaps none of them)."""
        ...

    def unsent(self, ended: Ended) -> None:
        """Ack page views: of known bots, given up as poison, or a part of a batch in doubt."""
        ...


class Report(Protocol):
    """Who counts and shows what delivery does. Calls are cheap and must not raise."""

    def finished(self, outcome: Outcome, count: int, *, unsettled: int = 0) -> None:
        """``count`` page views came to this end; ``unsettled`` of the accepted may be bots."""
        ...

    def resettled(self, outcome: Outcome, count: int) -> None:
        """``count`` page views that were accepted and unsettled are now ``outcome``.

        ``Outcome.ACCEPTED``: they are settled. ``Outcome.REFUSED_AS_BOT``: they leave the
        accepted ones for the refused ones. Either way ``count`` fewer are unsettled.
        """
        ...

    def doubted(
        self, website: str, count: int, *, answered: bool = False, told: bool = False
    ) -> None:
        """``count`` page views are sent again although Umami may have stored them.

        Of page views under way this is told with each try. ``answered``: they are not under way (a
        500 was the answer, or they were found double later), and it is told once. ``told``: they
        were named before, in a larger batch, and are only stored once more.
        """
        ...

    def away(self, since: float | None) -> None:
        """Umami is away since that Unix second; None: it is back."""
        ...

    def parked(self, website: str) -> None:
        """Only a person can mend it; page views of the website come back by ``deferred``."""
        ...

    def deferred(self, page_views: Sequence[PageView]) -> None:
        """Page views of a parked website, unfinished and no longer held by delivery."""
        ...

    def unparked(self, website: str) -> None:
        """The website works again: submit its page views anew."""
        ...
