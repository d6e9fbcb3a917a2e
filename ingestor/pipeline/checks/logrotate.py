"""logrotate's settings that throw a log away before it can have been read.

Only what matters here is understood of its language: which logs, how often, how many are kept.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingestor.pipeline.checks.logs import Sample
    from ingestor.pipeline.checks.remarks import Remarks

DEFAULT = Path("/etc/logrotate.conf")

_HOURS = {"hourly": 1, "daily": 24, "weekly": 168, "monthly": 720, "yearly": 8760}
_SCRIPTS = {"prerotate", "postrotate", "firstaction", "lastaction", "preremove"}
_DAY = 24  # hours that Umami may be away
_MAX = 1 << 20  # bytes of a file
_DEPTH = 5  # of includes


@dataclass(slots=True)
class Rotation:
    """What one block says, over the settings that stand outside of all blocks."""

    patterns: list[str]
    place: str  # file and line
    hours: int | None = _HOURS["weekly"]  # between rotations; None: by size alone
    keep: int = 0  # old logs; -1: all
    by_size: bool = False
    olddir: str | None = None


def check_logrotate(path: Path, samples: Sequence[Sample], remarks: Remarks) -> None:
    """Compare the rotations of our logs with how long Umami, or we, may be away."""
    rotations = read(path)
    told: set[tuple[str, str]] = set()
    for sample in samples:
        rotation = next(
            (r for r in rotations if any(fnmatchcase(sample.name, p) for p in r.patterns)), None
        )
        if rotation is None:
            continue
        for text, advice in _problems(rotation, sample):
            if (rotation.place, text) not in told:
                told.add((rotation.place, text))
                remarks.warn("logrotate", f"{sample.name} ({rotation.place})", text, advice)


def _problems(rotation: Rotation, sample: Sample) -> Iterator[tuple[str, str]]:
    keep, hours = rotation.keep, rotation.hours
    if keep == 0:
        yield (
            "logrotate throws it away at each rotation, read or not (rotate 0)",
            "keep a week: daily and rotate 7",
        )
    elif hours is not None and not rotation.by_size and 0 < keep * hours < _DAY:
        yield (
            f"logrotate keeps only {keep * hours} h of it, and Umami may be away for longer",
            f"keep at least a day: rotate {-(-_DAY // hours)} or more",
        )
    elif rotation.by_size and keep == 1:
        yield (
            "logrotate rotates it by size and keeps one old log, so a busy hour outruns the reader",
            "keep more: rotate 7",
        )
    if rotation.olddir is not None and keep:
        yield from _away(rotation.olddir, sample)


def _away(olddir: str, sample: Sample) -> Iterator[tuple[str, str]]:
    """Rotated logs in a directory of their own have to be covered as well."""
    directory = os.path.dirname(sample.name)  # noqa: PTH120 - text
    olddir = os.path.normpath(os.path.join(directory, olddir))  # noqa: PTH118 - likewise
    source = sample.source.path.rstrip("/")
    if olddir in (directory, source) or olddir.startswith(f"{source}/"):
        return
    text = (
        f"its rotated logs go to {olddir}, which this source does not cover: what is unread when "
        "it is rotated while the daemon is down would be missed"
    )
    yield text, f"add a source with path: {olddir}"


def read(path: Path) -> list[Rotation]:
    """Read a configuration and what it includes; what cannot be read is passed over."""
    reading = _Reading()
    reading.file(path, 0)
    return reading.found


class _Reading:
    """One configuration, being read line by line."""

    def __init__(self) -> None:
        self.found: list[Rotation] = []
        self._outside = Rotation([], "")  # what holds for every block that follows
        self._block: Rotation | None = None
        self._waiting: list[str] = []  # patterns whose block has not begun

    def file(self, path: Path, depth: int) -> None:
        try:
            text = path.read_bytes()[:_MAX].decode("utf-8", "replace")
        except OSError:
            return
        script = False
        for number, line in enumerate(text.splitlines(), 1):
            words = _words(line)
            if script or not words:
                script = script and words[:1] != ["endscript"]
            elif words[0] in _SCRIPTS:
                script = True
            elif self._block is None and words[0] == "include" and len(words) > 1:
                for included in _included(words[1]) if depth < _DEPTH else ():
                    self.file(included, depth + 1)
            else:
                self._line(words, f"{path}:{number}")

    def _line(self, words: list[str], place: str) -> None:
        if self._block is None and (self._waiting or words[0][0] in "/~*" or "{" in words):
            begin = words.index("{") if "{" in words else len(words)
            self._waiting += words[:begin]
            if begin == len(words):
                return
            outside = self._outside
            self._block = replace(outside, patterns=self._waiting, place=place)
            self.found.append(self._block)
            self._waiting, words = [], words[begin + 1 :]
        inside = [word for word in words if word != "}"]
        if inside:
            _set(self._block or self._outside, inside)
        if "}" in words:
            self._block = None


def _words(line: str) -> list[str]:
    """Split a line; braces stand alone, comments go."""
    line = re.sub(r"(?<!\S)#.*", "", line).replace("{", " { ").replace("}", " } ")
    line = line.replace("=", " ", 1) if re.match(r"\s*\w+\s*=", line) else line
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _included(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        ignored = (
            ".rpmsave",
            ".rpmorig",
            "~",
            ",v",
            ".disabled",
            ".dpkg-old",
            ".dpkg-dist",
            ".swp",
        )
        return sorted(one for one in path.iterdir() if not one.name.endswith(ignored))
    return [Path(one) for one in sorted(glob.glob(name))]  # noqa: PTH207 - an absolute pattern


def _set(rotation: Rotation, words: list[str]) -> None:
    name, value = words[0], words[1] if len(words) > 1 else ""
    if name in _HOURS:
        rotation.hours, rotation.by_size = _HOURS[name], False
    elif name in ("size", "maxsize"):
        rotation.by_size = True
    elif name == "rotate":
        rotation.keep = int(value) if re.fullmatch(r"-?\d{1,6}", value) else rotation.keep
    elif name == "olddir":
        rotation.olddir = value
    elif name == "noolddir":
        rotation.olddir = None
