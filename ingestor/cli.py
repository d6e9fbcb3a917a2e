"""The commands, nothing else: flags in, one call into the pipeline, an exit code out.

Exit codes: 0 fine, 1 finished but something was rejected or failed, 2 wrong usage or
configuration, 3 stopped by Umami. Imports of the rooms wait until a command needs them, so that
``--help`` is instant.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ingestor import __version__
from ingestor.errors import ConfigError, UsageError
from ingestor.flags import (
    as_service_user,
    check_proxy,
    is_given,
    is_own,
    job_of,
    path_of,
    settings_of,
    sites_of,
)
from ingestor.observe import set_up
from ingestor.terminal import Commands, as_json, finish

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingestor.config import Config


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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

    flags = {"checkpoint.path": path_of(checkpoint), "follow.watchdog": False if poll else None}

    def load() -> Config:
        settings = settings_of(config, flags, needs_file=True)
        if not settings.sources:
            raise ConfigError("run: there are no sources; name the logs to follow under sources:.")
        if not settings.sites:
            raise ConfigError("run: there are no sites; name at least one website under sites:.")
        if settings.umami is None:
            raise ConfigError("run: where is Umami? Set umami.url in the configuration.")
        check_proxy(settings.umami.url)
        return settings

    settings = load()
    as_service_user(settings)
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
        "sites": sites_of(website, hostname),
        "checkpoint.path": path_of(checkpoint),
    }
    suffices = is_given("umami.url", flags) and website is not None
    own = suffices and is_own(url)
    settings = settings_of(config, flags, needs_file=not suffices, own_state=own, says=True)
    if settings.umami is None:
        raise ConfigError("backfill: where is Umami? Give --url, or umami.url in a configuration.")
    if not settings.sites:
        raise ConfigError("backfill: which website? Give --website, or sites: in a configuration.")
    check_proxy(settings.umami.url)
    job = job_of(settings, paths, format_, timezone, since, until)
    jobs = jobs or len(os.sched_getaffinity(0))
    job = replace(job, jobs=jobs, allow_hidden=allow_hidden, allow_overlap=allow_overlap)
    own = own and checkpoint is None
    work = ["ingestor.pipeline.backfill", "ingestor.formats.blocks"]
    processes = ["multiprocessing.synchronize", "multiprocessing.popen_fork"]
    as_service_user(settings, own=own, later=[*work, *processes])
    from ingestor.pipeline.pool import pool_for  # noqa: PLC0415 - start-up time

    pool = pool_for(settings, job)
    from ingestor.pipeline.backfill import backfill as do  # noqa: PLC0415 - start-up time

    finish(asyncio.run(do(settings, job, pool)), json_=json_)


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
    settings = settings_of(config, {"sites": sites}, own_state=True, says=True)
    if not settings.sites:
        settings = replace(settings, sites=sites_of_flags(NO_WEBSITE, hostname) or ())
    job = job_of(settings, paths, format_, timezone, since, until)
    show: Literal["lines", "payloads"] | None = (
        "lines" if lines else "payloads" if payloads else None
    )
    finish(do(settings, job, show=show), json_=json_, quiet=show is not None)


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
        settings = settings_of(config, {"checkpoint.path": path_of(checkpoint)}, needs_file=True)
        found = do(settings, name=str(config or DEFAULT_PATH), rotation=logrotate)
    except UsageError as error:
        found = Remarks()
        found.fail("configuration", "", str(error), exit_code=error.exit_code)
    finish(found, json_=json_)


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
    from ingestor.pipeline.status import status as do  # noqa: PLC0415 - start-up time
    from ingestor.typed_yaml import seconds  # noqa: PLC0415 - start-up time

    try:
        longest = None if max_lag is None else seconds(max_lag)
    except ValueError:
        raise UsageError(f"--max-lag: {max_lag!r} is no time; write 90s, 5m or 2h.") from None
    settings = _checkpointed(config, checkpoint)
    finish(do(settings, max_lag=longest), json_=json_)


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

    flags = {"umami.url": url, "checkpoint.path": path_of(checkpoint)}
    suffices = is_given("umami.url", flags)
    own = suffices and is_own(url)
    settings = settings_of(config, flags, needs_file=not suffices, own_state=own)
    if settings.umami is None:
        raise ConfigError("retry-rejected: where is Umami? Give --url, or umami.url.")
    check_proxy(settings.umami.url)
    as_service_user(settings)
    finish(asyncio.run(do(settings)), json_=json_)


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
    click.echo(as_json(snapshot) if json_ else checkpoints.as_text(snapshot))


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

    flags = {"checkpoint.path": path_of(file)}
    # Who names a checkpoint may look at it where the daemon's configuration is secret.
    is_own = file is not None or not DEFAULT_PATH.exists()
    settings = settings_of(config, flags, own_state=is_own)
    as_service_user(settings)
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


def _is_given(name: str) -> bool:
    """Whether the command line has this option."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE
