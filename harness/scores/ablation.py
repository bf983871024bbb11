"""Ablation: does the subject behave the same when a neuron's activation is replaced by its simulation?

This file says which replacements to ask a subject for, and what their effects are worth; it asks nothing itself.

A simulation is held against what is left where the neuron tells the subject nothing of the text. There are three ways
to silence a neuron, and a score for each:

* ``mean``: its mean activation over the corpus at every position, as in Bills et al. 2023; the score ``ablation``;
* ``zero``: 0 at every position; a neuron whose mean is far from 0 loses its bias too;
* ``resample``: its real activations on other text of the corpus, so that their distribution stays as it was and only
  their tie to the text is lost. (At the mean a neuron takes a value that it may never have on its own.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import cycle, islice

from harness.scores.metrics import ScoreInputError, UndefinedScoreError
from harness.types import Excerpt, ExcerptKind, NeuronId, Replacement, SimulatedExcerpt


class Way(StrEnum):
    """What stands in the neuron's place."""

    SIMULATION = "simulation"
    MEAN = "mean"
    ZERO = "zero"
    RESAMPLE = "resample"


AGAINST = {"ablation": Way.MEAN, "ablation_zero": Way.ZERO, "ablation_resample": Way.RESAMPLE}
"""The scores, and the way of silencing the neuron that each holds the simulation against."""


def requests(  # noqa: PLR0913, PLR0917  # what a neuron's ablations are made of
    neuron: NeuronId,
    simulated: Sequence[SimulatedExcerpt],
    mean: float,
    other: Sequence[Excerpt] = (),
    top: int = 2,
    random: int = 2,
) -> dict[Way, list[Replacement]]:
    """What to ask the subject for one explained neuron: each way of replacing it, on each chosen excerpt.

    The chosen excerpts are the first ``top`` top and the first ``random`` random ones of the valid split, the same for
    every explainer; so are the ways of silencing the neuron, which a store therefore asks for once.

    Args:
        neuron: the neuron to replace.
        simulated: its simulated excerpts, calibrated to activation units; those of other splits are passed over.
        mean: the neuron's mean activation over the corpus.
        other: random excerpts of the corpus, none of them a valid one: each chosen excerpt takes the activations of the
            next of them, from its first scored position on, again from there where it is shorter.
        top: number of top excerpts.
        random: number of random excerpts.

    Returns:
        By way, in the same order of excerpts; without ``resample`` where there are no other excerpts. Empty where a
        chosen excerpt has no token ids, or a missing token: to leave the real activation there would flatter the
        simulation.
    """
    chosen = _chosen(simulated, top, random)
    if not chosen or not all(map(_complete, chosen)):
        return {}
    values: dict[Way, Iterable[Sequence[float]]] = {
        Way.SIMULATION: (item.calibrated[item.excerpt.scored] for item in chosen),
        Way.MEAN: ([mean] * len(item.excerpt.tokens) for item in chosen),
        Way.ZERO: ([0.0] * len(item.excerpt.tokens) for item in chosen),
    }
    drawn = [excerpt.activations[excerpt.scored] for excerpt in other if excerpt.activations[excerpt.scored]]
    if drawn:
        values[Way.RESAMPLE] = islice(cycle(drawn), len(chosen))
    return {
        way: [_replacement(neuron, item.excerpt, some) for item, some in zip(chosen, each, strict=True)]
        for way, each in values.items()
    }


def score(simulated: Sequence[float], silenced: Sequence[float]) -> float:
    """``1 - mean(divergence with the simulation) / mean(divergence with the neuron silenced)``, over excerpts.

    Bills et al. 2023, there with the neuron at its mean.

    Args:
        simulated: for each excerpt the average over positions of the Jensen-Shannon divergence between the subject's
            next-token distributions with and without the simulation in place, at least 0.
        silenced: the same with the neuron silenced.

    Returns:
        1 where the simulation changes nothing, 0 where it is no better than silence, below 0 where it is worse.

    Raises:
        UndefinedScoreError: silencing the neuron changes nothing, so there is nothing to explain.
        ScoreInputError: not two finite divergences for each excerpt.
    """
    if not simulated or len(simulated) != len(silenced) or not all(map(math.isfinite, (*simulated, *silenced))):
        raise ScoreInputError(
            f"ablation needs two finite divergences for each excerpt, but has {list(simulated)} with the simulation "
            f"and {list(silenced)} with the neuron silenced; give the subject's answer to every request."
        )
    whole = math.fsum(silenced)
    if whole <= 0.0:
        raise UndefinedScoreError("ablation is undefined: silencing the neuron changes nothing.")
    return 1.0 - math.fsum(simulated) / whole


def loss_score(simulated: Sequence[float], silenced: Sequence[float]) -> float:
    """``1 - sum|change in loss with the simulation| / sum|change in loss with the mean|``, over excerpts.

    How much of what the neuron does to the next-token loss survives. The sizes are compared, not the signs: a
    simulation by which the subject predicts better than by its own activation has changed it all the same.

    Args:
        simulated: for each excerpt the change in next-token loss with the simulation in place (nats).
        silenced: the same with the neuron silenced.

    Returns:
        As :func:`score`, whose errors it raises too.
    """
    return score([abs(change) for change in simulated], [abs(change) for change in silenced])


def _chosen(simulated: Sequence[SimulatedExcerpt], top: int, random: int) -> list[SimulatedExcerpt]:
    valid = [item for item in simulated if item.split == "valid"]
    of_kind = {kind: [item for item in valid if item.excerpt.kind is kind] for kind in ExcerptKind}
    return of_kind[ExcerptKind.TOP][:top] + of_kind[ExcerptKind.RANDOM][:random]


def _complete(item: SimulatedExcerpt) -> bool:
    """Whether the excerpt can be run again, and has a calibrated value at every scored position."""
    values = item.calibrated[item.excerpt.scored]
    whole = len(item.calibrated) == len(item.excerpt.tokens)
    return bool(item.excerpt.token_ids) and whole and all(map(math.isfinite, values))


def _replacement(neuron: NeuronId, excerpt: Excerpt, values: Sequence[float]) -> Replacement:
    """``values`` at the scored positions, again from the first where they are fewer; leading ones keep the real one."""
    scored = len(excerpt.tokens[excerpt.scored])
    kept = excerpt.activations[: excerpt.leading] + tuple(islice(cycle(values), scored))
    return Replacement(neuron, excerpt.token_ids, kept, excerpt.leading)
