"""What stands around a field of a definition, and what could be mistaken there.

A *segment* lies between two hard separators: the quotation mark and control characters, which
servers escape. In it a value may hold what separates it from others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.formats.fields import URL_CHARACTERS, Field, Literal, Part, Role, Shape

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

HARD = re.compile(rb'["\x00-\x1f\x7f]')
LOCAL = rb"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d"
_LOOKS = {"local": LOCAL, "iso": rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"}  # of no value but a time
_WRITTEN = frozenset({Shape.TOKEN, Shape.TIME, Shape.ADDRESSES})  # unless visitors sent them
_FORGEABLE = frozenset({Role.ADDRESS, Role.HOST, Role.TIME})  # with a gain for who does


class Segments:
    """The segments of a definition."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)

    def _literal(self, at: int) -> bytes:
        part = self.parts[at] if 0 <= at < len(self.parts) else None
        return part.text if isinstance(part, Literal) else b""

    def _alone(self, at: int) -> bool:
        """Tell whether a field has its segment to itself: quotes or tabs around it."""
        before, after = self._literal(at - 1), self._literal(at + 1)
        opened = at == 0 or HARD.fullmatch(before[-1:]) is not None
        closed = at + 1 == len(self.parts) or HARD.match(after) is not None
        return opened and closed

    def _rest_of_segment(self, at: int) -> list[Part]:
        """Give what follows a field in its segment, the literal with the hard end included."""
        return self.parts[at + 1 : self._segment(at)[1]]

    def _is_last(self, at: int) -> bool:
        """Tell whether no field follows in a field's segment."""
        return not any(isinstance(part, Field) for part in self._rest_of_segment(at))

    def _fields(self, start: int, end: int) -> list[tuple[int, Field]]:
        """Give the fields among some parts, with their indexes."""
        parts = enumerate(self.parts[start:end], start)
        return [(index, part) for index, part in parts if isinstance(part, Field)]

    def _segment(self, at: int) -> tuple[int, int]:
        """Give the indexes between which a field's segment lies, its hard ends included."""
        hard = [
            index
            for index, part in enumerate(self.parts)
            if isinstance(part, Literal) and HARD.search(part.text)
        ]
        start = max((index for index in hard if index < at), default=0)
        end = min((index for index in hard if index > at), default=len(self.parts) - 1)
        return start, end + 1

    def _sent_beside(self, at: int) -> list[int]:
        """Give the indexes of the other fields of a segment whose bytes visitors choose."""
        start, end = self._segment(at)
        return [
            index
            for index in range(start, end)
            if index != at and isinstance(part := self.parts[index], Field) and part.meaning.sent
            if part.meaning.shape is not Shape.CAPTURE  # HAProxy keeps apart what it captures
        ]

    def _separators(self, at: int) -> bytes:
        """Give the bytes with which the separators of a segment begin.

        What stands in front of its first free value is behind us: nothing can imitate it.
        """
        start, end = self._segment(at)
        fields = self._fields(start, end)
        first = min(i for i, field in fields if i == at or _is_free(field))
        texts = [part.text for part in self.parts[first:end] if isinstance(part, Literal)]
        softs = [HARD.split(text)[0] for text in texts]
        return bytes({soft[0] for soft in softs if soft and not chr(soft[0]).isalnum()})

    def _foreign(self, at: int, natural: bytes) -> bytes:
        """Give the other separators of the segment that an ordinary value does not hold."""
        own = self._literal(at + 1)
        others = b"".join(
            part.text for part in self._rest_of_segment(at)[1:] if isinstance(part, Literal)
        )
        return bytes(
            {b for b in others if not chr(b).isalnum() and b not in natural and b not in own}
        )

    # ── what could be mistaken ────────────────────────────────────────────────────────────────

    def _check_apart(self, at: int, other: int, after: bytes) -> None:
        """Refuse two values that visitors choose and that can be mistaken for what is between."""
        field, rival = self.parts[at], self.parts[other]
        assert isinstance(field, Field)  # noqa: S101 - both were found as fields
        assert isinstance(rival, Field)  # noqa: S101
        between = self.parts[min(at, other) + 1 : max(at, other)]
        forgeable = [
            part.text
            for part in between
            if isinstance(part, Field) and part.meaning.role and not part.meaning.sent
        ]
        # One that tells nothing has no separators, but for the last, which reaches to the end.
        wide = bool(rival.meaning.role) or (len(after) == 1 and self._is_last(other))
        if forgeable or (wide and after[0] in rival.meaning.natural):
            raise _inseparable(field, rival, after, forgeable)

    def _foreign_to_last(self, at: int, field: Field) -> bytes:
        """Give the separators that the last value of a segment must not hold.

        It reaches to the end. So it would take in what the server wrote, where a visitor imitates
        that in a value further in front; or the end of a value that may hold separators itself.
        Raises FormatError where it has to hold them all the same.
        """
        natural = field.meaning.natural if field.meaning.role else b""
        closed = self._follows_wide(at)
        for other in self._sent_beside(at):
            rival = self.parts[other]
            assert isinstance(rival, Field)  # noqa: S101 - found as one
            if self._is_counted(other, at):
                continue
            forged = self._written_between(other, at, _FORGEABLE)
            texts = [part.text for part in self.parts[other:at] if isinstance(part, Literal)]
            held = all(byte in natural or chr(byte).isalnum() for byte in b"".join(texts))
            if forged and held and natural:
                raise _inseparable(field, rival, self._literal(other + 1), forged)
            listed = rival.meaning.role is Role.FORWARDED_FOR  # whose end a proxy writes
            closed = closed or bool(forged) or listed
        return self._separators(at).translate(None, natural) if closed else b""

    def _written_between(self, first: int, last: int, roles: Collection[Role]) -> list[str]:
        """Name the fields between two that the server writes and that tell one of some things."""
        fields = [field for _, field in self._fields(first + 1, last) if not field.meaning.sent]
        return [field.text for field in fields if field.meaning.role in roles]

    def _follows_wide(self, at: int) -> bool:
        """Tell whether a value in front of this one ordinarily holds what is behind it."""
        return any(
            field.meaning.role
            and field.meaning.shape is Shape.TEXT
            and set(self._literal(index + 1)).issubset(field.meaning.natural)
            for index, field in self._fields(self._segment(at)[0], at)
        )

    def _is_counted(self, first: int, last: int) -> bool:
        """Tell whether `_counted` would find twice what stands between two values."""
        sent = [first, *self._sent_beside(first)]
        texts = [part.text for part in self.parts[first:last] if isinstance(part, Literal)]
        time = self._lone_time(min(sent), max(sent))
        natural = self._natural(sent)
        return any(is_mark(text, natural) for text in texts) or (
            time is not None and time[0] > first
        )

    def _lone_time(self, first: int, last: int) -> tuple[int, bytes] | None:
        """Give the index of the only time between two values, and its looks, if it has such."""
        times = [
            each for each in self._fields(first + 1, last) if each[1].meaning.role is Role.TIME
        ]
        if len(times) != 1 or not self._is_last(last) or not _holds_spaces(self.parts[last]):
            return None
        index, field = times[0]
        looks = _LOOKS.get(field.meaning.clock)
        return None if looks is None or not self._literal(index - 1) else (index, looks)

    def _natural(self, places: Sequence[int]) -> bytes:
        """Give what ordinary values of these fields hold, beside letters and digits."""
        fields = [part for at in places if isinstance(part := self.parts[at], Field)]
        natural = URL_CHARACTERS + b"".join(field.meaning.natural for field in fields)
        wide = len(fields) < 2 or any(field.meaning.shape is not Shape.TEXT for field in fields)  # noqa: PLR2004 - alone
        return natural + b" " if wide else natural


def is_mark(text: bytes, natural: bytes) -> bool:
    """Tell whether no ordinary value holds a separator: a label, or a byte that is foreign."""
    foreign = [byte for byte in text if byte not in natural]
    return any(not chr(byte).isalnum() for byte in foreign) or len(foreign) > 1


def _is_free(field: Field) -> bool:
    """Tell whether others than the server choose what a field holds."""
    return field.meaning.sent or field.meaning.shape not in _WRITTEN


def _holds_spaces(part: Part) -> bool:
    """Tell whether ordinarily spaces are in a field."""
    return isinstance(part, Field) and b" " in part.meaning.natural


def _inseparable(field: Field, rival: Field, text: bytes, forged: Sequence[str]) -> FormatError:
    could_be = f", and {forged[0]} could be forged" if forged else ""
    return FormatError(
        f"{field.text} (character {field.place + 1}) and {rival.text} (character "
        f"{rival.place + 1}) may both contain {text.decode()!r}, and no quotes enclose "
        f"them, so nobody can tell where they end{could_be}; put them in quotes in the "
        f"server's definition"
    )
