"""A coarse guess at browser, system and device, so that a trial's read-outs are not empty.

Umami uses three npm packages for it; here are the families that matter, by their names. Country
and city stay empty: the sandbox has no geographic data.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from ingestor.sandbox.javascript import to_number

LAPTOP_WIDTH: Final = 1920  # Umami: a desktop with a screen up to this wide is a laptop


class Agent(NamedTuple):
    """What a user agent tells; None where it tells nothing."""

    browser: str | None
    os: str | None
    device: str


_BROWSERS: Final = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("edge", r"\bEdge/\d"),
        ("edge-ios", r"\bEdgiOS/\d"),
        ("yandexbrowser", r"\bYaBrowser/\d"),
        ("kakaotalk", r"\bKAKAOTALK\b"),
        ("samsung", r"\bSamsungBrowser/\d"),
        ("silk", r"\bSilk/\d"),
        ("miui", r"\bMiuiBrowser/\d"),
        ("edge-chromium", r"\bEdgA?/\d"),
        ("instagram", r"\bInstagram \d"),
        ("facebook", r"\bFB[AS]V/\d"),
        ("chromium-webview", r"(?!.*\bOPR/).*; wv\).*\bChrome/\d"),
        ("opera", r"\b(?:OPR|Opera)/\d"),
        ("chrome", r"\b(?:Chrome|Chromium)/\d"),
        ("crios", r"\bCriOS/\d"),
        ("fxios", r"\bFxiOS/\d"),
        ("opera-mini", r"\bOpera Mini\b"),
        ("firefox", r"\bFirefox/\d"),
        ("ie", r"\bMSIE \d|\bTrident/7"),
        ("ios", r"\bVersion/[\d.]+ Mobile/\S+ Safari/|\bVersion/[\d.]+ Mobile/\S+ ?$"),
        ("safari", r"\bVersion/[\d.]+.*\bSafari/"),
        ("ios-webview", r"\bAppleWebKit/[\d.]+.*\bMobile\b"),
    )
)
_SYSTEMS: Final = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("iOS", r"\b(?:iPhone|iPad|iPod)\b"),
        ("Android OS", r"\bAndroid\b"),
        ("BlackBerry OS", r"\bBlackBerry\b|\bBB10\b"),
        ("Windows Mobile", r"\bIEMobile\b"),
        ("Windows 10", r"\bWindows NT 10\.0"),
        ("Windows 8.1", r"\bWindows NT 6\.3"),
        ("Windows 8", r"\bWindows NT 6\.2"),
        ("Windows 7", r"\bWindows NT 6\.1"),
        ("Windows Vista", r"\bWindows NT 6\.0"),
        ("Windows XP", r"\bWindows NT 5\.1"),
        ("Open BSD", r"\bOpenBSD\b"),
        ("Chrome OS", r"\bCrOS\b"),
        ("Linux", r"\bLinux\b|\bX11\b"),
        ("Mac OS", r"\bMac(?:intosh|_PowerPC| OS)"),
    )
)
_TABLET = re.compile(r"\biPad\b|\bTablet\b|\bAndroid(?!.*\bMobile\b)|\bKindle\b|\bSilk/")
_MOBILE = re.compile(r"\bMobi|\biPhone\b|\biPod\b|\bOpera Mini\b|\bBlackBerry\b|\bIEMobile\b")
_TELEVISION = re.compile(
    r"\b(?:Smart|SMART)-?TV\b|\bAppleTV\b|\bTizen\b.*\bTV\b|\bWeb0S\b|\bAFT[A-Z]\b"
)


@lru_cache(maxsize=16_384)
def agent(user_agent: str) -> Agent:
    """Browser, system and device kind by Umami's names for them."""
    text = user_agent[:1000]
    browser = next((name for name, pattern in _BROWSERS if pattern.search(text)), None)
    system = next((name for name, pattern in _SYSTEMS if pattern.search(text)), None)
    return Agent(browser, system, _device(text))


def _device(text: str) -> str:
    if _TELEVISION.search(text):
        return "smarttv"
    if _TABLET.search(text):
        return "tablet"
    return "mobile" if _MOBILE.search(text) else "desktop"


def device_on(device: str, screen: str) -> str:
    """The device as Umami stores it: a screen up to 1920 wide turns a desktop into a laptop."""
    if device == "desktop" and screen and to_number(screen.split("x", 1)[0]) <= LAPTOP_WIDTH:
        return "laptop"
    return device
