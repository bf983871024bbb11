"""How well simulated activations tell the tokens that fire from those that do not: "is this token active" by ``s``.

AUROC and AUPRC read only the order of the simulated values, F1 only on which side of a threshold they lie. All are
undefined where no token fires; AUROC and AUPRC also where all do. ``weights`` are as in :mod:`harness.scores.metrics`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.scores.metrics import ScoreInputError, UndefinedScoreError, mid_ranks, vector, weights_of
from harness.types import FloatArray

BoolArray = npt.NDArray[np.bool_]


def auroc(active: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The chance that an active token is ranked above an inactive one, ties counting one half.

    ``(sum_i w_i R_i - A^2 / 2) / (A N)`` over active tokens i, with A and N the weight of the active and the inactive
    ones and R the weighted mid-ranks (the Mann-Whitney statistic).

    Args:
        active: whether each token fires [tokens].
        simulated: simulated activations [tokens], in any unit.
        weights: how much each token counts [tokens].

    Returns:
        A number in [0, 1]; 0.5 for a constant simulation.

    Raises:
        UndefinedScoreError: no token fires, or all do.
        ScoreInputError: unequal lengths, NaN or infinity, or a negative weight.
    """
    fires, s, w = _sides("auroc", active, simulated, weights)
    _check_both("auroc", fires)
    yes, no = w[fires].sum(), w[~fires].sum()
    return float(np.clip(((w * mid_ranks(s, w))[fires].sum() - yes**2 / 2) / (yes * no), 0.0, 1.0))


def auprc(active: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Average precision: ``sum_k (R_k - R_(k-1)) P_k`` over the distinct simulated values k, highest first.

    ``P_k`` and ``R_k`` are precision and recall of the tokens that are simulated at least as high, so that tied tokens
    come in together, in no order of their own.

    Args:
        active: whether each token fires [tokens].
        simulated: simulated activations [tokens], in any unit.
        weights: how much each token counts [tokens].

    Returns:
        A number in (0, 1]; the share of tokens that fire for a constant simulation, and about that for a meaningless
        one: read it from there, not from 0.

    Raises:
        UndefinedScoreError: no token fires, or all do.
        ScoreInputError: as for :func:`auroc`.
    """
    fires, s, w = _sides("auprc", active, simulated, weights)
    _check_both("auprc", fires)
    order = np.argsort(-s, kind="stable")
    hits, chosen = np.cumsum((w * fires)[order]), np.cumsum(w[order])
    ends = np.flatnonzero(np.append(np.diff(s[order]) != 0, True))  # the last token of each distinct value
    precision, recall = hits[ends] / chosen[ends], hits[ends] / hits[-1]
    return float(np.clip(np.sum(np.diff(recall, prepend=0.0) * precision), 0.0, 1.0))


def f1(active: npt.ArrayLike, predicted: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The harmonic mean of precision and recall: ``2 TP / (2 TP + FP + FN)``.

    Args:
        active: whether each token fires [tokens].
        predicted: whether its simulation does [tokens].
        weights: how much each token counts [tokens].

    Returns:
        A number in [0, 1]; 0 for a simulation that never fires, and ``2 p / (1 + p)`` for one that always does, where p
        is the share of tokens that fire.

    Raises:
        UndefinedScoreError: no token fires.
        ScoreInputError: as for :func:`auroc`.
    """
    fires, guess, w = _sides("f1", active, np.asarray(predicted, dtype=bool), weights)
    if not fires.any():
        raise UndefinedScoreError("f1 is undefined where no token fires.")
    chosen = guess > 0
    both = float(w[fires & chosen].sum())
    return 2 * both / float(w[fires].sum() + w[chosen].sum())


def _sides(
    name: str, active: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Who fires, the simulation and the weight of the tokens that have one."""
    fires, s = np.asarray(active, dtype=bool), vector("simulated", simulated)
    if fires.shape != s.shape:
        raise ScoreInputError(f"{name} has {fires.size} tokens but {s.size} simulated values; each token needs one.")
    if weights is None:
        return fires, s, np.ones(s.size)
    w = weights_of(s.size, weights)
    kept = w > 0
    return fires[kept], s[kept], w[kept]


def _check_both(name: str, fires: BoolArray) -> None:
    if not 0 < fires.sum() < fires.size:
        raise UndefinedScoreError(f"{name} is undefined where no token fires, or all do.")
