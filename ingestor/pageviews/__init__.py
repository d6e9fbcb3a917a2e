"""Hits become page views, or the reason why not. Pure."""

from ingestor.pageviews.options import PageViewOptions
from ingestor.pageviews.rules import Rules, Verdict
from ingestor.pageviews.sites import Site, check_site

__all__ = ["PageViewOptions", "Rules", "Site", "Verdict", "check_site"]
