"""Verdicts on user agents: how long they hold, and what they cost."""

from __future__ import annotations

from ingestor.delivery.settling import DAY, Settling
from ingestor.model import PageView, Span


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def view(user_agent: str) -> PageView:
    return PageView.of("w", {"userAgent": user_agent}, Span(1, 0, 1), 0, b"")


def test_a_verdict_holds_for_a_day() -> None:
    time = Time()
    settling = Settling(enabled=True, clock=time)
    assert settling.verdict("x") is None
    settling.learn("x", bot=True)
    settling.learn("y", bot=False)
    time.now = DAY - 1
    assert (settling.verdict("x"), settling.verdict_on(view("y"))) == (True, False)
    time.now = DAY
    assert settling.verdict("x") is None


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    settling = Settling(enabled=True, clock=Time(), capacity=10)
    settling.learn("often", bot=False)
    for number in range(1000):
        settling.learn(f"rare {number}", bot=False)
        settling.sent_unsettled(f"new {number}", 1)
        assert settling.verdict("often") is False
    assert len(settling._young) + len(settling._old) <= 20
    assert len(settling._unsettled) == 10
    settling.learn("long" * 1000, bot=True)
    assert settling.verdict("long" * 1000) is None


def test_a_verdict_returns_how_many_were_sent_without_it() -> None:
    settling = Settling(enabled=True, clock=Time())
    settling.sent_unsettled("x", 3)
    settling.sent_unsettled("x", 4)
    assert settling.learn("x", bot=True) == 7
    assert settling.learn("x", bot=True) == 0


def test_probes_ask_the_most_frequent_first_and_stay_under_a_tenth() -> None:
    settling = Settling(enabled=True, clock=Time())
    for number in range(100):
        settling.sent_unsettled(f"agent {number}", number + 1)
    assert settling.next_probe() is None, "no token yet"
    settling.stored_alone("w", "t")
    asked = []
    for requests in range(1, 1000):
        settling.requested()
        while probe := settling.next_probe():
            assert (probe.website, probe.token) == ("w", "t")
            asked.append(probe.user_agent)
            settling.learn(probe.user_agent, bot=False)
            assert len(asked) * 10 < requests + len(asked)
    assert asked == [f"agent {number}" for number in reversed(range(100))]


def test_no_probe_leaves_after_an_outage_before_a_new_token() -> None:
    settling = Settling(enabled=True, clock=Time())
    settling.sent_unsettled("x", 1)
    for _ in range(100):
        settling.requested()
    settling.batch_answered("w", "t")
    settling.forget_token()
    assert settling.next_probe() is None
    settling.batch_answered("w", "u")
    probe = settling.next_probe()
    assert probe is not None
    assert probe.token.startswith("u")


def test_scouts_travel_once_an_agent_and_are_few() -> None:
    settling = Settling(enabled=True, clock=Time())
    assert settling.alone(view("x"))
    assert not settling.alone(view("x")), "one is under way"
    settling.came_back(view("x"))
    settling.learn("x", bot=False)
    assert not settling.alone(view("x")), "it is settled"
    assert sum(settling.alone(view(f"agent {number}")) for number in range(1000)) == 31
    for _ in range(30):
        settling.requested()
    assert sum(settling.alone(view(f"more {number}")) for number in range(1000)) == 10
    assert not Settling(enabled=False, clock=Time()).alone(view("x"))


def test_no_token_proves_bots_only_where_batches_carry_tokens() -> None:
    settling = Settling(enabled=True, clock=Time())
    assert not settling.batch_answered("w", None)
    assert not settling.batch_answered("w", "t")
    assert settling.batch_answered("w", None)
