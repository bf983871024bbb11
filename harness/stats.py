"""Statistics over units: intervals, paired differences, ranks, and sample sizes.

What is sampled is the unit, never the token. If the units of one group (the neurons of a layer) are alike, whole groups
are the sample, and signs are flipped by group.

No interval of a mean of few values holds for every shape (Bahadur & Savage 1956). ``benchmarks/intervals.py`` simulates
shapes that boards have had; :data:`SHAPES_HELD` says in words for which of them the interval of a mean holds. That of a
median holds for all.

Results do not depend on the order of units. All randomness comes from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
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
NO_SCORES = frozenset(
    {
        "loss_change",
        "divergence",
        "divergence_mean",
        "correlation_ceiling",
        "generated_listed",
        "intruder",
        "steered_factor",
        "steered_divergence",
    }
)
"""Figures of scorers that are no scores: higher is not better, so they neither rank nor judge explainers."""
UNBOUNDED = ("ablation", "explained_variance", "r2_uncentred", "abs_dev")
"""Beginnings of the names of metrics that are unbounded below: a mean over units would be that of the worst unit."""
SHAPES_HELD = (
    "Of 100 such intervals 93 to 98 hold the true mean of 12 units whose scores spread evenly or lean, 86 to 92 where "
    "a few units carry the mean, and 64 where a rare outlier does, which 12 units often miss; of 30 units it is 91 to "
    "98, of 120 it is 95 to 99"
)
"""For which shapes of scores :func:`mean_ends` holds; tests hold the figures."""
NOTHING = Interval(math.nan, math.nan, math.nan, 0)
"""Interval of no values."""
Name = TypeVar("Name", Unit, str)
"""Key of a score: a unit, or its name in a file."""
_TIE = 1e-12  # scores closer than this differ by float noise
_BLOCK = 1 << 22  # numbers that are drawn at once


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Difference between two rows on the same units.

    Attributes:
        interval: of the mean difference; of the median one if the metric is :func:`unbounded`.
        p_value: of exchangeable rows, two-sided, by flipping signs; NaN for fewer than two units.
        corrected: the same, corrected for all comparisons of its family.
        least: the least corrected p-value that differences of these sizes can have, whatever their signs.
        deviation: standard deviation of the differences over units; if groups are the sample, as large as gives the
            standard error of their mean by ``deviation / sqrt(units)``.
    """

    interval: Interval
    p_value: float
    corrected: float
    least: float
    deviation: float


def unbounded(metric: str) -> bool:
    """Return whether a metric has no lower bound, so that its median over units stands for it and not its mean."""
    return metric.startswith(UNBOUNDED)


# ------------------------------------------------------------------------------------------------------------ intervals


def mean_interval(
    values: Sequence[float], confidence: float = CONFIDENCE, clusters: Sequence[Hashable] | None = None
) -> Interval:
    """Return the mean over units and its interval, see :func:`mean_ends`.

    Args:
        values: a score for each unit, in any order.
        confidence: confidence of the interval, between 0 and 1.
        clusters: cluster of each unit, for instance its group; clusters are the sample. None if units are.

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
    is_constant = array[0] == array[-1]
    mean = float(array[0]) if is_constant else math.fsum(array) / array.size
    if is_constant or sums.size < 2:
        end = mean if sums.size > 1 else math.nan
        return Interval(mean, end, end, array.size)
    low, high = mean_ends(sums, counts, confidence)
    return Interval(mean, float(low), float(high), array.size)


def median_interval(
    values: Sequence[float], confidence: float = CONFIDENCE, clusters: Sequence[Hashable] | None = None
) -> Interval:
    """Return the median over units and its interval by order statistics, which holds for every shape
    (Conover 1999, 3.2).

    Args:
        values: a score for each unit, in any order.
        confidence: least confidence of the interval, between 0 and 1.
        clusters: cluster of each unit; the interval is then that of the medians of the clusters.

    Returns:
        The interval. Its ends are NaN where so few values have none: six are needed for 95 %.

    Raises:
        NeuroglossError: a value is not finite.
    """
    array = _sorted(values)
    if not array.size:
        return NOTHING
    sample = array if clusters is None else np.sort(list(map(np.median, _members(values, clusters))))
    beyond = int(stats.binom.ppf((1 - confidence) / 2, sample.size, 0.5))  # values that lie outside, at either end
    median = float(np.median(array))
    if beyond < 1:
        return Interval(median, math.nan, math.nan, array.size)
    low, high = float(sample[beyond - 1]), float(sample[-beyond])
    return Interval(median, min(low, median), max(high, median), array.size)


def unit_interval(scores: Mapping[Unit, float], by_group: bool, metric: str = HEADLINE) -> Interval:
    """Return the interval that a metric has over units: of the median if it is :func:`unbounded`, else of the mean.

    Ends outside the range of the metric are moved to its bounds. ``by_group`` makes whole groups the sample.
    """
    groups = list(map(group, scores)) if by_group else None
    if unbounded(metric):
        return median_interval(list(scores.values()), clusters=groups)
    interval = mean_interval(list(scores.values()), clusters=groups)
    if math.isnan(interval.low):
        return interval
    low, high = np.clip((interval.low, interval.high), *limits(metric)).tolist()
    return Interval(interval.mean, low, high, interval.units)


def limits(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have; one that is not known here can have any."""
    kind = metric.partition("_")[0]
    if kind in ("correlation", "spearman", "cosine", "truth"):
        return -1.0, 1.0
    is_share = kind in ("auroc", "auprc", "f1", "detection", "fuzzing", "beats")
    return (0.0, 1.0) if is_share else (-math.inf, math.inf)


