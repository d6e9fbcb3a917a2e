"""The second actor: everything that moves, copies, cuts, compresses and removes logs.

The real logrotate does what it can do; the rest is done as people, scripts and other rotators do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from chaos.writer import Log, World
from parts import program

COMPRESSORS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
_SUFFIXES = tuple(f".{suffix}" for suffix in COMPRESSORS)
_NUMBERED = re.compile(r".*\.log\.(\d+)((?:\.\w+)?)")


class Rotator:
    """Rotates the logs of one world."""

    def __init__(self, world: World, logs: list[Log], scratch: Path, elsewhere: Path) -> None:
        self.world = world
        self.logs = logs
        self.scratch = scratch
        self.elsewhere = elsewhere  # another file system, where there is one
        self.locked: set[Path] = set()
        self._half: dict[Path, tuple[Path, bytes]] = {}  # archive → its source, its missing rest
        self._n = 0
        self.did: dict[str, int] = {}

    def do(self, act: str, how: dict[str, Any]) -> None:
        """Do one act to a log; then find out what it destroyed."""
        log = self.logs[how.get("log", 0) % len(self.logs)]
        if act not in ("lock", "unlock", "reopen"):
            self.unlock(log, {})
        method = getattr(self, act)
        if method(log, how) is not False:
            name = act if act != "logrotate" else "logrotate " + how["how"]
            self.did[name] = self.did.get(name, 0) + 1
            for extra in ("compress", "delay", "dateext", "olddir"):
                if act == "logrotate" and how.get(extra):
                    self.did[f"… {extra}"] = self.did.get(f"… {extra}", 0) + 1
        if act not in ("lock", "unlock"):
            self.world.look()

    def mend(self) -> None:
        """Give everything back that was taken for a while: rights, the rests of archives."""
        for log in self.logs:
            self.unlock(log, {})
            self.compress_end(log, {})

    # The real one.

    def logrotate(self, log: Log, how: dict[str, Any]) -> bool | None:
        """``how``: create, nocreate, copytruncate or copy; compress, delay, dateext, olddir."""
        binary = program("logrotate")
        if binary is None:
            return self.rename(log, how)
        lines = ["rotate 100", "missingok", how["how"]]
        if how.get("compress"):
            command = program(COMPRESSORS[how["compress"]]) or program("gzip")
            suffix = how["compress"] if program(COMPRESSORS[how["compress"]]) else "gz"
            lines += ["compress", f"compresscmd {command}", f"compressext .{suffix}"]
            lines += ["compressoptions -q"]
        lines += ["delaycompress"] if how.get("delay") else []
        lines += ["dateext", "dateformat -%Y%m%d-%s"] if how.get("dateext") else []
        if how.get("olddir") == "below":
            (log.live.parent / "old").mkdir(exist_ok=True)
            lines.append(f"olddir {log.live.parent}/old")
        elif how.get("olddir") == "elsewhere":
            self.elsewhere.mkdir(exist_ok=True)
            lines += [f"olddir {self.elsewhere}", "renamecopy"]
        conf = self.scratch / f"{log.name}.logrotate"
        conf.write_text(f"{log.live} {{\n  " + "\n  ".join(lines) + "\n}\n")
        conf.chmod(0o644)
        state = self.scratch / f"{log.name}.state"
        subprocess.run(
            [binary, "--force", "--state", state, conf],
            check=False,  # a date that was used already is skipped, and said
            capture_output=True,
        )
        if how.get("reopen", True):
            log.open()
        return None

    # The rest.

    def reopen(self, log: Log, how: dict[str, Any]) -> None:
        """The server opens its log anew."""
        del how
        log.open()

    def rename(self, log: Log, how: dict[str, Any]) -> None:
        """Number the generations by hand."""
        if log.live.is_symlink():
            self.switch(log, how)
            return
        self.compress_end(log, {})
        numbered = [(path, _NUMBERED.fullmatch(path.name)) for path in self._generations(log)]
        for number, rest, path in sorted(
            ((int(found[1]), found[2], path) for path, found in numbered if found), reverse=True
        ):
            path.rename(path.with_name(f"{log.live.name}.{number + 1}{rest}"))
        if log.live.exists():
            log.live.rename(log.live.with_name(f"{log.live.name}.1"))
        if how.get("reopen", True):
            log.open()

    def rename_twice(self, log: Log, how: dict[str, Any]) -> None:
        """Two rotations with a line in between, well within a second."""
        self.rename(log, {})
        log.write(how.get("n", 1))
        self.rename(log, {})

    def copytruncate(self, log: Log, how: dict[str, Any]) -> None:
        """Copy, dawdle, truncate: what is written in between is lost to everybody."""
        copy = log.live.with_name(f"{log.live.name}.{self._next()}")
        shutil.copy(log.live, copy)
        time.sleep(how.get("gap", 0) / 1000)
        os.truncate(log.live, 0)

    def copy(self, log: Log, how: dict[str, Any]) -> None:
        """Put a copy beside it, as logrotate's `copy` and backups do."""
        del how
        shutil.copy(log.live, log.live.with_name(f"{log.live.name}.{self._next()}"))

    def compress(self, log: Log, how: dict[str, Any]) -> bool | None:
        """Compress a rotated generation, as gzip does: archive first, then away with the source."""
        if self._start_archive(log, how, whole=True) is None:
            return False
        return None

    def compress_begin(self, log: Log, how: dict[str, Any]) -> bool | None:
        """Write the first part of an archive."""
        if self._start_archive(log, how, whole=False) is None:
            return False
        return None

    def compress_end(self, log: Log, how: dict[str, Any]) -> bool | None:
        """Write the rest of every begun archive of this log, and remove their sources."""
        del how
        mine = [a for a in self._half if a.name.startswith(log.live.name)]
        for archive in mine:
            source, rest = self._half.pop(archive)
            if archive.exists():
                with archive.open("ab") as file:
                    file.write(rest)
                source.unlink(missing_ok=True)
        return None if mine else False

    def _start_archive(self, log: Log, how: dict[str, Any], *, whole: bool) -> Path | None:
        taken = {source for source, _ in self._half.values()}
        plain = [p for p in self._generations(log) if p.suffix not in _SUFFIXES and p not in taken]
        held = os.fstat(log.fd).st_ino
        plain = [p for p in plain if p.stat().st_ino != held]  # nobody writes into it any more
        if not plain:
            return None
        source = plain[how.get("which", 0) % len(plain)]
        suffix = how.get("suffix", "gz")
        command = program(COMPRESSORS[suffix]) or program("gzip")
        suffix = suffix if program(COMPRESSORS[suffix]) else "gz"
        done = subprocess.run([command or "gzip", "-c", source], check=True, capture_output=True)
        archive = source.with_name(f"{source.name}.{suffix}")
        if whole:
            archive.write_bytes(done.stdout)
            shutil.copystat(source, archive)
            source.unlink()
        else:
            cut = len(done.stdout) // 2
            archive.write_bytes(done.stdout[:cut])
            self._half[archive] = source, done.stdout[cut:]
        return archive

    def switch(self, log: Log, how: dict[str, Any]) -> None:
        """A symlink names the current file; it is pointed at a new one (cronolog, rotatelogs)."""
        del how
        target = log.live.with_name(f"{log.live.name}.{1_700_000_000 + self._next()}")
        target.touch(mode=0o644)
        if log.live.exists() and not log.live.is_symlink():
            log.live.rename(log.live.with_name(f"{log.live.name}.{1_600_000_000 + self._next()}"))
        link = log.live.with_name("link.new")
        link.symlink_to(target.name)
        link.rename(log.live)
        log.open()

    def delete(self, log: Log, how: dict[str, Any]) -> bool | None:
        """Remove the oldest generation, or the live file under its server."""
        if how.get("live"):
            log.live.unlink(missing_ok=True)
            return None
        old = sorted(self._generations(log), key=lambda path: path.stat().st_mtime_ns)
        if not old:
            return False
        old[0].unlink()
        return None

    def replace_directory(self, log: Log, how: dict[str, Any]) -> None:
        """Move the directory away (it stays below the source) and make it anew."""
        directory = log.live.parent
        if directory in self.world.roots:
            self.rename(log, how)
            return
        for archive in [a for a in self._half if directory in a.parents]:
            self.compress_end(log, {})
            self._half.pop(archive, None)
        directory.rename(directory.with_name(f"{directory.name}-was-{self._next()}"))
        log.open()

    def replace(self, log: Log, how: dict[str, Any]) -> bool | None:
        """Put a generation on another inode, as a restore does."""
        del how
        taken = {source for source, _ in self._half.values()} | set(self._half)
        old = [path for path in self._generations(log) if path not in taken]
        held = os.fstat(log.fd).st_ino
        old = [path for path in old if path.stat().st_ino != held]
        if not old:
            return False
        twin = old[0].with_name(".twin")
        shutil.copy2(old[0], twin)
        twin.rename(old[0])
        return None

    def lock(self, log: Log, how: dict[str, Any]) -> None:
        """Nobody may read the live file, as between logrotate's create and its chown."""
        del how
        log.live.chmod(0)
        self.locked.add(log.live.resolve())

    def unlock(self, log: Log, how: dict[str, Any]) -> None:
        """Give the rights back."""
        del how, log
        for path in self.locked:
            if path.exists():
                path.chmod(0o644)
        self.locked.clear()

    def _generations(self, log: Log) -> list[Path]:
        live = log.live.resolve()
        paths = log.live.parent.glob(f"{log.live.name}[.-]*")
        return [p for p in paths if p.is_file() and not p.is_symlink() and p.resolve() != live]

    def _next(self) -> int:
        self._n += 1
        return 1000 + self._n
