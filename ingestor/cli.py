"""The commands, nothing else: flags in, one call into the pipeline, an exit code out.

Exit codes: 0 fine, 1 finished but something was rejected or failed, 2 wrong usage or
configuration, 3 stopped by Umami. Imports of the rooms wait until a command needs them, so that
``--help`` is instant.
"""

from __future__ import annotations

import asyncio
import errno
import glob
import io
import logging
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ingestor import __version__
from ingestor.errors import ConfigError, IngestorError, UsageError
from ingestor.observe import printable, set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ingestor.config import Config, Source
    from ingestor.pipeline.job import Job

log = logging.getLogger("ingestor")

_VERBOSE = {"-v", "--verbose"}
_GONE = "the directory it was started in is gone; cd first"
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO}


class _Commands(click.Group):
    """Turns our errors into one line on standard error and their exit code."""

    _code = 1  # to leave with where not even the error can be written

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run it; what cannot be written, --help and click's own errors too, is no traceback."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            _write_nowhere()
            _tell(f"the output cannot be written: {error.strerror}")
            sys.exit(self._code)
        finally:
            _leave_errors_unwritten()

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            self._code = error.exit_code
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IngestorError as error:
            _tell(printable(str(error)))
            ctx.exit(error.exit_code)
        except BrokenPipeError:  # the reader of our output went away: head, less
            _write_nowhere()
            ctx.exit(1)
        except click.ClickException as error:
            self._code = error.exit_code
            if isinstance(error, click.NoSuchOption) and error.option_name in _VERBOSE:
                text = f"{error.message} It goes before the command: ingestor --verbose …"
                raise click.UsageError(text, ctx=error.ctx) from None
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # the last resort; nothing is lost by it
            if isinstance(error, OSError) and error.errno in _UNWRITABLE:
                raise
            if isinstance(error, FileNotFoundError) and not _has_directory():
                _tell(_GONE)
                ctx.exit(2)
            log.debug("where it happened", exc_info=error)
            _tell(
                f"an error of the program itself: {printable(repr(error)[:300])}. Nothing is lost. "
                "Please report it with what `ingestor --verbose …` says."
            )
            ctx.exit(1)


def _tell(text: str) -> None:
    """Say it on standard error, if that can be written."""
    with suppress(OSError):
        click.echo(f"ingestor: {text}", err=True)


