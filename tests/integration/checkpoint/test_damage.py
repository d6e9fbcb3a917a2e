"""Damaged, truncated, foreign and future checkpoints: set aside, recovered, or refused."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
import subprocess
import sys

import pytest
from parts import failing

from ingestor.checkpoint import CheckpointOptions, Role, Store, forget, read, schema
from ingestor.errors import CheckpointError
from ingestor.model import Marker, Span


@pytest.fixture
def filled(options, identity) -> CheckpointOptions:
    with Store.open(options, Role.RUN) as store:
        for number in range(400):
            key = store.register(identity(number), b"/var/log/%d" % number)
            store.ack([Span(key, 0, 10), Span(key, 20, 30)])
    return options


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 8192, b"not a database " * 100, b"x"],
    ids=["empty", "nul", "text", "x"],
)
def test_garbage_is_set_aside_and_a_fresh_checkpoint_begun(options, caplog, content) -> None:
    options.path.write_bytes(content)
    with Store.open(options, Role.RUN) as store:
        assert store.quarantined is not None
        assert store.quarantined.name.startswith("checkpoint.db.damaged-")
        assert store.quarantined.read_bytes() == content
        assert store.known() == []
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "run.start applies" in record.getMessage()
    with Store.open(options, Role.RUN) as store:
        assert store.quarantined is None


def test_a_truncation_anywhere_is_noticed(filled) -> None:
    whole = filled.path.read_bytes()
    rng = random.Random(1)
    lengths = [0, 1, 15, 50, 99, 100, 511, 512, 4095, 4096, len(whole) - 1, len(whole) - 4096]
    for length in lengths + [rng.randrange(len(whole)) for _ in range(10)]:
        filled.path.write_bytes(whole[:length])
        with Store.open(filled, Role.RUN) as store:
            assert store.quarantined is not None, length
            assert store.known() == []


def test_a_page_of_noise_anywhere_never_crashes_and_never_invents_acks(filled) -> None:
    whole = filled.path.read_bytes()
    rng = random.Random(2)
    for page in range(len(whole) // 4096):
        noise = rng.randbytes(4096) if page % 2 else b"\0" * 4096
        filled.path.write_bytes(whole[: page * 4096] + noise + whole[page * 4096 + 4096 :])
        with Store.open(filled, Role.RUN) as store:
            assert store.quarantined is not None, page


@pytest.mark.parametrize(
    ("calls", "error", "which", "opens"),
    [
        ("pread64", "EIO", "2", True),  # SQLite's
        ("pread64", "EIO", "8", True),
        ("pread64", "ESTALE", "8", True),
        ("pread64", "EIO", "8+", False),
        ("pread64,read", "EIO", "2", False),  # Python's as well
    ],
)
def test_a_disk_that_cannot_be_read_damages_nothing(filled, calls, error, which, opens) -> None:
    """SQLite takes what it cannot read for damage; a moment later it may be there again."""
    script = (
        "import sys, pathlib\n"
        "from ingestor.checkpoint import CheckpointOptions, Role, Store\n"
        "with Store.open(CheckpointOptions(pathlib.Path(sys.argv[1])), Role.RUN) as store:\n"
        "    print(len(store.known()))\n"
    )
    before = failing(calls, error, which, filled.path)
    done = subprocess.run(
        [*before, sys.executable, "-c", script, str(filled.path)], capture_output=True, check=False
    )
    if opens:
        assert done.stdout == b"400\n", done.stderr
    else:
        assert b"check the disk and the system's log" in done.stderr
    assert not list(filled.path.parent.glob("*.damaged-*"))
    with Store.open(filled, Role.RUN) as store:
        assert len(store.known()) == 400


def test_rows_that_make_no_sense_are_damage_too(filled, tmp_path) -> None:
    whole = filled.path.read_bytes()
    for statement in (
        "UPDATE files SET origin = 'x' WHERE key = (SELECT min(key) FROM files)",
        "UPDATE files SET path = 5 WHERE key = (SELECT min(key) FROM files)",
        "UPDATE spans SET stop = -1 WHERE file = (SELECT min(file) FROM spans)",
        "UPDATE spans SET stop = x'00' WHERE file = (SELECT min(file) FROM spans)",
        "UPDATE notes SET value = 'many'",
        "INSERT INTO journal VALUES (1, 'run', 'w', 1, x'00', NULL, NULL, 0, 0)",
        "INSERT INTO journal VALUES (1, 'ghost', 'w', 1, x'', NULL, NULL, 0, 0)",
        "INSERT INTO totals VALUES ('run', 's', '[1]')",
    ):
        filled.path.write_bytes(whole)
        run_statement(filled, statement)
        with pytest.raises(CheckpointError, match="is damaged"):
            read(filled.path)
        with Store.open(filled, Role.RUN) as store:
            assert store.quarantined is not None, statement
            assert store.known() == []


def run_statement(options, statement: str) -> None:
    connection = sqlite3.connect(options.path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_missing_table_is_damage(filled) -> None:
    run_statement(filled, "DROP TABLE spans")
    with Store.open(filled, Role.RUN) as store:
        assert store.quarantined is not None


def test_a_damaged_checkpoint_that_another_process_uses_is_not_moved(filled, holding) -> None:
    holding(filled.path, Role.RUN)
    run_statement(filled, "UPDATE files SET origin = 'x'")
    with pytest.raises(CheckpointError, match="while another ingestor works with it"):
        Store.open(filled, Role.BACKFILL)
    with filled.path.open("r+b") as file:
        file.write(b"x" * 100)
    with pytest.raises(CheckpointError, match="while another ingestor works with it"):
        Store.open(filled, Role.BACKFILL)
    assert not list(filled.path.parent.glob("*.damaged-*"))


def test_a_write_ahead_log_without_its_database_is_not_played_into_a_fresh_one(
    options, identity, tmp_path, crash
) -> None:
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    store.ack([Span(key, 0, 10)])
    store.commit()
    wal = options.path.with_name("checkpoint.db-wal")
    saved = wal.read_bytes()
    store.close()
    options.path.unlink()
    wal.write_bytes(saved)
    with Store.open(options, Role.RUN) as store:
        assert store.quarantined is not None
        kept = store.quarantined.with_name(store.quarantined.name + "-wal")
        assert kept.read_bytes() == saved
        assert store.known() == []


def test_a_torn_write_ahead_log_gives_some_earlier_state_and_never_another(
    options, identity, tmp_path
) -> None:
    """What power loss leaves: a prefix of the log, or noise at its end."""
    states: list[int] = []
    store = Store.open(options, Role.RUN)
    key = store.register(identity(1), b"/a")
    for number in range(30):
        store.ack([Span(key, number * 10, number * 10 + 10)])
        store.commit()
        states.append(number * 10 + 10)
    wal = options.path.with_name("checkpoint.db-wal").read_bytes()
    database = options.path.read_bytes()
    rng = random.Random(3)
    torn = CheckpointOptions(tmp_path / "torn" / "checkpoint.db")
    reached = set()
    for _ in range(25):
        shutil.rmtree(torn.path.parent, ignore_errors=True)
        torn.path.parent.mkdir()
        torn.path.write_bytes(database)
        cut = rng.randrange(len(wal))
        rest = b"" if rng.random() < 0.5 else b"\0" * (len(wal) - cut)
        torn.path.with_name("checkpoint.db-wal").write_bytes(wal[:cut] + rest)
        with Store.open(torn, Role.RUN) as found:
            assert found.quarantined is None
            unread = [found.unread(file.key, 300) for file in found.known()]
        if unread:
            ((start, end),) = unread[0]
            assert end == 300
            assert start in (0, *states)
            reached.add(start)
    store.close()
    assert len(reached) > 3


def test_a_newer_checkpoint_is_refused_and_left_alone(filled) -> None:
    run_statement(filled, "PRAGMA user_version = 99")
    before = filled.path.read_bytes()
    with pytest.raises(CheckpointError, match=r"newer ingestor \(its schema is 99"):
        Store.open(filled, Role.RUN)
    with pytest.raises(CheckpointError, match="newer ingestor"):
        read(filled.path)
    with pytest.raises(CheckpointError, match="newer ingestor"):
        forget(filled.path, b"/a")
    assert filled.path.read_bytes() == before


def test_an_older_checkpoint_is_migrated_in_one_step_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    first, second = schema.STEPS[0], "CREATE TABLE later (a);\nALTER TABLE files ADD COLUMN b;\n"
    assert schema.migrate(connection, [first]) == 1
    connection.execute("INSERT INTO notes VALUES ('kept', '1')")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, [first, second, "CREATE TABLE later (again);\n"])
    assert schema.check(connection) == 1
    assert "later" not in tables(connection)
    assert schema.migrate(connection, [first, second]) == 1
    assert schema.migrate(connection, [first, second]) == 0
    assert "later" in tables(connection)
    assert connection.execute("SELECT value FROM notes").fetchall() == [("1",)]
    with pytest.raises(schema.Newer):
        schema.migrate(connection, [first])
    connection.close()


def test_a_checkpoint_of_the_first_schema_is_looked_at_as_it_is_and_migrated_by_who_opens_it(
    tmp_path,
) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    schema.migrate(connection, schema.STEPS[:1])
    connection.execute(
        "INSERT INTO files VALUES (1, 7, 8, x'aa', 1, 30, 30, x'bb', x'2f61', 0, 0, 1)"
    )
    connection.close()
    (seen,) = read(path).files
    assert (seen.path, seen.marker) == (b"/a", Marker(30, 30, b"\xbb"))
    store = Store.open(CheckpointOptions(path=path), Role.RUN)
    store.set_marker(1, Marker(40, 40, b"\xcc", b"packed"))
    store.set_marker(1, Marker(50, 50, b"\xdd"))
    store.close()
    (seen,) = read(path).files
    assert seen.marker == Marker(50, 50, b"\xdd", b"packed")


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_two_damaged_checkpoints_within_a_second_keep_their_own_names(options) -> None:
    for number in range(3):
        options.path.write_bytes(b"damage %d" % number)
        Store.open(options, Role.RUN).close()
    kept = {path.read_bytes() for path in options.path.parent.glob("*.damaged-*")}
    assert kept == {b"damage 0", b"damage 1", b"damage 2"}


def test_a_half_made_checkpoint_of_a_killed_start_is_no_hindrance(options) -> None:
    options.path.with_name("checkpoint.db.new").write_bytes(b"half")
    with Store.open(options, Role.RUN) as store:
        assert store.quarantined is None
    assert not options.path.with_name("checkpoint.db.new").exists()
