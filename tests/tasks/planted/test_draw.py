"""What is drawn: every family, by the seed alone, with words that stand in one set only."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.tasks.planted.draw import CLASSES_NEEDED, alternatives, draw, vocabulary
from harness.tasks.planted.rules import Planted
from harness.types import NeuroglossError

WORDS = [word for group in ("classes", "endings") for words in vocabulary()[group].values() for word in words]
TOKENS = [text for word in WORDS for text in (f" {word}", word)]
FAMILIES = {
    *("token set", "mixture", "suffix", "bigram", "negation"),
    *("conjunction", "position", "induction", "output", "dead"),
}


def encode(text: str) -> Sequence[int]:
    return [TOKENS.index(text)] if text in TOKENS else [0, 0]


def drawn(seed: int = 3, neurons: int = 128) -> Planted:
    return draw(TOKENS, encode, seed, neurons)


def test_words_stand_in_one_class_only_and_suffixes_are_those_of_their_words() -> None:
    assert len(WORDS) == len(set(WORDS))
    for ending, words in vocabulary()["endings"].items():
        assert all(word.endswith(ending) for word in words)
    assert len(vocabulary()["classes"]) >= CLASSES_NEEDED


def test_every_family_is_drawn_and_each_unit_once() -> None:
    planted = drawn()
    assert {neuron.family for neuron in planted.neurons} == FAMILIES
    units = [neuron.unit for neuron in planted.neurons]
    assert units == sorted(set(units))
    assert {unit.place for unit in units} == {0, 1}


def test_the_same_seed_draws_the_same_and_another_one_other_words_strengths_and_places() -> None:
    assert drawn(3) == drawn(3)
    first, second = drawn(3), drawn(4)
    assert {neuron.truth for neuron in first.neurons} != {neuron.truth for neuron in second.neurons}
    assert [neuron.unit for neuron in first.neurons] != [neuron.unit for neuron in second.neurons]


def test_a_truth_names_what_its_neuron_fires_on_and_no_near_miss_is_true() -> None:
    planted = drawn()
    for neuron in planted.neurons:
        assert neuron.truth not in neuron.near
        if neuron.family == "token set":
            (case,) = neuron.cases
            tokens = planted.sets[case.literals[0].feature.tokens]
            words = {TOKENS[token].strip() for token in tokens}
            assert len(tokens) == 2 * len(words)  # with a space and without
            assert all(f'"{word}"' in neuron.truth for word in words)
            assert not any(f'"{word}"' in near for word in words for near in neuron.near)


def test_only_output_neurons_are_explained_by_what_they_promote() -> None:
    for neuron in drawn().neurons:
        assert neuron.by_output == (neuron.family == "output")
        assert neuron.by_output == neuron.truth.startswith("makes ")


def test_alternatives_are_quoted() -> None:
    assert alternatives(["a"]) == '"a"'
    assert alternatives(["a", "b", "c"]) == '"a", "b" or "c"'


def test_a_tokenizer_without_the_words_and_a_narrow_layer_are_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"^the tokenizer has only 0 classes with 6 words that are single tokens"):
        draw(["a"], lambda _: [0, 0], 0, 128)
    with pytest.raises(NeuroglossError, match=r"^neurons is 4, and \d+ are planted in layer 0; raise it\."):
        drawn(neurons=4)
