"""Reliability by its definition, at its extremes; which simulators have a seed to change; and asking afresh."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.store import Store
from harness.scorers.panel import Panel
from harness.simulators.chance import Chance
from harness.studies import retest
from harness.studies.retest import FreshScorer, FreshSimulator
from harness.types import Explanation, Query, Scorer, SimulatedExplanation, Simulation, Simulator, Unit


def test_reliability_equals_the_worked_example_of_shrout_and_fleiss() -> None:
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    assert retest.reliability(ratings) == pytest.approx(0.17, abs=0.005)


def test_equal_repeats_are_perfect_and_noise_is_about_zero() -> None:
    scores = np.linspace(0.0, 1.0, 50)
    assert retest.reliability(np.stack([scores] * 3, axis=1)) == pytest.approx(1.0)
    assert abs(retest.reliability(np.random.default_rng(0).normal(size=(2000, 2)))) < 0.1


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (4, 1)])
def test_too_little_has_no_reliability(shape: tuple[int, int]) -> None:
    assert math.isnan(retest.reliability(np.ones(shape)))


def test_scores_that_are_all_equal_have_none() -> None:
    assert math.isnan(retest.reliability(np.ones((4, 3))))


@given(scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_reliability_does_not_depend_on_units(scale: float, shift: float) -> None:
    scores = np.random.default_rng(1).normal(size=(6, 3)) + np.arange(6)[:, None]
    assert retest.reliability(scale * scores + shift) == pytest.approx(retest.reliability(scores), rel=1e-6)
    assert retest.spread(scale * scores + shift) == pytest.approx(scale * retest.spread(scores), rel=1e-6)


def test_every_seed_of_a_simulator_is_moved_and_nothing_else() -> None:
    node = {"use": "simulator/x", "seed": 3, "model": {"seed": 0, "name": "seed", "levels": 11}}
    assert retest.reseeded(node, 2) == {
        "use": "simulator/x",
        "seed": 5,
        "model": {"seed": 2, "name": "seed", "levels": 11},
    }
    assert retest.has_seed(node)
    assert not retest.has_seed({"use": "simulator/x", "model": {"name": "seed"}})


# -------------------------------------------------------------------------------------------------------- asking afresh


class Keeping(Chance):
    """A simulator that must be asked with an empty store."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        assert len(self.store) == 0, "nothing is remembered"
        return super().simulate(queries)


def test_a_fresh_simulator_has_a_new_store_each_time_and_lets_it_go() -> None:
    stores: list[Store] = []

    def build(store: Store) -> Keeping:
        stores.append(store)
        return Keeping(store)

    simulator: Simulator = FreshSimulator(build)
    queries = [Query(Explanation(Unit("N", 0, 1), "words", explainer="x"), ("a", "b"))]
    assert simulator.simulate(queries) == simulator.simulate(queries) == Chance().simulate(queries)
    assert simulator.describe() == Chance().describe()
    assert len(set(map(id, stores))) == 3
    for store in stores:
        with pytest.raises(Exception, match="closed"):
            len(store)


def test_a_fresh_scorer_is_built_each_time() -> None:
    stores: list[Store] = []

    def build(store: Store) -> Panel:
        stores.append(store)
        return Panel()

    scorer: Scorer = FreshScorer(build)
    explanations: list[SimulatedExplanation] = []
    assert scorer.score(explanations) == scorer.score(explanations) == []
    assert scorer.describe() == Panel().describe()
    assert len(stores) == 3


def test_repeats_are_named() -> None:
    assert retest.repeat_name(2) == "repeat 2"


def test_the_interval_of_a_reliability_is_that_of_f() -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(400):  # a true reliability of one half
        units = rng.normal(size=(12, 1))
        interval = retest.reliability_interval(units + rng.normal(size=(12, 2)))
        held.append(interval.low <= 0.5 <= interval.high)
    assert 0.92 <= np.mean(held) <= 0.98
    same = retest.reliability_interval(np.array([[1.0, 1.0], [2.0, 2.0]]))
    assert (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)
    assert math.isnan(retest.reliability_interval(np.zeros((3, 2))).low)
