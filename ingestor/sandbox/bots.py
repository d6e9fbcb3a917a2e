"""Is a user agent a bot's? The sandbox's own judge, in place of the npm package isbot.

Three questions, any of which convicts: does it use a word of the robots' trade, has it a shape
that no browser's has, does the maintained list `crawler-user-agents` know it. Close to isbot and
not equal to it; ``SandboxOptions.is_bot`` takes another judge. The time for one user agent is
bounded: it is cut before it is judged, and no pattern can run away on it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from ingestor import crawlers

LONGEST: Final = 2000  # characters that are looked at
_ENDLESS: Final = 50  # characters of a single word that no browser has

# Phones, apps and libraries of people that carry a word of the trade in their name.
_INNOCENT: Final = (
    "cubot",
    "camscanner",
    "newssapphire",
    "googleapp",
    "googlewv",
    "google pixel",
    "google/google",
    "channel/google",
    "gnews",
    "libhttp",
    "java;",
)
_ANYWHERE: Final = (
    *("crawl", "spider", "scrap", "slurp", "harvest", "archiv", "fetcher", "grabber", "retriever"),
    *("robot", "bot/", "bot-", "bot;", "bots", "capture", "scanner", "news", "feed", "preview"),
    *("parser", "classifier", "checker", "validator", "analyzer", "inspect", "detect", "measure"),
    *("insight", "optimiz", "discovery", "advisor", "abuse", "radar", "burp", "audit"),
    *("headless", "phantomjs", "selenium", "playwright", "puppeteer", "cypress/", "lighthouse"),
    *("pagespeed", "pageburst", "synthetic", "chromeframe", "download", "getter", "torrent"),
    *("transcoder", "proxy", "server", "manager", "tools", "library", "http", "mail.ru/", "google"),
    *("sogou", "nutch", "pingdom", "statuscake", "wappalyzer", "datanyze", "hubspot", "cloudflare"),
    *("catch", "|", "()", "java"),
)
_WORD: Final = re.compile(
    r"(?:bot|scan|rss|url|perl|node|agent|monitor|check|splash|rigor|daum|pinger)\b"
    r"|\b(?:bot|scan|rss|url|google|bot_\w*)\b|bot_|\brss|\w\.com\b|\b\w+\.ai\b|@[a-z][\w-]+\."
)
_FIRST: Final = (
    *("python", "php", "ruby", "wget", "curl", "jetty", "apache", "boto", "go-", "azure", "clamav"),
    *("facebook", "yahoo", "yandex", "duckduckgo", "ddg_", "whatsapp", "snapchat", "w3c", "svn"),
    *("wordpress", "postman", "claude", "openai", "search", "<", "(", ";", "$", "'", '"'),
)
_VAGUE: Final = (  # patterns of the list that convict people's browsers, too
    *("Sonic", "008\\/", "Fluid", "Viber", "Code\\/1\\.", "Trae\\/", "ZyBorg"),
    *("MetaIAB Facebook", "AP3A\\.240617\\.008", "TSM-turingos"),
)

_PRODUCT: Final = re.compile(r"[^/()\[\]{};,=]*(?:/v?[\d.]*\w*)?", re.ASCII)
_NUMBER: Final = re.compile(r"\d+\b")
_LONE: Final = re.compile(r"[\w.\-]+/\d[\d.]* \([\w@]+\)")
_COMMENT: Final = re.compile(r"mozilla/\d\.\d \(([^()]*)\)")


def is_bot(user_agent: str) -> bool:
    """Whether Umami would drop the page view; an empty user agent is not judged a bot."""
    text = user_agent[:LONGEST]
    if not text:
        return False
    lower = text.lower()
    return _has_the_shape(lower) or _says_so(lower) or _is_listed(text)


def _says_so(lower: str) -> bool:
    for name in _INNOCENT:
        if name in lower:
            lower = lower.replace(name, "")
    if lower.startswith(_FIRST) or _NUMBER.match(lower):
        return True
    return any(word in lower for word in _ANYWHERE) or _WORD.search(lower) is not None


def _has_the_shape(lower: str) -> bool:
    """A browser names itself, its system in brackets and its engine; a program only itself."""
    if " " not in lower and len(lower) >= _ENDLESS:
        return True
    head = lower.partition(",")[0]
    if head.startswith("mozilla/") and head.count("/") == 1 and "(" not in head:
        return True  # Mozilla/5.0, and perhaps a word
    if _PRODUCT.fullmatch(head):
        return True  # a few words, or one product with its version
    if _LONE.fullmatch(lower):
        return True  # Name/1.0 (word)
    comment = _COMMENT.fullmatch(lower)
    if comment is None:
        return False
    said = comment[1].removeprefix("compatible;").strip()
    return " " not in said and (not said or "/" in said)  # Mozilla/5.0 (compatible; Name/1.0)


@cache
def _listed() -> tuple[tuple[str, ...], tuple[re.Pattern[str], ...]]:
    """The maintained list: names to look for as they are, and real patterns.

    It is read at the first use: loading it takes longer than a command may take to start.
    """
    names, patterns = [], []
    for pattern in crawlers.patterns():
        if pattern in _VAGUE:
            continue
        if re.fullmatch(r"(?:[\w\s/\-:;,!@#&'\"=~<>%]|\\[^\w\s])+", pattern):
            names.append(re.sub(r"\\(.)", r"\1", pattern))
        else:
            patterns.append(pattern)
    return tuple(names), tuple(re.compile(pattern) for pattern in patterns)


def _is_listed(text: str) -> bool:
    names, patterns = _listed()
    return any(name in text for name in names) or any(
        pattern.search(text) is not None for pattern in patterns
    )
