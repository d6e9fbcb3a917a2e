"""What stays in the checkpoint of a batch in doubt, and who takes it up."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, CommitPace, Committer, Role, Store
from ingestor.model import Batch, Identity, Outcome, PageView, Span
from ingestor.observe import Counts
from ingestor.pipeline.ledger import Ledger
from ingestor.pipeline.totals import accepted_by_day

SITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Open the checkpoint; opening it again first kills who has it open."""
    stores: list[Store] = []

    def open_(role: Role = Role.BACKFILL) -> Store:
        for store in stores:
            store._disk.close()
        stores.append(Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), role))
        return stores[-1]

    yield open_
    for store in stores:
        store._disk.close()


def ledger_of(store: Store | None, committer: Committer | None = None) -> Ledger:
    return Ledger(Counts(), store, committer, lambda _key: "/var/log")


def register(store: Store) -> int:
    digest = hashlib.blake2b(b"log", digest_size=16).digest()
    return store.register(Identity(7, 1, digest, 100), b"/access.log")


def page_view_at(key: int, start: int) -> PageView:
    return PageView.of(SITE, {"timestamp": 1_790_000_000}, Span(key, start, start + 10), start, b"")


def batch_of(ledger: Ledger, key: int, *, tagged: bool = True) -> Batch:
    number = ledger.next_batch_id()
    views = tuple(page_view_at(key, start) for start in (0, 10, 20))
    return Batch(number, SITE, views, f"log-{ledger.tag(number)}" if tagged else None)


def left_behind(store: Store) -> tuple[int, Batch]:
    """A batch of a run that is killed before the answer came."""
    key = register(store)
    ledger = ledger_of(store)
    batch = batch_of(ledger, key)
    store.journal(batch, bodies=b"bodies")
    store.commit()
    return key, batch


def test_tags_are_short_and_unique_among_runs(opened: Callable[..., Store]) -> None:
    tags = []
    for _ in range(3):
        ledger = ledger_of(opened())
        tags += [ledger.tag(ledger.next_batch_id()) for _ in range(3)]
    nowhere = ledger_of(None)
    tags += [nowhere.tag(nowhere.next_batch_id()) for _ in range(3)]
    assert len(set(tags)) == 12
    assert all(re.fullmatch(r"[0-9a-f]{12}-\d{1,11}", tag) for tag in tags)


def test_two_machines_with_copies_of_one_checkpoint_never_send_one_tag(
    opened: Callable[..., Store], tmp_path: Path
) -> None:
    opened().close()
    shutil.copy(tmp_path / "checkpoint.db", tmp_path / "copy.db")
    with Store.open(CheckpointOptions(tmp_path / "copy.db"), Role.BACKFILL) as copied:
        here, there = ledger_of(opened()), ledger_of(copied)
        number = here.next_batch_id()
        assert number == there.next_batch_id()
        assert here.tag(number) != there.tag(number)


async def test_with_bodies_nothing_leaves_before_they_are_on_disk(
    opened: Callable[..., Store], tmp_path: Path
) -> None:
    store = opened()
    key = register(store)
    pace = CommitPace(delay=0.001, first_pause=0.001, longest_pause=0.001)
    rival = sqlite3.connect(tmp_path / "checkpoint.db", isolation_level=None)
    async with Committer(store, pace=pace) as committer:
        ledger = ledger_of(store, committer)
        rival.execute("BEGIN IMMEDIATE")
        plain, kept = batch_of(ledger, key, tagged=False), batch_of(ledger, key)
        async with asyncio.timeout(20):
            await ledger.before_send(plain)  # goes on in memory
            waiting = asyncio.create_task(ledger.before_send(kept, b"bodies"))
            while committer.trouble is None:  # noqa: ASYNC110 - the committer sets no event
                await asyncio.sleep(0)
            assert not waiting.done()
            rival.execute("ROLLBACK")
            await waiting
        rows = rival.execute("SELECT id, bodies FROM journal").fetchall()
        rival.close()
    assert (kept.id, b"bodies") in rows


