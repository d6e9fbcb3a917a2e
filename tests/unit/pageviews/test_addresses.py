"""Which address is the visitor's, how it is spelled, and that masking leaves none behind."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import counting_calls

from ingestor.errors import ConfigError
from ingestor.model import Hit, Reason
from ingestor.pageviews import PageViewOptions, Rules
from ingestor.pageviews.addresses import (
    _IPV6,
    Addresses,
    Networks,
    mask_addresses,
    masked,
    parse,
)

PROXIES = ("10.0.0.0/8", "2001:db8:1::/48", "198.51.100.7")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("81.2.69.142", "81.2.69.142"),
        (" 81.2.69.142 ", "81.2.69.142"),
        ("81.2.69.142:4711", "81.2.69.142"),
        ('"81.2.69.142:4711"', "81.2.69.142"),
        ("::ffff:81.2.69.142", "81.2.69.142"),
        ("::FFFF:5102:458E", "81.2.69.142"),
        ("[::ffff:81.2.69.142]:80", "81.2.69.142"),
        ("2A02:8071:0:0::1", "2a02:8071::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("[2a02:8071::1]", "2a02:8071::1"),
        ("[2a02:8071::1]:443", "2a02:8071::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
    ],
)
def test_every_spelling_becomes_the_canonical_one(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "-", "unknown", "_hidden", "for=_secret", "unix:", "localhost", "256.1.1.1", "1.2.3",
     "010.1.1.1", "1.2.3.4.5", "::g", "1::2::3", "crawl-66-249-66-1.example.net", "1" * 100,
     "\u0663.1.1.1"],
)  # fmt: skip
def test_what_is_no_address_gives_none(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("piece", [" ", "\t", '"', "'", "\"'", "for=", "_", "unix:", "unknown"])
def test_no_forwarded_list_takes_long_to_read(piece: str) -> None:
    """200,000 characters take a moment where the time grows with the length, and else minutes."""
    addresses = Addresses(PageViewOptions(trusted_proxies=PROXIES))
    began = time.process_time()
    assert addresses.client("10.0.0.2", f"81.2.69.142, {piece * (200_000 // len(piece))}!")
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("logged", "forwarded_for", "real_ip", "expected"),
    [
        ("10.0.0.2", None, "81.2.69.142", "81.2.69.142"),
        ("10.0.0.2", "-", "81.2.69.142", "81.2.69.142"),
        ("10.0.0.2", "10.0.0.9", "81.2.69.142", "81.2.69.142"),
        ("10.0.0.2", "81.2.69.1, 10.0.0.9", "81.2.69.142", "81.2.69.1"),  # the chain decides
        ("unix:", None, "81.2.69.142", "81.2.69.142"),
        ("81.2.69.9", None, "81.2.69.142", "81.2.69.9"),  # the peer is no proxy of ours
        ("nobody", None, "81.2.69.142", None),  # … nor known at all
        ("10.0.0.2", None, "nonsense", "10.0.0.2"),
        ("10.0.0.2", None, "-", "10.0.0.2"),
        ("10.0.0.2", None, "1" * 1000, "10.0.0.2"),
    ],
)
def test_what_a_trusted_proxy_tells_of_the_visitor_counts(
    logged: str, forwarded_for: str | None, real_ip: str, expected: str | None
) -> None:
    ours = Addresses(PageViewOptions(trusted_proxies=PROXIES))
    assert ours.client(logged, forwarded_for, real_ip) == expected
    open_to_all = Addresses(PageViewOptions())
    assert open_to_all.client(logged, forwarded_for, real_ip) == open_to_all.client(logged, None)


@given(st.ip_addresses())
def test_an_address_survives_as_the_standard_library_spells_it(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    for options in (PageViewOptions(), PageViewOptions(trusted_proxies=("192.0.2.1",))):
        assert Addresses(options).client(str(address), None) == str(mapped or address)


@pytest.mark.parametrize(
    ("logged", "forwarded_for", "client"),
    [
        # nobody is trusted beyond the address that the server saw
        ("81.2.69.142", "1.1.1.1", "81.2.69.142"),
        # behind a proxy: the rightmost address that is no proxy
        ("10.0.0.1", "81.2.69.142", "81.2.69.142"),
        ("10.0.0.1", "6.6.6.6, 81.2.69.142", "81.2.69.142"),
        ("10.0.0.1", "6.6.6.6, 81.2.69.142, 198.51.100.7", "81.2.69.142"),
        ("10.0.0.1", "6.6.6.6, 81.2.69.142:1234 ,2001:db8:1::5", "81.2.69.142"),
        ("2001:db8:1::9", "2a02:8071::1", "2a02:8071::1"),
        # garbage is passed over
        ("10.0.0.1", "81.2.69.142, unknown", "81.2.69.142"),
        ("unix:", "81.2.69.142", "81.2.69.142"),
        ("-", "6.6.6.6, 81.2.69.142, 10.1.1.1", "81.2.69.142"),
        # the whole list in the address field
        ("6.6.6.6, 81.2.69.142, 10.0.0.1", None, "81.2.69.142"),
        ("6.6.6.6, 81.2.69.142", "10.0.0.3", "81.2.69.142"),
        # nobody vouches for what stands left of something else: a name, two addresses in one
        ("proxy.example.net", "6.6.6.6", None),
        ("10.0.0.1", "6.6.6.6, 81.2.69.142;", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, garbage, 10.0.0.2", "10.0.0.2"),
        # only proxies: the furthest
        ("10.0.0.1", "10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        # nothing at all
        ("unix:", "unknown", None),
        ("", None, None),
    ],
)
def test_the_visitor_is_the_rightmost_address_that_is_not_trusted(
    logged: str, forwarded_for: str | None, client: str | None
) -> None:
    addresses = Addresses(PageViewOptions(trusted_proxies=PROXIES))
    assert addresses.client(logged, forwarded_for) == client


@pytest.mark.parametrize(
    ("logged", "client"),
    [("6.6.6.6, 81.2.69.142", "81.2.69.142"), ("81.2.69.142, unknown", None), ("host", None)],
)
def test_without_trusted_proxies_only_the_nearest_address_counts(
    logged: str, client: str | None
) -> None:
    assert Addresses(PageViewOptions()).client(logged, "1.1.1.1") == client


def test_a_list_of_any_length_is_read_from_the_right_and_bounded() -> None:
    addresses = Addresses(PageViewOptions(trusted_proxies=PROXIES))
    assert addresses.client("10.0.0.1", "1.1.1.1," * 2000 + "81.2.69.142") == "81.2.69.142"
    assert addresses.client("10.0.0.1", "1.1.1.1," + "10.0.0.2," * 5000) == "10.0.0.2"


@given(st.text(max_size=60), st.none() | st.text(max_size=300))
def test_any_text_gives_a_canonical_address_or_none(logged: str, forwarded: str | None) -> None:
    client = Addresses(PageViewOptions(trusted_proxies=PROXIES)).client(logged, forwarded)
    if client is not None:
        assert str(ipaddress.ip_address(client)) == client


def test_excluded_networks_are_filtered_unless_included(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(
        exclude_addresses=("81.2.69.0/24", "2a02:8071::/32"), include_addresses=("81.2.69.142",)
    )
    assert isinstance(ours.decide(hit()), tuple)
    assert ours.decide(hit(address="81.2.69.143")) is Reason.ADDRESS
    assert ours.decide(hit(address="[2A02:8071::1]:80")) is Reason.ADDRESS
    assert ours.decide(hit(address="nobody")) is Reason.BAD_ADDRESS


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("81.2.69.142", "81.2.69.0"),
        ("::ffff:81.2.69.142", "81.2.69.0"),
        ("2a02:8071:1234:5678:9abc:def0:1234:5678", "2a02:8071:1234::"),
    ],
)
def test_anonymize_ip_masks_the_payload(
    address: str, shown: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    verdict = rules(anonymize_ip=True).decide(hit(address=address))
    assert isinstance(verdict, tuple)
    assert verdict[1]["ip"] == shown


def test_exclusion_looks_at_the_whole_address_even_when_it_is_masked(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(anonymize_ip=True, exclude_addresses=("81.2.69.142",))
    assert ours.decide(hit()) is Reason.ADDRESS


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b'81.2.69.142 - - [x] "GET /"', b'81.2.69.0 - - [x] "GET /"'),
        (b"6.6.6.6, 81.2.69.142:80", b"6.6.6.0, 81.2.69.0:80"),
        (b'"for=[2a02:8071:1:2:3:4:5:6]:443"', b'"for=[2a02:8071:1::]:443"'),
        (b"::ffff:81.2.69.142 x", b"::ffff:81.2.69.0 x"),
        (b"fe80:1:2:3::1%eth0", b"fe80:1:2::%eth0"),
        (b"GET /?ip=81.2.69.142&x", b"GET /?ip=81.2.69.0&x"),
        (b"from 81.2.69.142.", b"from 81.2.69.0."),
        (b"2001:db8:1:2::3 at 13:55:36, 12:00:00.1", b"2001:db8:1:: at 13:55:36, 12:00:00.1"),
        (b"[10/Oct/2000:13:55:36 -0700]", b"[10/Oct/2000:13:55:36 -0700]"),
        (b"2026-01-31T12:00:00.123Z 0.250 1.5", b"2026-01-31T12:00:00.123Z 0.250 1.5"),
        (b"Version/4.0 Chrome/138.0.0.0", b"Version/4.0 Chrome/138.0.0.0"),
        (b"\xff 81.2.69.142 \xfe", b"\xff 81.2.69.0 \xfe"),
    ],
)
def test_lines_are_masked_wherever_an_address_stands(line: bytes, shown: bytes) -> None:
    assert mask_addresses(line) == shown


@given(
    st.ip_addresses(),
    st.sampled_from(["{}", "[{}]:80", "x={} ", '"{}"', "a, {}, b", "({})"]),
)
def test_no_spelling_of_an_address_survives_masking(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, around: str
) -> None:
    if str(masked(address)) == str(address):
        return
    spellings = {str(address), address.exploded, str(address).upper()}
    for spelling in spellings:
        line = mask_addresses(around.format(spelling).encode())
        assert spelling.encode() not in line


UNMAPPED = st.ip_addresses().filter(lambda one: getattr(one, "ipv4_mapped", None) is None)


@given(UNMAPPED, st.lists(st.tuples(UNMAPPED, st.integers(0, 128))))
def test_an_address_is_in_networks_as_the_standard_library_says(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    told: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
) -> None:
    told.append((type(address)(int(address) ^ 1), 127))  # its neighbour: of IPv6, both of them
    networks = [
        ipaddress.ip_network((at, min(bits, at.max_prefixlen)), strict=False) for at, bits in told
    ]
    ours = Networks([str(network) for network in networks], "key")
    assert (address in ours) == any(address in network for network in networks)


@pytest.mark.parametrize("network", ["::ffff:81.2.69.0/120", "::ffff:81.2.69.142", "::ffff:0:0/96"])
def test_a_network_of_mapped_addresses_is_that_of_ipv4(network: str) -> None:
    """As a server that listens on IPv6 alone writes them: so they get into a configuration."""
    addresses = Addresses(PageViewOptions(exclude_addresses=(network,)))
    assert addresses.client("::ffff:81.2.69.142", None) == ""
    assert addresses.client("81.2.69.142", None) == ""
    assert addresses.client("2001:db8::1", None) == "2001:db8::1"


@pytest.mark.parametrize("key", ["exclude_addresses", "trusted_proxies"])
def test_an_address_is_not_held_against_each_of_ten_thousand_networks(key: str) -> None:
    networks = tuple(f"10.{i // 256}.{i % 256}.0/24" for i in range(10_000))
    addresses = Addresses(PageViewOptions(**{key: networks}))
    with counting_calls() as calls:
        found = addresses.client("81.2.69.142", "203.0.113.9")
    assert found in ("81.2.69.142", "203.0.113.9")
    assert calls.count < 1_000


@pytest.mark.parametrize("key", ["trusted_proxies", "include_addresses", "exclude_addresses"])
def test_a_wrong_network_names_its_key_and_what_would_be_right(key: str) -> None:
    with pytest.raises(ConfigError, match="CIDR") as caught:
        Rules(PageViewOptions(**{key: ("10.0.0.0/8", "nonsense")}), ())
    assert caught.value.key == f"pageviews.{key}[1]"
    with pytest.raises(ConfigError, match=r"Did you mean '10\.0\.0\.0/8'"):
        Rules(PageViewOptions(**{key: ("10.1.2.3/8",)}), ())


@given(
    st.one_of(
        st.ip_addresses(v=6),
        st.lists(st.sampled_from([0, 0, 1, 0xFF, 0xFFFF]), min_size=8, max_size=8).map(
            lambda groups: ipaddress.IPv6Address(":".join(f"{group:x}" for group in groups))
        ),
    )
)
def test_an_ipv6_address_in_its_canonical_spelling_is_its_own_answer(
    address: ipaddress.IPv6Address,
) -> None:
    text = str(address)
    found = Addresses(PageViewOptions()).client(text, None)
    assert found == str(address.ipv4_mapped or address)
    for other in (text.upper(), text.replace("::", ":0:", 1), text.replace(":", ":0", 1)):
        try:
            meant = ipaddress.IPv6Address(other)
        except ValueError:
            continue
        expected = str(meant.ipv4_mapped or meant)
        assert Addresses(PageViewOptions()).client(other, None) == expected


def test_most_ipv6_addresses_need_no_parser() -> None:
    for text in ("2001:db8::1", "2a02:8109:9a40:1f:0:5:6:7", "fe80::1:2:3", "2001:db8:1:2:3:4:5:6"):
        assert _IPV6.fullmatch(text) is not None
        assert str(ipaddress.ip_address(text)) == text
    for text in ("2001:db8::0:1", "2001:db8:0:0:1::", "1:2:3:4:5:6::8", "::1", "1::2::3", "0:0::1"):
        assert _IPV6.fullmatch(text) is None
