"""Faults that can be switched on and off while the sandbox runs, and how often each fired.

A fault is one line: ``KIND[,OPTION=VALUE]…``, for instance ``500-passes,count=3``,
``429,retry_after=2,p=0.1``, ``slow,request=200ms,entry=5ms``, ``refuse,for=10s``.

Kinds, in the way of a request:

====================  ============================================================================
refuse                stop listening, cut open connections
freeze                accept and read, answer nothing until it is cleared; then go on
slow                  wait ``request=`` before the work and ``entry=`` before each entry
saturate              a server of ``workers=`` threads that need ``entry=`` for each entry
429, 503              refuse, with Retry-After ``retry_after=``, or ``retry_after_date=`` seconds
                      ahead as an HTTP date
413                   refuse bodies over ``bytes=`` or batches over ``entries=`` (neither: all)
401, 403-html, 408    refuse
404-html              the route is gone
502-html, 504-html    a proxy's page in place of an answer
200-html, 200-json,   success by its status, and no answer of Umami's
200-empty
500-whole             500 for the whole request, without a word why
drop-before           hang up after reading, store nothing
store-late            hang up after reading, and store all the same, ``entry=`` apart
500-passes            the database fails under an entry: ``code=P1001`` (away), ``57P01``
                      (killed), ``25006`` (read-only)
500-never             the entry is poison, whatever it is
drop-after            store, then hang up
cut                   store, then send half of the answer and hang up
====================  ============================================================================

Options of every kind: ``count=`` fires so many times at most, ``skip=`` lets the first ones pass,
``p=`` fires with that probability, ``seed=`` of it, ``path=`` and ``website=`` (globs) choose
requests, ``for=`` ends the fault after a time. Without ``path=`` a fault is for /api/send and
/api/batch; ``freeze`` and ``500-passes`` are for the read API, too. ``url=`` (a glob over the page
view's url) chooses entries for ``500-passes`` and ``500-never``, whose ``count`` and ``p`` hold by
entry; all other kinds count requests. ``stored=yes`` lets a kind that replaces the answer store
first. Times are ``200ms``, ``2s``, ``1m`` or seconds.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ingestor.errors import UsageError
from ingestor.sandbox.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

STORING_PATHS: Final = ("/api/send", "/api/batch")
REPLACING: Final = (
    *("429", "503", "413", "401", "403-html", "404-html", "408", "502-html", "504-html"),
    *("200-html", "200-json", "200-empty", "500-whole"),
)
BY_ENTRY: Final = ("500-passes", "500-never")
KINDS: Final = (
    "refuse",
    "freeze",
    "slow",
    "saturate",
    "drop-before",
    *REPLACING,
    *BY_ENTRY,
    "store-late",
    "drop-after",
    "cut",
)

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}


class Look(NamedTuple):
    """What a fault's filters see of a request."""

    path: str
    websites: frozenset[str] = frozenset()
    bytes: int = 0
    entries: int = 0


@dataclass(slots=True)
class Fault:
    """One fault that is on. ``fired`` and ``passed`` count what it met."""

    spec: str
    kind: str
    count: int | None = None
    skip: int = 0
    p: float = 1.0
    path: str | None = None  # None: the two paths that store, see fails_reading()
    website: str = "*"
    url: str = "*"
    duration: float | None = None  # seconds
    request: float = 0.0  # seconds
    entry: float = 0.0  # seconds
    workers: int = 2
    bytes: int | None = None
    entries: int | None = None
    retry_after: str | None = None
    retry_after_date: float | None = None
    code: Outage = Outage.AWAY
    stored: bool = False
    fired: int = 0
    passed: int = 0
    random: random.Random = field(default_factory=random.Random)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    threads: asyncio.Semaphore | None = None

    def concerns(self, look: Look) -> bool:
        """Whether the filters choose this request."""
        if self.path is None:
            if look.path not in STORING_PATHS and self.kind != "freeze":
                return False
        elif not fnmatchcase(look.path, self.path):
            return False
        if self.website != "*" and not any(
            fnmatchcase(website, self.website) for website in look.websites
        ):
            return False
        if self.kind == "413" and (self.bytes is not None or self.entries is not None):
            over_bytes = self.bytes is not None and look.bytes > self.bytes
            return over_bytes or (self.entries is not None and look.entries > self.entries)
        return True

    def fails_reading(self) -> bool:
        """Whether the read API has no database either; asking uses up no ``count``."""
        exhausted = self.count is not None and self.fired >= self.count
        return self.kind == "500-passes" and self.path is None and self.p == 1 and not exhausted

    def fires(self) -> bool:
        """Count one that the filters chose, and say whether the fault hits it."""
        if self.over.is_set() or (self.count is not None and self.fired >= self.count):
            return False
        if self.passed < self.skip or (self.p < 1.0 and self.random.random() >= self.p):
            self.passed += 1
            return False
        self.fired += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """For the control port."""
        left = None if self.count is None else self.count - self.fired
        return {"spec": self.spec, "kind": self.kind, "fired": self.fired, "left": left}


