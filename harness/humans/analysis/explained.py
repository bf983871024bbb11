"""People as explainers: each person a row, several on one unit as their mean, their best and pooled, beside methods.

*Mean* is the average score of the explanations that a unit has by people; *best* is the highest of them, which picks
with hindsight and rises with their number; *pooled* is the score of the average of their simulations, token by token:
what several people say together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import stats
from harness.humans.analysis.simulated import SimulatedExcerpt
from harness.results.rows import Resampling, by_unit
from harness.results.run import Results
from harness.results.vocabulary import ResultRow
from harness.scores.metrics import correlation
from harness.stats import HEADLINE
from harness.types import Comparison, FloatArray, Interval, Role, ScoredExplanation, Unit

MEAN, BEST, POOLED = "people: mean", "people: best", "people: pooled"
BESIDE = (Role.EXPLAINER, Role.FLOOR)
"""The roles of rows that people are compared with."""


@dataclass(frozen=True, slots=True)
class HumanRow:
    """A row of people: one person, or several together, with the headline over the units that they explained."""

    name: str
    score: Interval


@dataclass(frozen=True, slots=True)
class HumanRows:
    """All rows of people, each person and then all together, and how they stand to each explainer on the same units.

    Attributes:
        rows: of people.
        comparisons: of people's mean and pooled rows with each other row, as one family.
        shared: units that several people explained; the units that one did have the same mean, best and pooled score.
    """

    rows: tuple[HumanRow, ...]
    comparisons: tuple[Comparison, ...]
    shared: int


def human_rows(results: Results, excerpts: Sequence[SimulatedExcerpt], settings: Resampling) -> HumanRows:
    """Return the rows of people under a run's own simulator; none if the run has no explanation by a person.

    Args:
        results: of a run with people as an explainer.
        excerpts: its simulated excerpts.
        settings: how p-values are made.
    """
    simulator = results.simulator.name
    rows = [row for row in results.rows if row.summary.simulator == simulator]
    scored = [item for row in rows if row.summary.role is Role.HUMAN for item in row.scored if _has_score(item)]
    people = sorted({item.explanation.annotator for item in scored})
    by_person = {name: by_unit([item for item in scored if item.explanation.annotator == name]) for name in people}
    together = _together(by_person, scored, [item for item in excerpts if item.simulator == simulator])
    scores_by_row = {**by_person, **together} if people else {}
    rivals = [row for row in rows if row.summary.role in BESIDE]
    return HumanRows(
        tuple(HumanRow(name, stats.mean_interval(list(scores.values()))) for name, scores in scores_by_row.items()),
        _comparisons(together, rivals, settings) if people else (),
        sum(sum(unit in scores for scores in by_person.values()) > 1 for unit in together[MEAN]),
    )


def _has_score(item: ScoredExplanation) -> bool:
    return item.explanation.in_words and HEADLINE in item.scores.values


def _together(
    by_person: Mapping[str, Mapping[Unit, float]],
    scored: Sequence[ScoredExplanation],
    excerpts: Sequence[SimulatedExcerpt],
) -> dict[str, dict[Unit, float]]:
    """Return the scores of all people together by unit: their mean, their best and pooled."""
    units = sorted({unit for scores in by_person.values() for unit in scores})
    values = {unit: [scores[unit] for scores in by_person.values() if unit in scores] for unit in units}
    keys = {(item.explanation.explainer, item.explanation.annotator, item.unit) for item in scored}
    members = [item for item in excerpts if (item.explainer, item.annotator, item.unit) in keys]
    return {
        MEAN: {unit: float(np.mean(values[unit])) for unit in units},
        BEST: {unit: max(values[unit]) for unit in units},
        POOLED: _pooled(members),
    }


def _pooled(excerpts: Sequence[SimulatedExcerpt]) -> dict[Unit, float]:
    """Return for each unit the correlation of real activations with the mean of people's simulations."""
    by_excerpt: dict[tuple[Unit, str], list[SimulatedExcerpt]] = {}
    for excerpt in excerpts:
        by_excerpt.setdefault((excerpt.unit, excerpt.excerpt), []).append(excerpt)
    columns: dict[Unit, list[FloatArray]] = {}
    for (unit, _), members in by_excerpt.items():
        simulated = np.mean([member.simulated for member in members], axis=0)
        columns.setdefault(unit, []).append(np.stack([members[0].real, simulated])[:, members[0].leading :])
    pooled = {}
    for unit, parts in sorted(columns.items()):
        real, simulated = np.concatenate(parts, axis=1)
        present = np.isfinite(simulated)
        if present.any():
            pooled[unit] = correlation(real[present], simulated[present])
    return pooled


def _comparisons(
    together: Mapping[str, Mapping[Unit, float]], rivals: Sequence[ResultRow], settings: Resampling
) -> tuple[Comparison, ...]:
    pairs = [(name, row.summary.explainer, together[name], by_unit(row.scored))
             for name in (MEAN, POOLED) for row in rivals]  # fmt: skip
    gaps = settings.differences([(people, scores) for _, _, people, scores in pairs])
    return tuple(
        Comparison(name, explainer, gap.interval, gap.p_value, gap.corrected, gap.least, gap.deviation)
        for (name, explainer, _, _), gap in zip(pairs, gaps, strict=True)
    )
