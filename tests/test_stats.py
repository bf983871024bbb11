from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness import stats
from harness.types import (
    Explanation,
    Interval,
    NeuroglossError,
    NeuronId,
    Outcome,
    Role,
    ScoredExplanation,
    Scores,
    Usage,
)

NEURONS = [NeuronId(layer, layer * 7 % 5) for layer in range(24)]
some = st.lists(st.floats(-1, 1).map(lambda value: round(value, 4)), min_size=2, max_size=30)


# ----------------------------------------------------------------------------------------------------------- intervals


@settings(max_examples=30, deadline=None)
@given(some, st.randoms(use_true_random=False))
def test_interval_does_not_depend_on_the_order_of_neurons(values: list[float], shuffler: random.Random) -> None:
    expected = stats.mean_interval(values, seed=5, resamples=200)
    shuffler.shuffle(values)
    assert stats.mean_interval(values, seed=5, resamples=200) == expected


@settings(max_examples=30, deadline=None)
@given(some)
def test_interval_holds_the_mean_and_lies_within_the_values(values: list[float]) -> None:
    interval = stats.mean_interval(values, seed=0, resamples=999)
    assert interval.neurons == len(values)
    assert interval.mean == pytest.approx(np.mean(values))
    slack = 1e-12
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack


def test_interval_is_seeded_and_touches_no_global_generator() -> None:
    values = np.random.default_rng(0).normal(size=24).tolist()
    np.random.seed(1)
    first = stats.mean_interval(values, seed=1)
    np.random.seed(2)
    assert stats.mean_interval(values, seed=1) == first
    assert stats.mean_interval(values, seed=2) != first


def test_interval_without_spread_or_without_neurons() -> None:
    assert stats.mean_interval([0.3, 0.3, 0.3], seed=0) == Interval(0.3, 0.3, 0.3, 3)
    one = stats.mean_interval([0.4], seed=0)
    assert (one.mean, one.neurons) == (0.4, 1)
    none = stats.mean_interval([], seed=0)
    assert none.neurons == 0
    assert all(map(math.isnan, (one.low, one.high, none.mean, none.low, none.high)))


def test_interval_agrees_with_theory() -> None:
    values = np.random.default_rng(0).normal(0.2, 0.1, 400)
    interval = stats.mean_interval(values.tolist(), seed=0)
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_wider_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(0).normal(size=24).tolist()
    wide, narrow = (stats.mean_interval(values, 0, confidence=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    samples = rng.exponential(0.1, (300, 40))  # skewed, as scores are
    intervals = [stats.mean_interval(row.tolist(), seed=i, resamples=400) for i, row in enumerate(samples)]
    assert 0.89 <= np.mean([interval.low <= 0.1 <= interval.high for interval in intervals]) <= 0.99


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="not a finite number"):
        stats.mean_interval([0.1, math.nan], seed=0)


# -------------------------------------------------------------------------------------------------- paired differences


def _scores(values: list[float]) -> dict[NeuronId, float]:
    return dict(zip(NEURONS, values, strict=False))


def test_pairing_sees_what_spread_between_neurons_hides() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1.0, 24)
    better = base + rng.normal(0.1, 0.05, 24)
    difference = stats.paired_difference(_scores(better.tolist()), _scores(base.tolist()), seed=0)
    assert difference.p_value < 0.001
    assert 0 < difference.interval.low < 0.1 < difference.interval.high < 0.2
    apart = [stats.mean_interval(side.tolist(), 0) for side in (better, base)]
    assert stats.rank_ranges(apart) == [(1, 2), (1, 2)]  # unpaired, they overlap


def test_difference_is_over_common_neurons_whatever_their_order() -> None:
    a = dict(zip(NEURONS[:20], np.linspace(0, 1, 20).tolist(), strict=True))
    b = dict(zip(NEURONS[5:], np.linspace(0.5, 0, 19).tolist(), strict=True))
    found = stats.paired_difference(a, b, seed=3)
    assert found.interval.neurons == 15
    assert found.interval.mean == pytest.approx(np.mean([a[neuron] - b[neuron] for neuron in NEURONS[5:20]]))
    backwards = stats.paired_difference(dict(reversed(a.items())), dict(reversed(b.items())), seed=3)
    assert backwards == found
    swapped = stats.paired_difference(b, a, seed=3)
    assert swapped.interval.mean == pytest.approx(-found.interval.mean)


def test_no_difference_and_no_neurons() -> None:
    same = stats.paired_difference(_scores([0.1] * 24), _scores([0.1] * 24), seed=0)
    assert (same.interval.low, same.interval.high, same.p_value) == (0.0, 0.0, 1.0)
    none = stats.paired_difference({NEURONS[0]: 1.0}, {NEURONS[0]: 0.5, NEURONS[1]: 0.1}, seed=0)
    assert none.interval.neurons == 1
    assert math.isnan(none.p_value)


def test_p_value_is_exact_for_few_neurons() -> None:
    rising = _scores([0.1, 0.2, 0.3, 0.4, 0.5])
    zero = _scores([0.0] * 5)
    assert stats.paired_difference(rising, zero, seed=0).p_value == pytest.approx(2 / 2**5)


