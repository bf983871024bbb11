"""Statistics over neurons: intervals, paired differences, rows of a board. The unit is the neuron, never the token.

Nothing here depends on the order in which neurons were worked on: values are sorted before they are resampled, since a
seeded resample picks positions, and another order would give another interval. All randomness comes from the seed.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from harness.types import (
    FloatArray,
    Interval,
    NeuroglossError,
    NeuronId,
    ReliabilityBin,
    Role,
    ScoredExplanation,
    Summary,
    Usage,
)

HEADLINE = "correlation"
"""The metric by which explainers are ranked."""
RESAMPLES = 9999
CONFIDENCE = 0.95
Method = Literal["BCa", "percentile"]
_TIE = 1e-12  # scores closer than this differ by float noise
_CELLS = 1_000_000  # numbers resampled at a time, to bound memory


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much higher one explainer scores than another on the same neurons: ``interval`` is of the mean difference,
    ``p_value`` that of a two-sided sign-flip permutation test of no difference; NaN with fewer than two neurons."""

    interval: Interval
    p_value: float


def mean_interval(
    values: Sequence[float], seed: int, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """The mean over neurons and its bias-corrected and accelerated bootstrap interval (Efron 1987, by scipy).

    Args:
        values: one score for each neuron, in any order.
        seed: of the resampling.
        confidence: of the interval, between 0 and 1.
        resamples: number of bootstrap resamples.

    Returns:
        NaN ends where there are fewer than two neurons, which say nothing of their spread; a NaN mean where there are
        none; ends equal to the mean where all values are equal.

    Raises:
        NeuroglossError: a value is not finite: leave missing neurons out, and let the coverage say so.
    """
    array = _sorted(values)
    if not array.size:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = math.fsum(array) / array.size
    if array[0] == array[-1]:  # no resample can differ
        mean = float(array[0])
        end = mean if array.size > 1 else math.nan
        return Interval(mean, end, end, array.size)
    low, high = _ends(array, "BCa", seed, confidence, resamples)
    if math.isnan(low) or math.isnan(high):  # too few distinct values for its corrections
        low, high = _ends(array, "percentile", seed, confidence, resamples)
    return Interval(mean, low, high, array.size)


def paired_difference(
    a: Mapping[NeuronId, float], b: Mapping[NeuronId, float], seed: int, resamples: int = RESAMPLES
) -> PairedDifference:
    """How much higher ``a`` scores than ``b``, over the neurons that both have.

    Args:
        a: a score for each neuron.
        b: another's.
        seed: of the bootstrap and of the permutations.
        resamples: number of each; the permutation test is exact where there are no more sign patterns than that.

    Raises:
        NeuroglossError: a value is not finite.
    """
    differences = _sorted([a[neuron] - b[neuron] for neuron in a.keys() & b.keys()])
    interval = mean_interval(differences.tolist(), seed, resamples=resamples)
    if differences.size < 2:
        return PairedDifference(interval, math.nan)
    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _CELLS // differences.size),
        rng=np.random.default_rng(seed),
    )
    return PairedDifference(interval, float(test.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979), in the same order; NaN, a test that was not made, stays NaN."""
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    corrected = [math.nan] * len(p_values)
    least = 0.0
    for done, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - done) * p_values[i]))
        corrected[i] = least
    return corrected


def rank_ranges(intervals: Sequence[Interval]) -> list[tuple[int, int]]:
    """The best and the worst rank (from 1) that each mean can have: those whose intervals overlap share ranks.

    An interval without ends overlaps every other.
    """
    above = [sum(other.low > mine.high for other in intervals) for mine in intervals]
    below = [sum(other.high < mine.low for other in intervals) for mine in intervals]
    return [(1 + up, len(intervals) - down) for up, down in zip(above, below, strict=True)]


def rank(best: int, worst: int) -> str:
    """A range of ranks for a table."""
    return str(best) if best == worst else f"{best}–{worst}"


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


def summarise(  # noqa: PLR0913 - the columns of a row that can not be read off its scores
    explainer: str,
    role: Role,
    simulator: str,
    scored: Sequence[ScoredExplanation],
    *,
    seed: int,
    neurons: int | None = None,
    resamples: int = RESAMPLES,
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
    """
    names = dict.fromkeys(name for item in scored for name in item.scores.values)
    return Summary(
        explainer=explainer,
        role=role,
        simulator=simulator,
        metrics={
            name: mean_interval(list(by_neuron(scored, name).values()), seed, resamples=resamples) for name in names
        },
        neurons=len({item.explanation.neuron for item in scored}) if neurons is None else neurons,
        scored=len(by_neuron(scored)),
        degenerate=_degenerate(scored),
        outcomes=dict(sorted(Counter(item.explanation.outcome.value for item in scored).items())),
        missing_tokens=sum(item.scores.missing_tokens for item in scored),
        explain_usage=sum((item.explanation.usage for item in scored), Usage()),
        simulate_usage=sum((part.simulation.usage for item in scored for part in item.simulated), Usage()),
    )


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


def _sorted(values: Sequence[float]) -> FloatArray:
    array = np.sort(np.asarray(values, dtype=np.float64))
    if not np.isfinite(array).all():
        raise NeuroglossError(
            "a score to be averaged is not a finite number; leave the neuron out and count it as missing."
        )
    return array


def _ends(array: FloatArray, method: Method, seed: int, confidence: float, resamples: int) -> tuple[float, float]:
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # answered by the caller
        result = stats.bootstrap(
            (array,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            batch=max(1, _CELLS // array.size),
            method=method,
            rng=np.random.default_rng(seed),
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _degenerate(scored: Sequence[ScoredExplanation]) -> int:
    """Number of neurons all of whose headline scores are 0 by convention."""
    headline = [item for item in scored if HEADLINE in item.scores.values]
    sound = {item.explanation.neuron for item in headline if HEADLINE not in item.scores.degenerate}
    return len({item.explanation.neuron for item in headline} - sound)
