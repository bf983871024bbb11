"""Statistics over neurons: intervals, paired differences, ranks, rows of a board, and how many neurons a claim takes.

The unit is the neuron, never the token; where neurons of one layer are alike, it is the layer: then whole layers are
drawn, and signs are flipped by layer. Each resample pools what was drawn anew: the mean is that of all its neurons.

Nothing here depends on the order in which neurons were worked on: values are sorted before they are resampled, since a
seeded resample picks positions, and another order would give another interval. All randomness comes from the seed.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np
from scipy import stats

from harness.types import (
    Comparison,
    FloatArray,
    Interval,
    NeuroglossError,
    NeuronId,
    RankRange,
    ReliabilityBin,
    Role,
    ScoredExplanation,
    Standing,
    Summary,
    Usage,
)

HEADLINE = "correlation"
"""The metric by which explainers are ranked."""
RESAMPLES = 9999
CONFIDENCE = 0.95
NO_SCORES = frozenset({"loss_change"})
"""Figures of the panel that are no scores: more of them is not better, so that nothing is ranked or judged by them."""
Method = Literal["BCa", "percentile"]
Name = TypeVar("Name", NeuronId, str)
"""What a score is of: a neuron, or what stands in a file for a neuron or a puzzle."""
_TIE = 1e-12  # scores closer than this differ by float noise
_CELLS = 1_000_000  # numbers resampled at a time, to bound memory


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much higher one explainer scores than another on the same neurons: ``interval`` is of the mean difference,
    ``p_value`` that of a two-sided sign-flip permutation test of no difference; NaN with fewer than two neurons."""

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
    """The mean over neurons and its bootstrap interval, see :func:`bootstrap_ends`.

    Args:
        values: one score for each neuron, in any order.
        seed: of the resampling.
        confidence: of the interval, between 0 and 1.
        resamples: number of bootstrap resamples.
        clusters: what each neuron is drawn together with, its layer for instance; None to draw each for itself.

    Returns:
        NaN ends where there are fewer than two neurons, or clusters, which say nothing of their spread; a NaN mean
        where there are no neurons; ends equal to the mean where all values are equal.

    Raises:
        NeuroglossError: a value is not finite: leave missing neurons out, and let the coverage say so.
    """
    array = _sorted(values)
    if not array.size:
        return Interval(math.nan, math.nan, math.nan, 0)
    sums, counts = _clustered(values, clusters)
    same = array[0] == array[-1]  # no resample can differ
    mean = float(array[0]) if same else math.fsum(array) / array.size
    if same or sums.size < 2:
        end = mean if sums.size > 1 else math.nan
        return Interval(mean, end, end, array.size)
    low, high = bootstrap_ends(sums, counts, seed, confidence, resamples)
    if math.isnan(low) or math.isnan(high):  # too few distinct values for its corrections
        low, high = bootstrap_ends(sums, counts, seed, confidence, resamples, "percentile")
    return Interval(mean, float(low), float(high), array.size)


def neuron_interval(scores: Mapping[NeuronId, float], seed: int, resamples: int, by_layer: bool) -> Interval:
    """:func:`mean_interval` of a score for each neuron; ``by_layer`` draws whole layers."""
    layers = list(map(layer, scores)) if by_layer else None
    return mean_interval(list(scores.values()), seed, resamples=resamples, clusters=layers)


