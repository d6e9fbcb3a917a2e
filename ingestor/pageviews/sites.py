"""Which website a hit belongs to, and the host name it is recorded under."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ingestor.errors import ConfigError
from ingestor.pageviews.patterns import Patterns
from ingestor.pageviews.remembered import Remembered

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
    """A site, and the host name to record."""

    site: Site
    hostname: str
    sure: bool  # the hit named its own host: a referrer from another one is no internal link


class Sites:
    """The configured sites, first match wins; answers are remembered by vhost."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites: list[tuple[Site, Patterns]] = []
        for i, site in enumerate(sites):
            check_site(site, f"sites[{i}]")
            patterns = Patterns(site.match or (site.hostname,), f"sites[{i}].match")
            self._sites.append((site, patterns))
        self._only = sites[0] if len(sites) == 1 else None
        self._default_patterns: dict[Site, Patterns] = {}
        self._by_vhost: Remembered[str, Site | None] = Remembered(self._find, limit=4096)

    def place(self, vhost: str, default: Site | None) -> Place | None:
        """Where a hit belongs; None: nowhere.

        ``vhost`` is the name as `vhost_of` gives it, "" without one. A vhost goes by the sites'
        patterns alone, and ``default``, the source's own site, stands in only where there is no
        vhost or no site is configured. With neither, the only site there is takes the hit.
        """
        if not vhost:
            site = default or self._only
            return None if site is None else Place(site, site.hostname.lower(), sure=False)
        site = self._by_vhost[vhost] if self._sites else default
        if site is None:
            return None
        valid = len(vhost) <= MAX_HOSTNAME and is_host(vhost)
        return Place(site, vhost if valid else site.hostname.lower(), sure=True)

    def owns(self, site: Site, host: str) -> bool:
        """Whether ``host`` (lower case, no port) is one of the site's own names."""
        if host == site.hostname.lower():
            return True
        patterns = self._default_patterns.get(site)
        if patterns is None:
            # "*" says which lines are meant, not that the whole web belongs to the site.
            names = tuple(p for p in site.match if p != "*")
            patterns = self._default_patterns[site] = Patterns(names, "match")
        return patterns.match(host)

    def _find(self, vhost: str) -> Site | None:
        return next((site for site, patterns in self._sites if patterns.match(vhost)), None)


def vhost_of(logged: str | None) -> str:
    """The vhost as logged → lower case, without port and trailing dot; "" where there is none.

    ``_`` is what nginx logs as $server_name of a catch-all server: no name either. A bare IPv6
    address gets the brackets that a host needs. International names stay as logged.
    """
    host = (logged or "").strip().lower()
    if host in ("", "-", "_"):
        return ""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    if host.count(":") > 1:
        return f"[{host}]"
    return _PORT.sub("", host)


def is_host(host: str) -> bool:
    """Whether WHATWG's URL parser, as Umami's Node runs it, takes ``host`` for a host."""
    if _ORDINARY.fullmatch(host) is not None:
        return True
    if not host or _FORBIDDEN.search(host) is not None:
        return False
    import ada_url  # noqa: PLC0415 - 8 ms that most logs never need

    try:
        return bool(ada_url.URL(f"https://{host}/").hostname)
    except ValueError:
        return False


def check_site(site: Site, key: str) -> None:
    """Raise ConfigError where Umami would refuse a site's own values for ever."""
    if site.hostname and (len(site.hostname) > MAX_HOSTNAME or not is_host(site.hostname.lower())):
        raise ConfigError(
            f"{key}.hostname: {site.hostname!r} is no host name that Umami takes. Write the name "
            f"alone, without https:// and port, such as example.com (at most {MAX_HOSTNAME} "
            "characters).",
            key=f"{key}.hostname",
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
