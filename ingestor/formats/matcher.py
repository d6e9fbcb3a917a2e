r"""The exact matcher: one regular expression for a definition, without backtracking.

Every value is matched by a possessive, unrolled expression up to the first place where the
definition can go on, so a line costs time linear in its length, whatever a visitor writes.

*Hard* separators cannot stand in a value, for servers escape them: the quotation mark and
control characters such as the tab. They cut a definition into segments. Other separators are
*soft*: a value may contain them. In a segment at most one value may; it is found from both ends.
Where two may, the line cannot be read with certainty, and the definition is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.formats.clocks import strftime_pattern
from ingestor.formats.fields import Escape, Field, Literal, Part, Role, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

_HARD = re.compile(rb'["\x00-\x1f\x7f]')
# A line that was forged through an unescaped quote repeats status and size: `" 200 12 "`.
_TRAILING = (
    rb'(?! \d{3} (?:\d+|-) ")(?!.*" \d{3} (?:\d+|-) ")'
    rb'(?: (?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ "]++))++'
)
_LOCAL = rb"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d"


# What may follow a time without looking like a part of it.
PLAIN = frozenset({b"", b" ", b"]", b")", b"|", b"\t", b'"', b";"})


class Matcher:
    """The regular expressions of a definition's parts, field by field."""

    def __init__(self, parts: Sequence[Part], escape: Escape) -> None:
        self.parts = parts
        self._escaped = escape is not Escape.NONE
        self._quoted = any(isinstance(part, Literal) and b'"' in part.text for part in parts)
        self.patterns = [
            re.escape(part.text) if isinstance(part, Literal) else self._field(at, part)
            for at, part in enumerate(parts)
        ]

    def compile(self, captured: Sequence[Field]) -> re.Pattern[bytes]:
        """Give the expression whose groups are the captured fields, in the line's order."""
        kept = {id(field) for field in captured}
        pieces = [
            b"(" + pattern + b")" if id(part) in kept else pattern
            for part, pattern in zip(self.parts, self.patterns, strict=True)
        ]
        return re.compile(b"".join(pieces), re.DOTALL)

    def reach(self, line: bytes) -> tuple[int, Part | None]:
        """Tell how far the definition explains a line, and which part it stops at.

        The place counts bytes from the line's start. None: all parts matched, and more follows.
        """
        end = 0
        for count, part in enumerate(self.parts):
            match = re.compile(b"".join(self.patterns[: count + 1]), re.DOTALL).match(line)
            if match is None:
                return end, part
            end = match.end()
        return end, None

    # ── one field ─────────────────────────────────────────────────────────────────────────────

    def _field(self, at: int, field: Field) -> bytes:
        shape = field.meaning.shape
        if shape is Shape.TRAILING:
            return _TRAILING
        after = self._literal(at + 1)
        if not after and at + 1 < len(self.parts):
            return self._adjacent(at, field)
        if self._alone(at):
            return self._until(after)
        return self._text(at, field, after) if shape is Shape.TEXT else self._word(field, after)

    def _word(self, field: Field, after: bytes) -> bytes:
        """Match a value that shares its segment with others and has a shape of its own."""
        shape = field.meaning.shape
        if shape is Shape.TIME:
            return self._time(field, after)
        if shape in {Shape.ADDRESSES, Shape.LIST} and after[:1] != b",":
            return self._list(field, after)
        if field.meaning.role is Role.HOST and after[:1] == b":":
            return self._last_colon()
        return self._until(after, b" ")

    def _adjacent(self, at: int, field: Field) -> bytes:
        """Match a field right before another one: only where the next one's start is known."""
        following = self.parts[at + 1]
        assert isinstance(following, Field)  # noqa: S101 - two literals never stand side by side
        if following.meaning.shape is Shape.TRAILING:
            return self._run(b" ")
        if field.meaning.role is Role.HOST and following.meaning.role in {Role.TARGET, Role.PATH}:
            return self._run(b" /")
        if field.meaning.clock in {"epoch", "strftime:%s"} and "sec_frac" in following.text:
            return rb"\d{10}"
        raise FormatError(
            f"nothing stands between {field.text} and {following.text} (character "
            f"{following.place + 1}), so nobody can tell where one ends and the other begins"
        )

    def _text(self, at: int, field: Field, after: bytes) -> bytes:
        """Match a value that may hold spaces, next to others in its segment."""
        rest = self._rest_of_segment(at)
        if not any(isinstance(part, Field) for part in rest):
            if after and _HARD.search(after) is None:
                return self._walk(after[:1], re.escape(after[1:]) + rb"\Z", b"")
            return self._until(after)
        natural = field.meaning.natural
        if not all(byte in natural or byte in b" " for byte in after):
            return self._until(after, self._foreign(at, natural))
        rivals = [
            part
            for part in rest
            if isinstance(part, Field)
            and part.meaning.shape is Shape.TEXT
            and after[0] in part.meaning.natural
        ]
        if not rivals:
            return self._anchored(at, after)
        if after[0] not in natural:
            return self._until(after, b" ")
        rival = rivals[0]
        raise FormatError(
            f"{field.text} (character {field.place + 1}) and {rival.text} (character "
            f"{rival.place + 1}) may both contain {after.decode()!r}, and no quotes enclose them, "
            f"so nobody can tell where they end; put them in quotes in the server's definition"
        )

    def _anchored(self, at: int, after: bytes) -> bytes:
        """Match up to the first separator from which the rest of the segment fits."""
        rest = b""
        for index in range(at + 2, len(self.parts)):
            part = self.parts[index]
            if isinstance(part, Field):
                rest += self._field(index, part)
            else:
                hard = _HARD.search(part.text)
                rest += re.escape(part.text[: hard.end()] if hard else part.text)
                if hard:
                    break
        else:
            rest += rb"\Z"
        return self._walk(after[:1], re.escape(after[1:]) + rest, b"")

    def _time(self, field: Field, after: bytes) -> bytes:
        kind = field.meaning.clock
        plain = after[:1] in PLAIN
        if kind == "local":
            return (
                self._run(b" ") + b" " + self._until(after, b" ")
                if plain
                else (_LOCAL + rb" [+-]\d{4}")
            )
        if kind.startswith("strftime:"):
            pattern = strftime_pattern(kind.removeprefix("strftime:"))
            return self._until(after, b" ") if plain and field_is_word(field) else pattern
        if kind == "bare" and not plain:
            return _LOCAL
        return self._until(after, b" ")

    def _list(self, field: Field, after: bytes) -> bytes:
        if field.meaning.shape is Shape.ADDRESSES and after[:1] == b":":
            return self._last_colon()
        stop = after[:1] if after[:1] != b" " else b""
        word = self._run(b" ," + stop)
        between = b", ?" if field.meaning.shape is Shape.ADDRESSES else b"(?:, ?| : )"
        return word + b"(?:" + between + word + b")*+"

    def _last_colon(self) -> bytes:
        """Match up to the last colon of the word: addresses and hosts may hold some."""
        return b"(?>" + self._set(b" ") + b"*(?=:))"

    # ── pieces ────────────────────────────────────────────────────────────────────────────────

    def _until(self, stop: bytes, excluded: bytes = b"") -> bytes:
        """Match up to the first occurrence of a literal, or of what makes it unmistakable."""
        hard = _HARD.search(stop)
        stop = stop[: hard.end()] if hard else stop
        if len(stop) < 2 or stop[:1] in excluded:  # noqa: PLR2004 - one byte needs no look ahead
            return self._run(excluded + stop[:1])
        return self._walk(stop[:1], re.escape(stop[1:]), excluded)

    def _walk(self, first: bytes, rest: bytes, excluded: bytes) -> bytes:
        """Match up to the first ``first`` that ``rest``, an expression, follows."""
        plain = self._set(excluded + first) + b"*+"
        step = (rb"(?:\\.|" if self._escaped else b"(?:") + re.escape(first)
        return plain + b"(?:" + step + b"(?!" + rest + b"))" + plain + b")*+"

    def _run(self, excluded: bytes) -> bytes:
        plain = self._set(excluded) + b"*+"
        return plain + rb"(?:\\." + plain + b")*+" if self._escaped else plain

    def _set(self, excluded: bytes) -> bytes:
        if self._quoted:
            excluded += b'"'
        if self._escaped:
            excluded += b"\\"
        escaped = b"".join(re.escape(bytes([byte])) for byte in sorted(set(excluded)))
        return b"[^" + escaped + b"]" if escaped else b"."

    # ── the surroundings of a field ───────────────────────────────────────────────────────────

    def _literal(self, at: int) -> bytes:
        part = self.parts[at] if 0 <= at < len(self.parts) else None
        return part.text if isinstance(part, Literal) else b""

    def _alone(self, at: int) -> bool:
        """Tell whether a field has its segment to itself: quotes or tabs around it."""
        before, after = self._literal(at - 1), self._literal(at + 1)
        opened = at == 0 or _HARD.fullmatch(before[-1:]) is not None
        closed = at + 1 == len(self.parts) or _HARD.match(after) is not None
        return opened and closed

    def _rest_of_segment(self, at: int) -> list[Part]:
        rest: list[Part] = []
        for part in self.parts[at + 1 :]:
            rest.append(part)
            if isinstance(part, Literal) and _HARD.search(part.text):
                break
        return rest

    def _foreign(self, at: int, natural: bytes) -> bytes:
        """Give the other separators of the segment that an ordinary value does not hold."""
        own = self._literal(at + 1)
        others = b"".join(
            part.text for part in self._rest_of_segment(at)[1:] if isinstance(part, Literal)
        )
        return bytes(
            {b for b in others if not chr(b).isalnum() and b not in natural and b not in own}
        )


def field_is_word(field: Field) -> bool:
    """Tell whether a time's text has neither spaces nor padding: one word on the line."""
    text = field.meaning.clock.removeprefix("strftime:")
    return b" " not in strftime_pattern(text).replace(rb"\ ", b" ")
