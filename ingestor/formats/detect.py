"""Which format is this file? Every preset is tried on a sample of its lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ingestor.errors import FormatError
from ingestor.formats.adaptive import Adaptive
from ingestor.formats.compiler import TextFormat
from ingestor.formats.containers import Contained, Output, outputs
from ingestor.formats.format import END, Format
from ingestor.formats.json import JsonFormat
from ingestor.formats.named import compile_format
from ingestor.formats.presets import PRESETS
from ingestor.formats.scores import PLAUSIBLE, SHORT, Score, foremost, score_of, suffices
from ingestor.formats.syslog import Prefixed, prefix_length
from ingestor.formats.w3c import W3cFormat
from ingestor.model import Hit, Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

_MAJORITY = 0.75  # of so few lines, where nothing explains the others
_SHOWN = 160  # characters of a line in an explanation
# A server's own words, which stand in an access log by mistake and are no other format of one.
_OWN_WORDS = re.compile(
    rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d+#\d+: "  # nginx
    rb"|\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:.]+ \d{4}\] \[[\w:]*\] "  # Apache
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: \([\w./-]+\.c[.:]\d+\) "  # lighttpd
    rb"|\S+:\d+ \[\d\d/[A-Z][a-z]{2}/[\d:.]+\] [^\s{]+: "  # HAProxy, of a connection
    rb"|\[\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d[^\]]*\] (?:[A-Z]+: |PHP )"  # PHP
)
_ADDRESS = re.compile(
    rb"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|(?<![\w/.:])(?:[0-9A-Fa-f]{1,4}:){3,7}:?[0-9A-Fa-f]"
)
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found out about a file's format."""

    format: Format | None  # follows changes in the middle; None: nothing explains enough
    share: float  # of the sample's lines that are explained, 0 … 1
    explanation: str  # for people: what was chosen and how sure it is, or where the nearest stops
    nearest: str = ""  # the preset that came nearest where none fits
    column: int = 0  # … and how many bytes of the example it explains
    example: bytes = b""  # … a line that it does not, none of which is in the explanation
    is_error_log: bool = False  # for the most part
    has_no_address: bool = False  # a preset explains it, and no line tells whose request it was
    names: str = ""  # of the presets that explain it, the foremost first


def detect(lines: Sequence[bytes], *, latest: int, timezone: tzinfo | None = None) -> Detection:
    """Find the format of a file by a sample of its lines, without newlines.

    Give lines of its head first, then of its tail. ``latest`` is the latest believable time in
    Unix seconds, ``timezone`` is for formats without a zone.
    """
    sample = [line for line in lines if line.strip()]
    if not sample:
        return Detection(None, 0.0, "the file is empty, so its format cannot be told")
    inside = _inside(sample, printed=False)
    if inside:
        return _detect_inside(inside, latest, timezone)
    found = _detect_bare(sample, latest, timezone)
    if found.format is None and (inside := _inside(sample, printed=True)):
        printed = _detect_inside(inside, latest, timezone)
        return found if printed.format is None else printed
    return found


def _inside(sample: Sequence[bytes], *, printed: bool) -> list[Output]:
    """Take the lines out of a container's log; empty where it is none."""
    inside = [each for each in outputs(sample, printed=printed) if each.line.strip()]
    return inside if len(inside) * 2 > len(sample) else []


def _detect_bare(sample: Sequence[bytes], latest: int, timezone: tzinfo | None) -> Detection:
    bare = [line[prefix_length(line) :] for line in sample]
    prefixed = sum(len(line) < len(whole) for line, whole in zip(bare, sample, strict=True))
    if prefixed * 2 > len(sample):
        found = _detect(bare, latest, timezone)
        if found.format is None:
            return found
        explanation = f"{found.explanation}, behind a syslog prefix"
        return replace(found, format=Prefixed(found.format), explanation=explanation)
    return _detect(sample, latest, timezone)


def _detect_inside(inside: Sequence[Output], latest: int, timezone: tzinfo | None) -> Detection:
    """Find the format in a container's log; what else stands in its error stream is passed over."""
    found = _detect([each.line for each in inside], latest, timezone)
    normal = [each.line for each in inside if not each.is_error]
    if found.format is None and 0 < len(normal) < len(inside):
        found = _detect(normal, latest, timezone)
    if found.format is None:
        return found
    return replace(
        found,
        format=Contained(found.format),
        explanation=f"{found.explanation}, in a container's log",
    )


