"""Statistics over units: intervals, paired differences, ranks, and sample sizes.

What is resampled is the unit, never the token. If the units of one group (the neurons of a layer) are alike, whole
groups are resampled, and signs are flipped by group. The mean of a resample is that of all its units.

Results do not depend on the order of units: values are sorted before resampling, because a seeded resample picks
positions. All randomness comes from the seed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from scipy import stats

from harness.types import (
    FloatArray,
    Interval,
    NeuroglossError,
    RankRange,
    Unit,
)

HEADLINE = "correlation"
"""Metric by which explainers are ranked."""
RESAMPLES = 9999
CONFIDENCE = 0.95
SIGNIFICANT = 0.05
"""The p-value below which a difference is one."""
NO_SCORES = frozenset({"loss_change"})
"""Figures of the panel that are no scores: higher is not better, so they neither rank nor judge explainers."""
NOTHING = Interval(math.nan, math.nan, math.nan, 0)
"""Interval of no values."""
Method = Literal["BCa", "percentile"]
Name = TypeVar("Name", Unit, str)
"""Key of a score: a unit, or its name in a file."""
_TIE = 1e-12  # scores closer than this differ by float noise
_CELLS = 1_000_000  # numbers resampled at a time, to bound memory


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Difference between two rows on the same units: ``interval`` is of the mean difference, ``p_value`` of a
    two-sided sign-flip permutation test of no difference; NaN for fewer than two units."""

    interval: Interval
    p_value: float


# ------------------------------------------------------------------------------------------------------------ intervals


