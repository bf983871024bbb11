"""The matrix of scores: how the scores of a run rank units and explainers against each other, truth, and length.

Scores that measure the same thing rank alike. Over *units*, the rank correlation of two scores is taken within each row
of the board and averaged over rows; over *explainers*, it is that of the rows' means over the units that all rows have.
Where a run knows the truth of its units (a control that recalls it), a score is held against it: in which share of
pairs does the true explanation outscore a floor's or a false one of the same unit? And against length: does it rank
the units of a row as the number of words of their explanations does? A score that does, more than chance, is named:
an explainer could raise it by writing more, or less.

Only explanations in words count, and only the scores that have a column on the board.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from scipy.stats import rankdata

from harness.results.audit import Matrix, MatrixCell, MatrixScore
from harness.results.rows import Resampling
from harness.results.run import Results
from harness.results.vocabulary import ResultRow
from harness.scores.metrics import is_constant, is_degenerate, spearman
from harness.stats import HEADLINE, NO_SCORES
from harness.types import FloatArray, Role, ScoredExplanation, Unit

LEAST = 4
"""Units, or rows, below which a rank correlation says nothing."""
PERMUTATIONS = 1999
FALSE = (Role.FLOOR, Role.NULL)
"""The roles of rows whose explanations are not the unit's truth."""

Values = Mapping[Unit, float]
Name = TypeVar("Name", Unit, str)
"""What scores are of: a unit, or a row."""


@dataclass(frozen=True)
class _Row:
    """A row of the board in words: the scores, and the number of words, of each unit that has one explanation."""

    name: str
    role: Role
    words: Values
    scores: Mapping[str, Values]


def of_run(results: Results, resampling: Resampling) -> Matrix:
    """Return the matrix of a run's scores under its own simulator.

    Args:
        results: of the run.
        resampling: the seed of the permutations by which a score is held against length.
    """
    rows = [_row(row) for row in results.rows if row.summary.simulator == results.simulator.name]
    rows = [row for row in rows if row.words]
    metrics = _metrics(results, rows)
    compared = [row for row in rows if row.role not in FALSE] or rows
    lengths = _against_length(compared, metrics, np.random.default_rng(resampling.seed))
    return Matrix(
        rows=tuple(row.name for row in rows),
        scores=tuple(MatrixScore(metric, *lengths[metric], *_against_truth(rows, metric)) for metric in metrics),
        cells=tuple(
            MatrixCell(first, second, _over_units(rows, first, second), _over_rows(rows, first, second))
            for first, second in combinations(metrics, 2)
        ),
    )


def _row(row: ResultRow) -> _Row:
    items = [item for item in row.scored if item.explanation.in_words]
    metrics = dict.fromkeys(name for item in items for name in item.scores.values)
    return _Row(
        f"{row.summary.explainer}",
        row.summary.role,
        {item.unit: float(len(item.explanation.text.split())) for item in items},
        {metric: values for metric in metrics if (values := _by_unit(items, metric))},
    )


def _by_unit(items: Sequence[ScoredExplanation], metric: str) -> dict[Unit, float]:
    """Return the scores that are no convention for a constant."""
    return {
        item.unit: item.scores.values[metric]
        for item in items
        if metric in item.scores.values and metric not in item.scores.degenerate
    }


def _metrics(results: Results, rows: Sequence[_Row]) -> list[str]:
    """Return the headline and the scores with a column, as far as a row has them."""
    columns = [heading.metric for scorer in results.scorers for heading in scorer.headings]
    present = {metric for row in rows for metric in row.scores}
    return [name for name in dict.fromkeys([HEADLINE, *columns]) if name in present and name not in NO_SCORES]


# ------------------------------------------------------------------------------------------------ against each other


def _over_units(rows: Sequence[_Row], first: str, second: str) -> float:
    """Return the rank correlation of two scores over the units of a row, averaged over rows; NaN if no row has any."""
    return _mean([rank_correlation(row.scores.get(first, {}), row.scores.get(second, {})) for row in rows])


