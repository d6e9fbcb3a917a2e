"""Reads Umami's answers, which may lie: a status is believed only together with its body.

Pure. Everything here comes from the table of a real Umami's answers: which 400 and 500 can
never succeed, which are an outage, and which cannot be told apart by one answer (a ``suspect``).
An answer is read page view by page view; what speaks for the request as a whole is raised.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import NamedTuple

import orjson

from ingestor.delivery.failures import will_pass
from ingestor.errors import BadCredentials, TryAgain

WORDS_MAX = 2_000  # characters of Umami's words that are kept
_TITLE = re.compile(rb"<title[^>]*>([^<]+)", re.IGNORECASE)
_TITLE_WITHIN = 4096  # bytes
_AT_ONCE = 1.0  # seconds
_NGINX = re.compile(rb"<center>(?:nginx|openresty)\b")  # at the end of its own error pages
RETRY_AFTER_MAX = 600.0  # seconds; a server that wishes for more is asked again all the same


class Verdict(Enum):
    """What one answer says about one page view."""

    STORED = auto()  # alone by /api/send: a row is there
    BOT = auto()  # alone by /api/send: dropped for its user agent
    COUNTED = auto()  # in a batch without an error: stored, or dropped as a bot without a word
    REJECTED = auto()  # can never be stored
    AGAIN = auto()  # an outage; a row may have been stored
    SUSPECT = auto()  # a 500 that is either: only trying it alone can tell
    UNKNOWN_WEBSITE = auto()  # nothing of this website can be stored before a person mends it


class Raw(NamedTuple):
    """An HTTP answer as it came, its body cut at a limit."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None
    date: str | None = None  # the server's own clock, as its Date header says
    seconds: float = 0.0  # from the request to its end


class Reading(NamedTuple):
    """The verdict on one page view, and Umami's words for it (printable, cut)."""

    verdict: Verdict
    words: str = ""


class Readings(NamedTuple):
    """The verdicts on a batch, one a page view, in its order.

    ``token``: an ``x-umami-cache`` token of the batch's website, if one came. ``whole``: the
    server failed over the request as such, so that the readings are one verdict repeated.
    """

    readings: list[Reading]
    token: str | None = None
    whole: bool = False


class TooLarge(Exception):
    """The request as a whole is refused, and half of it may pass.

    ``by_size``: a 413; else a 400 for the whole, as for a body that Umami cut at its limit.
    """

    def __init__(self, words: str, *, by_size: bool) -> None:
        super().__init__(words)
        self.words = words
        self.by_size = by_size


class Forbidden(BadCredentials):
    """A 403 or its like of something before Umami: wrong credentials, or a firewall's dislike.

    ``before_3``: it says `Forbidden` and no more, as Umami 2 does of an address that it blocks
    (IGNORE_IP), and as gateways do.
    """

    def __init__(self, message: str, *, before_3: bool = False) -> None:
        super().__init__(message)
        self.before_3 = before_3


class NoSuchRoute(TryAgain):
    """HTML 404 or 405: another server, a wrong URL, or an Umami that lacks the route."""


class TooManyRequests(TryAgain):
    """A limiter's refusal, whatever the request holds: a 429, or nginx's own 503.

    nginx says 503 for limit_req and limit_conn alone (``limit_req_status``); what Umami has to do
    with is a 502 or 504.
    """


COUNTED = Reading(Verdict.COUNTED)
FIELDS = ("timestamp", "userAgent", "ip", "id")  # of a page view: not every version knows them

_NOT_FOUND = "website not found"
# What Umami never says and no time mends. Firewalls choose among them: 403, ModSecurity 406, naxsi
# 418; 431 is theirs, too, where a page view's headers are all the same.
_REFUSING = frozenset({403, 406, 411, 415, 418, 422, 431, 451})
_FORBIDDEN_BEFORE_3 = "Forbidden"
_NO_TIME = '"RangeError"'
_WHICH_URL = (
    "umami.url (or --url) is what a browser shows for Umami, with its base path, but without "
    "/websites/…, /api or /script.js"
)