def bootstrap_ends(  # noqa: PLR0913, PLR0917  # what a resampling can be told
    sums: FloatArray, counts: FloatArray, seed: int, confidence: float, resamples: int, method: Method = "BCa"
) -> tuple[FloatArray, FloatArray]:
    """The ends of the bootstrap interval of ``sum(sums) / sum(counts)``, for one board or for many at once.

    Bias-corrected and accelerated (Efron 1987, by scipy), and as much wider as Student's interval is than the normal
    one: a bootstrap of n units is too narrow by ``sqrt((n - 1) / n)`` and knows no t (Hesterberg 2015, "expanded").

    Args:
        sums: of the scores of each unit that is drawn [..., units], a neuron or a layer; two units at least.
        counts: number of neurons in each [units].
        seed: of the resampling.
        confidence: of the interval, between 0 and 1.
        resamples: number of bootstrap resamples.
        method: ``percentile`` leaves out the corrections for bias and skewness.

    Returns:
        The lower and the upper ends [...]; NaN where the corrections cannot be had.
    """
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # answered by the caller
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
    a: Mapping[NeuronId, float],
    b: Mapping[NeuronId, float],
    seed: int,
    resamples: int = RESAMPLES,
    by_layer: bool = False,
) -> PairedDifference:
    """How much higher ``a`` scores than ``b``, over the neurons that both have.

    Args:
        a: a score for each neuron.
        b: another's.
        seed: of the bootstrap and of the permutations.
        resamples: number of each; the permutation test is exact where there are no more sign patterns than that.
        by_layer: whether layers are drawn, and flipped, whole.

    Raises:
        NeuroglossError: a value is not finite.
    """
    neurons = sorted(a.keys() & b.keys())
    differences = [a[neuron] - b[neuron] for neuron in neurons]
    layers = list(map(layer, neurons)) if by_layer else None
    interval = mean_interval(differences, seed, resamples=resamples, clusters=layers)
    sums, _ = _clustered(differences, layers)
    p_value = float(sign_flip_p(sums, seed, resamples)) if sums.size > 1 else math.nan
    return PairedDifference(interval, p_value)


def sign_flip_p(differences: FloatArray, seed: int, resamples: int = RESAMPLES) -> FloatArray:
    """Two-sided p-values of no difference, by flipping the signs of paired differences (by scipy).

    Where neither explainer is better, their scores could have been exchanged on any unit. The test is exact where there
    are no more sign patterns than ``resamples``, else ``(1 + patterns as extreme) / (1 + resamples)``.

    Args:
        differences: of each unit, a neuron, or the sum over those of a layer [..., units]; two units at least.
        seed: of the permutations.
        resamples: number of them.

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
    """P-values corrected for their number (Holm 1979), in the same order; NaN, a test that was not made, stays NaN."""
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    corrected = [math.nan] * len(p_values)
    least = 0.0
    for done, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - done) * p_values[i]))
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
    """The ranks (from 1) that each row has in the middle ``confidence`` of the resamples of the neurons they share.

    All rows are ranked on the same drawn neurons; one that lacks a score there has the mean of the others that it has.
    Equal means share their ranks. The quantiles are as much further out as those of :func:`bootstrap_ends`.

    Args:
        rows: the scores of each row, by neuron, or by puzzle.
        seed: of the resampling.
        resamples: number of bootstrap resamples.
        confidence: of the ranges, between 0 and 1.
        cluster: what a neuron is drawn together with, see :func:`layer`; None to draw each for itself.

    Returns:
        A range for each row, in order; every rank where there are fewer than two neurons, or layers, to draw from.
    """
    names = sorted({name for row in rows for name in row})
    scores = np.array([[row.get(name, math.nan) for name in names] for row in rows])
    clusters = [name if cluster is None else cluster(name) for name in names]
    number = {label: place for place, label in enumerate(dict.fromkeys(clusters))}
    if len(number) < 2:
        return [RankRange(1, len(rows)) for _ in rows]
    drawn = np.random.default_rng(seed).multinomial(len(number), np.full(len(number), 1 / len(number)), resamples)
    times = drawn[:, [number[label] for label in clusters]].astype(np.float64)  # [resamples, neurons]
    with np.errstate(invalid="ignore"):
        means = (times @ np.nan_to_num(scores).T) / (times @ np.isfinite(scores).T)  # [resamples, rows]
    above = np.stack([(means - means[:, [row]] > _TIE).sum(axis=1) for row in range(len(rows))])
    below = np.stack([(means[:, [row]] - means > _TIE).sum(axis=1) for row in range(len(rows))])
    tail = (1 - _expanded(confidence, len(number))) / 2
    best = np.quantile(1 + above, tail, axis=1, method="inverted_cdf")
    worst = np.quantile(len(rows) - below, 1 - tail, axis=1, method="inverted_cdf")
    return [RankRange(int(up), int(down)) for up, down in zip(best, worst, strict=True)]


def layer(neuron: NeuronId) -> int:
    """What neurons are drawn together by, where those of one layer are alike."""
    return neuron.layer


def rank(found: RankRange) -> str:
    """A range of ranks for a table."""
    return str(found.best) if found.best == found.worst else f"{found.best}–{found.worst}"


# ------------------------------------------------------------------------------------------------------ rows of a board


def is_mean(interval: Interval, values: Sequence[float]) -> bool:
    """Whether an interval can be that of these values: the resampling is not repeated, its bounds are checked."""
    if not values:
        return False
    mean = math.isclose(interval.mean, math.fsum(values) / len(values), rel_tol=1e-9, abs_tol=1e-12)
    if len(values) < 2:
        return mean and math.isnan(interval.low) and math.isnan(interval.high)
    noise = 1e-9 * max(map(abs, values))  # means of equal values differ from them in their last digits
    bounded = min(values) - noise <= interval.low <= interval.high <= max(values) + noise
    return mean and interval.neurons == len(values) and bounded


def won(truth: float, false: float) -> float:
    """1 where the truth outscores something false, 0 where not, one half for a tie; NaN where either is missing."""
    if math.isnan(truth) or math.isnan(false):
        return math.nan
    return 0.5 if abs(truth - false) <= _TIE else float(truth > false)


def by_neuron(scored: Sequence[ScoredExplanation], metric: str = HEADLINE) -> dict[NeuronId, float]:
    """The metric of each neuron that has it, in order of neurons; several people's explanations of one are averaged."""
    found: dict[NeuronId, list[float]] = {}
    for item in scored:
        if metric in item.scores.values:
            found.setdefault(item.explanation.neuron, []).append(item.scores.values[metric])
    return {neuron: math.fsum(found[neuron]) / len(found[neuron]) for neuron in sorted(found)}