def _over_rows(rows: Sequence[_Row], first: str, second: str) -> float:
    """Return the rank correlation of the means of two scores over rows, on the units that all of them have."""
    having = [row for row in rows if row.scores.get(first) and row.scores.get(second)]
    if len(having) < LEAST:
        return math.nan
    means = []
    for metric in (first, second):
        shared = set.intersection(*(set(row.scores[metric]) for row in having))
        means.append({row.name: _mean([row.scores[metric][unit] for unit in sorted(shared)]) for row in having})
    return rank_correlation(*means)


def rank_correlation(first: Mapping[Name, float], second: Mapping[Name, float]) -> float:
    """Return Spearman's rank correlation over the names of both; NaN for fewer than 4, or where a side is constant."""
    names = [name for name in first if name in second]
    sides = [np.array([values[name] for name in names]) for values in (first, second)]
    if len(names) < LEAST or np.isnan(sides).any() or is_degenerate(*sides):
        return math.nan
    return spearman(*sides)


# -------------------------------------------------------------------------------------------------- against the truth


def _against_truth(rows: Sequence[_Row], metric: str) -> tuple[float, int]:
    """Return the share of pairs in which a true explanation outscores a false one of its unit, and the number of units.

    A tie counts one half. It is NaN where no row has the truth, or none is known to be false.
    """
    true = [row.scores.get(metric, {}) for row in rows if row.role is Role.CEILING]
    false = [row.scores.get(metric, {}) for row in rows if row.role in FALSE]
    by_unit: dict[Unit, list[float]] = {}
    for truths in true:
        for other in false:
            for unit in truths.keys() & other.keys():
                difference = truths[unit] - other[unit]
                by_unit.setdefault(unit, []).append(0.5 + 0.5 * float(np.sign(difference)))
    return _mean([_mean(by_unit[unit]) for unit in sorted(by_unit)]), len(by_unit)


# --------------------------------------------------------------------------------------------------- against length


def _against_length(
    rows: Sequence[_Row], metrics: Sequence[str], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Return each score's rank correlation with the number of words, averaged over rows, and its p-value.

    Under the null the lengths of explanations say nothing of scores: units are permuted, in the same way in every row,
    and all scores are one family, corrected by the largest absolute correlation of a permutation (Westfall and Young).
    """
    units = sorted({unit for row in rows for unit in row.words})
    orders = np.array([np.arange(len(units)), *(rng.permutation(len(units)) for _ in range(PERMUTATIONS))])
    totals, counts = np.zeros((len(orders), len(metrics))), np.zeros(len(metrics))
    for row in rows:
        scores = np.array([_standard_ranks(row.scores.get(metric, {}), units) for metric in metrics])
        totals += _standard_ranks(row.words, units)[orders] @ scores.T
        counts += scores.any(axis=1)
    statistics = np.abs(totals / np.maximum(counts, 1))
    largest = statistics.max(axis=1, initial=0.0)
    values = [_mean([rank_correlation(row.scores.get(metric, {}), row.words) for row in rows]) for metric in metrics]
    return {
        metric: (value, math.nan if math.isnan(value) else float((largest >= statistic - 1e-12).mean()))
        for metric, value, statistic in zip(metrics, values, statistics[0].tolist(), strict=True)
    }


def _standard_ranks(values: Values, units: Sequence[Unit]) -> FloatArray:
    """Return the ranks of units with mean 0 and length 1 [units]; 0 where there is no value, or only one."""
    ranks = np.zeros(len(units))
    places = [place for place, unit in enumerate(units) if unit in values]
    column = np.array([values[units[place]] for place in places])
    if len(places) >= LEAST and not is_constant(column):
        centred = rankdata(column) - (len(places) + 1) / 2
        ranks[places] = centred / np.linalg.norm(centred)
    return ranks


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the values that there are; NaN for none."""
    present = [value for value in values if not math.isnan(value)]
    return math.fsum(present) / len(present) if present else math.nan
