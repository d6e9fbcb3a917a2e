"""Which website a hit belongs to, and the host name it is recorded under."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ingestor.errors import ConfigError
from ingestor.pageviews.patterns import GLOB, PREFIX, Patterns, is_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HOSTNAME = 100  # characters; Umami answers 400 beyond
MAX_LANGUAGE = 35  # likewise
MAX_SCREEN = 11  # likewise

# A host name that needs no second look: letters, digits, hyphens, underscores, and a last label
# that begins with a letter (WHATWG takes a last label of digits for an IPv4 address). xn-- may be
# invalid punycode, so it is no ordinary name.
_LABEL = "(?!xn--)[{}](?:[a-z0-9_-]*[a-z0-9_])?"
ORDINARY_HOST = rf"(?:{_LABEL.format('a-z0-9_')}\.)*{_LABEL.format('a-z')}"
_ORDINARY = re.compile(ORDINARY_HOST)
_FORBIDDEN = re.compile(r"[\s/\\?#@<>^|%\"'`{}\x00-\x20\x7f\ud800-\udfff]")
# What no vhost has as `vhost_of` gives it: a scheme, a path, a port, nginx's ~^… and .example.com.
_NO_VHOST = re.compile(r".*[\s/,~^].*|[^:]*:\d*\*?|.*\.|\..*", re.DOTALL)
_PORT = re.compile(r"(?::\d*)?\.?(?::\d*)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Site:
    """One website of Umami and the vhosts that belong to it."""

    website: str  # UUID, as Umami shows it; sent in lower case
    hostname: str  # for hits without a vhost of their own; "" leaves it to Umami
    match: tuple[str, ...] = ()  # patterns over vhosts; empty: the hostname alone
    language: str = ""  # where the log has no Accept-Language
    screen: str = ""  # "" leaves the device to the user agent
    title: str = ""


class Place(NamedTuple):
    """Where a hit belongs, with the values of its site that Umami gets."""

    website: str
    hostname: str
    language: str
    screen: str
    title: str
    own: Patterns | None  # the site's own hosts, where the hit did not name the one it was for


class Sites:
    """The configured sites, first match wins. Raises ConfigError on values Umami would refuse."""

    def __init__(self, sites: Sequence[Site]) -> None:
        for i, site in enumerate(sites):
            check_site(site, f"sites[{i}]")
        self._sites = _InTurn(sites)
        self._own = _OwnHosts(sites)
        # Scanners ask for any host: of a thousand sites each would be asked about each of them.
        names = [name for site in sites for name in site.match or (site.hostname,)]
        self._any = host_patterns(names, "sites")
        self._only = sites[0] if len(sites) == 1 else None

    def place(self, vhost: str, default: Site | None) -> Place | None:
        """Where a hit belongs; None: nowhere.

        ``vhost`` is the name as `vhost_of` gives it, "" without one. A vhost goes by the sites'
        patterns alone, and ``default``, the source's own site, stands in only where there is no
        vhost or no site is configured. With neither, the only site there is takes the hit.
        """
        if not vhost:
            site = default or self._only
        elif self._sites and not self._any.match(vhost):
            return None
        elif self._sites:
            site = self._sites.first(vhost)
        else:
            site = default
        if site is None:
            return None
        valid = 0 < len(vhost) <= MAX_HOSTNAME and is_host(vhost)
        hostname = vhost if valid else ascii_host(site.hostname.lower())
        own = None if vhost else _own_hosts(site).patterns
        return Place(site.website.lower(), hostname, site.language, site.screen, site.title, own)

    def claims(self, host: str, default: Site | None) -> bool:
        """Whether a host, as `vhost_of` gives it, is one of the sites' own, above or below one.

        Where no site names a host, nobody can tell, and every host may be its own.
        """
        own = [self._own] if default is None else [self._own, _own_hosts(default)]
        return not any(own) or any(hosts.claim(host) for hosts in own)


class _InTurn:
    """The sites in their order. By name, and by ``*.name``, they are looked up.

    Only those with other patterns are asked one after the other: a hoster has thousands of sites,
    and a vhost for each visitor's invention below them.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = tuple(sites)
        self._named: dict[str, int] = {}  # vhost → the first site that names it
        self._below: dict[str, int] = {}  # … .example.com → that has *.example.com
        self._others: list[tuple[int, Patterns]] = []
        for i, site in enumerate(sites):
            names = site.match or (site.hostname,)
            for name in (ascii_host(name).lower() for name in names):
                if not is_pattern(name):
                    self._named.setdefault(name, i)
                elif _is_all_below(name):
                    self._below.setdefault(name[1:], i)
            if any(is_pattern(name) and not _is_all_below(name) for name in names):
                self._others.append((i, host_patterns(names, f"sites[{i}].match")))
        self._longest = max(map(len, self._below), default=0)

    def __bool__(self) -> bool:
        return bool(self._sites)

    def first(self, vhost: str) -> Site | None:
        """The first site that has a vhost."""
        end = vhost[-self._longest :] if self._longest else ""
        ends = [end[at:] for at, character in enumerate(end) if character == "."]
        found = [self._named.get(vhost), *map(self._below.get, ends)]
        first = min((i for i in found if i is not None), default=len(self._sites))
        for i, patterns in self._others:
            if i >= first:
                break
            if patterns.match(vhost):
                first = i
                break
        return self._sites[first] if first < len(self._sites) else None


