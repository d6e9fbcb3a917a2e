"""Talks to one Umami over HTTP: what is posted where, and which failures leave a doubt.

Answers are hostile input: they are read up to a limit, redirects are not followed, and cookies
are not kept.
"""

from __future__ import annotations

import io
import ssl
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import orjson
from yarl import URL

from ingestor.delivery.answers import (
    FIELDS,
    NoSuchRoute,
    Raw,
    Reading,
    Readings,
    TooLarge,
    Verdict,
    printable,
    read_batch,
    read_fields,
    read_presence,
    read_send,
)
from ingestor.delivery.proxy import proxy_of
from ingestor.delivery.troubles import words_of
from ingestor.errors import TryAgain, UmamiTooOld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingestor.delivery.options import UmamiOptions
    from ingestor.model import Batch, PageView

# Umami closes idle connections after 5 s; a request on one that closes under it is in doubt.
_KEEPALIVE = 4.0
_CONNECT = 15.0  # seconds for name, connection and TLS
_EVENT = b'{"type":"event","payload":'  # and what follows
_BODY_MAX = 4 * 1024 * 1024  # bytes of an answer that are read; a batch of 1,000 errors has 1 MB
_LARGE = 1024 * 1024  # aiohttp wants larger bodies as a file
_DNS_TTL = 10  # seconds: a server that moved is found again

