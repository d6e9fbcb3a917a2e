"""The configuration: order of precedence, and errors that name file, line and key."""

from __future__ import annotations

import os
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from parts import ROOT, WEBSITE

from ingestor.config import Config, load, sites_of_flags
from ingestor.errors import ConfigError

OTHER = "4d5f0c2b-1a3e-4d6f-9b8c-7e0f1a2b3c4d"
GOOD = f"""\
umami: {{url: https://umami.example.com}}
sites:
  - {{website: {WEBSITE}, hostname: example.com}}
sources:
  - {{path: /var/log/nginx, site: example.com}}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    def read(text: str, environment: dict[str, str] | None = None, **flags: Any) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        dotted = {key.replace("__", "."): value for key, value in flags.items()}
        return load(path, environment=environment or {}, flags=dotted)

    return read


def test_the_example_loads_to_exactly_the_defaults() -> None:
    example = load(ROOT / "config.example.yaml", environment={})
    bare = load(None, environment={})
    for section in fields(Config):
        if section.name in ("sites", "sources", "places", "file", "umami"):
            continue
        assert getattr(example, section.name) == getattr(bare, section.name), section.name


def test_the_example_documents_every_key() -> None:
    text = (ROOT / "config.example.yaml").read_text()
    document = yaml.safe_load(text)
    for section in fields(Config):
        if section.name in ("places", "file", "secret_files"):
            continue
        value = document[section.name]
        keys = set(value[0]) if isinstance(value, list) else set(value)
        default = getattr(load(ROOT / "config.example.yaml", environment={}), section.name)
        example = default[0] if isinstance(default, tuple) else default
        assert is_dataclass(example)
        for field in fields(example):
            told = field.name in keys or re.search(
                rf"^\s*#? ?-? ?{field.name}:", text, re.MULTILINE
            )
            assert told, f"{section.name}.{field.name} is not in config.example.yaml"


def test_flag_beats_environment_beats_file_beats_default(loaded: Any) -> None:
    text = GOOD + "delivery: {workers: 7, batch_size: 11}\n"
    environment = {"INGESTOR_DELIVERY_BATCH_SIZE": "12", "INGESTOR_DELIVERY_LINGER": "500ms"}
    config = loaded(text, environment, delivery__linger=0.0)
    assert config.delivery.workers == 7
    assert config.delivery.batch_size == 12
    assert config.delivery.linger == 0.0
    assert config.delivery.timeout == 60.0


def test_zero_false_and_empty_survive(loaded: Any) -> None:
    text = GOOD + "delivery: {linger: 0}\npageviews: {require_user_agent: false, methods: []}\n"
    config = loaded(text)
    assert config.delivery.linger == 0
    assert config.pageviews.require_user_agent is False
    assert config.pageviews.methods == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("delivery: {worker: 3}", 6, ["'worker'", "'workers'"]),
        ("delivry: {}", 6, ["'delivry'", "'delivery'"]),
        ("delivery: {workers: many}", 6, ["delivery.workers", "whole number", "many"]),
        ("delivery:\n  linger: 3 parsecs", 7, ["delivery.linger", "200ms"]),
        ("delivery: {mode: bacth}", 6, ["'bacth'", "'batch'"]),
        ("delivery: [1]", 6, ["delivery", "mapping"]),
        ("pageviews: {methods: GET}", 6, ["pageviews.methods", '["GET"]']),
        ("pageviews: {methods: 'GET, POST'}", 6, ["pageviews.methods", '["GET", "POST"]']),
        ("pageviews: {methods: 'GET, \"POST\"'}", 6, ["pageviews.methods", '["GET", "POST"]']),
        ("pageviews: {methods: ~}", 6, ["pageviews.methods has to be a list, not"]),
        ("pageviews: {exclude_hosts: 're:a{1,2}'}", 6, ['["re:a{1,2}"]']),
        ("pageviews: {methods: [GET, ~]}", 6, ["pageviews.methods[1] is empty", "a text"]),
        ("pageviews: {filter_bots: perhaps}", 6, ["pageviews.filter_bots", "true or false"]),
        ("pageviews:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.0/99", 9, ["10.0.0.0/99"]),
        ("follow: {max_line_bytes: 0}", 6, ["follow.max_line_bytes", "128"]),
        ("follow: {poll_interval: 0}", 6, ["follow.poll_interval", "10ms"]),
        ("follow: {rescan_interval: 0}", 6, ["follow.rescan_interval", "100ms"]),
        ("follow: {chunk_bytes: 100TiB}", 6, ["follow.chunk_bytes", "64MiB"]),
        ("follow: {max_open_files: 0}", 6, ["follow.max_open_files"]),
        ("checkpoint: {max_files: -1}", 6, ["checkpoint.max_files", "not negative"]),
        ("checkpoint: {max_copies: -1}", 6, ["checkpoint.max_copies", "not negative"]),
        ("run: {start: yesterday}", 6, ["run.start", "beginning"]),
        ("run: {}\nrun: {}", 7, ["run", "twice"]),
        ("umami: {url: x, url: y}", 6, ["umami", "twice"]),
        ("a: [", 7, ["YAML"]),
        ("delivery:\n\tworkers: 3", 7, ["YAML", "not tabs"]),
        ("pageviews: {exclude_paths: [*.pdf]}", 6, ["YAML", "in quotes"]),
        ("umami: {url: http://a, username: me}", 6, ["umami.username", "umami.password"]),
        ("umami: {url_file: /etc/hostname}", 6, ["'url_file'", "api_key_file"]),
        ("umami: {password: '${NOT_SET}'}", 6, ["NOT_SET"]),
        ("checkpoint: {path: !!python/object:os.system x}", 6, ["checkpoint"]),
        ("follow: {max_line_bytes: " + "9" * 400 + "}", 6, ["follow.max_line_bytes", "a size"]),
        ("follow: {poll_interval: " + "9" * 400 + "}", 6, ["follow.poll_interval", "a duration"]),
        ("delivery: {max_rate: " + "9" * 400 + "}", 6, ["delivery.max_rate", "whole number"]),
        ("pageviews: {exclude_paths: ['re:a{99999999999}']}", 6, ["exclude_paths[0]"]),
    ],
)
def test_a_mistake_names_file_line_and_key(
    loaded: Any, text: str, line: int, words: list[str]
) -> None:
    base = "\n".join(row for row in GOOD.splitlines() if "umami" not in row or "umami" not in text)
    shift = len(GOOD.splitlines()) - len(base.splitlines())
    with pytest.raises(ConfigError) as caught:
        loaded(base + "\n" + text + "\n").rules()
    said = str(caught.value)
    assert f"config.yaml:{line - shift}" in said or "twice" in said
    for word in words:
        assert word in said


def test_a_source_names_a_site_that_exists(loaded: Any) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml:5.*'exmaple.com'.*'example.com'"):
        loaded(GOOD.replace("site: example.com", "site: exmaple.com"))


def test_a_wrong_hostname_is_told_before_the_source_that_names_its_site(loaded: Any) -> None:
    other = f"  - {{website: {OTHER}, hostname: shop.example.com}}\n"
    text = GOOD.replace("hostname: example.com", "hostname: https://example.com")
    with pytest.raises(ConfigError, match=r"config.yaml:3: sites\[0\].hostname.*without https://"):
        loaded(text.replace("sources:\n", f"{other}sources:\n"))


@pytest.mark.parametrize("nothing", ["", "null", "~"])
def test_a_text_of_nothing_is_empty_and_not_the_word(loaded: Any, nothing: str) -> None:
    site = f"  - {{website: {OTHER}, hostname: {nothing}, title: {nothing}, match: [a]}}\n"
    config = loaded(GOOD.replace("sources:\n", f"{site}sources:\n"))
    assert (config.sites[1].hostname, config.sites[1].title) == ("", "")
    with pytest.raises(ConfigError, match=r"sources\[0\].path is empty"):
        loaded(GOOD.replace("path: /var/log/nginx", f"path: {nothing}"))


def test_the_site_of_a_flag_is_that_of_every_source(loaded: Any) -> None:
    flag = sites_of_flags(OTHER, "shop.example.com")
    config = loaded(GOOD, sites=flag)
    assert config.sites == flag
    assert [source.site for source in config.sources] == [None]


@pytest.mark.parametrize(
    ("website", "hostname", "told"),
    [
        ("abc", "shop.example.com", r"^--website: sites\[0\]\.website: 'abc'"),
        (OTHER, "https://shop.example.com", r"^--hostname: sites\[0\]\.hostname: 'https"),
    ],
)
def test_a_mistake_in_the_site_of_a_flag_is_told_of_that_flag_and_of_no_line(
    loaded: Any, website: str, hostname: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        loaded(GOOD, sites=sites_of_flags(website, hostname)).rules()


def test_a_bad_website_id_format_and_zone_are_named(loaded: Any) -> None:
    for old, new, word in (
        (WEBSITE, "123", "UUID"),
        (WEBSITE, WEBSITE.replace("-", ""), "UUID"),
        (WEBSITE, f'"{{{WEBSITE}}}"', "UUID"),
        (WEBSITE, f"urn:uuid:{WEBSITE}", "UUID"),
        ("path: /var", "format: combind, path: /var", "combined"),
        ("path: /var", "timezone: Mars/Olympus, path: /var", "Europe/Berlin"),
        ("path: /var", "timezone: ../etc/passwd, path: /var", "Europe/Berlin"),
    ):
        with pytest.raises(ConfigError, match=word):
            loaded(GOOD.replace(old, new))


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("https://user:geheim@stats.example.com", "a user or password"),
        ("https://geheim@stats.example.com", "a user or password"),
        ("https://stats.example.com/?key=geheim", "a query"),
        ("https://stats.example.com/?", "a query"),
        ("https://stats.example.com/#/geheim", "a fragment"),
        ("https://stats.example.com/geheim it", "blanks"),
        (" https://stats.example.com", "blanks"),
        ("https://stats.example.com/\\ngeheim", "blanks"),
    ],
)
def test_a_url_with_more_in_it_than_a_place_is_refused_and_not_repeated(
    loaded: Any, url: str, word: str
) -> None:
    text = "\n".join(row for row in GOOD.splitlines() if "umami" not in row)
    with pytest.raises(ConfigError, match=r"umami\.url holds") as caught:
        loaded(f'{text}\numami: {{url: "{url}"}}\n')
    assert word in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "config.yaml:" in str(caught.value)


@pytest.mark.parametrize("path", ["''", "' '", "'-'", '"/var/log\\0/x"'])
def test_a_source_without_a_place_is_refused(loaded: Any, path: str) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml:5: sources\[0\].path"):
        loaded(GOOD.replace("path: /var/log/nginx", f"path: {path}"))


def test_a_password_alone_is_no_umami(tmp_path: Path) -> None:
    assert load(None, environment={"INGESTOR_UMAMI_PASSWORD": "x"}).umami is None


def test_secrets_come_from_the_environment_or_a_file_and_never_show(
    loaded: Any, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    text = GOOD.replace(
        "url:", f"api_key: '${{KEY}}', username: admin, password_file: {secret}, url:"
    )
    config = loaded(text, {"KEY": "k-123"})
    assert config.umami.api_key == "k-123"
    assert config.umami.password == "hunter2"  # noqa: S105
    assert "hunter2" not in repr(config)
    assert "k-123" not in repr(config)


@pytest.mark.parametrize("written", ["$PASS_WORD", "${pass_word}", "$pass_word"])
def test_a_variable_that_is_none_as_it_is_written_is_no_secret(loaded: Any, written: str) -> None:
    text = GOOD.replace("url:", f"username: me, password: '{written}', url:")
    with pytest.raises(ConfigError, match=r"umami.password .*write \$\{PASS_WORD\}"):
        loaded(text, {"PASS_WORD": "x"})
    assert loaded(text, {}).umami.password == written


def test_a_secret_that_looks_like_a_variable_may_stand_in_a_file(loaded: Any) -> None:
    text = GOOD.replace("url:", "username: me, password: $ecret, url:")
    with pytest.raises(ConfigError, match=r"write it into a file: umami\.password_file"):
        loaded(text, {"ECRET": "x"})


@pytest.mark.parametrize("written", ["$A$", "${A", "$A}}", "$${A-B}", "$A-1"])
def test_a_secret_that_is_no_variable_however_it_is_written_is_one(
    loaded: Any, written: str
) -> None:
    text = GOOD.replace("url:", f"username: me, password: '{written}', url:")
    assert loaded(text, {"A": "x"}).umami.password == written


@pytest.mark.parametrize(
    "written",
    ["password: *hunter2", "password: !hunter2 x", "password: !!hunter2 x",
     "password: !hunter2!x y",
     "password: 'a${HUNTER2}b'", "password: [hunter2]", "password: {hunter2: x}",
     "password: {*hunter2 : x}", "password_file: [hunter2]", "password_file: hunter2",
     "password_file: !hunter2 x", "password: &hunter2 a\n  api_key: &hunter2 b",
     "password: *hunter'2\"", 'password: "x" hunter2'],
)  # fmt: skip
def test_a_mistake_in_writing_a_secret_does_not_show_it(loaded: Any, written: str) -> None:
    text = f"umami:\n  url: https://umami.example.com\n  username: me\n  {written}\n"
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert "hunter" not in str(caught.value).lower()
    assert "config.yaml:" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no secret"),
        (b" \n", "holds no secret"),
        (b"hunter2\nhunter3\n", "one line"),
        (b"hunter2\x00", "holds no secret"),
        (b"hunter2" * 2000, "up to 8192"),
        (b"hunter\xff", "not text"),
    ],
)
def test_what_is_no_secret_is_not_taken_for_one(
    loaded: Any, tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        loaded(GOOD.replace("url:", f"api_key_file: {tmp_path}/secret, url:"))
    assert "hunter" not in str(caught.value)


def test_a_secret_is_read_from_a_regular_file_alone(loaded: Any, tmp_path: Path) -> None:
    """What has no end, or may never begin, would hold up the start."""
    os.mkfifo(tmp_path / "fifo")
    for name in ("/dev/zero", "/dev/null", tmp_path / "fifo", tmp_path):
        with pytest.raises(ConfigError, match=r"no regular file|Is a directory"):
            loaded(GOOD.replace("url:", f"api_key_file: {name}, url:"))


def test_a_section_that_is_one_value_is_not_repeated(loaded: Any) -> None:
    with pytest.raises(ConfigError, match="a mapping of keys to values, not one value"):
        loaded("umami: https://me:hunter2@umami.example.com")


def test_a_variable_names_the_file_of_a_secret(loaded: Any, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    login = {"INGESTOR_UMAMI_USERNAME": "me", "INGESTOR_UMAMI_PASSWORD_FILE": str(file)}
    config = loaded(GOOD, login)
    assert config.umami.password == file.read_text().strip()
    assert config.secret_files == (file,)
    with pytest.raises(ConfigError, match="keep one"):
        loaded(GOOD, login | {"INGESTOR_UMAMI_PASSWORD": "hunter3"})
    file.unlink()
    with pytest.raises(ConfigError, match=r"INGESTOR_UMAMI_PASSWORD_FILE.*cannot be read"):
        loaded(GOOD, login)


def test_an_unknown_environment_variable_of_ours_is_a_mistake(loaded: Any) -> None:
    with pytest.raises(ConfigError, match="INGESTOR_DELIVERY_WORKERS"):
        loaded(GOOD, {"INGESTOR_DELIVERY_WORKER": "3"})


@pytest.mark.parametrize("name", ["INGESTOR_SITES", "INGESTOR_SOURCES"])
def test_a_list_in_the_environment_is_sent_to_the_file(name: str, loaded: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*stand in the configuration file alone"):
        loaded(GOOD, {name: "[]"})


def test_a_format_definition_keeps_its_dollars(loaded: Any) -> None:
    definition = '$remote_addr - ${remote_user} [$time_local] "$request" $status'
    text = GOOD.replace("path: /var", f"format: '{definition}', path: /var")
    assert loaded(text).sources[0].format == definition


def test_a_file_that_is_missing_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="-c FILE"):
        load(tmp_path / "none.yaml", environment={})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INGESTOR_DELIVERY_WORKERS", "many"),
        ("INGESTOR_DELIVERY_WORKERS", "[1"),
        ("INGESTOR_DELIVERY_WORKERS", "{a: 1}"),
        ("INGESTOR_DELIVERY_WORKERS", "0"),
        ("INGESTOR_PAGEVIEWS_EXCLUDE_PATHS", "/a"),
        ("INGESTOR_PAGEVIEWS_EXCLUDE_PATHS", '["/a", {}]'),
    ],
)
def test_a_wrong_value_of_the_environment_stands_in_no_line(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        load(None, environment={name: value})
    assert str(wrong.value).startswith(f"{name}: ")


@pytest.mark.parametrize("key", ["include", "exclude"])
@pytest.mark.parametrize("pattern", ["/var/log/nginx/old.log", "re:old"])
def test_a_pattern_that_no_log_of_a_source_can_match_is_a_mistake(
    loaded: Any, key: str, pattern: str
) -> None:
    """What it should have kept out would be sent, and nobody be told."""
    with pytest.raises(ConfigError, match=rf"config.yaml:5: sources\[0\].{key}\[1\]: .* no log"):
        loaded(GOOD.replace("site: example.com", f'site: example.com, {key}: ["*.x", "{pattern}"]'))