def summarise(  # noqa: PLR0913 - the columns of a row that cannot be read off its scores
    explainer: str,
    role: Role,
    simulator: str,
    scored: Sequence[ScoredExplanation],
    *,
    seed: int,
    neurons: int | None = None,
    resamples: int = RESAMPLES,
    by_layer: bool = False,
) -> Summary:
    """One row of a board.

    Args:
        explainer: its name in the config.
        role: what the row stands for.
        simulator: the simulator that scored it.
        scored: its explanations, those without a score included; several of one neuron count as one neuron.
        seed: of the intervals.
        neurons: number of neurons asked for; None for those that ``scored`` names.
        resamples: bootstrap resamples behind each interval.
        by_layer: whether layers are drawn whole.
    """
    names = dict.fromkeys(name for item in scored for name in item.scores.values)
    return Summary(
        explainer=explainer,
        role=role,
        simulator=simulator,
        metrics={name: neuron_interval(by_neuron(scored, name), seed, resamples, by_layer) for name in names},
        neurons=len({item.explanation.neuron for item in scored}) if neurons is None else neurons,
        scored=len(by_neuron(scored)),
        degenerate=_degenerate(scored),
        outcomes=dict(sorted(Counter(item.explanation.outcome.value for item in scored).items())),
        missing_tokens=sum(item.scores.missing_tokens for item in scored),
        explain_usage=sum((item.explanation.usage for item in scored), Usage()),
        simulate_usage=sum((part.simulation.usage for item in scored for part in item.simulated), Usage()),
        judge_usage=sum((one.judgement.usage for item in scored for one in item.judged), Usage()),
        judgements=sum(item.scores.judgements for item in scored),
        missing_judgements=sum(item.scores.missing_judgements for item in scored),
    )


