"""A handful of seeds of the machine that tries to break the program; `make chaos` plays more.

Together they have killed it, made answers ambiguous, and made it repeat what was in flight.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from chaos.killable import PLACES
from chaos.plan import plan
from chaos.play import play
from chaos.trace import Trace, kept

SEEDS = (15, 28)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_no_more_doubled_than_was_in_flight(seed: int) -> None:
    outcome = play(plan(seed))
    assert not outcome.wrong
    assert not outcome.lost
    assert outcome.doubled <= outcome.bound
    assert outcome.written > 0


def crash_amid_lost_answers() -> Trace:
    return Trace.load(Path(__file__).parent / "crash-amid-lost-answers.json")


def test_with_exactly_once_the_same_crash_doubles_nothing() -> None:
    trace = crash_amid_lost_answers()
    outcome = play(replace(trace, knobs=trace.knobs | {"exactly_once": True}))
    assert not outcome.wrong
    assert outcome.fired["slow"], "nothing was in flight"
    assert outcome.fired["drop-after"], "no answer was lost"
    assert outcome.did["SIGKILL"]
    assert outcome.doubled == 0


def test_a_crash_amid_ambiguous_answers_repeats_something_and_loses_nothing() -> None:
    outcome = play(crash_amid_lost_answers())
    assert not outcome.wrong
    assert outcome.fired["slow"], "nothing was in flight"
    assert outcome.fired["drop-after"], "no answer was lost"
    assert outcome.did["SIGKILL"]
    assert outcome.replayed, "the journal did not know what was in flight"
    assert 0 < outcome.doubled <= outcome.bound


@pytest.mark.parametrize("path", kept(), ids=lambda path: path.stem)
def test_what_broke_once_stays_whole(path: Path) -> None:
    outcome = play(Trace.load(path))
    assert not outcome.wrong


def test_every_point_to_die_at_is_a_method_of_the_program() -> None:
    for module, owner, method in PLACES.values():
        found = __import__(module, fromlist=[owner])
        assert callable(getattr(getattr(found, owner), method))
