"""Log lines for people in a terminal and for the journal under systemd.

Levels are promises: WARNING is odd but nothing was lost, ERROR needs a person. Text that comes
from a log file or from Umami passes through here, so control characters never reach a terminal,
and the same warning is written at most once a minute.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# sd-daemon(3): a line may begin with its syslog priority.
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_QUIET = 60.0  # seconds between two equal warnings
_REMEMBERED = 1000  # distinct warnings; past it the oldest is forgotten
_ROOT = "ingestor"


def printable(text: str) -> str:
    r"""Make text harmless for a terminal: control and format characters as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class OncePerMinute(logging.Filter):
    """Drops a warning whose template was written less than a minute ago with the same text."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide on one record; everything but WARNING and ERROR passes."""
        if record.levelno < logging.WARNING:
            return True
        now, text = self._clock(), record.getMessage()
        if now - self._seen.get(text, float("-inf")) < _QUIET:
            return False
        self._seen.pop(text, None)
        self._seen[text] = now
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True


class _InOneLine(logging.Filter):
    """Takes asyncio's tracebacks off what it says; whoever wants to know has them by --verbose."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, as one line that names the error."""
        first = record.getMessage().partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        record.msg = first if error is None else f"{first}: {error!r:.300}"
        record.args = record.exc_info = None
        return True


class _Lines(logging.Formatter):
    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = printable(record.getMessage())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if self._journal:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{text}"
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno < logging.WARNING else f"{record.levelname}: "
        return f"{stamp} {level}{text}"


def set_up(level: int = logging.INFO) -> None:
    """Send the program's log lines to standard error, once; safe to call again."""
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(_Lines(journal="JOURNAL_STREAM" in os.environ))
    output.addFilter(OncePerMinute())
    logger = logging.getLogger(_ROOT)
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(output)
    logger.setLevel(level)
    asyncios = logging.getLogger("asyncio")
    asyncios.handlers = [output]
    asyncios.filters = [] if level <= logging.DEBUG else [_InOneLine()]
    logger.propagate = False
