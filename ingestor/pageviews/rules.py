"""Is a hit a page view? The order of the reasons, and the verdicts for the hot loop.

The order is the same everywhere, so that counts never depend on the way a line took, and cheap
before dear: method, target, asset, path; status; no_user_agent, bot, user_agent; query; target
(another site's); prefetch; subresource; bad_address; host, no_site; address; referrer; date;
unstorable.

`Rules.requests`, `statuses` and `agents` judge the raw fields of a line by look-up, before anything
is parsed. Where the bytes are not plain enough to be sure what a parser would make of them, they do
not decide (None), and the line is for the parser and `Rules.decide`. A line that passes all three
(True) is for the parser and `Rules.page_view`. Where they decide, they decide as `decide` does; a
test holds them to it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import unquote_plus

from ingestor.model import Payload, Reason
from ingestor.pageviews.addresses import Addresses, mask_addresses
from ingestor.pageviews.bots import Bots
from ingestor.pageviews.fetches import is_prefetch, is_subresource
from ingestor.pageviews.methods import methods_of, statuses_of
from ingestor.pageviews.paths import ARTICLES, extension_of, is_article, path_of, plain_asset
from ingestor.pageviews.patterns import Patterns, path_patterns
from ingestor.pageviews.payload import (
    MAX_USER_AGENT,
    Shaper,
    absolute_host,
    is_page_target,
    plain_text,
)
from ingestor.pageviews.queries import Queries
from ingestor.pageviews.remembered import Remembered
from ingestor.pageviews.shortcut import RawReferrer, RawValues, Start, shortcut, starts_by_vhost
from ingestor.pageviews.sites import Sites, check_site, host_patterns, vhost_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingestor.model import Hit
    from ingestor.pageviews.options import PageViewOptions
    from ingestor.pageviews.shortcut import Shortcut
    from ingestor.pageviews.sites import Place, Site

Verdict: TypeAlias = Reason | tuple[str, Payload]
"""A reason, or the website (lower-case UUID) and Umami's payload, complete but for the tag."""
RawVerdict: TypeAlias = Reason | Literal[True] | None
"""Of a raw field: a reason; True, it passes; None, these bytes are for a parser to judge."""

# A request that every parser reads alike: one method, one target of plain ASCII without
# backslash or quote in a form that requests have, one protocol.
_PLAIN_REQUEST = re.compile(
    rb"(?!CONNECT [^/])([A-Z]{1,32}) ((?:/|[A-Za-z][A-Za-z0-9+.-]{0,31}://(?![/?# ]))[!#-\[\]-~]*+)"
    rb" HTTP/\d(?:\.\d)?"
)
_PLAIN_QUERY = re.compile(rb"[!#-\[\]-~]*")
_BEHIND_TARGET = -len(" HTTP/1.1")
_PLAIN_AGENT = re.compile(rb"[ !#-\[\]-~]*")
_MAX_TIME = 8_640_000_000_000  # Unix seconds; Umami answers 500 for ever beyond
_MAX_UNPLACED = 1000  # vhosts without a site that are remembered …
_MAX_VHOST = 253  # … and characters of each: DNS has no longer name
_MAX_DEFAULTS = 1024  # sites that places are remembered for
_PROXIED = re.compile(r"http://(?:[^/?#\\@]*@)?([^/?#\\@:]+)(:\d+)?(?=[/?#]|\Z)", re.IGNORECASE)


