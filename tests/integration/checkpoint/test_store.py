"""The checkpoint over real files: what is reported comes back after a restart, and nothing else."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, CheckpointUnavailable, Role, Store
from ingestor.errors import CheckpointError
from ingestor.model import Identity, KnownFile, Marker, Span, Tally


def test_a_restart_goes_on_where_it_stopped(options, identity) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/var/log/\xff\n.log", origin=100)
        store.ack([Span(key, 100, 200), Span(key, 300, 400)])
        store.set_marker(key, Marker(200, 64, b"m" * 16))
    with Store.open(options, Role.RUN) as store:
        assert store.known() == [
            KnownFile(
                key,
                identity(1),
                Marker(200, 64, b"m" * 16),
                b"/var/log/\xff\n.log",
                origin=100,
                watermark=200,
            )
        ]
        assert store.unread(key, 500) == [(200, 300), (400, 500)]
        assert store.watermark(key) == 200
        store.ack([Span(key, 200, 300)])
        assert store.watermark(key) == 400
        assert store.known()[0].watermark == 400


def test_the_largest_device_and_inode_numbers_survive(options) -> None:
    largest = Identity(2**64 - 1, 2**63, b"f" * 16, 1)
    with Store.open(options, Role.RUN) as store:
        key = store.register(largest, b"/a")
        store.remember_copy(2**64 - 1, 2**64 - 2, 10, -5, key)
    with Store.open(options, Role.RUN) as store:
        assert store.known()[0].identity == largest
        assert store.copy_of(2**64 - 1, 2**64 - 2, 10, -5) == key
        assert store.copy_of(2**64 - 1, 2**64 - 2, 11, -5) is None


def test_what_is_not_committed_is_unread_after_a_crash(options, identity, crash) -> None:
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    store.ack([Span(key, 0, 10)])
    store.commit()
    store.ack([Span(key, 10, 20)])
    assert store.uncommitted
    assert store.unread(key, 30) == [(20, 30)]
    crash(store)
    with Store.open(options, Role.RUN) as store:
        assert store.unread(key, 30) == [(10, 30)]


def test_updates_come_back_and_keep_what_they_do_not_name(options, identity) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        store.update(key, identity=identity(2), path=b"/b")
        store.update(key, archived=True, origin=5)
        store.update(key)
        with pytest.raises(KeyError):
            store.update(key + 1, path=b"/c")
    with Store.open(options, Role.RUN) as store:
        (file,) = store.known()
        assert (file.identity, file.path, file.archived, file.origin, file.watermark) == (
            identity(2),
            b"/b",
            True,
            5,
            5,
        )
        assert file.marker is None


def test_an_unanswered_batch_is_in_doubt_after_a_crash(options, identity, batch_of, crash) -> None:
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    answered, lost, unwritten = (
        batch_of(store, Span(key, start, start + 10), tag=f"t-{start}") for start in (0, 10, 20)
    )
    store.journal(answered)
    store.journal(lost)
    store.commit()
    store.answered(answered.id, [Span(key, 0, 10)])
    store.commit()
    store.journal(unwritten)
    crash(store)
    store = Store.open(options, Role.RUN)
    (entry,) = store.in_doubt()
    assert (entry.id, entry.website, entry.count, entry.tag) == (lost.id, "site", 1, "t-10")
    assert entry.spans == (Span(key, 10, 20),)
    assert entry.in_doubt
    assert store.unread(key, 30) == [(10, 30)]
    assert store.next_batch_id() > unwritten.id
    store.answered(entry.id)
    assert store.in_doubt() == []
    store.close()
    with Store.open(options, Role.RUN) as store:
        assert store.in_doubt() == []
        assert store.unread(key, 30) == [(10, 30)]


def test_a_batch_that_can_be_sent_again_keeps_its_spans_from_being_read_again(
    options, identity, batch_of, crash
) -> None:
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    batch = batch_of(store, Span(key, 0, 10), Span(key, 20, 30))
    store.journal(batch, bodies=b"[1,2]")
    store.commit()
    crash(store)
    with Store.open(options, Role.RUN) as store:
        (entry,) = store.in_doubt()
        assert entry.bodies == b"[1,2]"
        assert store.unread(key, 40) == [(10, 20), (30, 40)]
        store.answered(entry.id, entry.spans)
        assert store.unread(key, 40) == [(10, 20), (30, 40)]
    with Store.open(options, Role.RUN) as store:
        assert store.in_doubt() == []
        assert store.unread(key, 40) == [(10, 20), (30, 40)]


def test_what_is_sent_and_not_answered_is_not_taken_for_read(options, identity, batch_of) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        batch = batch_of(store, Span(key, 0, 10))
        store.journal(batch, bodies=b"[]")
        assert store.unread(key, 20) == [(0, 20)]
        store.answered(batch.id, [Span(key, 0, 5)])
        assert store.unread(key, 20) == [(5, 20)]


def test_a_batch_answered_before_any_commit_leaves_only_its_acks(
    options, identity, batch_of
) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        batch = batch_of(store, Span(key, 0, 10))
        store.journal(batch)
        store.answered(batch.id, [Span(key, 0, 10)])
        store.commit()
        assert rows(options.path, "SELECT id FROM journal") == []
        assert rows(options.path, "SELECT start, stop FROM spans") == [(0, 10)]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_totals_and_notes_add_up_over_restarts(options) -> None:
    for _ in range(2):
        with Store.open(options, Role.RUN) as store:
            store.count("nginx", {"accepted": 2})
            store.count_tally("nginx", Tally(9, {"time": 1}, {"bot": 3, "asset": 4}))
            store.count_tally("nginx", Tally(1))
            store.note("away_since", 1234.5)
            store.note("first_start", value=True)
            store.note("first_start", None)
    with Store.open(options, Role.RUN) as store:
        assert store.totals() == {
            "nginx": {
                "accepted": 4,
                "malformed.time": 2,
                "filtered.bot": 6,
                "filtered.asset": 8,
            }
        }
        assert store.noted("away_since") == 1234.5
        assert store.noted("first_start") is None


def test_batch_ids_and_keys_never_repeat_over_restarts_roles_and_crashes(
    options, identity, crash
) -> None:
    ids: list[int] = []
    keys: list[int] = []
    for role in (Role.RUN, Role.BACKFILL, Role.RUN):
        store = Store.open(options, role)
        ids += [store.next_batch_id() for _ in range(3)]
        keys.append(store.register(identity(len(keys)), b"/a"))
        crash(store)
    assert ids == sorted(set(ids))
    assert len(set(keys)) == 3
    assert max(ids) < 2**63


def test_two_fresh_checkpoints_hardly_ever_share_a_session(tmp_path) -> None:
    sessions = set()
    for number in range(5):
        with Store.open(CheckpointOptions(tmp_path / f"{number}.db"), Role.RUN) as store:
            sessions.add(store.session)
    assert len(sessions) > 1


def test_the_files_belong_to_their_owner_alone(options, identity) -> None:
    umask = os.umask(0)
    try:
        with Store.open(options, Role.RUN) as store:
            store.register(identity(1), b"/a")
            modes = {file.name: file.stat().st_mode & 0o777 for file in listed(options)}
    finally:
        os.umask(umask)
    assert set(modes) >= {"checkpoint.db", "checkpoint.db-wal", "checkpoint.db-shm"}
    assert set(modes.values()) == {0o600}


def listed(options: CheckpointOptions) -> list[Path]:
    return list(options.path.parent.iterdir())


def test_a_checkpoint_that_others_may_read_is_closed_to_them(options) -> None:
    Store.open(options, Role.RUN).close()
    options.path.chmod(0o644)
    with Store.open(options, Role.RUN):
        assert options.path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_is_missing_is_named(tmp_path) -> None:
    options = CheckpointOptions(tmp_path / "no" / "such" / "checkpoint.db")
    with pytest.raises(CheckpointError, match="does not exist; create it") as caught:
        Store.open(options, Role.RUN)
    assert str(options.path.parent) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_path_that_is_a_directory_is_refused(tmp_path) -> None:
    (tmp_path / "checkpoint.db").mkdir()
    with pytest.raises(CheckpointError, match="not a regular file"):
        Store.open(CheckpointOptions(tmp_path / "checkpoint.db"), Role.RUN)


def test_another_programs_database_is_left_alone(options) -> None:
    connection = sqlite3.connect(options.path)
    connection.execute("CREATE TABLE precious (a)")
    connection.commit()
    connection.close()
    before = options.path.read_bytes()
    with pytest.raises(CheckpointError, match="some other program"):
        Store.open(options, Role.RUN)
    assert options.path.read_bytes() == before


def test_an_empty_database_of_sqlites_becomes_a_checkpoint(options, identity) -> None:
    connection = sqlite3.connect(options.path)
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    with Store.open(options, Role.RUN) as store:
        assert store.quarantined is None
        store.register(identity(1), b"/a")


def test_a_refused_commit_loses_nothing_and_a_later_one_carries_it_all(
    options, identity, batch_of
) -> None:
    with Store.open(options, Role.RUN) as store:
        one = store.register(identity(1), b"/a")
        sent, open_ = batch_of(store, Span(one, 0, 5)), batch_of(store, Span(one, 50, 60))
        under_way = batch_of(store, Span(one, 60, 70))
        store.journal(sent)
        store.journal(under_way)
        store.commit()
        refuse(store, True)
        two = store.register(identity(2), b"/b")  # waits in memory
        assert store.claim(two)
        assert store.unread(two, 10) == [(0, 10)]
        store.answered(sent.id, [Span(one, 0, 5)])
        store.journal(open_)
        store.mark_in_doubt(open_.id)
        store.ack([Span(two, 0, 7), Span(one, 10, 20)])
        store.count("s", {"accepted": 1})
        store.note("n", "v")
        store.remember_copy(1, 2, 3, 4, two)
        with pytest.raises(CheckpointUnavailable, match="read-only"):
            store.commit()
        store.ack([Span(one, 5, 10)])
        with pytest.raises(CheckpointUnavailable):
            store.commit()
        refuse(store, False)
        store.commit()
        assert not store.uncommitted
        assert rows(options.path, "SELECT start, stop FROM spans ORDER BY file, start") == [
            (0, 20),
            (0, 7),
        ]
        assert sorted(rows(options.path, "SELECT id, doubt FROM journal")) == [
            (open_.id, 1),
            (under_way.id, 0),
        ]
        assert rows(options.path, "SELECT counts FROM totals") == [('{"accepted":1}',)]
        assert rows(options.path, "SELECT file FROM claims") == [(two,)]
        assert rows(options.path, "SELECT file FROM copies") == [(two,)]
        assert rows(options.path, "SELECT value FROM notes WHERE name = 'n'") == [('"v"',)]


def refuse(store: Store, refuse: bool) -> None:
    store._disk.connection.execute(f"PRAGMA query_only = {'ON' if refuse else 'OFF'}")


def test_a_batch_answered_while_the_disk_refuses_never_shows_up_as_in_doubt(
    options, identity, batch_of
) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        batch = batch_of(store, Span(key, 0, 5))
        store.journal(batch)
        refuse(store, True)
        with pytest.raises(CheckpointUnavailable):
            store.commit()
        store.answered(batch.id, [Span(key, 0, 5)])
        refuse(store, False)
    with Store.open(options, Role.RUN) as store:
        assert store.in_doubt() == []
        assert store.unread(key, 5) == []


def test_a_batch_that_its_sender_left_while_the_disk_refused_is_in_doubt_after_a_crash(
    options, identity, batch_of, crash
) -> None:
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    batch = batch_of(store, Span(key, 0, 5))
    store.journal(batch, bodies=b"1")
    store.leave(batch.id)
    refuse(store, True)
    with pytest.raises(CheckpointUnavailable):
        store.commit()
    refuse(store, False)
    store.commit()
    crash(store)
    with Store.open(options, Role.RUN) as store:
        assert [entry.id for entry in store.in_doubt()] == [batch.id]
        assert store.unread(key, 5) == []


def test_what_was_pruned_while_the_disk_refused_is_forgotten_all_the_same(
    options, identity
) -> None:
    with Store.open(replace(options, max_files=0), Role.RUN) as store:
        store.register(identity(1), b"/a")
        assert store.prune([]) == 1
        refuse(store, True)
        with pytest.raises(CheckpointUnavailable):
            store.commit()
        refuse(store, False)
    with Store.open(options, Role.RUN) as store:
        assert store.known() == []


def test_a_release_and_a_new_claim_meet_a_refused_commit_in_order(options, identity) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        assert store.claim(key)
        store.release(key)
        refuse(store, True)
        with pytest.raises(CheckpointUnavailable):
            store.commit()
        refuse(store, False)
        assert store.claim(key)
        store.commit()
        assert rows(options.path, "SELECT file FROM claims") == [(key,)]
        store.release(key)
        store.release(key)
        store.commit()
        assert rows(options.path, "SELECT file FROM claims") == []


@pytest.mark.parametrize("beside", ["", "*"])  # what is removed with it: nothing, or the lock too
def test_a_checkpoint_removed_under_us_is_built_anew_from_memory(
    options, identity, batch_of, crash, caplog, beside
) -> None:
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a", origin=3)
    old, open_ = batch_of(store, Span(key, 60, 70)), batch_of(store, Span(key, 80, 90))
    store.journal(old, bodies=b"old")
    store.commit()
    crash(store)
    store = Store.open(options, Role.RUN)
    store.journal(open_)
    store.ack([Span(key, 0, 10), Span(key, 20, 30)])
    store.count("s", {"accepted": 1})
    store.note("n", 1)
    store.remember_copy(1, 2, 3, 4, key)
    store.claim(key)
    store.commit()
    session = store.session
    for path in options.path.parent.glob(f"{options.path.name}{beside}"):
        path.unlink()
    store.ack([Span(key, 30, 40)])
    store.commit()
    assert "was removed while in use" in caplog.text
    with pytest.raises(CheckpointError, match="is in use by"):
        Store.open(options, Role.RUN)
    crash(store)
    with Store.open(options, Role.RUN) as store:
        assert store.quarantined is None
        assert store.session == session + 1
        assert [entry.id for entry in store.in_doubt()] == [old.id, open_.id]
        assert store.in_doubt()[0].bodies == b"old"
        assert store.unread(key, 100) == [(10, 20), (40, 60), (70, 100)]
        assert store.known()[0].origin == 3
        assert store.totals() == {"s": {"accepted": 1}}
        assert store.noted("n") == 1
        assert store.copy_of(1, 2, 3, 4) == key


def test_a_checkpoint_damaged_under_us_is_set_aside_and_built_anew(
    options, identity, caplog
) -> None:
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        store.ack([Span(key, 0, 10)])
        store.commit()
        store._disk.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with options.path.open("r+b") as file:
            file.write(b"\0" * options.path.stat().st_size)
        store._disk.connection.execute("PRAGMA shrink_memory")
        forget_pages(store)
        store.ack([Span(key, 10, 20)])
        store.commit()
        assert "built anew" in caplog.text
    with Store.open(options, Role.RUN) as store:
        assert store.unread(key, 30) == [(20, 30)]
    assert list(options.path.parent.glob("*.damaged-*"))


def forget_pages(store: Store) -> None:
    """Any commit of another connection makes SQLite read its pages again."""
    store._disk.connection.close()
    store._disk.connection = sqlite3.connect(
        store.path, isolation_level=None, check_same_thread=False
    )


def test_a_lost_checkpoint_that_cannot_be_built_anew_goes_on_waiting(
    tmp_path, identity, caplog
) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    options = CheckpointOptions(directory / "checkpoint.db")
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    store.ack([Span(key, 0, 10)])
    store.commit()
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    store.ack([Span(key, 10, 20)])
    with pytest.raises(CheckpointUnavailable, match="does not exist; create it"):
        store.commit()
    assert store.unread(key, 30) == [(20, 30)]  # reading goes on from memory
    assert [file.key for file in store.known()] == [key]
    with pytest.raises(CheckpointUnavailable):
        store.commit()
    directory.mkdir()
    store.close()
    with Store.open(options, Role.RUN) as store:
        assert store.unread(key, 30) == [(20, 30)]


def test_a_checkpoint_replaced_under_us_is_not_touched(options, identity) -> None:
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    store.commit()
    options.path.rename(options.path.with_name("moved.db"))
    options.path.write_bytes(b"somebody's")
    store.ack([Span(key, 0, 1)])
    with pytest.raises(CheckpointUnavailable, match="was replaced while in use"):
        store.commit()
    with pytest.raises(CheckpointUnavailable):
        store.close()
    store.close()
    assert options.path.read_bytes() == b"somebody's"


def test_copies_are_remembered_up_to_a_bound(options, identity) -> None:
    options = replace(options, max_copies=2)
    with Store.open(options, Role.RUN) as store:
        key = store.register(identity(1), b"/a")
        for inode in (1, 2, 3, 3):
            store.remember_copy(1, inode, 10, 10, key)
        assert [store.copy_of(1, inode, 10, 10) for inode in (1, 2, 3)] == [None, key, key]
    with Store.open(options, Role.RUN) as store:
        assert [store.copy_of(1, inode, 10, 10) for inode in (1, 2, 3)] == [None, key, key]


def test_only_files_that_are_gone_and_free_are_pruned_the_longest_unseen_first(
    options, identity, batch_of
) -> None:
    options = replace(options, max_files=1)
    with Store.open(options, Role.RUN) as store:
        keys = [store.register(identity(number), b"/%d" % number) for number in range(6)]
        store.remember_copy(1, 1, 1, 1, keys[1])
    with Store.open(options, Role.RUN) as store:
        store.update(keys[0], path=b"/seen")  # in this session
        store.claim(keys[2])
        store.journal(batch_of(store, Span(keys[3], 0, 1)))
        assert store.prune([keys[4]]) == 2
        assert store.prune([keys[4]]) == 0
        assert [file.key for file in store.known()] == [keys[0], *keys[2:5]]
        assert store.copy_of(1, 1, 1, 1) is None
    with Store.open(options, Role.RUN) as store:
        assert [file.key for file in store.known()] == [keys[0], *keys[2:5]]
        assert rows(options.path, "SELECT count(*) FROM copies") == [(0,)]


def test_a_symlink_and_its_target_are_one_checkpoint(options, tmp_path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(options.path)
    with (
        Store.open(CheckpointOptions(link), Role.RUN),
        pytest.raises(CheckpointError, match="in use"),
    ):
        Store.open(options, Role.RUN)
    loop = tmp_path / "loop.db"
    loop.symlink_to(loop)
    with pytest.raises(CheckpointError, match="cannot use"):
        Store.open(CheckpointOptions(loop), Role.RUN)


def test_credentials_have_no_place_in_the_tables(options) -> None:
    Store.open(options, Role.RUN).close()
    columns = rows(
        options.path,
        "SELECT p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'",
    )
    names = {str(name) for (name,) in columns}
    assert not {name for name in names if any(word in name for word in ("key_", "pass", "token"))}
