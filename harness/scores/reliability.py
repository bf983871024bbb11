"""Whether a simulator means the levels that it says: predicted levels against actual ones, in ten bins.

Both are shares of the highest level, from 0 to 1; the bins are [0, 0.1), [0.1, 0.2), ... [0.9, 1] of the predicted
share. :func:`harness.stats.calibration_error` makes one figure of them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness.scores.metrics import ScoreInputError
from harness.types import ReliabilityBin

BINS = 10


def reliability(predicted: npt.ArrayLike, actual: npt.ArrayLike) -> tuple[ReliabilityBin, ...]:
    """The ten bins of some tokens.

    Args:
        predicted: expected level over the highest level that can be read [tokens].
        actual: real level over the highest level [tokens].

    Raises:
        ScoreInputError: unequal lengths, or a share that is not from 0 to 1.
    """
    p, y = np.asarray(predicted, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise ScoreInputError("reliability needs one predicted and one actual share for each token.")
    p = np.where(
        np.isclose(p, np.clip(p, 0, 1), atol=1e-9), np.clip(p, 0, 1), p
    )  # sums of probabilities pass 1 by noise
    if not (((p >= 0) & (p <= 1)).all() and ((y >= 0) & (y <= 1)).all()):
        raise ScoreInputError("reliability needs shares of the highest level, from 0 to 1; leave missing tokens out.")
    which = np.minimum((p * BINS).astype(int), BINS - 1)
    inside = [which == number for number in range(BINS)]
    return tuple(ReliabilityBin(int(one.sum()), math.fsum(p[one]), math.fsum(y[one])) for one in inside)
