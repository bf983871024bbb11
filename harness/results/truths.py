"""How far a simulator can be trusted: its rows over units whose explanation is known.

The unit is the puzzle: every interval is a seeded bootstrap over puzzles.

====================  ==============================================================================================
metric                mean over the units that have it of
====================  ==============================================================================================
correlation           the correlation of simulated and real levels, given the true explanation
auroc, auprc          how well the simulation, given the true explanation, ranks the tokens that fire
margin                truth's correlation minus a false explanation's, averaged over the unit's false explanations
beats_near            the share of the unit's near misses that the truth outscores, ties counting one half
beats_unrelated       the same of the explanations that have nothing to do with the unit
beats_unspecified     the same of those of which nobody says how they are false
====================  ==============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import stats
from harness.results.rows import Resampling
from harness.results.vocabulary import ResultRow, TruthSummary
from harness.scores.reliability import calibration_error, together
from harness.types import Role, ScoredExplanation, Scores, Unit, Validity


@dataclass(frozen=True, slots=True)
class Truth:
    """What a simulator makes of one unit: the scores of the true explanation, and each false one's correlation.

    ``false`` has a pair (what is known of it, its correlation) for each; NaN if it has none.
    """

    unit: Unit
    scores: Scores
    false: tuple[tuple[Validity, float], ...]

    @property
    def correlation(self) -> float:
        """The correlation given the true explanation; NaN if it is missing."""
        return self.scores.values.get("correlation", math.nan)

    @property
    def figures(self) -> dict[str, float]:
        """The metrics that this unit has a value of."""
        values = {name: self.scores.values.get(name, math.nan) for name in ("correlation", "auroc", "auprc")}
        values["margin"] = _mean([self.correlation - value for _, value in self.false])
        for validity in list(Validity)[1:]:
            wins = [stats.won(self.correlation, value) for kind, value in self.false if kind is validity]
            values[f"beats_{validity}"] = _mean(wins)
        return {name: value for name, value in values.items() if not math.isnan(value)}


def truths(rows: Sequence[ResultRow], simulator: str) -> list[Truth]:
    """Return what a simulator makes of each unit whose explanation is known, in the order of the units."""
    by_unit: dict[Unit, list[ScoredExplanation]] = {}
    for row in rows:
        if row.summary.role is Role.TOLD and row.summary.simulator == simulator:
            for explanation in row.scored:
                by_unit.setdefault(explanation.unit, []).append(explanation)
    return [_truth(unit, explanations) for unit, explanations in by_unit.items()]


def _truth(unit: Unit, explanations: Sequence[ScoredExplanation]) -> Truth:
    by_validity = [(Validity(item.explanation.explainer), item.scores) for item in explanations]
    scores = next(scores for validity, scores in by_validity if validity is Validity.TRUE)
    false = [
        (validity, scores.values.get("correlation", math.nan))
        for validity, scores in by_validity
        if validity is not Validity.TRUE
    ]
    return Truth(unit, scores, tuple(false))


def summaries(
    rows: Sequence[ResultRow], simulator: str, categories: Mapping[str, str], resampling: Resampling
) -> list[TruthSummary]:
    """Return the summary of a simulator over all units whose explanation is known, then over those of each category.

    None if there are no such units; categories are in the order of their first unit.
    """
    units = truths(rows, simulator)
    names = dict.fromkeys(categories.get(str(truth.unit), "") for truth in units)
    groups = {"": units} | {
        name: [truth for truth in units if categories.get(str(truth.unit)) == name] for name in names if name
    }
    return [_summary(simulator, name, group, resampling) for name, group in groups.items() if group]


def _summary(simulator: str, category: str, units: Sequence[Truth], resampling: Resampling) -> TruthSummary:
    figures = [truth.figures for truth in units]
    names = dict.fromkeys(name for values in figures for name in values)
    return TruthSummary(
        simulator=simulator,
        category=category,
        metrics={
            name: resampling.interval(
                {truth.unit: values[name] for truth, values in zip(units, figures, strict=True) if name in values}, name
            )
            for name in names
        },
        calibration_error=calibration_error(together(truth.scores.reliability for truth in units)),
        units=len(units),
        scored=sum(not math.isnan(truth.correlation) for truth in units),
        degenerate=sum("correlation" in truth.scores.degenerate for truth in units),
        tokens=sum(truth.scores.tokens for truth in units),
        missing_tokens=sum(truth.scores.missing_tokens for truth in units),
    )


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are there; NaN if there are none."""
    finite = [value for value in values if not math.isnan(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
