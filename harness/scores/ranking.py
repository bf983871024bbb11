"""Scores of simulated activations as classifiers of the tokens on which a unit fires.

AUROC and AUPRC depend on the order of the simulated values only, F1 on their side of a threshold only. They are
undefined if no token fires; AUROC and AUPRC also if all do. ``weights`` are as in :mod:`harness.scores.metrics`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.scores.metrics import ScoreInputError, UndefinedScoreError, mid_ranks, vector, weights_of
from harness.types import FloatArray

BoolArray = npt.NDArray[np.bool_]


def auroc(active: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the probability that an active token is ranked above an inactive one; a tie counts one half.

    It is ``(sum_i w_i R_i - A^2 / 2) / (A N)`` over active tokens i, with A and N the weights of the active and of the
    inactive tokens, and R the weighted mid-ranks (the Mann-Whitney statistic).

    Args:
        active: whether each token fires [tokens].
        simulated: simulated activations [tokens], in any unit.
        weights: weight of each token [tokens].

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
    """Return the average precision: ``sum_k (R_k - R_(k-1)) P_k`` over the distinct simulated values k, highest first.

    ``P_k`` and ``R_k`` are precision and recall of the tokens with a simulated value of at least k, so that tied tokens
    enter together.

    Args:
        active: whether each token fires [tokens].
        simulated: simulated activations [tokens], in any unit.
        weights: weight of each token [tokens].

    Returns:
        A number in (0, 1]. Chance level is the share of tokens that fire: a constant simulation gets it exactly, a
        random one about.

    Raises:
        UndefinedScoreError: no token fires, or all do.
        ScoreInputError: as for :func:`auroc`.
    """
    fires, s, w = _sides("auprc", active, simulated, weights)
    _check_both("auprc", fires)
    return _average_precision(fires, s, w)


def auprc_balanced(active: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the :func:`auprc` that there would be if half of the tokens were active: both halves weigh the same.

    Chance level is one half whatever the share of tokens that fire, so that units, and subjects, can be compared.

    Args:
        active: whether each token fires [tokens].
        simulated: simulated activations [tokens], in any unit.
        weights: weight of each token [tokens].

    Returns:
        A number in (0, 1]; 0.5 for a constant simulation.

    Raises:
        UndefinedScoreError: no token fires, or all do.
        ScoreInputError: as for :func:`auroc`.
    """
    fires, s, w = _sides("auprc_balanced", active, simulated, weights)
    _check_both("auprc_balanced", fires)
    return _average_precision(fires, s, np.where(fires, w / w[fires].sum(), w / w[~fires].sum()))


def _average_precision(fires: BoolArray, s: FloatArray, w: FloatArray) -> float:
    order = np.argsort(-s, kind="stable")
    hits, totals = np.cumsum((w * fires)[order]), np.cumsum(w[order])
    ends = np.flatnonzero(np.append(np.diff(s[order]) != 0, True))  # the last token of each distinct value
    precision, recall = hits[ends] / totals[ends], hits[ends] / hits[-1]
    return float(np.clip(np.sum(np.diff(recall, prepend=0.0) * precision), 0.0, 1.0))


def f1(active: npt.ArrayLike, predicted: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the harmonic mean of precision and recall: ``2 TP / (2 TP + FP + FN)``.

    Args:
        active: whether each token fires [tokens].
        predicted: whether the simulation fires [tokens].
        weights: weight of each token [tokens].

    Returns:
        A number in [0, 1]; 0 for a simulation that never fires, ``2 p / (1 + p)`` for one that always does, with p the
        share of tokens that fire.

    Raises:
        UndefinedScoreError: no token fires.
        ScoreInputError: as for :func:`auroc`.
    """
    fires, guess, w = _sides("f1", active, np.asarray(predicted, dtype=bool), weights)
    if not fires.any():
        raise UndefinedScoreError("f1 is undefined where no token fires.")
    positive = guess > 0
    hits = float(w[fires & positive].sum())
    return 2 * hits / float(w[fires].sum() + w[positive].sum())


def _sides(
    name: str, active: npt.ArrayLike, simulated: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Return activity, simulated activations and weights of the tokens with a positive weight."""
    fires, s = np.asarray(active, dtype=bool), vector("simulated", simulated)
    if fires.shape != s.shape:
        raise ScoreInputError(f"{name} has {fires.size} tokens but {s.size} simulated values; each token needs one.")
    if weights is None:
        return fires, s, np.ones(s.size)
    w = weights_of(s.size, weights)
    positive = w > 0
    return fires[positive], s[positive], w[positive]


def _check_both(name: str, fires: BoolArray) -> None:
    if not 0 < fires.sum() < fires.size:
        raise UndefinedScoreError(f"{name} is undefined where no token fires, or all do.")
