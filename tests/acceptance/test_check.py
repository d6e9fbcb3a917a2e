"""``ingestor check`` against a zoo of broken set-ups: the right line and exit code for each."""

from __future__ import annotations

import asyncio
import grp
import http.client
import http.server
import json
import os
import pwd
import shutil
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from parts import CHROME, OTHER_WEBSITE, WEBSITE, Command, Line, SandboxProcess, start_sandbox

from ingestor.formats import PRESETS
from ingestor.sandbox import Sandbox, SandboxOptions

DAY = 86_400


@dataclass
class Setup:
    """A directory with a configuration that is sound until a test breaks it."""

    ingestor: Command
    directory: Path
    url: str

    @property
    def logs(self) -> Path:
        path = self.directory / "logs"
        path.mkdir(exist_ok=True)
        return path

    def configure(
        self,
        *,
        umami: str = "",
        sites: str = f"[{{website: {WEBSITE}, hostname: example.com}}]",
        sources: str = "",
        extra: str = "",
    ) -> None:
        config = self.directory / "config.yaml"
        config.touch()
        has_secret = "password" in umami or "api_key" in umami
        config.chmod(0o640 if has_secret else 0o644)
        config.write_text(
            f"umami: {{url: {self.url}{umami}}}\n"
            f"sites: {sites}\n"
            f"sources: {sources or f'[{{path: {self.logs}}}]'}\n"
            f"checkpoint: {{path: {self.directory}/state/checkpoint.db}}\n"
            f"{extra}"
        )

    def check(self, code: int, *flags: str | Path) -> dict[str, dict[str, str]]:
        """The findings that are no good, by their codes."""
        config = self.directory / "config.yaml"
        seen = self.ingestor.json("check", "-c", config, *flags, code=code)
        assert seen["exit_code"] == code
        found: list[dict[str, Any]] = seen["findings"]
        return {each["code"]: each for each in found if each["level"] != "ok"}

    def said(self, code: int) -> str:
        return self.ingestor("check", "-c", self.directory / "config.yaml", code=code).stdout


@pytest.fixture
def setup(ingestor: Command, sandbox: SandboxProcess, tmp_path: Path, line: Line) -> Setup:
    (tmp_path / "state").mkdir()
    made = Setup(ingestor, tmp_path, sandbox.url)
    made.configure()
    (made.logs / "access.log").write_bytes(b"".join(line(f"/{i}", i) for i in range(50)))
    return made


def only(found: dict[str, dict[str, str]]) -> dict[str, str]:
    """The one finding that there is."""
    assert len(found) == 1, found
    return next(iter(found.values()))


def track(url: str, at: int, count: int = 3) -> None:
    """Count page views as the site's own tracker does."""
    payload = {
        "website": WEBSITE,
        "screen": "1920x1080",
        "language": "en-GB",
        "title": "Home",
        "hostname": "example.com",
        "url": "/",
        "referrer": "",
        "userAgent": CHROME,
    }
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    headers = {"Content-Type": "application/json", "User-Agent": CHROME}
    for n in range(count):
        body = {"type": "event", "payload": payload | {"timestamp": at + n}}
        connection.request("POST", "/api/send", json.dumps(body), headers)
        assert connection.getresponse().read()
    connection.close()


def test_a_sound_set_up_is_exit_code_0_and_leaves_no_trace(
    setup: Setup, sandbox: SandboxProcess
) -> None:
    setup.configure(umami=", username: admin, password: umami")
    text = setup.said(0)
    assert text.splitlines()[-1] == "All is well."
    assert f"{setup.logs}/access.log: combined explains 100% of 50 lines, 50 of them" in text
    assert "answers, takes batches, understands id, ip, timestamp, userAgent" in text
    assert f"website {WEBSITE} (example.com): is known to Umami" in text
    assert "has no page views yet" in text
    assert sandbox.count() == 0
    assert not list((setup.directory / "state").iterdir())


