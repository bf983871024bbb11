"""Which score agrees with people: one that drew their choices does, noise does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.humans.analysis import concordance
from harness.humans.analysis.comparisons import Comparison, Preference
from harness.results.rows import Resampling
from harness.types import Explanation, Role, ScoredExplanation, Scores, Unit

FIRST, SECOND = Preference.FIRST, Preference.SECOND
SETTINGS = Resampling(seed=0, resamples=999)
UNITS = [Unit("N", place % 3, place) for place in range(20)]


def made(seed: int = 0) -> tuple[list[Comparison], dict[str, dict[str, dict[Unit, float]]]]:
    """Return choices that follow ``good`` nine times in ten, by a random process, and three scores."""
    rng = np.random.default_rng(seed)
    scores = {
        name: {author: {unit: float(rng.normal()) for unit in UNITS} for author in "ab"} for name in ("good", "noise")
    }
    scores["copy"] = {author: {unit: 2 * value for unit, value in of.items()} for author, of in scores["good"].items()}
    compared = []
    for unit in UNITS:
        for person in ("p", "q"):
            is_first = (scores["good"]["a"][unit] > scores["good"]["b"][unit]) is bool(rng.random() < 0.9)
            compared.append(Comparison(unit, person, "a", "b", ("", ""), FIRST if is_first else SECOND, True))
    return compared, scores


def test_the_score_that_people_follow_is_first_and_its_copy_is_as_good() -> None:
    found = concordance.concordances(*made(), SETTINGS)
    rows = {row.metric: row for row in found.rows}
    assert [row.metric for row in found.rows] == ["copy", "good", "noise"]
    assert rows["good"].agreement == rows["copy"].agreement
    assert rows["good"].agreement.low > 0.5
    assert rows["noise"].agreement.low < 0.5 < rows["noise"].agreement.high
    assert rows["noise"].ranks.best == 3
    against = {gap.second: gap for gap in found.against_best}
    assert against["noise"].corrected < 0.05
    assert against["good"].difference.mean == 0
    assert rows["good"].ratings == 40


def test_ties_count_half_and_both_and_neither_nothing() -> None:
    unit = UNITS[0]
    answers = [FIRST, Preference.BOTH, Preference.NEITHER]
    compared = [Comparison(unit, "p", "a", "b", ("", ""), preference, True) for preference in answers]
    found = concordance.concordances(compared, {"flat": {"a": {unit: 1.0}, "b": {unit: 1.0}}}, SETTINGS)
    assert (found.rows[0].agreement.mean, found.rows[0].ratings) == (0.5, 1)
    assert found.rows[0].ranks is None
    assert found.against_best == ()


def test_ratings_that_a_score_says_nothing_of_are_left_out() -> None:
    compared, scores = made()
    del scores["good"]["a"][UNITS[0]]
    rows = {row.metric: row for row in concordance.concordances(compared, scores, SETTINGS).rows}
    assert (rows["good"].ratings, rows["good"].agreement.units) == (38, 19)
    assert rows["copy"].ratings == 40


def test_people_agree_with_each_other_by_pairs_of_people() -> None:
    unit = UNITS[0]
    compared = [
        Comparison(unit, person, "a", "b", ("", ""), preference, True)
        for person, preference in [("p", FIRST), ("q", FIRST), ("r", SECOND)]
    ]
    assert concordance.between_people(compared) == {unit: pytest.approx(1 / 3)}
    assert concordance.between_people(compared[:1]) == {}


def test_scores_are_those_of_explanations_in_words_under_the_own_simulator(make_results) -> None:
    items = [
        ScoredExplanation(
            Explanation(UNITS[0], "words"), "", (), None, Scores({"correlation": 0.5, "loss_change": 9.0})
        ),
        ScoredExplanation(Explanation(UNITS[1], table={"a": 1.0}), "", (), None, Scores({"correlation": 0.9})),
    ]
    results = make_results({"method": (Role.EXPLAINER, items)})
    assert concordance.scores_of(results) == {"correlation": {"method": {UNITS[0]: 0.5}}}
    assert math.isnan(concordance.concordances([], concordance.scores_of(results), SETTINGS).people.mean)