# Umami 2.16 and 2.17 judge this header, and not the page view's own user agent, by `isbot`:
# they would silently drop everything that comes from an honest "ingestor". The page view's
# `userAgent` is what every supported version goes by.
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_BOT = "Googlebot/2.1"
_NOBODY = "11111111-1111-4111-8111-111111111111"
# Values that no server takes for these fields, unless it does not know them.
_WRONG: dict[str, object] = dict.fromkeys(FIELDS, 5) | {"timestamp": "abc"}
# What a session is made of.
_VISITOR = frozenset({"website", "ip", "userAgent", "timestamp", "hostname", "language", "screen"})
_SINCE_2_18 = "id"  # by which 2.17 is known, whose fields lack nothing else
_NO_BOT = ('"forbidden"', '"Data required')
# Seconds that no JavaScript Date holds. A bot's visit is dropped before they count; where the bot
# check is off (DISABLE_BOT_CHECK), it fails over them and is no page view all the same.
_NEVER = 8_640_000_000_001


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the probe at the start found out."""

    batch: bool  # POST /api/batch is there
    fields: frozenset[str]  # of timestamp, userAgent, ip, id: those the server knows


class Umami:
    """One Umami. Every method raises TryAgain or BadCredentials besides what it names.

    Raises ConfigError where the environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        options: UmamiOptions,
        *,
        timeout: float,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.shown = options.shown
        self.is_before_3 = False  # by the words of its refusals, once `facts` has asked
        base = URL(options.url)
        self._root = base.with_query(None).with_fragment(None)
        self._send = self.route("/api/send")
        self._batch = self.route("/api/batch")
        self._secure = base.scheme == "https"
        self._proxy = proxy_of(base)
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": _BROWSER,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if options.api_key is not None:
            self._headers["x-umami-api-key"] = options.api_key
        if self._proxy is not None and not self._secure:  # it reads the request itself
            self._headers |= self._proxy.headers
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(_CONNECT, timeout))
        self._seconds = timeout
        self._connections = connections
        self._clock = clock
        self._wall = wall
        self._session: aiohttp.ClientSession | None = None
        self._retired: aiohttp.ClientSession | None = None
        self._renewed = float("-inf")
        self.last_heard = clock()  # monotonic: when a request came back last, however it ended

    def route(self, path: str) -> URL:
        """The URL of a path such as ``/api/send``, behind Umami's own base path."""
        return self._root.with_path(f"{self._root.path.rstrip('/')}{path}")

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._retired, self._session):
            if session is not None:
                await session.close()
        self._session = self._retired = None

    async def facts(self, heard: dict[bytes, Raw] | None = None) -> ServerFacts:
        """Find out, without a trace, what this server knows. Raises UmamiTooOld.

        ``heard``: the answers of an attempt that broke off, which are not asked for again; a
        limiter before Umami may let one request pass at a time.
        """
        heard = {} if heard is None else heard
        fields = await self._fields(heard)
        if not {"timestamp", "userAgent"} <= fields:
            msg = (
                f"the Umami at {self.shown} ignores the time or the browser of a page view, so "
                "that a log would count as visits of this moment: upgrade Umami to 2.18 or later"
            )
            raise UmamiTooOld(msg)
        if _SINCE_2_18 not in fields:
            msg = (
                f"the Umami at {self.shown} does not tell bots by a page view's own browser: "
                "upgrade Umami to 2.18 or later"
            )
            raise UmamiTooOld(msg)
        return ServerFacts(await self._has_batch(heard), fields)

    async def website_exists(self, website: str) -> bool:
        """Ask, without a trace, whether Umami knows this website id and its database answers.

        A bot's page view is dropped only after the website was looked up.
        """
        payload = {"website": website, "url": "/", "hostname": "", "language": "", "referrer": ""}
        visit: dict[str, object] = {**payload, "screen": "", "title": "", "userAgent": _BOT}
        visit["timestamp"] = _NEVER
        return await self._probe(self._send, _body(visit), read_presence)

    async def is_bot(self, website: str, token: str, user_agent: str) -> bool:
        """Ask, without a trace, for Umami's verdict on a user agent.

        ``token`` is an ``x-umami-cache`` token of this website; it is used for nothing else.
        """
        payload: dict[str, object] = {"website": website, "userAgent": user_agent}
        body = orjson.dumps({"type": "identify", "payload": payload})
        return await self._probe(self._send, body, _verdict_of_probe, {"x-umami-cache": token})

    async def is_bots_visit(self, view: PageView) -> bool:
        """Ask for Umami's verdict on a page view's user agent, without storing the page view.

        It needs no token. Of a person it may leave the session row of this very visitor, which
        the page view itself has made or is about to make.
        """
        payload = {name: value for name, value in view.payload.items() if name in _VISITOR}
        body = orjson.dumps({"type": "identify", "payload": payload})
        return await self._probe(self._send, body, _verdict_of_probe)

    async def send(self, body: bytes) -> tuple[Reading, str | None]:
        """Post one page view to /api/send. Raises TooLarge."""
        return read_send(await self._post(self._send, body), now=self._wall())

    async def batch(self, body: bytes, size: int) -> Readings:
        """Post ``size`` page views to /api/batch. Raises TooLarge."""
        return read_batch(await self._post(self._batch, body), size, now=self._wall())

    async def _fields(self, heard: dict[bytes, Raw]) -> frozenset[str]:
        """Ask for all at once, and one by one where a refusal names none of them."""
        body = _body({"website": _NOBODY, **_WRONG})
        known = await self._probe(self._send, body, read_fields, heard=heard)
        self.is_before_3 = known is None
        if known is not None:
            return known
        found: set[str] = set()
        for name, value in _WRONG.items():
            body = _body({"website": _NOBODY, name: value})
            if await self._probe(self._send, body, read_fields, heard=heard) is None:
                found.add(name)
        return frozenset(found)

    async def _has_batch(self, heard: dict[bytes, Raw]) -> bool:
        try:
            await self._probe(self._batch, b"[]", partial(read_batch, size=0), heard=heard)
        except NoSuchRoute:
            return False
        return True

    async def _probe(
        self,
        url: URL,
        body: bytes,
        read: Callable[..., T],
        extra: Mapping[str, str] | None = None,
        *,
        heard: dict[bytes, Raw] | None = None,
    ) -> T:
        """Ask something small, unless its answer was ``heard``, and ``read`` the answer.

        Whoever calls that too large stands before Umami, and in the way of everything.
        """
        raw = heard.get(body) if heard else None
        if raw is None:
            raw = await self._post(url, body, extra)
        try:
            found = read(raw, now=self._wall())
        except TooLarge as refusal:
            raise TryAgain(f"even to a request of a few hundred bytes: {refusal}") from refusal
        if heard is not None:
            heard[body] = raw
        return found

    async def _post(self, url: URL, body: bytes, extra: Mapping[str, str] | None = None) -> Raw:
        return await self.ask("POST", url, body, extra)

    async def ask(
        self, method: str, url: URL, body: bytes = b"", extra: Mapping[str, str] | None = None
    ) -> Raw:
        """Make one request, with the headers that every request has. Raises TryAgain."""
        headers = self._headers if extra is None else {**self._headers, **extra}
        data = body if len(body) < _LARGE else io.BytesIO(body)
        began = self._clock()
        try:
            async with self._open().request(
                method,
                url,
                data=data or None,
                headers=headers,
                allow_redirects=False,
                proxy=None if self._proxy is None else self._proxy.url,
                proxy_headers=self._proxy.headers if self._proxy and self._secure else None,
            ) as answer:
                return Raw(
                    answer.status,
                    await _read(answer),
                    answer.headers.get("Retry-After"),
                    answer.headers.get("Location"),
                    answer.headers.get("Date"),
                    self._clock() - began,
                )
        except (aiohttp.ClientSSLError, ssl.SSLCertVerificationError) as error:
            await self._renew()
            raise self._trouble("no secure connection", error) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._trouble("no connection", error) from error
        except aiohttp.ClientHttpProxyError as error:
            raise TryAgain(f"the proxy before {self.shown} answers {error.status}") from error
        except TimeoutError as error:
            msg = f"no answer from {self.shown} within {self._seconds:g} s"
            raise TryAgain(msg, in_doubt=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._trouble("the connection broke", error, in_doubt=True) from error
        finally:
            self.last_heard = self._clock()

    def _trouble(self, what: str, error: Exception, *, in_doubt: bool = False) -> TryAgain:
        return TryAgain(f"{what} to {self.shown}: {words_of(error)}", in_doubt=in_doubt)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                # A context of our own: aiohttp's is made once at import, and would go on with
                # certificates that were replaced meanwhile.
                ssl=ssl.create_default_context() if self._secure else True,
                limit=self._connections,
                keepalive_timeout=_KEEPALIVE,
                ttl_dns_cache=_DNS_TTL,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                trust_env=False,  # ~/.netrc is for nobody here; the proxy is given by request
            )
        return self._session

    async def _renew(self) -> None:
        """Begin with a new connector and TLS context; the old ones may still be in use."""
        if self._clock() - self._renewed < self._seconds + 1:
            return
        self._renewed = self._clock()
        retired, self._retired, self._session = self._retired, self._session, None
        if retired is not None:  # older than any request can be
            await retired.close()


