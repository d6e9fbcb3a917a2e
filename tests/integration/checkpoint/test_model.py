"""Any sequence of reports, commits, refusals, crashes and restarts, against a plain model."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ingestor.checkpoint import CheckpointOptions, CheckpointUnavailable, Role, Store
from ingestor.model import Batch, Identity, PageView, Span

END = 60
SPANS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, END - 5), st.integers(1, 5)), max_size=4
)


class Model:
    """What memory, or the disk, should hold."""

    def __init__(self) -> None:
        self.acked: set[tuple[int, int]] = set()  # (file, offset)
        self.journal: dict[int, bool] = {}  # batch → has bodies
        self.count = 0

    def copy(self) -> Model:
        twin = Model()
        twin.acked, twin.journal, twin.count = set(self.acked), dict(self.journal), self.count
        return twin


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.options = CheckpointOptions(self.directory / "checkpoint.db")
        self.memory, self.disk = Model(), Model()
        self.spans: dict[int, list[Span]] = {}  # of every batch ever
        self.earlier: set[int] = set()  # batches of a session that ended

    @initialize()
    def begin(self) -> None:
        self.store = Store.open(self.options, Role.RUN)
        self.keys = [
            self.store.register(Identity(1, number, b"%d" % number, 1), b"/%d" % number)
            for number in range(3)
        ]

    def spans_of(self, parts: list[tuple[int, int, int]]) -> list[Span]:
        return [Span(self.keys[file], start, start + length) for file, start, length in parts]

    def note_acked(self, spans: list[Span]) -> None:
        self.memory.acked |= {
            (span.file, offset) for span in spans for offset in range(span.start, span.end)
        }

    @rule(parts=SPANS)
    def ack(self, parts: list[tuple[int, int, int]]) -> None:
        self.store.ack(self.spans_of(parts))
        self.note_acked(self.spans_of(parts))

    @rule(parts=SPANS, bodies=st.booleans())
    def journal(self, parts: list[tuple[int, int, int]], bodies: bool) -> None:
        spans = self.spans_of(parts)
        batch = Batch(
            self.store.next_batch_id(),
            "w",
            tuple(PageView.of("w", {}, span, span.start, b"") for span in spans),
        )
        self.store.journal(batch, bodies=b"x" if bodies else None)
        self.spans[batch.id] = spans
        self.memory.journal[batch.id] = bodies

    @precondition(lambda self: self.memory.journal)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(sorted(self.memory.journal)))
        acked = data.draw(st.sampled_from([self.spans[batch], []]))
        self.store.answered(batch, acked)
        self.note_acked(acked)
        del self.memory.journal[batch]

    @rule()
    def count(self) -> None:
        self.store.count("s", {"accepted": 1})
        self.memory.count += 1

    @rule()
    def commit(self) -> None:
        self.store.commit()
        self.disk = self.memory.copy()

    @rule()
    def refused_commit(self) -> None:
        self.store._disk.connection.execute("PRAGMA query_only = ON")
        try:
            self.store.commit()
        except CheckpointUnavailable:
            pass
        else:
            assert not self.store.uncommitted
        self.store._disk.connection.execute("PRAGMA query_only = OFF")

    @rule()
    def commit_to_a_removed_file(self) -> None:
        self.options.path.unlink()
        if self.store.uncommitted:
            self.store.commit()
            self.disk = self.memory.copy()
        else:
            self.restart_after(self.store.note("n", 1))

    @rule()
    def crash(self) -> None:
        self.store._disk.close()
        self.memory = self.disk.copy()
        self.reopen()

    @rule()
    def restart(self) -> None:
        self.restart_after(None)

    def restart_after(self, _: None) -> None:
        self.store.close()
        self.disk = self.memory.copy()
        self.reopen()

    def reopen(self) -> None:
        self.store = Store.open(self.options, Role.RUN)
        assert self.store.quarantined is None
        assert [file.key for file in self.store.known()] == self.keys
        self.earlier = set(self.memory.journal)

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        carried = {
            (span.file, offset)
            for batch, bodies in self.memory.journal.items()
            if bodies and batch in self.earlier
            for span in self.spans[batch]
            for offset in range(span.start, span.end)
        }
        for key in self.keys:
            unread = {
                offset for start, end in self.store.unread(key, END) for offset in range(start, end)
            }
            assert unread == {
                offset for offset in range(END) if (key, offset) not in self.memory.acked | carried
            }
        left = self.earlier & self.memory.journal.keys()
        assert {entry.id for entry in self.store.in_doubt()} == left
        totals = self.store.totals()
        assert totals == ({"s": {"accepted": self.memory.count}} if self.memory.count else {})

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store._disk.close()
        shutil.rmtree(self.directory)


StoreMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestStore = StoreMachine.TestCase
