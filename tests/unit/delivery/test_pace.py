"""The control law, answer by answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingestor.delivery.pace import Bounds, Pace

WIDE = Bounds(1, 16, 10, 200)


class Server:
    """Answers a pace at its limit: alone so long a page view, more where they queue up."""

    def __init__(self, pace: Pace, *, threads: int, page_view: float = 0.01) -> None:
        self.pace = pace
        self.threads = threads
        self.page_view = page_view
        self.now = 0.0
        self.limits: list[int] = []

    def answer(self, rounds: int = 1) -> None:
        """Answer as many requests as are in flight, so many times."""
        for _ in range(rounds):
            limit = self.pace.limit
            seconds = self.pace.batch_size * self.page_view * max(1.0, limit / self.threads)
            self.now += seconds
            for _ in range(limit):
                self.pace.answered(self.pace.batch_size, seconds, limit, self.now)
            self.limits.append(self.pace.limit)


def test_a_fixed_pace_does_what_is_configured_whatever_the_answers() -> None:
    pace = Pace(WIDE, adaptive=False)
    server = Server(pace, threads=1)
    server.answer(50)
    assert set(server.limits) == {16}
    assert pace.batch_size == 200


def test_after_an_outage_the_limit_starts_at_one_and_doubles() -> None:
    pace = Pace(Bounds(1, 6, 10, 10), adaptive=False)
    pace.failed()
    pace.failed()
    limits = []
    for _ in range(5):
        limits.append(pace.limit)
        pace.answered(10, 0.1, 0, 0.0)
    assert limits == [1, 2, 4, 6, 6]


def test_a_server_that_works_beside_itself_gets_all_that_is_allowed() -> None:
    pace = Pace(WIDE)
    Server(pace, threads=100).answer(40)
    assert pace.limit == 16


def test_a_server_that_works_one_by_one_gets_a_short_queue() -> None:
    pace = Pace(WIDE)
    server = Server(pace, threads=1)
    server.answer(300)
    queues = [limit - 1 for limit in server.limits[50:] if limit > 1]
    assert min(queues) >= 1
    assert max(queues) <= 5


def test_the_limit_follows_a_server_that_becomes_slower_and_faster_again() -> None:
    pace = Pace(WIDE)
    server = Server(pace, threads=8)
    server.answer(200)
    assert pace.limit >= 8
    server.threads = 2
    server.answer(400)
    assert 3 <= pace.limit <= 8
    server.threads = 8
    server.answer(2_000)
    assert pace.limit >= 8


def test_in_the_background_nobody_stands_in_a_queue() -> None:
    for threads in (1, 2, 5):
        pace = Pace(WIDE, background=True)
        server = Server(pace, threads=threads)
        server.answer(300)
        later = server.limits[100:]
        assert sum(limit <= threads for limit in later) > 0.8 * len(later)
        assert max(later) <= threads + 1


def test_waiting_that_nobody_notices_does_not_count() -> None:
    """A sink that answers at once: what its requests take is the sender's own time."""
    pace = Pace(Bounds(1, 4, 10, 50), background=True)
    Server(pace, threads=1, page_view=0.00003).answer(60)
    assert pace.limit == 4


def test_a_batch_is_as_large_as_is_answered_in_two_or_three_seconds() -> None:
    for page_view, least, most in [(0.3, 10, 13), (0.05, 35, 65), (0.001, 200, 200)]:
        pace = Pace(WIDE)
        server = Server(pace, threads=100, page_view=page_view)
        server.answer(100)
        assert least <= pace.batch_size <= most


def test_batches_that_are_not_full_say_nothing_about_their_size() -> None:
    pace = Pace(Bounds(1, 1, 10, 200))
    for number in range(100):
        pace.answered(1, 1.0, 1, float(number))
    assert pace.batch_size == 25


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    pace = Pace(WIDE)
    Server(pace, threads=100).answer(6)
    before = pace.limit
    assert 2 < before < 16
    for number in range(200):
        pace.answered(10, 0.1, 1, float(number))
    assert pace.limit == before


def test_overload_halves_the_limit_and_the_batches_once() -> None:
    pace = Pace(WIDE)
    server = Server(pace, threads=100)
    server.answer(40)
    size = pace.batch_size
    for _ in range(5):
        pace.failed()
    assert pace.limit == 1
    assert pace.batch_size == size // 2
    limits = []
    while len(limits) < 4:
        pace.answered(10, 0.1, 0, server.now)
        limits.append(pace.limit)
    assert limits == [2, 4, 8, 8]


def test_what_a_request_takes_alone_is_measured_now_and_then() -> None:
    pace = Pace(WIDE)
    server = Server(pace, threads=4)
    server.answer(1_000)
    times_alone = sum(limit == 1 for limit in server.limits)
    assert 4 <= times_alone < 0.1 * len(server.limits)


def test_a_probe_is_over_after_an_outage() -> None:
    pace = Pace(WIDE)
    server = Server(pace, threads=4)
    server.answer(20)
    while pace.limit > 1:
        server.answer()
    pace.failed()
    server.answer(20)
    assert pace.limit > 1


@given(
    answers=st.lists(
        st.tuples(
            st.integers(1, 300),
            st.floats(0.0, 1e5),
            st.integers(0, 20),
            st.floats(0.0, 600.0),
            st.booleans(),
        ),
        max_size=300,
    ),
    background=st.booleans(),
    adaptive=st.booleans(),
    most=st.integers(1, 16),
)
def test_the_bounds_hold_whatever_comes(
    answers: list[tuple[int, float, int, float, bool]],
    background: bool,
    adaptive: bool,
    most: int,
) -> None:
    pace = Pace(Bounds(1, most, 3, 30), background=background, adaptive=adaptive)
    now = 0.0
    for page_views, seconds, beside, later, fails in answers:
        now += later
        if fails:
            pace.failed()
        else:
            pace.answered(page_views, seconds, beside, now)
        assert 1 <= pace.limit <= most
        assert 3 <= pace.batch_size <= 30
