"""The nouns that travel between rooms, each with its units; they hold data and decide nothing.

A file is known by its *key*: the checkpoint's number for one log's content, which survives
renames, rotation and compression. Offsets count decompressed bytes from the start of that
content. Every end offset is exclusive and stands just past a newline (or at the end of a
finished file). Times are whole Unix seconds, UTC, so no naive datetime can be built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Payload: TypeAlias = dict[str, str | int]
"""What Umami calls so, by its names, complete but for the tag."""
Content: TypeAlias = tuple[str, bytes, str, int]
"""The first four of a page view: website, body, user agent and time."""


class Reason(StrEnum):
    """Why a hit is no page view: one word each, the same in counts and docs."""

    ASSET = "asset"  # a static file by its extension
    METHOD = "method"  # not GET
    STATUS = "status"  # an error, a redirect, 204, 206
    PATH = "path"  # robots.txt, feeds, APIs, health checks, what the user excluded
    BOT = "bot"  # the user agent is a program's
    NO_USER_AGENT = "no_user_agent"  # empty, or not in the format
    USER_AGENT = "user_agent"  # excluded by the user
    ADDRESS = "address"  # excluded by the user (CIDR)
    BAD_ADDRESS = "bad_address"  # no client address in the address field
    HOST = "host"  # excluded by the user
    REFERRER = "referrer"  # excluded by the user
    QUERY = "query"  # a script's request: its query says that no page is asked for
    PREFETCH = "prefetch"  # fetched ahead, not looked at
    SUBRESOURCE = "subresource"  # a part of a page, as the browser says itself
    NO_SITE = "no_site"  # a vhost that matches no site
    DATE = "date"  # outside of --since and --until
    TARGET = "target"  # `*`, CONNECT's host:port: not a page; or another site's, asked of a proxy
    DIRECTIVE = "directive"  # the log's own: W3C's `#Fields:`, a server's words, blank lines
    UNSTORABLE = "unstorable"  # Umami would refuse it for ever, and no repair keeps its meaning


class Outcome(StrEnum):
    """What became of a page view that was handed to delivery."""

    ACCEPTED = "accepted"  # Umami stored it
    REFUSED_AS_BOT = "refused_as_bot"  # Umami judges the user agent a bot: nothing stored
    REJECTED = "rejected"  # never storable: dead-lettered


class Identity(NamedTuple):
    """What a log file is recognised by. The content decides; device and inode are a shortcut."""

    device: int
    inode: int
    fingerprint: bytes  # BLAKE2b-128 of the first `fingerprint_length` decompressed bytes, rungs
    fingerprint_length: int  # bytes, 0 for an empty file; grows with the file up to a maximum


class Marker(NamedTuple):
    """Proof that an offset still means what it meant: the hash of the bytes just before it."""

    offset: int  # bytes; the hashed bytes end here (exclusive)
    length: int  # how many bytes were hashed, less than the maximum only near the start
    digest: bytes  # BLAKE2b-128
    earlier: bytes = b""  # some markers before it, packed by who made them


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What the checkpoint remembers of one log's content."""

    key: int
    identity: Identity
    marker: Marker | None  # at or below the watermark; None while nothing was finished
    path: bytes  # where it was seen last; only a hint for people
    origin: int  # bytes; the daemon reads from here, what is before is a backfill's
    watermark: int  # bytes from `origin` on that are acked without a hole (absolute offset)
    archived: bool = False  # seen compressed: it cannot grow any more


class Span(NamedTuple):
    """A stretch of one file, from `start` to just before `end`."""

    file: int  # the file's key
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    r"""A block of whole lines of one file.

    ``data`` is contiguous: byte ``i`` of it stands at offset ``start + i``, and
    ``len(data) == end - start``; or it is empty where the bytes are no lines that can be parsed
    (a NUL hole, a line beyond the length limit). Lines end in ``\n`` (perhaps ``\r\n``); only
    the last line of a finished file may lack it.
    """

    file: int
    start: int
    end: int
    data: bytes
    oversized: int = 0  # lines in [start, end) that were passed over for their length
    again: bool = False  # read once before, and held back: its lines are counted already

    @property
    def span(self) -> Span:
        """The whole stretch that this chunk stands for."""
        return Span(self.file, self.start, self.end)


