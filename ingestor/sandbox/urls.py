"""A page view's `url` and `referrer` taken apart as Umami does it, with a WHATWG parser."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

import ada_url

from ingestor.sandbox.answers import invalid_url
from ingestor.sandbox.javascript import cut, decode_uri

LENGTH: Final = 500  # UTF-16 units that Umami keeps of a path, a query and a title

CAMPAIGN: Final = {  # query parameter → column
    "utm_source": "utm_source",
    "utm_medium": "utm_medium",
    "utm_campaign": "utm_campaign",
    "utm_content": "utm_content",
    "utm_term": "utm_term",
    "gclid": "gclid",
    "fbclid": "fbclid",
    "msclkid": "msclkid",
    "ttclid": "ttclid",
    "li_fat_id": "li_fat_id",
    "twclid": "twclid",
}

_WWW_AND_ANY = re.compile("^www.")  # the dot is any character, in Umami too
_WWW = re.compile(r"^www\.")


class Page(NamedTuple):
    """The columns that `url` fills; `campaign` holds only the parameters that are there."""

    path: str
    query: str
    host: str
    campaign: dict[str, str]


class Referrer(NamedTuple):
    """The columns that `referrer` fills."""

    path: str
    query: str
    domain: str


def _parse(text: str, base: str) -> ada_url.URL:
    try:
        return ada_url.URL(text, base=base)
    except (ValueError, UnicodeEncodeError):
        raise invalid_url(text, base) from None


@lru_cache(maxsize=16_384)
def page(url: str, base: str) -> Page:
    """The page of ``url``; raises ServerTrouble where ``base`` (the hostname) is no host."""
    parsed = _parse(url, base)
    pathname = parsed.pathname
    path = "" if pathname == "/undefined" else decode_uri(pathname + parsed.hash)
    query = parsed.search[1:]
    return Page(
        path=cut(path, LENGTH),
        query=cut(query, LENGTH),
        host=_WWW_AND_ANY.sub("", parsed.hostname),
        campaign=campaign(query) if query else {},
    )


@lru_cache(maxsize=16_384)
def referrer(url: str, base: str) -> Referrer:
    """The referrer's columns; a relative one becomes a page of the site itself."""
    parsed = _parse(url, base)
    return Referrer(
        path=cut(decode_uri(parsed.pathname), LENGTH),
        query=cut(parsed.search[1:], LENGTH),
        domain=cut(_WWW.sub("", parsed.hostname), LENGTH),
    )


def bare_path(url: str, base: str) -> str:
    """The path without decoding, as Umami stores it with web vitals."""
    pathname = _parse(url, base).pathname
    return "" if pathname == "/undefined" else cut(pathname, LENGTH)


def campaign(query: str) -> dict[str, str]:
    """The first value of each campaign parameter: column → decoded value."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        column = CAMPAIGN.get(name) or CAMPAIGN.get(unquote_plus(name, errors="replace"))
        if column is not None and column not in found:
            found[column] = unquote_plus(value, errors="replace")
    return found
