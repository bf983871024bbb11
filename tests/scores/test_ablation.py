from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scores import ScoreInputError, UndefinedScoreError, ablation
from harness.scores.ablation import Way
from harness.types import ExcerptKind, SimulatedExcerpt, Unit

Make = Callable[..., SimulatedExcerpt]
NEURON = Unit("N", 1, 2)
RANDOM = ExcerptKind.RANDOM


def test_requests_are_the_first_of_each_kind_of_the_valid_split(excerpt: Make) -> None:
    simulated = [
        excerpt([9, 9], [9, 9], split="calibration"),
        excerpt([0, 1], [0, 1], RANDOM, token_ids=(30, 31)),
        excerpt([0, 2], [0, 2], token_ids=(10, 11)),
        excerpt([0, 3], [0, 3], token_ids=(20, 21)),
        excerpt([0, 4], [0, 4], token_ids=(40, 41)),
        excerpt([0, 5], [0, 5], RANDOM, token_ids=(50, 51)),
    ]
    other = [excerpt([6, 7], [0, 0]).excerpt, excerpt([8, 9], [0, 0]).excerpt]
    asked = ablation.requests(NEURON, simulated, 0.5, other, top=2, random=1)
    assert {way: [one.values for one in some] for way, some in asked.items()} == {
        Way.SIMULATION: [(1, 5), (1, 7), (1, 3)],  # calibrated
        Way.MEAN: [(0.5, 0.5)] * 3,
        Way.ZERO: [(0, 0)] * 3,
        Way.RESAMPLE: [(6, 7), (8, 9), (6, 7)],
    }
    assert all([one.token_ids for one in some] == [(10, 11), (20, 21), (30, 31)] for some in asked.values())
    assert {one.unit for some in asked.values() for one in some} == {NEURON}


def test_leading_positions_keep_their_real_activation(excerpt: Make) -> None:
    item = excerpt([70, 1, 2], [math.nan, 1, 2], leading=1)
    asked = ablation.requests(NEURON, [item], 0.25, [excerpt([60, 5, 6], [0] * 3, leading=1).excerpt])
    assert {way: one.values for way, (one,) in asked.items()} == {
        Way.SIMULATION: (70, 3, 5),
        Way.MEAN: (70, 0.25, 0.25),
        Way.ZERO: (70, 0, 0),
        Way.RESAMPLE: (70, 5, 6),  # nor is the leading activation of the other text taken
    }
    assert all(one.leading == 1 for (one,) in asked.values())


def test_a_shorter_text_is_resampled_from_its_beginning_again(excerpt: Make) -> None:
    item, other = excerpt([0] * 5, [0] * 5), excerpt([1, 2], [0, 0])
    (resampled,) = ablation.requests(NEURON, [item], 0.0, [other.excerpt])[Way.RESAMPLE]
    assert resampled.values == (1, 2, 1, 2, 1)


def test_without_other_text_nothing_is_resampled(excerpt: Make) -> None:
    item = excerpt([1, 2], [1, 2])
    leading = excerpt([5], [0], leading=1)
    for other in ([], [leading.excerpt]):
        assert set(ablation.requests(NEURON, [item], 0.0, other)) == {Way.SIMULATION, Way.MEAN, Way.ZERO}


def test_an_excerpt_that_cannot_be_replaced_whole_asks_nothing(excerpt: Make) -> None:
    whole = excerpt([1, 2], [1, 2])
    assert all(len(some) == 1 for some in ablation.requests(NEURON, [whole], 0.0).values())
    for broken in (
        excerpt([1, 2], [1, math.nan]),
        excerpt([1, 2], [1, 2], token_ids=()),
        excerpt([1, 2], [1, 2], calibrated=()),
    ):
        assert ablation.requests(NEURON, [whole, broken], 0.0) == {}
    assert ablation.requests(NEURON, [excerpt([1, 2], [1, 2], split="calibration")], 0.0) == {}


def test_score_by_hand() -> None:
    assert ablation.score([0.0, 0.0], [0.2, 0.4]) == 1.0
    assert ablation.score([0.2, 0.4], [0.2, 0.4]) == 0.0
    assert ablation.score([0.1, 0.2], [0.1, 0.5]) == pytest.approx(0.5)  # of the means, not the mean of ratios
    assert ablation.score([0.9], [0.3]) == pytest.approx(-2.0)


def test_the_loss_is_compared_by_size() -> None:
    assert ablation.loss_score([0.0, 0.0], [0.2, -0.4]) == 1.0
    assert ablation.loss_score([0.1, -0.2], [0.2, -0.4]) == pytest.approx(0.5)  # changes of two signs do not cancel
    assert ablation.loss_score([-0.3], [0.3]) == 0.0  # a better prediction than the neuron's own is a change too
    with pytest.raises(UndefinedScoreError, match="changes nothing"):
        ablation.loss_score([0.1], [0.0])


@given(st.lists(st.tuples(st.floats(0, 0.69), st.floats(0.01, 0.69)), min_size=1, max_size=8))
def test_score_is_at_most_1_and_blind_to_the_order_of_excerpts(drawn: list[tuple[float, float]]) -> None:
    def of(pairs: list[tuple[float, float]]) -> float:
        return ablation.score([simulation for simulation, _ in pairs], [silenced for _, silenced in pairs])

    assert of(drawn) <= 1.0
    assert of(drawn) == pytest.approx(of(drawn[::-1]))
    assert of(drawn * 2) == pytest.approx(of(drawn))


def test_nothing_to_explain_is_undefined() -> None:
    with pytest.raises(UndefinedScoreError, match="changes nothing"):
        ablation.score([0.1], [0.0])


@pytest.mark.parametrize(
    "sides", [([], []), ([0.1], []), ([0.1], [math.nan]), ([math.inf], [0.1]), ([0.1], [0.1, 0.1])]
)
def test_divergences_that_are_not_two_each_are_refused(sides: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ScoreInputError, match="two finite divergences"):
        ablation.score(*sides)
