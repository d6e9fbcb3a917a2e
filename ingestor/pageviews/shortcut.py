"""Page views straight from the raw columns of plain lines, without the hit in between.

What `Rules.page_view` says of a hit is looked up here by the bytes that the hit would be made
of: addresses, referrers and user agents come again and again. Whatever is out of the ordinary is
left to the hit. A test holds both to the same verdicts.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import orjson

from ingestor.model import Reason
from ingestor.pageviews.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from ingestor.model import Content
    from ingestor.pageviews.sites import Place

    Texts = Callable[[str], Sequence[bytes]]
    """The name of a column → its value in each of some lines.

    And ``target`` → what is asked for, or the whole request behind a space.
    """
    Found = Content | Reason | None
    Shortcut = Callable[[Texts, Sequence[int]], list[Found]]
    """The lines' columns and Unix seconds → their verdicts, None: make a hit of this one."""

_NOTHING = frozenset({b"", b"-"})
_PAGES = _NOTHING | {b"document", b"iframe"}  # Sec-Fetch-Dest


class RawReferrer(NamedTuple):
    """What a referrer as logged comes to."""

    excluded: bool
    url: str
    host: str


class _Referrer(NamedTuple):
    """The same, with the member for the body."""

    excluded: bool
    member: bytes
    host: str


class _Agent(NamedTuple):
    """A user agent as it is sent, and the member for the body."""

    text: str
    member: bytes


class Start(NamedTuple):
    """What page views of one place begin with."""

    website: str
    hostname: str
    own: Remembered[str, bool] | None  # hosts of its own (see `Place`)
    said: bytes  # the beginning of the body: what the place says but its language
    language: bytes  # the member
    start: bytes  # both


class RawValues:
    """Answers by raw bytes, remembered for all files together: members of the body in JSON."""

    def __init__(
        self,
        *,
        client: Callable[[str], str | None],
        referrer: Callable[[str], RawReferrer],
        url: Callable[[bytes], str | None],
        query_stays: Callable[[str], bool],
        user_agent: Callable[[str], str],
        language: Callable[[str], str],
    ) -> None:
        def address_of(raw: bytes) -> bytes | None:
            address = client(_text(raw))
            return _member("ip", address) if address else None if address is None else b""

        def referrer_of(raw: bytes) -> _Referrer:
            excluded, url, host = referrer(_text(raw))
            return _Referrer(excluded, _member("referrer", url), host)

        def url_of(raw: bytes) -> bytes | Reason | None:
            path, mark, query = raw.partition(b"?")
            if mark and stays[query] and not raw.startswith(b" "):
                start = urls[path]  # paths come again, whatever is asked of them
                return b'%b?%b"' % (start[:-1], query) if isinstance(start, bytes) else start
            found = url(raw)
            if isinstance(found, Reason):
                return found
            return None if found is None else _member("url", found)

        def stays_raw(raw: bytes) -> bool:
            return raw.isascii() and query_stays(raw.decode("ascii"))

        def agent_of(raw: bytes) -> _Agent:
            text = user_agent(_text(raw))
            return _Agent(text, _member("userAgent", text))

        def language_of(raw: bytes) -> bytes:
            tag = language(_text(raw))
            return _member("language", tag) if tag else b""

        self.addresses: Remembered[bytes, bytes | None] = Remembered(
            address_of, limit=32768, longest=64
        )
        self.referrers: Remembered[bytes, _Referrer] = Remembered(referrer_of, limit=4096)
        urls: Remembered[bytes, bytes | Reason | None] = Remembered(
            url_of, limit=16384, longest=256
        )
        stays: Remembered[bytes, bool] = Remembered(stays_raw, limit=4096, longest=128)
        self.urls = urls
        self.user_agents: Remembered[bytes, _Agent] = Remembered(agent_of, limit=8192)
        self.languages: Remembered[bytes, bytes] = Remembered(language_of, limit=1024, longest=128)


