r"""What container runtimes put around a line, and any format inside.

Docker's ``json-file`` (``{"log":"…\n","stream":"stdout","time":"…"}``) and the CRI format of
containerd and CRI-O (``2026-11-22T09:11:12.000000000Z stdout F …``), as they stand under
/var/lib/docker/containers and /var/log/pods; and what ``docker logs -t``, ``kubectl logs
--timestamps`` and ``docker compose logs`` print before each line. Their time is when the runtime
took the line; the format's own time counts. A line that was cut for its length (16 KiB with
Docker, a ``P`` with CRI) is not put together: its pieces are malformed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import orjson

from ingestor.formats.syslog import Prefixed, prefix_length
from ingestor.model import Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingestor.model import Hit

_LAYERS = 3  # around a line: a container's log that went through syslog, say
_CRI = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
    rb" (stdout|stderr) [FP](?::[^\s:]{1,64})* "
)
_DOCKER = b'{"log":"'
_PRINTED = re.compile(
    rb"(?=[^|]{0,64}\| |\d)(?:[\w.-]{1,64} *\| )?"
    rb"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) )?"
)


class Output(NamedTuple):
    """One line of a container's output."""

    line: bytes
    is_error: bool  # written to standard error


def output(line: bytes, *, printed: bool = True) -> Output | None:
    """Take a line out of what the runtime put around it; None where there is nothing of it.

    ``printed``: also out of what a command printed, which some formats begin with themselves.
    """
    if line.startswith(_DOCKER):
        return _from_docker(line)
    match = _CRI.match(line)
    if match is not None:
        return Output(line[match.end() :], match[1] == b"stderr")
    match = _PRINTED.match(line) if printed else None
    if not match or not match[0]:
        return None
    return Output(line[match.end() :], is_error=False)


def _from_docker(line: bytes) -> Output | None:
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(values) is not dict:
        return None
    text, stream = values.get("log"), values.get("stream")
    if type(text) is not str or type(stream) is not str:
        return None
    return Output(text.encode().rstrip(b"\r\n"), stream == "stderr")


class Contained(Prefixed):
    """A format inside of a container's log. A line with nothing around it is read all the same.

    Standard error holds the server's error log, unless it writes all to it: what the format does
    not explain there is no request, and not malformed.
    """

    kind = "container"

    def bare(self, line: bytes) -> bytes:
        """Give the line that the container wrote."""
        found = output(line)
        return line if found is None else found.line

    def parse(self, line: bytes, latest: int) -> Hit | Malformed | Reason:
        """Read the line that the container wrote."""
        found = output(line)
        if found is None:
            return self.inner.parse(line, latest)
        verdict = self.inner.parse(found.line, latest)
        if found.is_error and verdict in {Malformed.NO_MATCH, Malformed.JSON}:
            return Reason.DIRECTIVE
        return verdict


def unwrapped(line: bytes) -> Iterator[Output]:
    """Take off what syslog or a container's runtime put around a line, layer by layer."""
    is_error = False
    for _ in range(_LAYERS):  # bounded, for a visitor may imitate any number of them
        length = prefix_length(line)
        found = Output(line[length:], is_error) if length else output(line)
        if found is None:
            return
        line, is_error = found.line, is_error or found.is_error
        yield Output(line, is_error)


def outputs(lines: Sequence[bytes], *, printed: bool) -> list[Output]:
    """Take lines out of what the runtime put around them; those with nothing of it are left out."""
    return [found for line in lines if (found := output(line, printed=printed)) is not None]
