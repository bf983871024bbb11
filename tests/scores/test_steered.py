"""Steering orders the vocabulary, and a name is worth the share of tokens below it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scores import ScoreInputError
from harness.scores.steered import enough, promoted_by, standing


def test_a_token_is_promoted_by_half_of_what_lies_between_raised_and_lowered() -> None:
    assert promoted_by({"a": 2.0, "b": -1.0}, {"a": -2.0, "c": 4.0}) == {"a": 2.0, "b": -0.5, "c": -2.0}


def test_the_most_promoted_token_stands_above_all_and_one_of_no_change_in_the_middle() -> None:
    changes = {"a": 3.0, "b": 1.0, "c": -1.0, "d": -3.0}
    assert standing(changes, ["a", "d", "unheard"]) == pytest.approx((0.875, 0.125, 0.5))
    assert standing({"a": 0.0, "b": 0.0}, ["a"]) == (0.5,)
    with pytest.raises(ScoreInputError, match="no token changed"):
        standing({}, ["a"])


@given(st.dictionaries(st.text(max_size=2), st.integers(-5, 5).map(float), min_size=1))
def test_over_all_tokens_the_standing_is_chance(changes: dict[str, float]) -> None:
    places = standing(changes, list(changes))
    assert sum(places) / len(places) == pytest.approx(0.5)


def test_the_least_factor_that_moves_enough_is_taken_else_the_one_that_moves_most() -> None:
    assert enough([0.001, 0.03, 0.2], 0.02) == 1
    assert enough([0.001, 0.003, 0.002], 0.02) == 1
