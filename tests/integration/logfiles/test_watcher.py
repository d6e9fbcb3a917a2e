"""The watcher: hints when a directory changes, and a rebuilt watch when it was replaced."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.observers.api import BaseObserver, EventQueue, ObservedWatch

from ingestor.logfiles.watcher import Watcher


class Hints:
    def __init__(self) -> None:
        self.came = threading.Event()

    def __call__(self) -> None:
        self.came.set()

    def wait(self) -> bool:
        came = self.came.wait(5)
        self.came.clear()
        return came


@pytest.fixture
def hints() -> Hints:
    return Hints()


@pytest.fixture
def watcher(hints: Hints) -> Iterator[Watcher]:
    watcher = Watcher(hints)
    yield watcher
    watcher.close()


def test_a_new_a_renamed_and_a_removed_file_give_hints(
    tmp_path: Path, watcher: Watcher, hints: Hints
) -> None:
    assert watcher.check([os.fsencode(tmp_path)]) == []
    assert watcher.watched == {os.fsencode(tmp_path)}
    log = tmp_path / "a.log"
    log.touch()
    assert hints.wait()
    log.rename(tmp_path / "b.log")
    assert hints.wait()
    (tmp_path / "b.log").unlink()
    assert hints.wait()


def test_appended_bytes_give_none(tmp_path: Path, watcher: Watcher, hints: Hints) -> None:
    log = tmp_path / "a.log"
    log.touch()
    watcher.check([os.fsencode(tmp_path)])
    hints.came.clear()
    log.write_bytes(b"line\n")
    (tmp_path / "marker").touch()  # comes after whatever the append would have given
    assert hints.wait()
    observer = watcher._observer
    assert observer is not None
    (watch, _) = watcher._watches[os.fsencode(tmp_path)]
    assert watch.event_filter is not None
    assert not any("Modified" in kind.__name__ for kind in watch.event_filter)


def test_fault_22_a_directory_made_again_is_watched_again(
    tmp_path: Path, watcher: Watcher, hints: Hints
) -> None:
    directory = tmp_path / "nginx"
    directory.mkdir()
    watcher.check([os.fsencode(directory)])
    directory.rename(tmp_path / "old")
    watcher.check([os.fsencode(directory)])
    assert watcher.watched == set()
    directory.mkdir()
    watcher.check([os.fsencode(directory)])
    hints.came.clear()
    (directory / "a.log").touch()
    assert hints.wait()


def test_fault_22_a_removed_directory_does_not_silence_the_others(
    tmp_path: Path, watcher: Watcher, hints: Hints
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    wanted = [os.fsencode(one), os.fsencode(two)]
    watcher.check(wanted)
    one.rmdir()
    assert hints.wait()
    watcher.check(wanted)
    one.mkdir()
    watcher.check(wanted)
    for directory in (one, two):
        hints.came.clear()
        (directory / "a.log").touch()
        assert hints.wait()


def test_fault_23_at_the_system_limit_polling_goes_on_and_it_is_said_once(
    tmp_path: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(BaseObserver, "schedule", full)
    (finding,) = watcher.check([os.fsencode(tmp_path)])
    assert "fs.inotify.max_user_watches" in str(finding)
    assert not finding.lost
    assert watcher.check([os.fsencode(tmp_path)]) == []
    monkeypatch.undo()
    watcher.check([os.fsencode(tmp_path)])
    assert watcher.watched == {os.fsencode(tmp_path)}


def test_a_hint_that_fails_does_not_silence_the_watcher(tmp_path: Path) -> None:
    came = threading.Semaphore(0)

    def fail() -> None:
        came.release()
        raise RuntimeError

    watcher = Watcher(fail)
    try:
        watcher.check([os.fsencode(tmp_path)])
        for name in ("a", "b"):
            (tmp_path / name).touch()
            assert came.acquire(timeout=5)
    finally:
        watcher.close()


def test_a_directory_that_is_missing_is_no_error(tmp_path: Path, watcher: Watcher) -> None:
    assert watcher.check([os.fsencode(tmp_path / "nothing")]) == []
    assert watcher.watched == set()


def test_an_emitter_that_wakes_up_stopped_prints_nothing(
    tmp_path: Path,
    watcher: Watcher,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As when a watched directory is replaced, which watchdog calls an error."""
    inotify = pytest.importorskip("watchdog.observers.inotify")
    caplog.set_level(logging.DEBUG)
    logging.getLogger("watchdog").propagate = False  # pytest's own handlers are not there later
    try:
        inotify.InotifyEmitter(
            EventQueue(), ObservedWatch(str(tmp_path), recursive=False)
        ).queue_events(1)
    finally:
        logging.getLogger("watchdog").propagate = True
    assert capsys.readouterr().err == ""
    assert [(one.name, one.levelname) for one in caplog.records] == [
        ("ingestor.logfiles.watcher", "DEBUG")
    ]
    assert "inactive" in caplog.text
    assert watcher.watched == set()
