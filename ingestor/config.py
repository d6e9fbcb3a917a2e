"""YAML + environment + flags → one frozen Config; an error names file, line and key.

Each room defines its own options; here they are composed. Order: flag > environment > file >
default, and 0, false and "" survive. The environment names a key as ``INGESTOR_SECTION_KEY``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints
from zoneinfo import ZoneInfo

from ingestor.checkpoint import CheckpointOptions
from ingestor.delivery import DeliveryOptions, UmamiOptions
from ingestor.errors import ConfigError, FormatError
from ingestor.formats import format_named
from ingestor.logfiles import FollowOptions
from ingestor.pageviews import PageViewOptions, Rules, Site, check_site
from ingestor.typed_yaml import Place, Reader, secrets, unknown

DEFAULT_PATH = Path("/etc/ingestor/config.yaml")
_MAX_FILE = 4 << 20  # bytes; four hundred sites are under 100 kB
_PREFIX = "INGESTOR_"
_IN_FILE_ALONE = f"{_PREFIX}SITES", f"{_PREFIX}SOURCES"
_WEBSITE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NO_WEBSITE = "00000000-0000-0000-0000-000000000000"  # preview without a website


@dataclass(frozen=True, slots=True)
class Source:
    """Where logs are and how to read them. Globs in include and exclude match file names."""

    path: str  # a file, a directory or a glob
    include: tuple[str, ...] = ("*access*log*",)  # looked at where path is a directory
    exclude: tuple[str, ...] = ("*error*",)
    format: str = "auto"  # a preset's name, auto, or a definition from the server's configuration
    site: str | None = None  # hostname of the site for lines without a vhost
    timezone: str | None = None  # IANA name; only for formats that write no zone


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The daemon."""

    start: str = "end"  # files present when their source is new: end, beginning, or a date
    shutdown_timeout: float = 30.0  # how long a drain may take


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the program can be told. Immutable; a reload makes another."""

    umami: UmamiOptions | None = None  # None: nowhere to send to (preview)
    sites: tuple[Site, ...] = ()
    sources: tuple[Source, ...] = ()
    run: RunOptions = field(default_factory=RunOptions)
    follow: FollowOptions = field(default_factory=FollowOptions)
    pageviews: PageViewOptions = field(default_factory=PageViewOptions)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    places: Mapping[str, Place] = field(default_factory=dict, repr=False, compare=False)
    file: Path | None = field(default=None, compare=False)  # where it was read from
    secret_files: tuple[Path, ...] = field(default=(), compare=False)  # … and its secrets

    def rules(self, *, since: int | None = None, until: int | None = None) -> Rules:
        """The rules as configured; a wrong one is a ConfigError that names its place."""
        try:
            return Rules(self.pageviews, self.sites, since=since, until=until)
        except ConfigError as error:
            raise self.located(error) from None

    def delivery_options(self) -> DeliveryOptions:
        """How to deliver, with the dead letters beside the checkpoint where nothing else is said.

        A checkpoint of another name has dead letters of its own: another Umami's, perhaps.
        """
        options, path = self.delivery, self.checkpoint.path
        if options.dead_letters is not None:
            return options
        own = "" if path.stem == "checkpoint" else f"{path.stem}."
        return replace(options, dead_letters=path.with_name(f"{own}dead-letters.jsonl"))

    def backfill_command(self) -> str:
        """What a person types to have a backfill work under this configuration."""
        words = ["ingestor", "backfill"]
        words += [] if self.file is None else ["-c", str(self.file)]
        if self.places.get("checkpoint.path") == Place("--checkpoint"):
            words += ["--checkpoint", str(self.checkpoint.path)]
        return shlex.join(words)

    def located(self, error: ConfigError) -> ConfigError:
        """The same error with the place in front, where its key was set."""
        key = error.key
        while key:
            if key in self.places:
                return ConfigError(f"{self.places[key]}: {error}", key=error.key)
            key = key.rpartition("[")[0] if key.endswith("]") else key.rpartition(".")[0]
        return error


# Sections in the order of the file; the class says which keys they have.
_SECTIONS: dict[str, type[Any]] = {
    "umami": UmamiOptions,
    "run": RunOptions,
    "follow": FollowOptions,
    "pageviews": PageViewOptions,
    "delivery": DeliveryOptions,
    "checkpoint": CheckpointOptions,
}
_FLAGS = {"umami.url": "--url", "sites": "--website", "checkpoint.path": "--checkpoint"}
# The site of the flags stands where the file's first one stood, whose lines are not to blame.
_SITE_FLAGS = {"sites[0].website": "--website", "sites[0].hostname": "--hostname"}
_LISTS: dict[str, type[Any]] = {"sites": Site, "sources": Source}


def load(
    path: Path | None,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Read a configuration.

    ``path`` None: no file. ``flags`` holds values by dotted key (``umami.url``), None for a flag
    that was not given. Raises ConfigError, naming the place.
    """
    reader = Reader(environment)
    values: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    lists: dict[str, Any] = dict.fromkeys(_LISTS, ())
    if path is not None:
        _read_file(path, reader, values, lists)
    _read_environment(reader, environment, values)
    for key, value in (flags or {}).items():
        if value is None:
            continue
        section, _, name = key.partition(".")
        if name:
            values[section][name] = value
        else:
            lists[section] = value
        reader.places[key] = Place(_FLAGS.get(key, "the command line"))
    if (flags or {}).get("sites") is not None:  # every line is theirs, whatever a source says
        reader.places.update({key: Place(flag) for key, flag in _SITE_FLAGS.items()})
        lists["sources"] = tuple(replace(source, site=None) for source in lists["sources"])
    source = Place(str(path) if path else "the command line")
    sections = {
        name: reader.build(cls, values[name], name, source)
        for name, cls in _SECTIONS.items()
        # A password in the environment alone does not mean that there is an Umami to send to.
        if name != "umami" or "url" in values[name]
    }
    config = Config(
        **sections,
        **lists,
        places=reader.places,
        file=path,
        secret_files=tuple(reader.secret_files),
    )
    _check(config)
    return config


