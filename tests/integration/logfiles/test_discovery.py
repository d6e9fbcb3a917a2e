"""Discovery over real directories: what is found, in what order, and what is said."""

from __future__ import annotations

import os
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest

from ingestor.errors import UsageError
from ingestor.logfiles import FollowSource, discover
from ingestor.logfiles.directories import DirectoryTimes


def names(found: list, below: Path) -> list[str]:
    return [os.path.relpath(os.fsdecode(one.path), below) for one in found]


def make(directory: Path, *files: str) -> None:
    for age, name in enumerate(files):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1_700_000_000 + age, 1_700_000_000 + age))


def source(path: Path | bytes, *include: str, exclude: tuple[str, ...] = ()) -> FollowSource:
    return FollowSource(os.fsencode(path), include or ("*",), exclude)


def test_numbers_and_dates_tell_the_order_where_times_lie(tmp_path: Path) -> None:
    make(tmp_path, "a.log", "a.log.1", "a.log.2.gz", "a.log.10.gz")
    make(tmp_path, "b.log", "b.log-20240103", "b.log-20240102.gz", "b.log-20231231")
    found = names(discover([source(tmp_path)]).files, tmp_path)
    a = [name for name in found if name.startswith("a")]
    b = [name for name in found if name.startswith("b")]
    assert a == ["a.log.10.gz", "a.log.2.gz", "a.log.1", "a.log"]
    assert b == ["b.log-20231231", "b.log-20240102.gz", "b.log-20240103", "b.log"]


def test_logs_of_one_directory_come_interleaved_by_time(tmp_path: Path) -> None:
    make(tmp_path, "a.log.2", "b.log.2", "a.log.1", "b.log.1", "a.log", "b.log")
    assert names(discover([source(tmp_path)]).files, tmp_path) == [
        "a.log.2",
        "b.log.2",
        "a.log.1",
        "b.log.1",
        "a.log",
        "b.log",
    ]


def test_a_named_file_brings_its_generations_along(tmp_path: Path) -> None:
    make(tmp_path, "access.log.2.gz", "access.log.1", "access.log", "other.log", "access.logs")
    make(tmp_path, "access.log.old", "access-20240101.log")
    path = tmp_path / "access.log"
    with_them = names(discover([source(path)]).files, tmp_path)
    assert sorted(with_them) == [
        "access-20240101.log",
        "access.log",
        "access.log.1",
        "access.log.2.gz",
        "access.log.old",
    ]
    assert names(discover([source(path)], generations=False).files, tmp_path) == ["access.log"]


def test_globs_match_by_component_and_bring_generations_along(tmp_path: Path) -> None:
    make(
        tmp_path, "x/access.log", "x/access.log.1", "x/error.log", "y/access.log", "y/z/access.log"
    )
    found = discover([source(tmp_path / "*" / "access.log")])
    assert sorted(names(found.files, tmp_path)) == [
        "x/access.log",
        "x/access.log.1",
        "y/access.log",
    ]
    deep = discover([source(tmp_path / "**" / "*.log")], generations=False)
    assert len(deep.files) == 4


def test_include_and_exclude_look_at_names_and_at_paths_with_a_slash(tmp_path: Path) -> None:
    make(tmp_path, "a/access.log", "a/error.log", "b/access.log", ".hidden.log", "x.log~", "c.txt")
    found = discover([source(tmp_path, "*.log", exclude=("*error*", "b/*"))])
    assert names(found.files, tmp_path) == ["a/access.log"]


def test_what_a_directory_is_called_excludes_no_log_in_it(tmp_path: Path) -> None:
    make(tmp_path, "terror-film.example/logs/access.log", "terror-film.example/logs/error.log")
    found = discover([source(tmp_path, "*access*log*", exclude=("*error*",))])
    assert names(found.files, tmp_path) == ["terror-film.example/logs/access.log"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*/*-json.log*", ["a/1-json.log", "a/1-json.log.1"]),
        ("*/*", ["a/access.log"]),
        ("**", ["a/access.log"]),
        ("a/*.l?g", ["a/1-json.log", "a/1-json.log.1", "a/access.log"]),  # and its generation
    ],
)
def test_a_glob_says_itself_which_names_it_means(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    make(tmp_path, "a/1-json.log", "a/1-json.log.1", "a/access.log", "a/error.log")
    found = discover([source(tmp_path / pattern, "*access*.log*", exclude=("*error*",))])
    assert sorted(names(found.files, tmp_path)) == expected


def test_links_are_resolved_and_each_file_is_met_once(tmp_path: Path) -> None:
    make(tmp_path, "real.log")
    (tmp_path / "hard.log").hardlink_to(tmp_path / "real.log")
    (tmp_path / "soft.log").symlink_to("real.log")
    (tmp_path / "broken.log").symlink_to("nothing")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "self").symlink_to("self")
    found = discover([source(tmp_path), source(tmp_path / "**")])
    assert len(found.files) == 1
    assert {one.path.rpartition(b"/")[2] for one in found.findings} >= {b"broken.log", b"self"}


