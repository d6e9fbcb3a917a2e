"""Two multisets held against each other: what is sent in doubt, and what Umami lists."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ingestor.delivery.matching import match
from ingestor.delivery.stored import Stored

A, B, C = (Stored(1_790_000_000, "h", path, "") for path in ("/a", "/b", "/c"))


def test_what_is_listed_is_found_and_the_rest_is_missing():
    found = match({A: 1, C: 1}, {0: A, 1: B, 2: C}, {})
    assert (found.found, found.missing, found.unclear, found.surplus) == ([0, 2], [1], [], 0)


def test_of_page_views_that_look_alike_the_first_are_there():
    found = match({A: 2}, {0: A, 1: A, 2: B, 3: A}, {})
    assert (found.found, found.missing, found.unclear) == ([0, 1], [2, 3], [0, 1, 3])


def test_what_is_known_to_be_stored_accounts_for_its_rows():
    found = match({A: 1, B: 1}, {0: A, 1: B}, {2: A})
    assert (found.found, found.missing, found.unclear) == ([1], [0], [0, 2])


def test_rows_that_nothing_accounts_for_are_surplus():
    assert match({A: 3, B: 1}, {0: A}, {1: B, 2: None}).surplus == 2


def test_what_can_never_be_stored_is_missing():
    assert match({A: 1}, {0: None, 1: A}, {}).missing == [0]


def test_a_row_is_taken_for_the_page_view_of_its_very_path_before_one_with_another_slash():
    slash = A._replace(path="/a/")
    assert match({A: 1}, {0: slash, 1: A}, {}).found == [1]
    assert match({slash: 1}, {0: A, 1: slash}, {}).found == [1]
    removed = match({A: 2}, {0: slash, 1: A}, {})
    assert (removed.found, removed.surplus) == ([0, 1], 0)
    known = match({A: 1}, {0: A}, {1: slash})
    assert (known.found, known.unclear) == ([], [0, 1]), "which of them is there?"


KEYS = st.sampled_from([A, B, C])


@given(st.lists(KEYS, max_size=12), st.lists(KEYS, max_size=4), st.randoms())
def test_sending_what_is_missing_makes_each_stored_once(views, taken, random):
    stored = [random.random() < 0.5 for _ in views]
    listed = Counter(taken) + Counter(v for v, s in zip(views, stored, strict=True) if s)
    known = {100 + place: key for place, key in enumerate(taken)}
    found = match(listed, dict(enumerate(views)), known)
    assert sorted(found.found + found.missing) == list(range(len(views)))
    assert listed + Counter(views[place] for place in found.missing) == Counter(views) + Counter(
        taken
    )
    assert found.surplus == 0
