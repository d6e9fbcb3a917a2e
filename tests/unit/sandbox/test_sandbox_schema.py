"""The validators, field by field, beyond what was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from ingestor.sandbox.schema import batch_errors, is_uuid, send_errors

WEBSITE = "4a4f0cc9-8ee5-42a6-9b80-36f63aa61362"
EXACTLY_ONE = "Exactly one of website, link, or pixel must be provided"


def errors(**payload: Any) -> Any:
    """The errors by field of a payload with a good website."""
    tree = send_errors({"type": "event", "payload": {"website": WEBSITE} | payload})
    if tree is None:
        return None
    assert tree["errors"] == []
    fields = tree["properties"]["payload"]
    assert fields["errors"] == []
    return {name: found["errors"] for name, found in fields["properties"].items()}


@pytest.mark.parametrize(
    "field", ["hostname", "language", "referrer", "screen", "title", "url", "name", "tag", "ip"]
)
@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (1, "number"), (True, "boolean"), ([], "array"), ({}, "object")],
)
def test_a_text_field_takes_text_alone(field: str, value: Any, kind: str) -> None:
    assert errors(**{field: value}) == {field: [f"Invalid input: expected string, received {kind}"]}


@pytest.mark.parametrize(
    ("field", "limit"),
    [("hostname", 100), ("language", 35), ("screen", 11), ("tag", 50), ("name", 50)],
)
def test_a_limit_counts_utf_16_units(field: str, limit: int) -> None:
    words = [f"Too big: expected string to have <={limit} characters"]
    assert errors(**{field: "x" * limit}) is None
    assert errors(**{field: "x" * (limit + 1)}) == {field: words}
    assert errors(**{field: "😀" * (limit // 2)}) is None
    assert errors(**{field: "😀" * (limit // 2 + 1)}) == {field: words}


@pytest.mark.parametrize("value", [0, -5, 1.0, "", "12", " 7 ", None, True, False, [], [3], "0x10"])
def test_a_timestamp_may_be_whatever_javascript_makes_an_integer_of(value: Any) -> None:
    assert errors(timestamp=value) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "Invalid input: expected number, received NaN"),
        ({}, "Invalid input: expected number, received NaN"),
        ([1, 2], "Invalid input: expected number, received NaN"),
        ("Infinity", "Invalid input: expected number, received number"),
        (1.5, "Invalid input: expected int, received number"),
        ("1.5", "Invalid input: expected int, received number"),
        (2**53, "Too big: expected int to be <=9007199254740991"),
        (-(2**53), "Too small: expected int to be >=-9007199254740991"),
    ],
)
def test_other_timestamps_are_refused(value: Any, words: str) -> None:
    assert errors(timestamp=value) == {"timestamp": [words]}


@pytest.mark.parametrize(
    "value",
    ["//", "///", "//[", "http://", "https://h:99999/", "https://exa mple.com/", "https://%/"],
)
@pytest.mark.parametrize("field", ["url", "referrer"])
def test_what_whatwg_refuses_is_no_url(field: str, value: str) -> None:
    assert errors(**{field: value}) == {field: ["Invalid URL."]}


@pytest.mark.parametrize("value", ["", "*", "a b", "/\0", "host:443", "\t/x\n", "?q", "mailto:x"])
def test_nearly_anything_else_is_one(value: str) -> None:
    assert errors(url=value, referrer=value) is None


def test_data_is_an_object() -> None:
    assert errors(data={"a": [1]}) is None
    assert errors(data=[1]) == {"data": ["Invalid input: expected record, received array"]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1, "Too small: expected number to be >=0"),
        (60_001, "Too big: expected number to be <=60000"),
        ("5", "Invalid input: expected number, received string"),
        (True, "Invalid input: expected number, received boolean"),
        (float("inf"), "Invalid input: expected number, received number"),
    ],
)
def test_web_vitals_have_bounds(value: Any, words: str) -> None:
    assert errors(lcp=value) == {"lcp": [words]}
    assert errors(lcp=0.5) is None


def test_exactly_one_of_website_link_and_pixel_is_given() -> None:
    assert send_errors({"type": "event", "payload": {}}) == {
        "errors": [],
        "properties": {
            "payload": {"errors": [], "properties": {"website": {"errors": [EXACTLY_ONE]}}}
        },
    }
    assert errors(link=WEBSITE) == {"website": [EXACTLY_ONE]}
    assert errors(website="") == {"website": ["Invalid UUID", EXACTLY_ONE]}


def test_a_wrong_type_hides_the_rule_about_all_fields_and_a_wrong_length_does_not() -> None:
    missing = {"type": "event", "payload": {"url": 5}}
    tree = send_errors(missing)
    assert tree is not None
    assert list(tree["properties"]["payload"]["properties"]) == ["url"]
    tree = send_errors({"type": "event", "payload": {"screen": "x" * 12}})
    assert tree is not None
    assert list(tree["properties"]["payload"]["properties"]) == ["screen", "website"]


@pytest.mark.parametrize(
    ("body", "kind"), [(None, "null"), ([], "array"), ("x", "string"), (1, "number")]
)
def test_a_body_that_is_no_object(body: Any, kind: str) -> None:
    words = f"Invalid input: expected object, received {kind}"
    assert send_errors(body) == {"errors": [words]}
    tree = send_errors({"type": "event", "payload": body})
    assert tree is not None
    assert tree["properties"]["payload"] == {"errors": [words]}


def test_type_and_payload_are_told_together() -> None:
    tree = send_errors({"type": 5, "payload": 5})
    assert tree is not None
    assert list(tree["properties"]) == ["type", "payload"]


def test_fields_that_an_old_server_does_not_know_are_not_looked_at() -> None:
    body = {"type": "event", "payload": {"website": WEBSITE, "ip": 5, "timestamp": "x"}}
    assert send_errors(body, frozenset({"ip", "timestamp"})) is None


def test_a_batch_is_an_array_of_objects() -> None:
    assert batch_errors([]) is None
    assert batch_errors([{}, {"x": 1}]) is None
    assert batch_errors({}) == {"errors": ["Invalid input: expected array, received object"]}
    tree = batch_errors([None, {}])
    assert tree is not None
    assert tree["items"] == [{"errors": ["Invalid input: expected record, received null"]}]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (WEBSITE, True),
        (WEBSITE.upper(), True),
        ("00000000-0000-0000-0000-000000000000", True),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", True),
        ("4a4f0cc9-8ee5-92a6-9b80-36f63aa61362", False),
        ("4a4f0cc9-8ee5-42a6-1b80-36f63aa61362", False),
        ("{4a4f0cc9-8ee5-42a6-9b80-36f63aa61362}", False),
        (WEBSITE + "\n", False),
    ],
)
def test_uuids_are_those_of_rfc_9562(text: str, right: bool) -> None:
    assert is_uuid(text) is right
