"""Page views straight from the raw columns of a plain line, without the hit in between.

What `Rules.page_view` says of a hit is looked up here by the bytes that the hit would be made
of: addresses, referrers and user agents come again and again. Whatever is out of the ordinary is
left to the hit. A test holds both to the same verdicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingestor.model import Reason
from ingestor.pageviews.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ingestor.pageviews.patterns import Patterns
    from ingestor.pageviews.rules import Payload, Verdict
    from ingestor.pageviews.sites import Place

    Shortcut = Callable[[Sequence[bytes], int], Verdict | None]
    """Columns and Unix seconds → the verdict, None: make a hit of them."""

_OWNS = 1024  # hosts remembered, and whether they are a site's own
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
    own: Patterns | None  # see `Place`
    blank: Payload  # with what the place says


class RawValues:
    """Answers by raw bytes, remembered for all files together."""

    def __init__(
        self,
        *,
        client: Callable[[str], str | None],
        referrer: Callable[[str], RawReferrer],
        url: Callable[[str], str | None],
        user_agent: Callable[[str], str],
        language: Callable[[str], str],
    ) -> None:
        self.addresses: Remembered[bytes, str | None] = Remembered(
            lambda raw: client(_text(raw)), limit=32768, longest=64
        )
        self.referrers: Remembered[bytes, RawReferrer] = Remembered(
            lambda raw: referrer(_text(raw)), limit=4096
        )
        self.urls: Remembered[bytes, str | None] = Remembered(
            lambda raw: url(raw.split(b" ")[1].decode("ascii")), limit=16384, longest=256
        )
        self.user_agents: Remembered[bytes, str] = Remembered(
            lambda raw: user_agent(_text(raw)), limit=8192
        )
        self.languages: Remembered[bytes, str] = Remembered(
            lambda raw: language(_text(raw)), limit=1024, longest=128
        )


def shortcut(  # noqa: C901 - as below
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
    request_at = columns["request"]
    address_at = columns["address"] if "address" in columns else columns["forwarded_for"]
    purpose_at = columns.get("purpose") if filter_prefetch else None
    host_at, language_at = columns.get("host"), columns.get("accept_language")
    referrer_at, agent_at = columns.get("referrer"), columns.get("user_agent")
    addresses, referrers, urls = values.addresses, values.referrers, values.urls
    agents, languages = values.user_agents, values.languages
    hosts: Remembered[bytes, _Start | Reason] = Remembered(
        lambda raw: _start(place_of(_text(raw))), limit=1024
    )
    # All places for lines without a vhost have the same hosts of their own, others have none.
    owns: dict[str, bool] = {}
    nothing = b""

    def page_view(  # noqa: C901 - one function, for a call costs as much as a look-up
        line: Sequence[bytes], time: int
    ) -> Verdict | None:
        url = urls[line[request_at]]
        if url is None or (purpose_at is not None and line[purpose_at] not in _NOTHING):
            return None
        place = hosts[nothing if host_at is None else line[host_at]]
        if isinstance(place, Reason):
            return place
        address = addresses[line[address_at]]
        if not address:
            return Reason.BAD_ADDRESS if address is None else Reason.ADDRESS
        excluded, referrer, host = referrers[nothing if referrer_at is None else line[referrer_at]]
        if excluded:
            return Reason.REFERRER
        if (since is not None and time < since) or (until is not None and time >= until):
            return Reason.DATE
        website, hostname, own, blank = place
        if host:
            if own is not None:
                is_own = owns.get(host)
                if is_own is None:
                    if len(owns) >= _OWNS:
                        owns.clear()
                    is_own = owns[host] = own.match(host)
                if is_own:
                    referrer = ""
            if host == hostname:
                referrer = ""
        payload = blank.copy()  # for half the price of putting together ten values
        payload["url"] = url
        payload["ip"] = address
        payload["userAgent"] = agents[nothing if agent_at is None else line[agent_at]]
        payload["timestamp"] = time
        payload["referrer"] = referrer
        if language_at is not None:
            payload["language"] = languages[line[language_at]] or blank["language"]
        return website, payload

    return page_view


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
    return _Start(place.website, place.hostname, place.own, values)


def _text(value: bytes) -> str:
    """Decode a raw value as formats do; ``-`` is how servers write nothing."""
    return "" if value == b"-" else value.decode("utf-8", "surrogateescape")
