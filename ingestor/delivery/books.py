"""What an answer means for each page view: acks, counts, dead letters, verdicts on bots.

The only place where page views end. Dead letters are on disk before their spans are acked.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ingestor.delivery.answers import COUNTED, WORDS_MAX, Reading, Readings, Verdict, printable
from ingestor.delivery.deadletters import DeadLetter
from ingestor.delivery.settling import agent_of, agents_of
from ingestor.model import Outcome, PageView

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ingestor.delivery.batcher import Batcher
    from ingestor.delivery.burial import Burial
    from ingestor.delivery.ports import Journal, Report
    from ingestor.delivery.settling import Settling
    from ingestor.model import Batch, Ended

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Rest:
    """What an answer left unfinished, and whether Umami works at all."""

    again: list[PageView] = field(default_factory=list)  # an outage took them
    suspects: list[PageView] = field(default_factory=list)  # an outage, or they themselves
    homeless: list[PageView] = field(default_factory=list)  # their website is unknown
    words: str = ""  # Umami's, for the last of them
    took: int = 0  # page views that Umami stored or dropped as a bot's


class Books:
    """Enters answers: what is finished goes to the journal, the report and the dead letters.

    ``file_path`` gives the path, for people, of a span's file; ``mask_line`` a line as it may be
    kept.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        report: Report,
        batcher: Batcher,
        settling: Settling,
        burial: Burial,
        file_path: Callable[[int], bytes],
        mask_line: Callable[[bytes], bytes],
        wall: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._report = report
        self._batcher = batcher
        self._settling = settling
        self._burial = burial
        self._file_path = file_path
        self._mask_line = mask_line
        self._wall = wall
        self.stored = 0  # page views that Umami took, in this process: proof that it works

    async def enter(self, batch: Batch, readings: Readings, *, doubtful: bool = False) -> Rest:
        """Enter the answer to a batch; the rest is still the caller's.

        ``doubtful``: while a 500 leaves some of it in doubt, the batch stays in the journal.
        """
        if readings.readings.count(COUNTED) == len(batch.page_views) == len(readings.readings):
            return self._enter_counted(batch, readings)
        return await self._enter_each(batch, readings, doubtful=doubtful)

    async def _enter_each(self, batch: Batch, readings: Readings, *, doubtful: bool) -> Rest:
        rest = Rest()
        ended: dict[Outcome, list[PageView]] = {}
        rejected: list[tuple[PageView, str]] = []
        unsettled: Counter[str] = Counter()
        counted = self._judge_counted(batch, readings, _counted_agents(batch, readings))
        for page_view, reading in zip(batch.page_views, readings.readings, strict=True):
            verdict = reading.verdict
            if verdict is Verdict.COUNTED:
                outcome = self._outcome(page_view, counted, unsettled)
                ended.setdefault(outcome, []).append(page_view)
                rest.took += 1
            elif verdict is Verdict.REJECTED:
                rejected.append((page_view, reading.words))
                ended.setdefault(Outcome.REJECTED, []).append(page_view)
            elif verdict in {Verdict.STORED, Verdict.BOT}:
                ended.setdefault(self._enter_alone(page_view, readings), []).append(page_view)
                rest.took += 1
            else:
                _keep(rest, page_view, reading)
        if rejected and not await self._bury(rejected, "Umami refuses it for ever"):
            del ended[Outcome.REJECTED]
        if doubtful and (rest.again or rest.suspects):
            self._journal.unsent(ended)
        else:
            self._journal.answered(batch, ended)
        self._count(ended, unsettled)
        self.stored += rest.took
        return rest

    def _outcome(self, page_view: PageView, counted: Outcome, unsettled: Counter[str]) -> Outcome:
        """What became of a page view that a batch's answer does not name."""
        if counted is not Outcome.ACCEPTED:
            return counted
        user_agent = agent_of(page_view)
        bot = self._settling.verdict(user_agent)
        if bot is None:
            unsettled[user_agent] += 1
        return Outcome.REFUSED_AS_BOT if bot else Outcome.ACCEPTED

    def _enter_counted(self, batch: Batch, readings: Readings) -> Rest:
        """Enter the usual answer, a batch without an error, by user agent."""
        views = batch.page_views
        agents = Counter(agents_of(views))
        counted = self._judge_counted(batch, readings, agents)
        ended: dict[Outcome, Sequence[PageView]] = {counted: views}
        unsettled: Counter[str] = Counter()
        if counted is Outcome.ACCEPTED:
            bots, unknown = self._settling.verdicts(agents)
            for agent in unknown:
                unsettled[agent] = agents[agent]
            if bots:
                ended = {
                    counted: [view for view in views if agent_of(view) not in bots],
                    Outcome.REFUSED_AS_BOT: [view for view in views if agent_of(view) in bots],
                }
        self._journal.answered(batch, ended)
        self._count(ended, unsettled)
        self.stored += len(views)
        return Rest(took=len(views))

    async def enter_resolved(
        self,
        batch: Batch,
        finished: Ended,
        rejected: Sequence[tuple[PageView, str]],
        *,
        done: bool,
    ) -> None:
        """End page views that waited aside; ``done``: they are the last of their batch."""
        ended = dict(finished)
        if rejected and await self._bury(rejected, "Umami refuses it for ever", aside=True):
            ended[Outcome.REJECTED] = [page_view for page_view, _ in rejected]
        if done:
            self._journal.answered(batch, ended)
        else:
            self._journal.unsent(ended)
        self._count(ended, Counter(), aside=True)
        self.stored += sum(map(len, finished.values()))

    def enter_known_bots(self, page_views: Sequence[PageView]) -> None:
        """End page views whose user agent Umami is known to drop, without a request."""
        ended = {Outcome.REFUSED_AS_BOT: page_views}
        self._journal.unsent(ended)
        self._count(ended, Counter())

    async def reject(self, page_view: PageView, reason: str, answer: str) -> None:
        """End a page view, of no batch in flight, that can never be stored."""
        if await self._bury([(page_view, printable(answer, WORDS_MAX))], reason):
            self._end_rejected([page_view])

    def learn(self, user_agent: str, *, bot: bool) -> None:
        """Note Umami's verdict on a user agent, and amend what was counted without it."""
        count = self._settling.learn(user_agent, bot=bot)
        if count:
            outcome = Outcome.REFUSED_AS_BOT if bot else Outcome.ACCEPTED
            self._report.resettled(outcome, count)

    def _judge_counted(self, batch: Batch, readings: Readings, counted: Collection[str]) -> Outcome:
        """What a batch's token, or its absence, says of the page views without an error.

        ``counted`` are the user agents of these. A batch of bots has no token. That settles a
        user agent where all page views are of it; of several, a token tells nothing about each.
        """
        if not counted:
            return Outcome.ACCEPTED
        bots = self._settling.batch_answered(batch.website, readings.token)
        if len(counted) > 1:
            return Outcome.ACCEPTED
        if bots or readings.token is not None:
            self.learn(next(iter(counted)), bot=bots)
        return Outcome.REFUSED_AS_BOT if bots else Outcome.ACCEPTED

    def _enter_alone(self, page_view: PageView, readings: Readings) -> Outcome:
        bot = readings.readings[0].verdict is Verdict.BOT
        self.learn(agent_of(page_view), bot=bot)
        if readings.token is not None:
            self._settling.stored_alone(page_view.website, readings.token)
        return Outcome.REFUSED_AS_BOT if bot else Outcome.ACCEPTED

    def _count(self, ended: Ended, unsettled: Counter[str], *, aside: bool = False) -> None:
        for outcome, page_views in ended.items():
            doubtful = unsettled.total() if outcome is Outcome.ACCEPTED else 0
            self._report.finished(outcome, len(page_views), unsettled=doubtful)
        for user_agent, count in unsettled.items():
            self._settling.sent_unsettled(user_agent, count)
        self._batcher.release(sum(map(len, ended.values())), aside=aside)

    async def _bury(
        self, rejected: Sequence[tuple[PageView, str]], reason: str, *, aside: bool = False
    ) -> bool:
        """Write dead letters; False: not yet, and these page views end when it is done."""
        letters = [self._letter(page_view, reason, answer) for page_view, answer in rejected]
        page_views = [page_view for page_view, _ in rejected]
        return await self._burial.bury(
            letters, partial(self._end_rejected, page_views, aside=aside)
        )

    def _end_rejected(self, page_views: Sequence[PageView], *, aside: bool = False) -> None:
        """End page views, of no batch in flight, that are dead letters now."""
        ended = {Outcome.REJECTED: page_views}
        self._journal.unsent(ended)
        self._count(ended, Counter(), aside=aside)

    def file_of(self, page_view: PageView) -> str:
        """Give the path of the log that a page view stands in, for people."""
        return self._file_path(page_view.span.file).decode("utf-8", "backslashreplace")

    def _letter(self, page_view: PageView, reason: str, answer: str) -> DeadLetter:
        return DeadLetter(
            time=int(self._wall()),
            reason=reason,
            answer=answer,
            file=self.file_of(page_view),
            offset=page_view.line_start,
            website=page_view.website,
            line=self._mask_line(page_view.line),
            payload=page_view.payload,
        )


def _counted_agents(batch: Batch, readings: Readings) -> set[str]:
    """The user agents of the page views that came through a batch without an error."""
    return {
        agent_of(page_view)
        for page_view, reading in zip(batch.page_views, readings.readings, strict=True)
        if reading.verdict is Verdict.COUNTED
    }


def _keep(rest: Rest, page_view: PageView, reading: Reading) -> None:
    rest.words = reading.words
    if reading.verdict is Verdict.AGAIN:
        rest.again.append(page_view)
    elif reading.verdict is Verdict.SUSPECT:
        rest.suspects.append(page_view)
    else:
        rest.homeless.append(page_view)
