"""Watermark, identity and follower over a real checkpoint, crashing in every order there is.

In process, on a clock that moves when the test says so: thousands of cases where the machine over
the real program plays hundreds. What the follower hands out is sent, acked and committed in three
steps of their own, out of order, and a crash forgets whatever is not committed. So it is known
exactly what may come twice: a line that was sent and whose ack was not committed at a crash.
"""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.logfiles import Follower, FollowOptions, FollowSource, marker_of
from ingestor.model import Chunk, Span

# Fast, and its inode numbers do not depend on what others do, so that a case can be played again.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - made private
# On a disk's file system a freed inode comes back at once.
WHERE = None if "CHAOS_ON_DISK" in os.environ else MEMORY
EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "60"))


class Followed(RuleBasedStateMachine):
    """One directory with one log, followed by a program that crashes."""

    def __init__(self, where: str | None = WHERE) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="chaos-model-", dir=where))
        self.live = self.directory / "logs" / "access.log"
        self.live.parent.mkdir()
        self.writer = self.live.open("ab", buffering=0)
        self.now = 100_000.0  # the machine has run for a while: nothing may depend on that
        self.mtime = 1_700_000_000
        self.names = itertools.count()
        self.head = b""  # what every file begins with
        self.rest = b""  # of an unfinished line
        self.written: set[bytes] = set()
        self.sent: Counter[bytes] = Counter()
        self.may_repeat: Counter[bytes] = Counter()
        self.in_hand: list[Chunk] = []  # handed out, not sent
        self.flying: list[tuple[bytes, Span]] = []  # sent, not acked
        self.acked: list[bytes] = []  # acked, not committed
        self.proved: set[int] = set()  # files with a marker of this run
        self.meanwhile: Iterator[None] = iter(())  # what goes on while the program looks
        self.moments: list[int] = []  # so many times it asks the clock before the next of it
        self.options = FollowOptions()
        self.store: Store | None = None
        self.follower: Follower | None = None

    @initialize(
        chunk_bytes=st.sampled_from([64, 400, 262_144]),
        max_open_files=st.sampled_from([2, 100]),
        head=st.sampled_from([0, 0, 100, 1200, 3000]),
    )
    def begin(self, chunk_bytes: int, max_open_files: int, head: int = 0) -> None:
        self.head = (b"y" * 99 + b"\n") * (head // 100)
        self.options = FollowOptions(
            chunk_bytes=chunk_bytes, max_line_bytes=200, max_open_files=max_open_files
        )
        self.start()

    # The writer.

    def put(self, data: bytes) -> None:
        begins = os.fstat(self.writer.fileno()).st_size == 0
        self.writer.write(self.head + data if begins else data)
        self.mtime += 1
        os.utime(self.writer.fileno(), (self.mtime, self.mtime))

    def line(self, padding: int) -> bytes:
        line = b"line %d %s" % (next(self.names), b"x" * padding)
        self.written.add(line)
        return line

    @rule(count=st.integers(1, 12), padding=st.sampled_from([0, 5, 120]))
    def write(self, count: int, padding: int) -> None:
        self.finish_line()
        self.put(b"".join(self.line(padding) + b"\n" for _ in range(count)))

    @rule(cut=st.integers(1, 8))
    def write_partly(self, cut: int) -> None:
        self.finish_line()
        line = self.line(10) + b"\n"
        self.put(line[:cut])
        self.rest = line[cut:]

    def finish_line(self) -> None:
        if self.rest:
            self.put(self.rest)
            self.rest = b""

    @rule(kind=st.sampled_from(["nuls", "long"]))
    def write_junk(self, kind: str) -> None:
        self.finish_line()
        self.put(b"\0" * 700 if kind == "nuls" else b"y" * 900 + b"\n")

    # The rotator.

    def generations(self) -> list[Path]:
        paths = self.live.parent.glob("access.log.*")
        return sorted(paths, key=lambda path: int(path.name.split(".")[2]), reverse=True)

    def shift(self) -> Path:
        self.finish_line()
        for path in self.generations():
            words = path.name.split(".")
            words[2] = str(int(words[2]) + 1)
            path.rename(path.with_name(".".join(words)))
        return self.live.with_name("access.log.1")

    @rule(late=st.integers(0, 3))
    def rename(self, late: int) -> None:
        self.live.rename(self.shift())
        for _ in range(late):
            self.put(self.line(3) + b"\n")
        self.writer.close()
        self.writer = self.live.open("ab", buffering=0)

    @rule(seen=st.sampled_from(["", "before", "empty", "half", "between"]), reads=st.booleans())
    def copytruncate(self, seen: str, reads: bool) -> None:
        """The program may look before, while the copy grows, or between copy and truncation."""
        target = self.shift()
        if seen == "before":
            self.look_if_there(reads)
        if seen in ("empty", "half"):
            whole = self.live.read_bytes()
            target.write_bytes(whole[: len(whole) // 2] if seen == "half" else b"")
            self.look_if_there(reads)
        shutil.copy2(self.live, target)
        if seen == "between":
            self.look_if_there(reads)
        os.truncate(self.live, 0)

    def look_if_there(self, reads: bool) -> None:
        if self.follower is not None:
            self.look(2.5)
            if reads:
                self.read(6)

    @rule()
    def copy(self) -> None:
        shutil.copy(self.live, self.shift())

    @rule(which=st.integers(0, 3))
    def compress(self, which: int) -> None:
        plain = [path for path in self.generations() if path.suffix != ".gz"]
        if plain:
            path = plain[which % len(plain)]
            archive = path.with_name(path.name + ".gz")
            archive.write_bytes(gzip.compress(path.read_bytes()))
            shutil.copystat(path, archive)
            path.unlink()

    @rule(which=st.integers(0, 3))
    def restore(self, which: int) -> None:
        """Put a generation on another inode."""
        if paths := self.generations():
            path = paths[which % len(paths)]
            twin = path.with_name(".twin")
            shutil.copy2(path, twin)
            twin.rename(path)

    # The program.

    def start(self) -> None:
        checkpoint = CheckpointOptions(path=self.directory / "checkpoint.db")
        self.store = Store.open(checkpoint, Role.RUN)
        source = FollowSource(os.fsencode(self.live.parent), include=("*access*.log*",))
        self.follower = Follower(
            [source],
            self.store,
            self.options,
            clock=self.clock,
            start="beginning",
            first_start=False,
        )
        self.follower.rescan()

    @precondition(lambda self: self.follower is not None)
    @rule(seconds=st.sampled_from([0.1, 2.5, 15.0, 40.0]))
    def look(self, seconds: float) -> None:
        self.now += seconds
        assert self.follower is not None
        self.follower.poll()
        if self.follower.rescan_due():
            self.follower.rescan()
            self.set_markers()

    def clock(self) -> float:
        """Between any two of the program's steps others do theirs."""
        if self.moments:
            self.moments[0] -= 1
            if self.moments[0] < 0:
                self.moments.pop(0)
                next(self.meanwhile, None)
        return self.now

    @precondition(lambda self: self.follower is not None)
    @rule(
        acts=st.lists(
            st.sampled_from(["write", "rename", "copytruncate", "copy", "compress"]),
            min_size=1,
            max_size=3,
        ),
        moments=st.lists(st.integers(0, 12), min_size=1, max_size=8),
        count=st.integers(1, 12),
    )
    def look_while_others_act(self, acts: list[str], moments: list[int], count: int) -> None:
        self.meanwhile = itertools.chain.from_iterable(self.steps(act, count) for act in acts)
        self.moments = list(moments)
        self.follower.hint()
        self.look(0.1)
        self.moments = []
        for _ in self.meanwhile:
            pass

    def steps(self, act: str, count: int) -> Iterator[None]:
        """One act of the writer's or the rotator's, step by step."""
        match act:
            case "write":
                self.finish_line()
                for _ in range(count):
                    self.put(self.line(5) + b"\n")
                    yield
            case "rename":
                target = self.shift()
                yield
                self.live.rename(target)
                yield
                self.writer.close()
                self.writer = self.live.open("ab", buffering=0)
                yield
            case "copytruncate":
                target = self.shift()
                yield
                whole = self.live.read_bytes()
                for part in (whole[: len(whole) // 2], whole):
                    target.write_bytes(part)
                    yield
                os.truncate(self.live, 0)
                yield
            case "copy":
                self.copy()
                yield
            case "compress":
                self.compress(count)
                yield

    @precondition(lambda self: self.follower is not None)
    @rule(chunks=st.integers(1, 6))
    def read(self, chunks: int) -> None:
        assert self.follower is not None
        self.in_hand += self.follower.read(chunks)

    @precondition(lambda self: self.in_hand)
    @rule(which=st.integers(0, 9))
    def send(self, which: int) -> None:
        """One chunk's lines, each with its own span, as page views travel."""
        chunk = self.in_hand.pop(which % len(self.in_hand))
        at = chunk.start
        for line in chunk.data.splitlines(keepends=True):
            self.sent[line.strip(b"\n")] += 1
            self.flying.append((line.strip(b"\n"), Span(chunk.file, at, at + len(line))))
            at += len(line)
        if at < chunk.end:
            self.store.ack([Span(chunk.file, at, chunk.end)])

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 99), step=st.integers(1, 7), count=st.integers(1, 20))
    def ack(self, which: int, step: int, count: int) -> None:
        self.ack_some(which, step, count)

    def ack_some(self, which: int, step: int, count: int) -> None:
        """Some of what was sent, in any order."""
        for turn in range(min(count, len(self.flying))):
            line, span = self.flying.pop((which + turn * step) % len(self.flying))
            self.store.ack([span])
            self.acked.append(line)
            self.prove(line, span)

    @precondition(lambda self: self.follower is not None)
    @rule(which=st.integers(0, 99), step=st.integers(1, 7), count=st.integers(1, 20))
    def deliver(self, which: int, step: int, count: int) -> None:
        """The ordinary course: look, read, send, and some of the answers."""
        self.look(2.5)
        self.read(6)
        while self.in_hand:
            self.send(0)
        self.ack_some(which, step, count)

    def prove(self, line: bytes, span: Span) -> None:
        """With a file's first acks goes its first marker, as the pipeline has it."""
        if span.file not in self.proved and span.end <= self.store.watermark(span.file):
            self.store.set_marker(span.file, marker_of(line + b"\n", span.end))
            self.proved.add(span.file)

    @precondition(lambda self: self.follower is not None)
    @rule()
    def commit(self) -> None:
        self.store.commit()
        self.acked.clear()

    def set_markers(self) -> None:
        for known in self.store.known():
            marker = self.follower.marker_at(known.key, known.watermark)
            if marker is not None:
                self.store.set_marker(known.key, marker)

    @precondition(lambda self: self.follower is not None)
    @rule()
    def crash(self) -> None:
        """Whatever is not committed is gone, as with kill -9."""
        self.may_repeat.update(line for line, _ in self.flying)
        self.may_repeat.update(self.acked)
        self.follower.close()
        self.store._disk.close()
        self.down()

    @precondition(lambda self: self.follower is not None)
    @rule()
    def stop(self) -> None:
        """A drain that ran out of time: what is flying is unfinished, the rest is on disk."""
        self.may_repeat.update(line for line, _ in self.flying)
        self.set_markers()
        self.follower.close()
        self.store.close()
        self.down()

    def down(self) -> None:
        self.follower = self.store = None
        self.in_hand.clear()
        self.flying.clear()
        self.acked.clear()
        self.proved.clear()

    @precondition(lambda self: self.follower is None and self.live.exists())
    @rule()
    def come_back(self) -> None:
        self.start()

    # What must hold.

    @invariant()
    def no_marker_is_past_its_watermark(self) -> None:
        for known in self.store.known() if self.store else ():
            assert known.marker is None or known.marker.offset <= known.watermark

    @invariant()
    def nothing_comes_twice_that_was_committed(self) -> None:
        for line, count in self.sent.items():
            if not line.startswith(b"y"):
                assert count <= 1 + self.may_repeat[line], line
                assert line in self.written, line

    def teardown(self) -> None:
        try:
            if self.store is not None or self.written:
                self.end()
        finally:
            self.writer.close()
            if self.store is not None:
                self.follower.close()
                self.store.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def end(self) -> None:
        """Everything that was written arrives."""
        self.finish_line()
        if self.follower is None:
            self.start()
        for _ in range(4):
            self.now += 40
            self.follower.poll()
            self.follower.rescan()
            while self.follower.has_unread:
                self.in_hand += self.follower.read()
        for chunk in self.in_hand:
            self.sent.update(line.strip(b"\n") for line in chunk.data.splitlines(keepends=True))
        self.in_hand.clear()
        missing = self.written - set(self.sent)
        assert not missing
        self.nothing_comes_twice_that_was_committed()


def followed(
    chunk_bytes: int = 64, max_open_files: int = 2, head: int = 0, *, where: str | None = MEMORY
) -> Followed:
    play = Followed(where)
    play.begin(chunk_bytes, max_open_files, head)
    return play


HEADS = pytest.mark.parametrize("head", [1200, 3000])


@HEADS
def test_the_rest_of_an_archive_is_read_though_the_next_log_begins_alike(head: int) -> None:
    play = followed(head=head)
    play.write_partly(1)
    play.crash()
    play.rename(0)
    play.come_back()
    play.deliver(which=0, step=1, count=2)
    play.deliver(which=0, step=1, count=6)
    play.commit()
    play.crash()
    play.compress(0)
    play.write_partly(1)
    play.come_back()
    play.teardown()


@HEADS
def test_a_small_log_that_begins_as_an_archive_is_read_once(head: int) -> None:
    play = followed(head=head)
    play.write_partly(1)
    play.rename(0)
    play.write_junk("nuls")
    play.deliver(which=1, step=1, count=1)
    play.compress(0)
    play.copytruncate(seen="", reads=False)
    play.deliver(which=0, step=1, count=1)
    play.teardown()


@HEADS
def test_copies_of_logs_that_begin_alike_are_read_once(head: int) -> None:
    play = followed(head=head)
    play.write_partly(1)
    play.copy()
    play.crash()
    play.rename(0)
    play.write_junk("nuls")
    play.come_back()
    play.crash()
    play.copytruncate(seen="", reads=False)
    play.teardown()


def test_the_archive_of_a_log_that_was_not_read_yet_is_not_taken_for_done() -> None:
    play = followed()
    play.write_partly(1)
    play.copy()
    play.compress(0)
    play.look(2.5)
    play.copytruncate(seen="", reads=False)
    play.stop()
    play.come_back()
    play.crash()
    play.compress(0)
    play.teardown()


def test_a_file_that_waits_to_be_read_is_not_given_up_for_a_younger_one() -> None:
    play = followed()
    play.copy()
    play.copytruncate(seen="", reads=False)
    play.copytruncate(seen="before", reads=False)
    play.write(1, 0)
    play.copy()
    play.teardown()


def test_a_copy_is_a_copy_although_a_shorter_log_begins_alike() -> None:
    play = followed()
    play.write_junk("nuls")
    play.write_partly(1)
    play.copy()
    play.crash()
    play.write(1, 0)
    play.rename(0)
    play.write_junk("nuls")
    play.come_back()
    play.stop()
    play.come_back()
    play.teardown()


def test_a_short_log_that_begins_as_others_did_is_no_rest_of_one_of_them() -> None:
    play = followed(chunk_bytes=262_144)
    for _ in range(2):
        play.write_junk("nuls")
        play.write_junk("nuls")
        play.write(9, 5)
        play.deliver(which=0, step=0, count=20)
        play.look(2.5)
        play.rename(0)
    play.look(40)
    play.commit()
    for path in play.generations():
        path.unlink()
    play.look(40)
    play.write_junk("nuls")
    play.write_junk("nuls")
    play.write(1, 5)
    play.teardown()


def test_archives_that_begin_alike_are_told_apart_after_a_restart() -> None:
    play = followed(chunk_bytes=262_144)
    for count in (3, 30):
        play.write_junk("nuls")
        play.write_junk("nuls")
        play.write(count, 5)
        play.deliver(which=0, step=0, count=60)
        play.deliver(which=0, step=0, count=60)
        play.rename(0)
    play.look(40)
    play.commit()
    play.crash()
    play.compress(0)
    play.compress(0)
    play.come_back()
    play.teardown()


def test_a_log_that_is_rewritten_before_its_first_read_is_noticed() -> None:
    play = followed(chunk_bytes=262_144)
    play.write(12, 120)
    play.deliver(which=0, step=0, count=20)
    play.look(2.5)
    play.stop()
    play.come_back()
    size = play.live.stat().st_size
    shutil.copy(play.live, play.live.with_name("access.log.1"))
    os.truncate(play.live, 0)
    play.put(b"\0" * size)  # a writer without O_APPEND
    play.write(3, 5)
    play.deliver(which=0, step=0, count=20)
    play.commit()
    play.crash()
    play.come_back()
    play.teardown()


def test_what_lies_beside_an_archive_of_its_twin_is_a_copy_though_nothing_was_read() -> None:
    play = followed(head=6000)
    play.write_partly(1)
    play.copy()
    play.crash()
    play.rename(0)
    play.write_junk("nuls")
    play.copytruncate(seen="", reads=False)
    play.come_back()
    play.compress(2)
    play.rename(0)
    play.teardown()


@pytest.mark.parametrize("head", [0, 6000])
def test_a_longer_copy_that_was_renamed_while_it_was_closed_is_read_to_its_end(head: int) -> None:
    play = followed(head=head)
    play.write_junk("nuls")
    play.copy()
    play.crash()
    play.write_partly(1)
    play.copytruncate(seen="", reads=False)
    play.rename(0)
    play.come_back()
    play.compress(2)
    play.rename(0)
    play.teardown()


def test_a_log_that_begins_as_an_archive_that_was_read_is_read_from_there_on() -> None:
    play = followed()
    play.write_junk("nuls")
    play.copytruncate(seen="", reads=False)
    play.compress(0)
    play.copytruncate(seen="before", reads=True)
    play.write_junk("nuls")
    play.write_partly(1)
    play.teardown()


def test_a_copy_stays_one_though_a_log_of_one_byte_begins_alike_and_is_missing() -> None:
    play = followed()
    play.write_partly(1)
    play.copy()
    play.crash()
    play.write_junk("nuls")
    play.copytruncate(seen="", reads=False)
    play.copytruncate(seen="", reads=False)
    play.write_partly(1)
    play.come_back()
    play.copytruncate(seen="", reads=False)
    play.teardown()


def test_a_copy_is_one_though_a_log_of_one_byte_begins_alike_after_a_crash() -> None:
    play = followed()
    play.write_partly(1)
    play.copy()
    play.crash()
    play.write(1, 0)
    play.copytruncate(seen="", reads=False)
    play.write_partly(1)
    play.come_back()
    play.crash()
    play.copytruncate(seen="", reads=False)
    play.teardown()


def test_acks_beyond_a_hole_survive_a_crash() -> None:
    play = followed()
    play.write(9, 5)
    play.deliver(which=3, step=1, count=4)
    assert len(play.acked) == 4
    play.commit()
    play.crash()
    play.come_back()
    play.teardown()


@pytest.mark.parametrize("marked", [False, True])
def test_a_log_that_begins_as_the_one_before_is_told_from_it_by_the_marker(marked: bool) -> None:
    play = followed(chunk_bytes=262_144)
    for _ in range(7):  # longer than a fingerprint
        play.write_junk("nuls")
    play.write(5, 5)
    play.deliver(which=0, step=0, count=20)
    assert len(play.sent) == 5
    if marked:
        play.look(2.5)
    play.commit()
    play.crash()
    play.copytruncate(seen="", reads=False)
    for _ in range(7):  # longer than a fingerprint
        play.write_junk("nuls")
    play.write(9, 5)
    play.come_back()
    play.teardown()


def test_an_archive_that_has_the_inode_of_one_that_was_never_read_is_another() -> None:
    play = followed(where=None)
    play.rename(1)
    play.crash()
    play.come_back()
    play.compress(0)
    play.rename(1)
    play.crash()
    play.come_back()
    play.restore(0)
    play.compress(0)
    play.teardown()


def test_a_plain_log_may_have_the_inode_of_an_archive_that_was_never_read() -> None:
    play = followed(where=None)
    play.rename(1)
    play.crash()
    play.come_back()
    play.compress(0)
    play.crash()
    play.rename(1)
    play.come_back()
    play.restore(0)
    play.restore(1)
    play.deliver(count=1, step=1, which=0)
    play.teardown()


def test_half_a_copy_at_the_place_of_a_log_that_was_replaced_is_not_read() -> None:
    play = followed(where=None)
    play.stop()
    play.write(1, 0)
    play.copy()
    play.write_partly(1)
    play.copy()
    play.come_back()
    play.restore(3)
    play.copytruncate(reads=False, seen="half")
    play.deliver(count=1, step=1, which=0)
    play.teardown()


def test_an_archive_of_a_file_that_took_over_a_name_unseen_is_read_to_its_end() -> None:
    play = followed()
    play.write_junk("long")
    play.rename(0)
    play.write_junk("long")
    play.deliver(which=0, step=1, count=1)
    play.rename(1)
    play.restore(0)
    play.compress(1)
    play.teardown()


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("seen", ["between", "before", "empty", "half"])
def test_a_long_log_of_which_nothing_was_read_yet_is_found_again_in_its_copy(
    seen: str, reads: bool
) -> None:
    play = followed()
    play.write(12, 120)
    play.copytruncate(seen=seen, reads=reads)
    play.write(12, 120)
    play.teardown()


@pytest.mark.parametrize("seen", ["between", "before", "empty", "half"])
def test_a_copy_that_was_met_while_it_was_empty_is_not_read_again(seen: str) -> None:
    play = followed(max_open_files=100)
    play.write(3, 5)
    play.look(2.5)
    play.read(6)
    play.copytruncate(seen=seen, reads=True)
    play.look(0.1)
    play.read(6)
    play.write(1, 0)
    play.teardown()


TestFollowed = Followed.TestCase
TestFollowed.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    derandomize="CHAOS_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
