"""Heads are what their write says, worked out anew in float64 from attention weights, values and output projection."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.subjects.attending import NAME, find_attention
from harness.subjects.effects import Replacer
from harness.subjects.heads import Heads
from harness.subjects.partial import PartialModel
from harness.types import NeuroglossError
from tests.subjects.families import HYBRID, WITHOUT_HEADS, built

IDS = torch.tensor([[5, 17, 300, 2, 44, 9], [80, 81, 82, 83, 84, 85]])
HEADS = Heads()


@contextmanager
def watched(model: Any) -> Iterator[dict[int, tuple[torch.Tensor, torch.Tensor]]]:
    """Keep (weights, values once for each query head) of each layer, while the model's own eager attention runs."""
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    module = sys.modules[type(model).__module__]
    own = module.eager_attention_forward

    def eager(layer: nn.Module, query: Any, key: Any, value: torch.Tensor, *rest: Any, **keywords: Any) -> Any:
        output, weights = own(layer, query, key, value, *rest, **keywords)
        seen[len(seen)] = (weights, value.repeat_interleave(query.shape[1] // value.shape[1], dim=1))
        return output, weights

    model.set_attn_implementation("eager")
    module.eager_attention_forward = eager
    try:
        yield seen
    finally:
        module.eager_attention_forward = own


def output_weight(projection: Any) -> torch.Tensor:
    """[hidden, heads * size]."""
    weight: torch.Tensor = projection.weight if isinstance(projection, nn.Linear) else projection.weight.T
    return weight


def read(partial: PartialModel, layer: int) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    heads = range(HEADS.units(partial).widths[layer])
    with (
        torch.inference_mode(),
        HEADS.read(partial, layer, heads, IDS.shape, lambda values: seen.append(values.clone())),
    ):
        partial.run(IDS)
    return seen[0]


def test_an_activation_is_the_sum_of_the_lengths_of_a_heads_writes(model: Any) -> None:
    """From every key but the first; the writes of all heads and keys together are what the attention gives."""
    partial, exact = PartialModel(model), copy.deepcopy(model).double()
    attending = find_attention(exact)
    outputs: list[torch.Tensor] = []
    handle = attending.projections[1].register_forward_hook(lambda _, __, output: outputs.append(output))
    with watched(exact) as seen, torch.inference_mode():
        exact(IDS)
    handle.remove()
    weights, values = seen[1]
    heads = weights.shape[1]
    by_head = output_weight(attending.projections[1]).unflatten(1, (heads, -1))  # [hidden, heads, size]
    writes = torch.einsum("bhqk,bhkd,nhd->bhqkn", weights, values, by_head)
    bias = getattr(attending.projections[1], "bias", None)
    total = writes.sum(dim=(1, 3)) + (0 if bias is None else bias)
    torch.testing.assert_close(total.view(2, 6, -1), outputs[0].view(2, 6, -1))
    lengths = writes.norm(dim=-1)
    lengths[..., 0] = 0.0
    torch.testing.assert_close(read(partial, 1).double(), lengths.sum(dim=-1).transpose(1, 2), rtol=1e-4, atol=1e-5)
    pairs: list[torch.Tensor] = []
    with torch.inference_mode(), HEADS.read_pairs(partial, 1, 2, lambda one: pairs.append(one.clone())):
        partial.run(IDS)
    torch.testing.assert_close(pairs[0].double(), lengths[:, 2], rtol=1e-4, atol=1e-5)


def test_the_first_position_is_left_out(model: Any) -> None:
    activations = read(PartialModel(model), 1)
    assert (activations[:, 0] == 0).all()
    assert (activations[:, 1:] > 0).all()


@torch.inference_mode()
def test_replacing_a_head_changes_its_slice_alone_and_keeps_what_it_writes_from_the_first_key(model: Any) -> None:
    partial = PartialModel(model)
    attending = find_attention(model)
    inputs: list[torch.Tensor] = []
    hook = attending.projections[1].register_forward_pre_hook(lambda _, entered: inputs.append(entered[0].clone()))
    weights: list[torch.Tensor] = []
    values: list[torch.Tensor] = []

    def look(shown: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        weights.append(shown)
        values.append(mixed)
        return shown

    with attending.looking(1, look):
        partial.run(IDS)
    silent = torch.zeros(2, 6)
    with HEADS.replace(partial, 1, torch.tensor([2, 2]), silent, torch.tensor([0, 3])):
        partial.run(IDS)
    hook.remove()
    before, after = (
        entered.view(2, 6, 4, -1) for entered in (inputs[0], inputs[-1])
    )  # one run between them is a search
    others = [0, 1, 3]
    assert torch.equal(after[:, :, others], before[:, :, others])
    assert torch.equal(after[1, :3], before[1, :3])  # leading
    of_head = values[0].repeat_interleave(4 // values[0].shape[1], dim=1)[:, 2, 0]  # the first key's value
    expected = weights[0][:, 2, :, :1] * of_head[:, None]
    torch.testing.assert_close(after[0, :, 2], expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after[1, 3:, 2], expected[1, 3:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before[0, 1:, 2], expected[0, 1:], atol=1e-3)


def test_a_model_is_itself_again_afterwards(model: Any) -> None:
    partial = PartialModel(model)
    own = model.config._attn_implementation
    before = model(IDS).logits
    read(partial, 0)
    assert own == model.config._attn_implementation != NAME
    assert torch.equal(model(IDS).logits, before)
    assert HEADS.direction(partial, 1, [0]) is None
    assert not Replacer(partial, HEADS, 1).writes_straight(1)


@pytest.mark.parametrize("name", HYBRID)
def test_where_only_some_layers_attend_only_these_have_heads(name: str) -> None:
    partial = PartialModel(built(name))
    layout = HEADS.units(partial)
    assert [bool(width) for width in layout.widths] == HYBRID[name]
    last = max(layer for layer, attends in enumerate(HYBRID[name]) if attends)
    assert read(partial, last)[:, 1:].min() > 0


@pytest.mark.parametrize("name", WITHOUT_HEADS)
def test_heads_that_cannot_be_read_are_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(NeuroglossError, match=WITHOUT_HEADS[name]):
        HEADS.units(PartialModel(built(name), name))


def test_several_at_a_time_are_each_replaced_by_their_own_values(model: Any) -> None:
    partial = PartialModel(model)
    indices, values = torch.tensor([0, 3]), torch.tensor([[0.5] * 6, [2.0] * 6])
    with torch.inference_mode(), HEADS.replace(partial, 1, indices, values, torch.tensor([0, 0])):
        activations = read(partial, 1).numpy()
    np.testing.assert_allclose(activations[0, 1:, 0], 0.5, rtol=1e-4)
    np.testing.assert_allclose(activations[1, 1:, 3], 2.0, rtol=1e-4)
    np.testing.assert_allclose(activations[0, 1:, 1:], read(partial, 1).numpy()[0, 1:, 1:], rtol=1e-5)
