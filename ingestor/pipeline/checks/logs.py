"""The logs: what there is, whether the daemon may read it, and what its lines are."""

from __future__ import annotations

import errno
import grp
import os
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ingestor.config import Source
from ingestor.formats import Format, detect, format_named, shown
from ingestor.formats.adaptive import is_explained
from ingestor.logfiles import Found, discover, readable
from ingestor.logfiles.compression import TAR, is_readable, is_tar
from ingestor.logfiles.reader import LogFile
from ingestor.model import Hit, Reason
from ingestor.pageviews import Site, Verdict
from ingestor.pipeline.job import empty_sources, places
from ingestor.pipeline.scanners import agent_advice, sample_lines
from ingestor.pipeline.service_user import asked_as, hidden_by_unit
from ingestor.scan import is_utf16
from ingestor.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestor.config import Config
    from ingestor.pageviews import Rules
    from ingestor.pipeline.checks.remarks import Remarks
    from ingestor.pipeline.service_user import ServiceUser

_SAMPLE = 65_536  # bytes from each end of a log
_LINES = 500  # of these, judged from each end
_DETECTED = 100  # of these, looked at for the format
_LOGS = 500  # looked into; more would take minutes
_SHOWN = 10  # unreadable files named one by one
_DAY = 86_400  # seconds
_AHEAD, _AHEAD_SHARE = 20, 0.2  # pages fetched ahead that are worth a word
_ENOUGH = 0.95  # the share of lines that a named format should explain


