"""Rows of a board: intervals, summaries, ranks and comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.types.methods import Role, Usage


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over units, with the ends of its 95 % interval and their number; a metric that is unbounded below has the
    median in its place (:func:`harness.stats.unbounded`)."""

    mean: float
    low: float
    high: float
    units: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a board: an explainer's scores by one simulator over the units of a run.

    Attributes:
        explainer: the name of the explainer, its model included.
        role: what the row stands for.
        simulator: the simulator that scored it (a table is always scored by ``lookup``).
        metrics: metric name -> interval over the units that have it.
        units: units asked for; ``scored`` of them have the headline score, and of ``abstained`` the explainer answered
            and gave no explanation, for which a floor's score stands in ranked means.
        degenerate: units whose headline is 0 by convention because an input was constant.
        outcomes: explanations by outcome.
        missing_tokens: scored positions for which the simulator gave nothing.
        explain_usage, simulate_usage, judge_usage: what the explanations, their simulations and judgements cost.
        judgements: cases that judges were put; ``missing_judgements`` of them got no answer.
    """

    explainer: str
    role: Role
    simulator: str
    metrics: Mapping[str, Interval]
    units: int
    scored: int
    degenerate: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    missing_tokens: int = 0
    explain_usage: Usage = field(default_factory=Usage)
    simulate_usage: Usage = field(default_factory=Usage)
    judge_usage: Usage = field(default_factory=Usage)
    judgements: int = 0
    missing_judgements: int = 0
    abstained: int = 0

    @property
    def usage(self) -> Usage:
        """All that the row cost."""
        return self.explain_usage + self.simulate_usage + self.judge_usage

    @property
    def coverage(self) -> float:
        """Share of the units asked for that have a headline score, or an answer that was no explanation."""
        return (self.scored + self.abstained) / self.units if self.units else 0.0


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """What names a row of a board: an explainer, its model included, and the simulator that scored it."""

    explainer: str
    simulator: str


@dataclass(frozen=True, slots=True)
class RankRange:
    """The best and the worst rank (from 1) that a row can have."""

    best: int
    worst: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much higher ``first`` scores than ``second`` on the units that both have.

    Attributes:
        first, second: the names of two explainers.
        difference: the mean paired difference and its interval; ``units`` counts those that both have.
        p_value: of exchangeable rows, two-sided, by flipping signs; NaN with fewer than two units.
        corrected: the same, corrected for all comparisons of the board (:func:`harness.stats.sign_flips`).
        least: the least corrected p-value that differences of these sizes can have; from 0.05 on nothing can be told.
        deviation: standard deviation of the differences over units, by which a number of units is planned.
    """

    first: str
    second: str
    difference: Interval
    p_value: float
    corrected: float
    least: float = math.nan
    deviation: float = math.nan


@dataclass(frozen=True, slots=True)
class Standing:
    """How the rows of one simulator stand to each other by ``metric``.

    Attributes:
        simulator: which.
        metric: what the rows are compared by.
        by_group: whether resamples drew whole groups of units (layers).
        ranks: explainer -> the ranks that it can have, of those that are ranked, best first.
        comparisons: the ranked rows with each other, best first, then with the floors.
        means: explainer -> the mean that it is ranked by, in which a floor's score stands for a missing explanation.
        on_random: the ranked rows with the floors, by the same metric over random excerpts alone.
    """

    simulator: str
    metric: str
    by_group: bool
    ranks: Mapping[str, RankRange]
    comparisons: tuple[Comparison, ...]
    means: Mapping[str, Interval] = field(default_factory=dict)
    on_random: tuple[Comparison, ...] = ()