def printable(text: str | bytes, limit: int = 300) -> str:
    """``text`` fit for a terminal and a log line: no control characters, cut at ``limit``."""
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else " " for c in text[:limit])
    return shown + "…" if len(text) > limit else shown


def told(body: bytes) -> str:
    """The words of an answer for the log; of a proxy's page its title, and not its HTML."""
    if not is_page(body):
        return printable(body)
    title = _TITLE.search(body, 0, _TITLE_WITHIN)
    return f"a web page, {printable(title[1].strip())!r}" if title else "a web page"


def is_page(body: bytes) -> bool:
    """Whether it is HTML, as Umami's API never answers but for a missing route."""
    return body.lstrip()[:1] == b"<"


def is_umamis_own(reading: Reading) -> bool:
    """Whether a 500 came in Umami's own words, so that Umami has ended its work on the request."""
    return '"error"' in reading.words


def retry_after(value: str | None, now: float, date: str | None = None) -> float | None:
    """Seconds to wait from a Retry-After header (seconds or an HTTP date), capped; or None.

    A date is measured against the server's own ``date``, for clocks differ, and against ``now``
    (Unix time) where it has none.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_MAX)
    moment = http_time(value)
    if moment is None:
        return None
    its_now = http_time(date)
    return min(max(moment - (now if its_now is None else its_now), 0.0), RETRY_AFTER_MAX)


def http_time(date: str | None) -> float | None:
    """Unix seconds of an HTTP date, as in a server's Date header; None where there is none."""
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def read_send(raw: Raw, *, now: float) -> tuple[Reading, str | None]:
    """Read the answer to one page view by /api/send: its reading, and a token if one came.

    Raises TryAgain, BadCredentials or TooLarge where the answer speaks for no page view.
    """
    _raise_for_transport(raw, now)
    body = _json(raw.body)
    words = printable(raw.body, WORDS_MAX)
    if raw.status == 200:  # noqa: PLR2004 - HTTP statuses are what this file is about
        if isinstance(body, dict) and "error" not in body:
            if body.get("beep") == "boop":
                return Reading(Verdict.BOT), None
            token = body.get("cache")
            if isinstance(token, str) and token:
                return Reading(Verdict.STORED), token
        raise _disbelieved(raw)
    if raw.status == 500:  # noqa: PLR2004 - likewise
        return Reading(_verdict_on(body), words), None
    return _refused(raw, body, words), None


def read_batch(raw: Raw, size: int, *, now: float) -> Readings:
    """Read the answer to ``size`` page views by /api/batch, one reading each, in order.

    Raises what ``read_send`` raises; TooLarge also for a 400 for the whole, which says that the
    body was cut or that one element spoils it: halving finds out.
    """
    _raise_for_transport(raw, now)
    body = _json(raw.body)
    if raw.status == 200:  # noqa: PLR2004 - likewise
        return _counted(raw, body, size)
    words = printable(raw.body, WORDS_MAX)
    if raw.status == 500:  # noqa: PLR2004 - likewise
        return Readings([Reading(_verdict_on(body), words)] * size, whole=True)
    reading = _refused(raw, body, words)
    if reading.verdict is Verdict.UNKNOWN_WEBSITE:
        return Readings([reading] * size, whole=True)
    raise TooLarge(words, by_size=False)


def read_fields(raw: Raw, *, now: float) -> frozenset[str] | None:
    """Read the answer to the probe of fields: which of those asked about the server knows.

    None: it knows some, and does not name them, as 2.17 to 2.20 do. Raises TryAgain or
    BadCredentials where the answer is not Umami's.
    """
    _raise_for_transport(raw, now)
    body = _json(raw.body)
    if raw.status != 400 or not (isinstance(body, dict) and "error" in body):  # noqa: PLR2004 - likewise
        raise _disbelieved(raw)
    if _is_nameless(body["error"]):
        return None
    # The shape differs between versions (a tree in 3.x, a list of issues up to 2.16), the names
    # do not, and nothing else in this answer can contain them.
    text = raw.body.decode("utf-8", "replace")
    known = frozenset(name for name in FIELDS if re.search(rf'"{name}"', text))
    if not known and b"Website not found" not in raw.body:
        raise _disbelieved(raw)  # a gateway's 400, not that of a server that knows no field
    return known