def _has_directory() -> bool:
    """Whether the working directory is still there, to which relative paths belong."""
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _write_nowhere() -> None:
    """Let what is printed from now on, and what still waits to be, go nowhere."""
    _lead_nowhere(1)


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _leave_errors_unwritten() -> None:
    """Forget what standard error does not take: Python would try again, and exit with 120."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        _lead_nowhere(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="ingestor %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Say more: one line a file and a decision.")
def main(*, verbose: bool) -> None:
    """Turn web-server access logs into truthful page views in Umami.

    \b
    Try it without an Umami:
      ingestor sandbox &                 # prints a URL and a website id
      ingestor backfill --url URL --website ID /var/log/nginx
    """
    if sys.stdout is None:  # closed by whoever started this
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - lives until exit
    set_up(logging.DEBUG if verbose else logging.INFO)
    for stream in (sys.stdout, sys.stderr):  # whatever the locale, no line may end a run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _config_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False, readable=False),  # we say more
        envvar="INGESTOR_CONFIG",
        help="The configuration file.  [default: /etc/ingestor/config.yaml]",
    )(command)


def _source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what backfill and preview share: sources, sites and the span of time."""
    options = [
        click.argument("paths", nargs=-1, metavar="[PATH]..."),
        click.option("--website", metavar="ID", help="Website id: every line counts for it."),
        click.option("--hostname", metavar="HOST", help="Its hostname, where the log has none."),
        click.option("--format", "format_", metavar="NAME", help="Log format.  [default: auto]"),
        click.option("--timezone", metavar="ZONE", help="For formats that write no zone offset."),
        click.option("--since", metavar="DATE", help="Only page views from DATE on (UTC)."),
        click.option("--until", metavar="DATE", help="Only page views before DATE (UTC)."),
        click.option("--json", "json_", is_flag=True, help="One JSON object on standard output."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_config_option
@click.option("--checkpoint", metavar="FILE", help="The checkpoint file.")
@click.option("--poll", is_flag=True, help="Look at directories by rescans alone, no inotify.")
def run(*, config: Path | None, checkpoint: str | None, poll: bool) -> None:
    """Follow the configured logs and send their page views as they come: the daemon.

    SIGHUP reads the configuration again; SIGTERM and SIGINT finish what is in flight and exit.

    \b
    Example:
      ingestor run -c /etc/ingestor/config.yaml
    """
    from ingestor.pipeline.daemon import run as do  # noqa: PLC0415 - start-up time

    flags = {"checkpoint.path": _path(checkpoint), "follow.watchdog": False if poll else None}

    def load() -> Config:
        settings = _load(config, flags, needs_file=True)
        if not settings.sources:
            raise ConfigError("run: there are no sources; name the logs to follow under sources:.")
        if not settings.sites:
            raise ConfigError("run: there are no sites; name at least one website under sites:.")
        if settings.umami is None:
            raise ConfigError("run: where is Umami? Set umami.url in the configuration.")
        _check_proxy(settings.umami.url)
        return settings

    settings = load()
    _as_service_user(settings)
    sys.exit(asyncio.run(do(settings, reload=load)))


@main.command()
@_config_option
@_source_options
@click.option("--url", metavar="URL", help="Where Umami is: https://umami.example.com")
@click.option("--checkpoint", metavar="FILE", help="The checkpoint file.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Processes that scan.  [default: cores]",
)
@click.option("--allow-hidden", is_flag=True, help="Send what is older than a website's reset.")
@click.option("--allow-overlap", is_flag=True, help="Send days that others counted already.")
def backfill(  # noqa: PLR0913 - an argument a flag
    *,
    config: Path | None,
    paths: tuple[str, ...],
    website: str | None,
    hostname: str | None,
    format_: str | None,
    timezone: str | None,
    since: str | None,
    until: str | None,
    json_: bool,
    url: str | None,
    checkpoint: str | None,
    jobs: int | None,
    allow_hidden: bool,
    allow_overlap: bool,
) -> None:
    """Send the page views of logs that are there, rotated ones too, oldest first; then exit.

    PATH is a file, a directory or a glob; `-` reads standard input. Without PATH, the configured
    sources are read. Run again, it sends nothing twice.

    \b
    Example:
      ingestor backfill --url https://umami.example.com \\
        --website 3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c /var/log/nginx
    """
    flags = {
        "umami.url": url,
        "sites": _sites(website, hostname),
        "checkpoint.path": _path(checkpoint),
    }
    suffices = url is not None and website is not None
    settings = _load(config, flags, needs_file=not suffices, own_state=suffices, says=True)
    if settings.umami is None:
        raise ConfigError("backfill: where is Umami? Give --url, or umami.url in a configuration.")
    if not settings.sites:
        raise ConfigError("backfill: which website? Give --website, or sites: in a configuration.")
    _check_proxy(settings.umami.url)
    job = _job(settings, paths, format_, timezone, since, until)
    jobs = jobs or len(os.sched_getaffinity(0))
    job = replace(job, jobs=jobs, allow_hidden=allow_hidden, allow_overlap=allow_overlap)
    own = suffices and checkpoint is None
    work = "ingestor.pipeline.backfill"
    _as_service_user(settings, own=own, later=[work, "ingestor.formats.blocks"])
    _prepare(job)
    from ingestor.pipeline.backfill import backfill as do  # noqa: PLC0415 - start-up time

    _finish(asyncio.run(do(settings, job)), json_=json_)


@main.command()
@_config_option
@_source_options
@click.option("--lines", is_flag=True, help="A verdict for each line.")
@click.option("--payloads", is_flag=True, help="The JSON that would be sent, one a line.")
def preview(  # noqa: PLR0913 - an argument a flag
    *,
    config: Path | None,
    paths: tuple[str, ...],
    website: str | None,
    hostname: str | None,
    format_: str | None,
    timezone: str | None,
    since: str | None,
    until: str | None,
    json_: bool,
    lines: bool,
    payloads: bool,
) -> None:
    """Show what would be sent and what not, with reasons. Offline: nothing leaves the machine.

    Without PATH, the configured sources are read.

    \b
    Example:
      ingestor preview --lines /var/log/nginx/access.log | less
    """
    from ingestor.config import NO_WEBSITE, sites_of_flags  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.preview import preview as do  # noqa: PLC0415 - start-up time

    if lines + payloads + json_ > 1:
        raise UsageError("--lines, --payloads and --json exclude each other; give one.")
    sites = sites_of_flags(website or (hostname and NO_WEBSITE), hostname)
    settings = _load(config, {"sites": sites}, own_state=True, says=True)
    if not settings.sites:
        settings = replace(settings, sites=sites_of_flags(NO_WEBSITE, hostname) or ())
    job = _job(settings, paths, format_, timezone, since, until)
    show: Literal["lines", "payloads"] | None = (
        "lines" if lines else "payloads" if payloads else None
    )
    _finish(do(settings, job, show=show), json_=json_, quiet=show is not None)


@main.command()
@_config_option
@click.option("--checkpoint", metavar="FILE", help="The checkpoint file.")
@click.option(
    "--logrotate",
    type=click.Path(path_type=Path),
    default="/etc/logrotate.conf",
    show_default=True,
    help="logrotate's configuration.",
)
@click.option("--json", "json_", is_flag=True, help="One JSON object on standard output.")
def check(*, config: Path | None, checkpoint: str | None, logrotate: Path, json_: bool) -> None:
    """Look at the configuration, the logs and Umami, and say what to do; nothing is stored.

    Exits with 0 where all is well, 1 with warnings, 2 with a wrong configuration, 3 where Umami
    refuses or cannot be reached.

    \b
    Example:
      ingestor check -c /etc/ingestor/config.yaml
    """
    from ingestor.config import DEFAULT_PATH  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.checks import Remarks  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.checks import check as do  # noqa: PLC0415 - start-up time

    if _is_given("logrotate") and not logrotate.exists():
        raise UsageError(f"--logrotate: there is no {logrotate}; check the path.")
    try:
        settings = _load(config, {"checkpoint.path": _path(checkpoint)}, needs_file=True)
        found = do(settings, name=str(config or DEFAULT_PATH), rotation=logrotate)
    except UsageError as error:
        found = Remarks()
        found.fail("configuration", "", str(error), exit_code=error.exit_code)
    _finish(found, json_=json_)


@main.command()
@_config_option
@click.option("--checkpoint", metavar="FILE", help="The checkpoint file.")
@click.option("--max-lag", metavar="TIME", help="Exit with 1 when further behind: 90s, 5m, 2h.")
@click.option("--json", "json_", is_flag=True, help="One JSON object on standard output.")
def status(
    *, config: Path | None, checkpoint: str | None, max_lag: str | None, json_: bool
) -> None:
    """Show how far everything is, beside a running daemon or without one.

    \b
    Example, for monitoring:
      ingestor status -c /etc/ingestor/config.yaml --max-lag 5m
    """
    from ingestor.config import DEFAULT_PATH  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.status import status as do  # noqa: PLC0415 - start-up time
    from ingestor.typed_yaml import seconds  # noqa: PLC0415 - start-up time

    try:
        longest = None if max_lag is None else seconds(max_lag)
    except ValueError:
        raise UsageError(f"--max-lag: {max_lag!r} is no time; write 90s, 5m or 2h.") from None
    flags = {"checkpoint.path": _path(checkpoint)}
    settings = _load(config, flags, own_state=not DEFAULT_PATH.exists())
    _as_service_user(settings)
    _finish(do(settings, max_lag=longest), json_=json_)


@main.command("retry-rejected")
@_config_option
@click.option("--url", metavar="URL", help="Where Umami is: https://umami.example.com")
@click.option("--checkpoint", metavar="FILE", help="The checkpoint file, which they lie beside.")
@click.option("--json", "json_", is_flag=True, help="One JSON object on standard output.")
def retry_rejected(
    *, config: Path | None, url: str | None, checkpoint: str | None, json_: bool
) -> None:
    """Send the dead letters again, after an upgrade or a mended rule.

    Those that Umami takes leave the file; the others stay. The daemon may go on meanwhile.

    \b
    Example:
      ingestor retry-rejected -c /etc/ingestor/config.yaml
    """
    from ingestor.pipeline.retry import retry_rejected as do  # noqa: PLC0415 - start-up time

    flags = {"umami.url": url, "checkpoint.path": _path(checkpoint)}
    settings = _load(config, flags, needs_file=url is None, own_state=url is not None)
    if settings.umami is None:
        raise ConfigError("retry-rejected: where is Umami? Give --url, or umami.url.")
    _check_proxy(settings.umami.url)
    _as_service_user(settings)
    _finish(asyncio.run(do(settings)), json_=json_)


@main.group()
def checkpoint() -> None:
    """Look into the checkpoint, or forget a log so that it is read anew."""


@checkpoint.command()
@_config_option
@click.option("--checkpoint", "file", metavar="FILE", help="The checkpoint file.")
@click.option("--json", "json_", is_flag=True, help="One JSON object on standard output.")
def show(*, config: Path | None, file: str | None, json_: bool) -> None:
    """Show what is finished of each log, beside a running daemon or without one.

    \b
    Example:
      ingestor checkpoint show -c /etc/ingestor/config.yaml
    """
    from ingestor.pipeline import checkpoints  # noqa: PLC0415 - start-up time

    snapshot = checkpoints.shown(_checkpointed(config, file))
    click.echo(_json(snapshot) if json_ else checkpoints.as_text(snapshot))


@checkpoint.command()
@_config_option
@click.argument("log", metavar="FILE")
@click.option("--checkpoint", "file", metavar="FILE", help="The checkpoint file.")
def forget(*, config: Path | None, log: str, file: str | None) -> None:
    """Forget what was read of a log; the next run or backfill reads it from its start.

    What was sent of it is in Umami, and will be there twice.

    \b
    Example:
      ingestor checkpoint forget /var/log/nginx/access.log.1
    """
    from ingestor.pipeline import checkpoints  # noqa: PLC0415 - start-up time

    count = checkpoints.forgotten(_checkpointed(config, file), log)
    click.echo(
        f"Forgotten: {count}. The next run reads it from its start; what was sent of it before "
        "will be in Umami twice."
    )


def _checkpointed(config: Path | None, file: str | None) -> Config:
    from ingestor.config import DEFAULT_PATH  # noqa: PLC0415 - start-up time

    flags = {"checkpoint.path": _path(file)}
    settings = _load(config, flags, own_state=not DEFAULT_PATH.exists())
    _as_service_user(settings)
    return settings


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port; 0 picks a free one.")
@click.option("--db", metavar="FILE", help="SQLite file for page views.  [default: in memory]")
@click.option("--website", "websites", multiple=True, metavar="ID", help="A website it knows.")
@click.option("--control-port", type=int, help="Port that switches faults on and off.")
@click.option("--fail", multiple=True, metavar="FAULT", help="A fault to begin with: 429,count=3")
def sandbox(
    *,
    host: str,
    port: int,
    db: str | None,
    websites: tuple[str, ...],
    control_port: int | None,
    fail: tuple[str, ...],
) -> None:
    """Receive page views as Umami would: for trying the program out, and for tests.

    \b
    Example:
      ingestor sandbox --port 8099 --db /tmp/pageviews.db
    """
    from ingestor.sandbox import Sandbox, SandboxOptions  # noqa: PLC0415 - start-up time

    options = SandboxOptions(
        host=host, port=port, db=db, websites=websites, control_port=control_port, fail=fail
    )
    asyncio.run(_serve(Sandbox(options)))


async def _serve(receiver: Any) -> None:
    from ingestor.pipeline.stopping import until_stopped  # noqa: PLC0415 - start-up time

    async with receiver:
        control = [f"control={receiver.control_url}"] if receiver.control_url else []
        click.echo(" ".join([receiver.url, *receiver.websites, *control]))
        sys.stdout.flush()
        await until_stopped()


def _load(
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
        given = [key for key in ("umami.url", "sites") if flags.get(key) is not None]
        if len(given) == 1:
            raise ConfigError(
                "--url and --website go together: give both, or a configuration (-c)."
            )
        if "sites" in flags:
            raise ConfigError(
                f"where to? Give --url and --website, or a configuration with -c FILE; there is "
                f"none at {config.DEFAULT_PATH}."
            )
        path = config.DEFAULT_PATH  # its absence is the error to tell
    if not is_named and own_state and flags.get("checkpoint.path") is None:
        flags = flags | {"checkpoint.path": _own_checkpoint()}
    return config.load(path, environment=os.environ, flags=flags)


def _is_given(name: str) -> bool:
    """Whether the command line has this option."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _as_service_user(settings: Config, *, own: bool = False, later: Sequence[str] = ()) -> None:
    """Leave root's rights behind where the checkpoint is another user's."""
    from ingestor.checkpoint import CheckpointOptions  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.service_user import become_service_user  # noqa: PLC0415 - start-up time

    path = settings.checkpoint.path
    become_service_user(path, own=own or path == CheckpointOptions().path, later=later)


def _check_proxy(url: str) -> None:
    """Raise ConfigError where the environment names a proxy that cannot be used."""
    from yarl import URL  # noqa: PLC0415 - start-up time

    from ingestor.delivery.proxy import proxy_of  # noqa: PLC0415 - start-up time

    proxy_of(URL(url))


def _prepare(job: Job) -> None:
    """Start the server of processes where a backfill may want some, before the rest is read."""
    from ingestor.pipeline.job import is_worth_processes  # noqa: PLC0415 - start-up time
    from ingestor.pipeline.server import obstacle, start_server  # noqa: PLC0415 - start-up time

    if is_worth_processes(job) and not obstacle():
        with suppress(OSError, ImportError, NotImplementedError):  # the backfill says it
            start_server()


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


def _path(text: str | None) -> Path | None:
    if text is None:
        return None
    if not os.path.isabs(text) and not _has_directory():  # noqa: PTH117 - of text
        raise UsageError(_GONE)
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


def _sites(website: str | None, hostname: str | None) -> Any:
    from ingestor.config import sites_of_flags  # noqa: PLC0415 - start-up time

    if hostname is not None and website is None:
        raise UsageError("--hostname goes with --website; a configuration names it under sites:.")
    return sites_of_flags(website, hostname)


def _job(
    settings: Config,
    paths: tuple[str, ...],
    format_: str | None,
    timezone: str | None,
    since: str | None,
    until: str | None,
) -> Any:
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
                if value is not None:
                    text = text.replace(f"sources[{i}].{flag}", f"--{flag}")
            raise UsageError(text) from None
    return found


def _finish(result: Any, *, json_: bool, quiet: bool = False) -> None:
    """Print the summary and leave with the run's exit code."""
    if json_:
        click.echo(_json(result.as_json()))
    else:
        sys.stdout.flush()  # lines and payloads: whether they can be written is told by the code
        click.echo(result.as_text(), err=quiet)
    if result.error is not None:
        _tell(printable(str(result.error)))
    sys.exit(result.exit_code)


def _json(value: Any) -> str:
    import orjson  # noqa: PLC0415 - start-up time

    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a path that is no UTF-8
        return orjson.dumps(_escaped(value)).decode()


def _escaped(value: Any) -> Any:
    r"""Give the same with bytes that are no text as ``\udcff``: JSON cannot hold them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(each) for key, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list | tuple) else value
