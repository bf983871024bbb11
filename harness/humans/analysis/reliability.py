"""How well people's answers would be repeated by other people: the most that anything can agree with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.humans.analysis import resampling
from harness.scores.metrics import correlation
from harness.types import FloatArray, Interval, Unit

SPLITS, RESAMPLED_SPLITS = 50, 5
"""Random halves of the people over which a reliability is averaged, and that of each resample of units."""
RESAMPLES = 199
LEAST_ITEMS = 4
"""Items below which a correlation says nothing."""


def split_half(values: FloatArray, seed: int, splits: int = SPLITS) -> float:
    """Return the reliability of the mean over people, by the correlation of halves.

    The people of each item are dealt at random into two halves, whose means are correlated over items;
    ``2 r / (1 + r)`` (Spearman 1910; Brown 1910) is the reliability of both halves together. Its square root bounds
    what the correlation of anything with the mean can be expected to be. An r of 0 or below says that there is none,
    and stays as it is.

    Args:
        values: of each person and item, NaN where there is none [people, items].
        seed: of the halves.
        splits: number of random halves, whose r are averaged.

    Returns:
        The reliability; NaN for fewer than 4 items with two people or more, or where a half is constant.
    """
    shared = values[:, np.isfinite(values).sum(axis=0) > 1]
    if shared.shape[1] < LEAST_ITEMS:
        return math.nan
    rng = np.random.default_rng(seed)
    halves = [_half_correlation(shared, rng) for _ in range(splits)]
    r = float(np.mean([value for value in halves if not math.isnan(value)] or [math.nan]))
    return 2 * r / (1 + r) if r > 0 else r


def _half_correlation(values: FloatArray, rng: np.random.Generator) -> float:
    """Return the correlation of the means of two random halves of the people of each item."""
    present = np.isfinite(values)
    order = np.where(present, rng.random(values.shape), np.inf).argsort(axis=0).argsort(axis=0)
    in_first = order < (present.sum(axis=0) + rng.integers(2, size=values.shape[1])) // 2
    means = [_means(values, present & half) for half in (in_first, ~in_first)]
    is_flat = any(np.ptp(mean) == 0 for mean in means)
    return math.nan if is_flat else correlation(*means)


def _means(values: FloatArray, members: FloatArray) -> FloatArray:
    return np.asarray(np.where(members, values, 0.0).sum(axis=0) / members.sum(axis=0))


def split_half_interval(values: FloatArray, units: Sequence[Unit], seed: int, resamples: int = RESAMPLES) -> Interval:
    """Return the reliability with its interval over units [items]."""
    resampled = resampling.interval(
        lambda places: split_half(values[:, places], seed, RESAMPLED_SPLITS), units, seed, resamples
    )
    return Interval(split_half(values, seed), resampled.low, resampled.high, resampled.units)