@pytest.mark.parametrize("path", ["logs/current", "logs", "logs/cur*"])
def test_a_link_brings_the_generations_of_its_target_along(tmp_path: Path, path: str) -> None:
    make(tmp_path, "away/web.2024-01-01.log.gz", "away/web.2024-01-02.log", "away/other.log")
    make(tmp_path, "logs/web.2024-01-01.log", "logs/web.2024-01-02.log", "logs/other.log")
    for target in ("web.2024-01-02.log", "../away/web.2024-01-02.log"):
        link = tmp_path / "logs" / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        found = discover([source(tmp_path / path, "current")]).files
        where = (tmp_path / "logs" / target).parent
        assert [name.removesuffix(".gz") for name in names(found, where.resolve())] == [
            "web.2024-01-01.log",
            "web.2024-01-02.log",
        ]
    alone = discover([source(tmp_path / path, "current")], generations=False).files
    assert names(alone, tmp_path) == ["away/web.2024-01-02.log"]


def test_what_is_no_regular_file_is_said_and_never_opened(tmp_path: Path) -> None:
    make(tmp_path, "a.log")
    os.mkfifo(tmp_path / "pipe.log")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.fspath(tmp_path / "s.log"))
        found = discover([source(tmp_path), source(tmp_path / "pipe.log")])
    assert names(found.files, tmp_path) == ["a.log"]
    assert sorted({one.what for one in found.findings}) == [
        "passed over: a FIFO, not a regular file",
        "passed over: a socket, not a regular file",
    ]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("*/*.log", ["Too many levels of symbolic links"]),
        ("loop/*.log", ["Too many levels of symbolic links"]),
        ("gone/*.log", []),
        ("syslog/*.log", []),
    ],
)
def test_a_glob_tells_of_directories_that_cannot_be_listed_and_not_of_files_beside_them(
    tmp_path: Path, pattern: str, said: list[str]
) -> None:
    make(tmp_path, "syslog", "x/access.log")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nothing")
    found = discover([source(tmp_path / pattern)])
    assert [one.what for one in found.findings] == said
    assert os.fsencode(tmp_path / "syslog") not in found.directories


def test_names_are_bytes_and_are_shown_escaped(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/a\n\xff\x1b[31m.log"
    with open(odd, "wb") as file:  # noqa: PTH123 - the name is bytes
        file.write(b"x")
    os.mkfifo(odd + b".fifo")
    found = discover([source(tmp_path)])
    assert [one.path for one in found.files] == [odd]
    assert str(found.findings[0]).isprintable()
    assert "a\\n\\udcff\\x1b[31m.log.fifo" in str(found.findings[0])


def test_a_name_with_a_pattern_in_it_is_a_name_if_the_file_exists(tmp_path: Path) -> None:
    make(tmp_path, "a[1].log", "a1.log")
    assert names(discover([source(tmp_path / "a[1].log")]).files, tmp_path) == ["a[1].log"]


def test_ten_thousand_files_are_found(tmp_path: Path) -> None:
    for i in range(10_000):
        (tmp_path / f"site{i}.log").touch()
    assert len(discover([source(tmp_path)]).files) == 10_000


def test_a_directory_is_listed_once_for_all_the_logs_that_are_named_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *(f"site{i}.log{rotated}" for rotated in (".1", "") for i in range(20)))
    os.utime(tmp_path, (1_700_000_000, 1_700_000_000))
    listed: list[object] = []
    scandir = os.scandir

    def noted(path: bytes) -> object:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    sources = [source(tmp_path / f"site{i}.log") for i in range(10)]
    sources += [source(tmp_path / f"site{i}.l*g") for i in range(10, 20)]
    assert len(discover(sources).files) == 40
    assert listed == [os.fsencode(tmp_path)]


def test_a_log_that_is_rotated_amid_the_look_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.log", "b.log")
    os.utime(tmp_path, (1_700_000_000, 1_700_000_000))
    scandir = os.scandir

    def then_rotate(path: bytes) -> object:
        with scandir(path) as entries:
            found = list(entries)
        if not (tmp_path / "b.log.1").exists():
            (tmp_path / "b.log").rename(tmp_path / "b.log.1")
            (tmp_path / "b.log").write_text("new")
        return nullcontext(found)

    monkeypatch.setattr(os, "scandir", then_rotate)
    found = discover([source(tmp_path / "a.log"), source(tmp_path / "b.log")]).files
    assert sorted(names(found, tmp_path)) == ["a.log", "b.log", "b.log.1"]


def test_only_what_is_required_must_exist(tmp_path: Path) -> None:
    assert len(discover([source(tmp_path / "no.log")]).findings) == 1
    assert discover([source(tmp_path / "no*.log")]).findings == []
    with pytest.raises(UsageError, match=r"no\.log"):
        discover([source(tmp_path / "no.log")], required=True)


def test_a_directory_is_believed_to_be_as_it_was_only_when_its_time_stood_still_for_a_while(
    tmp_path: Path,
) -> None:
    """Within a tick of its file system's clock, a second new file leaves its time as it is."""
    times = DirectoryTimes()

    def look(now: float) -> bool:
        times.before(now)
        times.after({os.fsencode(tmp_path)})
        return times.may_have_changed()

    assert look(100.0)
    assert look(100.5)
    assert look(101.0)
    assert not look(103.0)
    os.utime(tmp_path, (1, 1))
    assert times.may_have_changed()
    assert look(104.0)
    assert look(105.5)
    assert not look(106.5)
