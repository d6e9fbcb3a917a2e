"""`check`: looks at everything once, as the daemon would, and says what to do about it.

Nothing is stored anywhere, in Umami least of all.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from typing import TYPE_CHECKING

from ingestor.checkpoint import examine
from ingestor.errors import CheckpointError
from ingestor.pipeline.checks import logrotate
from ingestor.pipeline.checks.logs import check_logs
from ingestor.pipeline.checks.remarks import Remarks
from ingestor.pipeline.checks.server import check_server
from ingestor.pipeline.checks.twins import check_twins
from ingestor.pipeline.checks.vhosts import check_vhosts
from ingestor.pipeline.proxies import Proxies
from ingestor.pipeline.service_user import ServiceUser, asked_as, service_user

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ingestor.config import Config
    from ingestor.pipeline.checks.logs import Sample


_ROOM = 1 << 20  # bytes; a checkpoint's write-ahead log alone may take more
# Found where nobody could ask Umami by the login, so that nothing is known of exactly-once.
_UNASKED = (
    *("umami_away", "umami_refuses", "umami_too_old", "website_unknown"),
    *("login_refused", "login_sees_nothing", "cannot_read"),
)


def check(config: Config, *, name: str, rotation: Path = logrotate.DEFAULT) -> Remarks:
    """Do all checks. ``name`` is the configuration's, ``rotation`` logrotate's own.

    Raises ConfigError where the rules cannot be right.
    """
    remarks = Remarks()
    rules = config.rules()
    sites, sources = len(config.sites), len(config.sources)
    remarks.ok("configuration", name, f"is sound: sites {sites}, sources {sources}")
    _check_whole(config, remarks)
    _check_paths(config, remarks)
    _check_secrets(config, remarks)
    user = service_user(config.checkpoint.path) if os.geteuid() == 0 else None
    _check_own_files(config, user, remarks)
    _check_checkpoint(config, user, remarks)
    samples = check_logs(config, rules, user, remarks)
    check_vhosts(config, samples, remarks)
    _check_addresses(config, samples, remarks)
    check_twins(samples, remarks)
    logrotate.check_logrotate(rotation, samples, remarks)
    asyncio.run(check_server(config, samples, remarks))
    _explain_delivery(config, remarks)
    return remarks


def _check_whole(config: Config, remarks: Remarks) -> None:
    """A configuration may be sound, and yet lack what the daemon needs."""
    for missing, key, what in (
        (config.umami is None, "umami.url", "where Umami is"),
        (not config.sites, "sites", "which websites there are"),
        (not config.sources, "sources", "where logs are"),
    ):
        if missing:
            text = f"it does not say {what}"
            remarks.fail("incomplete", key, text, exit_code=2, advice=f"set {key}")


def _check_paths(config: Config, remarks: Remarks) -> None:
    """A relative path is another file for the daemon, which is started in another directory."""
    paths = {f"sources[{i}].path": source.path for i, source in enumerate(config.sources)}
    paths["checkpoint.path"] = str(config.checkpoint.path)
    if config.delivery.dead_letters is not None:
        paths["delivery.dead_letters"] = str(config.delivery.dead_letters)
    paths |= {str(path): str(path) for path in config.secret_files}
    for key, path in paths.items():
        if not path.startswith("/"):
            text = f"{path} counts from wherever the program is started, the daemon's being /"
            remarks.warn("relative_path", key, text, "write the whole path, from / on")


def _check_own_files(config: Config, user: ServiceUser | None, remarks: Remarks) -> None:
    """What was read here as root, the daemon has to read as its own user."""
    files = [path for path in (config.file, *config.secret_files) if path is not None]
    for name in asked_as(
        user, lambda: [str(path) for path in files if not os.access(path, os.R_OK)]
    ):
        advice = "chgrp it to a group of that user, and chmod 640"
        text = f"{_who(user)} may not read it"
        remarks.fail("configuration", name, text, exit_code=2, advice=advice)


def _check_secrets(config: Config, remarks: Remarks) -> None:
    """A password that stands in a configuration is for the service alone."""
    if config.file is None or not config.file.stat().st_mode & stat.S_IROTH:
        return
    lines = config.file.read_text(encoding="utf-8", errors="replace").splitlines()
    for key in ("umami.password", "umami.api_key"):
        place = config.places.get(key)
        if place is None or place.source != str(config.file) or place.line is None:
            continue
        if "${" not in lines[place.line - 1]:  # the secret itself, and no variable
            advice = f"chmod o-r {config.file}, or use {key}_file"
            remarks.warn("secret_exposed", str(config.file), f"all may read {key} in it", advice)


def _check_checkpoint(config: Config, user: ServiceUser | None, remarks: Remarks) -> None:
    directory = config.checkpoint.path.parent
    subject = f"checkpoint {config.checkpoint.path}"
    if not directory.is_dir():
        if str(directory) == "/var/lib/ingestor":
            remarks.ok("checkpoint", subject, "its directory is made by the service when it starts")
            return
        advice = (
            f"create it, for the user of the service: install -d -m 700 -o ingestor {directory}"
        )
        text = "its directory does not exist"
        remarks.fail("checkpoint", subject, text, exit_code=2, advice=advice)
        return
    refused = asked_as(
        user,
        lambda: [
            str(path)
            for path in (directory, config.checkpoint.path)
            if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK)  # noqa: PTH110 - no error where it may not be seen
        ],
    )
    if refused:
        text = f"{_who(user)} may not write {refused[0]}"
        advice = f"chown it to the user of the service, as {directory} should be"
        if os.geteuid():
            advice = "run this as root, or as the user of the service"
        remarks.fail("checkpoint", subject, text, exit_code=2, advice=advice)
        return
    problems = asked_as(user, lambda: _problems(config.checkpoint.path))
    if problems:
        remarks.fail("checkpoint", subject, problems[0], exit_code=2, advice=problems[1])
    else:
        remarks.ok("checkpoint", subject, f"{_who(user)} may write it")


def _who(user: ServiceUser | None) -> str:
    return "this user" if user is None else f"the user {user.name}"


def _problems(path: Path) -> list[str]:
    """Tell what is wrong about a checkpoint, and what to do; empty: nothing is."""
    if shutil.disk_usage(path.parent).free < _ROOM:
        return ["its disk is full", "make room"]
    try:
        examine(path)
    except CheckpointError as error:
        return [str(error), "see docs/operations.md, or name another with checkpoint.path"]
    return []


def _check_addresses(config: Config, samples: Sequence[Sample], remarks: Remarks) -> None:
    """Name logs whose page views come from a proxy, as far as the configuration tells."""
    for sample in samples:
        proxies = Proxies(config)
        for _, verdict in sample.hits:
            if isinstance(verdict, tuple):
                proxies.note_address(str(verdict[1].get("ip", "")))
        text, advice = proxies.trouble
        if text:
            remarks.warn("proxy_address", sample.name, text, advice)


def _explain_delivery(config: Config, remarks: Remarks) -> None:
    """Say which promise is in force, and what the other one would cost."""
    if remarks.has("delivery"):  # this Umami keeps it from being in force
        return
    if config.delivery.exactly_once and (config.umami is None or config.umami.password is None):
        text = "exactly_once is not in force: what a crash leaves in doubt is sent again"
        advice = "set umami.username and umami.password, by which Umami is asked what it stored"
        remarks.warn("delivery", "delivery", text, advice)
        return
    if config.delivery.exactly_once:
        if any(map(remarks.has, _UNASKED)):
            return
        text = "what a crash leaves in doubt is looked up by its tag, and only what is missing sent"
    else:
        text = (
            "after a crash what was in flight is sent again and may be double; "
            "delivery.exactly_once looks it up instead, and its tags then show in Umami"
        )
    remarks.ok("delivery", "delivery", text)
