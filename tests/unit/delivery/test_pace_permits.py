"""Permits in flight: who waits, for what, and what is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ingestor.delivery.pace import Bounds, Pace
from ingestor.delivery.permits import Permits
from ingestor.delivery.rate import Rate


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def permits(
    limit: int,
    *,
    rate: Rate | None = None,
    give_way: Callable[[], bool] = lambda: False,
    time: Time | None = None,
    adaptive: bool = False,
) -> Permits:
    time = time or Time()
    pace = Pace(Bounds(1, limit, 10, 50), adaptive=adaptive)
    return Permits(pace, rate=rate, give_way=give_way, clock=time, sleep=time.sleep)


async def test_permits_are_given_in_order_up_to_the_limit() -> None:
    pace = permits(2)
    got: list[int] = []

    async def ask(number: int) -> None:
        await pace.acquire()
        got.append(number)

    tasks = [asyncio.create_task(ask(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert got == [0, 1]
    pace.release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == [0, 1, 2]
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    pace.release()
    pace.release()
    assert pace.in_flight == 0


async def test_a_permit_granted_to_a_cancelled_waiter_is_passed_on() -> None:
    pace = permits(1)
    await pace.acquire()
    first, second = asyncio.create_task(pace.acquire()), asyncio.create_task(pace.acquire())
    await asyncio.sleep(0)
    pace.release()
    first.cancel()
    await second
    assert pace.in_flight == 1


async def test_a_turn_is_passed_on_to_who_waits() -> None:
    pace = permits(1)
    await pace.acquire()
    waiting = asyncio.create_task(pace.acquire())
    await asyncio.sleep(0)
    back = asyncio.create_task(pace.pass_on())
    await waiting
    assert not back.done()
    pace.release()
    await back
    assert pace.in_flight == 1
    await pace.pass_on()
    again = asyncio.create_task(pace.acquire())
    await asyncio.sleep(0)
    gone = asyncio.create_task(pace.pass_on())
    await again
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert pace.in_flight == 2, "who was cancelled still holds what it will release"


async def test_whoever_goes_first_is_waited_for_before_a_request() -> None:
    time = Time()
    busy = [True, True, True, False]
    pace = permits(1, give_way=lambda: busy.pop(0), time=time)
    await pace.acquire()
    assert len(time.slept) == 3
    assert pace.in_flight == 1


async def test_who_is_cancelled_while_giving_way_holds_no_permit() -> None:
    pace = permits(1, give_way=lambda: True)
    waiting = asyncio.create_task(pace.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pace.in_flight == 0


async def test_the_rate_is_kept_over_time_and_bounds_a_batch() -> None:
    time = Time()
    pace = permits(4, rate=Rate(20), time=time)
    assert pace.batch_size == 20
    for _ in range(11):
        await pace.may_leave(20)
    assert time.now == pytest.approx(110.0)


async def test_without_a_rate_nobody_waits() -> None:
    time = Time()
    pace = permits(4, time=time)
    assert pace.batch_size == 50
    await pace.may_leave(10_000)
    assert time.slept == []


async def test_a_flight_tells_how_long_it_took_and_how_many_flew_with_it() -> None:
    time = Time()
    pace = permits(4, time=time)
    with pace.flight() as first:
        time.now += 2.0
        with pace.flight() as second:
            time.now += 1.0
        with pytest.raises(ValueError, match="lost"), pace.flight():
            raise ValueError("lost")
    with pace.flight() as third:
        pass
    assert (first.seconds, first.beside) == (3.0, 1)
    assert (second.seconds, second.beside) == (1.0, 2)
    assert (third.seconds, third.beside) == (0.0, 1)


async def test_a_limit_that_grows_lets_those_in_who_wait() -> None:
    pace = permits(4, adaptive=True)
    assert pace.limit == 1
    waiting = [asyncio.create_task(pace.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, False, False]
    while pace.limit == 1:
        pace.answered(pace.batch_size, 0.1, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, True, False]
    waiting[2].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
