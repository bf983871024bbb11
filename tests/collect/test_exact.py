"""Exact sums do not depend on the order of addition, and are as close to the truth as a float can be."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.collect.exact import ExactSums

NUMBERS = st.lists(st.floats(-1e25, 1e25, allow_subnormal=False), min_size=1, max_size=20)


def summed(numbers: list[float]) -> ExactSums:
    made = ExactSums((1,), digits=5, lowest=-100)
    for number in numbers:
        made.add(np.array([number]))
    return made


@given(NUMBERS, st.randoms(use_true_random=False), st.integers(0, 20))
def test_any_order_and_any_parts_give_the_same_words(numbers: list[float], random: object, cut: int) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    merged = summed(shuffled[:cut])
    merged.absorb(summed(shuffled[cut:]))
    np.testing.assert_array_equal(merged.words, summed(numbers).words)


@given(NUMBERS)
def test_the_total_is_the_true_sum(numbers: list[float]) -> None:
    truth = sum(map(Fraction, numbers))
    found = Fraction(float(summed(numbers).total()[0]))
    scale = max(abs(Fraction(number)) for number in numbers)
    assert abs(found - truth) <= scale * Fraction(1, 2**50) + len(numbers) * Fraction(1, 2**100)


def test_what_floats_lose_is_kept() -> None:
    numbers = [1e16, 1.0, -1e16] * 1000
    assert math.fsum(numbers) == 1000.0
    assert summed(numbers).total()[0] == 1000.0
    assert float(np.float64(0) + 1e16 + 1.0 - 1e16) != 1.0


def test_places_are_added_to_apart() -> None:
    made = ExactSums((3, 2), digits=2, lowest=-56)
    made.add(np.array([[1.5], [-2.25]]), (np.array([[0], [2]]), np.array([1])))
    np.testing.assert_array_equal(made.total(), [[0, 1.5], [0, 0], [0, -2.25]])
    np.testing.assert_array_equal(made.total((np.array([2, 0]), 1)), [-2.25, 1.5])


def test_a_number_beyond_the_range_is_an_error() -> None:
    made = ExactSums((1,), digits=2, lowest=-56)
    made.add(np.array([2.0**43]))
    with pytest.raises(OverflowError, match=r"larger than 2\^44"):
        made.add(np.array([2.0**45]))
    np.testing.assert_array_equal(made.total(), [2.0**43])
