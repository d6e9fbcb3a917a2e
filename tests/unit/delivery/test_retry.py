"""The pauses of an outage."""

from __future__ import annotations

import pytest

from ingestor.delivery.retry import Outage
from ingestor.errors import TryAgain


class Told:
    def __init__(self) -> None:
        self.aways: list[float | None] = []

    def away(self, since: float | None) -> None:
        self.aways.append(since)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def outage(time: Time, told: Told, draw: float = 0.0) -> Outage:
    return Outage(
        shortest=0.5,
        longest=60.0,
        report=told,  # type: ignore[arg-type] - it reports nothing else
        clock=time,
        wall=lambda: 5.0,
        sleep=time.sleep,
        draw=lambda: draw,
    )


async def test_pauses_double_up_to_the_longest_and_half_is_random() -> None:
    for draw, expected in [
        (0.0, [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]),
        (1.0, [0.5, 1, 2, 4, 8, 16, 32, 60, 60]),
    ]:
        time = Time()
        away = outage(time, Told(), draw)
        pauses = []
        for _ in expected:
            away.failed(TryAgain("no"), away.round)
            pauses.append(away.remaining)
            await away.clear()
            assert away.remaining == 0
        assert pauses == expected


async def test_requests_that_failed_together_count_once() -> None:
    time = Time()
    away = outage(time, Told(), 1.0)
    for _ in range(8):
        away.failed(TryAgain("no"), 0)
    assert away.remaining == 0.5


async def test_the_servers_wish_is_obeyed_and_only_lengthened() -> None:
    time = Time()
    away = outage(time, Told(), 1.0)
    away.failed(TryAgain("no", retry_after=100), 0)
    assert away.remaining == pytest.approx(110)
    away.succeeded()  # of another request under way: the wish still holds
    assert away.remaining == pytest.approx(110)
    away.failed(TryAgain("no", retry_after=0), 1)
    assert away.remaining == pytest.approx(110)


async def test_an_outage_is_told_once_and_its_end_once() -> None:
    told = Told()
    away = outage(Time(), told)
    away.succeeded()
    away.failed(TryAgain("no"), 0)
    away.failed(TryAgain("no"), 1)
    assert away.away
    away.succeeded()
    away.succeeded()
    assert told.aways == [5.0, None]


async def test_after_years_of_failures_the_pause_is_still_a_minute() -> None:
    time = Time()
    away = outage(time, Told(), 1.0)
    for _ in range(5000):
        away.failed(TryAgain("no"), away.round)
        await away.clear()
    away.failed(TryAgain("no"), away.round)
    assert away.remaining == 60


async def test_tenacity_retries_try_again_alone_and_waits_for_the_shared_pause() -> None:
    time = Time()
    away = outage(time, Told(), 1.0)
    tries = 0
    async for attempt in away.retrying():
        with attempt:
            tries += 1
            if tries < 4:
                error = TryAgain("no")
                away.failed(error, away.round)
                raise error
    assert tries == 4
    assert time.now == 1000 + 0.5 + 1 + 2
    with pytest.raises(ValueError, match="other"):
        await away.retrying()(_fail)


async def _fail() -> None:
    raise ValueError("other")
