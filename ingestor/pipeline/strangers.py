"""Vhosts that match no site: each named once in the log, and no more than a person reads."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestor.pageviews import Rules

log = logging.getLogger("ingestor")

_NAMED = 20  # visitors choose what a vhost is called, where the log has the Host header


class Strangers:
    """Tells of the vhosts that the rules met and that belong nowhere."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._told = 0

    def tell(self) -> None:
        """Warn of those that are new; cheap where there are none."""
        unplaced = self._rules.unplaced
        if len(unplaced) <= self._told or self._told > _NAMED:
            return
        for vhost in islice(unplaced, self._told, _NAMED):
            if vhost:
                log.warning(
                    "The vhost %s matches no site, so its page views are left out (no_site). Add "
                    "it to match: of a site, or to pageviews.exclude_hosts.",
                    vhost,
                )
            else:
                log.warning(
                    "There are lines without a vhost, and page views among them are left out "
                    "(no_site). Name the site of their source with site:."
                )
        self._told = len(unplaced)
        if self._told > _NAMED:
            log.warning(
                "More than %d vhosts match no site; the others are counted (no_site) and not "
                "named. `ingestor check` names those with a share worth it.",
                _NAMED,
            )
