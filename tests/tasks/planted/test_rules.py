"""Rules as functions of token ids, by hand."""

from __future__ import annotations

from harness.tasks.planted.rules import (
    Conjunction,
    Feature,
    Literal,
    PlantedNeuron,
    Source,
    activations,
    feature_values,
)
from harness.types import Unit

SETS = {"a": frozenset({1, 2}), "b": frozenset({3})}
TEXT = (1, 3, 1, 2, 3, 5, 5, 5, 5, 1)


def truth(source: Source, tokens: str = "") -> list[int]:
    return [int(value) for value in feature_values(Feature(source, tokens), TEXT, SETS)]


def test_features_by_hand() -> None:
    assert truth(Source.TOKEN, "a") == [1, 0, 1, 1, 0, 0, 0, 0, 0, 1]
    assert truth(Source.PREVIOUS, "a") == [0, 1, 0, 1, 1, 0, 0, 0, 0, 0]
    assert truth(Source.FIRST) == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert truth(Source.EARLY) == [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert truth(Source.REPEATED) == [0, 0, 1, 0, 1, 0, 1, 1, 1, 1]


def test_a_rule_holds_where_all_its_literals_do_or_one_of_its_cases() -> None:
    after_a, not_after_a = (Literal(Feature(Source.PREVIOUS, "a"), holds) for holds in (True, False))
    of_a, of_b = (Literal(Feature(Source.TOKEN, name)) for name in "ab")
    bigram = PlantedNeuron(Unit("N", 1, 0), "bigram", (Conjunction((after_a, of_b), 7.0),), "", ())
    assert activations(bigram, TEXT, SETS).tolist() == [0, 7, 0, 0, 7, 0, 0, 0, 0, 0]
    negation = PlantedNeuron(Unit("N", 1, 0), "negation", (Conjunction((of_a, not_after_a), 6.0),), "", ())
    assert activations(negation, TEXT, SETS).tolist() == [6, 0, 6, 0, 0, 0, 0, 0, 0, 6]
    cases = (Conjunction((of_a,), 6.0), Conjunction((of_b,), 9.0))
    mixture = PlantedNeuron(Unit("N", 1, 0), "mixture", cases, "", ())
    assert activations(mixture, TEXT, SETS).tolist() == [6, 9, 6, 6, 9, 0, 0, 0, 0, 6]
    assert activations(PlantedNeuron(Unit("N", 1, 0), "dead", (), "", ()), TEXT, SETS).tolist() == [0] * 10