def _detect(sample: Sequence[bytes], latest: int, timezone: tzinfo | None) -> Detection:
    formats = [each.for_file(sample) for each in _candidates(timezone)]
    best = foremost(formats, sample, latest)
    if best is not None:
        return _chosen([best], formats, sample)
    formats = [each.for_file(sample) for each in formats]  # what they have learnt is of the above
    scores = [score_of(each, at, sample, latest) for at, each in enumerate(formats)]
    team = _team([score for score in scores if score.is_believable])
    covered = frozenset[int]().union(*(score.explained for score in team))
    if team and _suffices_after_all(covered, sample):
        return _chosen(team, formats, sample)
    return _refused(scores, sample, latest, timezone, covered)


def _suffices_after_all(covered: frozenset[int], sample: Sequence[bytes]) -> bool:
    """Tell whether what is not explained need not be: not lines of an access log, or too few.

    Most lines have to be explained all the same: an error log with some requests in it is none.
    """
    foreign = sum(is_foreign(line) for at, line in enumerate(sample) if at not in covered)
    rest = len(sample) - foreign
    if len(covered) * 2 <= len(sample):
        return False
    few = rest < SHORT and len(covered) >= max(_MAJORITY * rest, 2)
    return few or suffices(len(covered), rest)


def is_foreign(line: bytes) -> bool:
    """Tell whether a line is of no access log, whatever its format: an error log's, or no text."""
    return _OWN_WORDS.match(line) is not None or not is_text(line)


def is_text(line: bytes) -> bool:
    """Tell whether a line has no control bytes; servers escape those that visitors send."""
    return _NO_TEXT.search(line) is None


def _team(scores: Sequence[Score]) -> list[Score]:
    """Choose formats that explain a mixed file together: each for what those before do not."""
    team: list[Score] = []
    covered: frozenset[int] = frozenset()
    waiting = list(scores)
    while waiting:
        best = max(waiting, key=lambda score: (len(score.explained - covered), score.merit))
        if not best.explained - covered:
            break
        team.append(best)
        covered |= best.explained
        waiting.remove(best)
    return team


def _chosen(team: Sequence[Score], formats: Sequence[Format], sample: Sequence[bytes]) -> Detection:
    covered = frozenset[int]().union(*(score.explained for score in team))
    share = len(covered) / len(sample)
    names = ", then ".join(score.format.name for score in team)
    known = ", ".join(sorted(team[0].format.fields))
    lines = "line" if len(sample) == 1 else "lines"
    explanation = f"{names}: explains {share:.0%} of {len(sample)} {lines} ({known})"
    others = [score.format for score in team[1:]]
    others += [each for each in formats if each not in others]
    # What the sample taught them is not where the reading will begin: fresh ones.
    fresh = Adaptive(team[0].format, others).for_file(sample)
    return Detection(fresh, share, explanation, names=names)


def _refused(
    scores: Sequence[Score],
    sample: Sequence[bytes],
    latest: int,
    timezone: tzinfo | None,
    covered: frozenset[int],
) -> Detection:
    best = max(scores, key=lambda score: (len(score.explained), -score.place))
    found = f"no preset explains these lines: together they explain {len(covered)} of {len(sample)}"
    errors = sum(_OWN_WORDS.match(line) is not None for line in sample)
    if errors * 2 >= len(sample):
        text = f"{errors} of {len(sample)} lines are of a server's error log"
        share = len(covered) / len(sample)
        return Detection(None, share, text, best.format.name, is_error_log=True)
    trouble = _trouble_of_header(scores)
    if trouble:
        return Detection(None, len(covered) / len(sample), f"{found}. {trouble}", "w3c")
    trouble = _trouble_of_addresses(scores, sample, latest)
    if trouble:
        share = len(covered) / len(sample)
        return Detection(None, share, trouble, best.format.name, has_no_address=True)
    zone = "" if timezone is not None else _needs_zone(sample, latest)
    left = [line for at, line in enumerate(sample) if at not in covered | best.explained]
    if not left:  # it is all cut up by presets whose fields would then hold the wrong things
        nearest, column = best.format.name, 0
        fits = f"{len(best.explained)} {'line' if len(best.explained) == 1 else 'lines'}"
        line = next(line for at, line in enumerate(sample) if at not in covered)
        found += f". {nearest} fits {fits} by its shape, but not by what "
        found += "would be the address, the host, the referrer or the user agent"
    else:
        line = next((line for line in left if not is_foreign(line)), left[0])
        nearest, column, expected = _nearest(best, scores, line, latest)
        found += f". The nearest, {nearest}, stops at column {column + 1}, where it expects "
        found += f"{expected}, in a line of {len(line)} bytes"
    if any(b"\thandled request\t{" in each for each in sample):
        zone += ". Caddy wrote this for people to read: set `format json` in its `log`"
    return Detection(None, len(covered) / len(sample), found + zone, nearest, column, line)


