"""Page views waiting: by website, bounded, fair."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ingestor.delivery.batcher import Batcher, Parcel
from ingestor.model import PageView, Span

A, B, C = "a", "b", "c"


def some(website: str, count: int) -> list[PageView]:
    return [PageView.of(website, {"url": str(n)}, Span(1, n, n + 1), n, b"") for n in range(count)]


def together(_page_view: PageView) -> bool:
    return False


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def batcher(
    room: int = 100, size: int = 10, linger: float = 0.2, clock: Callable[[], float] = lambda: 0.0
):
    return Batcher(room=room, size=size, linger=linger, clock=clock)


def taken(queue: Batcher) -> tuple[str, int] | None:
    parcel = queue.take(together)
    return parcel and (parcel.website, len(parcel.page_views))


async def test_an_idle_worker_gets_what_is_there_at_once() -> None:
    queue = batcher()
    worker = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    assert not worker.done()
    queue.put(some(A, 1))
    assert await worker
    assert taken(queue) == (A, 1)
    assert taken(queue) is None


async def test_websites_take_turns_and_full_batches_go_first() -> None:
    queue = batcher()
    queue.put(some(A, 3))
    queue.put(some(B, 25))
    queue.put(some(C, 10))
    order = [taken(queue) for _ in range(6)]
    assert order == [(B, 10), (C, 10), (B, 10), (A, 3), (B, 5), None]


async def test_a_batch_that_lingered_goes_before_a_fuller_one() -> None:
    time = Time()
    queue = batcher(clock=time)
    queue.put(some(A, 3))
    time.now = 0.1
    queue.put(some(B, 10))
    time.now = 0.25
    assert taken(queue) == (A, 3)


async def test_order_inside_a_website_is_kept() -> None:
    queue = batcher()
    views = some(A, 25)
    queue.put(views)
    parcels = [queue.take(together) for _ in range(3)]
    assert [view for parcel in parcels if parcel for view in parcel.page_views] == views


async def test_a_page_view_may_travel_alone() -> None:
    queue = batcher()
    queue.put(some(A, 5))
    parcel = queue.take(lambda page_view: page_view.line_start == 0)
    assert parcel is not None
    assert len(parcel.page_views) == 1
    assert taken(queue) == (A, 4)


async def test_all_idle_workers_are_woken_for_several_websites() -> None:
    queue = batcher()
    got: list[str] = []

    async def work() -> None:
        while await queue.wait():
            parcel = queue.take(together)
            if parcel:
                got.append(parcel.website)
                await asyncio.Event().wait()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.put([*some(A, 1), *some(B, 1), *some(C, 1)])
    for _ in range(10):
        await asyncio.sleep(0)
    assert sorted(got) == [A, B, C]
    for worker in workers:
        worker.cancel()


async def test_submitters_get_their_turn_in_order_and_nobody_overtakes() -> None:
    queue = batcher(room=4, size=2)
    order: list[str] = []

    async def submit(website: str, count: int) -> None:
        for _ in range(count):
            await queue.room()
            queue.put(some(website, 1))
            order.append(website)

    patient = asyncio.create_task(submit(A, 6))
    await asyncio.sleep(0)
    greedy = asyncio.create_task(submit(B, 30))
    for _ in range(200):
        await asyncio.sleep(0)
        if parcel := queue.take(together):
            queue.release(len(parcel.page_views))
    await asyncio.gather(patient, greedy)
    assert order[4:12].count(A) >= 2, order
    assert queue.held <= 4


async def test_long_lines_leave_room_for_fewer() -> None:
    queue = batcher(room=1000, size=10)
    long = [view._replace(line=b"x" * 3_000_000) for view in some(A, 5)]
    queue.put(long[:4])
    assert await queue.room() == 10
    queue.put(long[4:])
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.release(1)
    assert await waiting == 10
    queue.release(4)
    queue.put(some(A, 990))
    assert await queue.room() == 10


async def test_long_lines_make_small_batches() -> None:
    queue = batcher(size=10)
    queue.put([view._replace(line=b"x" * 300_000) for view in some(A, 10)])
    assert [taken(queue) for _ in range(4)] == [(A, 3)] * 3 + [(A, 1)]
    queue.put([view._replace(line=b"x" * 3_000_000) for view in some(B, 2)])
    assert taken(queue) == (B, 1)


async def test_long_lines_that_wait_aside_have_room_of_their_own() -> None:
    queue = batcher(room=1000, size=10)
    queue.put([view._replace(line=b"x" * 3_000_000) for view in some(A, 5)])
    queue.put_aside(2)
    assert await queue.room() == 10


async def test_the_room_of_long_lines_that_wait_aside_is_bounded_too() -> None:
    queue = batcher(room=1000, size=10)
    long = [view._replace(line=b"x" * 3_000_000) for view in some(A, 22)]
    queue.put(long[:15])
    queue.put_aside(15)
    assert await queue.room() == 10
    queue.put(long[15:])
    queue.put_aside(7)
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.release(3, aside=True)
    assert await waiting == 10


async def test_what_earlier_runs_left_counts_in_bytes_too() -> None:
    queue = batcher(room=1000, size=10)
    left = [view._replace(line=b"x" * 3_000_000) for view in some(A, 22)]
    queue.hold(left)
    queue.put_aside(22)
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.release(22, aside=True)
    assert await waiting == 10


async def test_a_newcomer_does_not_take_the_room_of_one_whose_turn_it_is() -> None:
    queue = batcher(room=1)
    queue.put(some(A, 1))
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    queue.release(1)
    newcomer = asyncio.create_task(queue.room())
    assert await waiting == 1
    assert not newcomer.done()
    queue.put(some(A, 1))
    queue.release(1)
    assert await newcomer == 1


async def test_room_that_is_taken_before_a_submitter_uses_it_is_none() -> None:
    """What earlier runs left comes without asking."""
    queue = batcher(room=1)
    queue.put(some(A, 1))
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    queue.release(1)
    queue.hold(some(B, 10))
    assert await waiting == 0
    queue.put([])
    later = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    queue.release(10)
    assert await later == 1


async def test_a_submitter_that_is_cancelled_in_its_turn_passes_it_on() -> None:
    queue = batcher(room=1)
    queue.put(some(A, 1))
    first, second = asyncio.create_task(queue.room()), asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    queue.release(1)
    first.cancel()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_parcel_given_back_comes_first_and_as_it_was() -> None:
    queue = batcher()
    queue.put(some(A, 20))
    parcel = queue.take(together)
    assert parcel is not None
    half, other = parcel.halves()
    queue.give_back(half)
    assert queue.take(together) is half
    assert len(half.page_views) + len(other.page_views) == 10
    assert queue.held == 20


async def test_a_dropped_website_gives_its_room_up() -> None:
    queue = batcher()
    queue.put([*some(A, 3), *some(B, 2)])
    queue.give_back(Parcel(A, tuple(some(A, 1))))
    queue.held += 1
    assert len(queue.drop(A)) == 4
    assert queue.held == 2
    assert taken(queue) == (B, 2)
    assert queue.drop(C) == []


async def test_closing_lets_nobody_wait() -> None:
    queue = batcher(room=1)
    queue.put(some(A, 1))
    queue.take(together)
    waiting = [asyncio.create_task(queue.room()) for _ in range(2)]
    idle, end = asyncio.create_task(queue.wait()), asyncio.create_task(queue.emptied())
    await asyncio.sleep(0)
    queue.close(ValueError("first"))
    queue.close(KeyError("second"))
    assert not await idle
    await end
    for submitter in waiting:
        with pytest.raises(ValueError, match="first"):
            await submitter
    with pytest.raises(ValueError, match="first"):
        await queue.room()
