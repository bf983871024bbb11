"""The final: each explainer's score on the test excerpts beside that on the valid ones, looked at once.

Explainers are developed, chosen and compared on valid excerpts, so that in time they fit them. The test excerpts are
looked at once for a run, when all else is decided, and the gap is what the valid ones flattered by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.results.audit import FinalRow
from harness.results.rows import Resampling, by_unit
from harness.results.vocabulary import ResultRow
from harness.stats import HEADLINE
from harness.types import ScoredExplanation


def rows(
    valid: Sequence[ResultRow], test: Mapping[str, Sequence[ScoredExplanation]], resampling: Resampling
) -> tuple[FinalRow, ...]:
    """Return each explainer's headline on both sets of excerpts, on the units that have both, in the order of rows.

    Args:
        valid: the rows of the run under its own simulator.
        test: explainer -> its explanations, scored on test excerpts.
        resampling: how intervals are made.
    """
    members = [row for row in valid if row.summary.explainer in test]
    pairs = [(by_unit(row.scored), by_unit(test[row.summary.explainer])) for row in members]
    shared = [{unit: first[unit] for unit in first if unit in second} for first, second in pairs]
    gaps = [
        {unit: value - second[unit] for unit, value in first.items()}
        for first, (_, second) in zip(shared, pairs, strict=True)
    ]
    return tuple(
        FinalRow(
            explainer=row.summary.explainer,
            valid=resampling.interval(first, HEADLINE),
            test=resampling.interval({unit: second[unit] for unit in first}, HEADLINE),
            gap=resampling.interval(gap, HEADLINE),
        )
        for row, first, (_, second), gap in zip(members, shared, pairs, gaps, strict=True)
    )
