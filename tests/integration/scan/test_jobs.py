"""Several processes scan as one does: the same page views in the same order, whatever happens."""

from __future__ import annotations

import errno
import mmap
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
from parts import ROOT, until

from ingestor.errors import FormatError
from ingestor.model import Chunk, Scanned
from ingestor.pageviews import PageViewOptions, Rules, Site
from ingestor.pipeline import pool, scanning
from ingestor.pipeline.pool import AHEAD, Pool
from ingestor.pipeline.scanning import Alone, Files, Together
from ingestor.scan import Recipe, Scanner
from ingestor.scan.worker import RulesRecipe

SITE = Site("3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c", "example.com", ("*",))
NOW = 1_796_083_200  # 2026-12-01T00:00:00Z
PIECE = 1500  # bytes of a chunk


class Logs:
    """Files by key, cut into small chunks, and who knows them."""

    def __init__(self, contents: list[bytes]) -> None:
        self.contents = contents
        self.rules = Rules(PageViewOptions(), (SITE,))
        self.own: dict[int, Scanner] = {}
        self.unexplained: dict[int, str] = {}
        self.about: dict[int, str] = {}

    def __iter__(self) -> Iterator[Chunk]:
        for key, data in enumerate(self.contents):
            at = 0
            while at < len(data):
                end = data.find(b"\n", min(at + PIECE, len(data) - 1)) + 1 or len(data)
                yield Chunk(key, at, end, data[at:end])
                at = end

    def recipe(self, chunk: Chunk) -> Recipe:
        data = self.contents[chunk.file]
        return Recipe(f"file {chunk.file}", "auto", "UTC", SITE, data[:65_536], data[-65_536:])

    def scanner(self, chunk: Chunk) -> Scanner | None:
        if chunk.file not in self.own:
            try:
                self.own[chunk.file] = self.recipe(chunk).scanner(self.rules, lambda: NOW)
            except FormatError as error:
                self.unexplained[chunk.file] = str(error)
        return self.own.get(chunk.file)

    def files(self) -> Files:
        return Files(
            self.own.get,
            self.scanner,
            self.recipe,
            lambda chunk, about: self.about.update({chunk.file: about.format}),
            lambda chunk, why: self.unexplained.update({chunk.file: why}),
        )


@pytest.fixture
def logs(sample_logs: Path) -> Callable[[], Logs]:
    """Logs of every kind: ordinary, two that change on the way, one that is no log."""
    names = ("combined.log", "changing.log", "json.log", "iis.log", "vhost_combined.log")
    contents = [(sample_logs / name).read_bytes() * 6 for name in names]
    contents.insert(2, b"this is no log at all\n" * 500)
    contents.append((sample_logs / "combined.log").read_bytes()[:-1])
    return lambda: Logs(contents)


@pytest.fixture(autouse=True)
def _small_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "BUNDLE", 4000)


async def all_of(
    logs: Logs, way: Alone | Together, each: Callable[[int], None] = lambda _: None
) -> list[Scanned]:
    found = []
    async for scanned in way.scanned(iter(logs)):
        found.append(scanned)
        each(len(found))
    return found


def two_processes() -> Pool:
    return Pool(RulesRecipe(PageViewOptions(), (SITE,), None, None), 2)


def pids(processes: Pool) -> list[int]:
    return [child.pid for child in processes._children if child.pid is not None]


async def test_several_processes_give_what_one_gives(logs: Callable[[], Logs]) -> None:
    one, several = logs(), logs()
    expected = await all_of(one, Alone(one.files()))
    async with two_processes() as processes:
        together = Together(several.files(), processes, several.rules)
        found = await all_of(several, together)
    assert [each.chunk for each in found] == [each.chunk for each in expected]
    assert found == expected
    assert sum(len(each.page_views) for each in found) > 100
    assert set(several.unexplained) == set(one.unexplained) == {2}
    assert several.about[0] == "combined"
    assert set(several.own) == {1, 4}  # of those that change, this process took over


