"""The weights compute the rules: each planted neuron's activation is its rule's, through the real forward pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import weights
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.planted.construction import POSITIONS, layout_of, thresholds
from harness.tasks.planted.draw import draw
from harness.tasks.planted.folder import texts_of
from harness.tasks.planted.rules import WEAKEST, Planted, activations

ABOVE = 1e-4  # rounding in float32


@pytest.fixture(scope="module")
def planted(wordy: Path) -> Planted:
    tokenizer = weights.load_tokenizer(str(wordy))
    return draw(texts_of(tokenizer), lambda text: tokenizer(text)["input_ids"], seed=5, neurons=128)


@pytest.fixture(scope="module")
def subject(planted_folder: Path) -> TransformersSubject:
    return TransformersSubject(str(planted_folder))


def agree(subject: TransformersSubject, planted: Planted, text: tuple[int, ...]) -> None:
    units = [neuron.unit for neuron in planted.neurons]
    real = subject.read(units, [text])[0]
    for place, neuron in enumerate(planted.neurons):
        rule = activations(neuron, text, planted.sets)
        assert np.abs(real[:, place] - rule).max() < ABOVE, (neuron.family, text)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 70), variety=st.integers(1, 60))
def test_each_activation_is_its_rules_on_any_text(
    subject: TransformersSubject, planted: Planted, seed: int, length: int, variety: int
) -> None:
    rng = np.random.default_rng(seed)
    named = sorted({token for name, tokens in planted.sets.items() if name[:9] != "scattered" for token in tokens})
    few = rng.choice(np.array([*named, *rng.integers(0, planted.vocabulary, 40)]), variety)
    agree(subject, planted, tuple(rng.choice(few, length).tolist()))


def test_it_is_so_at_the_end_of_the_longest_text_as_well(subject: TransformersSubject, planted: Planted) -> None:
    rng = np.random.default_rng(1)
    agree(subject, planted, tuple(rng.integers(0, planted.vocabulary, POSITIONS).tolist()))


def test_every_family_fires_in_the_corpus_but_for_the_dead(
    subject: TransformersSubject, planted: Planted, planted_folder: Path
) -> None:
    lines = (planted_folder / "corpus.jsonl").read_text().splitlines()
    texts = [subject.encode(json.loads(line)["text"]) for line in lines]
    excerpts = [text[first : first + 64] for text in texts for first in range(0, len(text) - 63, 64)]
    real = subject.read([neuron.unit for neuron in planted.neurons], excerpts)
    for place, neuron in enumerate(planted.neurons):
        assert (real[:, :, place].max() >= WEAKEST - ABOVE) == (neuron.family != "dead"), neuron


def test_an_output_neuron_promotes_its_words_and_no_other_does(subject: TransformersSubject, planted: Planted) -> None:
    for neuron in planted.neurons:
        if neuron.unit.place == 1 and neuron.cases:
            members = planted.sets[neuron.promotes]
            promoted = subject.output_tokens(neuron.unit, 3).promoted
            texts = {subject.token_text(token) for token in members}
            assert {text for text, _ in promoted} <= texts
            assert neuron.by_output == (not neuron.promotes.startswith("scattered"))


def test_neurons_of_layer_0_write_nothing_but_as_helpers(subject: TransformersSubject, planted: Planted) -> None:
    helpers = len(layout_of(planted).of_previous)
    projection = subject._loaded.model.transformer.h[0].mlp.c_proj.weight
    writing = projection.abs().sum(dim=1).nonzero().flatten().tolist()
    assert len(writing) == helpers
    assert not set(writing) & {neuron.unit.index for neuron in planted.neurons if neuron.unit.place == 0}


def test_thresholds_by_hand(planted: Planted) -> None:
    mixture = next(neuron for neuron in planted.neurons if neuron.family == "mixture")
    first, second = (case.strength for case in mixture.cases)
    (a, b), bias = [weight for _, weight in thresholds(mixture)[0]], thresholds(mixture)[1]
    assert a - b + bias == pytest.approx(first)
    assert b - a + bias == pytest.approx(second)
    assert -a - b + bias == pytest.approx(-min(first, second))
