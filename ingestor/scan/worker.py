"""What runs in the other processes of a backfill: they scan chunks, and do nothing else.

A process keeps the scanners of the files it was given chunks of. Each chunk is scanned as if the
file began with it: a format that learns from lines is made anew afterwards, and the chunk is
marked, so that whoever asked can go on alone in the lines' order.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from ingestor.errors import FormatError
from ingestor.formats import detect
from ingestor.model import Chunk
from ingestor.pageviews import PageViewOptions, Rules, Site
from ingestor.scan.collector import collect_rarely
from ingestor.scan.frames import Frames, framed
from ingestor.scan.packing import pack
from ingestor.scan.scanner import Scanner

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from ingestor.model import Scanned
    from ingestor.scan.recipe import Recipe
    from ingestor.scan.slots import Slot

_ORDINARY = (
    b'192.0.2.1 - - [31/Jan/2020:12:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "Mozilla/5.0 (X11; '
    b'Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"\n'
)
_AFTERWARDS = 1_600_000_000  # Unix seconds: whatever this machine's clock says
_ENOUGH = 64 * 1024  # bytes: so many lines are looked at all at once
_PIECE = 64 * 1024  # bytes that are received at a time
SCANNERS = 128  # files whose scanners a process keeps: two bundles' at least


@dataclass(frozen=True, slots=True)
class RulesRecipe:
    """What the rules are made from."""

    options: PageViewOptions
    sites: tuple[Site, ...]
    since: int | None
    until: int | None

    def rules(self) -> Rules:
        """Make them."""
        return Rules(self.options, self.sites, since=self.since, until=self.until)


class About(NamedTuple):
    """What was found out about a file's format."""

    format: str  # its name
    fields: frozenset[str]
    names_agents: bool  # lines that were looked at tell a user agent


class Answer(NamedTuple):
    """What became of one chunk."""

    packed: bytes | None = None  # see packing.py
    changed: bool = False  # the format has learnt something: the next chunk needs to know it
    about: About | None = None  # with the first chunk of a file that this process scans
    unexplained: str = ""  # no format explains the file: the words for it
    missing: bool = False  # this process knows no recipe for the file
    place: tuple[int, int] | None = None  # where `packed` stands in the slot instead
    scanned: Scanned | None = None  # by this very process, in place of `packed`


class Worker:
    """One process's rules and scanners."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._recipes: dict[int, Recipe] = {}
        self._scanners: dict[int, Scanner] = {}
        self._unexplained: dict[int, str] = {}

    def warm_up(self) -> None:
        """Load and make what a run's first lines would wait for: numpy, expressions, tables."""
        line_format = detect([_ORDINARY.rstrip()], latest=_AFTERWARDS).format
        if line_format is not None:
            data = _ORDINARY * (_ENOUGH // len(_ORDINARY))
            scanner = Scanner(line_format, self._rules, site=None, clock=lambda: _AFTERWARDS)
            scanner.scan(Chunk(0, 0, len(data), data))

    def learn(self, recipes: Mapping[int, Recipe]) -> None:
        """Note what scanners are made from."""
        if len(self._recipes) + len(recipes) > SCANNERS:  # never in the midst of a bundle's
            for known in (self._recipes, self._scanners, self._unexplained):
                known.clear()
        for key, recipe in recipes.items():
            self._recipes.setdefault(key, recipe)

    def scan(self, chunk: Chunk, *, here: bool = False) -> Answer:
        """Scan one chunk, if its file is known; ``here``: for this process itself."""
        key, about = chunk.file, None
        if key in self._unexplained:
            return Answer(unexplained=self._unexplained[key])
        scanner = self._scanners.get(key)
        if scanner is None:
            recipe = self._recipes.get(key)
            if recipe is None:
                return Answer(missing=True)
            try:
                scanner = recipe.scanner(self._rules, time.time)
            except FormatError as error:
                self._unexplained[key] = str(error)
                return Answer(unexplained=str(error))
            self._scanners[key] = scanner
            about = About(scanner.format.name, scanner.format.fields, scanner.names_agents)
        scanned = scanner.scan(chunk) if here else None
        packed = None if here else pack(*scanner.judge(chunk))
        changed = scanner.format.changed
        if changed:
            del self._scanners[key]
        return Answer(packed, changed, about, scanned=scanned)


class Question(NamedTuple):
    """Chunks to scan."""

    chunks: Sequence[Chunk]  # without their data, where that stands in a slot
    recipes: Mapping[int, Recipe]  # by file: those that the process may not know yet
    slot: int | None = None  # where the data stands, and the answers will
    lengths: Sequence[int] = ()  # bytes: of the data in the slot, one behind the other


def serve(
    line: socket.socket, rules: RulesRecipe, slots: Sequence[Slot], foreign: Sequence[socket.socket]
) -> None:
    """Answer questions in their order, until whoever asks hangs up, or is no more.

    ``foreign`` are lines that this process only has because it was forked. Where it cannot
    answer, it ends: whoever asked scans the chunks itself, and meets what is wrong with them.
    """
    for other in foreign:
        other.close()
    logging.disable()  # the parent says it
    with contextlib.suppress(Exception), line:
        worker = Worker(rules.rules())
        worker.warm_up()  # nobody waits for it yet
        collect_rarely()
        frames = Frames()
        while piece := line.recv(_PIECE):
            for question in frames.heard(piece):
                line.sendall(framed(_answers(worker, question, slots)))


def _answers(worker: Worker, question: Question, slots: Sequence[Slot]) -> list[Answer]:
    """Scan chunks. Answers go through the slot that the data came in; without room, as they are."""
    worker.learn(question.recipes)
    if question.slot is None:
        return [worker.scan(chunk) for chunk in question.chunks]
    slot = slots[question.slot]
    starts = accumulate(question.lengths, initial=0)
    answers = [
        worker.scan(replace(chunk, data=slot.read(start, end)))
        for chunk, (start, end) in zip(question.chunks, pairwise(starts), strict=True)
    ]
    packed = [answer.packed or b"" for answer in answers]
    if not slot.write(packed):
        return answers
    places = accumulate(map(len, packed), initial=0)
    return [
        answer if answer.packed is None else answer._replace(packed=None, place=place)
        for answer, place in zip(answers, pairwise(places), strict=True)
    ]
