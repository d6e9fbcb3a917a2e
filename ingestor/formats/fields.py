"""What a definition is made of: fixed text, and fields that each tell something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

# What people's browsers put into a value on an ordinary day. A separator that is not among these
# can end the value even without quotes.
URL_CHARACTERS = b"/:?#[]@!$&'()*+,;=%-._~"
WORDS = b" ;,()/:-=[]+_'&?.@!#%*$~"


class Shape(StrEnum):
    """How far a field's value reaches where no quotes enclose it."""

    TOKEN = "token"  # noqa: S105 - no password: a word without spaces
    ADDRESSES = "addresses"  # an address, or a list of them with commas
    LIST = "list"  # words joined by ", ", " : " or "; ": upstreams, content types
    TEXT = "text"  # what a client or an application chose: spaces and all
    TIME = "time"  # its clock knows
    CAPTURE = "capture"  # a header that HAProxy captured: anything but braces, bars and quotes
    TRAILING = "trailing"  # one further field or more, each after a space


class Role(StrEnum):
    """What a field tells. The values are the names of columns."""

    NONE = ""  # kept unnamed
    ADDRESS = "address"
    FORWARDED_FOR = "forwarded_for"
    REAL_IP = "real_ip"  # a proxy's word for the client's address, beside that of the proxy
    HOST = "host"
    TIME = "time"
    REQUEST = "request"  # the whole request line
    METHOD = "method"
    TARGET = "target"
    PATH = "path"  # the target without its query
    QUERY = "query"  # with or without the question mark
    PROTOCOL = "protocol"
    STATUS = "status"
    REFERRER = "referrer"
    USER_AGENT = "user_agent"
    ACCEPT_LANGUAGE = "accept_language"
    PURPOSE = "purpose"
    FETCH_DEST = "fetch_dest"
    FETCH_MODE = "fetch_mode"
    REQUESTED_WITH = "requested_with"
    ACCEPT = "accept"
    SCHEME = "scheme"
    HANDLED = "handled"  # Caddy's note on a line: a request was handled


class Decoding(StrEnum):
    """What was done to a value beside the log's own escapes."""

    NONE = ""
    PERCENT = "percent"  # CloudFront: percent-encoded
    PLUS = "plus"  # IIS: spaces became plus signs, also in a path
    HASH = "hash"  # HAProxy: `#` and two hex digits for what could be mistaken
    HYPHEN = "hyphen"  # nginx's $uri$is_args$args: where no arguments are, a hyphen is behind it


class Escape(StrEnum):
    """How the server escapes values, as nginx's ``escape=`` names it."""

    DEFAULT = "default"  # a backslash and hex digits, a quote or a letter: nginx and Apache
    JSON = "json"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a variable tells, whichever definition it stands in.

    ``rank`` decides between two variables of one role in one definition: the lowest wins.
    ``clock`` names how a time is written (see clocks.py). ``natural`` holds the bytes that an
    ordinary value contains, which therefore cannot end it. ``sent``: a visitor chooses the bytes.
    ``unused``: an ordinary line has a hyphen there.
    """

    role: Role = Role.NONE
    rank: int = 0
    shape: Shape = Shape.TOKEN
    clock: str = ""
    natural: bytes = b""
    decoding: Decoding = Decoding.NONE
    sent: bool = False
    unused: bool = False

    @property
    def has_query(self) -> bool:
        """Whether this is a target with its query."""
        return self.role is Role.TARGET and b"?" in self.natural


@dataclass(frozen=True, slots=True)
class Field:
    """One variable of a definition."""

    text: str  # as written: ``$remote_addr``, ``%>s``
    place: int  # index of its first character in the definition
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that every line repeats."""

    text: bytes
    place: int


Part = Field | Literal

