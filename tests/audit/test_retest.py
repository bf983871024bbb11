"""Reliability by its definition, at its extremes, and which simulators have a seed to change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audit import retest


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


def test_scores_that_are_all_one_have_none() -> None:
    assert math.isnan(retest.reliability(np.ones((4, 3))))


@given(scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_reliability_does_not_depend_on_units(scale: float, shift: float) -> None:
    scores = np.random.default_rng(1).normal(size=(6, 3)) + np.arange(6)[:, None]
    assert retest.reliability(scale * scores + shift) == pytest.approx(retest.reliability(scores), rel=1e-6)
    assert retest.spread(scale * scores + shift) == pytest.approx(scale * retest.spread(scores), rel=1e-6)


def test_every_seed_of_a_simulator_is_moved_and_nothing_else() -> None:
    node = {"_target_": "x", "seed": 3, "model": {"seed": 0, "name": "seed", "levels": 11}}
    assert retest.reseeded(node, 2) == {"_target_": "x", "seed": 5, "model": {"seed": 2, "name": "seed", "levels": 11}}
    assert retest.has_seed(node)
    assert not retest.has_seed({"_target_": "x", "model": {"name": "seed"}})
