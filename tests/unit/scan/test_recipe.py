"""A format that was named has to be the log's own; else the log would be used up for nothing."""

from __future__ import annotations

import pytest

from ingestor.errors import FormatError
from ingestor.formats import PRESETS
from ingestor.pageviews import PageViewOptions, Rules, Site
from ingestor.scan import Recipe, Scanner

NOW = 1_796_083_200  # 2026-12-01T00:00:00Z
SITE = Site("3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c", "example.com", ("*",))
COMBINED = PRESETS["combined"].sample
CRI = "2026-11-22T09:11:12.123456789Z stdout F "
RSYSLOG = "Nov 22 10:00:12 web1 nginx: "


def scanner(text: str, name: str) -> Scanner:
    data = text.encode()
    recipe = Recipe("access.log", name, None, SITE, data, data)
    return recipe.scanner(Rules(PageViewOptions(), (SITE,)), lambda: NOW)


@pytest.mark.parametrize(
    ("name", "front", "word"),
    [
        ("combined", RSYSLOG, "syslog combined"),
        ("combined", CRI, "container combined"),
        ("json", RSYSLOG, "syslog json"),
    ],
)
def test_what_stands_before_each_line_is_told(name: str, front: str, word: str) -> None:
    log = f"{front}{PRESETS[name].sample}\n" * 3
    with pytest.raises(FormatError, match=f"`{word}`"):
        scanner(log, name)
    assert scanner(log, word).format.name == word


@pytest.mark.parametrize("address", ["203.0.113.x", "host.example.org", "2001:db8::x", "Nov"])
@pytest.mark.parametrize("name", ["combined", "auto"])
def test_a_log_without_addresses_is_not_used_up(name: str, address: str) -> None:
    log = (COMBINED.replace("192.0.2.10", address) + "\n") * 30
    if name == "auto" and address == "2001:db8::x":
        return  # no preset takes that for a name
    with pytest.raises(FormatError, match=f"`{address}` stands") as caught:
        scanner(log, name)
    assert "let the server log them" in str(caught.value)
    assert "Name its format" not in str(caught.value)


def test_a_prefix_that_no_preset_knows_is_no_lack_of_addresses() -> None:
    with pytest.raises(FormatError, match="Name its format"):
        scanner(f"web1 a {COMBINED}\n" * 30, "auto")


@pytest.mark.parametrize("name", ["traefik", "combined"])
def test_a_log_whose_user_agents_are_all_empty_is_known_by_its_lines(name: str) -> None:
    sample = PRESETS[name].sample
    agent = sample[sample.index("Mozilla/") : sample.index("537.36") + len("537.36")]
    agent = next(part for part in sample.split('"') if part.startswith(agent))
    empty = sample.replace(agent, "-")
    assert not scanner(f"{empty}\n" * 30, "auto").names_agents
    assert not scanner(f"{empty}\n" * 30, name).names_agents
    assert scanner(f"{empty}\n" * 30 + f"{sample}\n", name).names_agents
    assert scanner(f"{empty}\n" * 3, name).names_agents  # a scanner's visit says nothing


@pytest.mark.parametrize("name", ["combined", "auto"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_log_in_utf_16_is_called_that(name: str, encoding: str) -> None:
    data = f"\ufeff{COMBINED}\n".encode(encoding) * 3
    recipe = Recipe("access.log", name, None, SITE, data, data)
    with pytest.raises(FormatError, match=r"is written in UTF-16.*iconv"):
        recipe.scanner(Rules(PageViewOptions(), (SITE,)), lambda: NOW)


@pytest.mark.parametrize("name", ["json", "caddy", '{"time":"$t","ip":"$i","request":"$request"}'])
def test_times_without_a_zone_do_not_use_a_log_up(name: str) -> None:
    """Only its lines tell how JSON's times are written, so the name alone cannot be refused."""
    sample = PRESETS["caddy" if name == "caddy" else "json"].sample
    sample = sample.replace("2026-11-22T10:11:12+01:00", "2026-11-22 10:11:12")
    sample = sample.replace("1795338672.6825173", '"2026/11/22 10:11:12"')
    log = sample.replace("time_iso8601", "time").replace("remote_addr", "ip") + "\n"
    with pytest.raises(FormatError, match="names no time zone: set `timezone`"):
        scanner(log * 3, name)
    recipe = Recipe("access.log", name, "Europe/Berlin", SITE, log.encode(), log.encode())
    assert recipe.scanner(Rules(PageViewOptions(), (SITE,)), lambda: NOW)


@pytest.mark.parametrize("name", ["w3c", "iis"])
def test_a_clock_that_was_wrong_is_no_lack_of_a_zone(name: str) -> None:
    """A log's own header says how its lines are read."""
    header = "#Fields: date time s-sitename c-ip cs-method cs-uri-stem sc-status cs(User-Agent)\n"
    log = f"{header}1970-01-01 00:11:12 W3SVC1 192.0.2.10 GET /pricing 200 Mozilla/5.0\n"
    with pytest.raises(FormatError, match="tells a time between 1995 and tomorrow"):
        scanner(log, name)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("22/Nov/2026", "22/Nov/1986"),
        ("22/Nov/2026", "22/nov./2026"),
        ("200 5316", "5316 200"),  # a definition with the two the wrong way round
    ],
)
def test_values_that_are_none_do_not_use_a_log_up(text: str, other: str) -> None:
    log = COMBINED.replace(text, other) + "\n"
    with pytest.raises(FormatError, match=r"no line of the first 3 of access\.log"):
        scanner(log * 3, "combined")
    assert scanner(log * 3 + COMBINED + "\n", "combined")


def test_one_address_among_names_is_enough() -> None:
    named = COMBINED.replace("192.0.2.10", "host.example.org")
    assert scanner(f"{named}\n{named}\n{COMBINED}\n", "combined").format.name == "combined"
    local = COMBINED.replace("192.0.2.10", "unix:")  # behind a proxy, X-Forwarded-For tells
    assert scanner(f"{local}\n", "combined").format.name == "combined"
    unsent = COMBINED.replace("192.0.2.10", "-")
    assert scanner(
        f"{unsent}\n",
        '$http_x_real_ip - $remote_user [$time_local] "$request" $status $bytes_sent '
        '"$http_referer" "$http_user_agent"',
    )


def test_a_named_format_is_proved_by_the_end_of_a_log_as_well() -> None:
    """A health check by name may fill its beginning."""
    line = COMBINED.encode()
    address = line.split(b" ", 1)[0]
    head = line.replace(address, b"localhost", 1) + b"\n"
    recipe = Recipe("access.log", "combined", None, SITE, head * 150, (line + b"\n") * 150)
    assert recipe.scanner(Rules(PageViewOptions(), (SITE,)), lambda: NOW)
    with pytest.raises(FormatError):
        Recipe("access.log", "combined", None, SITE, head * 150, head * 100).scanner(
            Rules(PageViewOptions(), (SITE,)), lambda: NOW
        )