UNNAMED = Meaning()
IDENT = Meaning(unused=True)  # whom the client's identd names (RFC 1413): nobody runs one
FREE_TEXT = Meaning(shape=Shape.TEXT, natural=WORDS)  # the application's: a response header
SENT_TEXT = Meaning(shape=Shape.TEXT, natural=WORDS, sent=True)
UPSTREAM = Meaning(shape=Shape.LIST)
TRAILING = Meaning(shape=Shape.TRAILING)


def address(rank: int) -> Meaning:
    """Give the meaning of a variable that holds the client's address."""
    return Meaning(Role.ADDRESS, rank, Shape.ADDRESSES)


def host(rank: int) -> Meaning:
    """Give the meaning of a variable that holds the virtual host."""
    return Meaning(Role.HOST, rank)


def header(name: str) -> Meaning:
    """Give the meaning of a request header by its name in lower case, with ``-`` or ``_``."""
    return replace(_HEADERS.get(name.replace("_", "-"), SENT_TEXT), sent=True)


FORWARDED_FOR = Meaning(Role.FORWARDED_FOR, shape=Shape.ADDRESSES, sent=True)
REQUEST = Meaning(Role.REQUEST, shape=Shape.TEXT, natural=URL_CHARACTERS + b" ", sent=True)
TARGET = Meaning(Role.TARGET, shape=Shape.TEXT, natural=URL_CHARACTERS, sent=True)
PATH = Meaning(Role.PATH, shape=Shape.TEXT, natural=URL_CHARACTERS.replace(b"?", b""), sent=True)
PART_OF_TARGET = replace(TARGET, rank=1, natural=PATH.natural)  # its query may stand elsewhere
QUERY = Meaning(Role.QUERY, shape=Shape.TEXT, natural=URL_CHARACTERS, sent=True)
METHOD = Meaning(Role.METHOD)
PROTOCOL = Meaning(Role.PROTOCOL)
STATUS = Meaning(Role.STATUS)
SCHEME = Meaning(Role.SCHEME)
REFERRER = Meaning(Role.REFERRER, shape=Shape.TEXT, natural=URL_CHARACTERS)
USER_AGENT = Meaning(Role.USER_AGENT, shape=Shape.TEXT, natural=WORDS)

_HEADERS: dict[str, Meaning] = {
    "host": host(1),
    "x-forwarded-host": host(6),
    "referer": REFERRER,
    "user-agent": USER_AGENT,
    "x-forwarded-for": FORWARDED_FOR,
    "x-real-ip": Meaning(Role.REAL_IP, 0, Shape.ADDRESSES),
    "cf-connecting-ip": Meaning(Role.REAL_IP, 1, Shape.ADDRESSES),
    "true-client-ip": Meaning(Role.REAL_IP, 1, Shape.ADDRESSES),
    "x-forwarded-proto": Meaning(Role.SCHEME, 1),
    "accept-language": Meaning(Role.ACCEPT_LANGUAGE, shape=Shape.TEXT, natural=b" ,;=-.*_"),
    "sec-purpose": Meaning(Role.PURPOSE, 0, Shape.TEXT, natural=b" ;,-="),
    "purpose": Meaning(Role.PURPOSE, 1, Shape.TEXT, natural=b" ;,-="),
    "x-purpose": Meaning(Role.PURPOSE, 2, Shape.TEXT, natural=b" ;,-="),
    "x-moz": Meaning(Role.PURPOSE, 3, Shape.TEXT, natural=b" ;,-="),
    "sec-fetch-dest": Meaning(Role.FETCH_DEST, shape=Shape.TEXT),
    "sec-fetch-mode": Meaning(Role.FETCH_MODE, shape=Shape.TEXT),
    "x-requested-with": Meaning(Role.REQUESTED_WITH, shape=Shape.TEXT),
    "accept": Meaning(Role.ACCEPT, shape=Shape.TEXT),
    "content-type": UPSTREAM,
    "content-length": UNNAMED,
}


def moment(clock: str, rank: int = 0) -> Meaning:
    """Give the meaning of a time written the way that ``clock`` names."""
    return Meaning(Role.TIME, rank, Shape.TIME, clock)
