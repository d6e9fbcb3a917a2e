"""Query strings without what must not be kept: secrets, unwanted parameters, unstorable values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_plus

from ingestor.pageviews.patterns import Patterns
from ingestor.pageviews.remembered import Remembered

if TYPE_CHECKING:
    from ingestor.pageviews.options import PageViewOptions

MAX_QUERY = 4096  # characters; Umami keeps 500, and finds campaigns beyond them
MAX_CAMPAIGN = 255  # UTF-16 units of a decoded value; more is a 500 that never passes
# Umami keeps these in columns of their own (umami-api.md, "500 that never succeeds").
CAMPAIGN = frozenset(
    "utm_source utm_medium utm_campaign utm_content utm_term "
    "gclid fbclid msclkid ttclid li_fat_id twclid".split()
)
_NUL = re.compile(r"%00|\0")

# Pairs with nothing in them that could be another pair or its beginning.
_SIMPLE = re.compile(
    r"[\w~.!$()*+,:@/|-]++(?:=[\w~.!$()*+,:@/|-]*+)?"
    r"(?:&[\w~.!$()*+,:@/|-]++(?:=[\w~.!$()*+,:@/|-]*+)?)*",
    re.ASCII,
)

# A parameter after a plain separator: its value ends at the next "&". JSON logs of Go programs
# write "&" as \u0026. Names never span separators, so the search is linear.
_PLAIN = re.compile(r"""([?&;]|\\u0026)([^\s=&;?"\\]++)=([^\s&"\\]*+)""")
# One inside of another's value: separators percent-encoded, once or oftener, or a second "?" or
# ";". What was encoded for the outer value ends the inner one.
_NESTED = re.compile(
    r"""([?&;]|%(?:25)*(?:3[FfBb]|26|23))((?:[^\s=&;?"\\%]|%(?!(?:25)*(?:3[BbDdFf]|26|23)))+)"""
    r"""(=|%(?:25)*3[Dd])((?:[^\s&;"\\%]|%(?!(?:25)*(?:26|23|3[Bb])))*)"""
)
_SEGMENT_PARAMETERS = re.compile(r";|%3[Bb]")


class Queries:
    """Cleans queries as configured; names are judged once and remembered."""

    def __init__(self, options: PageViewOptions) -> None:
        self._strip = Patterns(options.strip_query, "pageviews.strip_query")
        self._secret = Patterns(
            options.secret_parameters if options.mask_secrets else (),
            "pageviews.secret_parameters",
        )
        self.masks = bool(self._secret)
        self._is_secret: Remembered[str, bool] = Remembered(
            lambda name: self._secret.match(unquote_plus(name).strip()), limit=4096, longest=128
        )
        self._is_stripped: Remembered[str, bool] = Remembered(
            lambda name: self._strip.match(unquote_plus(name)), limit=4096, longest=128
        )

    def clean(self, query: str) -> str:
        """The query (without "?") as it may be sent.

        Characters that would end it or vanish have been percent-encoded by the caller.
        """
        if "=" in query or self._strip:
            if self._strip:
                query = "&".join(
                    pair
                    for pair in query.split("&")
                    if not self._is_stripped[pair.partition("=")[0]]
                )
            if not self._is_harmless(query):
                query = self.mask("?" + query)[1:]
        if len(query) > MAX_CAMPAIGN or "%00" in query or "\0" in query:
            query = "&".join(_storable(pair) for pair in query.split("&"))
        if len(query) > MAX_QUERY:
            query = query[:MAX_QUERY].rpartition("&")[0] or query[:MAX_QUERY]
        return query

    def mask(self, text: str) -> str:
        """Any text, perhaps a whole line, with the values of secret parameters taken out."""
        if not self.masks:
            return text
        return _PLAIN.sub(self._mask_plain, text)

    def stays(self, query: str) -> bool:
        """Tell quickly that `clean` would give the query back as it is; False: perhaps."""
        return not self._strip and len(query) <= MAX_CAMPAIGN and self._is_harmless(query)

    def _is_harmless(self, query: str) -> bool:
        """Tell quickly that `mask` would change nothing; False: perhaps."""
        if _SIMPLE.fullmatch(query) is None:
            return False
        is_secret = self._is_secret
        for pair in query.split("&"):
            name, sign, _ = pair.partition("=")
            if sign and is_secret[name]:
                return False
        return True

    def mask_path(self, path: str) -> str:
        """The same for the parameters of path segments, as in ``/page;jsessionid=…``."""
        if not self.masks or _SEGMENT_PARAMETERS.search(path) is None:
            return path
        return _NESTED.sub(self._mask_nested, path)

    def _mask_plain(self, match: re.Match[str]) -> str:
        separator, name, value = match.groups()
        if self._is_secret[name]:
            return f"{separator}{name}="
        if "=" in value or "%" in value:
            # A value may begin with a pair: it stands behind a separator then, too.
            return f"{separator}{name}={_NESTED.sub(self._mask_nested, f'?{value}')[1:]}"
        return match[0]

    def _mask_nested(self, match: re.Match[str]) -> str:
        separator, name, sign, _ = match.groups()
        return f"{separator}{name}{sign}" if self._is_secret[name] else match[0]


def _storable(pair: str) -> str:
    """A parameter whose value Umami can keep: campaign values without NUL and not too long."""
    name, sign, value = pair.partition("=")
    if not sign or unquote_plus(name).strip().lower() not in CAMPAIGN:
        return pair
    decoded = unquote_plus(value)
    cut = shortened(decoded.replace("\0", ""), MAX_CAMPAIGN)
    return pair if cut == decoded else f"{name}={quote_plus(cut)}"


def shortened(text: str, units: int) -> str:
    """The text cut to so many UTF-16 units, as JavaScript counts, never inside a character."""
    if len(text) <= units // 2 or (len(text) <= units and text.isascii()):
        return text
    return text.encode("utf-16-le", "replace")[: 2 * units].decode("utf-16-le", "ignore")
