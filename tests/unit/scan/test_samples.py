"""The lines by which a file's format is found."""

from __future__ import annotations

from ingestor.scan import sample_lines


def test_a_hole_of_nuls_before_a_line_does_not_belong_to_it() -> None:
    assert sample_lines(b"\0" * 400 + b"one\ntwo\n\0\0\0three\n\0\0\n") == [
        b"one",
        b"two",
        b"three",
    ]


def test_what_may_be_cut_is_left_out() -> None:
    assert sample_lines(b"cut off\nwhole\ncut o", cut_first=True) == [b"whole"]
