"""A power cut at any write: recorded, and played again up to each of them.

SIGKILL cannot show what was never synced. So strace records what two lives of a store write and
sync. For each prefix of that, the disk is built as a power cut may leave it: with what was synced,
and of the rest nothing, some of it, or all with its last write torn.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.model import Identity

# Two lives, so that SQLite's log is moved into the database, removed, and begun anew.
WORKER = """
import os, pathlib, sys
from ingestor.checkpoint import CheckpointOptions, Role, Store
from ingestor.model import Batch, PageView, Span

def say(text):
    os.write(1, (text + "\\n").encode())

options = CheckpointOptions(pathlib.Path(sys.argv[1]), sync=sys.argv[2])
for life in range(2):
    with Store.open(options, Role.RUN) as store:
        (file,) = store.known()
        for turn in range(life * 9, life * 9 + 9):
            span = Span(file.key, turn * 10, turn * 10 + 10)
            page_views = (PageView.of("site", {}, span, span.start, b""),)
            batch = Batch(store.next_batch_id(), "site", page_views)
            store.journal(batch, bodies=b"body" * 300)
            store.commit()
            say(f"=journal {turn}")
            say(f"+ack {turn}")
            store.answered(batch.id, [span])
            if turn % 3 == 2:
                store.commit()
                say(f"=ack {turn}")
"""
CALL = re.compile(
    r"\d+ +(?P<name>\w+)\((?:(?P<fd>\d+)<(?P<path>[^>]*)>)?(?:AT_FDCWD<[^>]*>, )?,? ?"
    r'(?:"(?P<data>[^"]*)")?(?:, \d+)?(?:, )?(?P<offset>\d+)?.*\) += (?P<result>-?\d+)'
)


@dataclass
class Disk:
    """Files by name: what is synced, and what was written since."""

    synced: dict[str, bytes]
    writes: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    def write(self, name: str, offset: int, data: bytes) -> None:
        self.synced.setdefault(name, b"")
        self.writes.setdefault(name, []).append((offset, data))

    def sync(self, name: str) -> None:
        self.synced[name] = applied(self.synced.get(name, b""), self.writes.pop(name, []))

    def remove(self, name: str) -> None:
        self.synced.pop(name, None)
        self.writes.pop(name, None)

    def leftovers(self, rng: random.Random) -> Iterator[dict[str, bytes]]:
        """What a power cut may leave now."""
        yield dict(self.synced)
        if any(self.writes.values()):
            for some in (self._some(rng), self._torn()):
                kept = {name: applied(self.synced[name], writes) for name, writes in some.items()}
                yield self.synced | kept

    def _some(self, rng: random.Random) -> dict[str, list[tuple[int, bytes]]]:
        return {
            name: [write for write in writes if rng.random() < 0.5]
            for name, writes in self.writes.items()
        }

    def _torn(self) -> dict[str, list[tuple[int, bytes]]]:
        return {
            name: [*writes[:-1], (writes[-1][0], writes[-1][1][: len(writes[-1][1]) // 2])]
            for name, writes in self.writes.items()
        }


def applied(content: bytes, writes: list[tuple[int, bytes]]) -> bytes:
    made = bytearray(content)
    for offset, data in writes:
        made.extend(bytes(max(0, offset + len(data) - len(made))))
        made[offset : offset + len(data)] = data
    return bytes(made)


def recorded(path: Path, sync: str) -> list[tuple[str, str, int, bytes]]:
    """What the worker did to the checkpoint's files, and said: (call, file, offset, data)."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    trace = path.with_name("trace")
    calls = "trace=pwrite64,write,fdatasync,fsync,unlink"
    command = [strace, "-f", "-y", "-xx", "-s", "100000", "-e", calls, "-o", str(trace)]
    script = [sys.executable, "-c", WORKER, str(path), sync]
    result = subprocess.run([*command, *script], capture_output=True, check=False)
    if result.returncode != 0:
        pytest.skip(f"strace may not trace here: {result.stderr[-200:]!r}")
    found = []
    for line in trace.read_text().splitlines():
        call = CALL.match(line)
        if call is None or int(call["result"]) < 0:
            continue
        data = bytes.fromhex((call["data"] or "").replace("\\x", ""))
        if call["name"] == "unlink":
            found.append(("unlink", Path(data.decode()).name, 0, b""))
        elif call["name"] == "write" and call["fd"] == "1":
            found.append(("said", "", 0, data.strip()))
        elif (name := unescaped(call["path"] or "")).startswith(str(path)):
            found.append((call["name"], Path(name).name, int(call["offset"] or 0), data))
    return found


def unescaped(text: str) -> str:
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)
    return plain.removesuffix(" (deleted)")


def check(path: Path, said: list[bytes]) -> int:
    """Open what was left; gives how many acks and batches in doubt are forgotten."""
    with Store.open(CheckpointOptions(path, sync="full"), Role.RUN) as store:
        assert store.quarantined is None
        (file,) = store.known()
        doubts = {entry.spans[0].start // 10 for entry in store.in_doubt()}
        unread = spread(store.unread(file.key, 180))
        done = {turn for turn in range(18) if turn * 10 not in unread} - doubts
    words = [word.decode().split() for word in said]
    answered = {int(turn) for word, turn in words if word == "+ack"}
    assert done <= answered, "acked, though nobody had an answer"
    missing_acks = {int(turn) for word, turn in words if word == "=ack"} - done
    journalled = {int(turn) for word, turn in words if word == "=journal"}
    return len(missing_acks) + len(journalled - done - doubts)


def spread(stretches: list[tuple[int, int]]) -> set[int]:
    return {at for start, end in stretches for at in range(start, end)}


@pytest.mark.parametrize("sync", ["full", "normal"])
def test_fault_11_a_power_cut_at_any_write_keeps_what_was_synced(tmp_path: Path, sync: str) -> None:
    path = tmp_path / "checkpoint.db"
    with Store.open(CheckpointOptions(path, sync="full"), Role.RUN) as store:
        store.register(Identity(1, 2, b"f", 1), b"/a")
        store.commit()
    disk = Disk({path.name: path.read_bytes()})
    rng, said, forgotten, cuts = random.Random(3), [], 0, 0
    for call, name, offset, data in recorded(path, sync):
        match call:
            case "said":
                said.append(data)
            case "pwrite64":
                disk.write(name, offset, data)
            case "fdatasync" | "fsync":
                disk.sync(name)
            case "unlink":
                disk.remove(name)
        for left in disk.leftovers(rng):
            directory = tmp_path / "left"
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            for file, content in left.items():
                (directory / file).write_bytes(content)
            forgotten += check(directory / path.name, said)
            cuts += 1
    assert len(said) == 42
    assert cuts > 100
    if sync == "full":
        assert not forgotten
    else:
        assert forgotten, "nothing was ever unsynced: this test could not fail"
