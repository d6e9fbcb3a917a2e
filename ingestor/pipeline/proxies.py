"""Page views that come from a proxy instead of from visitors: told before any of them is sent.

Umami would take all people behind it for one visitor a browser, of no country, for ever.
"""

from __future__ import annotations

import logging
from collections import Counter
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingestor.config import Config
    from ingestor.model import PageView

log = logging.getLogger("ingestor")

_ENOUGH = 20  # page views that a warning rests on
_MOST = 2_000  # … and that are looked at
_SHARE = 0.95
_INSIDE = [
    ip_network(each)
    for each in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
]


class Proxies:
    """Looks at the addresses of the first page views of a run."""

    def __init__(self, config: Config) -> None:
        self._is_told = bool(config.pageviews.trusted_proxies)
        self._seen: Counter[str] = Counter()

    def note(self, page_views: Iterable[PageView]) -> None:
        """Look at page views, until there are enough."""
        for page_view in page_views:
            if self._is_told or self._seen.total() >= _MOST:
                return
            self.note_address(str(page_view.payload.get("ip", "")))

    def note_address(self, address: str) -> None:
        """Count one page view by the address that would be sent."""
        self._seen[address] += 1

    @property
    def trouble(self) -> tuple[str, str]:
        """What is wrong, and what to do; empty where nothing is."""
        total = self._seen.total()
        inside = Counter({each: n for each, n in self._seen.items() if _is_inside(each)})
        if self._is_told or total < _ENOUGH or inside.total() < _SHARE * total:
            return "", ""
        most = inside.most_common(1)[0][0]
        text = (
            f"{inside.total() / total:.0%} of the page views that were looked at come from a "
            f"private network, most of them from {most}: behind a proxy, all people would count "
            "as a few visitors of no country"
        )
        advice = (
            f'set pageviews.trusted_proxies: ["{most}"] where the log has X-Forwarded-For or '
            "X-Real-IP, else have it logged; of an intranet's own people it is right so"
        )
        return text, advice

    def tell(self) -> None:
        """Warn, where there is something to warn of."""
        text, advice = self.trouble
        if text:
            log.warning("%s; %s.", text, advice)


def _is_inside(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _INSIDE)
