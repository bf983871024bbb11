"""Which automatic score agrees best with people: does the explanation that they prefer score higher?

A score *agrees* with a rating if it is higher for the explanation that was preferred; equal scores count one half. By
chance one half agree. Ratings of both or neither say nothing of order and are left out. The agreement of a score is its
mean over units, so that a unit with many ratings counts as one; scores are compared on the units that both have. The
row of people is how often one person agrees with the others who rated the same two explanations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import stats
from harness.humans.analysis.comparisons import Comparison, Preference
from harness.results.rows import Resampling, by_unit
from harness.results.run import Results
from harness.stats import NO_SCORES
from harness.types import Comparison as PairedComparison
from harness.types import Interval, RankRange, Unit

Scores = Mapping[str, Mapping[str, Mapping[Unit, float]]]
"""Metric -> explainer -> unit -> score."""
LEAST_UNITS = 6
"""Units below which a score is not compared with others."""


@dataclass(frozen=True, slots=True)
class Concordance:
    """How often a score agrees with people.

    Attributes:
        metric: which score.
        agreement: the share of ratings, as a mean over units with its interval.
        ratings: that the score says something of.
        ranks: the ranks that it can have among all scores; None of one that is on too few units to be ranked.
    """

    metric: str
    agreement: Interval
    ratings: int
    ranks: RankRange | None


@dataclass(frozen=True, slots=True)
class Concordances:
    """All scores, those that agree most first; ``against_best`` compares the first with each other one.

    ``people`` is the agreement of one person with others on the same pair; NaN where no two people rated one.
    """

    rows: tuple[Concordance, ...]
    against_best: tuple[PairedComparison, ...]
    people: Interval


def scores_of(results: Results) -> Scores:
    """Return all scores of explanations in words of a run under its own simulator."""
    scores: dict[str, dict[str, Mapping[Unit, float]]] = {}
    for row in results.rows:
        words = [item for item in row.scored if item.explanation.in_words]
        if row.summary.simulator != results.simulator.name or not words:
            continue
        for metric in dict.fromkeys(name for item in words for name in item.scores.values if name not in NO_SCORES):
            scores.setdefault(metric, {})[row.summary.explainer] = by_unit(words, metric)
    return scores


def concordances(compared: Sequence[Comparison], scores: Scores, settings: Resampling) -> Concordances:
    """Return how often each score agrees with people, compared as one family.

    Args:
        compared: ratings.
        scores: of the explanations that were rated.
        settings: how ranks and p-values are made.
    """
    decided = [item for item in compared if item.preference in (Preference.FIRST, Preference.SECOND)]
    agreeing = {metric: _agreements(decided, by_author) for metric, by_author in scores.items()}
    means = {metric: {unit: float(np.mean(values)) for unit, values in sorted(units.items())}
             for metric, units in agreeing.items() if units}  # fmt: skip
    intervals = {metric: share_interval(values) for metric, values in means.items()}
    order = sorted(means, key=lambda metric: (-intervals[metric].mean, metric))
    compared_metrics = [metric for metric in order if len(means[metric]) >= LEAST_UNITS]
    ranges = stats.rank_intervals([means[metric] for metric in compared_metrics], settings.seed, settings.resamples)
    ranks = dict(zip(compared_metrics, ranges, strict=True))
    return Concordances(
        tuple(
            Concordance(metric, intervals[metric], sum(map(len, agreeing[metric].values())), ranks.get(metric))
            for metric in order
        ),
        _against_best(compared_metrics, means, settings),
        share_interval(between_people(decided)),
    )


def _against_best(
    metrics: Sequence[str], means: Mapping[str, Mapping[Unit, float]], settings: Resampling
) -> tuple[PairedComparison, ...]:
    if len(metrics) < 2:
        return ()
    best, *rivals = metrics
    differences = settings.differences([(means[best], means[rival]) for rival in rivals])
    return tuple(
        PairedComparison(best, rival, gap.interval, gap.p_value, gap.corrected, gap.least, gap.deviation)
        for rival, gap in zip(rivals, differences, strict=True)
    )


def _agreements(decided: Sequence[Comparison], scores: Mapping[str, Mapping[Unit, float]]) -> dict[Unit, list[float]]:
    """Return for each unit whether the score agrees with each rating that it says something of."""
    agreements: dict[Unit, list[float]] = {}
    for item in decided:
        first, second = (scores.get(author, {}).get(item.unit, math.nan) for author in (item.first, item.second))
        if item.preference is Preference.SECOND:
            first, second = second, first
        agrees = stats.won(first, second)
        if not math.isnan(agrees):
            agreements.setdefault(item.unit, []).append(agrees)
    return agreements


def between_people(decided: Sequence[Comparison]) -> dict[Unit, float]:
    """Return for each unit how often two people who rated the same two explanations preferred the same one."""
    by_item: dict[tuple[Unit, str, str], list[Preference]] = {}
    for item in decided:
        by_item.setdefault(item.item, []).append(item.preference)
    shares: dict[Unit, list[float]] = {}
    for (unit, _, _), preferences in by_item.items():
        size, first = len(preferences), preferences.count(Preference.FIRST)
        if size > 1:
            alike = first * (first - 1) + (size - first) * (size - first - 1)
            shares.setdefault(unit, []).append(alike / (size * (size - 1)))
    return {unit: float(np.mean(values)) for unit, values in sorted(shares.items())}


def share_interval(values: Mapping[Unit, float]) -> Interval:
    """Return the mean of shares over units; ends outside 0 to 1 are moved there."""
    interval = stats.mean_interval(list(values.values()))
    low, high = np.clip((interval.low, interval.high), 0.0, 1.0).tolist()
    return Interval(interval.mean, low, high, interval.units)
