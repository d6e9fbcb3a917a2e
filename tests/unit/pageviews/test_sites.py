"""Which website a hit belongs to, and under which host name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import counting_calls

from ingestor.errors import ConfigError
from ingestor.model import Hit, Reason
from ingestor.pageviews import Rules, Site
from ingestor.pageviews.patterns import Patterns
from ingestor.pageviews.sites import Sites, host_patterns, is_host, vhost_of

A = Site("AAAAAAAA-0000-4000-8000-000000000000", "a.example", ("a.example", "*.a.example"))
B = Site("bbbbbbbb-0000-4000-8000-000000000000", "b.example")
REST = Site("cccccccc-0000-4000-8000-000000000000", "rest.example", ("*",))


def website_and_host(verdict: Any) -> Any:
    return verdict if isinstance(verdict, Reason) else (verdict[0][0], verdict[1]["hostname"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example", ("a", "a.example")),
        ("WWW.A.Example:8443", ("a", "www.a.example")),
        ("www.a.example.", ("a", "www.a.example")),
        ("www.a.example.:80", ("a", "www.a.example")),
        ("b.example", ("b", "b.example")),
        ("www.b.example", Reason.NO_SITE),
        ("elsewhere.example", Reason.NO_SITE),
        (None, Reason.NO_SITE),
        ("", Reason.NO_SITE),
        ("-", Reason.NO_SITE),
        ("_", Reason.NO_SITE),
    ],
)
def test_the_first_site_that_matches_the_vhost_wins(
    host: str | None, expected: Any, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert website_and_host(rules(sites=(A, B)).decide(hit(host=host))) == expected


_PATTERN = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "*", "*.", ".", "www.", "re:", "?"]),
        st.sampled_from(["a.example", "b.a.example", "example", "A.Example", "bücher.example"]),
        st.sampled_from(["", "", "*", ".*"]),
    ),
)
_VHOST = st.builds(
    "".join, st.lists(st.sampled_from(["a", "b", "www", ".", ".a.example", "example", "[::1]"]))
)


@given(st.lists(st.lists(_PATTERN, min_size=1, max_size=3), min_size=1, max_size=4), _VHOST)
def test_sites_are_asked_in_their_order(matches: list[list[str]], vhost: str) -> None:
    matches = [[name for name in names if name[0] != "."] or ["c.example"] for names in matches]
    sites = [Site(f"{i}{A.website[1:]}", "x.example", tuple(m)) for i, m in enumerate(matches)]
    place = Sites(sites).place(vhost, sites[-1])
    asked = (i for i, m in enumerate(matches) if host_patterns(m, "match").match(vhost))
    expected = next(asked, None) if vhost else len(sites) - 1
    assert (place and int(place.website[0])) == expected


def test_a_vhost_is_not_held_against_each_of_two_thousand_sites() -> None:
    names = [f"site{i}.example" for i in range(2_000)]
    sites = Sites([Site(A.website, name, (name, f"*.{name}")) for name in names])
    with counting_calls() as calls:
        place = sites.place("www.site1999.example", None)
    assert place is not None
    assert calls.count < 500


INTERNATIONAL = Site(
    "dddddddd-0000-4000-8000-000000000000", "Bücher.example", ("bücher.example", "*.bücher.example")
)


@pytest.mark.parametrize(
    "host", ["xn--bcher-kva.example", "www.xn--bcher-kva.example", "BÜCHER.example"]
)
def test_an_international_name_matches_what_browsers_send_of_it(
    host: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(sites=(INTERNATIONAL, A))
    website, hostname = website_and_host(ours.decide(hit(host=host)))
    assert website == "d"
    assert hostname == host.lower().replace("bücher", "xn--bcher-kva")
    excluding = rules(
        sites=(INTERNATIONAL,), exclude_hosts=("*bücher.example", "www.bücher.example")
    )
    verdict = excluding.decide(hit(host="www.xn--bcher-kva.example"))
    assert verdict is Reason.HOST


def test_an_expression_is_no_name_and_is_taken_as_it_stands(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(sites=(INTERNATIONAL,), exclude_hosts=(r"re:.*é{2}\.example|xn--bcher.*",))
    assert ours.decide(hit(host="xn--bcher-kva.example")) is Reason.HOST


def test_an_international_site_is_not_its_own_referrer(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(sites=(INTERNATIONAL,))
    _, payload = ours.decide(hit(host=None, referrer="https://xn--bcher-kva.example/x"))
    assert (payload["hostname"], payload["referrer"]) == ("xn--bcher-kva.example", "")


def test_order_decides_where_several_sites_match(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert website_and_host(rules(sites=(A, REST)).decide(hit(host="x.a.example")))[0] == "a"
    assert website_and_host(rules(sites=(REST, A)).decide(hit(host="x.a.example")))[0] == "c"


@pytest.mark.parametrize(
    ("host", "target", "expected"),
    [
        (None, "/", ("b", "b.example")),
        ("", "/", ("b", "b.example")),
        ("a.example", "/", ("a", "a.example")),
        ("elsewhere.example", "/", Reason.NO_SITE),
        # an absolute target's host wins over nothing, and never over a logged host
        (None, "http://www.a.example:80/x", ("a", "www.a.example")),
        (None, "http://open.proxy.example/x", Reason.TARGET),
        ("b.example", "http://a.example/x", ("b", "b.example")),
    ],
)
def test_a_sources_own_site_stands_in_for_a_vhost_that_is_not_logged(
    host: str | None, target: str, expected: Any,
    hit: Callable[..., Hit], rules: Callable[..., Rules],
) -> None:  # fmt: skip
    verdict = rules(sites=(A, B)).decide(hit(host=host, target=target), B)
    assert website_and_host(verdict) == expected


def test_the_only_site_takes_lines_without_a_vhost(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert website_and_host(rules(sites=(A,)).decide(hit(host=None))) == ("a", "a.example")


def test_without_configured_sites_the_sources_site_takes_every_vhost(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(sites=())
    assert website_and_host(ours.decide(hit(host="any.example"), B)) == ("b", "any.example")
    assert website_and_host(ours.decide(hit(host=None), B)) == ("b", "b.example")
    assert ours.decide(hit(host="any.example")) is Reason.NO_SITE


def test_many_default_sites_are_told_apart(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(sites=())
    for i in range(1100):
        own = Site(B.website, f"site-{i}.example")
        assert website_and_host(ours.decide(hit(host=None), own))[1] == f"site-{i}.example"


@pytest.mark.parametrize(
    "host", ["a b", "%", "999.1.1.1", "x" * 101, "a/b", "user@b.example", "[::g]", "a?b", "\ud800"]
)
def test_a_vhost_that_umami_refuses_gives_way_to_the_sites_own(
    host: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    verdict = rules(sites=(REST,)).decide(hit(host=host))
    assert website_and_host(verdict) == ("c", "rest.example")


@pytest.mark.parametrize(
    ("logged", "vhost"),
    [
        (None, ""),
        ("Example.COM", "example.com"),
        ("[2001:DB8::1]:8080", "[2001:db8::1]"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("example.com:", "example.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_vhost_loses_case_port_and_trailing_dot(logged: str | None, vhost: str) -> None:
    assert vhost_of(logged) == vhost


@pytest.mark.parametrize(
    "host",
    ["example.com", "localhost", "a_b.example", "192.0.2.1", "[::1]", "bücher.example",
     "xn--bcher-kva.example", "xn--ls8h.la", "a--b.example", "1.example"],
)  # fmt: skip
def test_hosts_that_umami_takes(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host", ["", "a b", "::1", "%", "999.1.1.1", "example.com:80", "a/b", "a\tb", "[::1", "x.0x"]
)
def test_hosts_that_umami_refuses(host: str) -> None:
    assert not is_host(host)


@pytest.mark.parametrize("label", ["xn--", "xn--a", "xn--zz", "xn--99999999"])
def test_a_host_that_only_newer_nodes_take_is_none(label: str) -> None:
    """Umami's own image has Node 22, which refuses a label that spells no name."""
    assert not is_host(f"{label}.example")
    assert not is_host(f"a.{label}")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"hostname": "https://example.com"}, "hostname"),
        ({"hostname": "example.com:8080"}, "hostname"),
        ({"hostname": "*.example.com"}, "hostname"),
        ({"hostname": "a" * 101}, "hostname"),
        ({"language": "x" * 36}, "language"),
        ({"screen": "x" * 12}, "screen"),
        ({"title": "a\0b"}, "title"),
        ({"title": "%00"}, "title"),
        ({"title": "half of one: \ud83d"}, "title"),
        ({"language": "\udcff"}, "language"),
        ({"match": ("fine", "re:(")}, "match[1]"),
        ({"match": ("https://example.com",)}, "match[0]"),
        ({"match": ("example.com/shop",)}, "match[0]"),
        ({"match": ("*", "example.com:443")}, "match[1]"),
        ({"match": ("*:443",)}, "match[0]"),
        ({"match": ("example.com, www.example.com",)}, "match[0]"),
        ({"match": ("example.com www.example.com",)}, "match[0]"),
        ({"match": ("~^www",)}, "match[0]"),
        ({"match": (".example.com",)}, "match[0]"),
        ({"match": ("example.com.",)}, "match[0]"),
    ],
)
def test_a_site_that_umami_would_refuse_is_a_configuration_error(
    changes: dict[str, Any], key: str, rules: Callable[..., Rules]
) -> None:
    wrong = Site(**{"website": A.website, "hostname": "example.com", **changes})
    with pytest.raises(ConfigError) as caught:
        rules(sites=(A, wrong))
    assert caught.value.key == f"sites[1].{key}"


