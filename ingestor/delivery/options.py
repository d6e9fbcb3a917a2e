"""What delivery can be told; the defaults of these fields are the program's documented defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ingestor.errors import UsageError, require

Mode = Literal["auto", "batch", "send"]
PaceMode = Literal["auto", "fixed"]
Background = Literal["backfill", "always", "never"]

_DAY = 86_400.0
_TAG_PREFIX = re.compile(r"[a-z0-9-]{0,24}")  # with the batch's own number, Umami takes 50
_SETTLE_MIN = 60.0  # seconds
_SECRET = {"secret": True}  # a file may hold it: see typed_yaml


@dataclass(frozen=True, slots=True)
class UmamiOptions:
    """Where Umami is, and what it wants to see. Secrets never show in ``repr``.

    ``url`` may carry a path (Umami's BASE_PATH) and a trailing slash. What else it may carry is
    refused without being shown: there are people who paste a password into it.
    """

    url: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False, metadata=_SECRET)  # Umami Cloud
    username: str | None = None  # for reading back
    password: str | None = field(default=None, repr=False, metadata=_SECRET)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
            _ = parts.port  # raises ValueError where it is no port
            (parts.hostname or "").encode("idna")  # likewise where a label is empty or too long
        except ValueError:
            usable = False
        if not usable:
            raise UsageError(
                "umami.url is no http:// or https:// URL with a host and, at most, a port up to "
                "65535; it should look like https://umami.example.com"
            )
        self._refuse_more()
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UsageError("umami.api_key holds characters that no HTTP header can carry")
        for key, value in (("username", self.username), ("password", self.password)):
            if value is not None and value.encode(errors="ignore").decode() != value:
                raise UsageError(f"umami.{key} holds bytes that are no UTF-8; a login takes text")
        if (self.username is None) != (self.password is None):
            key, other = (
                ("username", "password") if self.password is None else ("password", "username")
            )
            raise UsageError(f"umami.{key} is set without umami.{other}; a login takes both")

    def _refuse_more(self) -> None:
        """Say what of the URL does not belong there, but not its text."""
        for there, what, instead in (
            (
                "@" in urlsplit(self.url).netloc,
                "a user or password",
                "umami.username and umami.password are keys of their own",
            ),
            ("?" in self.url, "a query (?…)", "leave it out"),
            ("#" in self.url, "a fragment (#…)", "leave it out"),
            (
                any(c.isspace() or not c.isprintable() for c in self.url),
                "blanks or control characters",
                "take them out",
            ),
        ):
            if there:
                raise UsageError(
                    f"umami.url holds {what}; {instead}. It should look like https://umami.example.com"
                )

    @property
    def shown(self) -> str:
        """The URL without user, password, query and trailing slash."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How page views travel. Times in seconds, sizes in bytes.

    ``linger`` bounds how long a website's unfilled batch lets fuller ones go first while all
    workers are busy; an idle worker never waits for it.
    """

    mode: Mode = "auto"
    pace: PaceMode = "auto"  # fixed: `workers` and `batch_size` are not bounds but what is done
    workers: int = 4  # requests in flight, at most
    batch_size: int = 50  # page views a request, at most
    min_workers: int = 1  # `auto` goes no lower, but after an outage and for a moment to measure
    min_batch_size: int = 10  # likewise; `batch_size` where that is smaller
    max_rate: int = 0  # page views a second, at most; 0: no such bound
    background: Background = "backfill"  # who yields to others at the same Umami
    linger: float = 0.2
    timeout: float = 60.0  # a whole request; past it the batch is in doubt
    retry_min: float = 0.5  # back-off: the first pause …
    retry_max: float = 60.0  # … and the longest
    exactly_once: bool = False  # look up what is in doubt; wants Umami 3, username and password
    tag_prefix: str = "log-"  # of the tags that page views carry then; they show in Umami
    settle_time: float | None = None  # until a look-up; None: twice the timeout, at least 60
    settle_bots: bool = True  # ask Umami for its verdict on user agents that batches hide
    dead_letters: Path | None = None  # None: rejected page views are only logged
    dead_letter_max_bytes: int = 64 * 1024 * 1024  # the file and its older half together
    dead_letter_max_age: float = 90 * _DAY

    def __post_init__(self) -> None:
        wrong = {
            "mode is one of auto, batch, send": self.mode not in {"auto", "batch", "send"},
            "pace is one of auto, fixed": self.pace not in {"auto", "fixed"},
            "background is one of backfill, always, never": (
                self.background not in {"backfill", "always", "never"}
            ),
            "workers is 1 to 64": not 1 <= self.workers <= 64,  # noqa: PLR2004 - said beside it
            "batch_size is 1 to 1000": not 1 <= self.batch_size <= 1000,  # noqa: PLR2004 - likewise
            "min_workers is 1 to workers": not 1 <= self.min_workers <= self.workers,
            "min_batch_size is at least 1": self.min_batch_size < 1,
            "max_rate is not negative": self.max_rate < 0,
            "linger is not negative": self.linger < 0,
            "timeout is more than 0": self.timeout <= 0,
            "retry_min is more than 0": self.retry_min <= 0,
            "retry_max is at least retry_min": self.retry_max < self.retry_min,
            "tag_prefix is up to 24 lower-case letters, digits and hyphens": (
                _TAG_PREFIX.fullmatch(self.tag_prefix) is None
            ),
            "settle_time is more than 0": self.settle_time is not None and self.settle_time <= 0,
            "dead_letter_max_bytes is at least 4096": self.dead_letter_max_bytes < 4096,  # noqa: PLR2004 - likewise
            "dead_letter_max_age is more than 0": self.dead_letter_max_age <= 0,
        }
        require("delivery", wrong)

    def in_background(self, *, backfill: bool) -> bool:
        """Whether this run leaves Umami nearly free for others."""
        return self.background == "always" or (backfill and self.background == "backfill")

    @property
    def settle(self) -> float:
        """Seconds that Umami is given to finish what its client no longer waits for."""
        if self.settle_time is not None:
            return self.settle_time
        return max(2 * self.timeout, _SETTLE_MIN)

    @property
    def room(self) -> int:
        """How many page views delivery holds in memory, in every state together."""
        return self.workers * self.batch_size * 2
