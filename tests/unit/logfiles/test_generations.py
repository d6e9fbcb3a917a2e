"""Names of logs, taken apart."""

from __future__ import annotations

import pytest

from ingestor.logfiles.generations import is_successor, parse


@pytest.mark.parametrize(
    ("name", "base", "kind"),
    [
        ("access.log", "access.log", "live"),
        ("access.log.1", "access.log", "number"),
        ("access.log.12.gz", "access.log", "number"),
        ("access.1.log.gz", "access.log", "number"),
        ("access.log.old", "access.log", "number"),
        ("access.log-20240131", "access.log", "date"),
        ("access.log-2024-01-31.zst", "access.log", "date"),
        ("access-20240131.log", "access.log", "date"),
        ("access.log-2024013123", "access.log", "date"),
        ("access.log-20240131-1706659200.gz", "access.log", "date"),
        ("access.log.2024-01-31_12-30-00", "access.log", "date"),
        ("access_log.1706659200", "access_log", "seconds"),
        ("access-2024-01-31T12-30-00.456.log.gz", "access.log", "date"),
        ("access-2024-01-31T12-30-00.456-size.log.gz", "access.log", "date"),
        ("access.log-2024013123.123", "access.log", "date"),
        ("access.log-202401", "access.log", "date"),
        ("access.log-2024-01.gz", "access.log", "date"),
        ("access-202401.log", "access.log", "date"),
        ("access-202401.log.1.gz", "access.log", "date"),
        ("access.log-2024-W05", "access.log", "date"),
        ("access.log-2024-53", "access.log", "date"),
        ("20240131-access.log", "access.log", "date"),
        ("2024-01-31_access.log.gz", "access.log", "date"),
        ("@4000000065ba3f1c12345678.s", "current", "seconds"),
        ("@4000000065ba3f1c12345678.u.gz", "current", "seconds"),
        ("2001.example.log", "2001.example.log", "live"),
        ("access.log-20241331", "access.log-20241331", "live"),
        ("client-202413.log", "client-202413.log", "live"),
        ("fair-202401.example.log", "fair-202401.example.log", "live"),
        ("fair-2024.10.log", "fair-2024.log", "number"),
    ],
)
def test_a_name_tells_the_log_and_how_its_generations_are_counted(
    name: str, base: str, kind: str
) -> None:
    generation = parse(name)
    assert (generation.base, generation.kind) == (base, kind)


@pytest.mark.parametrize(
    ("older", "younger"),
    [
        ("a.log.10.gz", "a.log.9"),
        ("a.log.1", "a.log.old"),
        ("a.log-20231231", "a.log-20240101.gz"),
        ("a.log-2024010109", "a.log-2024010110"),
        ("a.log-20240101.2", "a.log-20240101.1"),
        ("a_log.1706659200", "a_log.1706745600"),
        ("a-2024-01-31T12-30-00.456.log.gz", "a-2024-01-31T12-30-00.789.log"),
        ("a-2024-01-31T12-30-00.789.log", "a-2024-01-31T12-30-01.000.log"),
        ("a.log-202312.gz", "a.log-202401"),
        ("a.log-2023-W52", "a.log-2024-W01"),
        ("20240131-a.log", "20240201-a.log"),
        ("20240131.2.gz", "20240131.1"),
        ("20240131.1", "20240131"),
        ("@4000000065ba3f1c12345678.s", "@4000000065ba3f1d00000000.u"),
    ],
)
def test_a_smaller_rank_is_older(older: str, younger: str) -> None:
    assert parse(older).base == parse(younger).base
    assert parse(older).rank < parse(younger).rank


def test_only_the_live_file_succeeds_its_rotated_generations() -> None:
    assert is_successor("a.log", "a.log.1")
    assert not is_successor("a.log.1", "a.log")
    assert not is_successor("a.log.1", "a.log.2")
    assert not is_successor("a.log", "b.log.1")
    assert not is_successor("a.log", "a.log")
