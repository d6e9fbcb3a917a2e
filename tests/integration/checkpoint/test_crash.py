"""kill -9 at random moments: what was promised to be on disk is there, and nothing is invented."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from ingestor.checkpoint import Role, Store

# Says on standard output what it is about to do ("+") and what it was told is on disk ("=").
WORKER = """
import asyncio, os, pathlib, sys
from ingestor.checkpoint import CheckpointOptions, Committer, Role, Store
from ingestor.model import Batch, Identity, PageView, Span

def say(text):
    os.write(1, (text + "\\n").encode())

async def work(store, committer, key, turns):
    for turn in turns:
        span = Span(key, turn * 10, turn * 10 + 10)
        page_view = PageView.of("site", {}, span, span.start, b"")
        batch = Batch(store.next_batch_id(), "site", (page_view,))
        say(f"+journal {batch.id} {turn}")
        assert await committer.journalled(batch)
        say(f"=journal {batch.id} {turn}")
        await asyncio.sleep(0)
        say(f"+ack {batch.id} {turn}")
        store.answered(batch.id, [span])
        store.count("s", {"accepted": 1})
        if turn % 7 == 0:
            await committer.flush()
            say(f"=ack {batch.id} {turn}")

async def main(path, sync):
    with Store.open(CheckpointOptions(pathlib.Path(path), sync=sync), Role.RUN) as store:
        known = store.known()
        key = known[0].key if known else store.register(Identity(1, 2, b"f", 1), b"/a")
        done = store.watermark(key) // 10
        for entry in store.in_doubt():
            say(f"?doubt {entry.id} 0")
            store.answered(entry.id)
        gaps = store.unread(key, 10**7)
        turns = (turn for start, end in gaps for turn in range(start // 10, end // 10))
        say("=ready 0 0")
        async with Committer(store) as committer:
            await asyncio.gather(*(work(store, committer, key, turns) for _ in range(4)))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("sync", ["normal", "full"])
def test_sigkill_at_any_moment_keeps_every_promise(options, sync) -> None:
    rng = random.Random(5)
    acked: set[int] = set()  # said to be on disk, in any life
    started: set[int] = set()  # handed to `answered`
    for _ in range(4):
        lines = live_and_die(options.path, sync, rng.randrange(1, 400))
        said = [(word, int(batch), int(turn)) for word, batch, turn in map(str.split, lines)]
        acked |= {turn for word, _, turn in said if word == "=ack"}
        answered = {batch: turn for word, batch, turn in said if word == "+ack"}
        started |= set(answered.values())
        durable = {batch for word, batch, _ in said if word == "=journal"}
        begun = {batch for word, batch, _ in said if word in ("+journal", "?doubt")}
        with Store.open(options, Role.RUN) as store:
            doubts = {entry.id: entry.spans for entry in store.in_doubt()}
            (file,) = store.known()
            unread = {
                turn
                for start, end in store.unread(file.key, 10**7)
                for turn in range(start // 10, end // 10)
            }
            # What was on disk before sending is in doubt, unless it was answered.
            assert durable - answered.keys() <= doubts.keys() <= begun
            # What was said to be acked is; nothing is that nobody acked.
            assert not acked & unread
            assert set(range(10**6)) - unread <= started
            # A batch is in doubt or acked, never both, never neither.
            for batch, turn in answered.items():
                assert (batch in doubts) == (turn in unread)
            # Of what this life had an answer to, at most one batch a worker is repeated.
            assert len(set(answered.values()) & unread) <= 4
            store.close()
    assert acked


def live_and_die(path, sync: str, lines: int) -> list[str]:
    """Run the worker until it has said so many lines, kill it, and return all it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), sync], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines + 1)]
    process.kill()
    said += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == -9
    return [line for line in said if line.endswith("\n")]
