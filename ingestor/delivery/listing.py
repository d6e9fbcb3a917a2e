"""Reads the answers of Umami's read API: the login, a website, and the page views of a tag.

Pure. Nothing of a login's answer ever gets into a message.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import orjson

from ingestor.delivery.answers import NoSuchRoute, Raw, is_page, redirected, retry_after, told
from ingestor.delivery.stored import Stored
from ingestor.errors import BadCredentials, TryAgain

_PAGE_VIEW = 1  # Umami's eventType; 2 is a custom event
_OK, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 200, 400, 401, 403
_GONE = frozenset({404, 405, 410})


class CannotTell(Exception):
    """This server's answers do not tell which page views are stored, now or ever."""


class Unauthorized(Exception):
    """The token is not taken: it is too old, or may not read this website."""


class Page(NamedTuple):
    """Rows of a tag by their ids, one page of them; ``total``: how many are on all pages."""

    rows: dict[str, Stored]
    total: int


def read_login(raw: Raw, *, now: float) -> str:
    """Read the token out of a login's answer.

    Raises BadCredentials; CannotTell where there is no login; TryAgain.
    """
    _raise_for_proxies(raw)
    if raw.status in {_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN}:
        raise BadCredentials(
            f"Umami refuses the login ({raw.status}): mend umami.username and umami.password"
        )
    if raw.status in _GONE:
        raise CannotTell("it has no login")
    body = _parsed(raw.body) if raw.status == _OK else None
    token = body.get("token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        wait = retry_after(raw.retry_after, now, raw.date)
        raise TryAgain(f"the login was answered {raw.status}, without a token", retry_after=wait)
    return token


def read_websites(raw: Raw, *, now: float) -> str | None:
    """Read the id of the first website that this login lists; None where it lists none.

    Raises what `believed` raises, as all that follow.
    """
    body = believed(raw, now)
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        raise disbelieved(raw)
    first = data[0] if data else None
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) else None


def read_reset(raw: Raw, *, now: float) -> float:
    """Read when a website was reset, in Unix milliseconds; 0 where it never was."""
    body = believed(raw, now)
    if body is None:  # it does not exist: page views of it are answered so
        return 0.0
    if not isinstance(body, dict) or "id" not in body:
        raise disbelieved(raw)
    reset = body.get("resetAt")
    if reset is None:
        return 0.0
    moment = moment_of(reset)
    if moment is None:
        raise CannotTell("it does not tell when a website was reset")
    return moment * 1000


def read_filters_by_tag(raw: Raw, *, now: float) -> None:
    """Read the statistics of a tag. Raises CannotTell where they are of an Umami before 3."""
    body = believed(raw, now)
    count = body.get("pageviews") if isinstance(body, dict) else None
    if isinstance(count, dict):
        raise CannotTell("it is older than Umami 3")
    if isinstance(count, bool) or not isinstance(count, int | str):
        raise disbelieved(raw)


def read_page(raw: Raw, *, now: float) -> Page:
    """Read one page of the page views of a tag; other events are left out of the rows."""
    body = believed(raw, now)
    data = body.get("data") if isinstance(body, dict) else None
    count = body.get("count") if isinstance(body, dict) else None
    if not isinstance(data, list) or isinstance(count, bool) or not isinstance(count, int):
        raise disbelieved(raw)
    rows: dict[str, Stored] = {}
    for row in data:
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise disbelieved(raw)
        if row.get("eventType", _PAGE_VIEW) != _PAGE_VIEW:
            count -= 1
            continue
        moment = moment_of(row.get("createdAt"))
        if moment is None:
            raise CannotTell("its times cannot be read")
        rows[row["id"]] = Stored(
            second=int(moment // 1),
            host=_text(row.get("hostname")),
            path=_text(row.get("urlPath")),
            query=_text(row.get("urlQuery")),
        )
    return Page(rows, count)


def believed(raw: Raw, now: float) -> object:
    """The JSON of a 200.

    Raises Unauthorized, NoSuchRoute, CannotTell (a 400), TryAgain, and BadCredentials where a proxy
    refuses.
    """
    _raise_for_proxies(raw)
    if raw.status == _OK:
        if raw.body.strip() == b"null":
            return None
        body = _parsed(raw.body)
        if not isinstance(body, dict) or "error" in body:
            raise disbelieved(raw)
        return body
    if raw.status in {_UNAUTHORIZED, _FORBIDDEN}:
        raise Unauthorized
    words = told(raw.body)
    if raw.status in _GONE:
        raise NoSuchRoute(f"no page views can be read back ({raw.status})")
    if raw.status == _BAD_REQUEST and isinstance(_parsed(raw.body), dict):
        raise CannotTell(f"it refuses to list page views: {words}")
    wait = retry_after(raw.retry_after, now, raw.date)
    raise TryAgain(f"reading back was answered {raw.status}: {words}", retry_after=wait)


def _raise_for_proxies(raw: Raw) -> None:
    """Raise for a redirect, and for a web page in the place of a refusal: Umami has no such."""
    if 300 <= raw.status < 400:  # noqa: PLR2004 - HTTP statuses
        raise redirected(raw)
    if is_page(raw.body) and raw.status in {_UNAUTHORIZED, _FORBIDDEN}:
        raise BadCredentials(
            f"access refused with {raw.status}: {told(raw.body)}; mend what stands before Umami"
        )
    if is_page(raw.body) and raw.status == _BAD_REQUEST:
        raise disbelieved(raw)


def disbelieved(raw: Raw) -> TryAgain:
    """Make the error for an answer that is not Umami's."""
    return TryAgain(f"reading back was answered, but not in Umami's words: {told(raw.body)}")


def _parsed(body: bytes) -> object:
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed


def moment_of(text: object) -> float | None:
    """Unix seconds of an ISO time with its zone."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
