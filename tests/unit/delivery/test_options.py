"""What delivery can be told, and what it must not tell."""

from __future__ import annotations

import pytest

from ingestor.delivery import DeliveryOptions, UmamiOptions
from ingestor.errors import UsageError


def test_secrets_show_nowhere() -> None:
    options = UmamiOptions(
        "https://stats.example.com/umami/",
        api_key="geheim3",
        username="admin",
        password="geheim4",  # noqa: S106 - the test is about it
    )
    assert "geheim" not in repr(options)
    assert options.shown == "https://stats.example.com/umami"


@pytest.mark.parametrize("url", [
    "", "stats.example.com", "ftp://x/", "https://", "http://x:port/", "http://a..example.com",
    "http://.example.com", f"http://{'a' * 64}.example.com",
])  # fmt: skip
def test_what_is_no_url_is_a_usage_error_that_says_how_it_looks(url: str) -> None:
    with pytest.raises(UsageError, match="https://umami"):
        UmamiOptions(url)


def test_a_port_that_is_none_is_not_told_as_a_wrong_scheme() -> None:
    with pytest.raises(UsageError, match="port up to 65535"):
        UmamiOptions("http://127.0.0.1:99999")


def test_an_api_key_that_no_header_can_carry_is_refused_without_showing_it() -> None:
    with pytest.raises(UsageError) as caught:
        UmamiOptions("https://x", api_key="geheim\n")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "both"},
        {"workers": 0},
        {"workers": 65},
        {"batch_size": 0},
        {"batch_size": 1001},
        {"pace": "quick"},
        {"background": "perhaps"},
        {"min_workers": 0},
        {"workers": 3, "min_workers": 4},
        {"min_batch_size": 0},
        {"max_rate": -1},
        {"linger": -1},
        {"timeout": 0},
        {"retry_min": 0},
        {"retry_min": 5, "retry_max": 4},
        {"dead_letter_max_bytes": 1},
        {"dead_letter_max_age": 0},
    ],
)
def test_a_wrong_option_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=rf"delivery\.{list(wrong)[-1]}"):
        DeliveryOptions(**wrong)  # type: ignore[arg-type]


def test_room_is_two_batches_a_worker() -> None:
    assert DeliveryOptions(workers=4, batch_size=50).room == 400


def test_by_default_a_backfill_stays_in_the_background_and_the_daemon_does_not() -> None:
    found = {
        background: [
            DeliveryOptions(background=background).in_background(backfill=backfill)  # type: ignore[arg-type]
            for backfill in (True, False)
        ]
        for background in ("backfill", "always", "never")
    }
    assert DeliveryOptions().background == "backfill"
    assert found == {
        "backfill": [True, False],
        "always": [True, True],
        "never": [False, False],
    }
