"""Rows of a board: summaries over units, ranks and paired comparisons, worked out from scored explanations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness import stats
from harness.results.vocabulary import ResultRow
from harness.stats import HEADLINE, RESAMPLES
from harness.types import (
    Comparison,
    Interval,
    Role,
    RowKey,
    ScoredExplanation,
    SimulatorInfo,
    Standing,
    Summary,
    Unit,
    Usage,
)

COMPARED = (Role.EXPLAINER, Role.HUMAN)
"""The roles of rows that are ranked, and compared with each other."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals, ranks and p-values are made.

    Attributes:
        seed: of everything that is drawn.
        resamples: bootstrap resamples behind each.
        by_group: whether whole groups of units (layers) are drawn and flipped.
    """

    seed: int = 0
    resamples: int = RESAMPLES
    by_group: bool = False

    def interval(self, scores: Mapping[Unit, float]) -> Interval:
        """Return the mean over units, with its interval."""
        return stats.unit_interval(scores, self.seed, self.resamples, self.by_group)

    def difference(self, first: Mapping[Unit, float], second: Mapping[Unit, float]) -> stats.PairedDifference:
        """Return how much higher ``first`` is, over the units that both have."""
        return stats.paired_difference(first, second, self.seed, self.resamples, self.by_group)


def by_unit(scored: Sequence[ScoredExplanation], metric: str = HEADLINE) -> dict[Unit, float]:
    """Return the metric of each unit that has it, in order of units; several explanations of one are averaged."""
    values: dict[Unit, list[float]] = {}
    for explanation in scored:
        if metric in explanation.scores.values:
            values.setdefault(explanation.unit, []).append(explanation.scores.values[metric])
    return {unit: math.fsum(values[unit]) / len(values[unit]) for unit in sorted(values)}


def summarise(
    key: RowKey, role: Role, scored: Sequence[ScoredExplanation], resampling: Resampling, units: int | None = None
) -> Summary:
    """Return one row of a board.

    Args:
        key: the row's name.
        role: what the row stands for.
        scored: its explanations, those without a score included; several of one unit count as one unit.
        resampling: how its intervals are made.
        units: number of units asked for; None for those that ``scored`` names.
    """
    names = dict.fromkeys(name for explanation in scored for name in explanation.scores.values)
    return Summary(
        explainer=key.explainer,
        role=role,
        simulator=key.simulator,
        metrics={name: resampling.interval(by_unit(scored, name)) for name in names},
        units=len({explanation.unit for explanation in scored}) if units is None else units,
        scored=len(by_unit(scored)),
        degenerate=_degenerate(scored),
        outcomes=dict(sorted(Counter(explanation.explanation.outcome.value for explanation in scored).items())),
        missing_tokens=sum(explanation.scores.missing_tokens for explanation in scored),
        explain_usage=sum((explanation.explanation.usage for explanation in scored), Usage()),
        simulate_usage=sum(
            (item.simulation.usage for explanation in scored for item in explanation.simulated), Usage()
        ),
        judge_usage=sum((case.judgement.usage for explanation in scored for case in explanation.judged), Usage()),
        judgements=sum(explanation.scores.judgements for explanation in scored),
        missing_judgements=sum(explanation.scores.missing_judgements for explanation in scored),
    )


def _degenerate(scored: Sequence[ScoredExplanation]) -> int:
    """Count the units whose headline is 0 by convention: all of their explanations that have one are degenerate."""
    units = {item.unit for item in scored if HEADLINE in item.scores.values}
    sound = {item.unit for item in scored if HEADLINE in item.scores.values and HEADLINE not in item.scores.degenerate}
    return len(units - sound)


def is_whole(row: Summary, minimum_coverage: float) -> bool:
    """Tell whether enough of the units have a score for their mean to stand beside others'."""
    return row.scored > 0 and row.coverage >= minimum_coverage


def is_ranked(row: Summary, simulator: str, minimum_coverage: float) -> bool:
    """Tell whether a row has a rank: it is no control, ``simulator`` scored it, and it is whole."""
    return row.role in COMPARED and row.simulator == simulator and is_whole(row, minimum_coverage)


def standings(
    result_rows: Sequence[ResultRow],
    simulators: Sequence[SimulatorInfo],
    minimum_coverage: float,
    resampling: Resampling,
    metric: str = HEADLINE,
) -> tuple[Standing, ...]:
    """Return how the rows of each simulator that explainers were scored by stand to each other, see :func:`standing`.

    The run's own simulator has a standing even if all explanations are tables, which are looked up. Rows of
    explanations that came with units are left out; there is no standing if there are no others.

    Args:
        result_rows: the rows of a run, or of several.
        simulators: those of the run, its own first.
        minimum_coverage: share of the units that must have a score for a row to be ranked.
        resampling: how ranks, intervals and p-values are made.
        metric: what the rows are compared by.
    """
    explained = [row for row in result_rows if row.summary.role is not Role.TOLD]
    summaries = [row.summary for row in explained]
    scores = {row.key: by_unit(row.scored, metric) for row in explained}
    scoring = {simulators[0].name, *(summary.simulator for summary in summaries)}
    names = [info.name for info in simulators if info.name in scoring]
    return tuple(standing(summaries, scores, name, minimum_coverage, resampling, metric) for name in names if explained)


def standing(  # noqa: PLR0913, PLR0917  # what a board is made of
    summaries: Sequence[Summary],
    scores: Mapping[RowKey, Mapping[Unit, float]],
    simulator: str,
    minimum_coverage: float,
    resampling: Resampling,
    metric: str = HEADLINE,
) -> Standing:
    """Return the ranks that the rows of one simulator can have, and every paired comparison.

    Compared are the ranked rows with each other, and with each floor under the same simulator; the p-values of all of
    them are corrected together.

    Args:
        summaries: the rows.
        scores: of each row, by unit.
        simulator: rows that another one scored are left out.
        minimum_coverage: share of the units that must have a score for a row to be ranked.
        resampling: how ranks, intervals and p-values are made.
        metric: what the scores are of.
    """
    by_name = {row.explainer: scores[RowKey(row.explainer, row.simulator)] for row in summaries
               if row.simulator == simulator}  # fmt: skip
    ranked = [row.explainer for row in summaries if is_ranked(row, simulator, minimum_coverage)]
    floors = [
        row.explainer
        for row in summaries
        if row.role is Role.FLOOR and row.simulator == simulator and is_whole(row, minimum_coverage)
    ]
    ranked.sort(key=lambda name: (-_mean(by_name[name]), name))
    pairs = [*combinations(ranked, 2), *((name, floor) for name in ranked for floor in floors)]
    differences = [resampling.difference(by_name[first], by_name[second]) for first, second in pairs]
    corrected = stats.holm([difference.p_value for difference in differences])
    ranges = stats.rank_intervals(
        [by_name[name] for name in ranked],
        resampling.seed,
        resampling.resamples,
        cluster=stats.group if resampling.by_group else None,
    )
    return Standing(
        simulator=simulator,
        metric=metric,
        by_group=resampling.by_group,
        ranks=dict(zip(ranked, ranges, strict=True)),
        comparisons=tuple(
            Comparison(first, second, difference.interval, difference.p_value, p_value)
            for (first, second), difference, p_value in zip(pairs, differences, corrected, strict=True)
        ),
    )


def _mean(scores: Mapping[Unit, float]) -> float:
    return math.fsum(scores.values()) / len(scores) if scores else math.nan
