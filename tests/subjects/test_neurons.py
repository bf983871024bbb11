"""Neurons are read, replaced and written where the down projection has its input."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.subjects.effects import Replacer
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel

IDS = torch.tensor([[5, 17, 300, 2, 44, 9]])
NEURONS = Neurons()


@pytest.fixture
def partial(model: Any) -> PartialModel:
    return PartialModel(model)


@torch.inference_mode()
def test_a_direction_is_what_a_neuron_adds(partial: PartialModel) -> None:
    directions = NEURONS.direction(partial, 1, [4, 7])
    alone = torch.stack([NEURONS.direction(partial, 1, [index])[0] for index in (4, 7)])
    torch.testing.assert_close(directions, alone)
    outputs = []
    for value in (0.0, 2.0):
        values = torch.zeros(1, 6) + value
        with NEURONS.replace(partial, 1, torch.tensor([7]), values, torch.tensor([1])):
            outputs.append(partial.run(IDS, stop=2))
    difference = (outputs[1] - outputs[0])[0, 1:]
    torch.testing.assert_close(difference, (2 * directions[1]).expand(5, -1), rtol=1e-3, atol=1e-4)
    assert all(Replacer(partial, NEURONS, 1).writes_straight(layer) for layer in range(3))


@torch.inference_mode()
def test_what_was_put_there_is_read(partial: PartialModel) -> None:
    values = torch.arange(6.0)[None]
    activations: list[torch.Tensor] = []
    with (
        NEURONS.replace(partial, 2, torch.tensor([3]), values, torch.tensor([2])),
        NEURONS.read(partial, 2, [3, 4], IDS.shape, lambda layer: activations.append(layer.clone())),
    ):
        partial.run(IDS)
    assert activations[0].shape == (1, 6, 2)
    assert torch.equal(activations[0][0, 2:, 0], values[0, 2:])
    assert not torch.equal(activations[0][0, :2, 0], values[0, :2])


def test_every_layer_has_as_many(partial: PartialModel) -> None:
    widths = NEURONS.units(partial).widths
    assert len(widths) == partial.depth == 3
    assert len(set(widths)) == 1
    assert NEURONS.layers(partial, 1) == range(1, 2)
