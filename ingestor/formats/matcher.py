r"""The exact matcher: one regular expression for a definition, without backtracking.

Every value is matched by a possessive, unrolled expression up to the first place where the
definition can go on, so a line costs time linear in its length, whatever a visitor writes.

*Hard* separators cannot stand in a value, for servers escape them: the quotation mark and
control characters such as the tab. They cut a definition into segments. Other separators are
*soft*: a value may contain them. In a segment at most one value may; it is found from both ends.
Where two may, the line cannot be read with certainty, and the definition is refused. Those that
no ordinary value contains are counted, so that one in a value cannot pass for the server's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.formats.clocks import strftime_pattern
from ingestor.formats.fields import Decoding, Escape, Field, Literal, Part, Role, Shape
from ingestor.formats.segments import HARD, LOCAL, Segments, is_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A line that was forged through an unescaped quote repeats status and size: `" 200 12 "`.
_TRAILING = (
    rb'(?! \d{3} (?:\d+|-) ")(?!.*" \d{3} (?:\d+|-) ")'
    rb'(?=(?P<atom>(?: (?:[^ "]*+"[^"\\]*+(?:\\.[^"\\]*+)*"|[^ "]++))+))(?P=atom)'
)
_LISTED = rb'(?: "[^"]*+")* ?'  # what HAProxy captured, in quotes; where it has none, a space
_LISTS = frozenset({Shape.ADDRESSES, Shape.LIST})
_STATUS = rb"(?:\d{3}|0|-1?)"  # as hits.py reads it
_USER = re.compile(r"%[<>]?u")  # of an empty name, Apache writes two quotes
_FRACTION = re.compile(r"%\{(?:begin:|end:)?([mu])sec_frac\}t")
_OF_HOSTS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.:-_[]%"

# Where these separate fields, a word has none of them.
MARKS = b"|;,"
# What may follow a time without looking like a part of it.
PLAIN = frozenset({b"", b" ", b"]", b")", b"|", b"\t", b'"', b";"})


def captured_groups(pattern: re.Pattern[bytes]) -> list[int]:
    """Number the groups of `Matcher.compile`'s expression that are captured fields."""
    helpers = set(pattern.groupindex.values())
    return [at for at in range(1, pattern.groups + 1) if at not in helpers]


def columns_of(
    pattern: re.Pattern[bytes],
) -> Callable[[re.Match[bytes]], Sequence[bytes]]:
    """Give what takes the captured fields out of a match of `Matcher.compile`'s expression."""
    wanted = captured_groups(pattern)
    if len(wanted) == pattern.groups:
        return re.Match.groups
    return lambda match: tuple(match[at] for at in wanted)


