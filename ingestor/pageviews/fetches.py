"""What a browser says that it fetches a target for: ahead of need, or as a part of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestor.model import Hit

# Sec-Fetch-Dest of what a page is put together from (Fetch standard, "destination").
_PARTS = frozenset(
    "audio audioworklet font image json manifest paintworklet report script serviceworker "
    "sharedworker speculationrules style track video webidentity worker xslt".split()
)
_XHTML = "application/xhtml+xml"
_PREFETCHES = ("prefetch", "prerender", "preview", "preload")


def is_prefetch(purpose: str) -> bool:
    """Whether Sec-Purpose, Purpose or X-Moz says that nobody has asked for the page yet."""
    lowered = purpose[:256].lower()
    return any(word in lowered for word in _PREFETCHES)


def is_subresource(hit: Hit) -> bool:
    """Whether the browser says that the answer is no page: it goes into one, or to its script.

    Of what scripts fetch, pages are those that ask for XHTML as browsers do: Turbo shows them to
    people. So does ``<link rel=prefetch>``, in a mode of its own. A service worker's fetch for a
    page has the mode of what it stands for.
    """
    dest = (hit.fetch_dest or "").lower()
    if dest in _PARTS:
        return hit.fetch_mode != "navigate"
    told = hit.fetch_mode or hit.accept  # else a script's fetch may be for a page as well
    by_script = dest == "empty" and bool(told)
    by_script = by_script or (hit.requested_with or "").lower() == "xmlhttprequest"
    may_show = _XHTML in (hit.accept or "") and hit.fetch_mode != "no-cors"
    return by_script and hit.fetch_mode != "navigate" and not may_show
