"""A seeded writer, rotator and reader: whatever they do, each line is read exactly once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ingestor.logfiles import FollowOptions

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


class Site:
    """One log with its writer and its rotator."""

    def __init__(self, directory: Path, name: str, rng: random.Random) -> None:
        self.rng = rng
        self.live = directory / name
        self.writer = self.live.open("ab", buffering=0)
        self.seconds = 1_700_000_000
        self.wrote: list[bytes] = []

    def write(self) -> None:
        lines = b""
        for _ in range(self.rng.choice([0, 1, 1, 2, 5, 30])):
            end = b"\r\n" if self.rng.random() < 0.1 else b"\n"
            words = b"x" * self.rng.choice([0, 3, 40, 300])
            lines += b"%s %d %s" % (self.live.name.encode(), len(self.wrote), words) + end
            self.wrote.append(lines.splitlines()[-1])
        self.put(lines)

    def put(self, data: bytes) -> None:
        """Write at a time of its own: the kernel's clock is too coarse for this test's pace."""
        self.writer.write(data)
        self.seconds += 1
        os.utime(self.writer.fileno(), (self.seconds, self.seconds))

    def write_partly(self) -> None:
        """Half of a line now, the rest before anything else happens to the file."""
        line = b"%s %d in two halves" % (self.live.name.encode(), len(self.wrote))
        self.wrote.append(line)
        self.put(line[:9])
        self.unfinished_line = line[9:] + b"\n"

    def finish(self) -> None:
        self.put(self.unfinished_line)

    def reopen(self) -> None:
        self.writer.close()
        self.writer = self.live.open("ab", buffering=0)

    def generations(self) -> list[tuple[int, Path]]:
        found = []
        for path in self.live.parent.glob(self.live.name + ".*"):
            number = path.name.removeprefix(self.live.name + ".").split(".")[0]
            found.append((int(number), path))
        return sorted(found, reverse=True)

    def shift(self) -> None:
        for number, path in self.generations():
            rest = path.name.removeprefix(f"{self.live.name}.{number}")
            path.rename(path.with_name(f"{self.live.name}.{number + 1}{rest}"))

    def rename(self) -> None:
        self.shift()
        self.live.rename(self.live.with_name(self.live.name + ".1"))
        if self.rng.random() < 0.5:
            self.write()  # nginx goes on until it reopens
        self.reopen()

    def copytruncate(self) -> None:
        self.shift()
        shutil.copy(self.live, self.live.with_name(self.live.name + ".1"))
        os.truncate(self.live, 0)

    def compress(self) -> None:
        plain = [path for _, path in self.generations() if path.suffix not in COMPRESSIONS]
        if not plain:
            return
        path = self.rng.choice(plain)
        suffix, how = self.rng.choice(list(COMPRESSIONS.items()))
        target = path.with_name(path.name + suffix)
        target.write_bytes(how(path.read_bytes()))
        shutil.copystat(path, target)
        path.unlink()

    def copy(self) -> None:
        """Keep a copy beside it, as logrotate's `copy` does; sometimes take it away again."""
        self.shift()
        shutil.copy(self.live, self.live.with_name(self.live.name + ".1"))

    def replace(self) -> None:
        """Move the file to another inode, as a restore or an editor does."""
        for _, path in self.generations()[:1]:
            twin = path.with_name("." + path.name)
            shutil.copy2(path, twin)
            twin.rename(path)

    def remove_oldest(self) -> None:
        if len(self.generations()) > 3:
            self.generations()[0][1].unlink()


ACTIONS = (
    "write write write write rename copytruncate compress copy replace remove_oldest "
    "turn turn poll poll long restart down partly"
).split()


class Play:
    """One run of all three over a directory."""

    def __init__(self, seed: int, directory: Path, daemon: Any, options: FollowOptions) -> None:
        self.rng = random.Random(seed)
        self.directory = directory
        self.daemon = daemon
        self.options = options
        self.running = False
        self.sites = [Site(directory, name, self.rng) for name in ("a.log", "b.log")]

    def run(self) -> None:
        self.restart()
        for _ in range(self.rng.randrange(10, 60)):
            site = self.rng.choice(self.sites)
            action = self.rng.choice(ACTIONS)
            if hasattr(self, action):
                getattr(self, action)()
            elif action == "partly":
                self.write_partly(site)
            elif action != "remove_oldest":
                getattr(site, action)()
            elif self.running:  # what is destroyed while nobody looks is lost to everybody
                self.turn()
                site.remove_oldest()
        if not self.running:
            self.restart()
        self.long()
        self.long()

    def write_partly(self, site: Site) -> None:
        site.write_partly()
        if self.rng.random() < 0.7:
            self.turn()
        site.finish()

    def restart(self) -> None:
        self.daemon.start(self.directory, options=self.options)
        self.running = True

    def down(self) -> None:
        if self.running:
            self.daemon.stop()
            self.running = False
        else:
            self.restart()

    def turn(self) -> None:
        if self.running:
            self.daemon.turn(self.rng.choice([0.0, 2.5]))

    def poll(self) -> None:
        if self.running:
            self.daemon.poll()

    def long(self) -> None:
        if self.running:
            self.daemon.turn(40)


@pytest.mark.parametrize("seed", range(60))
def test_every_line_is_read_exactly_once(seed: int, tmp_path: Path, daemon: Any) -> None:
    options = FollowOptions(
        chunk_bytes=random.Random(seed).choice([200, 1000, 262144]),
        max_line_bytes=400,
        max_open_files=random.Random(seed).choice([4, 1000]),
    )
    play = Play(seed, tmp_path, daemon, options)
    play.run()
    sites = play.sites
    wrote = Counter(line for site in sites for line in site.wrote)
    read = Counter(daemon.lines)
    assert read == wrote, (read - wrote, wrote - read)
    assert not [finding for finding in daemon.findings if finding.lost]
    for site in sites:
        site.writer.close()
