"""Split halves: known reliabilities are recovered."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.humans.analysis.reliability import split_half, split_half_interval
from harness.types import Unit


def parallel(people: int, items: int, seed: int) -> np.ndarray:
    """Return values of people who all measure the same with noise of the same variance (classical test theory)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, items) + rng.normal(0, 1, (people, items))


@pytest.mark.parametrize("people", [2, 4, 6])
def test_the_reliability_of_parallel_people_is_that_of_their_mean(people: int) -> None:
    """Of n people whose signal and noise have one variance it is n / (n + 1)."""
    assert split_half(parallel(people, 4000, people), 0) == pytest.approx(people / (people + 1), abs=0.03)


def test_noise_has_none_and_agreement_all() -> None:
    noise = np.random.default_rng(0).normal(size=(4, 4000))
    assert abs(split_half(noise, 0)) < 0.1
    assert split_half(np.tile(np.arange(8.0), (3, 1)), 0) == pytest.approx(1.0)


def test_people_who_contradict_each_other_have_none() -> None:
    values = np.stack([np.arange(8.0), -np.arange(8.0)])
    assert split_half(values, 0) == pytest.approx(-1.0, abs=0.7)
    assert split_half(values, 0) < 0


def test_items_of_one_person_and_too_few_items_say_nothing() -> None:
    alone = np.full((3, 9), math.nan)
    alone[0] = np.arange(9)
    assert math.isnan(split_half(alone, 0))
    assert math.isnan(split_half(parallel(3, 3, 0), 0))


def test_the_interval_is_over_units() -> None:
    values = parallel(4, 60, 2)
    interval = split_half_interval(values, [Unit("N", 0, place // 3) for place in range(60)], 0, 49)
    assert interval.low < interval.mean < interval.high
    assert interval.units == 20