def is_ranked(row: Summary, simulator: str, minimum_coverage: float) -> bool:
    """Whether a row has a rank: it is no control, the run's simulator scored it, and it is whole."""
    methods = (Role.EXPLAINER, Role.HUMAN)
    return row.role in methods and row.simulator == simulator and is_whole(row, minimum_coverage)


def is_whole(row: Summary, minimum_coverage: float) -> bool:
    """Whether enough of the neurons have a score for their mean to stand beside others'."""
    return row.scored > 0 and row.coverage >= minimum_coverage


def standing(  # noqa: PLR0913  # what a board is made of, and how it is resampled
    summaries: Sequence[Summary],
    scored: Mapping[str, Sequence[ScoredExplanation]],
    simulator: str,
    *,
    minimum_coverage: float,
    seed: int,
    resamples: int = RESAMPLES,
    by_layer: bool = False,
    metric: str = HEADLINE,
) -> Standing:
    """How the rows of a board stand to each other: the ranks each can have, and every paired comparison.

    Compared are the ranked rows with each other, and with each floor under the same simulator; the p-values of all of
    them are corrected together.

    Args:
        summaries: the rows.
        scored: each row's scored explanations.
        simulator: the run's; rows that another one scored are left out.
        minimum_coverage: share of the neurons that must have a score for a row to be ranked.
        seed: of the resampling.
        resamples: number of resamples behind each rank, interval and p-value.
        by_layer: whether layers are drawn whole.
        metric: what the rows are compared by.
    """
    ranked = [row.explainer for row in summaries if is_ranked(row, simulator, minimum_coverage)]
    floors = [
        row.explainer
        for row in summaries
        if row.role is Role.FLOOR and row.simulator == simulator and is_whole(row, minimum_coverage)
    ]
    scores = {name: by_neuron(scored[name], metric) for name in (*ranked, *floors)}
    ranked.sort(key=lambda name: (-_mean(scores[name].values()), name))
    pairs = [*combinations(ranked, 2), *((name, floor) for name in ranked for floor in floors)]
    differences = [paired_difference(scores[a], scores[b], seed, resamples, by_layer) for a, b in pairs]
    corrected = holm([difference.p_value for difference in differences])
    ranges = rank_intervals([scores[name] for name in ranked], seed, resamples, cluster=layer if by_layer else None)
    return Standing(
        metric=metric,
        by_layer=by_layer,
        ranks=dict(zip(ranked, ranges, strict=True)),
        comparisons=tuple(
            Comparison(a, b, difference.interval, difference.p_value, p_value)
            for (a, b), difference, p_value in zip(pairs, differences, corrected, strict=True)
        ),
    )


# ------------------------------------------------------------------------------------------- how many neurons it takes