def test_p_value_is_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(5)
    zero = _scores([0.0] * 24)
    found = [
        stats.paired_difference(_scores(row.tolist()), zero, seed=i, resamples=400).p_value
        for i, row in enumerate(rng.normal(0, 0.1, (300, 24)))
    ]
    assert scipy_stats.kstest(found, "uniform").pvalue > 0.01


def test_holm_by_hand_and_in_any_order() -> None:
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]
    assert stats.holm([]) == []
    corrected = stats.holm([math.nan, 0.02])
    assert math.isnan(corrected[0])
    assert corrected[1] == 0.02


# ------------------------------------------------------------------------------------------------- ranks and summaries


def test_overlapping_intervals_share_ranks() -> None:
    intervals = [Interval(0.5, 0.4, 0.6, 9), Interval(0.3, 0.2, 0.41, 9), Interval(0.1, 0.0, 0.15, 9)]
    assert stats.rank_ranges(intervals) == [(1, 2), (1, 2), (3, 3)]
    assert stats.rank_ranges([*intervals, Interval(0.2, math.nan, math.nan, 1)])[-1] == (1, 4)
    assert stats.rank_ranges([]) == []


def _scored(neuron: NeuronId, values: dict[str, float], **more: object) -> ScoredExplanation:
    explanation = Explanation(neuron, "x", usage=Usage(requests=1, prompt_tokens=10, usd=0.5))
    if "outcome" in more:
        explanation = Explanation(neuron, "x", outcome=more.pop("outcome"))  # type: ignore[arg-type]
    return ScoredExplanation(explanation, (), None, Scores(values, **more))  # type: ignore[arg-type]


def test_summary_counts_what_it_says() -> None:
    a, b, c, d = NEURONS[:4]
    scored = [
        _scored(a, {"correlation": 0.5, "ablation": 1.0}),
        _scored(b, {"correlation": 0.0}, degenerate=("correlation", "correlation_top"), missing_tokens=3),
        _scored(c, {}, missing={"correlation": "refused"}, missing_tokens=64, outcome=Outcome.REFUSED),
        _scored(d, {"correlation": 0.1}),
    ]
    row = stats.summarise("x", Role.EXPLAINER, "all_at_once", scored, seed=0, resamples=200)
    assert (row.neurons, row.scored, row.coverage) == (4, 3, 0.75)
    assert row.metrics["correlation"] == stats.mean_interval([0.5, 0.0, 0.1], 0, resamples=200)
    assert row.metrics["ablation"].neurons == 1
    assert (row.degenerate, row.missing_tokens) == (1, 67)
    assert row.outcomes == {"ok": 3, "refused": 1}
    assert row.explain_usage == Usage(requests=3, prompt_tokens=30, usd=1.5)
    assert stats.summarise("x", Role.HUMAN, "s", [], seed=0, neurons=24).coverage == 0.0


def test_several_people_on_one_neuron_are_one_neuron() -> None:
    a, b = NEURONS[:2]
    scored = [
        _scored(a, {"correlation": 0.2}),
        _scored(a, {"correlation": 0.0}, degenerate=("correlation",)),
        _scored(b, {"correlation": 0.6}),
    ]
    assert stats.by_neuron(scored) == {a: 0.1, b: 0.6}
    row = stats.summarise("people", Role.HUMAN, "s", scored, seed=0, resamples=200)
    assert (row.neurons, row.scored, row.degenerate) == (2, 2, 0)
    assert row.metrics["correlation"].mean == pytest.approx(0.35)


# ---------------------------------------------------------------------------------------------------- wins and claims


@pytest.mark.parametrize(("truth", "false", "expected"), [(0.5, 0.2, 1.0), (0.2, 0.5, 0.0), (0.1 + 0.2, 0.3, 0.5)])
def test_the_truth_wins_loses_or_ties(truth: float, false: float, expected: float) -> None:
    assert stats.won(truth, false) == expected


def test_nobody_wins_against_what_is_missing() -> None:
    assert math.isnan(stats.won(math.nan, 0.1))
    assert math.isnan(stats.won(0.1, math.nan))


def test_an_interval_is_held_against_its_values() -> None:
    values = [0.1, 0.5, 0.9]
    good = stats.mean_interval(values, 0, resamples=200)
    assert stats.is_mean(good, values)
    assert not stats.is_mean(good, [0.1, 0.5, 0.8])
    assert not stats.is_mean(good, [])
    assert not stats.is_mean(Interval(good.mean, good.low, 0.95, 3), values)
    assert not stats.is_mean(Interval(good.mean, good.low, good.high, 4), values)
    assert stats.is_mean(stats.mean_interval([0.4], 0), [0.4])
    assert not stats.is_mean(Interval(0.4, 0.3, 0.5, 1), [0.4])


def test_a_rank_is_a_range_where_intervals_overlap() -> None:
    assert (stats.rank(1, 1), stats.rank(1, 3)) == ("1", "1–3")
