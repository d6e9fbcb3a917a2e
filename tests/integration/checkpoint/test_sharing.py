"""One daemon and one backfill share the file: locks, claims, and each other's acks."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from ingestor.checkpoint import CheckpointUnavailable, Role, Store
from ingestor.checkpoint.disk import lock_path
from ingestor.checkpoint.locks import Lock, holder
from ingestor.errors import CheckpointError
from ingestor.model import Span


def test_a_second_process_of_a_role_is_refused_with_the_pid_of_the_first(options, holding) -> None:
    process = holding(options.path, Role.RUN)
    with pytest.raises(CheckpointError, match=f"`ingestor run` \\(process {process.pid}\\)"):
        Store.open(options, Role.RUN)
    with Store.open(options, Role.BACKFILL):
        pass


def test_the_lock_of_a_killed_process_blocks_nobody(options, holding) -> None:
    process = holding(options.path, Role.RUN)
    process.kill()
    process.wait()
    with Store.open(options, Role.RUN):
        assert holder(lock_path(options.path, Role.RUN)) is not None
    assert holder(lock_path(options.path, Role.RUN)) is None


def test_a_lock_file_without_a_readable_pid_still_locks(tmp_path) -> None:
    path = tmp_path / "checkpoint.db.run.lock"
    lock = Lock.acquire(path, held_by="somebody")
    path.write_bytes(b"\xff garbage")
    assert holder(path) == 0
    with pytest.raises(CheckpointError, match="in use by another; stop it first"):
        Lock.acquire(path, held_by="another", patience_s=0)
    lock.release()
    lock.release()
    assert holder(path) is None


def test_a_lock_file_removed_under_its_holder_is_told_apart_from_a_new_one(tmp_path) -> None:
    path = tmp_path / "checkpoint.db.run.lock"
    first = Lock.acquire(path, held_by="x")
    path.unlink()
    second = Lock.acquire(path, held_by="x")
    assert not Lock._try(first._descriptor, path)
    second.release()
    path.unlink()
    assert not Lock._try(first._descriptor, path)
    first.release()


def test_a_lock_file_removed_under_us_is_locked_again(options, identity) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        lock_path(options.path, Role.RUN).unlink()
        store.ack([Span(key, 0, 10)])
        store.commit()
        with pytest.raises(CheckpointError, match="is in use by another `ingestor run`"):
            Store.open(options, Role.RUN)


def test_a_process_whose_lock_another_one_took_says_so(options, identity) -> None:
    """Both send then: whoever removed the lock file of the first has to stop one of them."""
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        lock_path(options.path, Role.RUN).unlink()
        with Store.open(options, Role.RUN):
            store.ack([Span(key, 0, 10)])
            with pytest.raises(CheckpointUnavailable, match="is in use by another `ingestor run`"):
                store.commit()
        store.commit()


def test_a_lock_that_is_only_looked_at_does_not_refuse_a_start(tmp_path) -> None:
    path = tmp_path / "checkpoint.db.run.lock"
    look = Lock.acquire(path, held_by="x")
    thread = threading.Timer(0.05, look.release)
    thread.start()
    Lock.acquire(path, held_by="x", patience_s=30).release()
    thread.join()


def test_each_role_sees_the_others_acks_and_files(options, identity) -> None:
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        key = run.register(identity(1), b"/a", origin=100)
        assert backfill.known() == run.known()
        run.ack([Span(key, 100, 200)])
        backfill.ack([Span(key, 0, 50)])
        run.commit()
        backfill.commit()
        run.remember_copy(1, 2, 3, 4, key)
        run.update(key, path=b"/b")
        run.commit()
        assert backfill.unread(key, 300) == [(50, 100), (200, 300)]
        assert run.unread(key, 300) == [(200, 300)]
        assert run.known()[0].watermark == backfill.known()[0].watermark == 200
        assert backfill.copy_of(1, 2, 3, 4) == key
        assert backfill.known()[0].path == b"/b"
        backfill.ack([Span(key, 50, 100)])
        backfill.commit()
        assert run.known()[0].watermark == 200
    with Store.open(options, Role.RUN) as run:
        run.update(key, origin=0)
        assert run.watermark(key) == 200


def test_the_watermark_passes_over_what_the_other_role_did(options, identity) -> None:
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        key = run.register(identity(1), b"/a")
        backfill.known()
        backfill.ack([Span(key, 0, 50), Span(key, 80, 90)])
        run.ack([Span(key, 50, 80)])
        backfill.commit()
        assert run.known()[0].watermark == 90


def test_both_roles_meeting_a_new_file_at_once_get_one_key(options, identity) -> None:
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        run.known()
        backfill.known()
        one = backfill.register(identity(1), b"/a")
        two = backfill.register(identity(2), b"/b.gz")
        other = run.register(identity(3), b"/c", origin=50)  # not to be taken for one of them
        assert run.register(identity(1), b"/a", origin=70) == one
        assert run.register(identity(2)._replace(inode=99), b"/b") == two
        assert other not in (one, two)
        assert backfill.register(identity(3), b"/c") == other
        assert run.known()[0].origin == 70
        run.commit()
        assert {file.key: file.origin for file in backfill.known()} == {one: 70, two: 0, other: 50}


def test_two_empty_logs_that_both_roles_meet_at_once_are_two(options, identity) -> None:
    """They have the same content, none; what is written to the one is not read of the other."""
    one, two = (
        identity(number)._replace(fingerprint=b"", fingerprint_length=0) for number in (1, 2)
    )
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        key = backfill.register(one, b"/a")
        assert run.register(two, b"/b") != key
        assert run.register(one, b"/a") == key


def test_a_backfill_reads_only_before_the_origin_of_a_followed_file(options, identity) -> None:
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        fresh = run.register(identity(1), b"/fresh")
        old = run.register(identity(2), b"/old", origin=40)
        assert run.claim(fresh)
        assert run.claim(fresh)
        assert run.claim(old)
        backfill.known()
        assert backfill.unread(old, 100) == [(0, 40)]
        assert not backfill.claim(fresh)
        assert backfill.claim(old)
        assert backfill.unread(old, 100) == [(0, 40)]
        assert run.unread(old, 100) == [(40, 100)]
        run.release(fresh)
        run.commit()
        assert backfill.claim(fresh)
        assert backfill.unread(fresh, 100) == [(0, 100)]


def test_the_daemon_waits_for_a_file_that_a_backfill_reads_whole(options, identity) -> None:
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        key = backfill.register(identity(1), b"/a")
        assert backfill.claim(key)
        run.known()
        assert not run.claim(key)
        backfill.ack([Span(key, 0, 60)])
        backfill.release(key)
        backfill.commit()
        assert run.claim(key)
        assert run.unread(key, 100) == [(60, 100)]


def test_the_daemon_shares_a_file_of_which_a_backfill_reads_the_older_part(
    options, identity
) -> None:
    with Store.open(options, Role.BACKFILL) as backfill:
        with Store.open(options, Role.RUN) as run:
            key = run.register(identity(1), b"/a", origin=40)
            assert run.claim(key)
            backfill.known()
            assert backfill.claim(key)
        assert backfill.unread(key, 100) == [(0, 40)]  # though nobody is at the rest just now
        with Store.open(options, Role.RUN) as run:
            assert run.claim(key)
            assert run.unread(key, 100) == [(40, 100)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE spans SET stop = -1",
        "DROP TABLE spans",
        "INSERT INTO journal VALUES (1, 'backfill', 'w', 1, x'00', NULL, x'00', 0, 0)",
        "DROP TABLE journal",
        "UPDATE files SET path = 5",
    ],
)
def test_rows_of_the_other_role_that_nobody_can_read_leave_what_was_known_of_it(
    options, identity, damage
) -> None:
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        key = run.register(identity(1), b"/a")
        backfill.known()
        backfill.ack([Span(key, 0, 60)])
        backfill.commit()
        run.known()
        shell = sqlite3.connect(options.path, isolation_level=None)
        shell.execute(damage)
        shell.close()
        assert run.unread(key, 100) == [(60, 100)]
        assert [file.key for file in run.known()] == [key]


def test_a_dead_process_claims_nothing(options, identity, crash) -> None:
    run = Store.open(options, Role.RUN)
    key = run.register(identity(1), b"/a", origin=50)
    assert run.claim(key)
    crash(run)
    with Store.open(options, Role.BACKFILL) as backfill:
        assert backfill.unread(key, 100) == [(0, 100)]
        assert backfill.claim(key)
        with Store.open(options, Role.RUN) as run:
            assert not run.claim(key)


def test_a_claim_that_cannot_be_written_is_only_granted_without_a_rival(options, identity) -> None:
    with Store.open(options, Role.RUN) as run:
        one = run.register(identity(1), b"/a")
        two = run.register(identity(2), b"/b")
        run._disk.connection.execute("PRAGMA query_only = ON")
        assert run.claim(one)
        with Store.open(options, Role.BACKFILL):
            assert not run.claim(two)
        run._disk.connection.execute("PRAGMA query_only = OFF")


def test_nothing_is_pruned_beside_a_live_rival(options, identity) -> None:
    with Store.open(options, Role.RUN) as run:
        run.options = type(options)(options.path, max_files=0)
        run.register(identity(1), b"/a")
        with Store.open(options, Role.BACKFILL):
            assert run.prune([]) == 0
        assert run.prune([]) == 1


def test_what_was_pruned_does_not_come_back_where_a_rival_commits_first(options, identity) -> None:
    """Come back without its acks, it would be read anew under a key that the disk has no more."""
    with Store.open(options, Role.RUN) as run:
        run.options = type(options)(options.path, max_files=0)
        run.register(identity(1), b"/gone")
        assert run.prune([]) == 1
        with Store.open(options, Role.BACKFILL):
            assert run.known() == []


def test_what_a_dead_backfill_left_in_doubt_is_kept_and_can_be_adopted(
    options, identity, batch_of, crash
) -> None:
    backfill = Store.open(options, Role.BACKFILL)
    key = backfill.register(identity(1), b"/a")
    again, blind, foreign = (
        batch_of(backfill, Span(key, start, start + 10), website=site)
        for start, site in ((0, "site"), (20, "site"), (40, "other"))
    )
    backfill.journal(again, bodies=b"1")
    backfill.journal(blind)
    backfill.journal(foreign, bodies=b"2")
    backfill.commit()
    with Store.open(options, Role.RUN) as run:
        assert run.adopt(["site"]) == 0  # its owner lives
        crash(backfill)
        assert run.unread(key, 50) == [(10, 40)]
        assert run.adopt(["site"]) == 1
        (entry,) = run.in_doubt()
        assert (entry.id, entry.role, entry.bodies) == (again.id, Role.RUN, b"1")
        run.answered(entry.id, entry.spans)
    with Store.open(options, Role.BACKFILL) as backfill:
        assert [entry.id for entry in backfill.in_doubt()] == [blind.id, foreign.id]
        assert backfill.unread(key, 50) == [(10, 40)]


def test_two_processes_that_commit_all_the_time_both_get_through(options, identity) -> None:
    with Store.open(options, Role.RUN) as run, Store.open(options, Role.BACKFILL) as backfill:
        keys = {store: store.register(identity(store.session), b"/a") for store in (run, backfill)}
        refused: list[CheckpointUnavailable] = []

        def commit(store: Store) -> None:
            for number in range(300):
                store.ack([Span(keys[store], number * 10, number * 10 + 10)])
                try:
                    store.commit()
                except CheckpointUnavailable as error:
                    refused.append(error)

        threads = [threading.Thread(target=commit, args=(store,)) for store in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(error.locked for error in refused)
        for store in keys:
            store.commit()
        run.known()
        assert run.watermark(keys[backfill]) == run.watermark(keys[run]) == 3000


def test_a_checkpoint_that_another_program_keeps_locked_is_said_to_be(options, identity) -> None:
    with Store.open(options, Role.RUN) as store:
        store.count("s", {"accepted": 1})
        shell = sqlite3.connect(options.path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(CheckpointUnavailable, match="another program keeps it locked") as no:
            store.commit()
        assert no.value.locked
        shell.execute("ROLLBACK")
        shell.close()
        store.commit()