@dataclass(slots=True)
class Sample:
    """Lines of one log, judged."""

    found: Found
    source: Source
    site: Site | None  # the source's own
    format: Format
    lines: int  # looked at
    hits: list[tuple[Hit, Verdict]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The path, for people."""
        return readable(self.found.path)


def check_logs(
    config: Config, rules: Rules, user: ServiceUser | None, remarks: Remarks
) -> list[Sample]:
    """Look at all logs of all sources; gives samples of those that can be read."""
    discovered = discover(places(config.sources))
    for finding in discovered.findings:
        missing = finding.what == os.strerror(errno.ENOENT)
        code = "log_missing" if missing else "log_unreadable"
        advice = (
            "check the path of the source; it is looked for again while the daemon runs"
            if missing
            else finding.advice
        )
        remarks.warn(code, readable(finding.path), finding.what, advice)
    for finding in empty_sources(config.sources, discovered):
        remarks.warn("log_missing", readable(finding.path), finding.what, finding.advice)
    _check_excluded(config.sources, discovered.files, remarks)
    _check_rights(discovered.files, user, remarks)
    _check_hidden(discovered.files, remarks)
    live = _live(discovered.files)
    if len(live) > _LOGS:
        remarks.ok("logs", "", f"{len(live)} logs are there; the {_LOGS} newest were looked into")
    samples = [_sample(config, rules, found, remarks) for found in live[:_LOGS]]
    return [sample for sample in samples if sample is not None]


def _check_excluded(sources: Sequence[Source], files: Sequence[Found], remarks: Remarks) -> None:
    """Name directories that `exclude` names, where only what is below them could be excluded."""
    for i, source in enumerate(sources):
        for pattern in source.exclude:
            directory = os.fsencode(f"{source.path.rstrip('/')}/{pattern}").rstrip(b"/")
            if not pattern or not os.path.isdir(directory):  # noqa: PTH112 - of bytes
                continue
            below = directory + b"/"
            count = sum(found.source == i and found.path.startswith(below) for found in files)
            if count:
                logs = counted(count, "log")
                text = f"exclude has this directory's name, but takes files, not {logs} below it"
                advice = f'exclude "{pattern.rstrip("/")}/*"'
                remarks.warn("exclude_directory", readable(directory), text, advice)


# ---------------------------------------------------------------- rights


def _check_rights(files: Sequence[Found], user: ServiceUser | None, remarks: Remarks) -> None:
    """Open each log as the daemon's user would."""
    refused = asked_as(user, lambda: _refused(files))
    name = user.name if user is not None else _own_name()
    for answer in refused[:_SHOWN]:
        number, _, place = answer.partition(" ")
        found = files[int(number)]
        remarks.warn(
            "log_unreadable",
            readable(found.path),
            f"the user {name} may not read it",
            _advice(found.path, os.fsencode(place), name),
        )
    if len(refused) > _SHOWN:
        more = len(refused) - _SHOWN
        remarks.warn("log_unreadable", f"{more} more logs", "likewise", "the same for them")


def _check_hidden(files: Sequence[Found], remarks: Remarks) -> None:
    """Name the places that the installed unit hides from the daemon, whatever its rights."""
    for setting, prefixes in hidden_by_unit():
        inside = [found for found in files if found.path.startswith(prefixes)]
        if inside:
            text = f"{len(inside)} logs there are hidden from the daemon by {setting}= of its unit"
            advice = f"set {setting}=no with `systemctl edit ingestor` (ProtectHome=read-only does)"
            if setting != "ProtectHome":
                advice = f"set {setting}=no with `systemctl edit ingestor`"
            remarks.warn("log_hidden", readable(inside[0].path), text, advice)


def _refused(files: Sequence[Found]) -> list[str]:
    """Try to open each; of those that fail, the number and the path that is in the way."""
    answers = []
    for number, found in enumerate(files):
        try:
            os.close(os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            answers.append(f"{number} {os.fsdecode(_in_the_way(found.path))}")
    return answers


def _in_the_way(path: bytes) -> bytes:
    """The outermost directory that may not be entered, or the file itself."""
    parts = path.split(b"/")
    for n in range(2, len(parts)):
        directory = b"/".join(parts[:n])
        if not os.access(directory, os.X_OK):
            return directory
    return path


def _advice(path: bytes, place: bytes, name: str) -> str:
    """The smallest right that lets the user read a log."""
    shown = readable(place)
    try:
        status = os.stat(place)  # noqa: PTH116 - a path is bytes
    except OSError:
        return f"give the user {name} the right to read it"
    right, bits = ("x", stat.S_IXGRP) if place != path else ("r", stat.S_IRGRP)
    acl = f"setfacl -m u:{name}:{right} {shown}"
    if place == path:
        directory = readable(os.path.dirname(path))  # noqa: PTH120 - likewise
        acl += f", and for those to come setfacl -d -m u:{name}:r {directory}"
    if status.st_mode & bits and status.st_gid:
        group = _group(status.st_gid)
        return f"add it to the group {group} (usermod -aG {group} {name}), or {acl}"
    return acl


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _own_name() -> str:
    import pwd  # noqa: PLC0415 - only for this message

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


# ---------------------------------------------------------------- lines


def _live(files: Sequence[Found]) -> list[Found]:
    """The youngest generation of each log that has lines, the last written first."""
    youngest: dict[bytes, Found] = {}
    for found in files:  # oldest first
        known = youngest.get(found.lineage)
        if known is None or found.size or not known.size:
            youngest[found.lineage] = found
    return sorted(youngest.values(), key=lambda found: -found.mtime_ns)


def _sample(config: Config, rules: Rules, found: Found, remarks: Remarks) -> Sample | None:
    name, source = readable(found.path), config.sources[found.source]
    try:
        with LogFile(found.path) as file:
            if not is_readable(file.compression):
                text = f"compressed as {file.compression}, which is not read"
                remarks.warn("log_unreadable", name, text, "compress it as gz, bz2, xz or zst")
                return None
            length = file.length
            head = file.read_at(0, _SAMPLE)
            tail = b"" if length is None else file.read_at(max(0, length - _SAMPLE), _SAMPLE)
    except OSError:
        return None  # said by `_check_rights`, or gone meanwhile
    if is_tar(head):
        remarks.warn("log_unreadable", name, *TAR)
        return None
    if is_utf16(head):
        advice = "let the server write UTF-8; convert what there is with iconv"
        remarks.warn("format_unknown", name, "it is written in UTF-16", advice)
        return None
    first = sample_lines(head)[:_LINES]
    last = [] if head.endswith(tail) else sample_lines(tail, cut_first=True)[-_LINES:]
    if not first:
        remarks.ok("log", name, "empty so far")
        return None
    return _judge(config, rules, found, source, first, last, remarks)


def _judge(
    config: Config,
    rules: Rules,
    found: Found,
    source: Source,
    first: list[bytes],
    last: list[bytes],
    remarks: Remarks,
) -> Sample | None:
    name, latest = readable(found.path), int(time.time()) + _DAY
    zone = None if source.timezone is None else ZoneInfo(source.timezone)
    if source.format == "auto":
        detection = detect([*first[:_DETECTED], *last[-_DETECTED:]], latest=latest, timezone=zone)
        if detection.format is None:
            advice = "name its format with format: on the source; docs/formats.md lists them"
            text = detection.explanation
            if detection.example:
                text += f", as {shown(rules.mask_line(detection.example))}"
            remarks.warn("format_unknown", name, text, advice)
            return None
        line_format = detection.format
    else:
        line_format = format_named(source.format, timezone=zone)
    site = next((site for site in config.sites if site.hostname == source.site), None)
    sample = Sample(found, source, site, line_format, len(first) + len(last))
    parser = line_format.for_file(first)
    explained = 0
    for line in (*first, *last):
        hit = parser.parse(line, latest)
        explained += is_explained(hit)
        if isinstance(hit, Hit):
            sample.hits.append((hit, rules.decide(hit, site)))
    _remark_on(config, sample, explained / sample.lines, remarks)
    return sample


def _remark_on(config: Config, sample: Sample, share: float, remarks: Remarks) -> None:
    name, line_format = sample.name, sample.format
    views = sum(isinstance(verdict, tuple) for _, verdict in sample.hits)
    if share < _ENOUGH and sample.source.format != "auto":
        remarks.warn(
            "format_wrong",
            name,
            f"the format {line_format.name} explains only {share:.0%} of {sample.lines} lines",
            "mend format: on the source, or leave it to auto",
        )
    else:
        text = f"{line_format.name} explains {share:.0%} of {sample.lines} lines"
        remarks.ok("log", name, f"{text}, {views} of them page views")
    has_field = "user_agent" in line_format.fields
    if not has_field or (sample.hits and not any(hit.user_agent for hit, _ in sample.hits)):
        effect = (
            "so all its lines are filtered (no_user_agent)"
            if config.pageviews.require_user_agent
            else "so bots cannot be told from people"
        )
        advice = agent_advice(line_format.name)
        if config.pageviews.require_user_agent:
            advice += ", or set pageviews.require_user_agent: false"
        where = " in any line" if has_field else ""
        text = f"its format ({line_format.name}) has no user agent{where}, {effect}"
        remarks.warn("no_user_agent", name, text, advice)
    ahead = sum(verdict is Reason.PREFETCH for _, verdict in sample.hits)
    is_decided = "pageviews.filter_prefetch" in config.places
    if ahead >= _AHEAD and ahead >= _AHEAD_SHARE * (views + ahead) and not is_decided:
        text = (
            f"{ahead / (views + ahead):.0%} of what would be page views was fetched ahead and is "
            "filtered (prefetch); what Chrome shows of it later leaves no other line"
        )
        advice = (
            "set pageviews.filter_prefetch: false where pages are fetched as they are clicked, "
            "as WordPress has it, else true"
        )
        remarks.warn("prefetch", name, text, advice)
    if "host" not in line_format.fields and sample.source.site is None and len(config.sites) > 1:
        text = f"its format ({line_format.name}) has no host, so no site can be told"
        remarks.warn("no_host", name, text, "set site: on its source, or log the vhost")
