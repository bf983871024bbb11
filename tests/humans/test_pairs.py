"""Adaptive pairs: strengths are those that maximise the posterior, and what is open is asked first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from harness.humans.answers import Choice
from harness.humans.pairs import PRIOR_DEVIATION, information, most_telling, strengths, wins

AUTHORS = ["a", "b", "c"]
RATINGS = [("a", "b", Choice.LEFT)] * 7 + [("b", "a", Choice.LEFT)] * 2 + [("b", "c", Choice.BOTH)] * 5


def test_both_is_half_a_win_for_either_and_neither_is_none() -> None:
    counts = wins([*RATINGS, ("a", "c", Choice.NEITHER), ("a", "a", Choice.LEFT), ("a", "z", Choice.LEFT)], AUTHORS)
    assert counts.tolist() == [[0, 7, 0], [2, 0, 2.5], [0, 2.5, 0]]


def test_strengths_are_the_mode_of_the_posterior() -> None:
    counts = wins(RATINGS, AUTHORS)

    def loss(values: np.ndarray) -> float:
        margins = values[:, None] - values[None, :]
        return float((counts * np.log1p(np.exp(-margins))).sum() + (values**2).sum() / (2 * PRIOR_DEVIATION**2))

    values, covariance = strengths(counts)
    assert values == pytest.approx(minimize(loss, np.zeros(3)).x, abs=1e-4)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_a_lopsided_pair_tells_less_than_an_open_one() -> None:
    gains = information(wins([("a", "b", Choice.LEFT)] * 40, AUTHORS))
    assert gains[0, 2] > gains[0, 1]
    assert most_telling([("a", "b"), ("b", "c"), ("a", "c")], [("a", "b", Choice.LEFT)] * 40, 0) != ("a", "b")


def test_a_pair_that_was_asked_often_gives_way() -> None:
    often = [("a", "b", Choice.LEFT), ("a", "b", Choice.RIGHT)] * 20
    assert "c" in most_telling([("a", "b"), ("b", "c"), ("a", "c")], often, 0)


def test_at_the_beginning_the_seed_decides() -> None:
    candidates = [("a", "b"), ("b", "c"), ("a", "c")]
    assert len({most_telling(candidates, [], seed) for seed in range(20)}) == 3
