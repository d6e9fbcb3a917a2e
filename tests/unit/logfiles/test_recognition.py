"""Races that no look at whole directories can time: files that change while they are compared."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestor.logfiles.discovery import Found
from ingestor.logfiles.identity import HEAD as WHOLE
from ingestor.logfiles.identity import Catalogue, identity_of, marker_at
from ingestor.logfiles.reader import LogFile
from ingestor.logfiles.recognition import Home, Relation, left_of_what_was_read, recognize
from ingestor.model import Identity, KnownFile, Marker

HEAD = b"every log begins so\n" * 250  # more than a fingerprint tells apart


class Written(LogFile):
    """A file into which its server writes just after it was asked for its length so many times."""

    rest = b""
    asked = 1

    @property
    def length(self) -> int | None:
        length = super().length
        self.asked -= 1
        if self.asked == 0:
            with Path(os.fsdecode(self.path)).open("ab") as log:
                log.write(self.rest)
        return length


class One:
    """Surroundings in which one log is known, and where it is."""

    def __init__(self, path: Path, read: int) -> None:
        self.file = LogFile(os.fsencode(path))
        head = self.file.read_at(0, 4096)
        identity = identity_of(*self.file.id, head)
        marker = marker_at(self.file, read)
        self.head = head
        self.known = KnownFile(7, identity, marker, self.file.path, 0, read, archived=False)
        self.home: Home | None = Home(self.file.id, self.file.path, self.file)

    def home_of(self, key: int) -> Home | None:
        return self.home if key == 7 else None

    def own_marker(self, key: int) -> Marker | None:  # noqa: ARG002 - nothing since the registry's
        return None

    def with_longer_head(self, head: bytes, path: bytes) -> Iterable[int]:  # noqa: ARG002
        return [7] if self.head.startswith(head) and len(self.head) > len(head) else []


@pytest.fixture
def around(tmp_path: Path) -> Iterator[One]:
    path = tmp_path / "known.log"
    path.write_bytes(HEAD + b"what one server wrote\n" * 100)
    one = One(path, path.stat().st_size)
    yield one
    one.file.close()


def look(path: Path, around: One, rest: bytes = b"", asked: int = 1) -> Relation | None:
    status = path.stat()
    place = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    with Written(os.fsencode(path)) as file:
        head = file.read_at(0, 4096)
        file.rest, file.asked = rest, asked
        found = Found(os.fsencode(path), 0, *place)
        return recognize(found, file, head, Catalogue([around.known]), around).relation


@pytest.mark.parametrize("asked", range(1, 9))
def test_a_log_that_grows_while_it_is_compared_is_not_taken_for_the_rest_of_another(
    tmp_path: Path, around: One, asked: int
) -> None:
    new = tmp_path / "new.log"
    new.write_bytes(HEAD)
    assert look(new, around, b"what another wrote\n" * 500, asked) is not Relation.LONGER


@pytest.mark.parametrize("lines", [100, 500])
def test_a_log_is_not_the_rest_of_one_of_which_only_the_beginning_is_left(
    tmp_path: Path, around: One, lines: int
) -> None:
    os.truncate(around.file.path, len(HEAD))
    new = tmp_path / "new.log"
    new.write_bytes(HEAD + b"what another server wrote\n" * lines)
    assert look(new, around) is None


@pytest.mark.parametrize("begun", [b"", b"another\n", b"another\n" * 1000, HEAD, HEAD * 3])
def test_a_copy_of_a_log_that_was_cut_since_is_that_log(
    tmp_path: Path, around: One, begun: bytes
) -> None:
    copy, log = tmp_path / "known.log.1", Path(os.fsdecode(around.file.path))
    copy.write_bytes(log.read_bytes())
    os.truncate(log, 0)
    with log.open("ab") as file:
        file.write(begun)
    assert look(copy, around) in {Relation.SAME, Relation.LONGER}


def test_what_has_all_that_was_read_is_the_rest_of_a_log_that_was_cut(
    tmp_path: Path, around: One
) -> None:
    new = tmp_path / "known.log.1"
    whole = Path(os.fsdecode(around.file.path)).read_bytes()
    new.write_bytes(whole + b"and some more\n")
    os.truncate(around.file.path, len(HEAD))
    assert look(new, around) is Relation.LONGER


@pytest.mark.parametrize("packed", [False, True])
def test_what_begins_as_several_logs_that_are_gone_is_none_of_them(
    tmp_path: Path, around: One, packed: bool
) -> None:
    """All with a long header begin alike; as one of those that were read, it would be lost."""
    around.home = None
    content = around.known.identity[2:]
    gone = [replace(around.known, key=key, identity=Identity(1, key, *content)) for key in (7, 8)]
    new = tmp_path / "new.log"
    new.write_bytes(gzip.compress(HEAD + b"another\n" * 900) if packed else HEAD + b"another\n")
    with LogFile(os.fsencode(new)) as file:
        found = Found(file.path, 0, *file.id, new.stat().st_size, 0)
        verdict = recognize(found, file, file.read_at(0, 4096), Catalogue(gone), around)
    assert verdict.relation is None
    assert verdict.started_over is None


@pytest.mark.parametrize(
    ("told", "changes"),
    [
        (True, {}),
        (True, {"moved": True, "same_inode": True}),
        (False, {"moved": True}),
        (False, {"home": "elsewhere"}),
        (True, {"home": "deleted"}),
        (False, {"key": 7}),  # it is that log itself
        (False, {"fingerprint": WHOLE - 1}),  # so much may two logs have in common
        (False, {"read": 0}),
    ],
    ids=str,
)
def test_what_begins_as_the_log_that_stood_there_is_passed_over_as_far_as_that_was_read(
    tmp_path: Path, around: One, told: bool, changes: dict[str, Any]
) -> None:
    given = {"moved": False, "same_inode": False, "home": None, "key": 8}
    given |= {"fingerprint": WHOLE, "read": 9_000} | changes
    content = b"".join(b"line %d of one log\n" % number for number in range(1_000))
    log = tmp_path / ("other.log" if given["moved"] else "access.log")
    log.write_bytes(content[:9_500] + b"what came after the power cut\n")
    with LogFile(os.fsencode(log)) as file:
        identity = identity_of(*(file.id if given["same_inode"] else (1, 1)), content)
        if given["fingerprint"] < WHOLE:
            identity = identity_of(1, 1, content[: given["fingerprint"]])
        marker = marker_at(file, given["read"]) if given["read"] else None
        around.known = replace(
            around.known,
            identity=identity,
            marker=marker,
            path=os.fsencode(tmp_path / "access.log"),
        )
        if given["home"] is None:
            around.home = None
        else:
            around.home = Home((1, 1), b"/elsewhere", None, deleted=given["home"] == "deleted")
        found = Found(file.path, 0, *file.id, log.stat().st_size, 0)
        known = Catalogue([around.known])
        left = left_of_what_was_read(
            found, file, file.read_at(0, WHOLE), known, around, given["key"]
        )
    assert (left and left.marker.offset) == (9_000 if told else None)
