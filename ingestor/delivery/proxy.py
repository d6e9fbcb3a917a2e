"""The proxy on the way to Umami, as the environment names it.

Read here and not by aiohttp, which would also send Umami what ``~/.netrc`` holds, pass over a
proxy that it cannot use, and show the password of one that it cannot read.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import NamedTuple
from urllib.request import getproxies_environment, proxy_bypass

from yarl import URL

from ingestor.errors import ConfigError

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}  # out of a proxy's reach


class Proxy(NamedTuple):
    """Where requests go instead, and what tells the proxy who we are."""

    url: URL  # without user and password
    headers: dict[str, str]  # for the proxy


def proxy_of(umami: URL) -> Proxy | None:
    """Find the proxy for an Umami in http_proxy or https_proxy, unless no_proxy has its host.

    Raises ConfigError, which names the variable and never its value.
    """
    host = umami.host or ""
    around = (host, f"{host}:{umami.port}")
    if host in _LOOPBACK or any(map(proxy_bypass, around)):
        return None
    value = getproxies_environment().get(umami.scheme)
    return None if not value else _read(value, umami.scheme)


def _read(value: str, scheme: str) -> Proxy:
    try:
        url = URL(value)
    except ValueError:
        url = URL()
    if url.scheme != "http" or not url.host:
        raise ConfigError(
            f"the environment variable {_variable(value, scheme)} names no proxy that can be "
            "used: write http://proxy.example.com:3128 (proxies of https:// or socks:// cannot "
            "be), or set no_proxy to Umami's host"
        )
    if url.user is None and url.password is None:
        return Proxy(url.origin(), {})
    words = b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode("ascii")
    return Proxy(url.origin(), {"Proxy-Authorization": f"Basic {words}"})


def _variable(value: str, scheme: str) -> str:
    names = (f"{scheme}_proxy", f"{scheme}_PROXY".upper())
    return next((name for name in names if os.environ.get(name) == value), names[0])