class Hit(NamedTuple):
    """One parsed request.

    A named tuple and not a dataclass: the hot loop builds one a page view, and it is four times
    as cheap. Text is UTF-8 decoded with ``surrogateescape``, escapes of the log undone, so that
    every byte the server logged can be told. None: the format has no such field; "": logged as
    ``-`` or empty.
    """

    time: int  # Unix seconds, UTC
    address: str  # the address field as logged
    method: str
    target: str  # the request target as sent: origin, absolute, authority form or `*`
    protocol: str  # "HTTP/1.1"; "" for HTTP/0.9
    status: int
    host: str | None = None  # the vhost as logged, perhaps with a port
    referrer: str | None = None
    user_agent: str | None = None
    forwarded_for: str | None = None  # X-Forwarded-For, the whole list
    accept_language: str | None = None
    purpose: str | None = None  # Sec-Purpose, Purpose or X-Moz
    scheme: str | None = None  # "http" or "https" where the log has it
    fetch_dest: str | None = None  # Sec-Fetch-Dest: what the browser makes of the answer
    fetch_mode: str | None = None  # Sec-Fetch-Mode
    requested_with: str | None = None  # X-Requested-With: a script's own mark
    accept: str | None = None  # Accept
    real_ip: str | None = None  # X-Real-IP, CF-Connecting-IP, True-Client-IP: beside the address


class Malformed(StrEnum):
    """Why a line gives no hit."""

    NO_MATCH = "no_match"  # the format does not explain the line
    REQUEST = "request"  # the request field is no HTTP request: TLS bytes, empty, garbage
    TIME = "time"  # not a time, before 1995, or more than a day in the future
    STATUS = "status"  # not a status code
    OVERSIZED = "oversized"  # longer than the limit
    JSON = "json"  # not a JSON object, or its values have wrong types


class PageView(NamedTuple):
    """A hit that counts, in Umami's shape, with the place it came from."""

    website: str  # lower-case UUID
    body: bytes  # Umami's payload, a JSON object, complete but for the tag
    user_agent: str  # the payload's
    time: int  # the payload's, Unix seconds
    span: Span  # from the end of the page view before (or the chunk's start) to this line's end;
    #             the chunk's last one reaches to the chunk's end
    line_start: int  # offset of the line itself
    line: bytes  # the raw line without its newline; masked before it is kept anywhere
    again: bool = False  # its line was counted when it was read for the first time

    @classmethod
    def of(
        cls, website: str, payload: Payload, span: Span, line_start: int, line: bytes
    ) -> PageView:
        """Write its payload down. Raises TypeError for what JSON cannot hold."""
        return cls(*content_of(website, payload), span, line_start, line)

    @property
    def payload(self) -> Payload:
        """Umami's payload, read from the body."""
        payload: Payload = orjson.loads(self.body)
        return payload


def content_of(website: str, payload: Payload) -> Content:
    """Write a payload down. Raises TypeError for what JSON cannot hold (lone surrogates)."""
    user_agent, time = payload.get("userAgent"), payload.get("timestamp")
    return (
        website,
        orjson.dumps(payload),
        user_agent if isinstance(user_agent, str) else "",
        time if isinstance(time, int) else 0,
    )


Ended: TypeAlias = "Mapping[Outcome, Sequence[PageView]]"
"""Page views that came to an end, by their outcome; in the order of the log within each."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How the lines of a chunk were judged. The page views among them are still under way."""

    lines: int = 0
    malformed: dict[str, int] = field(default_factory=dict)  # by Malformed
    filtered: dict[str, int] = field(default_factory=dict)  # by Reason


@dataclass(frozen=True, slots=True)
class Scanned:
    """A chunk after the hot loop: its page views in file order, and what became of the rest."""

    chunk: Chunk
    page_views: list[PageView]
    tally: Tally

    @property
    def leaves(self) -> bool:
        """Whether page views of another time are in it: only those of this one are done with."""
        return Reason.DATE in self.tally.filtered

    @property
    def finished(self) -> Span | None:
        """The whole chunk, where no page view is in it: then it is done by being scanned."""
        return None if self.page_views or self.leaves else self.chunk.span


@dataclass(frozen=True, slots=True)
class Batch:
    """Page views of one website that travel in one request."""

    id: int  # unique in the checkpoint
    website: str
    page_views: tuple[PageView, ...]
    tag: str | None = None  # Umami's tag, with exactly-once
