"""Groups of neurons that we find ourselves, and random ones to compare with.

A *token family* is a list of texts, such as the days of the week. The neurons whose output directions promote it are
those whose logit lens gives its tokens the largest logits, against the mean over the vocabulary. What such a group does
is told from what any group does by random groups of equal size, layers and mean activation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import torch

from harness.subjects.groups import Group
from harness.subjects.neurons import Neurons
from harness.subjects.partial import PartialModel
from harness.types import NeuroglossError, Unit

NEURONS = Neurons()
SHORTLIST = 16
"""For each neuron that is looked for, so many are tried."""
NEAREST = 20
"""Neurons of equal layer and most alike mean activation, of which one is drawn for each of a random group."""


def family_ids(encode: Callable[[str], Sequence[int]], texts: Sequence[str]) -> list[int]:
    """Return the token id of each text of a family.

    Raises:
        NeuroglossError: a text is more than one token of the subject.
    """
    encoded = {text: tuple(encode(text)) for text in texts}
    for text, ids in encoded.items():
        if len(ids) != 1:
            raise NeuroglossError(
                f"{text!r} is {len(ids)} tokens of the subject; name texts of one token, as a rule with a blank before."
            )
    return [ids[0] for ids in encoded.values()]


@torch.inference_mode()
def promoting(model: PartialModel, token_ids: Sequence[int], count: int) -> list[tuple[Unit, float]]:
    """Return the neurons that promote a family of tokens most, and how much, the most first.

    Args:
        model: whose neurons they are.
        token_ids: of the family.
        count: number of neurons.

    Returns:
        (neuron, mean logit of the family less that of the vocabulary, for its output direction at root mean square 1).
        A neuron promotes the family where it is positive, or where it is negative, as the sign says.
    """
    sensitivity = _scores(model, _basis(model), token_ids)
    neurons = NEURONS.units(model)
    products = torch.cat([
        (_unit_length(NEURONS.direction(model, layer, range(width))).float() @ sensitivity.float()).cpu()
        for layer, width in enumerate(neurons.widths)
    ])  # fmt: skip
    order = products.abs().argsort(descending=True, stable=True)[: SHORTLIST * count].tolist()
    shortlist = list(map(neurons.at, order))
    directions = torch.cat([NEURONS.direction(model, unit.place, [unit.index]) for unit in shortlist])
    scores = dict(zip(shortlist, _scores(model, _unit_length(directions), token_ids).tolist(), strict=True))
    return sorted(scores.items(), key=lambda item: -abs(item[1]))[:count]


def _basis(model: PartialModel) -> torch.Tensor:
    """Return a vector along each coordinate [hidden, hidden].

    What one of root mean square 1 does to the logits is the sum of what its coordinates do, but for what the final norm
    takes away and for bounds on logits. So it is good enough for a shortlist.
    """
    direction = NEURONS.direction(model, 0, [0])
    hidden = direction.shape[-1]
    basis: torch.Tensor = torch.eye(hidden, device=model.device, dtype=direction.dtype) / hidden**0.5
    return basis


def _unit_length(directions: torch.Tensor) -> torch.Tensor:
    """Return vectors [vectors, hidden] at root mean square 1."""
    lengths = directions.square().mean(dim=-1, keepdim=True).sqrt()
    vectors: torch.Tensor = directions / lengths.clamp_min(torch.finfo(directions.dtype).tiny)
    return vectors


def _scores(model: PartialModel, vectors: torch.Tensor, token_ids: Sequence[int]) -> torch.Tensor:
    """Return the mean logit of a family less that of the vocabulary, for vectors behind the last layer [vectors].

    Half of the difference between either sign is without the biases.
    """
    toward, away = (
        torch.cat([
            chunk[:, list(token_ids)].mean(dim=-1) - chunk.mean(dim=-1) for _, chunk in model.log_probabilities(states)
        ])
        for states in (vectors, -vectors)
    )  # fmt: skip
    half: torch.Tensor = (toward - away) / 2
    return half


@torch.inference_mode()
def activity(model: PartialModel, layers: Sequence[int], ids: torch.Tensor) -> dict[int, tuple[torch.Tensor, ...]]:
    """Return the mean absolute and the largest absolute activation of each neuron of some layers [neurons], by layer.

    Args:
        model: whose neurons they are.
        layers: which.
        ids: text, as token ids [batch, tokens]; the first position is left out.
    """
    sizes_by_layer: dict[int, tuple[torch.Tensor, ...]] = {}

    def keep(layer: int, values: torch.Tensor) -> None:
        sizes = values[:, 1:].flatten(0, 1).abs()
        sizes_by_layer[layer] = (sizes.mean(dim=0), sizes.amax(dim=0))

    with ExitStack() as hooks:
        for layer in layers:
            every = range(NEURONS.units(model).widths[layer])
            hooks.enter_context(NEURONS.read(model, layer, every, ids.shape, partial(keep, layer)))
        model.run(ids, stop=max(layers) + 1)
    return sizes_by_layer


def weighted(units: Mapping[Unit, float], activations: Mapping[int, tuple[torch.Tensor, ...]]) -> dict[Unit, float]:
    """Return the weight of each unit: its sign over its largest absolute activation; see :func:`activity`."""
    return {
        unit: (1 if sign > 0 else -1) / max(float(activations[unit.place][1][unit.index]), 1e-6)
        for unit, sign in units.items()
    }


def matched(group: Group, activations: Mapping[int, tuple[torch.Tensor, ...]], count: int, seed: int) -> list[Group]:
    """Return random groups of equal size and layers, of neurons that are as active on average; none is in the group.

    Args:
        group: the one to compare with, of neurons.
        activations: of all neurons in its layers; see :func:`activity`.
        count: number of groups.
        seed: of the draws.

    Raises:
        NeuroglossError: the group has units of another kind.
    """
    others = [unit for unit in group.weights if unit.kind != NEURONS.letters]
    if others:
        raise NeuroglossError(f"the group {group.name} has {others[0]}, and random groups are drawn of neurons only.")
    chance = random.Random(seed)
    return [
        Group(
            f"{group.name}-random-{number + 1}", f"as {group.name}, drawn at random", _drawn(group, activations, chance)
        )
        for number in range(count)
    ]


def _drawn(
    group: Group, activations: Mapping[int, tuple[torch.Tensor, ...]], chance: random.Random
) -> dict[Unit, float]:
    """Return a neuron for each of a group, drawn among the nearest of its layer in mean absolute activation."""
    units: dict[Unit, float] = {}
    for unit, weight in group.weights.items():
        means = activations[unit.place][0]
        order = (means - means[unit.index]).abs().argsort(stable=True).tolist()
        candidates = [Unit(unit.kind, unit.place, index) for index in order]
        free = [candidate for candidate in candidates if candidate not in group.weights and candidate not in units]
        units[chance.choice(free[:NEAREST])] = weight
    return weighted(units, activations)
