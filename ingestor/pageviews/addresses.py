"""The visitor's own address: which one of a chain of proxies, in its canonical spelling, masked.

Umami neither checks nor normalises ``ip``: every other spelling would be another visitor
(found by experiment with Umami 3.1).
"""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, TypeAlias

from ingestor.errors import ConfigError
from ingestor.pageviews.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.pageviews.options import PageViewOptions

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_MAX_HOPS = 32  # of a forwarded list, from the right; no real chain of proxies is as long
_MAX_REMEMBERED = 256  # characters of either field
_BRACKETS = re.compile(r"\[([^\]]*)\](?::\d*)?")
_PORT = re.compile(r"([^:]*):\d*")
# What a proxy writes that does not tell whom it serves (RFC 7239, 6.3), or a local socket.
_UNTOLD = re.compile(
    r"""[ \t"']*+(?:for=)?"?(?:unknown|unix:.*|_[\w.-]+|-)?[ \t"']*""", re.IGNORECASE
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_OCTETS_KEPT = 0xFFFFFF00
_V6_KEPT = ((1 << 48) - 1) << 80
_MAPPED = 96  # bits before an IPv4 address that is written as IPv6
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}", re.ASCII)
# IPv6 as RFC 5952 spells it, by far the most of it: whole, or with one `::` for two groups and
# more, no other zeros beside it and no run of them elsewhere.
_GROUP = r"(?:[1-9a-f][0-9a-f]{0,3}|0)"
_IPV6 = re.compile(
    rf"(?![0-9a-f:]*:0:0)(?!0:0)(?!(?:[0-9a-f:]*:)?0::)(?![0-9a-f:]*::0(?:$|:))"
    rf"(?:{_GROUP}(?::{_GROUP}){{7}}|(?=(?:[0-9a-f]*:){{2,6}}[0-9a-f]*$)"
    rf"{_GROUP}(?::{_GROUP}){{0,4}}::{_GROUP}(?::{_GROUP}){{0,4}})"
)
# In a line: what reads as an IPv4 address (a browser's version 138.0.0.0 stays as it is), and what
# may be IPv6: a run with two colons. A run is looked at once, from its beginning.
_V4_IN_LINE = re.compile(rb"(?<![0-9.])((?:[0-9]{1,3}\.){3})[0-9]{1,3}(?!\.?[0-9])")
_V6_IN_LINE = re.compile(
    rb"(?<![0-9A-Za-z.:])(?=[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]{2,45}(?![0-9A-Za-z_])"
)
_COLONS = 6  # of an IPv6 address that is not shortened, at the least


class Addresses:
    """Client addresses, as configured; answers are remembered."""

    def __init__(self, options: PageViewOptions) -> None:
        self._trusted = Networks(options.trusted_proxies, "pageviews.trusted_proxies")
        self.trusts_proxies = bool(self._trusted)
        self._include = Networks(options.include_addresses, "pageviews.include_addresses")
        self._exclude = Networks(options.exclude_addresses, "pageviews.exclude_addresses")
        self._anonymize = options.anonymize_ip
        # Then an address in its canonical spelling is its own answer.
        self._as_logged = not (self._trusted or self._exclude or self._anonymize)
        self._alone: Remembered[str, str | None] = Remembered(
            lambda logged: self._client(logged, "", ""), limit=16384, longest=64
        )
        self._behind: Remembered[tuple[str, str, str], str | None] = Remembered(
            lambda told: self._client(*told), limit=16384
        )

    def client(
        self, logged: str, forwarded_for: str | None, real_ip: str | None = None
    ) -> str | None:
        """The address to send; "" where the operator excludes it, None where there is none.

        ``logged`` is the address field, perhaps itself a list; ``forwarded_for`` the whole list
        of X-Forwarded-For. Read from the right, the first address that is no trusted proxy is
        the visitor: what stands left of it was written by the visitor's side and may be invented.
        Where all of them are proxies, what one of these told in ``real_ip`` (X-Real-IP and the
        like) counts.
        """
        if self._as_logged and (
            _IPV4.fullmatch(logged) is not None or _IPV6.fullmatch(logged) is not None
        ):
            return logged
        if not self._trusted or not (forwarded_for or real_ip):
            return self._alone[logged]
        told = logged, forwarded_for or "", real_ip or ""
        if max(map(len, told)) > _MAX_REMEMBERED:
            return self._client(*told)
        return self._behind[told]

    def _client(self, logged: str, forwarded_for: str, real_ip: str) -> str | None:
        address = self._visitor(logged, forwarded_for)
        if real_ip and (address is None or address in self._trusted):
            address = self._visitor(logged, real_ip) or address
        if address is None:
            return None
        if address in self._exclude and address not in self._include:
            return ""
        return str(masked(address)) if self._anonymize else str(address)

    def _visitor(self, logged: str, forwarded_for: str) -> Address | None:
        hops = logged.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]
        if not self._trusted:
            # The nearest hop is the only one that the server saw itself.
            return parse(hops[-1])
        if forwarded_for:
            hops = forwarded_for.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:] + hops
        furthest = None
        for hop in reversed(hops):
            address = parse(hop)
            if address is None:
                if _UNTOLD.fullmatch(hop):  # the proxy at its left knows
                    continue
                break  # a name, say: nobody vouches for what stands left of it
            if address not in self._trusted:
                return address
            furthest = address
        return furthest