class Rules:
    """The rules as configured. Raises ConfigError naming the key where one cannot be right.

    ``since`` and ``until`` are Unix seconds; a hit counts from ``since`` to just before
    ``until``. For a prefilter: ``methods`` are those that count, ``assets`` holds the lower-case
    extensions of assets without the dot, ``articles`` begins paths of which the extension alone
    does not decide, and ``paths_override_assets`` says so of all.
    """

    def __init__(
        self,
        options: PageViewOptions,
        sites: Sequence[Site],
        *,
        since: int | None = None,
        until: int | None = None,
    ) -> None:
        self._options = options
        self._methods = self.methods = methods_of(options.methods)
        self._statuses = statuses_of(options.statuses)
        self.assets = frozenset(text.lower().lstrip("*.") for text in options.assets)
        self.articles = ARTICLES.encode()
        self._include_paths = path_patterns(options.include_paths, "pageviews.include_paths")
        self._exclude_paths = path_patterns(options.exclude_paths, "pageviews.exclude_paths")
        self.paths_override_assets = bool(self._include_paths)
        self._plain_asset = None
        if not self.paths_override_assets:
            self._plain_asset = plain_asset(self.methods, self.assets)
        self._exclude_parameters = Patterns(
            options.exclude_parameters, "pageviews.exclude_parameters"
        )
        self._include_hosts = host_patterns(options.include_hosts, "pageviews.include_hosts")
        self._exclude_hosts = host_patterns(options.exclude_hosts, "pageviews.exclude_hosts")
        self._include_agents = Patterns(
            options.include_user_agents, "pageviews.include_user_agents"
        )
        self._exclude_agents = Patterns(
            options.exclude_user_agents, "pageviews.exclude_user_agents"
        )
        self._include_referrers = Patterns(options.include_referrers, "pageviews.include_referrers")
        self._exclude_referrers = Patterns(options.exclude_referrers, "pageviews.exclude_referrers")
        self._bots = Bots(also=options.also_bots, never=options.never_bots)
        self._addresses = Addresses(options)
        self._queries = Queries(options)
        self._shaper = Shaper(self._queries)
        self._sites = Sites(sites)
        # Vhosts that page views were for and no site is, in the order they were met; a bounded
        # number. "": lines without a vhost.
        self.unplaced: dict[str, None] = {}
        self._since = since
        self._until = until
        self.masks_lines = options.anonymize_ip or self._queries.masks_lines
        self._remember()

    def _remember(self) -> None:
        self._targets: Remembered[str, Reason | None] = Remembered(
            self._judge_target, limit=16384, longest=256
        )
        self._agents: Remembered[str, tuple[str, Reason | None]] = Remembered(
            self._judge_agent, limit=8192
        )
        self._places: dict[int, Remembered[str, Place | Reason]] = {}
        self._starts = lru_cache(_MAX_DEFAULTS)(self._starts_with)  # files of a site share them
        self._query_excluded: Remembered[str, bool] = Remembered(
            self._judge_query, limit=4096, longest=256
        )
        self._referrer_excluded: Remembered[str, bool] = Remembered(
            self._judge_referrer, limit=4096
        )
        # Method, target, asset and path of a quoted request line.
        self.requests: Remembered[bytes, RawVerdict] = Remembered(
            self._judge_request, limit=16384, longest=256
        )
        self.paths: Remembered[bytes, RawVerdict] = Remembered(
            self._judge_path, limit=16384, longest=256
        )
        self.statuses: Remembered[bytes, RawVerdict] = Remembered(self._judge_status, limit=1024)
        self.agents: Remembered[bytes, RawVerdict] = Remembered(self._judge_raw_agent, limit=8192)
        self._raw = RawValues(
            client=lambda logged: self._addresses.client(logged, None),
            referrer=self._raw_referrer,
            url=self._raw_url,
            query_stays=self._stays,
            user_agent=lambda logged: self._agents[logged][0],
            language=self._shaper.language,
        )

    def decide(self, hit: Hit, default: Site | None = None) -> Verdict:
        """Judge a hit. ``default`` is the source's own site, for lines without a vhost."""
        if hit.method not in self._methods:
            return Reason.METHOD
        reason = self._targets[hit.target.partition("?")[0]]
        if reason is not None:
            return reason
        if hit.status not in self._statuses:
            return Reason.STATUS
        reason = self._agents[hit.user_agent or ""][1]
        if reason is not None:
            return reason
        return self.page_view(hit, default)

    def page_view(self, hit: Hit, default: Site | None = None) -> Verdict:
        """Judge a hit whose request, status and user agent have passed already."""
        reason = self._unseen(hit, default)
        if reason is not None:
            return reason
        address = self._addresses.client(hit.address, hit.forwarded_for, hit.real_ip)
        place = Reason.BAD_ADDRESS if address is None else self._place(hit, default)
        if isinstance(place, Reason):
            return place
        if not address:
            return Reason.ADDRESS
        if self._exclude_referrers and self._referrer_excluded[hit.referrer or ""]:
            return Reason.REFERRER
        if self._outside_of_dates(hit.time):
            return Reason.DATE
        return self._payload(hit, place, address)

    def _unseen(self, hit: Hit, default: Site | None) -> Reason | None:
        """Why nobody looked at what was sent, as far as the request tells."""
        if self._excludes_query_of(hit.target):
            return Reason.QUERY
        if not hit.target.startswith("/") and self._is_of_others(hit, default):
            return Reason.TARGET
        if hit.purpose and self._options.filter_prefetch and is_prefetch(hit.purpose):
            return Reason.PREFETCH
        if self._options.filter_subresources and is_subresource(hit):
            return Reason.SUBRESOURCE
        return None

    def _is_of_others(self, hit: Hit, default: Site | None) -> bool:
        """Whether the target is another site's page: a scanner looks for an open proxy.

        Balancers write all targets with scheme and host, AWS with the port, HAProxy for HTTP/2.
        Without a vhost in the log such lines are left alone.
        """
        match = _PROXIED.match(hit.target)
        if match is None or not hit.protocol.startswith("HTTP/1") or (match[2] and not hit.host):
            return False
        host = vhost_of(match[1])
        return host != vhost_of(hit.host) and not self._sites.claims(host, default)

    def shortcut(self, columns: Mapping[str, int], default: Site | None) -> Shortcut | None:
        """Give a faster `page_view` for columns of plain lines (see shortcut.py).

        ``columns`` names where the fields stand. None where page views need their hits.
        """
        if self._addresses.trusts_proxies:
            return None
        return shortcut(
            self._raw,
            columns,
            self._starts(default),
            filter_prefetch=self._options.filter_prefetch,
            filter_subresources=self._options.filter_subresources,
            since=self._since,
            until=self._until,
        )

    def mask_line(self, line: bytes) -> bytes:
        """A raw line as it may be kept: masked as what is sent of it is."""
        if not self.masks_lines:
            return line
        if self._options.anonymize_ip:
            line = mask_addresses(line)
        if self._queries.masks_lines:
            line = self._queries.mask_line(line.decode("latin-1")).encode("latin-1")
        return line

    def _place(self, hit: Hit, default: Site | None) -> Place | Reason:
        """Where the hit belongs; the host of an absolute target wins over nothing."""
        logged = hit.host
        if not logged:
            logged = "" if hit.target.startswith("/") else absolute_host(hit.target) or ""
        return self._placed(logged, default)

    def _placed(self, logged: str, default: Site | None) -> Place | Reason:
        return (self._places.get(id(default)) or self._places_with(default))[logged]

    def _starts_with(self, default: Site | None) -> Remembered[bytes, Start | Reason]:
        return starts_by_vhost(lambda logged: self._placed(logged, default))

    def _places_with(self, default: Site | None) -> Remembered[str, Place | Reason]:
        """Places by logged host. The default is held on to, so that its id stays its own."""

        def judge(logged: str, default: Site | None = default) -> Place | Reason:
            vhost = vhost_of(logged)
            excluded = vhost and self._exclude_hosts.match(vhost)
            if excluded and not self._include_hosts.match(vhost):
                return Reason.HOST
            place = self._sites.place(vhost, default)
            if place is None:
                if len(self.unplaced) < _MAX_UNPLACED and len(vhost) <= _MAX_VHOST:
                    self.unplaced[vhost] = None
                return Reason.NO_SITE
            return place

        if len(self._places) >= _MAX_DEFAULTS:
            self._places.clear()
        if default is not None:
            check_site(default, "site")
        places: Remembered[str, Place | Reason] = Remembered(judge, limit=4096)
        self._places[id(default)] = places
        return places

    def _outside_of_dates(self, time: int) -> bool:
        return (self._since is not None and time < self._since) or (
            self._until is not None and time >= self._until
        )

    def _payload(self, hit: Hit, place: Place, address: str) -> Verdict:
        website, hostname, language, screen, title, own = place
        url = self._shaper.url(hit.target, hostname)
        if url is None or not 0 < hit.time <= _MAX_TIME:
            return Reason.UNSTORABLE
        if hit.accept_language:
            language = self._shaper.language(hit.accept_language) or language
        referrer = ""
        if hit.referrer and hit.referrer != "-":
            referrer, host = self._shaper.referrer(hit.referrer)
            # Umami's tracker leaves out its own origin. Logs rarely know scheme and port as the
            # visitor saw them, so the host decides; and where the log does not even tell the
            # host, any name of the site's may be the page's own.
            if host == hostname or (own is not None and own.match(host)):
                referrer = ""
        return website, {
            "website": website,
            "hostname": hostname,
            "screen": screen,
            "title": title,
            "language": language,
            "referrer": referrer,
            "url": url,
            "ip": address,
            "userAgent": self._agents[hit.user_agent or ""][0],
            "timestamp": hit.time,
        }

    def _judge_request(self, request: bytes) -> RawVerdict:
        # What is asked of a path decides nothing, and paths come again more often.
        before, mark, behind = request.partition(b"?")
        if mark:
            query, space, protocol = behind.rpartition(b" ")
            if not space or _PLAIN_QUERY.fullmatch(query) is None:
                return None
            return self.requests[b"%b %b" % (before, protocol)]
        if (
            self._plain_asset is not None
            and b"." in request[:_BEHIND_TARGET]
            and self._plain_asset.fullmatch(request) is not None
        ):
            return Reason.ASSET
        match = _PLAIN_REQUEST.fullmatch(request)
        if match is None:
            return None
        if match[1].decode("ascii") not in self._methods:
            return Reason.METHOD
        return self._targets[match[2].decode("ascii")] or True

    def _judge_path(self, path: bytes) -> RawVerdict:
        """Judge what `Block.requests` gives: the path of a GET, or a space and a whole request."""
        if path.startswith(b" "):
            return self.requests[path[1:]]
        return self._judge_request(b"GET %b HTTP/1.1" % path)

    def _judge_target(self, target: str) -> Reason | None:
        """Judge a target, of which only what stands before its query matters."""
        if not is_page_target(target):
            return Reason.TARGET
        path = path_of(target)
        if self._include_paths.match(path):
            return None
        if extension_of(path) in self.assets and not is_article(target, path):
            return Reason.ASSET
        return Reason.PATH if self._exclude_paths.match(path) else None

    def _judge_status(self, status: bytes) -> RawVerdict:
        if len(status) != 3 or not status.isdigit():  # noqa: PLR2004 - no parser takes another
            return None
        return True if int(status) in self._statuses else Reason.STATUS

    def _judge_raw_agent(self, raw: bytes) -> RawVerdict:
        if _PLAIN_AGENT.fullmatch(raw) is None:
            return None
        return self._judge_agent(raw.decode("ascii"))[1] or True

    def _judge_agent(self, logged: str) -> tuple[str, Reason | None]:
        """The user agent as it would be sent, and the reason against it."""
        text = plain_text(logged[: MAX_USER_AGENT + 1]).strip()
        if text in ("", "-"):
            return "", Reason.NO_USER_AGENT if self._options.require_user_agent else None
        sent = text[:MAX_USER_AGENT]
        if self._options.filter_bots and self._bots.is_bot(text):
            return sent, Reason.BOT
        if self._exclude_agents.match(sent) and not self._include_agents.match(sent):
            return sent, Reason.USER_AGENT
        return sent, None

    def _raw_referrer(self, logged: str) -> RawReferrer:
        if self._exclude_referrers and self._referrer_excluded[logged]:
            return RawReferrer(excluded=True, url="", host="")
        url, host = self._shaper.referrer(logged) if logged else ("", "")
        return RawReferrer(excluded=False, url=url, host=host)

    def _judge_query(self, query: str) -> bool:
        """Whether a query has a parameter that says that this is no page."""
        excluded = self._exclude_parameters
        pairs = map(unquote_plus, query.split("&"))
        return any(excluded.match(pair) or excluded.match(pair.partition("=")[0]) for pair in pairs)

    def _excludes_query_of(self, target: str) -> bool:
        if not self._exclude_parameters:
            return False
        query = target.partition("?")[2].partition("#")[0]
        return bool(query) and self._query_excluded[query]

    def _stays(self, query: str) -> bool:
        """Tell quickly that a query would be sent as it is; False: perhaps."""
        return self._queries.stays(query) and not (
            self._exclude_parameters and self._query_excluded[query]
        )

    def _raw_url(self, raw: bytes) -> str | None:
        """Give the url of a target, or of a request behind a space; or the reason against it.

        None where the hit has to be looked at: of a query nothing is known yet.
        """
        if raw.startswith(b" "):
            raw = raw[1:].partition(b" ")[2].rpartition(b" ")[0]
        if not raw.isascii() or b" " in raw:
            return None
        target = raw.decode("ascii")
        if self._excludes_query_of(target):
            return Reason.QUERY
        ordinary = target.startswith("/") and not target.startswith("//")
        return self._shaper.url(target, "") if ordinary else None

    def _judge_referrer(self, logged: str) -> bool:
        if logged in ("", "-"):
            return False
        host = self._shaper.referrer(logged).host
        excluded, included = self._exclude_referrers, self._include_referrers
        return (excluded.match(logged) or excluded.match(host)) and not (
            included.match(logged) or included.match(host)
        )
