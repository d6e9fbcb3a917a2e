"""One hit in Umami's words: url, referrer, language and texts that it can store.

What Umami would answer with 400, or with a 500 that never passes, is repaired here where the
repair keeps the meaning. What it refuses was found by experiment with Umami 3.1
(tests/data/umami-exchanges.jsonl has some of it).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from ingestor.pageviews.queries import MAX_QUERY, shortened
from ingestor.pageviews.remembered import Remembered
from ingestor.pageviews.sites import MAX_LANGUAGE, ORDINARY_HOST, spells_names

if TYPE_CHECKING:
    from ingestor.pageviews.queries import Queries

MAX_PATH = 500  # UTF-16 units of the decoded path that Umami keeps
MAX_REFERRER = 4096  # characters looked at
MAX_REFERRER_HOST = 253  # characters of a DNS name
MAX_USER_AGENT = 1024  # characters

_ABSOLUTE = re.compile(r"https?://[^/?#\\]*", re.IGNORECASE)
# No %, no //, no parameters.
_ORDINARY_PATH = re.compile(r"/(?!/)[A-Za-z0-9_~.!$&'()*+,:@/-]{0,499}", re.ASCII)
_ORDINARY_QUERY = re.compile(r"[A-Za-z0-9_~.!$'()*+,:@/?%;=&\[\]|-]*", re.ASCII)
_ORDINARY_REFERRER = re.compile(
    rf"(https?://({ORDINARY_HOST})(?::\d{{1,4}})?)"
    r"(/[A-Za-z0-9_~.!$&'()*+,=:@/-]{0,499})?(?:\?([A-Za-z0-9_~.!$'()*+,:@/?%;=&\[\]|-]{0,2000}))?"
)
# What WHATWG's parser would drop, end the path at, or turn into a slash; quotes and spaces would
# end a value in a line. A caret is encoded by Node 24 and not by 22: where Umami cannot decode a
# path, what it stores would depend on that.
_UNSAFE = {
    ord(character): f"%{ord(character):02X}"
    for character in (*map(chr, range(0x21)), *"\x7f#\\\"'<>`^")
}
# Browsers send a grave accent and a caret in a query as they are.
_UNSAFE_IN_QUERY = {code: text for code, text in _UNSAFE.items() if chr(code) not in "`^"}
_REFERRER_SCHEME = re.compile(r"(?:https?|android-app)://[^/?#\\]", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # C1 as well: terminals obey U+009B
# Escapes that JavaScript's decodeURI, and so Umami, leaves as they are: of ;/?:@&=+$,#
_RESERVED = re.compile("%(2[346BCF]|3[ABDF]|40)", re.IGNORECASE)
_ENCODED_NUL = re.compile(r"%00|\0")


class Referrer(NamedTuple):
    """A referrer that may be sent, and its host in lower case without port ("" without one)."""

    url: str
    host: str


class Shaper:
    """Makes Umami's fields of a hit's; answers are remembered by value."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._is_ordinary: Remembered[str, bool] = Remembered(_is_ordinary_path, limit=16384)
        self._stays: Remembered[str, bool] = Remembered(queries.stays, limit=4096, longest=128)
        self._referrers: Remembered[str, Referrer] = Remembered(self._referrer, limit=4096)
        self._languages: Remembered[str, str] = Remembered(language_of, limit=1024, longest=128)

    def url(self, target: str, hostname: str) -> str | None:
        """The ``url`` of a request target (origin or absolute form); None: never storable.

        The target has been judged before: `path_of` gives a path for it.
        """
        path, mark, query = target.partition("?")
        if self._is_ordinary[path] and (not mark or self._stays[query]):
            return target
        path, mark, query = origin_form(target).partition("?")
        if not self._is_ordinary[path]:
            repaired = self._path(path, hostname)
            if repaired is None:
                return None
            path = repaired
        if not mark:
            return path
        query = self._query(query)
        return f"{path}?{query}" if query else path

    def referrer(self, logged: str) -> Referrer:
        """The referrer as it may be sent: an absolute URL that WHATWG's parser takes, or ""."""
        return self._referrers[logged]

    def language(self, accept_language: str) -> str:
        """The first tag of Accept-Language in its canonical spelling, "" where there is none."""
        return self._languages[accept_language]

    def _path(self, path: str, hostname: str) -> str | None:
        path = encoded(readable(path))
        if _ENCODED_NUL.search(path) is not None:
            return None
        path = self._queries.mask_path(path)
        if len(path) > MAX_PATH:
            path = shortened_path(path)
        if path == "/undefined":
            return "/%75ndefined"  # Umami takes the plain spelling for a bug of its tracker
        if path.startswith("//"):
            # As a path its first segment would be taken for a host and lost.
            return f"https://{hostname}{path}" if hostname else "/" + path.lstrip("/")
        return path

    def _query(self, query: str) -> str:
        if _ORDINARY_QUERY.fullmatch(query) is None:
            query = readable(query).translate(_UNSAFE_IN_QUERY)
        return self._queries.clean(query)

    def _referrer(self, logged: str) -> Referrer:
        match = _ORDINARY_REFERRER.fullmatch(logged)
        if match is not None and len(match[2]) <= MAX_REFERRER_HOST:
            start, host, path, query = match.groups()
            path = self._queries.mask_path(path or "/")
        else:
            parts = _parsed(logged)
            if parts is None:
                return Referrer("", "")
            start, host, path, query = parts
            if _ENCODED_NUL.search(path) is not None:
                path, query = "/", ""  # where the visitor came from stays known
            path = self._queries.mask_path(path)
            path = shortened_path(path) if len(path) > MAX_PATH else path
        if query:
            query = self._query(query)
        return Referrer(f"{start}{path}?{query}" if query else f"{start}{path}", host)


