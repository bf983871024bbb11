"""Reliability of a simulator: predicted levels against actual ones, in ten bins.

Both are shares of the highest level, from 0 to 1. The bins are [0, 0.1), [0.1, 0.2), ... [0.9, 1] of the predicted
share. :func:`harness.scores.reliability.calibration_error` reduces them to one figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from harness.scores.metrics import ScoreInputError
from harness.types import ReliabilityBin

BINS = 10


def reliability(predicted: npt.ArrayLike, actual: npt.ArrayLike) -> tuple[ReliabilityBin, ...]:
    """Return the ten bins of tokens.

    Args:
        predicted: expected level divided by the highest level that can be read [tokens].
        actual: real level divided by the highest level [tokens].

    Raises:
        ScoreInputError: unequal lengths, or a share outside [0, 1].
    """
    p, y = np.asarray(predicted, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise ScoreInputError("reliability needs one predicted and one actual share for each token.")
    p = np.where(
        np.isclose(p, np.clip(p, 0, 1), atol=1e-9), np.clip(p, 0, 1), p
    )  # rounding lifts sums of probabilities above 1
    if not (((p >= 0) & (p <= 1)).all() and ((y >= 0) & (y <= 1)).all()):
        raise ScoreInputError("reliability needs shares of the highest level, from 0 to 1; leave missing tokens out.")
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    masks = [bins == number for number in range(BINS)]
    return tuple(ReliabilityBin(int(mask.sum()), math.fsum(p[mask]), math.fsum(y[mask])) for mask in masks)


def together(groups: Iterable[Sequence[ReliabilityBin]]) -> tuple[ReliabilityBin, ...]:
    """Return the bins of the tokens of all groups; a group without bins adds nothing."""
    columns = zip(*(bins for bins in groups if bins), strict=True)
    return tuple(
        ReliabilityBin(
            sum(group_bin.tokens for group_bin in column),
            math.fsum(group_bin.predicted for group_bin in column),
            math.fsum(group_bin.actual for group_bin in column),
        )
        for column in columns
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error, from 0 to 1; NaN without tokens.

    ``ECE = sum_b (n_b / N) * |mean predicted in b - mean actual in b|`` over bins b with n_b of all N tokens; predicted
    and actual are shares of the highest level.
    """
    tokens = sum(level_bin.tokens for level_bin in bins)
    return math.fsum(abs(level_bin.predicted - level_bin.actual) for level_bin in bins) / tokens if tokens else math.nan