def read_presence(raw: Raw, *, now: float) -> bool:
    """Read the answer to a bot's visit of a real website: whether the website id exists.

    Raises TryAgain while that cannot be told, BadCredentials where the request was refused.
    """
    reading, _ = read_send(raw, now=now)
    if reading.verdict is Verdict.UNKNOWN_WEBSITE:
        return False
    passed = _NO_TIME in reading.words  # with ClickHouse; Prisma refuses such a time by itself
    if reading.verdict is Verdict.AGAIN or (reading.verdict is Verdict.SUSPECT and not passed):
        raise TryAgain(f"Umami answers with an error of its own: {printable(reading.words)}")
    # `beep boop`; or a refusal of the visit's time, where the bot check is off. Each of them comes
    # after the website's look-up.
    return True


def _raise_for_transport(raw: Raw, now: float) -> None:
    """Raise for what is no word of Umami's on a page view: proxies, redirects, overload."""
    status = raw.status
    if status in {200, 400, 500}:
        return
    words = told(raw.body)
    if 300 <= status < 400:  # noqa: PLR2004 - likewise
        raise redirected(raw)
    if status in {401, 402} or status in _REFUSING:
        if status == 403 and _error_code(_json(raw.body)) == "forbidden":  # noqa: PLR2004 - likewise
            return
        said = (
            f"access refused with {status}: {words or 'no words'}; mend umami.api_key, or what "
            "stands before Umami"
        )
        if status in {401, 402}:
            raise BadCredentials(said)
        raise Forbidden(said, before_3=_json(raw.body) == {"error": _FORBIDDEN_BEFORE_3})
    if status in {404, 405, 410}:
        raise NoSuchRoute(f"no Umami answers there ({status}); {_WHICH_URL}")
    if status == 413:  # noqa: PLR2004 - likewise
        raise TooLarge(f"answered 413: {words or 'Content Too Large'}", by_size=True)
    wait = None
    if status in {408, 425, 429} or status > 500:  # noqa: PLR2004 - likewise
        wait = retry_after(raw.retry_after, now, raw.date)
    said = f"answered {status}: {words}"
    # A 503 at once comes from a limiter, too, or where no server was reached; one that took its
    # time from Varnish, Fastly or Heroku, whose server did not answer in it. Of the others nobody
    # knows.
    at_once = status == 503 and raw.seconds < _AT_ONCE  # noqa: PLR2004 - likewise
    if status == 429 or (at_once and _NGINX.search(raw.body)):  # noqa: PLR2004 - likewise
        raise TooManyRequests(said, retry_after=wait)
    raise TryAgain(said, retry_after=wait, in_doubt=status != 425 and not at_once)  # noqa: PLR2004 - likewise


def _counted(raw: Raw, body: object, size: int) -> Readings:
    """A 200 of /api/batch, believed only if its shape and its counts add up."""
    if not isinstance(body, dict) or "error" in body:
        raise _disbelieved(raw)
    details, errors = body.get("details"), body.get("errors")
    if not isinstance(details, list) or not isinstance(errors, int):
        raise _disbelieved(raw)
    sound = (
        body.get("size") == size
        and body.get("processed") == size - errors
        and len(details) == errors
    )
    if not sound:
        raise _disbelieved(raw)
    readings = [COUNTED] * size
    seen = set()
    for detail in details:
        index = detail.get("index") if isinstance(detail, dict) else None
        response = detail.get("response") if isinstance(detail, dict) else None
        if type(index) is not int or not 0 <= index < size or not isinstance(response, dict):
            raise _disbelieved(raw)
        readings[index] = _detail(response)
        seen.add(index)
    if len(seen) != errors:
        raise _disbelieved(raw)
    token = body.get("cache")
    return Readings(readings, token if isinstance(token, str) and token else None)