def _is_ordinary_path(path: str) -> bool:
    """Whether a path is sent as it stands: nothing in it to encode, decode or repair."""
    return _ORDINARY_PATH.fullmatch(path) is not None and path != "/undefined"


def _parsed(logged: str) -> tuple[str, str, str, str] | None:
    """Scheme and host, host, path, and query of an unusual referrer; None: no usable URL."""
    text = readable(logged[:MAX_REFERRER].strip())
    if _REFERRER_SCHEME.match(text) is None:
        return None
    import ada_url  # noqa: PLC0415 - 8 ms that most logs never need

    try:
        url = ada_url.URL(text)
    except ValueError:
        return None
    host = url.hostname.lower()
    if not host or len(host) > MAX_REFERRER_HOST or not spells_names(host):
        return None
    return f"{url.protocol}//{url.host}", host, url.pathname or "/", url.search[1:MAX_QUERY]


def origin_form(target: str) -> str:
    """Path and query of a target in origin or absolute form, beginning with a slash."""
    if target.startswith("/"):
        return target
    rest = _ABSOLUTE.sub("", target, count=1)
    return rest if rest.startswith("/") else "/" + rest


def absolute_host(target: str) -> str | None:
    """Host and port of a target in absolute form, None for any other."""
    match = _ABSOLUTE.match(target)
    return None if match is None else match[0].partition("://")[2].rpartition("@")[2]


def is_page_target(target: str) -> bool:
    """Whether a target is a path or an absolute http(s) URL, not ``*`` or ``host:port``."""
    return target.startswith("/") or absolute_host(target) not in (None, "")


def readable(text: str) -> str:
    """Bytes that are no UTF-8 (kept as surrogates) and other lone surrogates become U+FFFD."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # surrogates that no decoder of bytes makes, such as JSON's \\ud800
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encoded(text: str) -> str:
    """Percent-encode what WHATWG's parser would drop, or take for something else."""
    return text.translate(_UNSAFE)


def shortened_path(path: str) -> str:
    """A percent-encoded path, cut where Umami would cut it after decoding."""
    raw = unquote_to_bytes(_RESERVED.sub(r"%25\1", path))
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:  # Umami then keeps it as sent
        return re.sub(r"%[0-9A-Fa-f]?\Z", "", path[:MAX_PATH])
    cut = shortened(decoded, MAX_PATH)
    if cut == decoded:
        return path
    return quote(cut, safe="/~.!$&'()*+,;=:@-_")


def plain_text(text: str) -> str:
    """A text for people: no control characters, no lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(" ", readable(text))


def language_of(accept_language: str) -> str:
    """``en-us,en;q=0.9`` → ``en-US``; "" where no tag stands first."""
    tag = re.split(r"[,;]", accept_language[:256], maxsplit=1)[0].strip().replace("_", "-")
    if len(tag) > MAX_LANGUAGE or _LANGUAGE.fullmatch(tag) is None:
        return ""
    first, *rest = tag.split("-")
    return "-".join([first.lower(), *map(_subtag, rest)])


def _subtag(subtag: str) -> str:
    """BCP 47's customary case: regions in capitals, scripts with one."""
    if len(subtag) == 2:  # noqa: PLR2004 - a region
        return subtag.upper()
    if len(subtag) == 4 and subtag.isalpha():  # noqa: PLR2004 - a script
        return subtag.capitalize()
    return subtag.lower()
