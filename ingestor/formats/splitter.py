r"""The fast splitter: plain ``bytes.split`` on the quotes, then on the spaces.

Regular expressions read 400,000 lines/s of a core, this 900,000 and more. Its code is generated
from the definition, as ``namedtuple`` does it: straight-line Python for just this sequence of
separators. It takes only lines without a backslash and with exactly the right number of quotes
and words, so that it can never differ from the exact matcher; for others it gives None.
Where a definition has no such shape, no splitter is made, and the matcher does the work.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingestor.formats.fields import Field, Literal, Part, Shape
from ingestor.formats.matcher import MARKS, PLAIN, field_is_word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingestor.formats.hits import Columns

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class _NotSimpleError(Exception):
    """This definition needs the exact matcher."""


def splitter(
    parts: Sequence[Part], captured: Sequence[Field], *, escaped: bool
) -> Callable[[bytes], Columns | None] | None:
    """Generate the splitter for a definition; None where it has no simple shape."""
    try:
        source = _Source(parts, captured, escaped=escaped).text()
    except _NotSimpleError:
        return None
    namespace: dict[str, Callable[[bytes], Columns | None]] = {}
    exec(source, {}, namespace)  # noqa: S102 - our own text; literals stand in it as repr()
    return namespace["split"]


class _Source:
    """The Python of one definition: unpack, check, give the captured values."""

    def __init__(self, parts: Sequence[Part], captured: Sequence[Field], *, escaped: bool) -> None:
        self._parts = parts
        self._captured = captured
        self._escaped = escaped
        self._unpacked: list[str] = []
        self._refusals: list[str] = []  # conditions under which the matcher is asked
        self._values: dict[int, str] = {}  # id of a captured field → expression
        self._names = 0

    def text(self) -> str:
        if any(isinstance(part, Literal) and b'"' in part.text for part in self._parts):
            self._quoted()
        else:
            self._segment("line", list(self._parts))
        values = [self._values[id(field)] for field in self._captured]
        return "\n".join(
            [
                "def split(line):",
                *(["    if b'\\\\' in line: return None"] if self._escaped else []),
                "    if line[-1:] == b'\\r': line = line[:-1]",
                "    try:",
                *(f"        {line}" for line in self._unpacked),
                "    except ValueError: return None",
                f"    if {' or '.join(self._refusals)}: return None",
                f"    return ({', '.join(values)},)",
            ]
        )

    def _quoted(self) -> None:
        segments: list[list[Part]] = [[]]
        for part in self._parts:
            if isinstance(part, Field):
                if part.meaning.shape is Shape.TRAILING:
                    raise _NotSimpleError
                segments[-1].append(part)
                continue
            first, *others = part.text.split(b'"')
            segments[-1].append(Literal(first, part.place))
            segments.extend([Literal(other, part.place)] for other in others)
        names = self._unpack("line", b'"', len(segments))
        for name, segment in zip(names, segments, strict=True):
            self._segment(name, [part for part in segment if _is_something(part)])

    def _unpack(self, source: str, separator: bytes, count: int) -> list[str]:
        """Split ``source`` into exactly ``count`` names; any other number is a ValueError."""
        names = [f"v{self._names + at}" for at in range(count)]
        self._names += count
        self._unpacked.append(f"{', '.join(names)}, = {source}.split({separator!r})")
        return names

    def _segment(self, source: str, parts: list[Part]) -> None:
        """Check and take apart what stands between two quotes, or the whole line."""
        if not parts:
            self._refusals.append(source)
        elif len(parts) == 1 and isinstance(parts[0], Field):
            self._values[id(parts[0])] = source
        elif len(parts) == 1 and isinstance(parts[0], Literal):
            self._refusals.append(f"{source} != {parts[0].text!r}")
        else:
            self._words(source, parts)

    def _words(self, source: str, parts: list[Part]) -> None:
        separator = _separator(parts)
        words = _cut(parts, separator)
        names = self._unpack(source, separator, sum(word.width for word in words))
        at = 0
        for word in words:
            value, last = names[at], names[at + word.width - 1]
            at += word.width
            if word.field is None:
                text = word.before
                self._refusals.append(f"{value} != {text!r}" if text else value)
            elif word.width == 2:  # noqa: PLR2004 - a local time: its zone is the second word
                self._local_time(word, value, last)
                if (
                    words[-2:-1] == [word]
                    and words[-1].field is None
                    and id(word.field) in self._values
                ):
                    # The time ends the segment: one slice of it gives both words.
                    tail = len(word.after) + 1 + len(words[-1].before)
                    self._values[id(word.field)] = f"{source}[-{26 + tail}:-{tail}]"
            else:
                self._word(word, word.field, value, separator)
            if word.field is not None and word.field.meaning.shape is not Shape.TEXT:
                whole = self._values[id(word.field)]
                self._refusals += [f"{mark!r} in {whole}" for mark in _marks(parts, separator)]

    def _local_time(self, word: _Word, value: str, last: str) -> None:
        """Check by fixed widths, which leave no room for a second closing bracket."""
        before, after, field = word.before, word.after, word.field
        if after[:1] not in PLAIN:
            raise _NotSimpleError
        self._refusals.append(f"len({value}) != {20 + len(before)}")
        self._refusals.append(f"len({last}) != {5 + len(after)}")
        if before:
            self._refusals.append(_differs(value, before, start=True))
        if after:
            self._refusals.append(_differs(last, after, start=False))
        self._values[id(field)] = (
            f"{_slice(value, before, b'')} + b' ' + {_slice(last, b'', after)}"
        )

    def _word(self, word: _Word, field: Field, value: str, separator: bytes) -> None:
        before, after = word.before, word.after
        if field.meaning.shape is Shape.TIME and after[:1] not in PLAIN:
            raise _NotSimpleError
        inner = _slice(value, before, after)
        if before or after:
            self._refusals.append(f"len({value}) < {len(before) + len(after)}")
        if before:
            self._refusals.append(f"{value}[:{len(before)}] != {before!r}")
        if after:
            self._refusals.append(f"{value}[-{len(after)}:] != {after!r}")
            self._refusals.append(f"{after[:1]!r} in {inner}")
        captured = any(field is kept for kept in self._captured)
        self._check_shape(field, inner, separator, captured=captured)
        self._values[id(field)] = inner

    def _check_shape(self, field: Field, value: str, separator: bytes, *, captured: bool) -> None:
        shape = field.meaning.shape
        if shape is Shape.TEXT:
            if separator == b"\t":
                return
            if captured:
                raise _NotSimpleError
            # A user's name, say: mostly nothing, and then anything.
            self._refusals.append(f"{value} != b'-'")
        elif field.meaning.clock == "local":
            self._refusals.append(f"len({value}) != 26 or {value}.count(b' ') != 1")
        elif separator != b" ":
            self._refusals.append(f"b' ' in {value}")
        if shape in {Shape.ADDRESSES, Shape.LIST}:
            self._refusals.append(f"b',' in {value}")
        if shape is Shape.LIST:
            self._refusals.append(f"b';' in {value}")


def _marks(parts: Sequence[Part], separator: bytes) -> list[bytes]:
    """Give what separates fields here beside ``separator``: a word that holds it is no word."""
    texts = b"".join(part.text for part in parts if isinstance(part, Literal))
    marks = [bytes([byte]) for byte in MARKS if byte in texts]
    return [mark for mark in marks if mark != separator]


class _Word:
    """One or two words of a segment: text, a field, text."""

    def __init__(self) -> None:
        self.before = b""
        self.field: Field | None = None
        self.after = b""
        self.width = 1


def _is_something(part: Part) -> bool:
    return isinstance(part, Field) or bool(part.text)


def _separator(parts: Sequence[Part]) -> bytes:
    between = b"".join(part.text for part in parts if isinstance(part, Literal))
    if b"\t" in between:
        return b"\t"
    return b"|" if b"|" in between and b" " not in between else b" "


def _cut(parts: Sequence[Part], separator: bytes) -> list[_Word]:
    words = [_Word()]
    for part in parts:
        if isinstance(part, Literal):
            if _CONTROL.search(part.text):
                raise _NotSimpleError
            first, *others = part.text.split(separator)
            _append(words[-1], first)
            for other in others:
                words.append(_Word())
                _append(words[-1], other)
            continue
        word = words[-1]
        if word.field is not None:
            raise _NotSimpleError
        word.field = part
        word.width = _width(part, separator)
    return words


def _append(word: _Word, text: bytes) -> None:
    if word.field is None:
        word.before += text
    else:
        word.after += text


def _width(field: Field, separator: bytes) -> int:
    """Give the number of words a field takes on an ordinary line."""
    shape, kind = field.meaning.shape, field.meaning.clock
    if shape in {Shape.TRAILING, Shape.CAPTURE}:
        raise _NotSimpleError
    if shape is Shape.TIME:
        if kind.startswith("strftime:") and not field_is_word(field):
            raise _NotSimpleError
        if kind == "local" and separator == b" ":
            return 2
    return 1


def _differs(value: str, text: bytes, *, start: bool) -> str:
    """Compare a word of fixed length with the text it begins or ends with."""
    if len(text) == 1:
        return f"{value}[{0 if start else -1}] != {text[0]}"
    cut = f":{len(text)}" if start else f"-{len(text)}:"
    return f"{value}[{cut}] != {text!r}"


def _slice(value: str, before: bytes, after: bytes) -> str:
    if not before and not after:
        return value
    start = str(len(before)) if before else ""
    return f"{value}[{start}:{-len(after) if after else ''}]"
