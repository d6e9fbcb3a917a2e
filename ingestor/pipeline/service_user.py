"""Whose the daemon is, and how a command that root starts becomes that user.

What root writes beside the checkpoint, the daemon could not read. So the owner of the checkpoint
(or of its directory, while there is none) is who works with it, whoever starts the command.
"""

from __future__ import annotations

import grp
import importlib
import logging
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingestor import crawlers
from ingestor.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("ingestor")

_NAME = "ingestor"  # the user that the unit in systemd/ names …
_GROUP = "adm"  # … and its group, which may read Debian's logs
_SYSTEMD = Path("/run/systemd/system")  # there where systemd runs
# Imported only where they are needed; a user that may not read this installation cannot do that.
_LATER = (
    "ada_url",
    "encodings.idna",
    "zoneinfo",
    "stringprep",
    "concurrent.futures.thread",
)


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """Who the daemon runs as."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]  # all of them


def service_user(checkpoint: Path) -> ServiceUser | None:
    """Find whose a checkpoint is; None: root's, or nobody's yet. Raises UsageError (`_owner`)."""
    owner = _owner(checkpoint)
    try:
        if owner is None:
            return _user(pwd.getpwnam(_NAME))
        return _user(pwd.getpwuid(owner)) if owner else None
    except KeyError:
        if not owner:
            return None
        return ServiceUser(str(owner), owner, owner, (owner,))


def _owner(checkpoint: Path) -> int | None:
    """Find whose the file is, or the directory that it would be made in; None: neither is there.

    Whoever may write a directory can put there a link to a file of root's, for which the rights of
    root would be kept. So who leads there has to be root, or whose rights are taken.
    Raises UsageError.
    """
    directory, file = _uid(checkpoint.parent), _uid(checkpoint)
    owner = directory if file is None else file
    if owner is None:
        return None
    others = {directory, *_who_leads_to(checkpoint.absolute(), set())} - {None, 0, owner}
    if others:
        names = ", ".join(sorted(_name(uid) for uid in others if uid is not None))
        raise UsageError(
            f"the checkpoint {checkpoint} is a file of {_name(owner)} in a directory, or behind a "
            f"link, of {names}: as root this goes on only where both are one user's; chown it "
            "(`-h` for a link), name the real file, or name another with --checkpoint"
        )
    return owner


def _uid(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _who_leads_to(path: Path, seen: set[Path]) -> set[int | None]:
    """Find who may say where a path leads: owners of its links, and of the directories of these."""
    found: set[int | None] = set()
    for link in (path, *path.parents):
        if link in seen or not link.is_symlink():
            continue
        seen.add(link)
        found |= {link.lstat().st_uid, _uid(link.parent)}
        found |= _who_leads_to(link.parent / link.readlink(), seen)
    return found


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _user(entry: pwd.struct_passwd) -> ServiceUser:
    groups = set(os.getgrouplist(entry.pw_name, entry.pw_gid))
    if entry.pw_name == _NAME:
        groups |= _groups_of_unit()
    return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid, tuple(sorted(groups)))


def _groups_of_unit() -> set[int]:
    """Find the groups that the installed unit adds, or else those that ours would."""
    unit = _unit("Group", "SupplementaryGroups")
    names = set(" ".join(unit.values()).split()) if unit else {_GROUP}
    found = set()
    for name in names:
        try:
            found.add(grp.getgrnam(name).gr_gid)
        except KeyError:
            continue
    return found


def hidden_by_unit() -> list[tuple[str, tuple[bytes, ...]]]:
    """Which settings of the installed unit hide which directories from the daemon."""
    hiding = {
        "ProtectHome": (b"/home/", b"/root/", b"/run/user/"),
        "PrivateTmp": (b"/tmp/", b"/var/tmp/"),
    }
    unit = _unit(*hiding)
    return [(name, hiding[name]) for name, value in unit.items() if value in ("yes", "tmpfs")]


def _unit(*names: str) -> dict[str, str]:
    """Read settings of the installed unit; none where there is no unit, or no systemd."""
    systemctl = shutil.which("systemctl")
    if systemctl is None or not _SYSTEMD.is_dir():
        return {}
    shown = subprocess.run(  # noqa: S603 - no input of anybody's
        [systemctl, "show", _NAME, "-p", ",".join(("LoadState", *names))],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    ).stdout
    values = dict(line.partition("=")[::2] for line in shown.splitlines())
    if values.pop("LoadState", "") != "loaded":
        return {}
    return {name: values.get(name, "") for name in names}


def become_service_user(checkpoint: Path, *, own: bool, later: Sequence[str] = ()) -> None:
    """Where root starts a command, go on as the checkpoint's user; else nothing changes.

    ``own``: the place was chosen by the program, so that its directory is made where it is
    missing. ``later``: modules that the command imports only where it needs them. Raises
    UsageError where that cannot be.
    """
    if own and not checkpoint.parent.exists():
        _make(checkpoint.parent, service_user(checkpoint) if os.geteuid() == 0 else None)
    if os.geteuid() != 0:
        return
    user = service_user(checkpoint)
    if user is None or not checkpoint.parent.exists():
        return
    for name in (*_LATER, *later):
        importlib.import_module(name)
    crawlers.patterns()
    _become(user)
    os.umask(0o077)
    log.info("The checkpoint belongs to the user %s, so this goes on as %s.", user.name, user.name)


def _make(directory: Path, user: ServiceUser | None) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True)
        if user is not None:
            os.chown(directory, user.uid, user.gid)
    except OSError as error:
        raise UsageError(
            f"the checkpoint's directory {directory} cannot be made: {error.strerror}; make it, "
            "or name another place with --checkpoint"
        ) from None


def _become(user: ServiceUser) -> None:
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def asked_as(user: ServiceUser | None, question: Callable[[], Sequence[str]]) -> list[str]:
    """Ask in a child process with that user's rights; None: with those that we have.

    The answers are lines of text. To be called before there are threads. Raises UsageError where
    the child does not answer.
    """
    if user is None:
        return list(question())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            _become(user)
            with os.fdopen(writing, "w", encoding="utf-8", errors="surrogateescape") as out:
                out.write("\0".join(question()))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "r", encoding="utf-8", errors="surrogateescape") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise UsageError(f"it cannot be found out what the user {user.name} may read")
    return text.split("\0") if text else []