def _read_file(
    path: Path, reader: Reader, values: dict[str, dict[str, Any]], lists: dict[str, Any]
) -> None:
    name = str(path)
    root = reader.compose(_text(path), name)
    if root is None:
        return
    seen: set[str] = set()
    for key, node, place in reader.pairs(root, "", name):
        if key not in _SECTIONS and key not in _LISTS:
            raise ConfigError(f"{place}: {unknown('key', key, [*_SECTIONS, *_LISTS])}")
        if key in seen:
            raise ConfigError(f"{place}: {key} is there twice; keep one.")
        seen.add(key)
        if node.tag == "tag:yaml.org,2002:null":  # a section without keys
            continue
        if key in _SECTIONS:
            values[key] = reader.table(node, _SECTIONS[key], key, name)
        else:
            lists[key] = reader.sequence(node, _LISTS[key], key, name)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such configuration file. Name one with -c FILE; "
            "config.example.yaml shows every key."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        if isinstance(error, PermissionError):
            why = f"{why}; run this as root, or as a user that may read it"
        raise ConfigError(f"{path}: the configuration cannot be read: {why}.") from None
    if len(text) > _MAX_FILE:
        raise ConfigError(f"{path}: this is over 4 MiB, so it is no configuration of ours.")
    return text


def _read_environment(
    reader: Reader, environment: Mapping[str, str], values: dict[str, dict[str, Any]]
) -> None:
    hints = {
        f"{_PREFIX}{section}_{name}".upper(): (section, name, hint)
        for section, cls in _SECTIONS.items()
        for name, hint in get_type_hints(cls, include_extras=True).items()
    }
    files = {
        f"{_PREFIX}{section}_{name}_FILE".upper(): (section, name)
        for section, cls in _SECTIONS.items()
        for name in secrets(cls)
    }
    for variable in sorted(v for v in environment if v.startswith(_PREFIX)):
        if variable == f"{_PREFIX}CONFIG":  # names the file itself
            continue
        if variable in files:
            section, name = files[variable]
            if f"{_PREFIX}{section}_{name}".upper() in environment:
                raise ConfigError(f"{variable} and the secret itself are both set; keep one.")
            file = environment[variable]
            values[section][name] = reader.secret(file, f"{section}.{name}", Place(variable))
            reader.places[f"{section}.{name}"] = Place(variable)
            continue
        if variable not in hints:
            if variable in _IN_FILE_ALONE:
                raise ConfigError(
                    f"{variable}: sites and sources are lists, which stand in the configuration "
                    "file alone; write them there and unset the variable."
                )
            known = [*hints, *files]
            raise ConfigError(f"{unknown('environment variable', variable, known)}")
        section, name, hint = hints[variable]
        text = environment[variable]
        # A scalar is taken as it stands: a password may look like YAML.
        scalar = hint is str or hint == str | None
        key = f"{section}.{name}"
        if scalar:
            values[section][name] = text
        else:
            node = reader.compose(text, variable)
            if node is None:
                raise ConfigError(f"{variable} is empty; give it a value or leave it unset.")
            values[section][name] = reader.value(node, hint, key, variable)
        reader.places[key] = Place(variable)


