"""The sandbox's own judge of user agents."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestor.sandbox.agents import agent, device_on
from ingestor.sandbox.bots import LONGEST, is_bot

VERDICTS = Path(__file__).parents[2] / "data" / "useragents.txt"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/138.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like"
    " Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
)

CUBOT = (
    "Mozilla/5.0 (Linux; Android 10; CUBOT X30) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/120.0.0.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize(
    "user_agent",
    [
        *("-", "x", "Mozilla/5.0", "curl/8.1.2", "${jndi:ldap://x}", "Googlebot/2.1"),
        *("python-requests/2.31.0", "Python/3.11 aiohttp/3.9.1", "Go-http-client/2.0"),
        *("okhttp/4.9.3", "Wget/1.21", "python-httpx/0.27.0", "Feedly/1.0"),
        CHROME.replace("Chrome/", "HeadlessChrome/"),
        "Mozilla/5.0 (compatible; SomethingBot/1.0; +https://example.test/bot)",
        "Mozilla/5.0 (compatible; Name/1.0)",
    ],
)
def test_programs_are_bots(user_agent: str) -> None:
    assert is_bot(user_agent)


@pytest.mark.parametrize(
    "user_agent",
    [
        CHROME,
        IPHONE,
        CHROME + " Edg/138.0.0.0",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Lynx/2.8.9rel.1 libwww-FM/2.14",
        CUBOT,
        "",
    ],
)
def test_people_are_not(user_agent: str) -> None:
    assert not is_bot(user_agent)


def test_the_judge_agrees_with_isbot_nearly_always() -> None:
    if not VERDICTS.exists():
        pytest.skip("the list of verdicts is not in tests/data")
    rows = [line.split("\t", 1) for line in VERDICTS.read_text("utf-8").splitlines()]
    people = [text for verdict, text in rows if verdict == "human"]
    wrong = [text for verdict, text in rows if is_bot(text) != (verdict == "bot")]
    assert len(wrong) <= len(rows) * 0.015
    assert sum(map(is_bot, people)) <= len(people) * 0.005


def test_only_the_beginning_of_an_endless_user_agent_is_looked_at() -> None:
    assert not is_bot(CHROME + " " * LONGEST + "Googlebot")


@pytest.mark.parametrize(
    ("user_agent", "browser", "system", "device"),
    [
        (CHROME, "chrome", "Windows 10", "desktop"),
        (CHROME + " Edg/138.0.0.0", "edge-chromium", "Windows 10", "desktop"),
        (CHROME + " OPR/100.0", "opera", "Windows 10", "desktop"),
        (IPHONE, "ios", "iOS", "mobile"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) Safari/538.1", None, "Linux", "smarttv"),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Version/17 Mobile/1 Safari/6",
            "ios",
            "iOS",
            "tablet",
        ),
        ("", None, None, "desktop"),
    ],
)
def test_browser_system_and_device_are_guessed(
    user_agent: str, browser: str | None, system: str | None, device: str
) -> None:
    assert agent(user_agent) == (browser, system, device)


@pytest.mark.parametrize(
    ("device", "screen", "stored"),
    [
        ("desktop", "1920x1080", "laptop"),
        ("desktop", "390x844", "laptop"),
        ("desktop", "xx", "laptop"),
        ("desktop", "wide", "desktop"),
        ("desktop", "2560x1440", "desktop"),
        ("desktop", "", "desktop"),
        ("mobile", "390x844", "mobile"),
    ],
)
def test_a_screen_up_to_1920_makes_a_laptop(device: str, screen: str, stored: str) -> None:
    assert device_on(device, screen) == stored
