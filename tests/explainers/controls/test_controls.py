"""Floors and ceilings: what each knows of the planted neuron, and what it may not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.explainers.controls.constant import Constant
from harness.explainers.controls.next_token_lookup import NextTokenLookup
from harness.explainers.controls.oracle import Oracle
from harness.explainers.controls.random_words import RandomWords
from harness.explainers.controls.token_lookup import TokenLookup
from harness.simulators.lookup import Lookup
from harness.types import (
    Evidence,
    Explainer,
    Explanation,
    Knowing,
    NeuroglossError,
    Outcome,
    Query,
    Role,
    TableKey,
    TokenSums,
    Truth,
    Unit,
)


def simulated(told: Explanation, tokens: tuple[str, ...]) -> tuple[float, ...]:
    return Lookup().simulate([Query(told, tokens)])[0].expected


def test_lookup_recovers_the_planted_set_exactly(planted) -> None:
    told = TokenLookup().explain([planted])[0]
    assert {token: value for token, value in (told.table or {}).items() if value} == {
        " ember": 10.0,
        " kiln": 8.0,
        " forge": 6.0,
    }
    for excerpt in planted.excerpts:
        assert simulated(told, excerpt.tokens)[1:] == excerpt.activations[1:]


def test_next_token_lookup_recovers_a_neuron_that_fires_before_a_known_token(excerpt) -> None:
    first = excerpt(("<s>", 9.0), ("to", 0.0), (" the", 4.0), (" kiln", 0.0), (".", 1.0), leading=1)
    second = excerpt(("a", 2.0), (" kiln", 0.0), ("!", 3.0))
    known = Evidence(Unit("N", 0, 0), (first, second), TokenSums((), np.array([]), np.array([])), mean=0.5)
    told = NextTokenLookup().explain([known])[0]
    assert told.table == {" kiln": 3.0, "!": 0.0, " the": 0.0, ".": 0.0}
    assert told.table_key is TableKey.NEXT_TOKEN
    assert simulated(told, ("my", " kiln", "?", ".", "x")) == (3.0, 0.5, 0.0, 0.5, 0.5)
    assert NextTokenLookup(minimum_count=2).explain([known])[0].table == {" kiln": 3.0}


def test_the_oracle_knows_every_activation_to_a_level(excerpt) -> None:
    first = excerpt(("<s>", 900.0), ("a", 7.9), ("a", 4.0), ("b", -1.0), leading=1)
    second = excerpt(("a", 0.1), ("a", 8.0))
    told = Oracle().recall([Truth(Unit("N", 0, 0), (first, second))])[0]
    assert simulated(told, first.tokens) == pytest.approx((0.0, 7.2, 4.0, 0.0))
    assert simulated(told, second.tokens) == pytest.approx((0.0, 8.0))
    assert simulated(told, ("a", "b")) == (0.0, 0.0), "another text is not known"


def test_the_oracle_is_never_taken_for_a_method() -> None:
    assert isinstance(Oracle(), Knowing)
    assert not isinstance(Oracle(), Explainer)
    assert not any(isinstance(one, Knowing) for one in (TokenLookup(), NextTokenLookup(), Constant(), RandomWords()))


def test_the_constant_says_the_same_of_every_neuron(planted, evidence) -> None:
    told = Constant("the letter e").explain([planted, evidence(4)])
    assert [(one.unit, one.text) for one in told] == [
        (planted.unit, "the letter e"),
        (Unit("N", 0, 4), "the letter e"),
    ]
    with pytest.raises(NeuroglossError, match="empty"):
        Constant("  ")


def test_random_words_are_of_the_corpus_and_depend_on_neuron_and_seed_alone(planted, evidence) -> None:
    told = RandomWords().explain([planted])[0].text
    named = told.removeprefix('the token "').removesuffix('"').split('" or "')
    assert len(set(named)) == 3
    assert set(named) <= set(planted.token_sums.tokens)
    assert RandomWords().explain([evidence(), planted])[1].text == told
    assert RandomWords().explain([replace(planted, excerpts=(), mean=7.0)])[0].text == told
    others = {RandomWords(seed=seed).explain([planted])[0].text for seed in range(6)}
    others |= {RandomWords().explain([replace(planted, unit=Unit("N", 1, n))])[0].text for n in range(6)}
    assert len(others) > 6


def test_random_words_leave_out_what_is_not_in_the_corpus(evidence) -> None:
    told = RandomWords(tokens=9).explain([evidence()])[0].text
    assert " gone" not in told
    assert told.count('"') == 8
    nothing = replace(evidence(), token_sums=TokenSums((" ",), np.array([3]), np.array([0.0])))
    assert RandomWords().explain([nothing])[0].outcome is Outcome.EMPTY


def test_limits_and_roles() -> None:
    assert [one.role for one in (Constant(), RandomWords(), NextTokenLookup(), Oracle())] == [
        Role.FLOOR,
        Role.FLOOR,
        Role.TABLE,
        Role.CEILING,
    ]
    for broken in (RandomWords, NextTokenLookup):
        with pytest.raises(NeuroglossError, match="at least 1"):
            broken(0)


def test_what_a_table_is_keyed_by() -> None:
    tokens = ("a", "b", "a")
    assert TableKey.TOKEN.of(tokens) == ["a", "b", "a"]
    assert TableKey.NEXT_TOKEN.of(tokens) == ["b", "a", None]
    places = TableKey.PLACE.of(tokens)
    assert len(set(places)) == 3
    assert not set(places) & set(TableKey.PLACE.of(("a", "b", "b")))
    assert [key.of(()) for key in TableKey] == [[], [], []]
