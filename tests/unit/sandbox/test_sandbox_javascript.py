"""JavaScript's view of values, against what ECMA-262 says."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.sandbox.javascript import (
    UNDEFINED,
    civil_date,
    cut,
    decode_uri,
    decode_uri_component,
    iso_time,
    parse_json,
    to_number,
    to_text,
    type_of,
    units,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (None, 0),
        (True, 1),
        (False, 0),
        ("", 0),
        (" \t12\n", 12),
        ("0x10", 16),
        ("0b11", 3),
        ("1e3", 1000),
        (".5", 0.5),
        ("5.", 5),
        ("-7", -7),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ([], 0),
        ([5], 5),
        (["6"], 6),
        ([[7]], 7),
        (1.5, 1.5),
    ],
)
def test_a_value_becomes_the_number_that_javascript_makes_of_it(value: Any, number: float) -> None:
    assert to_number(value) == number


@pytest.mark.parametrize(
    "value", ["abc", "1_000", "1,5", "٣", "--1", "0x", {}, [1, 2], ["a"], "1 2"]
)
def test_what_is_no_number_is_nan(value: Any) -> None:
    assert math.isnan(to_number(value))


def test_types_have_the_words_of_a_validation_answer() -> None:
    values = [None, True, 1, 1.5, math.nan, "", [], {}, UNDEFINED]
    assert [type_of(value) for value in values] == [
        *("null", "boolean", "number", "number", "NaN"),
        *("string", "array", "object", "undefined"),
    ]
    assert repr(UNDEFINED) == "undefined"


def test_text_of_values() -> None:
    values = [True, None, 1.0, 1e21, {}, ["a", None, [1]]]
    assert [to_text(value) for value in values] == [
        *("true", "null", "1", "1e+21", "[object Object]", "a,,1"),
    ]


def test_lengths_count_utf_16_units_and_cuts_leave_no_half_of_a_pair() -> None:
    assert (units("é"), units("😀"), units("abc")) == (1, 2, 3)
    assert cut("abc", 2) == "ab"
    assert cut("éa", 2) == "éa"
    assert cut("😀😀", 3) == "😀\ufffd"
    assert cut("😀😀", 4) == "😀😀"


@given(st.text(), st.integers(0, 20))
def test_a_cut_is_never_longer_than_its_limit(text: str, limit: int) -> None:
    assert units(cut(text, limit)) <= limit
    assert cut(text, units(text)) == text


@pytest.mark.parametrize(
    ("encoded", "uri", "component"),
    [
        ("/a%20b", "/a b", "/a b"),
        ("%2F%2f%3A", "%2F%2f%3A", "//:"),
        ("%E2%98%83", "☃", "☃"),
        ("%E2%98%83%2F", "☃%2F", "☃/"),
        ("%2525", "%25", "%25"),
        ("%ff", "%ff", "%ff"),
        ("%C0%80", "%C0%80", "%C0%80"),
        ("%ED%A0%80", "%ED%A0%80", "%ED%A0%80"),
        ("%E2%98", "%E2%98", "%E2%98"),
        ("%E2%2F%98%83", "%E2%2F%98%83", "%E2%2F%98%83"),
        ("a%", "a%", "a%"),
        ("%zz%20", "%zz%20", "%zz%20"),
        ("%00", "\0", "\0"),
        ("plain", "plain", "plain"),
    ],
)
def test_escapes_are_undone_as_javascript_undoes_them(
    encoded: str, uri: str, component: str
) -> None:
    assert decode_uri(encoded) == uri
    assert decode_uri_component(encoded) == component


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[1]", [1]),
        (b"\xef\xbb\xbf{}", {}),
        (b'"\xff"', "\ufffd"),
        (b'{"a":["\\ud83d"]}', {"a": ["\ufffd"]}),
        (b"[1e999]", [math.inf]),
        (b"[123456789012345678901234567890, 1e999]", [1.2345678901234568e29, math.inf]),
        (b"", UNDEFINED),
        (b"[1,]", UNDEFINED),
        (b"NaN", UNDEFINED),
        (b"[" * 200_000, UNDEFINED),
    ],
)
def test_a_body_is_parsed_as_javascript_parses_it(body: bytes, value: Any) -> None:
    assert parse_json(body) == value


@given(st.datetimes(min_value=datetime(1, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - naive bounds are hypothesis' own rule
def test_dates_agree_with_pythons_where_python_has_any(moment: datetime) -> None:
    seconds = math.floor(moment.timestamp())
    assert civil_date(seconds // 86_400) == (moment.year, moment.month, moment.day)
    shown = iso_time(seconds * 1000)
    assert shown == moment.replace(microsecond=0).strftime(f"{moment.year:04d}-%m-%dT%H:%M:%S.000Z")


def test_dates_go_on_where_pythons_end() -> None:
    assert iso_time(1_790_000_000_000_000) == "+058692-11-03T14:13:20.000Z"
    assert iso_time(-62_198_755_200_001) == "-000002-12-31T23:59:59.999Z"