def shortcut(
    values: RawValues,
    columns: Mapping[str, int],
    starts: Remembered[bytes, Start | Reason],
    *,
    filter_prefetch: bool,
    filter_subresources: bool,
    since: int | None,
    until: int | None,
) -> Shortcut:
    """Give the function for lines with these columns; ``starts`` are those of their site.

    The request of a line has to be plain and judged already, as its status and user agent.
    """
    address_name = "address" if "address" in columns else "forwarded_for"
    hints = _hints(filter_prefetch=filter_prefetch, filter_subresources=filter_subresources)
    ordinary = [(name, values) for name, values in hints.items() if name in columns]
    is_dated = since is not None or until is not None
    urls, addresses = values.urls, values.addresses
    referrers, agents, languages = values.referrers, values.user_agents, values.languages

    def page_views(texts: Texts, times: Sequence[int]) -> list[Found]:
        verdicts: list[Found] = []
        add = verdicts.append
        rows = zip(
            times,
            [urls[raw] for raw in texts("target")],
            _all_in(texts, ordinary),
            _column(texts, "host", columns),
            [addresses[raw] for raw in texts(address_name)],
            map(referrers.__getitem__, _column(texts, "referrer", columns)),
            map(agents.__getitem__, _column(texts, "user_agent", columns)),
            _column(texts, "accept_language", columns),
            strict=False,
        )
        for time, url, is_ordinary, vhost, address, referrer, (agent, sent_agent), accepts in rows:
            if url.__class__ is not bytes or not is_ordinary or address is None:
                add(url if isinstance(url, Reason) else None)
                continue
            place = starts[vhost]
            if not isinstance(place, Start):
                add(place)
            elif not address:
                add(Reason.ADDRESS)
            elif referrer.excluded:
                add(Reason.REFERRER)
            elif is_dated and _is_outside(time, since, until):
                add(Reason.DATE)
            else:
                website, hostname, own, said, language, start = place
                _, referred, host = referrer
                if host and (host == hostname or (own is not None and own[host])):
                    referred = _NO_REFERRER
                if accepts:
                    start = said + (languages[accepts] or language)
                values = start, referred, url, address, sent_agent, time
                add((website, b'%b%b%b%b%b,"timestamp":%d}' % values, agent, time))
        return verdicts

    return page_views


def _column(texts: Texts, name: str, columns: Container[str]) -> Iterable[bytes]:
    return texts(name) if name in columns else repeat(b"")


def _hints(*, filter_prefetch: bool, filter_subresources: bool) -> dict[str, frozenset[bytes]]:
    """Give the columns that may tell that nobody looked, with the values that do not tell it."""
    hints = {"purpose": _NOTHING} if filter_prefetch else {}
    if filter_subresources:
        hints |= {"fetch_dest": _PAGES, "requested_with": _NOTHING}
    return hints


def _all_in(texts: Texts, ordinary: Sequence[tuple[str, Container[bytes]]]) -> Iterable[bool]:
    """Tell of each line whether all of these columns have an ordinary value."""
    found: Iterable[bool] = repeat(True)  # noqa: FBT003 - an answer
    for name, values in ordinary:
        found = [is_so and each in values for is_so, each in zip(found, texts(name), strict=False)]
    return found


def starts_by_vhost(
    place_of: Callable[[str], Place | Reason],
) -> Remembered[bytes, Start | Reason]:
    """Give what page views begin with, by the vhost as logged: some 1 KB for each of them."""
    return Remembered(lambda raw: _start(place_of(_text(raw))), limit=1024)


def _start(place: Place | Reason) -> Start | Reason:
    if isinstance(place, Reason):
        return place
    said = {
        "website": place.website,
        "hostname": place.hostname,
        "screen": place.screen,
        "title": place.title,
    }
    own: Remembered[str, bool] | None = None
    if place.own is not None:
        own = Remembered(place.own.match, limit=1024)
    begin, language = orjson.dumps(said)[:-1], _member("language", place.language)
    return Start(place.website, place.hostname, own, begin, language, begin + language)


def _member(name: str, value: str) -> bytes:
    """Give a member of a JSON object behind another."""
    return b",%b" % orjson.dumps({name: value})[1:-1]


def _is_outside(time: int, since: int | None, until: int | None) -> bool:
    return (since is not None and time < since) or (until is not None and time >= until)


_NO_REFERRER = _member("referrer", "")


def _text(value: bytes) -> str:
    """Decode a raw value as formats do; ``-`` is how servers write nothing."""
    return "" if value == b"-" else value.decode("utf-8", "surrogateescape")