def test_of_a_log_that_was_just_rotated_the_generation_with_lines_is_looked_at(
    setup: Setup,
) -> None:
    log = setup.logs / "access.log"
    log.rename(f"{log}.1")
    log.touch()
    setup.configure(umami=", username: admin, password: umami")
    assert f"{log}.1: combined explains 100% of 50 lines, 50 of them" in setup.said(0)


# ---------------------------------------------------------------- the configuration: 2


def test_1_a_mistake_in_the_configuration(setup: Setup) -> None:
    setup.configure(extra="delivery: {worker: 4}\n")
    found = only(setup.check(2))
    assert found["code"] == "configuration"
    assert "config.yaml:5" in found["text"]
    assert "Did you mean 'workers'?" in found["text"]
    assert setup.said(2).startswith("error ")


def test_2_a_rule_that_cannot_be_right(setup: Setup) -> None:
    setup.configure(extra='pageviews: {trusted_proxies: ["10.0.0.0/99"]}\n')
    assert "pageviews.trusted_proxies[0]" in only(setup.check(2))["text"]


def test_3_no_sources_and_no_sites(setup: Setup) -> None:
    (setup.directory / "config.yaml").write_text(f"umami: {{url: {setup.url}}}\n")
    text = setup.ingestor(
        "check", "-c", "config.yaml", "--checkpoint", "state/checkpoint.db", code=2
    ).stdout
    assert "sites: it does not say which websites there are; set sites" in text
    assert "sources: it does not say where logs are; set sources" in text


def test_4_a_checkpoint_without_a_directory(setup: Setup) -> None:
    (setup.directory / "state").rmdir()
    found = only(setup.check(2))
    assert found["code"] == "checkpoint"
    assert "install -d -m 700 -o ingestor" in found["advice"]


@pytest.mark.parametrize("what", ["directory", "empty", "noise", "half"])
def test_4_a_checkpoint_that_cannot_be_used(setup: Setup, what: str) -> None:
    path = setup.directory / "state" / "checkpoint.db"
    if what == "directory":
        path.mkdir()
    elif what == "half":
        setup.ingestor("backfill", "-c", setup.directory / "config.yaml")
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(b"" if what == "empty" else bytes(range(256)) * 40)
    before = None if path.is_dir() else path.read_bytes()
    found = setup.check(2)["checkpoint"]
    assert ("not a regular file" if what == "directory" else "is damaged") in found["text"]
    assert path.is_dir() or path.read_bytes() == before


# ---------------------------------------------------------------- Umami: 3


def test_5_an_umami_that_cannot_be_reached(setup: Setup) -> None:
    setup.url = "http://127.0.0.1:9"
    setup.configure()
    found = only(setup.check(3))
    assert found["code"] == "umami_away"
    assert "check umami.url" in found["advice"]


def test_6_a_url_where_no_umami_is(setup: Setup) -> None:
    setup.url += "/analytics"
    setup.configure()
    assert "base path" in only(setup.check(3))["text"]


def test_7_a_website_that_umami_does_not_know(setup: Setup) -> None:
    other = "11111111-1111-4111-8111-111111111111"
    setup.configure(
        sites=f"[{{website: {WEBSITE}, hostname: example.com}}, "
        f"{{website: {other}, hostname: example.org}}]",
        sources=f"[{{path: {setup.logs}, site: example.com}}]",
    )
    found = only(setup.check(3))
    assert (found["code"], found["subject"]) == (
        "website_unknown",
        f"website {other} (example.org)",
    )
    assert "Settings, Websites, Edit" in found["advice"]


