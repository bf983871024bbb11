"""Strengths: the model's own likelihood, choix where there are no ties, and intervals that hold what is known."""

from __future__ import annotations

import math

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.humans.analysis import strengths
from harness.humans.analysis.comparisons import Comparison, Preference, comparisons
from harness.humans.analysis.process import Process, davidson, ratings
from harness.types import Unit

FIRST, SECOND, BOTH, NEITHER = Preference
RANKED = (FIRST, SECOND, BOTH)
TRUTH = {"A": 0.9, "B": 0.1, "C": -1.0}


def fitted(compared: list[Comparison]) -> dict[str, float]:
    return {row.author: row.interval.mean for row in strengths.fit(compared).rows}


def test_two_explainers_have_the_strengths_that_davidson_gives_in_closed_form(compare) -> None:
    """With 12, 3 and 5 answers p1 : p2 = 12 : 3, and nu = 5 / sqrt(12 * 3)."""
    fit = strengths.fit(compare("a", "b", [FIRST] * 12 + [SECOND] * 3 + [BOTH] * 5))
    assert fit.rows[0].author == "a"
    assert fit.rows[0].interval.mean == pytest.approx(math.log(12 / 3) / 2, abs=1e-6)
    assert fit.ties == pytest.approx(5 / 6, abs=1e-6)
    error = math.sqrt(1 / 12 + 1 / 3)  # of log p1 / p2, as of any log odds
    assert fit.rows[0].errors[0] == pytest.approx(error / 2, abs=1e-6)


def test_no_other_strengths_make_the_answers_more_likely() -> None:
    compared = comparisons(ratings(Process(TRUTH, units=12, pairs=6, random=1.0), seed=4))
    fit = strengths.fit(compared)
    best = np.array([*(row.interval.mean for row in sorted(fit.rows, key=lambda row: row.author)), math.log(fit.ties)])

    def likelihood(parameters: np.ndarray) -> float:
        chances = {
            (first, second): davidson(
                parameters["ABC".index(first)], parameters["ABC".index(second)], np.exp(parameters[3])
            )
            for first, second in (("A", "B"), ("A", "C"), ("B", "C"))
        }
        answers = [item for item in compared if item.preference is not NEITHER]
        return sum(math.log(chances[item.first, item.second][RANKED.index(item.preference)]) for item in answers)

    steps = np.random.default_rng(0).normal(0, 0.02, (50, 4))
    assert max(likelihood(best + step) for step in steps) < likelihood(best)


def test_without_ties_it_is_the_maximum_likelihood_of_choix() -> None:
    compared = comparisons(ratings(Process(TRUTH, ties=0.0, neither=0.0, random=1.0), seed=3))
    names = sorted(TRUTH)
    pairs = [
        tuple(names.index(author) for author in pair)
        for item in compared
        for pair in [(item.first, item.second) if item.preference is FIRST else (item.second, item.first)]
    ]
    expected = choix.opt_pairwise(3, pairs, alpha=1e-12, tol=1e-10)
    values = fitted(compared)
    assert [values[name] for name in names] == pytest.approx((expected - expected.mean()).tolist(), abs=1e-5)
    assert strengths.fit(compared).ties == 0.0


def test_neither_changes_no_strength_and_is_a_rate_of_its_own(compare) -> None:
    ranked = compare("a", "b", [FIRST] * 9 + [SECOND] * 4 + [BOTH] * 2)
    silent = compare("a", "b", [NEITHER] * 5)
    fit = strengths.fit([*ranked, *silent])
    assert fitted([*ranked, *silent]) == fitted(ranked)
    assert (fit.comparisons, fit.neither) == (15, 5)
    assert [row.neither for row in fit.rows] == [0.25, 0.25]


def test_both_draws_strengths_together(compare) -> None:
    decided = compare("a", "b", [FIRST] * 9 + [SECOND] * 4)
    tied = [*decided, *compare("a", "b", [BOTH] * 20)]
    gap, gap_with_ties = fitted(decided)["a"], fitted(tied)["a"]
    assert gap_with_ties == pytest.approx(gap, abs=1e-6)  # ties move nu alone if there are but two
    three = [*compare("a", "c", [FIRST] * 6 + [SECOND] * 5), *compare("b", "c", [FIRST] * 5 + [SECOND] * 5)]
    assert (
        fitted([*tied, *three])["a"] - fitted([*tied, *three])["b"]
        < fitted([*decided, *three])["a"] - fitted([*decided, *three])["b"]
    )


