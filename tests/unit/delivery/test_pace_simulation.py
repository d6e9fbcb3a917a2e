"""The control law on a simulated Umami, its clock a number: how near it comes to the best setting.

`benchmarks/pace.py` prints the whole table; here are ten seeds, and a sweep of what was found best.
"""

from __future__ import annotations

from functools import cache
from statistics import median

import pytest
from simulated_umami import FAST, MEASURED, MODELS, SLOW, Fixed, Model, SimulatedUmami, percentile

from ingestor.delivery.pace import Bounds, Pace

SEEDS = range(10)
WIDE = Bounds(1, 16, 10, 200)
DEFAULT = Bounds(1, 4, 10, 50)
PAGE_VIEWS = {FAST: 100_000, MEASURED: 50_000, SLOW: 100_000}
SWEEP = {
    FAST: [(8, 100), (12, 100), (12, 200), (16, 100)],
    MEASURED: [(3, 100), (4, 50), (4, 100), (8, 100)],
    SLOW: [(8, 50), (12, 25), (12, 100), (16, 50)],
}


@cache
def best(model: Model) -> float:
    """Page views a second of the best fixed setting."""
    return max(
        SimulatedUmami(model, Fixed(limit, size), seed=100).run(page_views=30_000).rate
        for limit, size in SWEEP[model]
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_median_of_ten_seeds_is_within_five_per_cent_of_the_best_fixed_setting(
    model: Model,
) -> None:
    rates = [
        SimulatedUmami(model, Pace(WIDE), seed=seed).run(page_views=PAGE_VIEWS[model]).rate
        for seed in SEEDS
    ]
    assert median(rates) >= 0.95 * best(model)


def test_the_measured_umami_gets_what_the_table_of_the_real_one_says() -> None:
    seen = {(1, 50): 134, (2, 50): 184, (4, 50): 209, (1, 10): 124, (4, 100): 187, (1, 1): 82}
    for (limit, size), rate in seen.items():
        run = SimulatedUmami(MEASURED, Fixed(limit, size), seed=1).run(page_views=10_000)
        assert run.rate == pytest.approx(rate, rel=0.16), (limit, size)


def test_nothing_piles_up_at_the_measured_umami() -> None:
    run = SimulatedUmami(MEASURED, Pace(DEFAULT), seed=1).run(page_views=30_000)
    assert run.rate >= 0.95 * best(MEASURED)
    assert percentile(run.latencies, 0.99) < 1.5


def test_the_background_keeps_a_foreign_tracker_fast_at_four_fifths_of_the_throughput() -> None:
    idle = SimulatedUmami(MEASURED, None, seed=1, tracker=2.0).run(seconds=1_000)
    full = SimulatedUmami(MEASURED, Fixed(4, 50), seed=1, tracker=1.0).run(page_views=30_000)
    runs = [
        SimulatedUmami(MEASURED, Pace(DEFAULT, background=True), seed=seed, tracker=1.0).run(
            page_views=30_000
        )
        for seed in SEEDS
    ]
    slower = [percentile(r.tracked, 0.95) / percentile(idle.tracked, 0.95) for r in runs]
    assert median(slower) <= 3.0
    assert max(slower) <= 3.5
    assert median(r.rate for r in runs) >= 0.8 * full.rate


def test_a_fast_umami_is_not_held_back_by_the_background() -> None:
    run = SimulatedUmami(FAST, Pace(WIDE, background=True), seed=1).run(page_views=50_000)
    assert run.rate >= 0.7 * best(FAST)


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [SimulatedUmami(SLOW, Pace(WIDE), seed=7).run(page_views=5_000) for _ in range(2)]
    assert runs[0].latencies == runs[1].latencies
