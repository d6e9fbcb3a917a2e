"""Messages between processes arrive whole and in order, however the line cuts them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingestor.scan.frames import Frames, framed

MESSAGES = st.lists(st.binary(max_size=600) | st.tuples(st.integers(), st.text()), max_size=6)


@given(MESSAGES, st.lists(st.integers(1, 700), min_size=1))
def test_messages_arrive_however_they_are_cut(messages: list[object], cuts: list[int]) -> None:
    line = b"".join(map(framed, messages))
    frames = Frames()
    heard: list[object] = []
    at = 0
    while at < len(line):
        cut = cuts[at % len(cuts)]
        heard += frames.heard(line[at : at + cut])
        at += cut
    assert heard == messages


def test_half_a_message_is_none() -> None:
    frames = Frames()
    assert list(frames.heard(framed("a page view")[:-1])) == []
