"""A file whose format changes in the middle: each line by the preset that fits, the last first."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from ingestor.formats.containers import unwrapped
from ingestor.formats.fields import Role
from ingestor.formats.format import Extent, Format
from ingestor.model import Hit, Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingestor.formats.containers import Output
    from ingestor.formats.hits import Columns
    from ingestor.formats.layouts import Layout

    Verdict = Hit | Malformed | Reason

_VAIN = 64  # hits without an address, in a row, after which only every so many is looked at again
_V4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?", re.ASCII)
_V6 = re.compile(r"\[?([0-9A-Fa-f:.]{2,45})(?:%[\w.]+)?(?:\](?::\d{1,5})?)?(?:%[\w.]+)?", re.ASCII)
_V4_PORT = re.compile(r"[\d.]+:\d+")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d|\Z)", re.ASCII)
_HOST = re.compile(r"(?:[\w*.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


def is_plausible(hit: Hit) -> bool:
    """Tell whether the fields of a hit hold what their names say.

    Two formats may cut a line alike and name the pieces differently; this tells them apart.
    """
    if not is_addressed(hit) and _NAME.fullmatch(hit.address) is None:
        return False
    if hit.host and (_HOST.fullmatch(hit.host) is None or _MOMENT.match(hit.host)):
        return False
    if hit.forwarded_for and not _is_address_list(hit.forwarded_for, port=False):
        return False
    if hit.user_agent and "://" in hit.user_agent[:8]:
        return False
    return not (hit.referrer and hit.referrer.startswith("Mozilla/"))


def is_addressed(hit: Hit) -> bool:
    """Tell whether the client's address is one, or a local socket; a server may log its name."""
    return _is_address_list(hit.address) or hit.address.startswith("unix:")


def is_address(text: str) -> bool:
    """Tell whether this is the spelling of an address, perhaps with a port."""
    if _V4.fullmatch(text) is not None:
        return True
    match = _V6.fullmatch(text)
    if match is None:
        return False
    try:
        IPv6Address(match[1])  # a time of day has colons, too
    except ValueError:
        return False
    return True


def _is_address_list(text: str, *, port: bool = True) -> bool:
    """Tell whether these are addresses with commas; a lone one with a port is an upstream's."""
    parts = [part.strip() for part in text.split(",")]
    if not port and len(parts) == 1 and _V4_PORT.fullmatch(text):
        return False
    return all(is_address(part) or part in {"unknown", "-"} for part in parts)


def is_explained(verdict: Hit | Malformed | Reason) -> bool:
    """Tell whether a format explains a line: TLS bytes for a request are the client's fault."""
    return not isinstance(verdict, Malformed) or verdict is Malformed.REQUEST


def was_served(each: Format, line: bytes) -> bool:
    """Tell whether the server answered a line's request well: then it was one, and not garbage."""
    at = each.columns.get(Role.STATUS)
    columns = None if at is None else each.match(line)
    return columns is not None and at is not None and columns[at][:1] in {b"2", b"3"}


def _is_settled(verdict: Verdict) -> bool:
    """Tell whether no other format could explain a line better."""
    if isinstance(verdict, Hit):
        return is_addressed(verdict)
    return is_explained(verdict)