def mean_interval(
    values: Sequence[float],
    seed: int,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Return the mean over units and its bootstrap interval, see :func:`bootstrap_ends`.

    Args:
        values: a score for each unit, in any order.
        seed: seed of the resampling.
        confidence: confidence of the interval, between 0 and 1.
        resamples: number of bootstrap resamples.
        clusters: cluster of each unit, for instance its group; clusters are resampled whole. None resamples units.

    Returns:
        The interval. Its ends are NaN for fewer than two units or clusters, and equal the mean if all values are
        equal. Its mean is NaN without units.

    Raises:
        NeuroglossError: a value is not finite; leave out missing units, and report the coverage.
    """
    array = _sorted(values)
    if not array.size:
        return NOTHING
    sums, counts = _clustered(values, clusters)
    is_constant = array[0] == array[-1]  # no resample can differ
    mean = float(array[0]) if is_constant else math.fsum(array) / array.size
    if is_constant or sums.size < 2:
        end = mean if sums.size > 1 else math.nan
        return Interval(mean, end, end, array.size)
    low, high = bootstrap_ends(sums, counts, seed, confidence, resamples)
    if math.isnan(low) or math.isnan(high):  # too few distinct values for the corrections
        low, high = bootstrap_ends(sums, counts, seed, confidence, resamples, "percentile")
    return Interval(mean, float(low), float(high), array.size)


def unit_interval(scores: Mapping[Unit, float], seed: int, resamples: int, by_group: bool) -> Interval:
    """Return :func:`mean_interval` of a score for each unit; ``by_group`` resamples whole groups."""
    groups = list(map(group, scores)) if by_group else None
    return mean_interval(list(scores.values()), seed, resamples=resamples, clusters=groups)


def bootstrap_ends(  # noqa: PLR0913, PLR0917  # the data and the settings of a resampling
    sums: FloatArray, counts: FloatArray, seed: int, confidence: float, resamples: int, method: Method = "BCa"
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the bootstrap interval of ``sum(sums) / sum(counts)``, for one row or for many at once.

    The interval is bias-corrected and accelerated (Efron 1987, by scipy). It is widened by the ratio of Student's
    interval to the normal one: a bootstrap of n values is too narrow by ``sqrt((n - 1) / n)`` and ignores Student's t
    (Hesterberg 2015, "expanded").

    Args:
        sums: the score of each unit, or the sum over each cluster [..., clusters]; at least two.
        counts: number of units in each cluster [clusters].
        seed: seed of the resampling.
        confidence: confidence of the interval, between 0 and 1.
        resamples: number of bootstrap resamples.
        method: ``percentile`` omits the corrections for bias and skewness.

    Returns:
        The lower and the upper ends [...]; NaN if the corrections cannot be computed.
    """
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # the caller handles NaN
        result = stats.bootstrap(
            (sums, np.broadcast_to(counts, sums.shape)),
            _pooled_mean,
            paired=True,
            axis=-1,
            vectorized=True,
            confidence_level=_expanded(confidence, sums.shape[-1]),
            n_resamples=resamples,
            batch=max(1, _CELLS // sums.size),
            method=method,
            rng=np.random.default_rng(seed),
        )
    return np.asarray(result.confidence_interval.low), np.asarray(result.confidence_interval.high)


# --------------------------------------------------------------------------------------------------- paired differences


def paired_difference(
    a: Mapping[Unit, float],
    b: Mapping[Unit, float],
    seed: int,
    resamples: int = RESAMPLES,
    by_group: bool = False,
) -> PairedDifference:
    """Return how much higher ``a`` scores than ``b``, over the units that both have.

    Args:
        a: a row's score for each unit.
        b: that of another row.
        seed: seed of the bootstrap and of the permutations.
        resamples: number of each; the permutation test is exact if there are no more sign patterns than that.
        by_group: whether groups are resampled and flipped whole.

    Raises:
        NeuroglossError: a value is not finite.
    """
    units = sorted(a.keys() & b.keys())
    differences = [a[unit] - b[unit] for unit in units]
    groups = list(map(group, units)) if by_group else None
    interval = mean_interval(differences, seed, resamples=resamples, clusters=groups)
    sums, _ = _clustered(differences, groups)
    p_value = float(sign_flip_p(sums, seed, resamples)) if sums.size > 1 else math.nan
    return PairedDifference(interval, p_value)


def differs(interval: Interval, p_value: float) -> bool:
    """Tell whether two rows can be told apart: the p-value is below :data:`SIGNIFICANT`, the interval leaves out 0."""
    return p_value < SIGNIFICANT and (interval.low > 0 or interval.high < 0)


def sign_flip_p(differences: FloatArray, seed: int, resamples: int = RESAMPLES) -> FloatArray:
    """Return two-sided p-values of no difference, by flipping the signs of paired differences (by scipy).

    If neither row is better, their scores are exchangeable on each unit. The test is exact if there are no more
    sign patterns than ``resamples``; otherwise the p-value is ``(1 + patterns as extreme) / (1 + resamples)``.

    Args:
        differences: the difference of each unit, or the sum over each cluster [..., clusters]; at least two.
        seed: seed of the permutations.
        resamples: number of permutations.

    Returns:
        The p-values [...].
    """
    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        axis=-1,
        n_resamples=resamples,
        batch=max(1, _CELLS // differences.size),
        rng=np.random.default_rng(seed),
    )
    return np.asarray(test.pvalue, dtype=np.float64)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the same order; NaN (no test) stays NaN."""
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    corrected = [math.nan] * len(p_values)
    least = 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - place) * p_values[i]))
        corrected[i] = least
    return corrected


# ---------------------------------------------------------------------------------------------------------------- ranks


def rank_intervals(
    rows: Sequence[Mapping[Name, float]],
    seed: int,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    cluster: Callable[[Name], Hashable] | None = None,
) -> list[RankRange]:
    """Return the ranks (from 1) of each row in the middle ``confidence`` of resamples of the units of all rows.

    All rows are ranked on the same resampled units; a row without a score on some of them has the mean over the
    others. Equal means share ranks. The quantiles are widened like those of :func:`bootstrap_ends`.

    Args:
        rows: scores of each row, by unit.
        seed: seed of the resampling.
        resamples: number of bootstrap resamples.
        confidence: confidence of the ranges, between 0 and 1.
        cluster: function that returns the cluster of a unit, see :func:`group`; None resamples units.

    Returns:
        A range for each row, in order; all ranks for fewer than two units or clusters.
    """
    names = sorted({name for row in rows for name in row})
    scores = np.array([[row.get(name, math.nan) for name in names] for row in rows])
    clusters = [name if cluster is None else cluster(name) for name in names]
    number = {label: place for place, label in enumerate(dict.fromkeys(clusters))}
    if len(number) < 2:
        return [RankRange(1, len(rows)) for _ in rows]
    draws = np.random.default_rng(seed).multinomial(len(number), np.full(len(number), 1 / len(number)), resamples)
    times = draws[:, [number[label] for label in clusters]].astype(np.float64)  # [resamples, units]
    with np.errstate(invalid="ignore"):
        means = (times @ np.nan_to_num(scores).T) / (times @ np.isfinite(scores).T)  # [resamples, rows]
    above = np.stack([(means - means[:, [row]] > _TIE).sum(axis=1) for row in range(len(rows))])
    below = np.stack([(means[:, [row]] - means > _TIE).sum(axis=1) for row in range(len(rows))])
    tail = (1 - _expanded(confidence, len(number))) / 2
    best = np.quantile(1 + above, tail, axis=1, method="inverted_cdf")
    worst = np.quantile(len(rows) - below, 1 - tail, axis=1, method="inverted_cdf")
    return [RankRange(int(low), int(high)) for low, high in zip(best, worst, strict=True)]


def group(unit: Unit) -> str:
    """Return the group of a unit, the cluster to resample if units of one group are alike."""
    return unit.group


def rank(ranks: RankRange) -> str:
    """Return a range of ranks as text for a table."""
    return str(ranks.best) if ranks.best == ranks.worst else f"{ranks.best}–{ranks.worst}"


# ------------------------------------------------------------------------------------------------------ comparing means


def is_mean(interval: Interval, values: Sequence[float]) -> bool:
    """Return whether an interval can be that of these values; its mean and bounds are checked without resampling."""
    if not values:
        return False
    mean = math.isclose(interval.mean, math.fsum(values) / len(values), rel_tol=1e-9, abs_tol=1e-12)
    if len(values) < 2:
        return mean and math.isnan(interval.low) and math.isnan(interval.high)
    noise = 1e-9 * max(map(abs, values))  # means of equal values differ from them in their last digits
    bounded = min(values) - noise <= interval.low <= interval.high <= max(values) + noise
    return mean and interval.units == len(values) and bounded


def won(truth: float, false: float) -> float:
    """Return 1 if the truth outscores a false explanation, 0 if not, one half for a tie; NaN if either score is
    missing."""
    if math.isnan(truth) or math.isnan(false):
        return math.nan
    return 0.5 if abs(truth - false) <= _TIE else float(truth > false)


# --------------------------------------------------------------------------------------------- how many units it takes


def units_needed(variance: float, difference: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the number of units that tell two explainers apart: ``(z_(1-alpha/2) + z_power)^2 variance /
    difference^2``, rounded up.

    From Miller, "Adding error bars to evals" (arXiv 2411.00640). It assumes normality: exact for many units, and one
    or two too few if the result is below about ten.

    Args:
        variance: variance over units of the paired differences between the two.
        difference: difference of their means to detect, in the metric's unit.
        power: probability of detecting it if it exists.
        alpha: probability of detecting one if none exists, two-sided, for this one comparison.

    Raises:
        NeuroglossError: no number of units follows from the arguments.
    """
    if not (math.isfinite(variance) and variance > 0):
        raise NeuroglossError(
            f"the variance of the differences is {variance}, from which no number of units follows; "
            "it needs two explainers whose scores differ by more on some units than on others."
        )
    if not (math.isfinite(difference) and difference != 0):
        raise NeuroglossError(f"a difference of {difference} cannot be planned for; give one that is not 0.")
    return max(2, math.ceil(_reach(power, alpha) ** 2 * variance / difference**2))


def smallest_difference(variance: float, units: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest difference that so many units tell apart: the inverse of :func:`units_needed`."""
    return _reach(power, alpha) * math.sqrt(variance / units)


def variance_range(variance: float, units: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the ends of the confidence interval of the true variance, given that of ``units`` differences
    (chi-squared; differences are assumed normal)."""
    squares = variance * (units - 1)
    high, low = (float(stats.chi2.ppf(0.5 + side * confidence / 2, units - 1)) for side in (1, -1))
    return squares / high, squares / low


def _reach(power: float, alpha: float) -> float:
    """Return the number of standard errors that a detectable difference must have."""
    if not 0 < alpha < 1:
        raise NeuroglossError(f"alpha is {alpha}; it is the chance of a false alarm, so write one between 0 and 1.")
    if not alpha < power < 1:
        raise NeuroglossError(
            f"power is {power}; it is the chance of seeing the difference, so write one between alpha ({alpha}) and 1."
        )
    return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))


# -------------------------------------------------------------------------------------------------- what is resampled


def _sorted(values: Sequence[float]) -> FloatArray:
    array = np.sort(np.asarray(values, dtype=np.float64))
    if not np.isfinite(array).all():
        raise NeuroglossError(
            "a score to be averaged is not a finite number; leave the unit out and count it as missing."
        )
    return array


def _clustered(values: Sequence[float], clusters: Sequence[Hashable] | None) -> tuple[FloatArray, FloatArray]:
    """Return the sum and the number of the values of each cluster, sorted by these [clusters]."""
    if clusters is None:
        array = _sorted(values)
        return array, np.ones(array.size)
    members: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        members.setdefault(cluster, []).append(value)
    pairs = sorted((math.fsum(scores), len(scores)) for scores in members.values())
    return np.array([total for total, _ in pairs]), np.array([float(number) for _, number in pairs])


def _pooled_mean(sums: FloatArray, counts: FloatArray, axis: int) -> FloatArray:
    return np.asarray(sums.sum(axis=axis) / counts.sum(axis=axis))


def _expanded(confidence: float, size: int) -> float:
    """Return the confidence at which percentiles of a bootstrap of ``size`` have the width of Student's interval."""
    reach = math.sqrt(size / (size - 1)) * stats.t.ppf(0.5 + confidence / 2, size - 1)
    return float(min(2 * stats.norm.cdf(reach) - 1, 1 - 1e-12))