def test_what_can_be_looked_up_is_kept_and_not_read_again(opened: Callable[..., Store]) -> None:
    key, batch = left_behind(opened())
    store = opened()
    ledger = ledger_of(store)
    ledger.say_in_doubt({SITE}, looked_up=True)
    assert store.unread(key, 40) == [(30, 40)]
    (left,) = ledger.left_in_doubt()
    assert left == (batch.id, SITE, batch.tag, b"bodies")
    assert (ledger.counts.lines, ledger.counts.in_flight, ledger.counts.doubted) == (3, 3, 0)
    ledger.unsent({Outcome.ACCEPTED: batch.page_views[:1]})
    ledger.answered(batch, {Outcome.ACCEPTED: batch.page_views[1:]})
    store.commit()
    after = opened()
    assert after.in_doubt() == []
    assert after.unread(key, 40) == [(30, 40)]


def test_without_a_look_up_it_is_sent_again_from_the_journal_and_may_be_double(
    opened: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    key, batch = left_behind(opened())
    store = opened()
    ledger = ledger_of(store)
    assert ledger.say_in_doubt({SITE})
    assert "up to 3 may be double" in caplog.text
    assert store.unread(key, 40) == [(30, 40)]  # the log may be gone
    assert [left.id for left in ledger.left_in_doubt()] == [batch.id]
    ledger.doubted(SITE, 3)  # delivery says so with each try
    ledger.doubted(SITE, 3)
    ledger.answered(batch, {Outcome.ACCEPTED: batch.page_views})
    assert sum(accepted_by_day([store.totals()], SITE).values()) == 3 + 2 * 3  # each was stored
    assert ledger.counts.doubted == 3
    ledger.doubted(SITE, 3, told=True)  # in halves, once more
    assert accepted_by_day([store.totals()], SITE)["doubted"] == 3 * 3
    assert ledger.counts.doubted == 3


async def test_what_was_answered_is_counted_whole_though_little_is_under_way(
    opened: Callable[..., Store],
) -> None:
    store = opened()
    ledger = ledger_of(store)
    batch = batch_of(ledger, register(store), tagged=False)
    store.journal(batch)
    await ledger.before_send(batch)
    ledger.doubted(SITE, 50, answered=True)  # another batch, by a 500
    assert ledger.counts.doubted == 50
    ledger.doubted(SITE, 3)
    ledger.answered(batch, {Outcome.ACCEPTED: batch.page_views})
    assert ledger.counts.doubted == 50 + 3
    assert sum(accepted_by_day([store.totals()], SITE).values()) == 3 + 50 + 3


def test_without_bodies_it_is_read_again_and_may_be_double(
    opened: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    before = opened()
    key = register(before)
    before.journal(batch_of(ledger_of(before), key, tagged=False))
    before.commit()
    store = opened()
    ledger = ledger_of(store)
    assert not ledger.say_in_doubt({SITE})
    assert store.unread(key, 40) == [(0, 40)]
    assert ledger.left_in_doubt() == []
    assert ledger.counts.doubted == 3
    assert "up to 3 may be double" in caplog.text


def test_of_a_forgotten_log_nothing_is_kept(opened: Callable[..., Store], tmp_path: Path) -> None:
    key, _ = left_behind(opened())
    with sqlite3.connect(tmp_path / "checkpoint.db") as connection:
        connection.execute("DELETE FROM files WHERE key = ?", (key,))
    connection.close()
    ledger = ledger_of(opened())
    ledger.say_in_doubt({SITE}, looked_up=True)
    assert ledger.left_in_doubt() == []


@pytest.mark.parametrize("role", Role)
def test_a_website_that_is_gone_from_configuration_and_umami_is_judged_anew(
    role: Role, opened: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = left_behind(opened(role))
    store = opened(Role.BACKFILL)
    ledger = ledger_of(store)
    ledger.say_in_doubt({SITE, "another website"})
    assert not ledger.strays()
    ledger.say_in_doubt({"another website"})
    assert ledger.strays() == {SITE}
    assert store.unread(key, 40) == [(30, 40)]  # Umami may know it
    again: list[Span] = []
    ledger.on_let_go = again.extend
    ledger.let_go(SITE)
    assert again == [Span(key, 0, 30)]
    assert store.unread(key, 40) == [(0, 40)]
    assert ledger.left_in_doubt() == []
    assert SITE in caplog.text
    store.commit()
    assert not ledger.strays()


def test_the_other_command_takes_up_what_a_dead_one_left(opened: Callable[..., Store]) -> None:
    key, batch = left_behind(opened(Role.RUN))
    store = opened(Role.BACKFILL)
    ledger = ledger_of(store)
    ledger.say_in_doubt({"another website"}, looked_up=True)
    assert ledger.left_in_doubt() == []
    assert store.unread(key, 40) == [(30, 40)]
    ledger.say_in_doubt({SITE}, looked_up=True)
    assert [left.id for left in ledger.left_in_doubt()] == [batch.id]


@pytest.mark.parametrize("role", Role)
async def test_what_the_other_command_left_without_bodies_is_counted_when_it_is_sent_again(
    role: Role, opened: Callable[..., Store], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = opened(role.other)
    key = register(before)
    left = batch_of(ledger_of(before), key, tagged=False)
    before.journal(left)
    before.commit()
    store = opened(role)
    async with Committer(store) as committer:
        ledger = ledger_of(store, committer)
        assert not ledger.say_in_doubt({SITE})
        assert "The other command ended with 3 page views sent and not answered" in caplog.text
        assert ledger.counts.doubted == 0  # perhaps nobody reads that log here
        number = ledger.next_batch_id()
        beside = Batch(number, SITE, (page_view_at(key, 30), page_view_at(key + 1, 0)), None)
        await ledger.before_send(beside)
        assert ledger.counts.doubted == 0
        again = Batch(ledger.next_batch_id(), SITE, (page_view_at(key, 20),), None)
        await ledger.before_send(again)
        assert ledger.counts.doubted == 3
        await ledger.before_send(Batch(ledger.next_batch_id(), SITE, (page_view_at(key, 0),), None))
        assert ledger.counts.doubted == 3
        caplog.clear()
        assert not ledger.say_in_doubt({SITE})
        assert not caplog.text
    with sqlite3.connect(tmp_path / "checkpoint.db") as connection:
        rows = connection.execute("SELECT id FROM journal WHERE role = ?", (role.other,)).fetchall()
    connection.close()
    assert rows == []


def test_what_a_live_process_of_the_other_command_has_under_way_is_no_doubt(
    opened: Callable[..., Store], tmp_path: Path
) -> None:
    store = opened(Role.RUN)
    backfill = Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), Role.BACKFILL)
    backfill.journal(batch_of(ledger_of(backfill), register(backfill), tagged=False))
    backfill.commit()
    assert store.orphans() == []
    backfill._disk.close()  # as by SIGKILL
    assert [entry.count for entry in store.orphans()] == [3]


def test_what_a_backfill_leaves_beside_a_running_daemon_is_taken_up_once(
    opened: Callable[..., Store], tmp_path: Path
) -> None:
    store = opened(Role.RUN)
    ledger = ledger_of(store)
    assert not ledger.say_in_doubt({SITE}, looked_up=True)
    backfill = Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), Role.BACKFILL)
    key, batch = left_behind(backfill)
    assert not ledger.say_in_doubt({SITE}, looked_up=True)  # it lives, and may send it itself
    backfill._disk.close()  # as by SIGKILL
    assert ledger.say_in_doubt({SITE}, looked_up=True)
    assert [left.id for left in ledger.left_in_doubt()] == [batch.id]
    assert not ledger.say_in_doubt({SITE}, looked_up=True)
    assert ledger.left_in_doubt() == []
    assert store.unread(key, 40) == [(30, 40)]


async def test_a_reload_hands_on_what_can_be_looked_up_and_repeats_the_rest(
    opened: Callable[..., Store],
) -> None:
    store = opened(Role.RUN)
    key = register(store)
    async with Committer(store) as committer:
        before = ledger_of(store, committer)
        kept = batch_of(before, key)
        await before.before_send(kept, b"bodies")
        plain = batch_of(before, key, tagged=False)
        await before.before_send(plain)
        before.leaving(plain)
        refused = batch_of(before, key, tagged=False)
        await before.before_send(refused)
        before.leaving(refused)
        before.refused(refused)
        assert before.unanswered == 3
        assert before.give_up() == 3
        after = ledger_of(store, committer)
        after.say_in_doubt({SITE}, looked_up=True)
        assert [left.id for left in after.left_in_doubt()] == [kept.id]
        assert store.unread(key, 40) == [(30, 40)]
    assert [entry.id for entry in opened(Role.RUN).in_doubt()] == [kept.id]
