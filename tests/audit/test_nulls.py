"""Nulls are explanations of the right shape that are about something else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harness.audit import nulls
from harness.types import (
    Explanation,
    NeuroglossError,
    NeuronId,
    NeuronRecord,
    Outcome,
    ScoredExplanation,
    Scores,
    TokenSums,
    Usage,
)

NEURONS = [NeuronId(layer, 0) for layer in range(5)]
TOLD = {neuron: Explanation(neuron, "x", f"words of {neuron} here") for neuron in NEURONS}
Make = Callable[..., NeuronRecord]


def _scored(explanation: Explanation) -> ScoredExplanation:
    return ScoredExplanation(explanation, (), None, Scores({}))


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_gives_each_neuron_another_s_words(seed: int) -> None:
    found = nulls.shuffled(TOLD, seed)
    assert sorted(one.text for one in found.values()) == sorted(one.text for one in TOLD.values())
    for neuron, one in found.items():
        assert one.neuron == neuron
        assert one.text != TOLD[neuron].text


def test_random_words_come_from_the_corpus_as_many_as_were_said(record: Make) -> None:
    corpus = record().token_sums
    found = nulls.random_words(TOLD, corpus, 0)
    assert all(len(one.text.split()) == 4 and set(one.text.split()) <= {"sea", "ship"} for one in found.values())
    assert found == nulls.random_words(TOLD, corpus, 0)
    assert found != nulls.random_words(TOLD, corpus, 1)


def test_frequent_words_are_drawn_more_often(record: Make) -> None:
    told = {NEURONS[0]: Explanation(NEURONS[0], "x", "w " * 4000)}
    words = nulls.random_words(told, record().token_sums, 0)[NEURONS[0]].text.split()
    assert words.count("sea") / words.count("ship") == pytest.approx(3.0, rel=0.15)


def test_a_corpus_without_words_is_refused() -> None:
    bare = TokenSums(("!", "42"), np.array([3, 3]), np.zeros(2))
    with pytest.raises(NeuroglossError, match="holds no words"):
        nulls.random_words(TOLD, bare, 0)


def test_what_is_missing_stays_missing(record: Make) -> None:
    refused = {**TOLD, NEURONS[0]: Explanation(NEURONS[0], "x", outcome=Outcome.REFUSED)}
    assert nulls.random_words(refused, record().token_sums, 0)[NEURONS[0]].outcome is Outcome.REFUSED
    assert nulls.random_words(refused, record().token_sums, 0)[NEURONS[0]].text == ""


def test_own_takes_one_explanation_a_neuron_and_asks_nothing_twice() -> None:
    usage = Usage(requests=1, usd=1.0)
    some = [_scored(Explanation(NEURONS[0], "people", text, usage=usage)) for text in ("first", "second")]
    assert nulls.own(some) == {NEURONS[0]: Explanation(NEURONS[0], "people", "first")}


def test_a_row_without_words_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="no explanation in words"):
        nulls.own([_scored(Explanation(NEURONS[0], "token_lookup"))])
