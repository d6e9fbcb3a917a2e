"""Umami: whether it answers, what it understands, whether it knows the websites, what it has."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ingestor.delivery import CannotTell, Reader
from ingestor.delivery.answers import http_time
from ingestor.delivery.umami import Umami
from ingestor.errors import BadCredentials, StoppedByUmami, TryAgain
from ingestor.pipeline.overlap import Ours, Period, foreign, moment, reset_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.config import Config
    from ingestor.pipeline.checks.logs import Sample
    from ingestor.pipeline.checks.remarks import Remarks

_TIMEOUT = 15.0  # seconds; a person is waiting
_AT_ONCE = 4  # questions
_SKEW = 60.0  # seconds that clocks may differ by


async def check_server(config: Config, samples: Sequence[Sample], remarks: Remarks) -> None:
    """Ask Umami everything that can be asked without leaving a trace."""
    if config.umami is None:
        return
    timeout = min(_TIMEOUT, config.delivery.timeout)
    umami = Umami(config.umami, timeout=timeout, connections=_AT_ONCE)
    try:
        if await _answers(umami, remarks):
            await _Websites(config, umami, samples, remarks).check()
    finally:
        await umami.close()


async def _answers(umami: Umami, remarks: Remarks) -> bool:
    """Whether it can be talked to at all."""
    try:
        before = time.time()
        raw = await umami.ask("GET", umami.route("/api/heartbeat"))
        _check_clock(raw.date, (before + time.time()) / 2, remarks)
        facts = await umami.facts()
    except TryAgain as error:
        advice = "check umami.url, and that this machine can reach it"
        remarks.fail("umami_away", umami.shown, str(error), exit_code=3, advice=advice)
        return False
    except StoppedByUmami as error:
        code = "umami_refuses" if isinstance(error, BadCredentials) else "umami_too_old"
        remarks.fail(code, umami.shown, str(error), exit_code=3)
        return False
    batches = "takes batches" if facts.batch else "takes page views one by one (no /api/batch)"
    fields = ", ".join(sorted(facts.fields))
    remarks.ok("umami", umami.shown, f"answers, {batches}, understands {fields}")
    return True


def _check_clock(date: str | None, now: float, remarks: Remarks) -> None:
    theirs = http_time(date)
    if theirs is None:
        return
    apart = theirs - now
    if abs(apart) > _SKEW:
        word = "ahead of" if apart > 0 else "behind"
        remarks.warn(
            "clock",
            "clock",
            f"Umami's is {abs(apart):,.0f} s {word} this machine's, so page views would stand at "
            "the wrong time",
            "set both by NTP (timedatectl set-ntp true)",
        )


class _Websites:
    """All websites of the configuration, each asked about once."""

    def __init__(
        self, config: Config, umami: Umami, samples: Sequence[Sample], remarks: Remarks
    ) -> None:
        self._umami = umami
        self._remarks = remarks
        self._names: dict[str, str] = {}
        for site in config.sites:
            self._names.setdefault(site.website.lower(), site.hostname)
        self._periods = _periods(samples)
        self._ours = Ours(config.checkpoint.path)
        options = config.umami
        self._exactly_once = config.delivery.exactly_once
        self._reader = None
        if options is not None and options.username and options.password:
            self._reader = Reader(umami, username=options.username, password=options.password)

    async def check(self) -> None:
        """Prove that each is there; then, with a login, look at what it has."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def known(website: str) -> bool:
            async with turns:
                return await self._is_known(website)

        found = await asyncio.gather(*map(known, self._names))
        if self._reader is None:
            text = "without umami.username and umami.password, what it has already is not looked at"
            self._remarks.ok("no_login", self._umami.shown, text)
            return
        for website, there in zip(self._names, found, strict=True):
            if there and not await self._look_into(self._reader, website):
                return

    async def _is_known(self, website: str) -> bool:
        name = self._name(website)
        try:
            if await self._umami.website_exists(website):
                self._remarks.ok("website", name, "is known to Umami")
                return True
        except (TryAgain, StoppedByUmami) as error:
            code = "umami_refuses" if isinstance(error, StoppedByUmami) else "umami_away"
            self._remarks.fail(code, name, str(error), exit_code=3)
            return False
        advice = "copy the id from Umami: Settings, Websites, Edit"
        text = "this id is unknown to Umami, so its page views can go nowhere"
        self._remarks.fail("website_unknown", name, text, exit_code=3, advice=advice)
        return False

    async def _look_into(self, reader: Reader, website: str) -> bool:
        """What a website has already; False: the next need not be asked."""
        name = self._name(website)
        try:
            facts = await reader.website(website)
            if facts is None:
                text = "the login sees no such website, so what it has is not looked at"
                advice = "give the user umami.username access to it"
                self._remarks.warn("login_sees_nothing", name, text, advice)
                return True
            if self._exactly_once:
                await self._tags(reader, website)
            await self._dates(reader, website)
            self._reset(website, reset_of(facts))
            await self._overlap(reader, website)
        except BadCredentials as error:
            self._remarks.fail("login_refused", self._umami.shown, str(error), exit_code=3)
            return False
        except (TryAgain, CannotTell) as error:
            advice = "read access is only for such warnings; sending does not need it"
            text = f"what it has already cannot be read: {error}"
            self._remarks.warn("cannot_read", name, text, advice)
        return True

    async def _tags(self, reader: Reader, website: str) -> None:
        """What one website tells of the server is asked once."""
        self._exactly_once = False
        try:
            await reader.see_tags(website)
        except CannotTell as error:
            text = f"exactly_once is not possible with {self._umami.shown}: {error}"
            advice = "upgrade Umami to 3; until then what is in doubt is sent again"
            self._remarks.warn("delivery", "delivery", text, advice)

    async def _dates(self, reader: Reader, website: str) -> None:
        dates = await reader.date_range(website)
        if dates is None:
            text = "has no page views yet"
        else:
            text = f"has page views from {moment(dates[0])[:10]} to {moment(dates[1])[:10]}"
        self._remarks.ok("date_range", self._name(website), text)

    def _reset(self, website: str, reset_at: float) -> None:
        period = self._periods.get(website)
        if period is not None and period.first < reset_at:
            since = moment(reset_at)
            text = f"it was reset at {since}: page views before that, as in its logs, stay hidden"
            self._remarks.warn("reset", self._name(website), text, f"backfill with --since {since}")

    async def _overlap(self, reader: Reader, website: str) -> None:
        period = self._periods.get(website)
        if period is None:
            return
        others = await foreign(reader, website, period, self._ours)
        if others is not None:
            text = (
                f"already has {others}, in the time of its logs: with a tracker on the site, each "
                "person counts twice"
            )
            advice = (
                f"take the tracker off, give the logs a website of their own, or backfill with "
                f"--until {others.first_day} only"
            )
            self._remarks.warn("tracker", self._name(website), text, advice)

    def _name(self, website: str) -> str:
        return f"website {website} ({self._names[website]})"


def _periods(samples: Sequence[Sample]) -> dict[str, Period]:
    """From when to when the sampled page views are, by website."""
    found: dict[str, Period] = {}
    for sample in samples:
        for hit, verdict in sample.hits:
            if not isinstance(verdict, tuple):
                continue
            website = verdict[0]
            if website in found:
                found[website].add(hit.time)
            else:
                found[website] = Period(hit.time, hit.time)
    return found
