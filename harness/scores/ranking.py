"""How well simulated activations rank the tokens that fire above those that do not: "is this token active" by ``s``.

Both scores read only the order of the simulated values. They are undefined where no token fires, or all do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.scores.metrics import ScoreInputError, UndefinedScoreError
from harness.types import FloatArray


def auroc(active: npt.ArrayLike, simulated: npt.ArrayLike) -> float:
    """The chance that an active token is ranked above an inactive one, ties counting one half.

    ``(R - n(n + 1)/2) / (n m)`` for n active and m inactive tokens, R the sum of the active ones' mid-ranks (the
    Mann-Whitney statistic).

    Args:
        active: whether each token fires [tokens].
        simulated: simulated activations [tokens], in any unit.

    Raises:
        UndefinedScoreError: no token fires, or all do.
        ScoreInputError: unequal lengths, or NaN or infinity.
    """
    fires, s = _sides("auroc", active, simulated)
    n = int(fires.sum())
    ranks = stats.rankdata(s)
    return float((ranks[fires].sum() - n * (n + 1) / 2) / (n * (fires.size - n)))


def auprc(active: npt.ArrayLike, simulated: npt.ArrayLike) -> float:
    """Average precision: ``sum_k (R_k - R_(k-1)) P_k`` over the distinct simulated values k, highest first.

    ``P_k`` and ``R_k`` are precision and recall of the tokens that are simulated at least as high, so that tied tokens
    come in together, in no order of their own.

    Args:
        active: whether each token fires [tokens].
        simulated: simulated activations [tokens], in any unit.

    Raises:
        UndefinedScoreError: no token fires, or all do.
        ScoreInputError: unequal lengths, or NaN or infinity.
    """
    fires, s = _sides("auprc", active, simulated)
    order = np.argsort(-s, kind="stable")
    hits = np.cumsum(fires[order])
    ends = np.flatnonzero(np.append(np.diff(s[order]) != 0, True))  # the last token of each distinct value
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return min(1.0, float(np.sum(np.diff(recall, prepend=0.0) * precision)))  # rounding may pass 1


def _sides(name: str, active: npt.ArrayLike, simulated: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    fires, s = np.asarray(active, dtype=bool), np.asarray(simulated, dtype=np.float64)
    if fires.ndim != 1 or fires.shape != s.shape or not np.isfinite(s).all():
        raise ScoreInputError(f"{name} needs one finite simulated value for each token; leave missing tokens out.")
    if not 0 < fires.sum() < fires.size:
        raise UndefinedScoreError(f"{name} is undefined where no token fires, or all do.")
    return fires, s
