"""Reading and replacing neurons equals the plain slow way, in every family."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import weights
from harness.subjects.locate import locate
from harness.subjects.sampling import Sampling
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import Effect, NeuroglossError, Replacement, Subject, Unit

SEQUENCES = [(5, 17, 300, 2, 44), (80, 81, 82, 83, 84), (9, 8, 7), (5, 17, 300, 2, 45), (1,)]
Slow = Callable[[Any, Replacement], Effect]


def captured(model: Any, neuron: Unit, tokens: tuple[int, ...]) -> list[float]:
    """A neuron's activations in a whole forward pass."""
    seen: list[torch.Tensor] = []
    projection = locate(model).projections[neuron.place]
    handle = projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.tensor([tokens]))
    handle.remove()
    values: list[float] = seen[0][0, :, neuron.index].tolist()
    return values


def test_it_is_a_subject_with_a_shape(subject: TransformersSubject) -> None:
    assert isinstance(subject, Subject)
    assert len(subject.units.widths) == 3
    assert set(subject.units.widths) < {48, 64}
    assert subject.identity == weights.identify(subject.name)


def test_nothing_is_loaded_before_it_is_needed(tiny_llama: Path, tmp_path: Path) -> None:
    subject = TransformersSubject(str(tmp_path / "later"))
    shutil.copytree(tiny_llama, tmp_path / "later")
    assert subject.units.widths == (48, 48, 48)


@pytest.mark.parametrize("neuron", [Unit("N", 0, 0), Unit("N", 1, 30), Unit("N", 2, 47)])
def test_reading_equals_a_hook_in_a_whole_pass(subject: TransformersSubject, model: Any, neuron: Unit) -> None:
    found = subject.activations(neuron, SEQUENCES)
    for tokens, values in zip(SEQUENCES, found, strict=True):
        np.testing.assert_allclose(values, captured(model, neuron, tokens), rtol=1e-4, atol=1e-5)


def test_many_neurons_are_read_in_one_pass_in_the_order_asked_for(subject: TransformersSubject, model: Any) -> None:
    neurons = [Unit("N", 2, 5), Unit("N", 0, 7), Unit("N", 2, 1), Unit("N", 0, 7)]
    found = subject.read(neurons, SEQUENCES[:2])
    assert found.shape == (2, 5, 4)
    for place, neuron in enumerate(neurons):
        for row, tokens in enumerate(SEQUENCES[:2]):
            np.testing.assert_allclose(found[row, :, place], captured(model, neuron, tokens), rtol=1e-4, atol=1e-5)


def replacements(seed: int) -> list[Replacement]:
    """Of every layer and length, several on one sequence, with and without leading positions."""
    generator = np.random.default_rng(seed)
    return [
        Replacement(
            Unit("N", layer, int(generator.integers(48))), tokens, tuple(generator.normal(0, 3, len(tokens))), n
        )
        for layer in range(3)
        for tokens in SEQUENCES[:4]
        for n in (0, 1, 2)
    ]


@pytest.mark.slow
def test_effects_equal_whole_passes(subject: TransformersSubject, model: Any, slow_effect: Slow) -> None:
    asked = replacements(0)
    found = dict(subject.effects(asked))
    assert sorted(found) == list(range(len(asked)))
    slow = np.array([dataclasses.astuple(slow_effect(model, one)) for one in asked])
    assert (np.abs(slow).max(axis=0) > 1e-2).all()
    fast = np.array([dataclasses.astuple(found[index]) for index in range(len(asked))])
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-4)  # nats; in parts of the divergence, much closer
    np.testing.assert_allclose(fast[:, 0], slow[:, 0], rtol=1e-3, atol=1e-7)


def test_a_single_token_has_no_next_one_to_lose_on(subject: TransformersSubject) -> None:
    (effect,) = dict(subject.effects([Replacement(Unit("N", 1, 2), (7,), (5.0,))])).values()
    assert math.isnan(effect.loss_change)
    assert effect.divergence > 0