def parse(text: str) -> Address | None:
    """One address in any of the spellings that logs and proxies have; None: it is none.

    Ports, brackets, quotes, an IPv6 scope, and the ``for=`` of a Forwarded header go;
    ``::ffff:192.0.2.1`` is 192.0.2.1.
    """
    text = text.strip(" \t\"'")
    if text[:4].lower() == "for=":
        text = text[4:].partition(";")[0].strip(" \t\"'")
    if len(text) > 64:  # noqa: PLR2004 - beyond any address with scope, brackets and port
        return None
    match = _BRACKETS.fullmatch(text) or _PORT.fullmatch(text)
    if match is not None:
        text = match[1]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def masked(address: Address) -> Address:
    """Without its last octet, or without the last 80 of its 128 bits."""
    if isinstance(address, IPv4Address):
        return IPv4Address(int(address) & _OCTETS_KEPT)
    return IPv6Address(int(address) & _V6_KEPT)


def mask_addresses(line: bytes) -> bytes:
    """The line with everything that reads as an address masked, wherever it stands in it."""
    line = _V4_IN_LINE.sub(rb"\g<1>0", line)
    if b"::" in line or line.count(b":") >= _COLONS:
        return _V6_IN_LINE.sub(_mask_v6, line)
    return line


def _mask_v6(match: re.Match[bytes]) -> bytes:
    text = match[0].decode("ascii")
    if "::" not in text and text.count(":") < _COLONS:  # a time of day
        return match[0]
    # A full stop or a port may follow: the address is what can be parsed of it.
    for candidate in (text, text.rstrip(".:"), text.rpartition(":")[0]):
        try:
            address = IPv6Address(candidate)
        except ValueError:
            continue
        if address.ipv4_mapped is not None:
            return f"::ffff:{masked(address.ipv4_mapped)}{text[len(candidate) :]}".encode()
        return f"{masked(address)}{text[len(candidate) :]}".encode()
    return match[0]


class Networks:
    """CIDR networks, looked up by their first bits: ten thousand cost hardly more than ten.

    Raises ConfigError naming the place in the list and what would be right.
    """

    def __init__(self, texts: Sequence[str], key: str) -> None:
        # IP version → prefix length, of which few differ → the prefixes.
        self._prefixes: dict[int, dict[int, set[int]]] = {}
        for i, text in enumerate(texts):
            try:
                network = _unmapped(ipaddress.ip_network(text.strip()))
            except ValueError:
                raise ConfigError(_wrong_network(text, f"{key}[{i}]"), key=f"{key}[{i}]") from None
            of_version = self._prefixes.setdefault(network.version, {})
            prefix = _first_bits(network.network_address, network.prefixlen)
            of_version.setdefault(network.prefixlen, set()).add(prefix)

    def __bool__(self) -> bool:
        return bool(self._prefixes)

    def __contains__(self, address: Address) -> bool:
        """Whether the address lies in one of the networks."""
        of_version = self._prefixes.get(address.version, {})
        return any(
            _first_bits(address, length) in prefixes for length, prefixes in of_version.items()
        )


def _unmapped(network: Network) -> Network:
    """Of addresses as `parse` gives them: ``::ffff:192.0.2.0/120`` is 192.0.2.0/24."""
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED))
    return network


def _first_bits(address: Address, length: int) -> int:
    return int(address) >> (address.max_prefixlen - length)


def _wrong_network(text: str, key: str) -> str:
    try:
        meant = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return (
            f"{key}: {text!r} is no network. Write an address or a network in CIDR notation, such "
            "as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32."
        )
    return f"{key}: {text!r} has bits set beyond its prefix. Did you mean {str(meant)!r}?"
