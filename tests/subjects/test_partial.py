"""A model run in parts gives what it gives as a whole, and is itself again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, Gemma2Config, GPTJConfig, OPTConfig

from harness.subjects.effects import Replacer
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import Effect, Replacement, Unit

Slow = Callable[[Any, Replacement], Effect]

IDS = torch.tensor([[5, 17, 300, 2, 44, 9], [80, 81, 82, 83, 84, 85]])


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def whole(model: Any) -> torch.Tensor:
    log_probabilities: torch.Tensor = model(input_ids=IDS).logits.log_softmax(-1)
    return log_probabilities


def end(partial: PartialModel, final: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.cat([few for _, few in partial.log_probabilities(row)]) for row in final])


@pytest.mark.parametrize("start", [0, 1, 2])
def test_two_parts_make_the_whole(model: Any, start: int) -> None:
    partial = PartialModel(model)
    residual: dict[int, torch.Tensor] = {}
    with partial.keeping_input(start, residual):
        first = partial.run(IDS)
    second = partial.run(torch.zeros_like(IDS) if start else IDS, start=start, residual=residual[start])
    torch.testing.assert_close(second, first)
    torch.testing.assert_close(end(partial, second), whole(model), rtol=1e-5, atol=1e-5)


def test_layers_above_stop_stand_aside(model: Any) -> None:
    partial = PartialModel(model)
    residual: dict[int, torch.Tensor] = {}
    with partial.keeping_input(2, residual):
        partial.run(IDS)
    torch.testing.assert_close(partial.run(IDS, stop=2), residual[2])


def test_long_sequences_are_unembedded_in_turn(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.subjects.partial.LOGITS_AT_ONCE", 2 * model.config.vocab_size)
    monkeypatch.setattr("harness.subjects.partial.LOGITS_HANDED_ON", model.config.vocab_size)
    partial = PartialModel(model)
    torch.testing.assert_close(end(partial, partial.run(IDS)), whole(model), rtol=1e-5, atol=1e-5)
    pieces = [some for some, _ in partial.log_probabilities(partial.run(IDS)[0])]
    assert pieces == [slice(position, position + 1) for position in range(6)]


def test_an_error_on_the_way_leaves_the_model_whole(model: Any) -> None:
    partial, before = PartialModel(model), whole(model)
    with pytest.raises((IndexError, RuntimeError)):
        partial.run(IDS, start=1, stop=2, residual=torch.zeros(2, 6, 5))
    assert torch.equal(whole(model), before)


SIZES = {"vocab_size": 310, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
OTHERS = {
    "layers that return tuples": GPTJConfig(vocab_size=310, n_embd=16, n_layer=3, n_head=2, rotary_dim=4),
    "alibi, and tuples": BloomConfig(vocab_size=310, hidden_size=16, n_layer=3, n_head=2),
    "layers of two kinds, and capped logits": Gemma2Config(
        **SIZES, intermediate_size=24, num_key_value_heads=1, head_dim=8, sliding_window=3, final_logit_softcapping=3.0
    ),
    "positions from the mask": OPTConfig(**SIZES, ffn_dim=24, word_embed_proj_dim=16, max_position_embeddings=32),
}


def made(name: str) -> Any:
    """A model with the same random weights each time, large enough for a neuron to matter."""
    config = OTHERS[name]
    config.bos_token_id = config.eos_token_id = config.pad_token_id = 0
    config.initializer_range = 0.3
    with torch.inference_mode(False), torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("name", OTHERS)
def test_other_ways_of_building_a_decoder(name: str) -> None:
    model = made(name)
    partial = PartialModel(model)
    residual: dict[int, torch.Tensor] = {}
    with partial.keeping_input(2, residual):
        first = partial.run(IDS)
    torch.testing.assert_close(partial.run(IDS, start=2, residual=residual[2]), first)
    torch.testing.assert_close(end(partial, first), whole(model), rtol=1e-4, atol=1e-4)
    straight = [Replacer(partial, Neurons(), 1).writes_straight(layer) for layer in range(3)]
    assert straight == [not isinstance(model.config, Gemma2Config)] * 3  # which normalises what a layer writes


@pytest.mark.parametrize("name", ["layers of two kinds, and capped logits", "layers that return tuples"])
def test_replacing_in_either_kind_of_layer_equals_a_whole_pass(name: str, slow_effect: Slow) -> None:
    subject, model = TransformersSubject("made here"), made(name)
    subject.__dict__.update(_model=PartialModel(model))
    asked = [
        Replacement(Unit("N", layer, 5 * layer + 1), tuple(tokens), (3.0, -2.0, 1.0, 0.0, 4.0, -5.0), layer)
        for layer in range(3)
        for tokens in IDS.tolist()
    ]
    found = dict(subject.effects(asked))
    for index, one in enumerate(asked):
        slow = slow_effect(model, one)
        assert found[index].divergence == pytest.approx(slow.divergence, abs=1e-4)
        assert found[index].loss_change == pytest.approx(slow.loss_change, abs=1e-4)
        assert slow.divergence > 1e-3