def neurons_needed(variance: float, difference: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many neurons tell two explainers apart: ``(z_(1-alpha/2) + z_power)^2 variance / difference^2``, rounded up.

    From Miller, "Adding error bars to evals" (arXiv 2411.00640). Normal theory: exact for many neurons, one or two too
    few where it gives less than about ten.

    Args:
        variance: of the paired differences between the two, over neurons.
        difference: of their means that is to be seen, in the metric's unit.
        power: chance of seeing it where it is there.
        alpha: chance of seeing one where there is none, two-sided, for this one comparison.

    Raises:
        NeuroglossError: nothing can be planned with such numbers.
    """
    if not (math.isfinite(variance) and variance > 0):
        raise NeuroglossError(
            f"the variance of the differences is {variance}, from which no number of neurons follows; "
            "it needs two explainers whose scores differ by more on some neurons than on others."
        )
    if not (math.isfinite(difference) and difference != 0):
        raise NeuroglossError(f"a difference of {difference} cannot be planned for; give one that is not 0.")
    return max(2, math.ceil(_reach(power, alpha) ** 2 * variance / difference**2))


def smallest_difference(variance: float, neurons: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference that so many neurons tell apart: the inverse of :func:`neurons_needed`."""
    return _reach(power, alpha) * math.sqrt(variance / neurons)


def variance_range(variance: float, neurons: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Between which ends the true variance lies, where ``neurons`` differences had this one (chi-squared, normal)."""
    whole = variance * (neurons - 1)
    high, low = (float(stats.chi2.ppf(0.5 + side * confidence / 2, neurons - 1)) for side in (1, -1))
    return whole / high, whole / low


def _reach(power: float, alpha: float) -> float:
    """How many standard errors a difference must measure."""
    if not 0 < alpha < 1:
        raise NeuroglossError(f"alpha is {alpha}; it is the chance of a false alarm, so write one between 0 and 1.")
    if not alpha < power < 1:
        raise NeuroglossError(
            f"power is {power}; it is the chance of seeing the difference, so write one between alpha ({alpha}) and 1."
        )
    return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))


# ------------------------------------------------------------------------------------------------ levels and their bins


def together(groups: Iterable[Sequence[ReliabilityBin]]) -> tuple[ReliabilityBin, ...]:
    """The bins of the tokens of several groups; a group without bins adds nothing."""
    columns = zip(*(bins for bins in groups if bins), strict=True)
    return tuple(
        ReliabilityBin(
            sum(one.tokens for one in column),
            math.fsum(one.predicted for one in column),
            math.fsum(one.actual for one in column),
        )
        for column in columns
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """The expected calibration error, from 0 to 1; NaN where there are no tokens.

    ``ECE = sum_b (n_b / N) * |mean predicted in b - mean actual in b|`` over bins b with n_b of all N tokens, predicted
    and actual being shares of the highest level.
    """
    tokens = sum(one.tokens for one in bins)
    return math.fsum(abs(one.predicted - one.actual) for one in bins) / tokens if tokens else math.nan


# -------------------------------------------------------------------------------------------------- units of resampling


def _sorted(values: Sequence[float]) -> FloatArray:
    array = np.sort(np.asarray(values, dtype=np.float64))
    if not np.isfinite(array).all():
        raise NeuroglossError(
            "a score to be averaged is not a finite number; leave the neuron out and count it as missing."
        )
    return array


def _clustered(values: Sequence[float], clusters: Sequence[Hashable] | None) -> tuple[FloatArray, FloatArray]:
    """The sum and the number of the values of each cluster, in an order of their own [clusters]."""
    if clusters is None:
        array = _sorted(values)
        return array, np.ones(array.size)
    members: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        members.setdefault(cluster, []).append(value)
    pairs = sorted((math.fsum(some), len(some)) for some in members.values())
    return np.array([total for total, _ in pairs]), np.array([float(number) for _, number in pairs])


def _pooled_mean(sums: FloatArray, counts: FloatArray, axis: int) -> FloatArray:
    return np.asarray(sums.sum(axis=axis) / counts.sum(axis=axis))


def _expanded(confidence: float, units: int) -> float:
    """The confidence at which percentiles of a bootstrap of ``units`` reach as far as Student's interval."""
    reach = math.sqrt(units / (units - 1)) * stats.t.ppf(0.5 + confidence / 2, units - 1)
    return float(min(2 * stats.norm.cdf(reach) - 1, 1 - 1e-12))


def _mean(values: Iterable[float]) -> float:
    some = list(values)
    return math.fsum(some) / len(some) if some else math.nan


def _degenerate(scored: Sequence[ScoredExplanation]) -> int:
    """Number of neurons all of whose headline scores are 0 by convention."""
    headline = [item for item in scored if HEADLINE in item.scores.values]
    sound = {item.explanation.neuron for item in headline if HEADLINE not in item.scores.degenerate}
    return len({item.explanation.neuron for item in headline} - sound)