@pytest.mark.parametrize(
    ("fault", "code"), [("503", "umami_away"), ("502-html", "umami_away"), ("401", "umami_refuses")]
)
def test_7_an_umami_that_answers_all_but_the_question_about_a_website(
    setup: Setup, tmp_path: Path, fault: str, code: str
) -> None:
    """The others are told all the same."""
    partly = start_sandbox(
        setup.ingestor, tmp_path / "partly.db", "--fail", f"{fault},website={OTHER_WEBSITE}"
    )
    setup.url = partly.url
    setup.configure(
        sites=f"[{{website: {WEBSITE}, hostname: example.com}}, "
        f"{{website: {OTHER_WEBSITE}, hostname: example.org}}]",
        sources=f"[{{path: {setup.logs}, site: example.com}}]",
    )
    found = only(setup.check(3))
    assert (found["code"], found["subject"]) == (code, f"website {OTHER_WEBSITE} (example.org)")
    assert f"website {WEBSITE} (example.com): is known to Umami" in setup.said(3)


def test_8_a_wrong_password_which_is_never_shown(setup: Setup) -> None:
    setup.configure(umami=", username: admin, password: hunter2")
    found = only(setup.check(3))
    assert found["code"] == "login_refused"
    assert "umami.password" in found["text"]
    assert "hunter2" not in setup.said(3)


def test_exactly_once_is_not_called_good_where_umami_could_not_be_asked(setup: Setup) -> None:
    setup.configure(
        umami=", username: admin, password: hunter2", extra="delivery: {exactly_once: true}\n"
    )
    assert "looked up by its tag" not in setup.said(3)
    setup.configure(
        umami=", username: admin, password: umami", extra="delivery: {exactly_once: true}\n"
    )
    assert "looked up by its tag" in setup.said(0)


async def test_9_an_umami_that_is_too_old(setup: Setup) -> None:
    async with Sandbox(SandboxOptions(version="2.16.0", websites=(WEBSITE,))) as old:
        setup.url = old.url
        setup.configure()
        found = only(await asyncio.to_thread(setup.check, 3))
    assert found["code"] == "umami_too_old"
    assert "upgrade Umami to 2.18" in found["text"]


async def test_an_umami_where_exactly_once_is_not_possible(setup: Setup) -> None:
    async with Sandbox(SandboxOptions(version="2.20.2", websites=(WEBSITE,))) as old:
        setup.url = old.url
        setup.configure(
            umami=", username: admin, password: umami", extra="delivery: {exactly_once: true}\n"
        )
        found = only(await asyncio.to_thread(setup.check, 1))
        assert found["code"] == "delivery"
        assert "it is older than Umami 3" in found["text"]
        setup.configure(umami=", username: admin, password: umami")
        assert await asyncio.to_thread(setup.check, 0) == {}


async def test_10_an_api_key_that_is_refused(setup: Setup) -> None:
    async with Sandbox(SandboxOptions(api_key="right", websites=(WEBSITE,))) as cloud:
        setup.url = cloud.url
        setup.configure(umami=", api_key: wrong-key")
        found = only(await asyncio.to_thread(setup.check, 3))
        assert found["code"] == "umami_refuses"
        assert "wrong-key" not in str(found)
        setup.configure(umami=", api_key: right")
        assert await asyncio.to_thread(setup.check, 0) == {}