def _detail(response: dict[str, object]) -> Reading:
    """One failed page view of a batch: the body that /api/send would have given."""
    words = _words(response)
    error = response.get("error")
    if _is_unknown_website(error):
        return Reading(Verdict.UNKNOWN_WEBSITE, words)
    status = error.get("status") if isinstance(error, dict) else None
    code = _error_code(response)
    if status == 400 or code == "bad-request" or _is_schema(error):  # noqa: PLR2004 - likewise
        return Reading(Verdict.REJECTED, words)
    if code == "forbidden" or error == _FORBIDDEN_BEFORE_3:
        return Reading(Verdict.REJECTED, words)
    if isinstance(status, int) and (status > 500 or status in {408, 429}):  # noqa: PLR2004 - likewise
        return Reading(Verdict.AGAIN, words)
    return Reading(_verdict_on(response), words)


def _refused(raw: Raw, body: object, words: str) -> Reading:
    """A 400 or a 403 `forbidden`, in Umami's own shape or not believed."""
    if not isinstance(body, dict) or "error" not in body:
        raise TryAgain(f"answered {raw.status}, but not in Umami's words: {printable(raw.body)}")
    if raw.status == 400 and _is_unknown_website(body["error"]):  # noqa: PLR2004 - likewise
        return Reading(Verdict.UNKNOWN_WEBSITE, words)
    return Reading(Verdict.REJECTED, words)


def _is_unknown_website(error: object) -> bool:
    """`Website not found.`, or a website id that is no UUID: no page view of it can pass."""
    if isinstance(error, str):
        return _NOT_FOUND in error.lower()
    if not isinstance(error, dict):
        return False
    message = error.get("message")
    if isinstance(message, str) and _NOT_FOUND in message.lower():
        return True
    fields: object = error
    for key in ("properties", "payload", "properties"):
        fields = fields.get(key) if isinstance(fields, dict) else None
    return isinstance(fields, dict) and "website" in fields


def _is_schema(error: object) -> bool:
    """A refusal by the schema as 2.x words it."""
    if isinstance(error, dict):
        return error.get("name") == "ZodError" or "issues" in error
    return _is_nameless(error)


def _is_nameless(error: object) -> bool:
    """A refusal by the schema as 2.17 to 2.20 word it: `["payload: "]` for any field in it."""
    return (
        isinstance(error, list)
        and bool(error)
        and all(isinstance(words, str) and ":" in words for words in error)
    )


def _error_code(body: object) -> object:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _verdict_on(failure: object) -> Verdict:
    """Tell an outage from a page view that can never be stored, or say that it cannot be told."""
    passes = will_pass(failure.get("error") if isinstance(failure, dict) else None)
    if passes is None:
        return Verdict.SUSPECT
    return Verdict.AGAIN if passes else Verdict.REJECTED


def _json(body: bytes) -> object:
    """The body as JSON, or None where it is none (orjson bounds the depth)."""
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed


def _words(response: dict[str, object]) -> str:
    try:
        return printable(orjson.dumps(response), WORDS_MAX)
    except TypeError:  # nested deeper than orjson writes, though it reads it
        return "an answer nested beyond all measure"


def redirected(raw: Raw) -> TryAgain:
    """Make the error for a 3xx."""
    return TryAgain(
        f"Umami's URL redirects ({raw.status}) to {printable(raw.location or 'nowhere')}: "
        "umami.url is wrong, or a login page stands before it"
    )


def _disbelieved(raw: Raw) -> TryAgain:
    words = told(raw.body) or "nothing"
    if is_page(raw.body):
        words = f"{words}; {_WHICH_URL}"
    return TryAgain(f"answered {raw.status}, but not in Umami's words: {words}", in_doubt=True)
