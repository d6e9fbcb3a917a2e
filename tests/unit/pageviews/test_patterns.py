"""Globs and regular expressions as an operator writes them."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.errors import ConfigError
from ingestor.pageviews.patterns import Patterns, is_pattern
from ingestor.pageviews.remembered import Remembered


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("/wp-login.php", "/wp-login.php", True),
        ("/wp-login.php", "/wp-login.phpx", False),
        ("/api/*", "/api/v1/x", True),
        ("/api/*", "/API/V1", True),
        ("/api/*", "/docs/api/", False),
        ("*.rss", "/a/b.RSS", True),
        ("*/wp-admin/*", "/blog/wp-admin/x", True),
        ("*/wp-admin/*", "/wp-admin/", True),
        ("*", "", True),
        ("/a?c", "/abc", True),
        ("/a?c", "/ac", False),
        ("*/sitemap*.xml", "/x/sitemap-1.xml", True),
        ("*/sitemap*.xml", "/x/sitemap-1.html", False),
        ("/[ab]/*", "/b/x", True),
        ("/[ab]/*", "/c/x", False),
        ("10.0.*.1", "10.0.7.1", True),
        (r"re:^/p/\d+$", "/p/12", True),
        (r"re:^/p/\d+$", "/P/12", False),
        ("re:(?i)^/p", "/P/12", True),
        ("re:middle", "in the middle of", True),
    ],
)
def test_a_pattern_matches_what_its_notation_says(
    pattern: str, value: str, *, expected: bool
) -> None:
    assert Patterns([pattern], "key").match(value) is expected


def test_no_patterns_match_nothing() -> None:
    assert not Patterns([], "key")
    assert not Patterns([], "key").match("")


@given(st.text("ab/*?.[]!", max_size=8), st.text("ab/.[]", max_size=8))
def test_quick_look_ups_agree_with_fnmatch(pattern: str, value: str) -> None:
    expected = fnmatch.fnmatchcase(value, pattern)
    assert Patterns([pattern], "key").match(value) is expected


def test_a_wrong_regular_expression_names_key_and_place() -> None:
    with pytest.raises(ConfigError, match=r"exclude_paths\[1\].*at character 3") as caught:
        Patterns(["/fine", "re:a(("], "pageviews.exclude_paths")
    assert caught.value.key == "pageviews.exclude_paths[1]"


@pytest.mark.parametrize("text", ["a{99999999999}", "(" * 1500 + ")" * 1500, "(?a)(?u)x", "(?L)x"])
def test_a_regular_expression_that_python_cannot_compile_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match=r"exclude_paths\[0\].* is no regular") as caught:
        Patterns([f"re:{text}"], "pageviews.exclude_paths")
    assert len(str(caught.value)) < 500


def test_answers_are_remembered_and_bounded() -> None:
    asked: list[str] = []

    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    remembered = Remembered(length, limit=2, longest=3)
    assert [remembered["a"], remembered["a"], remembered["bb"]] == [1, 1, 2]
    assert asked == ["a", "bb"]
    assert remembered["long one"] == remembered["long one"] == 8
    assert len(remembered) == 2
    assert remembered["ccc"] == 3
    assert dict(remembered) == {"ccc": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("www.example.com", False), ("*.example.com", True), ("a[12].example", True), ("re:^w", True)],
)
def test_a_glob_and_an_expression_stand_for_more_than_themselves(text: str, expected: bool) -> None:
    assert is_pattern(text) is expected