# ---------------------------------------------------------------- logs: 1


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A place whose state belongs to the user nobody; everybody may enter, unlike tmp_path."""
    if os.geteuid() != 0:
        pytest.skip("only root can look with another user's rights")
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    (directory / "state").mkdir()
    os.chown(directory / "state", pwd.getpwnam("nobody").pw_uid, -1)
    yield directory
    shutil.rmtree(directory)


def test_11_logs_that_the_daemons_user_cannot_read(
    ingestor: Command, sandbox: SandboxProcess, nobodys: Path, line: Line
) -> None:
    setup = Setup(ingestor, nobodys, sandbox.url)
    setup.configure()
    log = setup.logs / "access.log"
    log.write_bytes(line("/1"))
    log.chmod(0o640)
    os.chown(log, 0, grp.getgrnam("adm").gr_gid)
    found = only(setup.check(1))
    assert (found["code"], found["subject"]) == ("log_unreadable", str(log))
    assert found["text"] == "the user nobody may not read it"
    assert "usermod -aG adm nobody" in found["advice"]
    assert f"setfacl -m u:nobody:r {log}" in found["advice"]
    assert f"setfacl -d -m u:nobody:r {setup.logs}" in found["advice"]
    log.chmod(0o600)
    assert "usermod" not in only(setup.check(1))["advice"]
    log.chmod(0o644)
    assert setup.check(0) == {}
    setup.logs.chmod(0o700)
    assert f"setfacl -m u:nobody:x {setup.logs}" in only(setup.check(1))["advice"]


def test_12_a_source_that_is_not_there_and_one_that_takes_nothing(setup: Setup) -> None:
    setup.configure(sources=f"[{{path: {setup.directory}/none/access.log}}]")
    found = only(setup.check(1))
    assert found["code"] == "log_missing"
    assert "check the path" in found["advice"]
    setup.configure(sources=f'[{{path: {setup.logs}, include: ["*.txt"]}}]')
    assert "include (*.txt)" in only(setup.check(1))["text"]


def test_12_a_directory_that_is_excluded_as_if_it_were_a_file(setup: Setup) -> None:
    old = setup.logs / "old"
    old.mkdir()
    shutil.copy(setup.logs / "access.log", old / "first-access.log")
    setup.configure(sources=f"[{{path: {setup.logs}/, exclude: [old, access.log]}}]")
    found = setup.check(1)["exclude_directory"]
    assert found["subject"] == str(old)
    assert found["text"].endswith("not 1 log below it")
    assert "old/*" in found["advice"]
    setup.configure(sources=f"[{{path: {setup.logs}, exclude: [old/*]}}]")
    setup.check(0)


def test_13_lines_that_no_format_explains(setup: Setup) -> None:
    (setup.logs / "access.log").write_bytes(b"2026-11-06 something happened to somebody\n" * 30)
    found = only(setup.check(1))
    assert found["code"] == "format_unknown"
    assert "stops at column" in found["text"]
    assert "format:" in found["advice"]


def test_14_a_named_format_that_is_not_the_logs(setup: Setup) -> None:
    setup.configure(sources=f"[{{path: {setup.logs}, format: vhost_combined}}]")
    found = only(setup.check(1))
    assert found["code"] == "format_wrong"
    assert "explains only 0% of 50 lines" in found["text"]


def test_15_a_format_without_user_agent(setup: Setup, line: Line) -> None:
    common = b"".join(line(f"/{i}", i).partition(b' "-" "')[0] + b"\n" for i in range(30))
    (setup.logs / "access.log").write_bytes(common)
    found = only(setup.check(1))
    assert found["code"] == "no_user_agent"
    assert "pageviews.require_user_agent: false" in found["advice"]
    setup.configure(extra="pageviews: {require_user_agent: false}\n")
    assert "bots cannot be told from people" in only(setup.check(1))["text"]


def test_15_a_log_whose_user_agents_are_all_empty(setup: Setup, line: Line) -> None:
    sample = PRESETS["traefik"].sample
    agent = sample.partition('"request_User-Agent":"')[2].partition('"')[0]
    lines = sample.replace(agent, "-").replace("192.0.2.10", "81.2.69.142") + "\n"
    (setup.logs / "access.log").write_text(lines * 30)
    found = setup.check(1)["no_user_agent"]
    assert "accessLog.fields.headers.names.User-Agent: keep" in found["advice"]


TWO_SITES = (
    f"[{{website: {WEBSITE}, hostname: example.com}}, "
    f"{{website: {OTHER_WEBSITE}, hostname: example.org}}]"
)


def test_16_a_format_without_host_where_there_are_several_sites(setup: Setup) -> None:
    setup.configure(sites=TWO_SITES)
    found = only(setup.check(1))
    assert found["code"] == "no_host"
    assert "set site:" in found["advice"]
    setup.configure(sites=TWO_SITES, sources=f"[{{path: {setup.logs}, site: example.org}}]")
    assert setup.check(0) == {}


def test_17_a_vhost_that_matches_no_site(setup: Setup, line: Line) -> None:
    hosts = ["example.com"] * 6 + ["shop.example.net"] * 2
    lines = b"".join(line(f"/{i}", i, host=hosts[i % 8]) for i in range(80))
    (setup.logs / "access.log").write_bytes(lines)
    found = only(setup.check(1))
    assert (found["code"], found["subject"]) == ("vhost_without_site", "shop.example.net")
    assert "25.0% of the sampled lines" in found["text"]
    assert "match:" in found["advice"]
    setup.configure(extra="pageviews: {exclude_hosts: [shop.example.net]}\n")
    assert setup.check(0) == {}


@pytest.mark.parametrize("first", ['["*"]', "[example.com, example.org]"])
def test_a_vhost_that_an_earlier_site_takes(setup: Setup, line: Line, first: str) -> None:
    (setup.logs / "access.log").write_bytes(
        b"".join(line(f"/{i}", i, host="example.com") for i in range(50))
    )
    one = f"{{website: {WEBSITE}, hostname: example.com, match: {first}}}"
    two = f"{{website: {OTHER_WEBSITE}, hostname: Example.org}}"
    setup.configure(sites=f"[{one}, {two}]")
    found = only(setup.check(1))
    assert (found["code"], found["subject"]) == ("vhost_taken", "sites[1]")
    assert WEBSITE in found["text"]
    setup.configure(sites=f"[{two}, {one.replace('example.org', 'example.net')}]")
    assert setup.check(0) == {}


@pytest.mark.parametrize("command", ["preview", "backfill"])
def test_lines_without_an_address_are_told(setup: Setup, line: Line, command: str) -> None:
    lines = [line(f"/{i}", i) for i in range(50)]
    (setup.logs / "access.log").write_bytes(
        b"".join(lines + [b"Nov 22 10:00:12 web1 nginx: " + row for row in lines])
    )
    setup.configure(sources=f"[{{path: {setup.logs}, format: combined}}]")
    done = setup.ingestor(command, "-c", setup.directory / "config.yaml")
    assert "50 of 100 lines have no client's address" in done.stderr


def test_a_password_that_everybody_may_read(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = setup.directory / "config.yaml"
    monkeypatch.setenv("UMAMI_PASSWORD", "umami")
    (tmp_path / "password").write_text("umami")
    for told, mode, expected in (
        ("password: umami", 0o644, {"secret_exposed"}),
        ("password: umami", 0o640, set()),
        ("password: '${UMAMI_PASSWORD}'", 0o644, set()),
        (f"password_file: {tmp_path}/password", 0o644, set()),
    ):
        setup.configure(umami=f", username: admin, {told}")
        config.chmod(mode)
        assert set(setup.check(1 if expected else 0)) == expected, (told, mode)


def test_paths_that_are_others_for_the_daemon(setup: Setup) -> None:
    setup.configure(sources="[{path: logs}]")
    found = only(setup.check(1))
    assert (found["code"], found["subject"]) == ("relative_path", "sources[0].path")
    (setup.directory / "password").write_text("umami")
    setup.configure(umami=", username: admin, password_file: password")
    found = only(setup.check(1))
    assert (found["code"], found["subject"]) == ("relative_path", "password")
    setup.configure(extra="delivery: {dead_letters: dead-letters.jsonl}\n")
    found = only(setup.check(1))
    assert (found["code"], found["subject"]) == ("relative_path", "delivery.dead_letters")


def test_page_views_by_a_proxys_address(setup: Setup, line: Line) -> None:
    """A backfill and a preview tell it as well."""
    inside = [line(f"/{i}", i, address="172.18.0.5") for i in range(50)]
    (setup.logs / "access.log").write_bytes(b"".join(inside))
    found = only(setup.check(1))
    assert found["code"] == "proxy_address"
    assert 'trusted_proxies: ["172.18.0.5"]' in found["advice"]
    config = setup.directory / "config.yaml"
    for command in ("preview", "backfill"):
        assert "come from a private network" in setup.ingestor(command, "-c", config).stderr
    setup.configure(extra='pageviews: {trusted_proxies: ["172.18.0.5"]}\n')
    assert setup.check(0) == {}


def test_pages_fetched_ahead_that_people_may_have_seen(setup: Setup, line: Line) -> None:
    """Chrome shows them without a second request: WordPress has it fetch what is clicked."""

    def write(fetched_ahead: int) -> None:
        fetched = [{"sec_purpose": "prefetch"}] * fetched_ahead + [{}] * 40
        (setup.logs / "access.log").write_text(
            "".join(
                json.dumps(
                    {
                        "ts": line.base + i,
                        "remote_addr": "203.0.113.7",
                        "request": f"GET /{i} HTTP/1.1",
                        "status": 200,
                        "http_user_agent": CHROME,
                    }
                    | told
                )
                + "\n"
                for i, told in enumerate(fetched)
            )
        )

    write(5)
    assert setup.check(0) == {}
    write(40)
    found = only(setup.check(1))
    assert found["code"] == "prefetch"
    assert found["text"].startswith("50% of what would be page views")
    assert "filter_prefetch: false" in found["advice"]
    setup.configure(extra="pageviews: {filter_prefetch: true}\n")  # it was decided
    assert setup.check(0) == {}


@pytest.mark.parametrize("command", ["preview", "backfill"])
def test_a_source_that_names_nothing_is_told_by_every_command(setup: Setup, command: str) -> None:
    setup.configure(sources=f"[{{path: '{setup.logs}/*.gzz'}}, {{path: {setup.logs}}}]")
    done = setup.ingestor(command, "-c", setup.directory / "config.yaml", code=1)
    assert "*.gzz: no log is there that include (*access*log*) takes" in done.stderr


def test_18_the_same_requests_in_two_logs(setup: Setup, line: Line) -> None:
    """A proxy's log and its backend's: other addresses, and a second later."""
    backend = b"".join(line(f"/{i}", i + 1, address="10.0.0.1") for i in range(50))
    (setup.logs / "backend-access.log").write_bytes(backend)
    (setup.logs / "other-access.log").write_bytes(
        b"".join(line(f"/other/{i}", i) for i in range(50))
    )
    every = setup.check(1)
    assert set(every) == {"same_requests", "proxy_address"}
    found = every["same_requests"]
    assert found["subject"].split(" and ") == [
        f"{setup.logs}/{name}" for name in ("access.log", "backend-access.log")
    ] or found["subject"].split(" and ") == [
        f"{setup.logs}/{name}" for name in ("backend-access.log", "access.log")
    ]
    assert "exclude:" in found["advice"]


def test_19_logrotate_that_outruns_the_reader(setup: Setup) -> None:
    rotation = setup.directory / "logrotate.d"
    rotation.mkdir()
    (setup.directory / "logrotate.conf").write_text(f"weekly\nrotate 4\ninclude {rotation}\n")
    flags = ("--logrotate", setup.directory / "logrotate.conf")
    block = f"{setup.logs}/*.log {{\n  %s\n  postrotate\n    kill -USR1 1 {{\n  endscript\n}}\n"

    def problem(text: str) -> dict[str, str]:
        (rotation / "nginx").write_text(block % text.replace("; ", "\n  "))
        return only(setup.check(1, *flags))

    assert setup.check(0, *flags) == {}
    found = problem("daily; rotate 0")
    assert (found["code"], found["subject"]) == (
        "logrotate",
        f"{setup.logs}/access.log ({rotation}/nginx:1)",
    )
    assert "throws it away at each rotation" in found["text"]
    assert "keeps only 3 h" in problem("hourly; rotate 3")["text"]
    assert "by size and keeps one" in problem("size 10M; rotate 1")["text"]
    assert "does not cover" in problem(f"olddir {setup.directory}/old")["text"]
    for sound in (
        "daily\n  rotate 14\n  compress",
        "olddir /elsewhere\n  noolddir",
        "daily\n  rotate -1",  # all are kept
        "size 1M\n  rotate -1",
    ):
        (rotation / "nginx").write_text(block % sound)
        assert setup.check(0, *flags) == {}


# ---------------------------------------------------------------- what Umami has: 1


def test_20_a_site_that_its_own_tracker_counts_as_well(setup: Setup, line: Line) -> None:
    setup.configure(umami=", username: admin, password: umami")
    track(setup.url, line.base + 10)
    found = only(setup.check(1))
    day = time.strftime("%Y-%m-%d", time.gmtime(line.base))
    assert found["code"] == "tracker"
    assert (
        f"already has 3 page views on {day} that did not come by this checkpoint" in found["text"]
    )
    assert f"--until {day}" in found["advice"]
    assert "a website of their own" in found["advice"]


def test_21_what_ingestor_sent_itself_is_no_tracker(setup: Setup) -> None:
    setup.configure(umami=", username: admin, password: umami")
    setup.ingestor("backfill", "-c", setup.directory / "config.yaml")
    assert setup.check(0) == {}


async def test_22_logs_that_are_older_than_a_reset(setup: Setup) -> None:
    recent = Line(base=int(time.time()) - DAY)
    (setup.logs / "access.log").write_bytes(recent("/1") + recent("/2", 1))
    async with Sandbox(SandboxOptions(websites=(WEBSITE,))) as umami:
        setup.url = umami.url
        setup.configure(umami=", username: admin, password: umami")
        umami.reset_website(WEBSITE)
        found = only(await asyncio.to_thread(setup.check, 1))
    assert found["code"] == "reset"
    assert "--since 20" in found["advice"]


@pytest.fixture
def proxy() -> Iterator[Callable[[str, int], str]]:
    """A proxy before Umami whose clock is off by so many seconds."""
    servers: list[http.server.HTTPServer] = []

    def start(url: str, seconds: int) -> str:
        target = urllib.parse.urlsplit(url).netloc

        class Proxy(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                connection = http.client.HTTPConnection(target, timeout=10)
                headers = {"Content-Type": "application/json"}
                connection.request(self.command, self.path, self.rfile.read(length), headers)
                answer = connection.getresponse()
                body = answer.read()
                self.send_response_only(answer.status)
                self.send_header("Date", formatdate(time.time() + seconds, usegmt=True))
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                connection.close()

            do_POST = do_GET  # noqa: N815 - the name that the server calls

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_23_a_clock_that_is_off(setup: Setup, proxy: Callable[[str, int], str]) -> None:
    umami = setup.url
    setup.url = proxy(umami, 300)
    setup.configure()
    found = only(setup.check(1))
    assert found["code"] == "clock"
    assert "Umami's is 300 s ahead of this machine's" in found["text"].replace("299", "300")
    assert "NTP" in found["advice"]
    setup.url = proxy(umami, 20)
    setup.configure()
    assert setup.check(0) == {}


def test_hostile_names_and_lines_reach_no_terminal(setup: Setup, line: Line) -> None:
    (setup.logs / "access\x1b[31m.log").write_bytes(line("/x", agent="\x1b]0;evil\x07"))
    (setup.logs / "x-access.log").write_bytes(b"\x1b[2J no format explains this\n" * 30)
    setup.configure(sources=f'[{{path: {setup.logs}, include: ["*.log"]}}]')
    assert "\x1b" not in setup.said(1)


def test_a_website_behind_two_hostnames_is_asked_about_once(
    setup: Setup, ingestor: Command, tmp_path: Path
) -> None:
    counting = start_sandbox(ingestor, tmp_path / "c.db", "--control-port", "0")
    setup.url = counting.url
    setup.configure(
        sites=f"[{{website: {WEBSITE}, hostname: example.com}}, "
        f"{{website: {WEBSITE.upper()}, hostname: www.example.com}}]",
        sources=f"[{{path: {setup.logs}, site: example.com}}]",
    )
    text = setup.said(0)
    assert text.count("is known to Umami") == 1
