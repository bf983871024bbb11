from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scores import ScoreInputError, UndefinedScoreError, ablation
from harness.types import ExcerptKind, NeuronId, SimulatedExcerpt

Make = Callable[..., SimulatedExcerpt]
NEURON = NeuronId(1, 2)
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
    asked = ablation.requests(NEURON, simulated, 0.5, top=2, random=1)
    assert [request.token_ids for request in asked] == [(10, 11), (20, 21), (30, 31)] * 2
    assert [request.values for request in asked[:3]] == [(1, 5), (1, 7), (1, 3)]  # calibrated
    assert [request.values for request in asked[3:]] == [(0.5, 0.5)] * 3  # the mean
    assert {request.neuron for request in asked} == {NEURON}


def test_leading_positions_keep_their_real_activation(excerpt: Make) -> None:
    item = excerpt([70, 1, 2], [math.nan, 1, 2], leading=1)
    simulation, mean = ablation.requests(NEURON, [item], 0.25)
    assert simulation.values == (70, 3, 5)
    assert mean.values == (70, 0.25, 0.25)
    assert simulation.leading == mean.leading == 1


def test_an_excerpt_that_can_not_be_replaced_whole_asks_nothing(excerpt: Make) -> None:
    whole = excerpt([1, 2], [1, 2])
    assert len(ablation.requests(NEURON, [whole], 0.0)) == 2
    for broken in (
        excerpt([1, 2], [1, math.nan]),
        excerpt([1, 2], [1, 2], token_ids=()),
        excerpt([1, 2], [1, 2], calibrated=()),
    ):
        assert ablation.requests(NEURON, [whole, broken], 0.0) == []


def test_score_by_hand() -> None:
    assert ablation.score([0.0, 0.0, 0.2, 0.4]) == 1.0
    assert ablation.score([0.2, 0.4, 0.2, 0.4]) == 0.0
    assert ablation.score([0.1, 0.2, 0.1, 0.5]) == pytest.approx(0.5)  # of the means, not the mean of ratios
    assert ablation.score([0.9, 0.3]) == pytest.approx(-2.0)


@given(st.lists(st.tuples(st.floats(0, 0.69), st.floats(0.01, 0.69)), min_size=1, max_size=8))
def test_score_is_at_most_1_and_blind_to_the_order_of_excerpts(drawn: list[tuple[float, float]]) -> None:
    def of(pairs: list[tuple[float, float]]) -> float:
        return ablation.score([simulation for simulation, _ in pairs] + [mean for _, mean in pairs])

    assert of(drawn) <= 1.0
    assert of(drawn) == pytest.approx(of(drawn[::-1]))


def test_nothing_to_explain_is_undefined() -> None:
    with pytest.raises(UndefinedScoreError, match="changes nothing"):
        ablation.score([0.1, 0.0])


@pytest.mark.parametrize("divergences", [[], [0.1], [0.1, math.nan], [math.inf, 0.1]])
def test_divergences_that_are_not_two_each_are_refused(divergences: list[float]) -> None:
    with pytest.raises(ScoreInputError, match="two finite divergences"):
        ablation.score(divergences)
