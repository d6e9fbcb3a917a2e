"""Which vhosts of the logs belong to no site, how much that is, and which sites get none."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import filterfalse
from typing import TYPE_CHECKING

from ingestor.model import Reason
from ingestor.pageviews.patterns import is_pattern
from ingestor.pageviews.sites import Sites, vhost_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.config import Config
    from ingestor.pipeline.checks.logs import Sample
    from ingestor.pipeline.checks.remarks import Remarks

_WORTH = 0.01  # of all sampled lines: every public server is asked for a few names that are none
_SHOWN = 10


def check_vhosts(config: Config, samples: Sequence[Sample], remarks: Remarks) -> None:
    """Name vhosts whose lines are filtered for having no site, or go to another than named."""
    sites = Sites(config.sites)
    _check_order(config, sites, remarks)
    lines: Counter[str] = Counter()
    where: dict[str, set[str]] = defaultdict(set)
    excluded: set[str] = set()
    total = 0
    for sample in samples:
        total += len(sample.hits)
        for hit, verdict in sample.hits:
            vhost = vhost_of(hit.host)
            if verdict is Reason.HOST:
                excluded.add(vhost)
            elif vhost and sites.place(vhost, sample.site) is None:
                lines[vhost] += 1
                where[vhost].add(sample.name)
    unmatched = {vhost: n for vhost, n in lines.most_common() if vhost not in excluded}
    worth = [vhost for vhost, n in unmatched.items() if n >= _WORTH * total]
    for vhost in worth[:_SHOWN]:
        share = unmatched[vhost] / total
        names = sorted(where[vhost])
        more = f" and {len(names) - 1} more logs" if len(names) > 1 else ""
        remarks.warn(
            "vhost_without_site",
            vhost,
            f"this vhost matches no site: {share:.1%} of the sampled lines, in {names[0]}{more}",
            "add it to match: of a site, or to pageviews.exclude_hosts",
        )
    rest = len(unmatched) - len(worth[:_SHOWN])
    if rest:
        share = sum(list(unmatched.values())[len(worth[:_SHOWN]) :]) / total
        text = f"{rest} more vhosts match no site: {share:.1%} of the sampled lines"
        remarks.ok("vhosts", "", text)


def _check_order(config: Config, sites: Sites, remarks: Remarks) -> None:
    """Name vhosts that a site is meant to have, and that an earlier one takes."""
    for i, site in enumerate(config.sites):
        for name in filterfalse(is_pattern, site.match or (site.hostname,)):
            place = sites.place(vhost_of(name), site)
            if place is not None and place.website != site.website.lower():
                remarks.warn(
                    "vhost_taken",
                    f"sites[{i}]",
                    f"{name} goes to the website {place.website}, whose match stands before",
                    "put this site before that one, or take the name out of one of them",
                )