class Adaptive(Format):
    """Follows one file through changes of its format; belongs to that file alone.

    ``split`` and ``columns`` stay those of the first format for as long as it lives, since
    callers keep them; lines of others are read by ``parse``. ``settled`` gives the same with
    the current format first.
    """

    follows = True

    def __init__(
        self, first: Format, others: Sequence[Format], *, current: Format | None = None
    ) -> None:
        """Take the format that explains most lines, and all others that may turn up."""
        self.first = first
        self.current = current or first  # explained the last line that any explained
        self._others = [other for other in others if other is not first]
        self.name = first.name
        self.definition = first.definition
        self.fields = first.fields
        self.columns = first.columns
        self.is_plain = first.is_plain
        self._vain = 0  # hits without an address that no other reading bettered, in a row
        vars(self)["hit"] = first.hit  # bound straight: the hot loop saves a call a line
        vars(self)["split"] = first.split
        vars(self)["time_of"] = first.time_of

    def parse(self, line: bytes, latest: int) -> Verdict:
        """Read a line by the format of the last line, or by the first that fits.

        A hit without an address may be of another format that the last one cuts up as well: a
        prefix is taken for an address then. Where no other reading is better, it stays.
        """
        verdict = self.current.parse(line, latest)
        if _is_settled(verdict):
            return verdict
        if not isinstance(verdict, Hit):
            return self._otherwise(line, latest, verdict)
        self._vain += 1
        if self._vain > _VAIN and self._vain % _VAIN:  # a log of names: to try all costs 100 µs
            return verdict
        other = self._otherwise(line, latest, verdict)
        if _is_settled(other):
            self._vain = 0
        return other

    def _otherwise(self, line: bytes, latest: int, verdict: Verdict) -> Verdict:
        """Read a line that the current format does not explain, or not to the end."""
        inside = list(unwrapped(line))
        behind = self._by_current(inside, latest)
        if behind is not None:
            return behind
        verdict = self._by_others(line, latest, verdict)
        for each in inside:
            if _is_settled(verdict):
                break
            other = self._by_others(each.line, latest, self.current.parse(each.line, latest))
            if each.is_error and other in {Malformed.NO_MATCH, Malformed.JSON}:
                other = Reason.DIRECTIVE  # the error log beside the requests
            if _is_settled(other) or isinstance(verdict, Malformed):
                verdict = other
        return verdict

    def _by_current(self, inside: Iterable[Output], latest: int) -> Hit | None:
        """Read what is inside of a line by the format of the last line."""
        for each in inside:
            hit = self.current.parse(each.line, latest)
            if isinstance(hit, Hit) and is_plausible(hit) and is_addressed(hit):
                return hit
        return None

    def _by_others(self, line: bytes, latest: int, verdict: Verdict) -> Verdict:
        """Look for a better reading of a line than the last format's verdict."""
        if _is_settled(verdict):
            return verdict
        has_hit = isinstance(verdict, Hit)
        for candidate in (self.first, *self._others):
            if candidate is self.current:
                continue
            other = candidate.parse(line, latest)
            if isinstance(other, Hit):
                if is_plausible(other) and (not has_hit or is_addressed(other)):
                    self.current = candidate
                    return other
            elif other is Reason.DIRECTIVE:
                return other
            elif other is Malformed.REQUEST and not has_hit:
                verdict = other  # explained, but no proof that the format changed
        return verdict

    def split(self, line: bytes) -> Columns | None:
        """Split a line of the first format."""
        return self.first.split(line)

    def hit(self, columns: Columns, latest: int) -> Hit | Malformed:
        """Make a hit of the first format's columns."""
        return self.first.hit(columns, latest)

    def time_of(self, columns: Columns) -> int | None:
        """Read the time of the first format's columns."""
        return self.first.time_of(columns)

    def layout(self, line: bytes) -> Layout | None:
        """Describe lines of the first format."""
        return self.first.layout(line)

    def extent(self, line: bytes) -> Extent:
        """Tell how much of a line the current format explains."""
        return self.current.extent(line)

    @property
    def changed(self) -> bool:
        """Whether another format explained a line since, or one of them has learnt."""
        known = (self.first, *self._others)
        return self.current is not self.first or any(each.changed for each in known)

    def settled(self) -> Adaptive:
        """Give the same with the current format first, for its splitter is the fast one."""
        return Adaptive(self.current, [self.first, *self._others])

    def for_file(self, head: Sequence[bytes]) -> Format:
        """Give a fresh one that has read this file's header."""
        formats = [each.for_file(head) for each in (self.first, *self._others)]
        return Adaptive(formats[0], formats[1:])