def test_explainers_that_never_met_or_never_lost_have_no_strengths_but_a_reason(compare) -> None:
    never_lost = strengths.fit(compare("a", "b", [FIRST] * 8))
    never_met = strengths.fit([*compare("a", "b", [FIRST, SECOND]), *compare("c", "d", [FIRST, SECOND])])
    assert never_lost.rows == never_met.rows == ()
    assert "a and b have not each been preferred" in never_lost.reason
    assert "a, b and c, d have not" in never_met.reason
    assert strengths.fit([]).reason == "no two explainers were compared"


def test_two_units_have_no_intervals(compare) -> None:
    fit = strengths.fit(compare("a", "b", [FIRST, FIRST, SECOND, BOTH] * 3, units=2))
    assert math.isnan(fit.rows[0].interval.low)
    assert not fit.contrasts[0].differs


def test_answers_that_go_together_on_a_unit_widen_the_interval(compare) -> None:
    """The same answers, spread over units, or each unit's all alike."""
    spread = compare("a", "b", [FIRST, FIRST, SECOND, BOTH] * 10, units=10)
    alike = [
        Comparison(Unit("N", 0, place), "p", "a", "b", ("", ""), preference, True)
        for place, preference in enumerate([*[FIRST] * 5, *[SECOND] * 3, *[BOTH] * 2])
        for _ in range(4)
    ]
    model, clustered = strengths.fit(alike).rows[0].errors
    assert clustered > 1.5 * model
    reach = strengths.reach_of(max(model, clustered), 10)
    interval = strengths.fit(alike).rows[0].interval
    assert interval.high - interval.mean == pytest.approx(reach)
    model, clustered = strengths.fit(spread).rows[0].errors
    assert clustered < model


@settings(max_examples=15)
@given(st.permutations(range(60)), st.sampled_from([{"A": "z", "B": "y", "C": "x"}, {"A": "m", "B": "a", "C": "q"}]))
def test_order_of_answers_and_names_do_not_matter(order: list[int], names: dict[str, str]) -> None:
    compared = comparisons(ratings(Process(TRUTH, units=6, random=1.0), seed=1))
    values = fitted(compared)
    renamed = []
    for place in order:
        item = compared[place]
        first, second = names[item.first], names[item.second]
        swapped = {FIRST: SECOND, SECOND: FIRST}.get(item.preference, item.preference)
        sides, preference = ((first, second), item.preference) if first < second else ((second, first), swapped)
        renamed.append(Comparison(item.unit, item.annotator, *sides, ("", ""), preference, item.is_random))
    assert {name: fitted(renamed)[names[name]] for name in names} == pytest.approx(values, abs=1e-5)


def test_known_strengths_lie_in_their_intervals() -> None:
    """A small version of benchmarks/human_strengths.py: 40 studies by the random process, with effects of units."""
    process = Process(TRUTH, units=12, pairs=8, ties=0.5, random=1.0)
    held = []
    for seed in range(40):
        rows = strengths.fit(comparisons(ratings(process, seed))).rows
        held += [row.interval.low <= TRUTH[row.author] <= row.interval.high for row in rows]
    assert len(held) == 120
    assert 0.9 <= np.mean(held) <= 0.995


def test_contrasts_tell_apart_what_differs_much() -> None:
    fit = strengths.fit(comparisons(ratings(Process({"A": 1.2, "B": 1.1, "C": -1.2}, random=1.0), seed=2)))
    differing = {(gap.first, gap.second) for gap in fit.contrasts if gap.differs}
    assert differing == {("A", "C"), ("B", "C")}


def test_the_process_chooses_as_davidson_says() -> None:
    assert davidson(0.0, 0.0, 1.0).tolist() == pytest.approx([1 / 3] * 3)
    assert davidson(1.0, 0.0, 0.0)[0] == pytest.approx(1 / (1 + math.exp(-1)))
