"""Group commit: what waits shares a transaction, and a refusing disk never stops delivery."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import replace

import pytest

from ingestor.checkpoint import CheckpointUnavailable, CommitPace, Committer, Role, Store
from ingestor.model import Span

PROMPT = CommitPace(delay=0.01, first_pause=0.01, longest_pause=0.02)
NEVER = CommitPace(delay=1e6, first_pause=1e6, longest_pause=1e6)


@pytest.fixture(params=["normal", "full"])
def store(options, request):
    with Store.open(replace(options, sync=request.param), Role.RUN) as store:
        yield store


def written(store: Store, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(store.path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def refuse(store: Store) -> None:
    store._disk.connection.execute("PRAGMA query_only = ON")


def mend(store: Store) -> None:
    store._disk.connection.execute("PRAGMA query_only = OFF")


async def test_a_journalled_batch_is_on_disk(store, identity, batch_of) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=NEVER) as committer:
        batch = batch_of(store, Span(key, 0, 10))
        assert await committer.journalled(batch, bodies=b"[]")
        assert written(store, "SELECT id, bodies FROM journal") == [(batch.id, b"[]")]


async def test_batches_that_wait_together_share_a_transaction(store, identity, batch_of) -> None:
    key = store.register(identity(1), b"/a")
    statements: list[str] = []
    store._disk.connection.set_trace_callback(statements.append)
    async with Committer(store, pace=NEVER) as committer:
        batches = [batch_of(store, Span(key, n * 10, n * 10 + 10)) for n in range(50)]
        assert all(await asyncio.gather(*map(committer.journalled, batches)))
        assert len(written(store, "SELECT id FROM journal")) == 50
    store._disk.connection.set_trace_callback(None)
    assert statements.count("COMMIT") <= 2


async def test_acks_ride_along_with_the_next_batch(store, identity, batch_of) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=NEVER) as committer:
        first, second = batch_of(store, Span(key, 0, 10)), batch_of(store, Span(key, 10, 20))
        await committer.journalled(first)
        store.answered(first.id, [Span(key, 0, 10)])
        await committer.journalled(second)
        assert written(store, "SELECT id FROM journal") == [(second.id,)]
        assert written(store, "SELECT start, stop FROM spans") == [(0, 10)]


async def test_acks_that_no_batch_carries_are_written_soon(store, identity) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=PROMPT):
        store.ack([Span(key, 0, 10)])
        async with asyncio.timeout(10):
            while store.uncommitted:  # noqa: ASYNC110 - a condition of a plain object
                await asyncio.sleep(0.001)
        assert written(store, "SELECT start, stop FROM spans") == [(0, 10)]


async def test_a_file_that_is_removed_between_two_commits_is_missed_soon(
    store, identity, batch_of, caplog
) -> None:
    """Not at once: to look before each commit costs as much as writing it."""
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=PROMPT) as committer:
        batches = [batch_of(store, Span(key, 0, 10))]
        await committer.journalled(batches[0])
        store.path.unlink()
        async with asyncio.timeout(10):
            while not store.path.exists():
                batches.append(batch_of(store, Span(key, 0, 10)))
                await committer.journalled(batches[-1])
                await asyncio.sleep(0.001)
        rows = written(store, "SELECT id FROM journal ORDER BY id")
    assert rows == [(batch.id,) for batch in batches]
    assert "was removed while in use: built anew from memory" in caplog.text


async def test_a_file_that_is_removed_before_the_last_commit_is_missed_at_the_end(
    options, identity, batch_of, caplog
) -> None:
    """That commit wrote into the removed file, and none follows."""
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        async with Committer(store, pace=NEVER) as committer:
            first, last = batch_of(store, Span(key, 0, 10)), batch_of(store, Span(key, 10, 20))
            await committer.journalled(first)
            store.path.unlink()
            await committer.journalled(last)
        assert written(store, "SELECT id FROM journal") == [(first.id,), (last.id,)]
    assert "was removed while in use: built anew from memory" in caplog.text


async def test_a_file_that_is_removed_before_a_pause_is_missed_during_it(
    store, identity, batch_of
) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=PROMPT) as committer:
        first, last = batch_of(store, Span(key, 0, 10)), batch_of(store, Span(key, 10, 20))
        await committer.journalled(first)
        store.path.unlink()
        await committer.journalled(last)
        async with asyncio.timeout(10):
            while not store.path.exists():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.001)
    assert written(store, "SELECT id FROM journal") == [(first.id,), (last.id,)]


async def test_a_disk_that_refuses_does_not_hold_batches_up_and_gets_all_of_them_later(
    store, identity, batch_of, caplog
) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=PROMPT) as committer:
        refuse(store)
        batches = [batch_of(store, Span(key, n * 10, n * 10 + 10)) for n in range(5)]
        for batch in batches:
            assert not await committer.journalled(batch)
        assert committer.trouble is not None
        with pytest.raises(CheckpointUnavailable, match="read-only"):
            await committer.flush()
        store.answered(batches[0].id, [Span(key, 0, 10)])
        waiter = asyncio.create_task(committer.on_disk())
        done, _ = await asyncio.wait([waiter], timeout=0.1)
        assert not done
        assert "page views go on being delivered" in caplog.text
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
        mend(store)
        async with asyncio.timeout(10):
            await waiter
        assert committer.trouble is None
        assert "is written again" in caplog.text
        assert written(store, "SELECT id FROM journal") == [(b.id,) for b in batches[1:]]
        assert written(store, "SELECT start, stop FROM spans") == [(0, 10)]
        assert await committer.journalled(batch_of(store, Span(key, 90, 95)))


async def test_the_alarm_says_that_with_exactly_once_nothing_is_sent(
    store, identity, batch_of, caplog
) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=PROMPT) as committer:
        refuse(store)
        assert not await committer.journalled(batch_of(store, Span(key, 0, 10)), bodies=b"[]")
        assert "no page view is sent until it is mended" in caplog.text
        assert "go on being delivered" not in caplog.text
        mend(store)


async def test_the_alarm_comes_again_while_the_trouble_lasts(store, identity, caplog) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=replace(PROMPT, alarm_every=0.0)) as committer:
        refuse(store)
        store.ack([Span(key, 0, 1)])
        for _ in range(3):
            with pytest.raises(CheckpointUnavailable):
                await committer.flush()
        assert caplog.text.count("read-only") >= 3
        mend(store)


async def test_another_process_that_writes_for_a_moment_is_no_alarm(
    options, identity, batch_of, caplog
) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        rival = sqlite3.connect(store.path, isolation_level=None)
        async with Committer(store, pace=PROMPT) as committer:
            rival.execute("BEGIN IMMEDIATE")
            assert not await committer.journalled(batch_of(store, Span(key, 0, 10)))
            rival.execute("ROLLBACK")
            rival.close()
            async with asyncio.timeout(10):
                await committer.on_disk()
        assert caplog.text == ""


async def test_another_process_that_never_stops_writing_is_one(options, identity, caplog) -> None:
    with Store.open(options, Role.RUN) as store:
        rival = sqlite3.connect(store.path, isolation_level=None)
        async with Committer(store, pace=replace(NEVER, patience=0.0)) as committer:
            rival.execute("BEGIN IMMEDIATE")
            store.count("s", {"accepted": 1})
            with pytest.raises(CheckpointUnavailable):
                await committer.flush()
            rival.execute("ROLLBACK")
            rival.close()
        assert "another program keeps it locked" in caplog.text


async def test_closing_writes_what_waits(store, identity) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=NEVER) as committer:
        store.ack([Span(key, 0, 10)])
    assert written(store, "SELECT start, stop FROM spans") == [(0, 10)]
    await committer.close()
    with pytest.raises(CheckpointUnavailable, match="closed"):
        await committer.flush()
    with pytest.raises(CheckpointUnavailable, match="closed"):
        await committer.on_disk()


async def test_a_batch_after_the_end_is_noted_in_memory(store, identity, batch_of) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=NEVER) as committer:
        pass
    assert not await committer.journalled(batch_of(store, Span(key, 0, 10)))
    assert store.uncommitted


async def test_waiting_for_the_disk_ends_when_the_committer_closes(store, identity) -> None:
    async with Committer(store, pace=NEVER) as committer:
        refuse(store)
        store.count("s", {"accepted": 1})
        with pytest.raises(CheckpointUnavailable):
            await committer.flush()
        waiter = asyncio.create_task(committer.on_disk())
        await asyncio.sleep(0)
    with pytest.raises(CheckpointUnavailable, match="read-only"):
        await waiter
    mend(store)


async def test_a_cancelled_waiter_does_not_disturb_the_others(store, identity, batch_of) -> None:
    key = store.register(identity(1), b"/a")
    async with Committer(store, pace=NEVER) as committer:
        tasks = [
            asyncio.create_task(committer.journalled(batch_of(store, Span(key, n, n + 1))))
            for n in range(3)
        ]
        await asyncio.sleep(0)
        tasks[0].cancel()
        assert await tasks[1]
        assert await tasks[2]
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]


async def test_what_is_reported_during_a_commit_goes_with_the_next(
    options, identity, batch_of
) -> None:
    with Store.open(replace(options, sync="full"), Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        async with Committer(store, pace=NEVER) as committer:
            store._disk.guard.acquire()  # holds the commit's thread up
            first = asyncio.create_task(committer.journalled(batch_of(store, Span(key, 0, 1))))
            async with asyncio.timeout(10):
                while not committer._busy:  # noqa: ASYNC110 - a condition of a plain object
                    await asyncio.sleep(0)
            late = [
                asyncio.create_task(committer.journalled(batch_of(store, Span(key, n, n + 1))))
                for n in (1, 2)
            ]
            store._disk.guard.release()
            assert await first
            assert all(await asyncio.gather(*late))
            assert len(written(store, "SELECT id FROM journal")) == 3


async def test_an_error_of_our_own_reaches_whoever_waits(store, batch_of) -> None:
    async with Committer(store, pace=NEVER) as committer:
        store._dirty_spans.add(12345)  # a key that nobody knows
        with pytest.raises(KeyError):
            await committer.journalled(batch_of(store))
        store._dirty_spans.clear()


async def test_an_error_of_our_own_is_heard_though_nobody_waits(options) -> None:
    heard = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: heard.set())
    with Store.open(options, Role.RUN) as store:
        async with Committer(store, pace=PROMPT):
            store._dirty_spans.add(12345)
            async with asyncio.timeout(10):
                await heard.wait()
            store._dirty_spans.clear()
