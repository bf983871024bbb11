"""Neurons planted in the weights of small models: the vocabulary sees them as they were planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.subjects import views
from harness.subjects.neurons import Neurons
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import NeuroglossError, Replacement, Subject, Unit

NEURON = Unit("N", 1, 5)
TOKENS = (300, 310, 320)


@pytest.fixture
def planted(tiny_llama: Path) -> TransformersSubject:
    """A Llama whose neuron L1N5 is excited by three tokens that stand alone, and promotes the first of them."""
    subject = TransformersSubject(str(tiny_llama))
    model: Any = subject._loaded.model
    layer = model.model.layers[1]
    embeddings = model.model.embed_tokens.weight
    with torch.no_grad():
        layer.self_attn.o_proj.weight.zero_()
        # The pseudo-inverse gives 1 to each of the three tokens and little to the others.
        normed = layer.post_attention_layernorm(embeddings)
        wanted = torch.zeros(len(normed))
        wanted[list(TOKENS)] = torch.tensor([3.0, 2.0, 1.0]) * 100
        reader = torch.linalg.lstsq(normed, wanted[:, None]).solution[:, 0]
        layer.mlp.gate_proj.weight[5] = reader
        layer.mlp.up_proj.weight[5] = reader
        head = model.lm_head.weight / model.model.norm.weight
        layer.mlp.down_proj.weight[:, 5] = head[TOKENS[0]] / head[TOKENS[0]].norm()
    return subject


def test_input_activations_are_those_of_a_token_alone_in_its_layer(planted: TransformersSubject) -> None:
    found = views.activations(planted._model, Neurons(), NEURON)
    model: Any = planted._loaded.model
    layer = model.model.layers[1]
    with torch.inference_mode():
        entering = layer.post_attention_layernorm(model.model.embed_tokens.weight)
        expected = layer.mlp.act_fn(layer.mlp.gate_proj(entering)) * layer.mlp.up_proj(entering)
    torch.testing.assert_close(found, expected[:, 5], rtol=1e-4, atol=1e-4)


def test_input_tokens_name_what_was_planted_first(planted: TransformersSubject) -> None:
    found = planted.input_tokens(NEURON, 5)
    assert found[0][0] == planted.token_text(TOKENS[0])
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    assert len({text for text, _ in found}) == len(found) == 5


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2", "tiny_neox"])
def test_the_lens_is_the_unembedding_of_the_direction(family: str, request: pytest.FixtureRequest) -> None:
    subject = TransformersSubject(str(request.getfixturevalue(family)))
    model: Any = subject._loaded.model
    found = views.lens(subject._model, Neurons(), NEURON)
    direction = Neurons().direction(subject._model, 1, [5])[0]
    down = {
        "tiny_llama": lambda: model.model.layers[1].mlp.down_proj.weight[:, 5],
        "tiny_gpt2": lambda: model.transformer.h[1].mlp.c_proj.weight[5],
        "tiny_neox": lambda: model.gpt_neox.layers[1].mlp.dense_4h_to_h.weight[:, 5],
    }[family]()
    torch.testing.assert_close(direction, down, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        unit = down if family == "tiny_llama" else down - down.mean()
        logits = model.get_output_embeddings()(unit)
    assert torch.corrcoef(torch.stack([found, logits]))[0, 1] > 0.999
    assert abs(float(found.mean())) < 1e-4


def test_output_tokens_name_what_the_neuron_was_made_to_promote(planted: TransformersSubject) -> None:
    found = planted.output_tokens(NEURON, 4)
    assert planted.token_text(TOKENS[0]) in [text for text, _ in found.promoted]
    assert all(value > 0 for _, value in found.promoted)
    assert all(value < 0 for _, value in found.suppressed)
    assert not {text for text, _ in found.promoted} & {text for text, _ in found.suppressed}


def test_a_changed_neuron_moves_the_next_token_as_the_whole_model_says(planted: TransformersSubject) -> None:
    ids = planted.encode(" the harbour lay quiet")
    real = planted.activations(NEURON, [ids])[0]
    same = Replacement(NEURON, ids, tuple(real.tolist()), leading=1)
    assert float(views.changes(planted._model, Neurons(), [same]).abs().max()) < 1e-4
    strong = Replacement(NEURON, ids, (50.0,) * len(ids), leading=1)
    found = views.changes(planted._model, Neurons(), [strong])
    assert float(found[TOKENS[0]]) == pytest.approx(float(found.max()), rel=0.5)
    assert planted.token_text(TOKENS[0]) in [text for text, _ in planted.changed_tokens([strong], 3).promoted]


def test_tokens_without_a_name_or_above_zero_are_passed_over() -> None:
    values = torch.tensor([3.0, 5.0, 4.0, 0.0, -1.0, 2.0])
    names = {0: "a", 1: None, 2: "b", 3: "c", 4: "d", 5: "a"}
    assert views.largest(values, 9, names.get) == (("b", 4.0), ("a", 3.0))
    assert views.largest(values, 1, names.get) == (("b", 4.0),)
    found = views.effects(values, 9, names.get)
    assert found.suppressed == (("d", -1.0),)


def test_a_neuron_that_is_not_there_is_refused(tiny_llama: Path) -> None:
    subject = TransformersSubject(str(tiny_llama))
    assert isinstance(subject, Subject)
    for ask in (subject.input_tokens, subject.output_tokens):
        with pytest.raises(NeuroglossError, match="there is no neuron L9N0"):
            ask(Unit("N", 9, 0), 3)
