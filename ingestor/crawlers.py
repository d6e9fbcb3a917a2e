"""The maintained list of crawlers (crawler-user-agents), read as the UTF-8 that it is.

The package itself opens it by the locale, which on some servers is EUC-JP or plain ASCII, and fails
there; so it is never imported.
"""

from __future__ import annotations

from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec

import orjson

_PACKAGE, _LIST = "crawleruseragents", "crawler-user-agents.json"


@cache
def patterns() -> tuple[str, ...]:
    """Give the regular expressions of the list. Raises ImportError where it is not installed."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{_PACKAGE} is not installed", name=_PACKAGE)
    loader = SourceFileLoader(_PACKAGE, "")
    data = loader.get_data(f"{spec.submodule_search_locations[0]}/{_LIST}")
    return tuple(str(entry["pattern"]) for entry in orjson.loads(data))
