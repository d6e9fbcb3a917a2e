"""Flags become settings and jobs: what the command line says wins over file and environment."""

from __future__ import annotations

import glob
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestor.errors import ConfigError, UsageError
from ingestor.terminal import GONE, has_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingestor.config import Config, Source
    from ingestor.pipeline.job import Job

log = logging.getLogger("ingestor")


def settings_of(
    path: Path | None,
    flags: dict[str, Any],
    *,
    needs_file: bool = False,
    own_state: bool = False,
    says: bool = False,
) -> Config:
    """Load the configuration: the named one, else the one in /etc, else defaults and flags.

    ``own_state``: the command works without one, and a person has a checkpoint of their own.
    ``says``: tell whose settings hold where nobody named a file.
    """
    from ingestor import config  # noqa: PLC0415 - start-up time

    is_named = path is not None
    if path is None and os.path.exists(config.DEFAULT_PATH):  # noqa: PTH110 - no error where it may not be seen
        if os.access(config.DEFAULT_PATH, os.R_OK) or not own_state:
            path = config.DEFAULT_PATH
        if says:
            words = "The settings are those of %s." if path else "%s is not readable: defaults."
            log.info(words, config.DEFAULT_PATH)
    if path is None and needs_file:
        asked = {"umami.url": "--url", "sites": "--website"}
        missing = [asked[key] for key in asked if key in flags and not is_given(key, flags)]
        if missing:
            raise ConfigError(
                f"where to? Give {' and '.join(missing)}, or a configuration with -c FILE; there "
                f"is none at {config.DEFAULT_PATH}."
            )
        path = config.DEFAULT_PATH  # its absence is the error to tell
    if not is_named and own_state and flags.get("checkpoint.path") is None:
        flags = flags | {"checkpoint.path": _own_checkpoint()}
    return config.load(path, environment=os.environ, flags=flags)


def is_given(key: str, flags: Mapping[str, Any]) -> bool:
    """Whether a flag says it, or the environment, where it may stand there."""
    variable = f"INGESTOR_{key.replace('.', '_').upper()}"
    return flags.get(key) is not None or ("." in key and variable in os.environ)


def is_own(url: str | None) -> bool:
    """Whether the state is a person's own: by --url, or where no daemon is configured.

    A URL in the environment may be the daemon's, whose checkpoint knows what was sent.
    """
    from ingestor import config  # noqa: PLC0415 - start-up time

    return url is not None or not os.path.exists(config.DEFAULT_PATH)  # noqa: PTH110 - as above


def as_service_user(settings: Config, *, own: bool = False, later: Sequence[str] = ()) -> None:
    """Leave root's rights behind where the checkpoint is another user's."""
    from ingestor.checkpoint import CheckpointOptions  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.service_user import become_service_user  # noqa: PLC0415 - start-up time

    path = settings.checkpoint.path
    become_service_user(path, own=own or path == CheckpointOptions().path, later=later)


def check_proxy(url: str) -> None:
    """Raise ConfigError where the environment names a proxy that cannot be used."""
    from yarl import URL  # noqa: PLC0415 - start-up time

    from ingestor.delivery.proxy import proxy_of  # noqa: PLC0415 - start-up time

    proxy_of(URL(url))


def job_of(
    settings: Config,
    paths: tuple[str, ...],
    format_: str | None,
    timezone: str | None,
    since: str | None,
    until: str | None,
) -> Job:
    """Put together what to read: the paths given, or the configured sources."""
    from ingestor.config import Source, parse_date  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.job import Job  # noqa: PLC0415 - start-up time

    def moment(flag: str, text: str | None) -> int | None:
        try:
            return None if text is None else parse_date(text)
        except ValueError:
            raise UsageError(f"{flag}: {text!r} is no date; write 2026-01-31.") from None

    if any(not path.strip() for path in paths):
        raise UsageError(
            "a path is empty (an unset variable?); name a file, a directory or a glob."
        )
    # A directory named by hand: all that is in it, but for the error logs.
    named = [Source(path=_whole(p), include=("*",)) for p in paths]
    if not named and not settings.sources:
        raise UsageError("which logs? Name files, directories or globs, or `-`.")
    changes = {"format": format_, "timezone": timezone}
    configured = _changed(settings, settings.sources, changes)
    begin, end = moment("--since", since), moment("--until", until)
    if begin is not None and end is not None and begin >= end:
        raise UsageError(f"--since {since} is not before --until {until}: nothing lies between.")
    if not named:
        return Job(configured, begin, end)
    return Job(_changed(settings, named, changes), begin, end, named=True, configured=configured)


def _changed(
    settings: Config, sources: Sequence[Source], changes: Mapping[str, str | None]
) -> tuple[Source, ...]:
    """Give sources with what flags say of them."""
    from ingestor.config import check_format, replace_source  # noqa: PLC0415 - start-up time

    found = tuple(replace_source(source, **changes) for source in sources)
    for i, source in enumerate(found):
        try:
            check_format(settings, i, source)
        except ConfigError as error:
            text = str(error)
            for flag, value in changes.items():
                _, key, said = text.partition(f"sources[{i}].{flag}")
                if value is not None and key:  # before it stands the configuration's place
                    text = f"--{flag}{said}"
            raise UsageError(text) from None
    return found


def sites_of(website: str | None, hostname: str | None) -> Any:
    """Make the one site of --website and --hostname; None without. Raises UsageError."""
    from ingestor.config import sites_of_flags  # noqa: PLC0415 - start-up time

    if hostname is not None and website is None:
        raise UsageError("--hostname goes with --website; a configuration names it under sites:.")
    return sites_of_flags(website, hostname)


def _whole(path: str) -> str:
    """A path as it is called from anywhere: the checkpoint is looked at from elsewhere too."""
    if path == "-":
        return path
    try:
        here = os.getcwd()  # noqa: PTH109 - as the next two, of text
    except OSError:  # it was removed
        return path
    if not os.path.lexists(path):  # a glob, perhaps: the directory is none
        here = glob.escape(here)
    return os.path.join(here, path)  # noqa: PTH118


def path_of(text: str | None) -> Path | None:
    """Make a path of a flag's text. Raises UsageError where it counts from nowhere."""
    if text is None:
        return None
    if not os.path.isabs(text) and not has_directory():  # noqa: PTH117 - of text
        raise UsageError(GONE)
    return Path(text)


def _own_checkpoint() -> Path | None:
    """Choose where a person without a configuration keeps the checkpoint.

    None, the default: for root, and for who has no home.
    """
    if os.geteuid() == 0 or "INGESTOR_CHECKPOINT_PATH" in os.environ:
        return None
    try:
        base = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    except RuntimeError:  # neither HOME nor an entry in /etc/passwd: as in a container
        return None
    return Path(base) / "ingestor" / "checkpoint.db"
