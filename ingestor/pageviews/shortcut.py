"""Page views straight from the raw columns of plain lines, without the hit in between.

What `Rules.page_view` says of a hit is looked up here by the bytes that the hit would be made
of: addresses, referrers and user agents come again and again. Whatever is out of the ordinary is
left to the hit. A test holds both to the same verdicts.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from ingestor.model import Reason
from ingestor.pageviews.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ingestor.pageviews.rules import Payload, Verdict
    from ingestor.pageviews.sites import Place

    Texts = Callable[[str], Sequence[bytes]]
    """The name of a column → its value in each of some lines.

    And ``target`` → what is asked for, or the whole request behind a space.
    """
    Shortcut = Callable[[Texts, Sequence[int]], list[Verdict | None]]
    """The lines' columns and Unix seconds → their verdicts, None: make a hit of this one."""

_NOTHING = frozenset({b"", b"-"})


class RawReferrer(NamedTuple):
    """What a referrer as logged comes to."""

    excluded: bool
    url: str
    host: str


class _Start(NamedTuple):
    """What page views of one place begin with."""

    website: str
    hostname: str
    own: Remembered[str, bool] | None  # hosts of its own (see `Place`)
    blank: Payload  # with what the place says


class RawValues:
    """Answers by raw bytes, remembered for all files together."""

    def __init__(
        self,
        *,
        client: Callable[[str], str | None],
        referrer: Callable[[str], RawReferrer],
        url: Callable[[bytes], str | None],
        user_agent: Callable[[str], str],
        language: Callable[[str], str],
    ) -> None:
        self.addresses: Remembered[bytes, str | None] = Remembered(
            lambda raw: client(_text(raw)), limit=32768, longest=64
        )
        self.referrers: Remembered[bytes, RawReferrer] = Remembered(
            lambda raw: referrer(_text(raw)), limit=4096
        )
        self.urls: Remembered[bytes, str | None] = Remembered(url, limit=16384, longest=256)
        self.user_agents: Remembered[bytes, str] = Remembered(
            lambda raw: user_agent(_text(raw)), limit=8192
        )
        self.languages: Remembered[bytes, str] = Remembered(
            lambda raw: language(_text(raw)), limit=1024, longest=128
        )


def shortcut(
    values: RawValues,
    columns: Mapping[str, int],
    place_of: Callable[[str], Place | Reason],
    *,
    filter_prefetch: bool,
    since: int | None,
    until: int | None,
) -> Shortcut:
    """Give the function for lines with these columns, of one site.

    The request of a line has to be plain and judged already, as its status and user agent.
    """
    address_name = "address" if "address" in columns else "forwarded_for"
    is_dated = since is not None or until is not None
    urls, addresses = values.urls, values.addresses
    referrers, agents, languages = values.referrers, values.user_agents, values.languages
    hosts: Remembered[bytes, _Start | Reason] = Remembered(
        lambda raw: _start(place_of(_text(raw))), limit=1024
    )

    def column(texts: Texts, name: str) -> Iterable[bytes]:
        return texts(name) if name in columns else repeat(b"")

    def page_views(texts: Texts, times: Sequence[int]) -> list[Verdict | None]:
        verdicts: list[Verdict | None] = []
        add = verdicts.append
        rows = zip(
            times,
            [urls[raw] for raw in texts("target")],
            column(texts, "purpose") if filter_prefetch else repeat(b""),
            column(texts, "host"),
            [addresses[raw] for raw in texts(address_name)],
            map(referrers.__getitem__, column(texts, "referrer")),
            map(agents.__getitem__, column(texts, "user_agent")),
            column(texts, "accept_language"),
            strict=False,
        )
        for time, url, purpose, vhost, address, (excluded, referred, host), agent, accepts in rows:
            if url is None or purpose not in _NOTHING:
                add(None)
                continue
            place = hosts[vhost]
            if not isinstance(place, _Start):
                add(place)
            elif not address:
                add(Reason.BAD_ADDRESS if address is None else Reason.ADDRESS)
            elif excluded:
                add(Reason.REFERRER)
            elif is_dated and _is_outside(time, since, until):
                add(Reason.DATE)
            else:
                website, hostname, own, blank = place
                is_own = host and (host == hostname or (own is not None and own[host]))
                payload = blank.copy()  # for half the price of putting together ten values
                payload["url"] = url
                payload["ip"] = address
                payload["userAgent"] = agent
                payload["timestamp"] = time
                payload["referrer"] = "" if is_own else referred
                if accepts:
                    payload["language"] = languages[accepts] or blank["language"]
                add((website, payload))
        return verdicts

    return page_views


def _start(place: Place | Reason) -> _Start | Reason:
    if isinstance(place, Reason):
        return place
    values: Payload = {
        "website": place.website,
        "hostname": place.hostname,
        "language": place.language,
        "referrer": "",
        "screen": place.screen,
        "title": place.title,
        "url": "",
        "ip": "",
        "userAgent": "",
        "timestamp": 0,
    }
    own: Remembered[str, bool] | None = None
    if place.own is not None:
        own = Remembered(place.own.match, limit=1024)
    return _Start(place.website, place.hostname, own, values)


def _is_outside(time: int, since: int | None, until: int | None) -> bool:
    return (since is not None and time < since) or (until is not None and time >= until)


def _text(value: bytes) -> str:
    """Decode a raw value as formats do; ``-`` is how servers write nothing."""
    return "" if value == b"-" else value.decode("utf-8", "surrogateescape")