def _trouble_of_header(scores: Sequence[Score]) -> str:
    """Tell what is wrong with a W3C log's own list of fields, where it has one."""
    for score in scores:
        if isinstance(score.format, W3cFormat) and score.format.trouble:
            return f"Its own #Fields: line cannot be read by: {score.format.trouble}"
    return ""


def _trouble_of_addresses(scores: Sequence[Score], sample: Sequence[bytes], latest: int) -> str:
    """Tell what stands in place of the addresses, where a preset fits but for these.

    Where an address stands before the request, it is a format that no preset knows.
    """
    fits = [
        score
        for score in scores
        if score.hits and not score.addressed and score.plausible >= PLAUSIBLE * score.hits
        if suffices(len(score.explained), len(sample))
    ]
    if not fits or any(_ADDRESS.search(line.partition(b'"')[0]) for line in sample):
        return ""
    best = max(fits, key=lambda score: score.merit).format
    hits = (best.parse(line, latest) for line in sample)
    address = next(hit.address for hit in hits if isinstance(hit, Hit))
    return (
        f"no line has a client's address: {shown(address.encode('utf-8', 'surrogateescape'))} "
        f"stands where {best.name} has it"
    )


def shown(line: bytes) -> str:
    """Write the beginning of a line for a person who asked to see it; no control character."""
    text = line[: _SHOWN + 1].decode("ascii", "backslashreplace")
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:_SHOWN])
    return f"`{plain}{'…' if len(text) > _SHOWN else ''}`"


def _nearest(
    best: Score, scores: Sequence[Score], line: bytes, latest: int
) -> tuple[str, int, str]:
    """Give the preset that gets furthest in a line: name, column, what it expects there."""
    tried = [best] if best.explained else scores
    extents = [(score.format, score.format.extent(line)) for score in tried]
    found, (column, expected, _) = max(extents, key=lambda each: (each[1].length, -each[1].missing))
    if column == len(line) and expected == END:
        verdict = found.parse(line, latest)
        a_request = verdict is Reason.DIRECTIVE or verdict is Malformed.REQUEST
        expected = "a request" if a_request else f"other values ({verdict})"
        if verdict is Malformed.TIME:
            expected = "a time between 1995 and tomorrow by this machine's clock"
        elif verdict is Malformed.NO_MATCH:  # of a header, which not every request has
            expected = "a client's address instead of a hyphen"
    return found.name, column, expected


def _needs_zone(sample: Sequence[bytes], latest: int) -> str:
    from datetime import UTC  # noqa: PLC0415 - only here

    for at, each in enumerate(_candidates(UTC)):
        score = score_of(each, at, sample, latest)
        if score.is_enough(len(sample)):
            return f". {each.name} fits, but its times name no zone: set `timezone`"
    return ""


@lru_cache(maxsize=16)
def _candidates(timezone: tzinfo | None) -> tuple[Format, ...]:
    """Compile every preset once; of those that read lines alike, the first."""
    formats: dict[object, Format] = {}
    for name, preset in PRESETS.items():
        try:
            each = compile_format(preset.template, name=name, timezone=timezone)
        except FormatError:  # needs a time zone
            continue
        formats.setdefault(_likeness(each), each)
    return tuple(formats.values())


def _likeness(each: Format) -> object:
    if isinstance(each, TextFormat):
        return each.likeness
    assert isinstance(each, JsonFormat | W3cFormat)  # noqa: S101 - what compile_format gives
    return each.definition