@pytest.mark.slow
@settings(max_examples=settings().max_examples // 10)
@given(seed=st.integers(0, 1000), at_once=st.sampled_from([1, 2, 16]))
def test_a_divergence_does_not_depend_on_its_company(tiny_llama: Path, seed: int, at_once: int) -> None:
    subject = TransformersSubject(str(tiny_llama), batch_size=at_once)
    subject.__dict__["_loaded"] = LOADED.setdefault("llama", weights.load(str(tiny_llama)))
    asked = replacements(seed)[:12]
    together, alone = dict(subject.effects(asked))[5], dict(subject.effects([asked[5]]))[0]
    assert together.divergence == pytest.approx(alone.divergence, rel=1e-4, abs=1e-8)
    assert together.loss_change == pytest.approx(alone.loss_change, abs=1e-5)


LOADED: dict[str, weights.Loaded] = {}


def test_an_activation_in_its_own_place_changes_nothing(subject: TransformersSubject) -> None:
    neuron = Unit("N", 1, 3)
    real = subject.activations(neuron, SEQUENCES)
    own = [Replacement(neuron, one, tuple(values)) for one, values in zip(SEQUENCES, real, strict=True)]
    assert all(abs(effect.divergence) < 1e-9 for _, effect in subject.effects(own))


def test_leading_positions_keep_their_activation(subject: TransformersSubject) -> None:
    neuron, tokens = Unit("N", 1, 3), SEQUENCES[0]
    real = tuple(subject.activations(neuron, [tokens])[0])
    changed = Replacement(neuron, tokens, (99.0, -99.0, *real[2:]), leading=2)
    assert abs(dict(subject.effects([changed]))[0].divergence) < 1e-9


def test_equal_replacements_are_computed_once(subject: TransformersSubject) -> None:
    one = replacements(1)[4]
    found = dict(subject.effects([one, replacements(1)[7], one]))
    assert found[0] == found[2] != found[1]


def test_the_subject_is_as_it_was_after_a_replacement(subject: TransformersSubject) -> None:
    before = subject.activations(Unit("N", 2, 2), SEQUENCES)
    next(iter(subject.effects(replacements(0))))
    after = subject.activations(Unit("N", 2, 2), SEQUENCES)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_no_replacement_needs_no_work(subject: TransformersSubject) -> None:
    assert list(subject.effects([])) == []
    assert subject.activations(Unit("N", 0, 0), []) == []


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize("neuron", [Unit("N", 3, 0), Unit("N", 0, 64)])
def test_an_unknown_neuron_is_refused_with_the_shape(subject: TransformersSubject, neuron: Unit) -> None:
    with pytest.raises(NeuroglossError, match=rf"no neuron {neuron} .*3 layers of {subject.units.widths[0]} neurons"):
        subject.activations(neuron, SEQUENCES)
    with pytest.raises(NeuroglossError, match="no neuron"):
        list(subject.effects([Replacement(neuron, (1, 2), (0.0, 0.0))]))


def test_a_token_of_another_subject_is_refused(subject: TransformersSubject) -> None:
    with pytest.raises(NeuroglossError, match="token id 99999 is outside the"):
        subject.activations(Unit("N", 0, 0), [(1, 99999)])


def test_values_that_do_not_fit_are_refused(subject: TransformersSubject) -> None:
    with pytest.raises(NeuroglossError, match="L0N1 has 1 values for 2 tokens"):
        list(subject.effects([Replacement(Unit("N", 0, 1), (1, 2), (0.0,))]))
    with pytest.raises(NeuroglossError, match="L0N1 holds a value that is not a finite number"):
        list(subject.effects([Replacement(Unit("N", 0, 1), (1, 2), (0.0, float("nan")))]))


def test_a_control_token_in_a_text_is_plain_text(tiny_llama: Path) -> None:
    subject = TransformersSubject(str(tiny_llama))
    tokenizer = subject._loaded.tokenizer
    tokens = subject.encode(f"use {tokenizer.eos_token} to end")
    assert tokenizer.eos_token_id not in tokens
    assert tokenizer.decode(tokens) == f"use {tokenizer.eos_token} to end"


def test_nan_activations_are_refused_with_layer_and_neuron(tiny_gpt2: Path) -> None:
    subject = TransformersSubject(str(tiny_gpt2))
    loaded = weights.load(str(tiny_gpt2))
    subject.__dict__["_loaded"] = loaded
    assert len(subject.units)  # the neurons are found before one of them goes wrong
    loaded.model.transformer.h[1].mlp.c_fc.bias[9] = float("nan")
    with pytest.raises(NeuroglossError, match="layer 1 of GPT2LMHeadModel returns numbers that are not finite"):
        locate(loaded.model)
    with pytest.raises(NeuroglossError, match="L1N9 is not a finite number"):
        subject.read([Unit("N", 1, 8), Unit("N", 1, 9)], SEQUENCES[:2])
    with pytest.raises(NeuroglossError, match="not finite numbers when L1N8 is replaced"):
        list(subject.effects([Replacement(Unit("N", 1, 8), (1, 2), (0.0, 1.0))]))


# ---------------------------------------------------------------------------------------------------------------- text


def test_text_is_tokens_and_back(subject: TransformersSubject) -> None:
    tokens = subject.encode("The harbour lay quiet.")
    assert "".join(map(subject.token_text, tokens)) == "The harbour lay quiet."
    assert max(tokens) < subject.vocabulary


def test_the_prompt_is_no_part_of_sampled_text(tiny_llama: Path, tiny_gpt2: Path) -> None:
    for folder in (tiny_llama, tiny_gpt2):  # with a chat template, and without
        subject = TransformersSubject(str(folder))
        texts = dict(subject.sample(["The boats", "A crate"], Sampling(8, seed=1), lambda *_: None, {}))
        assert sorted(texts) == [0, 1]
        assert all(len(tokens) <= 8 for tokens in texts.values())


@pytest.mark.slow
def test_smollm2_is_read_and_replaced(smollm2: weights.Loaded, slow_effect: Slow) -> None:
    subject = TransformersSubject()
    subject.__dict__["_loaded"] = smollm2
    assert subject.units.widths == (1536,) * 30
    assert subject.identity == smollm2.identity
    neuron, tokens = Unit("N", 17, 1000), subject.encode("The ferry came twice a week, on Monday and on Thursday.")
    np.testing.assert_allclose(
        subject.activations(neuron, [tokens])[0], captured(smollm2.model, neuron, tokens), rtol=1e-3, atol=1e-5
    )
    one = Replacement(neuron, tokens, (4.0,) * len(tokens), leading=1)
    found, slow = dict(subject.effects([one]))[0], slow_effect(smollm2.model, one)
    assert found.divergence == pytest.approx(slow.divergence, rel=1e-3)
    assert found.loss_change == pytest.approx(slow.loss_change, abs=1e-4)
