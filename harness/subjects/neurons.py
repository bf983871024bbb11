"""Which neurons a task is made of: candidates are drawn before the corpus is read, and the dead ones replaced after.

Whether a neuron fires is known only at the end of the one pass over the corpus. So each strategy names, group by group,
more candidates than it wants, in the order in which they are taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.types import NeuroglossError, NeuronId


@dataclass(frozen=True, slots=True)
class Candidates:
    """The first ``wanted`` of ``neurons`` that fire are taken, all that fire where it is None.

    With ``by_activity`` those taken are spread evenly over all that fire, in the order of how often they do.
    """

    wanted: int | None
    neurons: tuple[NeuronId, ...]
    by_activity: bool = False


class NeuronSample(Protocol):
    """A strategy for drawing neurons."""

    def candidates(self, shape: tuple[int, int]) -> list[Candidates]:
        """Groups of candidates in a model of ``shape`` (layers, neurons in each layer); no neuron stands in two."""
        ...


class Stratified:
    """As many neurons of each layer, drawn uniformly.

    Args:
        per_layer: how many of each layer.
        spares: how many more are read for each one wanted, to take the places of those that never fire.
        seed: decides the draw, layer by layer.
    """

    def __init__(self, per_layer: int = 1, spares: int = 3, seed: int = 0) -> None:
        _check_least(1, per_layer=per_layer)
        _check_least(0, spares=spares, seed=seed)
        self.per_layer = per_layer
        self.spares = spares
        self.seed = seed

    def candidates(self, shape: tuple[int, int]) -> list[Candidates]:
        """One group for each layer."""
        layers, width = shape
        return [_drawn(layer, self.per_layer, self.spares, width, self.seed) for layer in range(layers)]


class Uniform:
    """Neurons drawn uniformly from the whole model.

    Args:
        neurons: how many.
        spares: how many more are read in the same layer for each one wanted.
        seed: decides the draw.
    """

    def __init__(self, neurons: int = 30, spares: int = 3, seed: int = 0) -> None:
        _check_least(1, neurons=neurons)
        _check_least(0, spares=spares, seed=seed)
        self.neurons = neurons
        self.spares = spares
        self.seed = seed

    def candidates(self, shape: tuple[int, int]) -> list[Candidates]:
        """One group for each layer that the draw has hit."""
        layers, width = shape
        _check_enough(shape, neurons=self.neurons)
        places = np.random.default_rng(self.seed).permutation(layers * width)[: self.neurons]
        wanted = np.bincount(places // width, minlength=layers).tolist()
        return [_drawn(layer, count, self.spares, width, self.seed) for layer, count in enumerate(wanted) if count]


class ByActivity:
    """Neurons of every degree of activity: spread evenly over candidates in the order of how often they fire.

    Args:
        neurons: how many.
        candidates: how many are drawn uniformly from the whole model, and read.
        seed: decides that draw.
    """

    def __init__(self, neurons: int = 30, candidates: int = 300, seed: int = 0) -> None:
        if not 0 < neurons <= candidates:
            raise NeuroglossError(f"sample.neurons is {neurons} of {candidates} candidates; give more candidates.")
        _check_least(0, seed=seed)
        self.neurons = neurons
        self.drawn = candidates
        self.seed = seed

    def candidates(self, shape: tuple[int, int]) -> list[Candidates]:
        """One group of all candidates."""
        layers, width = shape
        _check_enough(shape, candidates=self.drawn)
        places = np.random.default_rng(self.seed).permutation(layers * width)[: self.drawn].tolist()
        found = tuple(NeuronId(place // width, place % width) for place in places)
        return [Candidates(self.neurons, found, by_activity=True)]


class All:
    """Every neuron of the model that fires."""

    def candidates(self, shape: tuple[int, int]) -> list[Candidates]:
        """One group for each layer."""
        layers, width = shape
        return [Candidates(None, tuple(NeuronId(layer, index) for index in range(width))) for layer in range(layers)]


class Listed:
    """Neurons named one by one; one that never fires is an error.

    Args:
        ids: for example ``[L0N12, L3N45]``.
    """

    def __init__(self, ids: list[str]) -> None:
        if not ids:
            raise NeuroglossError("sample.ids names no neuron; write for example sample.ids=[L0N12,L3N45].")
        self.ids = ids

    def candidates(self, shape: tuple[int, int]) -> list[Candidates]:  # noqa: ARG002  # the subject refuses unknown ones
        """One group for each neuron."""
        named = dict.fromkeys(NeuronId.parse(text) for text in self.ids)
        return [Candidates(1, (neuron,)) for neuron in named]


def choose(groups: Sequence[Candidates], activity: Mapping[NeuronId, float]) -> tuple[list[NeuronId], list[NeuronId]]:
    """Take the first of each group that fire.

    Args:
        groups: the candidates.
        activity: how often each neuron that fires does; those that hardly do are not in it.

    Returns:
        (those taken, in the order of layers; those passed over because they do not fire).

    Raises:
        NeuroglossError: a group has too few that fire; its layer is named.
    """
    taken: list[NeuronId] = []
    passed: list[NeuronId] = []
    for group in groups:
        living = [neuron for neuron in group.neurons if neuron in activity]
        wanted = len(living) if group.wanted is None else group.wanted
        if len(living) < wanted:
            raise NeuroglossError(
                f"only {len(living)} of {len(group.neurons)} candidates in layer {group.neurons[0].layer} "
                f"({', '.join(map(str, group.neurons[:4]))}) fire on enough excerpts, and {wanted} are wanted; "
                "use a larger corpus or raise sample.spares."
            )
        chosen = _spread(living, activity, wanted) if group.by_activity else living[:wanted]
        every = group.by_activity or group.wanted is None
        looked_at = group.neurons if every or not chosen else group.neurons[: group.neurons.index(chosen[-1])]
        passed.extend(neuron for neuron in looked_at if neuron not in activity)
        taken.extend(chosen)
    return sorted(taken), passed


def _spread(living: Sequence[NeuronId], activity: Mapping[NeuronId, float], wanted: int) -> list[NeuronId]:
    ordered = sorted(living, key=lambda neuron: (activity[neuron], neuron))
    return [ordered[int((place + 0.5) * len(ordered) / wanted)] for place in range(wanted)]


def _check_least(least: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < least:
            raise NeuroglossError(f"sample.{name} is {value}; write at least {least}.")


def _check_enough(shape: tuple[int, int], **wanted: int) -> None:
    layers, width = shape
    for name, value in wanted.items():
        if value > layers * width:
            raise NeuroglossError(f"the subject has {layers * width} neurons; lower sample.{name} to at most that.")


def _drawn(layer: int, wanted: int, spares: int, width: int, seed: int) -> Candidates:
    """Candidates of one layer, in an order that depends on the seed and the layer alone."""
    if wanted > width:
        raise NeuroglossError(f"{wanted} neurons are wanted in layer {layer}, which has {width}; correct sample.")
    order = np.random.default_rng((seed, layer)).permutation(width)[: wanted * (1 + spares)]
    return Candidates(wanted, tuple(NeuronId(layer, int(index)) for index in order))