def _is_all_below(name: str) -> bool:
    return name.startswith("*.") and not is_pattern(name[1:])


class _OwnHosts:
    """The hosts that sites name, put together once: a thousand sites cost hardly more than one."""

    def __init__(self, sites: Sequence[Site]) -> None:
        # "*" says which lines are meant, not that the whole web belongs to the site.
        named = (name for site in sites for name in (site.hostname, *site.match))
        names = [name for name in named if name not in ("", "*")]
        self.patterns = host_patterns(names, "match")
        domains = [
            ascii_host(name.lower().removeprefix("*.")).removeprefix("www.") for name in names
        ]
        self._below = tuple(f".{domain}" for domain in domains)
        self._above = {
            domain.split(".", count)[-1]
            for domain in domains
            for count in range(domain.count(".") + 1)
        }

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def claim(self, host: str) -> bool:
        """Whether a host is one of them, above or below one."""
        return self.patterns.match(host) or host.endswith(self._below) or host in self._above


@lru_cache(maxsize=1024)
def _own_hosts(site: Site) -> _OwnHosts:
    return _OwnHosts((site,))


def vhost_of(logged: str | None) -> str:
    """The vhost as logged → lower case, without port and trailing dot; "" where there is none.

    ``_`` is what nginx logs as $server_name of a catch-all server: no name either. A bare IPv6
    address gets the brackets that a host needs.
    """
    host = (logged or "").strip().lower()
    if host in ("", "-", "_"):
        return ""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    if host.count(":") > 1:
        return f"[{host}]"
    return ascii_host(_PORT.sub("", host))


def host_patterns(names: Sequence[str], key: str) -> Patterns:
    """Patterns over vhosts as `vhost_of` gives them; ``key`` names them in errors."""
    return Patterns(tuple(map(ascii_host, names)), key)


def ascii_host(name: str) -> str:
    """An international name, or a pattern of names, as browsers send it: ``xn--…`` for each label.

    What has no such spelling stays as it is.
    """
    if name.isascii() or name.startswith(PREFIX):
        return name
    return ".".join(label if label.isascii() else _ascii_label(label) for label in name.split("."))


def _ascii_label(label: str) -> str:
    import ada_url  # noqa: PLC0415 - 8 ms that most logs never need

    if GLOB.search(label) is not None:
        return label
    try:
        return ada_url.URL(f"https://{label}.example/").hostname.removesuffix(".example")
    except ValueError:
        return label


def is_host(host: str) -> bool:
    """Whether WHATWG's URL parser, as Umami's Node runs it, takes ``host`` for a host."""
    if _ORDINARY.fullmatch(host) is not None:
        return True
    if not host or _FORBIDDEN.search(host) is not None:
        return False
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        return False  # a port, or an address that lacks its brackets
    import ada_url  # noqa: PLC0415 - 8 ms that most logs never need

    try:
        name = ada_url.URL(f"https://{host}/").hostname
    except ValueError:
        return False
    return bool(name) and spells_names(name)


def spells_names(host: str) -> bool:
    """Whether each ``xn--…`` label of a host stands for a name.

    Node refuses what does not, up to 22, which Umami's own image has; 24 and our parser take it.
    """
    return all(map(_spells_name, host.split(".")))


def _spells_name(label: str) -> bool:
    if not label.startswith("xn--"):
        return True
    try:
        name = label[4:].encode("ascii").decode("punycode")
    except ValueError:
        return False
    return not name.isascii() and _ascii_label(name) == label


def check_site(site: Site, key: str) -> None:
    """Raise ConfigError where Umami would refuse a site's own values for ever."""
    is_name = "*" not in site.hostname and is_host(site.hostname.lower())
    if site.hostname and (len(site.hostname) > MAX_HOSTNAME or not is_name):
        raise ConfigError(
            f"{key}.hostname: {site.hostname!r} is no host name that Umami takes. Write the name "
            f"alone, without https:// and port, such as example.com (at most {MAX_HOSTNAME} "
            "characters); patterns belong under match.",
            key=f"{key}.hostname",
        )
    for i, pattern in enumerate(site.match):
        if not pattern.startswith(PREFIX) and _NO_VHOST.fullmatch(pattern) is not None:
            raise ConfigError(
                f"{key}.match[{i}]: {pattern!r} matches no vhost. Write one name, without "
                "https://, port and path: example.com, *.example.com, or a regular expression "
                "behind re:.",
                key=f"{key}.match[{i}]",
            )
    for name in ("language", "screen", "title"):
        text: str = getattr(site, name)
        if not _is_text(text):
            raise ConfigError(
                f"{key}.{name}: {text!r} has half of a character (a lone surrogate), which no "
                "JSON can hold. Write the whole one, or leave it out.",
                key=f"{key}.{name}",
            )
    for name, longest in (("language", MAX_LANGUAGE), ("screen", MAX_SCREEN)):
        value: str = getattr(site, name)
        if len(value) > longest:
            raise ConfigError(
                f"{key}.{name}: {value!r} is longer than the {longest} characters that Umami "
                "takes.",
                key=f"{key}.{name}",
            )
    if "\0" in site.title or "%00" in site.title:
        raise ConfigError(
            f"{key}.title: Umami cannot store a title with a NUL (or %00) in it.",
            key=f"{key}.title",
        )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