def mean_ends(sums: FloatArray, counts: FloatArray, confidence: float = CONFIDENCE) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the interval of ``sum(sums) / sum(counts)``, for one row or for many at once.

    It is the hull of Student's interval and of Hall's, which corrects Student's for skewness (Hall 1992, "On the
    removal of skewness by transformation"): with T a quantile of Student's t, over square root of n, and g the
    skewness, the end is ``m - s (3 / g) (cbrt(1 + g (T - g / 6n)) - 1)``. Of the intervals in
    ``benchmarks/intervals.py`` it is the one that holds most often, and it needs no resampling. Clusters of unequal
    size enter by the linearised ratio (Cochran 1977, 6.3).

    Args:
        sums: the score of each unit, or the sum over each cluster [..., clusters]; at least two.
        counts: number of units in each cluster [clusters].
        confidence: confidence of the interval, between 0 and 1.

    Returns:
        The lower and the upper ends [...].
    """
    size = sums.shape[-1]
    mean = sums.sum(axis=-1) / counts.sum()
    residuals = (sums - mean[..., None] * counts) / counts.mean()
    deviation = residuals.std(axis=-1, ddof=1)
    reach = stats.t.ppf(0.5 + confidence / 2, size - 1) / math.sqrt(size)
    ends = [mean - side * reach * deviation for side in (1, -1)]
    if size > 2:
        ends += [mean - deviation * _unskewed(side * reach, residuals) for side in (1, -1)]
    return np.min(ends, axis=0), np.max(ends, axis=0)


def _unskewed(reach: float, residuals: FloatArray) -> FloatArray:
    """Return Hall's inverse transformation of a quantile of Student's t over square root of n [...]."""
    size = residuals.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        third = np.power(residuals, 3).sum(axis=-1) * size / ((size - 1) * (size - 2))
        skewness = third / np.power(residuals.std(axis=-1, ddof=1), 3)
        corrected = 3 / skewness * (np.cbrt(1 + skewness * (reach - skewness / (6 * size))) - 1)
    limit = np.full_like(skewness, reach)  # without skewness, where the quotient would be rounding alone
    return np.asarray(np.where(np.abs(skewness) > 1e-6, corrected, limit), dtype=np.float64)


# --------------------------------------------------------------------------------------------------- paired differences


def paired_differences(
    pairs: Sequence[tuple[Mapping[Unit, float], Mapping[Unit, float]]],
    seed: int,
    resamples: int = RESAMPLES,
    by_group: bool = False,
    metrics: Sequence[str] | None = None,
) -> list[PairedDifference]:
    """Return how much higher the first row of each pair scores than its second, over the units that both have.

    The pairs are one family, whose p-values are corrected together, see :func:`sign_flips`.

    Args:
        pairs: scores of two rows, by unit.
        seed: seed of the permutations.
        resamples: number of permutations; all sign patterns are tried if there are no more than that.
        by_group: whether groups are the sample, and flipped whole.
        metrics: the metric of each pair; None if all are the headline.

    Raises:
        NeuroglossError: a value is not finite.
    """
    by_unit = [
        {unit: first[unit] - second[unit] for unit in sorted(first.keys() & second.keys())} for first, second in pairs
    ]
    flips = sign_flips(_sums_by_cluster(by_unit, by_group), seed, resamples)
    return [
        PairedDifference(_interval_of(differences, by_group, metric), *flip, _deviation(differences, by_group))
        for differences, flip, metric in zip(by_unit, flips, metrics or [HEADLINE] * len(pairs), strict=True)
    ]


def _interval_of(differences: Mapping[Unit, float], by_group: bool, metric: str) -> Interval:
    groups = list(map(group, differences)) if by_group else None
    estimate = median_interval if unbounded(metric) else mean_interval
    return estimate(list(differences.values()), clusters=groups)


def _deviation(differences: Mapping[Unit, float], by_group: bool) -> float:
    """Return the standard deviation over units by which :func:`units_needed` plans; NaN if there are too few."""
    sums, counts = _clustered(list(differences.values()), list(map(group, differences)) if by_group else None)
    if sums.size < 2:
        return math.nan
    residuals = (sums - sums.sum() / counts.sum() * counts) / counts.mean()
    return float(residuals.std(ddof=1) * math.sqrt(counts.mean()))


def _sums_by_cluster(by_unit: Sequence[Mapping[Unit, float]], by_group: bool) -> FloatArray:
    """Return the difference of each unit, or the sum over each group [pairs, units]; NaN where a pair has none."""
    cluster: Callable[[Unit], Hashable] = group if by_group else lambda unit: unit
    names = sorted({cluster(unit) for differences in by_unit for unit in differences}, key=str)
    places = {name: place for place, name in enumerate(names)}
    sums = np.full((len(by_unit), len(names)), np.nan)
    for row, differences in enumerate(by_unit):
        for unit, difference in differences.items():
            place = places[cluster(unit)]
            sums[row, place] = np.nansum([sums[row, place], difference])
    return sums


def differs(interval: Interval, p_value: float) -> bool:
    """Tell whether two rows can be told apart: the p-value is below :data:`SIGNIFICANT`, the interval leaves out 0."""
    return p_value < SIGNIFICANT and (interval.low > 0 or interval.high < 0)


class SignFlip(NamedTuple):
    """The p-value of a difference, the same corrected for its family, and the least that the latter can be."""

    p_value: float
    corrected: float
    least: float


def sign_flips(differences: FloatArray, seed: int, resamples: int = RESAMPLES) -> list[SignFlip]:
    """Return p-values of no difference, by flipping the signs of paired differences, corrected for their number.

    The null is that both rows are exchangeable on each unit, not only that their means are equal: where they are not,
    equal means are taken for different ones more often than the p-value says (``benchmarks/intervals.py``).

    All differences are flipped by the same patterns, and corrected by the step-down minimum of p-values (Westfall &
    Young 1993, algorithm 2.8): near-copies count as one, and the correction is never above Holm's. The tests are exact
    if there are no more sign patterns than ``resamples``; otherwise patterns are drawn, and the one that was seen is
    counted among them.

    Args:
        differences: of each unit, or the sums over each group; NaN where there is none [comparisons, units].
        seed: seed of the permutations.
        resamples: number of permutations.

    Returns:
        The p-values of each comparison; NaN where fewer than two units have a difference.
    """
    tested = np.flatnonzero(np.isfinite(differences).sum(axis=1) > 1)
    results = [SignFlip(math.nan, math.nan, math.nan)] * len(differences)
    if not tested.size:
        return results
    by_pattern = _p_values_by_pattern(np.nan_to_num(differences[tested]), seed, resamples)
    seen, patterns = by_pattern[0], len(by_pattern)
    order = np.argsort(seen, kind="stable")
    # of each pattern, the least p-value of a comparison and of those that are less significant than it
    minima = np.minimum.accumulate(by_pattern[:, order[::-1]], axis=1)[:, ::-1]
    corrected = np.maximum.accumulate((minima <= seen[order]).sum(axis=0) / patterns)
    least = (by_pattern.min(axis=1)[:, None] <= by_pattern.min(axis=0)).sum(axis=0) / patterns
    for place, row in enumerate(order):
        results[tested[row]] = SignFlip(float(seen[row]), float(corrected[place]), float(least[row]))
    return results


def _p_values_by_pattern(differences: FloatArray, seed: int, resamples: int) -> FloatArray:
    """Return the p-value that each comparison would have under each sign pattern, the one seen first.

    Args:
        differences: of each unit [comparisons, units].
        seed: seed of the patterns.
        resamples: number of patterns, unless there are no more.

    Returns:
        P-values [patterns, comparisons].
    """
    blocks = _sign_patterns(differences.shape[1], seed, resamples)
    sums = np.abs(np.concatenate([patterns @ differences.T for patterns in blocks]))
    largest = np.maximum(np.abs(differences).sum(axis=1), np.finfo(np.float64).tiny)
    shares = sums / largest  # of the largest sum that there can be, so that one tolerance is for all
    below = [np.searchsorted(np.sort(column), column - _TIE) for column in shares.T]
    return np.asarray((len(shares) - np.transpose(below)) / len(shares), dtype=np.float64)


def _sign_patterns(units: int, seed: int, resamples: int) -> Iterator[FloatArray]:
    """Yield sign patterns in blocks [patterns, units], the one without a flip first: all there are, or ``resamples``
    drawn."""
    if units < 63 and 2**units <= resamples:
        yield _signs((np.arange(2**units)[:, None] >> np.arange(units)) & 1 == 1)
        return
    generator = np.random.default_rng(seed)
    for first, size in _blocks(resamples + 1, units):
        flipped = generator.random((size, units)) < 0.5
        flipped[0] &= first > 0
        yield _signs(flipped)


def _signs(flipped: npt.NDArray[np.bool_]) -> FloatArray:
    return np.asarray(np.where(flipped, -1.0, 1.0), dtype=np.float64)


def _blocks(resamples: int, units: int) -> Iterator[tuple[int, int]]:
    """Yield the first place and the size of each block of resamples, so that memory does not grow with the units."""
    size = max(1, _BLOCK // max(1, units))
    yield from ((first, min(size, resamples - first)) for first in range(0, resamples, size))


# ---------------------------------------------------------------------------------------------------------------- ranks


def rank_intervals(
    rows: Sequence[Mapping[Name, float]],
    seed: int,
    resamples: int = RESAMPLES,
    cluster: Callable[[Name], Hashable] | None = None,
    medians: bool = False,
) -> list[RankRange]:
    """Return the ranks (from 1) of each row in the middle 95 % of resamples of the units of all rows.

    All rows are ranked on the same resampled units; a row without a score on some of them has the mean over the
    others. Equal means share ranks. A bootstrap
    of n values is too narrow by ``sqrt((n - 1) / n)`` and ignores Student's t, so its quantiles are moved outwards
    (Hesterberg 2015, "expanded").

    Args:
        rows: scores of each row, by unit.
        seed: seed of the resampling.
        resamples: number of bootstrap resamples.
        cluster: function that returns the cluster of a unit, see :func:`group`; None resamples units.
        medians: whether rows are ranked by their medians, not by their means.

    Returns:
        A range for each row, in order; all ranks for fewer than two units or clusters.
    """
    names = sorted({name for row in rows for name in row})
    scores = np.array([[row.get(name, math.nan) for name in names] for row in rows])
    clusters = [name if cluster is None else cluster(name) for name in names]
    number = {label: place for place, label in enumerate(dict.fromkeys(clusters))}
    if len(number) < 2:
        return [RankRange(1, len(rows)) for _ in rows]
    generator, places = np.random.default_rng(seed), [number[label] for label in clusters]
    summarise = _resampled_medians if medians else _resampled_means
    blocks = []
    for _, size in _blocks(resamples, len(names)):
        draws = generator.multinomial(len(number), np.full(len(number), 1 / len(number)), size)
        blocks.append(summarise(scores, draws[:, places].astype(np.float64)))  # [resamples, rows]
    means = np.concatenate(blocks)
    above = np.stack([(means - means[:, [row]] > _TIE).sum(axis=1) for row in range(len(rows))])
    below = np.stack([(means[:, [row]] - means > _TIE).sum(axis=1) for row in range(len(rows))])
    tail = (1 - expanded(CONFIDENCE, len(number))) / 2
    best = np.quantile(1 + above, tail, axis=1, method="inverted_cdf")
    worst = np.quantile(len(rows) - below, 1 - tail, axis=1, method="inverted_cdf")
    return [RankRange(int(low), int(high)) for low, high in zip(best, worst, strict=True)]


def _resampled_means(scores: FloatArray, times: FloatArray) -> FloatArray:
    """Return the mean of each resample [resamples, rows] of scores [rows, units] that enter so many times."""
    with np.errstate(invalid="ignore"):
        return np.asarray((times @ np.nan_to_num(scores).T) / (times @ np.isfinite(scores).T))


def _resampled_medians(scores: FloatArray, times: FloatArray) -> FloatArray:
    """Return the (lower) median of each resample [resamples, rows]; NaN for one without a score."""
    medians = []
    for row in scores:
        order = np.argsort(row, kind="stable")[: np.isfinite(row).sum()]
        below = np.cumsum(times[:, order], axis=1)
        places = (below < below[:, -1:] / 2).sum(axis=1)
        medians.append(np.where(below[:, -1] > 0, row[order][np.minimum(places, len(order) - 1)], math.nan))
    return np.stack(medians, axis=1)


def group(unit: Unit) -> str:
    """Return the group of a unit, the cluster to resample if units of one group are alike."""
    return unit.group


def rank(ranks: RankRange) -> str:
    """Return a range of ranks as text for a table."""
    return str(ranks.best) if ranks.best == ranks.worst else f"{ranks.best}–{ranks.worst}"


# ------------------------------------------------------------------------------------------------------ comparing means


def is_mean(interval: Interval, values: Sequence[float], metric: str = HEADLINE) -> bool:
    """Return whether an interval can be that of these values: its mean (its median, of some metrics) is theirs and lies
    between the ends, which are apart only if the values are, and no further beyond them than a few times Student's.
    """
    if not values:
        return False
    middle = float(np.median(values)) if unbounded(metric) else math.fsum(values) / len(values)
    same = math.isclose(interval.mean, middle, rel_tol=1e-9, abs_tol=1e-12) and interval.units == len(values)
    if math.isnan(interval.low) and math.isnan(interval.high):
        return same and (len(values) < 2 or unbounded(metric))
    noise = 1e-9 * max(map(abs, values))  # means of equal values differ from them in their last digits
    between = interval.low - noise <= interval.mean <= interval.high + noise
    student = float(stats.t.ppf(0.975, max(len(values) - 1, 1))) / math.sqrt(len(values))
    reach = 3 * student * (max(values) - min(values)) + noise  # Hall's ends can lie further out than Student's
    return same and between and min(values) - reach <= interval.low and interval.high <= max(values) + reach


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


def _members(values: Sequence[float], clusters: Sequence[Hashable]) -> list[list[float]]:
    """Return the values of each cluster [clusters][values]."""
    members: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        members.setdefault(cluster, []).append(value)
    return list(members.values())


def _clustered(values: Sequence[float], clusters: Sequence[Hashable] | None) -> tuple[FloatArray, FloatArray]:
    """Return the sum and the number of the values of each cluster, sorted by these [clusters]."""
    if clusters is None:
        array = _sorted(values)
        return array, np.ones(array.size)
    pairs = sorted((math.fsum(scores), len(scores)) for scores in _members(values, clusters))
    return np.array([total for total, _ in pairs]), np.array([float(number) for _, number in pairs])


def expanded(confidence: float, size: int) -> float:
    """Return the confidence at which percentiles of a bootstrap of ``size`` have the width of Student's interval."""
    reach = math.sqrt(size / (size - 1)) * stats.t.ppf(0.5 + confidence / 2, size - 1)
    return float(min(2 * stats.norm.cdf(reach) - 1, 1 - 1e-12))
