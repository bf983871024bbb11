"""Ablation: does the subject behave the same when a neuron's activation is replaced by its simulation?

This file says which replacements to ask a subject for, and what their divergences are worth; it asks nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.scores.metrics import ScoreInputError, UndefinedScoreError
from harness.types import Excerpt, ExcerptKind, NeuronId, Replacement, SimulatedExcerpt


def requests(
    neuron: NeuronId, simulated: Sequence[SimulatedExcerpt], mean: float, top: int = 2, random: int = 2
) -> list[Replacement]:
    """What to ask the subject for one explained neuron: its simulation on each chosen excerpt, then its mean on each.

    The chosen excerpts are the first ``top`` top and the first ``random`` random ones of the valid split, the same for
    every explainer; so are the mean-ablations, which a store therefore asks for once.

    Args:
        neuron: the neuron to replace.
        simulated: its simulated excerpts, calibrated to activation units; those of other splits are passed over.
        mean: the neuron's mean activation over the corpus.
        top: number of top excerpts.
        random: number of random excerpts.

    Returns:
        First the simulations, then the mean-ablations, in the same order of excerpts. Empty where a chosen excerpt has
        no token ids, or a missing token: to leave the real activation there would flatter the simulation.
    """
    chosen = _chosen(simulated, top, random)
    if not all(map(_complete, chosen)):
        return []
    simulations = [_replacement(neuron, item.excerpt, item.calibrated) for item in chosen]
    ablations = [_replacement(neuron, item.excerpt, (mean,) * len(item.excerpt.tokens)) for item in chosen]
    return simulations + ablations


def score(divergences: Sequence[float]) -> float:
    """``1 - mean(divergence with the simulation) / mean(divergence with the mean)``, over excerpts (Bills et al. 2023).

    Args:
        divergences: the subject's answers in the order of :func:`requests`: the average over positions of the
            Jensen-Shannon divergence between its next-token distributions with and without the replacement.

    Returns:
        1 where the simulation changes nothing, 0 where it is no better than the mean, below 0 where it is worse.

    Raises:
        UndefinedScoreError: mean-ablation changes nothing, so there is nothing to explain.
        ScoreInputError: not two finite divergences for each excerpt.
    """
    if not divergences or len(divergences) % 2 or not all(map(math.isfinite, divergences)):
        raise ScoreInputError(
            f"ablation needs two finite divergences for each excerpt, but has {list(divergences)}; "
            "give the subject's answers in the order of the requests."
        )
    half = len(divergences) // 2
    simulation, ablation = math.fsum(divergences[:half]), math.fsum(divergences[half:])
    if ablation <= 0.0:
        raise UndefinedScoreError("ablation is undefined: replacing the neuron by its mean changes nothing.")
    return 1.0 - simulation / ablation


def _chosen(simulated: Sequence[SimulatedExcerpt], top: int, random: int) -> list[SimulatedExcerpt]:
    valid = [item for item in simulated if item.split == "valid"]
    of_kind = {kind: [item for item in valid if item.excerpt.kind is kind] for kind in ExcerptKind}
    return of_kind[ExcerptKind.TOP][:top] + of_kind[ExcerptKind.RANDOM][:random]


def _complete(item: SimulatedExcerpt) -> bool:
    """Whether the excerpt can be run again, and has a calibrated value at every scored position."""
    values = item.calibrated[item.excerpt.scored]
    whole = len(item.calibrated) == len(item.excerpt.tokens)
    return bool(item.excerpt.token_ids) and whole and all(map(math.isfinite, values))


def _replacement(neuron: NeuronId, excerpt: Excerpt, values: tuple[float, ...]) -> Replacement:
    """``values`` at the scored positions; the leading ones keep, and so are given, their real activation."""
    kept = excerpt.activations[: excerpt.leading] + values[excerpt.leading :]
    return Replacement(neuron, excerpt.token_ids, kept, excerpt.leading)
