"""Which user agents Umami itself judges to be bots, since a batch's answer hides it.

A verdict is learned for nothing where a page view travels alone, and otherwise by the traceless
identify probe. Both are bounded: page views that travel alone only for their user agent (scouts)
are few beside the batches, and probes stay under a tenth of all requests. Whatever is not settled
by then is sent and counted all the same, and amended when the verdict comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ingestor.model import PageView

DAY = 86_400.0
_LONG = 512  # characters; a longer user agent is never remembered, so that memory stays bounded
_FREE_SCOUTS = 32
_BATCHES_A_SCOUT = 3
_PROBES_SHARE = 10  # fewer than every tenth request is a probe


class _Verdict(NamedTuple):
    bot: bool
    until: float  # monotonic


class Probe(NamedTuple):
    """What to ask Umami about a user agent."""

    website: str
    token: str  # an x-umami-cache token of this website
    user_agent: str


def agent_of(page_view: PageView) -> str:
    """The user agent that Umami judges."""
    return page_view.user_agent


def agents_of(page_views: Sequence[PageView]) -> list[str]:
    """The same for each of several."""
    return [view.user_agent for view in page_views]


class Settling:
    """Verdicts on user agents, kept for a day, and counts of what was sent without one.

    ``capacity`` bounds the user agents remembered: the verdicts twice that, the unsettled once.
    """

    def __init__(self, *, enabled: bool, clock: Callable[[], float], capacity: int = 8_192) -> None:
        self._enabled = enabled
        self._clock = clock
        self._capacity = capacity
        self._young: dict[str, _Verdict] = {}
        self._old: dict[str, _Verdict] = {}
        self._unsettled: dict[str, int] = {}  # accepted without a verdict, by user agent
        self._scouting: set[str] = set()
        self._scouts = 0
        self._probes = 0
        self._requests = 0  # that carried page views
        self._tokens_in_batches = False  # this server's batch answers carry a token at all
        self._token: tuple[str, str] | None = None
        self.knows_bots = False  # some user agent was settled as a bot

    def verdict(self, user_agent: str) -> bool | None:
        """Tell a bot (True) from a person (False), or None: not settled."""
        known = self._young.get(user_agent)
        if known is None:
            known = self._old.get(user_agent)
            if known is None:
                return None
            self._remember(user_agent, known)
        return known.bot if known.until > self._clock() else None

    def verdicts(self, user_agents: Iterable[str]) -> tuple[set[str], list[str]]:
        """Which of these user agents are known to be bots, and which are not settled."""
        now = self._clock()
        bots: set[str] = set()
        unknown: list[str] = []
        for user_agent in user_agents:
            known = self._young.get(user_agent)
            if known is not None and known.until > now:
                if known.bot:
                    bots.add(user_agent)
                continue
            bot = self.verdict(user_agent)
            if bot:
                bots.add(user_agent)
            elif bot is None:
                unknown.append(user_agent)
        return bots, unknown

    def verdict_on(self, page_view: PageView) -> bool | None:
        """Tell a bot's page view (True) from a person's (False), or None: not settled."""
        return self.verdict(agent_of(page_view))

    def bots_among(self, page_views: Sequence[PageView]) -> set[str]:
        """Which of these page views' user agents are known to be bots."""
        if not self.knows_bots:
            return set()
        return self.verdicts(set(agents_of(page_views)))[0]

    def learn(self, user_agent: str, *, bot: bool) -> int:
        """Note Umami's verdict; how many page views were accepted without it."""
        if len(user_agent) <= _LONG:
            self.knows_bots |= bot
            self._remember(user_agent, _Verdict(bot, self._clock() + DAY))
        return self._unsettled.pop(user_agent, 0)

    def sent_unsettled(self, user_agent: str, count: int) -> None:
        """Note page views that were accepted without a verdict."""
        if len(user_agent) > _LONG or not self._enabled:
            return
        known = self._unsettled.get(user_agent)
        if known is not None:
            self._unsettled[user_agent] = known + count
        elif len(self._unsettled) < self._capacity:
            self._unsettled[user_agent] = count

    def requested(self) -> None:
        """Count a request that carried page views."""
        self._requests += 1

    def alone(self, page_view: PageView) -> bool:
        """Say whether this page view shall travel by itself, to settle its user agent."""
        if not self._enabled:
            return False
        user_agent = agent_of(page_view)
        if len(user_agent) > _LONG or user_agent in self._scouting:
            return False
        if self._scouts >= _FREE_SCOUTS + self._requests // _BATCHES_A_SCOUT:
            return False
        if self.verdict(user_agent) is not None:
            return False
        self._scouts += 1
        self._scouting.add(user_agent)
        return True

    def came_back(self, page_view: PageView) -> None:
        """Note that a page view that travelled alone was answered, or is given up."""
        self._scouting.discard(agent_of(page_view))

    def batch_answered(self, website: str, token: str | None) -> bool:
        """Note a batch's token; whether its absence proves that nothing of it was stored.

        It does where this server's answers to other batches carry one.
        """
        if token is not None:
            self._tokens_in_batches = True
            self._token = (website, token)
            return False
        return self._tokens_in_batches

    def stored_alone(self, website: str, token: str) -> None:
        """Note the token of a page view that was stored alone."""
        self._token = (website, token)

    def forget_token(self) -> None:
        """After an outage the server may have another secret: an unknown token leaves a row."""
        self._token = None

    def next_probe(self) -> Probe | None:
        """Give the next probe, the most frequent user agent first.

        None: nothing to ask, no token, or no budget. Counts the probe.
        """
        if not self._enabled or self._token is None or not self._unsettled:
            return None
        if (self._probes + 1) * _PROBES_SHARE >= self._requests + self._probes + 1:
            return None
        self._probes += 1
        user_agent = max(self._unsettled, key=self._unsettled.__getitem__)
        return Probe(*self._token, user_agent)

    def _remember(self, user_agent: str, known: _Verdict) -> None:
        if len(self._young) >= self._capacity:
            self._old = self._young
            self._young = {}
        self._young[user_agent] = known