def encode(batch: Batch, *, as_array: bool) -> bytes:
    """The JSON of a batch: an array, or of its one page view alone."""
    bodies = [view.body for view in batch.page_views]
    if batch.tag is not None:
        member = b',"tag":%b}' % orjson.dumps(batch.tag)
        bodies = [body[:-1] + member for body in bodies]
    events = _EVENT + (b"}," + _EVENT).join(bodies) + b"}"
    return b"[%b]" % events if as_array else events


def _body(payload: Mapping[str, object]) -> bytes:
    return orjson.dumps({"type": "event", "payload": payload})


def _verdict_of_probe(raw: Raw, *, now: float) -> bool:
    """Whether the answer to an identify probe speaks of a bot. Raises TryAgain."""
    reading, _ = read_send(raw, now=now)
    if reading.verdict is Verdict.BOT:
        return True
    # Both come after the bot check: a 403 `forbidden`, where this machine's own address is
    # blocked, and what 2.18 says of a visitor without `data`.
    if reading.verdict is Verdict.STORED or any(word in reading.words for word in _NO_BOT):
        return False
    raise TryAgain(f"no verdict on a user agent: {printable(reading.words)}")


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The body, cut at a limit: what is longer is no answer of Umami's."""
    parts: list[bytes] = []
    length = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        length += len(part)
        if length > _BODY_MAX:
            answer.close()
            break
    return b"".join(parts)