class Faults:
    """The faults that are on. Safe to use from the sandbox's own loop only."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._on: list[Fault] = []
        self._on_change = on_change
        self.counters: dict[str, int] = {}  # fired, by spec; survives clear()

    def set(self, *specs: str) -> None:
        """Switch faults on, beside those that are; a spec that is on starts anew.

        Raises UsageError for one that cannot be read; then nothing changes.
        """
        new = [parse(spec) for spec in specs]
        names = {fault.spec for fault in new}
        self._end(fault for fault in self._on if fault.spec in names)
        self._on += new
        for fault in new:
            self.counters.setdefault(fault.spec, 0)
            if fault.duration is not None:
                loop = asyncio.get_running_loop()
                loop.call_later(fault.duration, self._expire, fault)
        self._on_change()

    def clear(self, *names: str) -> None:
        """Switch off the faults of these kinds or specs; without names, all."""
        self._end(
            fault for fault in self._on if not names or fault.kind in names or fault.spec in names
        )
        self._on_change()

    def replace(self, *specs: str) -> None:
        """Switch these on and all others off; raises UsageError and then changes nothing."""
        for spec in specs:
            parse(spec)
        self._end(self._on)
        self.set(*specs)

    def clear_counters(self) -> None:
        """Start counting at nothing."""
        self.counters = {fault.spec: 0 for fault in self._on}

    def _expire(self, fault: Fault) -> None:
        self._end([fault])
        self._on_change()

    def _end(self, faults: Iterable[Fault]) -> None:
        ended = list(faults)
        self._on = [fault for fault in self._on if fault not in ended]
        for fault in ended:
            fault.over.set()

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._on))

    def is_on(self, *kinds: str) -> bool:
        """Whether a fault of one of the kinds is on."""
        return any(fault.kind in kinds for fault in self._on)

    def hit(self, kinds: Iterable[str], look: Look) -> Fault | None:
        """The first fault of these kinds that hits the request; it is counted as fired."""
        if not self._on:
            return None
        for kind in kinds:
            for fault in self._on:
                if fault.kind == kind and fault.concerns(look) and fault.fires():
                    self.counters[fault.spec] += 1
                    return fault
        return None

    def outage_of_reading(self) -> bool:
        """Whether the database is away for the read API, too."""
        return any(fault.fails_reading() for fault in self._on)

    def entry_outage(self, look: Look, website: str, url: str) -> Outage | None:
        """How the database fails under this entry, if it does."""
        for fault in self._on:
            if (
                fault.kind in BY_ENTRY
                and fault.concerns(look._replace(websites=frozenset((website,))))
                and fnmatchcase(url, fault.url)
                and fault.fires()
            ):
                self.counters[fault.spec] += 1
                return fault.code if fault.kind == "500-passes" else Outage.POISON
        return None


def parse(spec: str) -> Fault:
    """Read a fault; raises UsageError that names what is wrong and what would be right."""
    kind, *options = (part.strip() for part in spec.split(","))
    if kind not in KINDS:
        raise UsageError(f"no fault is called {kind!r}; there are {', '.join(KINDS)}")
    fault = Fault(spec=spec, kind=kind)
    for option in options:
        name, _, value = option.partition("=")
        reader = _OPTIONS.get(name)
        if reader is None:
            raise UsageError(
                f"a fault has no option {name!r} (in {spec!r}); there are {', '.join(_OPTIONS)}"
            )
        try:
            reader(fault, value)
        except ValueError:
            raise UsageError(f"{value!r} is no value for {name} (in {spec!r})") from None
    if kind == "saturate":
        fault.threads = asyncio.Semaphore(fault.workers)
    return fault


def seconds(text: str) -> float:
    """``200ms``, ``2s``, ``1m`` or seconds; raises ValueError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return float(found[1]) * _SECONDS[found[2]]


def _setter(name: str, convert: Callable[[str], Any]) -> Callable[[Fault, str], None]:
    def read(fault: Fault, value: str) -> None:
        setattr(fault, name, convert(value))

    return read


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def _probability(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise ValueError(text)
    return value


def _yes(text: str) -> bool:
    return {"yes": True, "no": False}[text] if text in ("yes", "no") else bool(int(text))


_OPTIONS: Final[dict[str, Callable[[Fault, str], None]]] = {
    "count": _setter("count", _natural),
    "skip": _setter("skip", _natural),
    "p": _setter("p", _probability),
    "seed": _setter("random", random.Random),
    "path": _setter("path", str),
    "website": _setter("website", str.lower),
    "url": _setter("url", str),
    "for": _setter("duration", seconds),
    "request": _setter("request", seconds),
    "entry": _setter("entry", seconds),
    "workers": _setter("workers", lambda text: max(1, _natural(text))),
    "bytes": _setter("bytes", _natural),
    "entries": _setter("entries", _natural),
    "retry_after": _setter("retry_after", str),
    "retry_after_date": _setter("retry_after_date", seconds),
    "code": _setter("code", Outage),
    "stored": _setter("stored", _yes),
}