def _check(config: Config) -> None:
    """What no type can say: ids, hostnames, zones, formats and dates."""
    hostnames = [site.hostname for site in config.sites]
    for i, site in enumerate(config.sites):
        if _WEBSITE_ID.fullmatch(site.website) is None:
            raise config.located(
                ConfigError(
                    f"sites[{i}].website: {site.website!r} is no website id. Umami shows it "
                    "under Settings, Websites, Edit: a UUID such as "
                    "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c.",
                    key=f"sites[{i}].website",
                )
            )
        # Before the sources: one that names this site rightly is not to be led to another.
        try:
            check_site(site, f"sites[{i}]")
        except ConfigError as error:
            raise config.located(error) from None
    for i, source in enumerate(config.sources):
        _check_path(config, i, source)
        _check_patterns(config, i, source)
        if source.site is not None and source.site not in hostnames:
            problem = unknown("site", source.site, hostnames or ["none: sites is empty"])
            raise config.located(
                ConfigError(f"sources[{i}].site: {problem}", key=f"sources[{i}].site")
            )
        check_format(config, i, source)
    if config.run.start not in ("end", "beginning"):
        try:
            parse_date(config.run.start)
        except ValueError:
            raise config.located(
                ConfigError(
                    f"run.start has to be end, beginning or a date such as 2026-01-31, "
                    f"not {config.run.start!r}.",
                    key="run.start",
                )
            ) from None


def _check_path(config: Config, i: int, source: Source) -> None:
    key = f"sources[{i}].path"
    if not source.path.strip() or "\0" in source.path:
        problem = f"{key} is empty; name a file, a directory or a glob."
    elif source.path == "-":
        problem = f"{key}: standard input (-) is no source; `ingestor backfill -` reads it."
    else:
        return
    raise config.located(ConfigError(problem, key=key))


def _check_patterns(config: Config, i: int, source: Source) -> None:
    """What these should keep out would be sent, and nobody be told."""
    for name, patterns in (("include", source.include), ("exclude", source.exclude)):
        for n, pattern in enumerate(patterns):
            if pattern.startswith(("/", "re:")):
                key = f"sources[{i}].{name}[{n}]"
                problem = (
                    f"{key}: {pattern!r} matches no log: it is a glob for a file's name "
                    "(*.old.log), or for its path below a directory that path names (old/*)."
                )
                raise config.located(ConfigError(problem, key=key))


def check_format(config: Config, i: int, source: Source) -> None:
    """Raise ConfigError where a source's format or time zone cannot be right."""
    try:
        zone = None if source.timezone is None else ZoneInfo(source.timezone)
    except (KeyError, ValueError, OSError):
        # ZoneInfoNotFoundError is a KeyError; a path outside of the database a ValueError.
        raise config.located(_bad_zone(i, source)) from None
    if source.format == "auto":
        return
    try:
        format_named(source.format, timezone=zone)
    except FormatError as error:
        key = f"sources[{i}].format"
        raise config.located(ConfigError(f"{key}: {error}", key=key)) from None


def _bad_zone(i: int, source: Source) -> ConfigError:
    return ConfigError(
        f"sources[{i}].timezone: {source.timezone!r} is no time zone; "
        "write its IANA name, such as Europe/Berlin.",
        key=f"sources[{i}].timezone",
    )


def parse_date(text: str) -> int:
    """``2026-01-31`` or ``2026-01-31T12:00:00+01:00`` → Unix seconds; UTC where no offset stands.

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def replace_source(source: Source, **changes: Any) -> Source:
    """The source with what the command line says instead."""
    return replace(source, **{k: v for k, v in changes.items() if v is not None})


def sites_of_flags(website: str | None, hostname: str | None) -> tuple[Site, ...] | None:
    """The one site that ``--website`` and ``--hostname`` describe, or None without them."""
    if website is None:
        return None
    return (Site(website=website.lower(), hostname=(hostname or "").lower(), match=("*",)),)
