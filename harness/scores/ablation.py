"""Ablation: does the subject behave the same when a neuron's activation is replaced by its simulation?

This module lists the replacements that a subject has to compute, and turns their effects into scores.

A simulation is compared with silencing the neuron, so that it carries no information about the text. There are three
ways to silence a neuron, and a score for each:

* ``mean``: its mean activation over the corpus at every position, as in Bills et al. 2023; the score ``ablation``;
* ``zero``: 0 at every position; a neuron whose mean is far from 0 loses its bias too;
* ``resample``: its real activations on other text of the corpus. Their distribution is unchanged, and only their
  relation to the text is lost. (The mean may be a value that the neuron never takes by itself.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import cycle, islice

from harness.scores.metrics import ScoreInputError, UndefinedScoreError
from harness.types import Excerpt, ExcerptKind, Replacement, SimulatedExcerpt, Unit


class Way(StrEnum):
    """A way of replacing the neuron's activations."""

    SIMULATION = "simulation"
    MEAN = "mean"
    ZERO = "zero"
    RESAMPLE = "resample"


AGAINST = {"ablation": Way.MEAN, "ablation_zero": Way.ZERO, "ablation_resample": Way.RESAMPLE}
"""Score -> the way of silencing the neuron with which it compares the simulation."""


def requests(  # noqa: PLR0913, PLR0917  # the inputs of a neuron's ablations
    neuron: Unit,
    simulated: Sequence[SimulatedExcerpt],
    mean: float,
    pool: Sequence[Excerpt] = (),
    top: int = 2,
    random: int = 2,
) -> dict[Way, list[Replacement]]:
    """Return the replacements that the subject computes for one explained neuron: each way on each selected excerpt.

    The first ``top`` top and the first ``random`` random excerpts of the valid split are selected. They and the
    silenced activations are the same for every explainer, so a store computes the effects of silencing once.

    Args:
        neuron: the neuron to replace.
        simulated: its simulated excerpts, calibrated to activation units; those of other splits are ignored.
        mean: the neuron's mean activation over the corpus.
        pool: random excerpts of the corpus outside the valid split, for resampling. Each selected excerpt takes the
            scored activations of the next excerpt of the pool, repeated if they are fewer.
        top: number of top excerpts.
        random: number of random excerpts.

    Returns:
        Way -> replacements in the order of the excerpts; without ``resample`` if the pool is empty. Empty if
        a selected excerpt has no token ids or a missing token: the real activation in its place would raise the score.
    """
    selection = _selection(simulated, top, random)
    if not selection or not all(map(_complete, selection)):
        return {}
    values: dict[Way, Iterable[Sequence[float]]] = {
        Way.SIMULATION: (item.calibrated[item.excerpt.scored] for item in selection),
        Way.MEAN: ([mean] * len(item.excerpt.tokens) for item in selection),
        Way.ZERO: ([0.0] * len(item.excerpt.tokens) for item in selection),
    }
    samples = [excerpt.activations[excerpt.scored] for excerpt in pool if excerpt.activations[excerpt.scored]]
    if samples:
        values[Way.RESAMPLE] = islice(cycle(samples), len(selection))
    return {
        way: [_replacement(neuron, item.excerpt, row) for item, row in zip(selection, rows, strict=True)]
        for way, rows in values.items()
    }


def score(simulated: Sequence[float], silenced: Sequence[float]) -> float:
    """Return ``1 - mean(divergence with the simulation) / mean(divergence with the neuron silenced)`` over excerpts.

    Source: Bills et al. 2023, with the neuron silenced at its mean.

    Args:
        simulated: for each excerpt the Jensen-Shannon divergence between the subject's next-token distributions with
            and without the simulation, averaged over positions, at least 0.
        silenced: the same with the neuron silenced.

    Returns:
        1 if the simulation changes nothing, 0 if it is as bad as silencing the neuron, below 0 if it is worse.

    Raises:
        UndefinedScoreError: silencing the neuron changes nothing, so there is nothing to explain.
        ScoreInputError: not two finite divergences for each excerpt.
    """
    if not simulated or len(simulated) != len(silenced) or not all(map(math.isfinite, (*simulated, *silenced))):
        raise ScoreInputError(
            f"ablation needs two finite divergences for each excerpt, but has {list(simulated)} with the simulation "
            f"and {list(silenced)} with the neuron silenced; give the subject's answer to every request."
        )
    total = math.fsum(silenced)
    if total <= 0.0:
        raise UndefinedScoreError("ablation is undefined: silencing the neuron changes nothing.")
    return 1.0 - math.fsum(simulated) / total


def loss_score(simulated: Sequence[float], silenced: Sequence[float]) -> float:
    """Return ``1 - sum|loss change with the simulation| / sum|loss change with the neuron silenced|`` over excerpts.

    It is the share of the neuron's effect on the next-token loss that the simulation preserves. Magnitudes are
    compared: a simulation that lowers the loss has changed the subject too.

    Args:
        simulated: for each excerpt the change in next-token loss with the simulation in place (nats).
        silenced: the same with the neuron silenced.

    Returns:
        A number as :func:`score` returns.

    Raises:
        UndefinedScoreError, ScoreInputError: as for :func:`score`.
    """
    return score([abs(change) for change in simulated], [abs(change) for change in silenced])


def _selection(simulated: Sequence[SimulatedExcerpt], top: int, random: int) -> list[SimulatedExcerpt]:
    valid = [item for item in simulated if item.split == "valid"]
    of_kind = {kind: [item for item in valid if item.excerpt.kind is kind] for kind in ExcerptKind}
    return of_kind[ExcerptKind.TOP][:top] + of_kind[ExcerptKind.RANDOM][:random]


def _complete(item: SimulatedExcerpt) -> bool:
    """Return whether the excerpt has token ids and a calibrated value at every scored position."""
    values = item.calibrated[item.excerpt.scored]
    full_length = len(item.calibrated) == len(item.excerpt.tokens)
    return bool(item.excerpt.token_ids) and full_length and all(map(math.isfinite, values))


def _replacement(neuron: Unit, excerpt: Excerpt, values: Sequence[float]) -> Replacement:
    """Return the replacement by ``values`` at scored positions, repeated if they are fewer; leading ones stay real."""
    scored = len(excerpt.tokens[excerpt.scored])
    activations = excerpt.activations[: excerpt.leading] + tuple(islice(cycle(values), scored))
    return Replacement(neuron, excerpt.token_ids, activations, excerpt.leading)
