"""What a person sees: an error as one line, a result as text or JSON, and where that can go.

Standard output and standard error may be closed, full, or a pipe whose reader went away.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ingestor.errors import IngestorError
from ingestor.observe import printable

log = logging.getLogger("ingestor")

GONE = "the directory it was started in is gone; cd first"
_LIMITS = {  # of the system, by what an error says of them
    "start new thread": (
        "the system starts no more threads for it; raise the limit (ulimit -u or -v, TasksMax= or "
        "MemoryMax= of the unit). Nothing is lost."
    ),
    "Too many open files": (
        "it may not open as many files as it needs; raise the limit (ulimit -n, LimitNOFILE= of "
        "the unit). Nothing is lost."
    ),
}
_NO_MEMORY = (
    "there is not enough memory for it; raise the limit (ulimit -v, MemoryMax= of the unit). "
    "Nothing is lost."
)
_LIMITS |= dict.fromkeys(["Cannot allocate memory", "failed to map segment"], _NO_MEMORY)
_OUTPUT, _ERRORS = 1, 2  # descriptors
_VERBOSE = {"-v", "--verbose"}
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO}


class Commands(click.Group):
    """Turns our errors into one line on standard error and their exit code."""

    _code = 1  # to leave with where not even the error can be written

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run it; what cannot be written, --help and click's own errors too, is no traceback."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            _lead_nowhere(_OUTPUT)
            _tell(f"the output cannot be written: {error.strerror}")
            sys.exit(self._code)
        finally:
            _leave_errors_unwritten()

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line; its errors' exit code holds, whether they can be said or not."""
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            self._code = error.exit_code
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and leave with the exit code of what it raises."""
        try:
            return super().invoke(ctx)
        except IngestorError as error:
            _tell(printable(str(error)))
            ctx.exit(error.exit_code)
        except BrokenPipeError:  # the reader of our output went away: head, less
            _lead_nowhere(_OUTPUT)
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
            if (limit := _limit(error)) is not None:
                _tell(limit)
                ctx.exit(1)
            if isinstance(error, FileNotFoundError) and not has_directory():
                _tell(GONE)
                ctx.exit(2)
            log.debug("where it happened", exc_info=error)
            _tell(
                f"an error of the program itself: {printable(repr(error)[:300])}. Nothing is lost. "
                "Please report it with what `ingestor --verbose …` says."
            )
            ctx.exit(1)


def _limit(error: Exception) -> str | None:
    """Say which of the system's limits was met; None where it was none of them."""
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, OSError | RuntimeError | ImportError):
        said = str(getattr(error, "strerror", None) or error)  # a file may have any name
        return next((text for sign, text in _LIMITS.items() if sign in said), None)
    return None


def _tell(text: str) -> None:
    """Say it on standard error, if that can be written."""
    with suppress(OSError):
        click.echo(f"ingestor: {text}", err=True)


def has_directory() -> bool:
    """Whether the working directory is still there, to which relative paths belong."""
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _lead_nowhere(descriptor: int) -> None:
    """Let what is written there from now on, and what still waits to be, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _leave_errors_unwritten() -> None:
    """Forget what standard error does not take: Python would try again, and exit with 120."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        _lead_nowhere(_ERRORS)


def finish(result: Any, *, json_: bool, quiet: bool = False) -> None:
    """Print the summary and leave with the run's exit code."""
    if json_:
        click.echo(as_json(result.as_json()))
    else:
        sys.stdout.flush()  # lines and payloads: whether they can be written is told by the code
        click.echo(result.as_text(), err=quiet)
    if result.error is not None:
        _tell(printable(str(result.error)))
    gc.freeze()  # all of it ends now: to look for garbage took half of the way out
    sys.exit(result.exit_code)


def as_json(value: Any) -> str:
    """Write a value as one JSON object."""
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