async def test_this_process_scans_as_well_where_few_lines_are_page_views(
    sample_logs: Path,
) -> None:
    """Else it has enough to do with the page views, and to hold."""
    lines = (sample_logs / "combined.log").read_bytes().splitlines(keepends=True)
    asset = next(line for line in lines if b".css" in line)
    page = next(line for line in lines if b"GET /pricing" in line)
    for line, scans in ((asset, True), (page, False)):
        ours = Logs([line * 5000])
        async with two_processes() as processes:
            together = Together(ours.files(), processes, ours.rules)
            found = []
            async for scanned in together.scanned(iter(ours)):
                found.append(scanned)
                assert together._warm is not None
                await together._warm  # it does not begin before
        one = Logs(ours.contents)
        assert found == await all_of(one, Alone(one.files()))
        assert bool(together._worker._recipes) is scans


async def test_many_small_files_are_all_scanned_by_the_others(
    sample_logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "BUNDLE", 1024 * 1024)
    data = b"".join((sample_logs / "combined.log").read_bytes().splitlines(keepends=True)[:5])
    ours = Logs([data] * 1200)
    async with two_processes() as processes:
        found = await all_of(ours, Together(ours.files(), processes, ours.rules))
    assert [each.chunk.file for each in found] == [*range(1200)]
    assert {each.tally.lines for each in found} == {5}
    assert not ours.own, "this process had to scan some itself"


