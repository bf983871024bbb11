"""People's rows: each person, their mean, best and pooled, beside methods on the same units."""

from __future__ import annotations

import numpy as np
import pytest

from harness.humans.analysis import explained
from harness.humans.analysis.simulated import SimulatedExcerpt
from harness.results.rows import Resampling
from harness.scores.metrics import correlation
from harness.types import Explanation, Outcome, Role, ScoredExplanation, Scores, Unit

SETTINGS = Resampling(seed=0, resamples=999)
UNITS = [Unit("N", 0, place) for place in range(8)]
REAL = np.array([5.0, 0, 1, 2, 3])
SIMULATED = {"ada": np.array([0.0, 1, 0, 2, 3]), "bo": np.array([0.0, 0, 2, 1, 1])}


def scored(unit: Unit, person: str, score: float) -> ScoredExplanation:
    explanation = Explanation(unit, f"by {person}", annotator=person)
    return ScoredExplanation(explanation, "", (), None, Scores({"correlation": score}))


def excerpt(unit: Unit, person: str) -> SimulatedExcerpt:
    return SimulatedExcerpt("people", person, "all_at_once", unit, "key", 1, REAL, SIMULATED[person])


@pytest.fixture
def results(make_results):
    people = [scored(unit, "ada", 0.6) for unit in UNITS[:6]] + [scored(unit, "bo", 0.2) for unit in UNITS[2:6]]
    silent = ScoredExplanation(Explanation(UNITS[7], outcome=Outcome.NOT_COLLECTED), "", (), None, Scores({}))
    return make_results({"people": (Role.HUMAN, [*people, silent]), "method": (Role.EXPLAINER, 0.1)})


def test_each_person_is_a_row_and_none_is_dropped(results) -> None:
    simulator = results.simulator.name
    excerpts = [
        SimulatedExcerpt(
            item.explainer, item.annotator, simulator, item.unit, item.excerpt, 1, item.real, item.simulated
        )
        for item in [*(excerpt(unit, "ada") for unit in UNITS[:6]), *(excerpt(unit, "bo") for unit in UNITS[2:6])]
    ]
    rows = explained.human_rows(results, excerpts, SETTINGS)
    scores = {row.name: (round(row.score.mean, 6), row.score.units) for row in rows.rows}
    assert scores["ada"] == (0.6, 6)
    assert scores["bo"] == (0.2, 4)
    assert scores["people: mean"] == (round((2 * 0.6 + 4 * 0.4) / 6, 6), 6)
    assert scores["people: best"] == (0.6, 6)
    assert rows.shared == 4
    alone = correlation(REAL[1:], SIMULATED["ada"][1:])
    both = correlation(REAL[1:], (SIMULATED["ada"] + SIMULATED["bo"])[1:])
    assert scores["people: pooled"][0] == pytest.approx((2 * alone + 4 * both) / 6, abs=1e-5)


def test_people_are_compared_on_the_units_that_they_explained(results) -> None:
    rows = explained.human_rows(results, [], SETTINGS)
    gaps = {(gap.first, gap.second): gap.difference for gap in rows.comparisons}
    units = set(UNITS[:6]) & set(results.task.units)
    assert gaps["people: mean", "method"].units == len(units)


def test_a_run_without_people_has_no_rows(make_results) -> None:
    rows = explained.human_rows(make_results({"method": (Role.EXPLAINER, 0.1)}), [], SETTINGS)
    assert (rows.rows, rows.comparisons, rows.shared) == ((), (), 0)
