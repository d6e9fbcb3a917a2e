"""The exception tree, split by what the caller does about it: stop, or try again.

IngestorError                     every error of ours; its text speaks to the operator
├── UsageError                    exit 2: a flag, a path or a format that cannot be right
│   ├── ConfigError               … a key of the configuration: file, line, key
│   ├── FormatError               … a log format definition: the place in the string and why
│   └── CheckpointError           … the checkpoint is unusable, locked, or newer
├── StoppedByUmami                exit 3: only a person can mend it; nothing may be skipped
│   ├── BadCredentials            … an API key, a user name or a password
│   ├── UnknownWebsite            … Umami does not know this website id
│   └── UmamiTooOld               … the server ignores what we must send
└── TryAgain                      an outage: the same request may succeed later
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class IngestorError(Exception):
    """Every error of ours. ``str(error)`` says what happened, where, and what to do."""

    exit_code = 1


class UsageError(IngestorError):
    """A flag, a path or a definition that cannot be right."""

    exit_code = 2


def require(section: str, broken: Mapping[str, bool]) -> None:
    """Raise UsageError for the first rule of a section that is broken: its words → whether."""
    for rule, is_broken in broken.items():
        if is_broken:
            raise UsageError(f"{section}.{rule}")


class ConfigError(UsageError):
    """A key of the configuration file, the environment or the command line is wrong.

    ``key`` is its dotted path, such as ``pageviews.trusted_proxies[1]``, where the one who raises
    it knows no more; the configuration then adds file and line.
    """

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class FormatError(UsageError):
    """A log format definition cannot be compiled, or no format fits a file.

    ``example`` is a line that does not fit: for who asks to see it, never for the log, since it
    holds what visitors sent.
    """

    def __init__(self, message: str, *, example: bytes = b"") -> None:
        super().__init__(message)
        self.example = example


class CheckpointError(UsageError):
    """The checkpoint cannot be opened, is held by another process, or is of a newer version."""


class StoppedByUmami(IngestorError):
    """Only a person can mend it: the caller stops, or parks the website; nothing is skipped."""

    exit_code = 3


class BadCredentials(StoppedByUmami):
    """Umami, or what stands before it, refused the API key or the login."""


class UnknownWebsite(StoppedByUmami):
    """Umami does not know the website id.

    ``website`` is the id as it was sent.
    """

    def __init__(self, website: str, message: str) -> None:
        super().__init__(message)
        self.website = website


class UmamiTooOld(StoppedByUmami):
    """The server would silently ignore ``timestamp`` or ``userAgent`` (before 2.18)."""


class TryAgain(IngestorError):
    """An outage: the same request may succeed later.

    ``retry_after`` is the server's wish in seconds, or None. ``in_doubt`` is true where the
    request left this machine and no whole answer came: the server may have stored it.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, in_doubt: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.in_doubt = in_doubt