class Matcher(Segments):
    """The regular expressions of a definition's parts, field by field."""

    def __init__(self, parts: Sequence[Part], escape: Escape) -> None:
        super().__init__(parts)
        self._atoms = 0
        self.counts = False  # separators, and not only looks for the next one
        self._escaped = escape is not Escape.NONE
        texts = b"".join(part.text for part in self.parts if isinstance(part, Literal))
        self._hard = bytes(sorted({*b"".join(HARD.findall(texts))}))  # those that it has
        self._end = b"(?:[" + re.escape(self._hard) + rb"]|\Z)" if self._hard else rb"\Z"
        self._quoted = any(isinstance(part, Literal) and b'"' in part.text for part in parts)
        self.patterns = [
            re.escape(part.text) if isinstance(part, Literal) else self._field(at, part)
            for at, part in enumerate(parts)
        ]

    def compile(self, captured: Sequence[Field]) -> re.Pattern[bytes]:
        """Compile the expression whose groups are the captured fields, in the line's order."""
        return re.compile(self.expression(captured), re.DOTALL)

    def expression(self, captured: Sequence[Field]) -> bytes:
        """Give that expression as text; equal ones read every line alike."""
        kept = {id(field) for field in captured}
        pieces = [
            b"(" + pattern + b")" if id(part) in kept else pattern
            for part, pattern in zip(self.parts, self.patterns, strict=True)
        ]
        return b"".join(pieces)

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
        if field.meaning.shape is Shape.CAPTURE:
            return self._run(b"{|}")
        pattern = self._counted(at, field) + self._value(at, field)
        if _USER.fullmatch(field.text) is None or self._alone(at):
            return pattern
        return b'(?:""|' + pattern + b")"

    def _value(self, at: int, field: Field) -> bytes:
        shape = field.meaning.shape
        if shape is Shape.TRAILING:
            return _LISTED if field.meaning.decoding is Decoding.HASH else _TRAILING
        after = self._literal(at + 1)
        if not after and at + 1 < len(self.parts):
            return self._adjacent(at, field)
        if self._alone(at):
            return self._until(after)
        if shape is Shape.TEXT:
            return self._text(at, field, after)
        return self._word(at, field, after)

    def _counted(self, at: int, field: Field) -> bytes:
        """Look ahead whether the segment has as many separators left as the definition has.

        One more, in a value that a visitor chose, would shift what the server wrote behind it,
        and a value further on take in what is left over. Asked once, before the first such value.
        """
        others = self._sent_beside(at)
        if not field.meaning.sent or min(others, default=at) < at:
            return b""
        *between, last = self._rest_of_segment(at) or [field]
        texts = [part.text for part in between if isinstance(part, Literal)]
        behind = HARD.split(last.text)[0] if isinstance(last, Literal) else b""
        natural = self._natural([at, *others])
        pattern = b""
        for text in sorted({text for text in texts if is_mark(text, natural)}):
            count = sum(each.count(text) for each in (*texts, behind))
            value = self._walk(text[:1], re.escape(text[1:]), self._hard)
            all_of_them = b"(?:" + value + re.escape(text) + b"){%d}" % count
            pattern += b"(?=" + all_of_them + value + self._end + b")"
        pattern += self._one_time(at, max(others, default=at))
        self.counts = self.counts or bool(pattern)
        return pattern

    def _one_time(self, first: int, last: int) -> bytes:
        """Look ahead for a single time, where the last value of a segment could hold a second."""
        time = self._lone_time(first, last)
        if time is None:
            return b""
        index, looks = time
        before = self._literal(index - 1)[-1:]
        value = self._walk(before, looks, self._hard)
        return b"(?=" + value + re.escape(before) + looks + value + self._end + b")"

    def _word(self, at: int, field: Field, after: bytes) -> bytes:
        """Match a value that shares its segment with others and has a shape of its own."""
        shape = field.meaning.shape
        if shape is Shape.TIME:
            return self._time(field, after, self._foreign_to_words(at, field))
        ends = after[:1] != b"," or after[1:2] not in b" "  # else the next item looks like that
        if shape in _LISTS and ends:
            return self._list(at, field, after)
        if field.meaning.role is Role.HOST and after[:1] == b":":
            return self._last(at, after)
        return _or_hyphen(self._until(after, self._foreign_to_words(at, field)), after[:1], after)

    def _foreign_to_words(self, at: int, field: Field) -> bytes:
        """Give a space, and the separators of a segment that such a word has none of."""
        start, end = self._segment(at)
        texts = b"".join(part.text for part in self.parts[start:end] if isinstance(part, Literal))
        foreign = b"|" if field.meaning.shape is Shape.LIST else MARKS
        own = field.meaning.clock.encode("utf-8", "surrogateescape")  # strftime's may have some
        return b" " + bytes(byte for byte in foreign if byte in texts and byte not in own)

    def _adjacent(self, at: int, field: Field) -> bytes:
        """Match a field right before another one: only where the next one's start is known."""
        following = self.parts[at + 1]
        assert isinstance(following, Field)  # noqa: S101 - two literals never stand side by side
        if following.meaning.shape is Shape.TRAILING:
            return self._run(b" ")
        if field.meaning.role is Role.HOST and following.meaning.role in {Role.TARGET, Role.PATH}:
            return self._atomic(self._run(b" /"))  # the target fits behind any part of it
        if field.meaning.clock in {"epoch", "strftime:%s"} and "sec_frac" in following.text:
            return rb"\d{10}"
        fraction = _FRACTION.fullmatch(field.text)
        if fraction is not None:  # of a fixed width, with zeros in front
            return rb"\d{3}" if fraction[1] == "m" else rb"\d{6}"
        raise FormatError(
            f"nothing stands between {field.text} and {following.text} (character "
            f"{following.place + 1}), so nobody can tell where one ends and the other begins"
        )

    def _text(self, at: int, field: Field, after: bytes) -> bytes:
        """Match a value that may hold spaces, next to others in its segment.

        Alone in what visitors may write there, it reaches as far as the fields behind it allow.
        Otherwise only one such value may hold separators: an additional one then makes the line
        fit nowhere, instead of shifting the server's own values.
        """
        if self._is_last(at):
            foreign = self._foreign_to_last(at, field)
            if not foreign and after and HARD.search(after) is None:
                return self._walk(after[:1], re.escape(after[1:]) + rb"\Z", b"")
            return _or_hyphen(self._until(after, foreign), foreign, after)
        natural = field.meaning.natural
        if not all(byte in natural or byte in b" " for byte in after):
            foreign = self._foreign(at, natural)
            return _or_hyphen(self._until(after, foreign), foreign, after)
        others = self._sent_beside(at)
        if not others:
            # A name that begins with a lone dash is the next field of a format with one more.
            more = b""
            if field.meaning.role is Role.NONE and len(after) > 1:
                more = b"(?!-" + re.escape(after[:1]) + b"(?!" + re.escape(after[1:]) + b"))"
            return more + self._anchored(at, after)
        if field.meaning.role is Role.NONE or after[0] not in natural:
            separators = self._separators(at)
            if field.meaning.role is Role.QUERY and self._literal(at - 1)[-1:] == b"?":
                separators = separators.replace(b"?", b"")  # a query may have more of them
            return _or_hyphen(self._until(after, separators), separators, after)
        for other in others:
            self._check_apart(at, other, after)
        return self._anchored(at, after)

    def _anchored(self, at: int, after: bytes) -> bytes:
        """Match up to the first separator from which the rest of the segment fits."""
        rest = b""
        for index in range(at + 2, len(self.parts)):
            part = self.parts[index]
            if isinstance(part, Field):
                rest += _STATUS if part.meaning.role is Role.STATUS else self._field(index, part)
            else:
                hard = HARD.search(part.text)
                rest += re.escape(part.text[: hard.end()] if hard else part.text)
                if hard:
                    break
        else:
            rest += rb"\Z"
        rest = re.escape(after[1:]) + rest
        following = self.parts[at + 2] if at + 2 < len(self.parts) else None
        if len(after) == 1 and isinstance(following, Field) and following.meaning.shape in _LISTS:
            # What does not fit behind a list does not behind one of its items, either.
            passed = self._atomic(b"(?:" + self._field(at + 2, following) + b")?")
            return self._atomic(self._walk(after, rest, b"", passed))
        return self._walk(after[:1], rest, b"")

    def _time(self, field: Field, after: bytes, foreign: bytes) -> bytes:
        kind = field.meaning.clock
        plain = after[:1] in PLAIN
        if kind == "local":
            return (
                self._run(foreign) + b" " + self._until(after, foreign)
                if plain
                else (LOCAL + rb" [+-]\d{4}")
            )
        if kind.startswith("strftime:"):
            pattern = strftime_pattern(kind.removeprefix("strftime:"))
            return self._until(after, foreign) if plain and field_is_word(field) else pattern
        if kind == "bare" and not plain:
            return LOCAL
        return self._until(after, foreign)

    def _list(self, at: int, field: Field, after: bytes) -> bytes:
        shape, role = field.meaning.shape, field.meaning.role
        foreign = self._foreign_to_words(at, field)
        if shape is Shape.ADDRESSES and after[:1] == b":":
            return self._last(at, after)
        if role in {Role.ADDRESS, Role.REAL_IP} and min(self._sent_beside(at), default=at) < at:
            # The peer beside a list that visitors write: it must not take words from that.
            return self._until(after, b"," + foreign)
        stop = after[:1] if after[:1] != b" " else b""
        if shape is Shape.ADDRESSES:
            word, between = self._run(b"," + foreign + stop), [b", ", b","]
        else:
            word, between = self._run(b",;" + foreign + stop), [b", ", b",", b"; ", b";", b" : "]
        # The list has no way back: what ends it must not look like one more of its separators.
        open_to = [
            each
            for each in between
            if not after or not (after.startswith(each) or each.strip().startswith(after))
        ]
        listed = word + self._atomic(b"(?:(?:" + b"|".join(open_to) + b")" + word + b")*")
        return _or_hyphen(listed, stop, after)

    def _last(self, at: int, after: bytes) -> bytes:
        """Match up to the last such separator of the word: addresses and hosts hold colons.

        The word ends with a space, or with what ends the field behind the separator: the port.
        """
        hard = HARD.search(after)
        stop = after[: hard.end()] if hard else after
        ends = b" " + self._literal(at + 3)[:1].strip(_OF_HOSTS)
        return self._atomic(self._set(ends) + b"*(?=" + re.escape(stop) + b")")

    def _atomic(self, pattern: bytes) -> bytes:
        """Match a piece once and for all, without a way back into it.

        Said by a look ahead and a reference to what it saw: Python's own atomic groups, and its
        possessive repeats of groups, match wrongly before 3.11.5 (gh-106052), and Debian 12 has
        3.11.2. The group has a name, so that `columns_of` leaves it out.
        """
        self._atoms += 1
        name = b"atom%d" % self._atoms
        return b"(?=(?P<" + name + b">" + pattern + b"))(?P=" + name + b")"

    # ── pieces ────────────────────────────────────────────────────────────────────────────────

    def _until(self, stop: bytes, excluded: bytes = b"") -> bytes:
        """Match up to the first occurrence of a literal, or of what makes it unmistakable."""
        hard = HARD.search(stop)
        stop = stop[: hard.end()] if hard else stop
        if len(stop) < 2 or stop[:1] in excluded:  # noqa: PLR2004 - one byte needs no look ahead
            return self._run(excluded + stop[:1])
        return self._walk(stop[:1], re.escape(stop[1:]), excluded)

    def _walk(self, first: bytes, rest: bytes, excluded: bytes, passed: bytes = b"") -> bytes:
        """Match up to the first ``first`` that ``rest``, an expression, follows.

        ``passed`` is what is passed over behind each one that it does not follow.
        """
        plain = self._set(excluded + first) + b"*+"
        step = (rb"(?:\\.|" if self._escaped else b"(?:") + re.escape(first)
        return plain + b"(?:" + step + b"(?!" + rest + b")" + passed + b")" + plain + b")*"

    def _run(self, excluded: bytes) -> bytes:
        plain = self._set(excluded) + b"*+"
        return plain + rb"(?:\\." + plain + b")*" if self._escaped else plain

    def _set(self, excluded: bytes) -> bytes:
        if self._quoted:
            excluded += b'"'
        if self._escaped:
            excluded += b"\\"
        escaped = b"".join(re.escape(bytes([byte])) for byte in sorted(set(excluded)))
        return b"[^" + escaped + b"]" if escaped else b"."


def _or_hyphen(pattern: bytes, excluded: bytes, after: bytes) -> bytes:
    """Let a value be a hyphen, for there was none, where hyphens separate it from others."""
    if b"-" not in excluded:
        return pattern
    end = re.escape(after)
    return b"(?:-(?=" + end + b")|(?!-" + end + b")" + pattern + b")"  # only one of them fits


def field_is_word(field: Field) -> bool:
    """Tell whether a time's text has neither spaces nor padding: one word on the line."""
    text = field.meaning.clock.removeprefix("strftime:")
    return b" " not in strftime_pattern(text).replace(rb"\ ", b" ")