def test_patterns_of_every_vhost_are_taken(rules: Callable[..., Rules]) -> None:
    names = ("*", "?", "Example.com", "*.example.com", "example.*", "[a-z]*.example", "a_b")
    more = ("192.0.2.1", "[[]2001:db8::1]", "*:db8:*", "bücher.example", r"re:^www\.a:?$", "")
    rules(sites=(Site(A.website, "example.com", (*names, *more)),))


def test_a_wrong_default_site_is_refused_as_well(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    with pytest.raises(ConfigError, match="hostname"):
        rules(sites=()).decide(hit(), Site(A.website, "not a host"))


def test_hosts_are_excluded_and_included_by_pattern(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(
        sites=(REST,), exclude_hosts=("*.internal", "re:^dev"), include_hosts=("ok.internal",)
    )
    assert ours.decide(hit(host="x.INTERNAL:80")) is Reason.HOST
    assert ours.decide(hit(host="dev.example")) is Reason.HOST
    assert isinstance(ours.decide(hit(host="ok.internal")), tuple)
    assert isinstance(ours.decide(hit(host=None)), tuple)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What lists of patterns were asked about: each of them costs about a microsecond."""
    found: list[str] = []
    match = Patterns.match

    def noted(patterns: Patterns, value: str) -> bool:
        found.append(value)
        return match(patterns, value)

    monkeypatch.setattr(Patterns, "match", noted)
    return found


NAMES = [f"shop-{number}.example" for number in range(300)]
MANY = tuple(Site(A.website, name, (name, f"*.{name}")) for name in NAMES)


def test_many_sites_cost_hardly_more_than_one_where_others_pages_are_asked_for(
    hit: Callable[..., Hit], rules: Callable[..., Rules], asked: list[str]
) -> None:
    """Scanners that look for an open proxy ask for any host: each new one asked every site."""
    ours = rules(sites=MANY)
    for number in range(100):
        assert ours.decide(hit(target=f"http://www.{number}.test/", host="")) is Reason.TARGET
    assert len(asked) < 100 * 10
    assert ours.decide(hit(target="http://a.shop-7.example/", host="")) is not Reason.TARGET


def test_many_sites_cost_hardly_more_than_one_where_a_vhost_is_none_of_theirs(
    hit: Callable[..., Hit], rules: Callable[..., Rules], asked: list[str]
) -> None:
    """Visitors write the host name: each new one asked every site."""
    ours = rules(sites=MANY)
    for number in range(100):
        assert ours.decide(hit(host=f"www.{number}.test")) is Reason.NO_SITE
    assert len(asked) < 100 * 10
    assert website_and_host(ours.decide(hit(host="a.shop-7.example")))[1] == "a.shop-7.example"
