"""Rows of a board: summaries over units, ranks and paired comparisons, worked out from scored explanations.

A row is ranked by its mean over all units for which its explainer was asked. Where it gave no explanation
(:data:`ABSTENTIONS`), the unit has the score of the floor, so that nobody gains by passing over hard units; what failed
on the way (a request, a simulation) is left out, and counted.
"""

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
    Outcome,
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
ABSTENTIONS = frozenset({Outcome.EMPTY, Outcome.REFUSED, Outcome.TRUNCATED, Outcome.COPIED})
"""The outcomes of explainers that answered and gave no explanation."""
RANDOM = "_random"
"""The ending of the metrics of random excerpts, which the top ones of a unit do not carry."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals, ranks and p-values are made.

    Attributes:
        seed: of everything that is drawn.
        resamples: of the bootstrap behind each range of ranks, and of the permutations behind each p-value.
        by_group: whether whole groups of units (layers) are the sample, and flipped whole.
    """

    seed: int = 0
    resamples: int = RESAMPLES
    by_group: bool = False

    def interval(self, scores: Mapping[Unit, float], metric: str = HEADLINE) -> Interval:
        """Return the mean over units with its interval, or the median of a metric that is unbounded."""
        return stats.unit_interval(scores, self.by_group, metric)

    def differences(
        self, pairs: Sequence[tuple[Mapping[Unit, float], Mapping[Unit, float]]], metrics: Sequence[str] | None = None
    ) -> list[stats.PairedDifference]:
        """Return how much higher the first of each pair is, the pairs being one family of tests."""
        return stats.paired_differences(pairs, self.seed, self.resamples, self.by_group, metrics)


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
        metrics={name: resampling.interval(by_unit(scored, name), name) for name in names},
        units=len({explanation.unit for explanation in scored}) if units is None else units,
        scored=len(by_unit(scored)),
        abstained=len(abstained(scored)),
        degenerate=_degenerate(scored),
        outcomes=dict(sorted(Counter(explanation.explanation.outcome.value for explanation in scored).items())),
        missing_tokens=sum(explanation.scores.missing_tokens for explanation in scored),
        explain_usage=sum((explanation.explanation.usage for explanation in scored), Usage()),
        simulate_usage=sum((explanation.simulate_usage for explanation in scored), Usage()),
        judge_usage=sum((explanation.judge_usage for explanation in scored), Usage()),
        judgements=sum(explanation.scores.judgements for explanation in scored),
        missing_judgements=sum(explanation.scores.missing_judgements for explanation in scored),
    )


def abstained(scored: Sequence[ScoredExplanation], metric: str = HEADLINE) -> set[Unit]:
    """Return the units without a score of which an explainer answered and gave no explanation."""
    silent: dict[Unit, bool] = {}
    for item in scored:
        gave_none = item.explanation.outcome in ABSTENTIONS and metric not in item.scores.values
        silent[item.unit] = silent.get(item.unit, True) and gave_none
    return {unit for unit, is_silent in silent.items() if is_silent}


def charged(row: ResultRow, floors: Sequence[ResultRow], metric: str = HEADLINE) -> dict[Unit, float]:
    """Return the metric of each unit; the mean of the floors' stands for that of a unit that was abstained on."""
    scores = by_unit(row.scored, metric)
    floor = by_unit([item for floor_row in floors for item in floor_row.scored], metric)
    missing = abstained(row.scored, metric) & floor.keys()
    return dict(sorted((scores | {unit: floor[unit] for unit in missing}).items()))


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


def floors_of(result_rows: Sequence[ResultRow], minimum_coverage: float) -> list[ResultRow]:
    """Return the floors among rows of one simulator that are whole enough to be compared with."""
    return [row for row in result_rows if row.summary.role is Role.FLOOR and is_whole(row.summary, minimum_coverage)]


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
        minimum_coverage: share of the units that must count for a row to be ranked.
        resampling: how ranks, intervals and p-values are made.
        metric: what the rows are compared by.
    """
    explained = [row for row in result_rows if row.summary.role is not Role.TOLD]
    scoring = {simulators[0].name, *(row.summary.simulator for row in explained)}
    names = [info.name for info in simulators if info.name in scoring]
    return tuple(standing(explained, name, minimum_coverage, resampling, metric) for name in names if explained)


def standing(
    result_rows: Sequence[ResultRow],
    simulator: str,
    minimum_coverage: float,
    resampling: Resampling,
    metric: str = HEADLINE,
) -> Standing:
    """Return the ranks that the rows of one simulator can have, and every paired comparison.

    Compared are the ranked rows with each other, and with each floor under the same simulator, as one family. They are
    compared with the floors once more on random excerpts alone, as a family of its own: a claim that needs both tests
    needs no correction for there being two (Berger 1982).

    Args:
        result_rows: the rows.
        simulator: rows that another one scored are left out.
        minimum_coverage: share of the units that must count for a row to be ranked.
        resampling: how ranks, intervals and p-values are made.
        metric: what the rows are compared by.
    """
    members = [row for row in result_rows if row.summary.simulator == simulator]
    floors = floors_of(members, minimum_coverage)
    ranked = [row for row in members if is_ranked(row.summary, simulator, minimum_coverage)]
    scores = {row.summary.explainer: charged(row, floors, metric) for row in ranked}
    means = {name: resampling.interval(values, metric) for name, values in scores.items()}
    ranked.sort(key=lambda row: (-means[row.summary.explainer].mean, row.summary.explainer))
    against_floors = [(row, floor) for row in ranked for floor in floors]
    ranges = stats.rank_intervals(
        [scores[row.summary.explainer] for row in ranked],
        resampling.seed,
        resampling.resamples,
        cluster=stats.group if resampling.by_group else None,
        medians=stats.unbounded(metric),
    )
    return Standing(
        simulator=simulator,
        metric=metric,
        by_group=resampling.by_group,
        ranks={row.summary.explainer: ranks for row, ranks in zip(ranked, ranges, strict=True)},
        comparisons=_comparisons([*combinations(ranked, 2), *against_floors], floors, resampling, metric),
        means={row.summary.explainer: means[row.summary.explainer] for row in ranked},
        on_random=_comparisons(against_floors, floors, resampling, f"{metric}{RANDOM}"),
    )


def _comparisons(
    pairs: Sequence[tuple[ResultRow, ResultRow]], floors: Sequence[ResultRow], resampling: Resampling, metric: str
) -> tuple[Comparison, ...]:
    """Return the comparisons of pairs of rows as one family; none if no row has the metric."""
    if not any(metric in row.summary.metrics for pair in pairs for row in pair):
        return ()
    scores = [(charged(first, floors, metric), charged(second, floors, metric)) for first, second in pairs]
    differences = resampling.differences(scores, [metric] * len(pairs))
    return tuple(
        Comparison(
            first.summary.explainer,
            second.summary.explainer,
            difference.interval,
            difference.p_value,
            difference.corrected,
            difference.least,
            difference.deviation,
        )
        for (first, second), difference in zip(pairs, differences, strict=True)
    )
