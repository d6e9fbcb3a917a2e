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
# Umami keeps these in columns of their own (found by experiment with 3.1).
CAMPAIGN = frozenset(
    "utm_source utm_medium utm_campaign utm_content utm_term "
    "gclid fbclid msclkid ttclid li_fat_id twclid".split()
)
_NUL = re.compile(r"%00|\0")

# Pairs with nothing in them that could be another pair or its beginning.
_SIMPLE = re.compile(
    r"[\w~.!$()*+,:@|-]++(?:=[\w~.!$()*+,:@/|-]*+)?"
    r"(?:&[\w~.!$()*+,:@|-]++(?:=[\w~.!$()*+,:@/|-]*+)?)*",
    re.ASCII,
)

# The beginning of a parameter, in a URL or in a whole line: what stands before it, its name, and
# its sign. Separators may be percent-encoded, once or oftener, as inside of another's value; JSON
# logs of Go programs write "&" as \u0026; and a field of a line may begin with a parameter, as
# cookies and W3C's queries do. Names never span separators, so the search is linear.
_ENCODED = r"%(?:25)*(?:3[BbDdFf]|26|23|2[Ff])"
_PARAMETER = re.compile(
    rf"""(^|[?&;#/="\s]|\\u0026|{_ENCODED})"""
    rf"""((?:[^?&;#/="\s\\%]++|(?!{_ENCODED})%)+)"""
    r"""(=|\\u003[Dd]|%(?:25)*3[Dd])"""
)
# Its value ends at the next "&", and with the field; what a server has escaped belongs to it.
_ESCAPED = r"\\(?!u0026)."
_VALUE = re.compile(rf"""(?:[^&"\s\\]++|{_ESCAPED})*""")
# Of one that was encoded for another's value, or stands in a segment of a path: at any separator.
_INNER_VALUE = re.compile(rf"""(?:[^&;"\s\\%]++|%(?!(?:25)*(?:26|23|3[Bb]))|{_ESCAPED})*""")
# Of one that is a segment of a path: what stands behind it is another.
_SEGMENT = re.compile(rf"""(?:[^&;/?#"\s\\%]++|%(?!(?:25)*(?:26|23|3[Bb]|2[Ff]))|{_ESCAPED})*""")
# A parameter of a query as it stands in a line, also one without a value.
_IN_LINE = re.compile(
    rf"""((?<=[?&])|(?<=\\u0026)|(?:^|(?<=["\s]))(?=[^?&;#/="\s\\]++=))"""
    rf"""((?:[^&="\s\\]++|{_ESCAPED})*)(?:={_VALUE.pattern})?"""
)
# Name and password before a host; Python's and PHP's JSON write slashes as they please.
_USER_INFO = re.compile(r"""(:(?:\\?/){2})[^/?#"\s\\]*@""")


class Queries:
    """Cleans queries as configured; names are judged once and remembered."""

    def __init__(self, options: PageViewOptions) -> None:
        self._strip = Patterns(options.strip_query, "pageviews.strip_query")
        self._secret = Patterns(
            options.secret_parameters if options.mask_secrets else (),
            "pageviews.secret_parameters",
        )
        self.masks = bool(self._secret)
        self.masks_lines = self.masks or bool(self._strip)
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
        if self._strip:
            query = "&".join(
                pair for pair in query.split("&") if not self._is_stripped[pair.partition("=")[0]]
            )
        if ("=" in query or "%" in query) and not self._is_harmless(query):
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
        parts = []
        kept = at = 0
        while match := _PARAMETER.search(text, at):
            separator, name, sign = match.groups()
            at = match.start(3)  # the sign may be the separator before a pair in the value
            if self._is_secret[name]:
                value = _value_behind(separator, sign).match(text, match.end())
                parts.append(text[kept : match.end()])
                kept = at = match.end() if value is None else value.end()
        return "".join((*parts, text[kept:]))

    def mask_line(self, line: str) -> str:
        """A whole line, without what a URL in it would be sent without."""
        if self._strip:
            line = _IN_LINE.sub(lambda match: "" if self._is_stripped[match[2]] else match[0], line)
        if self.masks and "@" in line:
            line = _USER_INFO.sub(r"\1", line)
        return self.mask(line)

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
        """The same for what stands in a path, as in ``/page;jsessionid=…`` or ``/page%3Fkey=…``."""
        return self.mask(path) if "=" in path or "%" in path else path


def _value_behind(separator: str, sign: str) -> re.Pattern[str]:
    """Choose how far a parameter's value reaches, by what stands before and behind its name."""
    if separator == "/" or separator[-2:] in {"2f", "2F"}:
        return _SEGMENT
    is_outer = sign == "=" and separator != ";" and not separator.startswith("%")
    return _VALUE if is_outer else _INNER_VALUE


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