@pytest.mark.parametrize("size", [100, 5000])
async def test_what_has_no_room_in_shared_memory_goes_through_pipes(
    size: int, logs: Callable[[], Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little for chunks, and too little for answers."""
    monkeypatch.setattr(pool, "_SLOT", size)
    one, several = logs(), logs()
    expected = await all_of(one, Alone(one.files()))
    async with two_processes() as processes:
        together = Together(several.files(), processes, several.rules)
        assert await all_of(several, together) == expected
        assert len(processes._free) == 2 + AHEAD, "a slot was not given back"


async def test_without_shared_memory_chunks_go_through_pipes(
    logs: Callable[[], Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: int, size: int) -> mmap.mmap:
        raise OSError(errno.ENOMEM, f"{size} bytes: {os.strerror(errno.ENOMEM)}")

    monkeypatch.setattr(mmap, "mmap", none_left)
    one, several = logs(), logs()
    expected = await all_of(one, Alone(one.files()))
    async with two_processes() as processes:
        assert not processes._free
        together = Together(several.files(), processes, several.rules)
        assert await all_of(several, together) == expected


async def test_whoever_stops_early_leaves_no_memory_open(logs: Callable[[], Logs]) -> None:
    ours = logs()
    async with two_processes() as processes:
        async for _ in Together(ours.files(), processes, ours.rules).scanned(iter(ours)):
            break
        assert len(processes._free) < 2 + AHEAD
    assert all(slot._memory.closed for slot in processes._slots)


@pytest.mark.parametrize("victims", [1, 2], ids=["one", "all"])
async def test_a_process_that_dies_loses_nothing(
    victims: int, logs: Callable[[], Logs], caplog: pytest.LogCaptureFixture
) -> None:
    one, several = logs(), logs()
    expected = await all_of(one, Alone(one.files()))
    async with two_processes() as processes:

        def kill(count: int) -> None:
            if count == 5:
                for pid in pids(processes)[:victims]:
                    os.kill(pid, signal.SIGKILL)

        assert (
            await all_of(several, Together(several.files(), processes, several.rules), kill)
            == expected
        )
    assert [record.message for record in caplog.records if "has died" in record.message] == [
        "A process that scans has died; what it was given is scanned again."
    ]
    others_scan = victims == 1
    assert (set(several.own) == {1, 4}) is others_scan


async def test_what_a_process_stumbles_over_is_met_here(sample_logs: Path) -> None:
    """It ends without a word of its own, and nobody waits for it."""
    ours = Logs([(sample_logs / "combined.log").read_bytes()])
    recipe = replace(ours.recipe(next(iter(ours))), timezone="Nowhere/At_all")
    files = ours.files()._replace(recipe=lambda _: recipe)
    async with two_processes() as processes:
        together = Together(files, processes, ours.rules)
        found = await all_of(ours, together)
        assert all(child.is_lost for child in processes._children)
    one = Logs(ours.contents)
    assert found == await all_of(one, Alone(one.files()))


@pytest.mark.parametrize("first", [0, 1], ids=["none", "one"])
def test_where_not_all_processes_can_be_started_there_are_none(
    first: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = ForkProcess.start
    tries = iter(range(10**6))
    error = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def starting(process: ForkProcess) -> None:
        if next(tries) >= first:
            raise error
        start(process)

    monkeypatch.setattr(ForkProcess, "start", starting)
    assert pool.pool_of(RulesRecipe(PageViewOptions(), (SITE,), None, None), 2) is None
    assert f"({error}): one does it all" in caplog.text
    assert next(tries) == first + 1, "it was tried again"
    assert not multiprocessing.active_children()


async def test_what_a_terminal_sends_to_all_is_not_for_them() -> None:
    async with two_processes() as processes:
        children = pids(processes)
        for child in children:
            os.kill(child, signal.SIGINT)
            os.kill(child, signal.SIGHUP)
        for _ in children:
            bundle = await processes.hand_over([], _nothing_asked)
            assert await processes.answers(bundle) == []
        assert len(children) == 2
        assert all(_is_running(child) for child in children)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


async def test_many_processes_share_a_few_slots() -> None:
    async with Pool(RulesRecipe(PageViewOptions(), (SITE,), None, None), 70) as processes:
        assert len(processes._slots) == 64


async def test_whoever_stops_early_leaves_no_process(logs: Callable[[], Logs]) -> None:
    ours = logs()
    async with two_processes() as started:
        async for _ in Together(ours.files(), started, ours.rules).scanned(iter(ours)):
            break
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


async def test_processes_that_are_stopped_end_all_the_same() -> None:
    """As they are after Ctrl-Z, where whoever ends this one wakes it alone."""
    async with two_processes() as started:
        children = pids(started)
        for child in children:
            _stop(child)
        for process in started._children:
            process.end()
        try:
            until(lambda: not any(_is_running(child) for child in children), what="the end")
        finally:
            for child in children:
                _go_on(child)


async def test_a_process_whose_line_broke_writes_no_more_to_what_others_use() -> None:
    """It is the line's end here that fails, while the process is at work."""
    async with two_processes() as started:
        first = started._children[0]
        assert first.pid is not None
        _stop(first.pid)
        try:
            bundle = await started.hand_over([Chunk(1, 0, 2, b"x\n")], _nothing_known)
            assert first.load == 1
            first.line.shutdown(socket.SHUT_RD)
            assert await started.answers(bundle) is None
            assert not _is_running(first.pid)
        finally:
            _go_on(first.pid)


def test_what_the_first_lines_would_wait_for_is_there_before_them() -> None:
    """Also on a machine that does not know the time yet, and without a word about it."""
    script = (
        "import logging, sys, time\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "time.time = lambda: 0.0\n"
        "from ingestor.pageviews import PageViewOptions, Rules\n"
        "from ingestor.scan.worker import Worker\n"
        "assert 'numpy' not in sys.modules\n"
        "Worker(Rules(PageViewOptions(), ())).warm_up()\n"
        "assert 'ingestor.formats.blocks' in sys.modules\n"
        "before = set(sys.modules)\n"
        "Worker(Rules(PageViewOptions(), ())).warm_up()\n"
        "assert set(sys.modules) == before\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


_PARENT = """
import asyncio, sys
from ingestor.pageviews import PageViewOptions, Rules
from ingestor.pipeline.pool import Pool
from ingestor.pipeline.scanning import Files, Together
from ingestor.scan import Recipe
from ingestor.scan.worker import RulesRecipe
from ingestor.model import Chunk

line = b'192.0.2.1 - - [22/Nov/2026:10:11:12 +0100] "GET /x HTTP/1.1" 200 5 "-" "Mozilla/5.0"\\n'

async def main():
    files = Files(None, None, lambda _: Recipe("x", "combined", None, None, line, b""), None, None)
    files = files._replace(about=lambda *_: None)
    async with Pool(RulesRecipe(PageViewOptions(), (), None, None), 2) as pool:
        together = Together(files, pool, Rules(PageViewOptions(), ()))
        async for _ in together.scanned(iter([Chunk(1, 0, len(line), line)])):
            print(*(child.pid for child in pool._children), flush=True)
            await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_no_process_outlives_one_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    children = [int(number) for number in parent.stdout.readline().split()]
    assert children
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not any(_is_running(child) for child in children), what="children to end")


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: "\nState:\tT" in Path(f"/proc/{pid}/status").read_text(), what="its stop")


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def _nothing_known(_: Chunk) -> Recipe:
    return Recipe("a log", "combined", None, None, b"", b"")


async def _nothing_asked(chunk: Chunk) -> Recipe:
    raise AssertionError(chunk)


def _is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
