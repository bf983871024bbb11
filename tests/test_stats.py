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
    Interval,
    NeuroglossError,
    RankRange,
    Unit,
)

UNITS = [Unit("N", place, place * 7 % 5) for place in range(24)]
some = st.lists(st.floats(-1, 1).map(lambda value: round(value, 4)), min_size=2, max_size=30)


# ----------------------------------------------------------------------------------------------------------- intervals


@settings(max_examples=settings().max_examples // 3)
@given(some, st.randoms(use_true_random=False))
def test_interval_does_not_depend_on_the_order_of_units(values: list[float], shuffler: random.Random) -> None:
    expected = stats.mean_interval(values, seed=5, resamples=200)
    shuffler.shuffle(values)
    assert stats.mean_interval(values, seed=5, resamples=200) == expected


@settings(max_examples=settings().max_examples // 3)
@given(some)
def test_interval_holds_the_mean_and_lies_within_the_values(values: list[float]) -> None:
    interval = stats.mean_interval(values, seed=0, resamples=999)
    assert interval.units == len(values)
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


def test_interval_without_spread_or_without_units() -> None:
    assert stats.mean_interval([0.3, 0.3, 0.3], seed=0) == Interval(0.3, 0.3, 0.3, 3)
    one = stats.mean_interval([0.4], seed=0)
    assert (one.mean, one.units) == (0.4, 1)
    none = stats.mean_interval([], seed=0)
    assert none.units == 0
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


def test_few_units_get_the_width_of_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=12)
    ends = stats.bootstrap_ends(values, np.ones(12), 0, 0.95, 9999, "percentile")
    expected = scipy_stats.t.interval(0.95, 11, values.mean(), scipy_stats.sem(values))
    assert np.subtract(*ends) == pytest.approx(np.subtract(*expected), rel=0.1)


def test_clusters_of_one_unit_are_no_clusters() -> None:
    values = np.random.default_rng(0).normal(size=24).tolist()
    assert stats.mean_interval(values, 3, clusters=range(24)) == stats.mean_interval(values, 3)


def test_groups_are_drawn_whole() -> None:
    alike = np.repeat([0.1, 0.5, 0.3, 0.9], 6)
    groups = np.repeat([0, 1, 2, 3], 6).tolist()
    apart = stats.mean_interval(alike.tolist(), 0)
    whole = stats.mean_interval(alike.tolist(), 0, clusters=groups)
    assert (whole.mean, whole.units) == (pytest.approx(apart.mean), 24)
    assert whole.low < apart.low < apart.high < whole.high
    one = stats.mean_interval([0.1, 0.5], 0, clusters=[7, 7])
    assert one.mean == pytest.approx(0.3)
    assert math.isnan(one.low)


# --------------------------------------------------------------------------------------------------------- simulations
#
# Each draws many boards from a known truth, and asks how often what is said of them is true. The bounds are those that
# the README states; at so many boards they are four standard errors wide.

BOARDS = 2000


def _covers(boards: np.ndarray, counts: np.ndarray, truth: float) -> float:
    """How often the 95 % interval of a board [boards, units] holds the truth."""
    low, high = stats.bootstrap_ends(boards, counts, seed=1, confidence=0.95, resamples=999)
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("units", [12, 30])
@pytest.mark.parametrize("shape", ["normal", "skewed", "flat"])
def test_95_percent_intervals_cover_93_to_97_percent(shape: str, units: int) -> None:
    rng = np.random.default_rng(11)
    size = (BOARDS, units)
    boards, truth = {
        "normal": (rng.normal(0.2, 0.1, size), 0.2),
        "skewed": (rng.beta(2, 5, size), 2 / 7),  # most units low, a few high: what boards look like
        "flat": (rng.uniform(-1, 1, size), 0.0),
    }[shape]
    assert 0.93 <= _covers(boards, np.ones(units), truth) <= 0.97


def test_where_groups_are_alike_only_intervals_over_groups_cover() -> None:
    rng = np.random.default_rng(12)
    groups, each = 20, 4
    boards = 0.2 + rng.normal(0, 0.1, (BOARDS, groups, 1)) + rng.normal(0, 0.1, (BOARDS, groups, each))
    assert 0.93 <= _covers(boards.sum(axis=-1), np.full(groups, each), 0.2) <= 0.97
    assert _covers(boards.reshape(BOARDS, -1), np.ones(groups * each), 0.2) < 0.85


@pytest.mark.parametrize(("units", "resamples"), [(10, 2**10), (24, 399)])  # all sign patterns, some of them
def test_two_equal_explainers_are_told_apart_4_to_6_percent_of_the_time(units: int, resamples: int) -> None:
    rng = np.random.default_rng(13)
    size = (40, BOARDS // 20, units)
    difficulty = rng.beta(2, 5, size)  # shared by both explainers, as on a board
    a, b = (difficulty * rng.beta(4, 2, size) for _ in range(2))
    # Boards of one call share their sign patterns, so each group of them draws its own.
    p_values = [stats.sign_flip_p(group, seed, resamples) for seed, group in enumerate(a - b)]
    assert 0.04 <= np.mean(np.array(p_values) <= 0.05) <= 0.06


def test_so_many_units_as_are_needed_see_the_difference_as_often_as_was_asked() -> None:
    variance, difference = 0.04, 0.1
    units = stats.units_needed(variance, difference, power=0.8)
    assert units == 32  # (1.96 + 0.84)^2 * 4, rounded up
    seen = np.random.default_rng(14).normal(difference, math.sqrt(variance), (BOARDS, units))
    assert 0.75 <= np.mean(stats.sign_flip_p(seen, seed=1, resamples=399) <= 0.05) <= 0.83


def test_ranks_lie_in_their_ranges_as_often_as_they_say() -> None:
    rng = np.random.default_rng(15)
    means = np.array([0.3, 0.25, 0.2, 0.1])
    inside = []
    for board in range(200):
        scores = means[:, None] + rng.normal(0, 0.1, 24) + rng.normal(0, 0.1, (4, 24))
        rows = [dict(zip(UNITS, row.tolist(), strict=True)) for row in scores]
        ranges = stats.rank_intervals(rows, seed=board, resamples=400)
        inside += [one.best <= rank <= one.worst for rank, one in enumerate(ranges, start=1)]
    assert 0.93 <= np.mean(inside) <= 1.0


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="not a finite number"):
        stats.mean_interval([0.1, math.nan], seed=0)


# -------------------------------------------------------------------------------------------------- paired differences


def _scores(values: list[float]) -> dict[Unit, float]:
    return dict(zip(UNITS, values, strict=False))


def test_pairing_sees_what_spread_between_units_hides() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1.0, 24)
    better = base + rng.normal(0.1, 0.05, 24)
    difference = stats.paired_difference(_scores(better.tolist()), _scores(base.tolist()), seed=0)
    assert difference.p_value < 0.001
    assert 0 < difference.interval.low < 0.1 < difference.interval.high < 0.2
    apart = [stats.mean_interval(side.tolist(), 0) for side in (better, base)]
    assert apart[0].low < apart[1].high  # unpaired, they overlap


def test_difference_is_over_common_units_whatever_their_order() -> None:
    a = dict(zip(UNITS[:20], np.linspace(0, 1, 20).tolist(), strict=True))
    b = dict(zip(UNITS[5:], np.linspace(0.5, 0, 19).tolist(), strict=True))
    found = stats.paired_difference(a, b, seed=3)
    assert found.interval.units == 15
    assert found.interval.mean == pytest.approx(np.mean([a[unit] - b[unit] for unit in UNITS[5:20]]))
    backwards = stats.paired_difference(dict(reversed(a.items())), dict(reversed(b.items())), seed=3)
    assert backwards == found
    swapped = stats.paired_difference(b, a, seed=3)
    assert swapped.interval.mean == pytest.approx(-found.interval.mean)


def test_no_difference_and_no_units() -> None:
    same = stats.paired_difference(_scores([0.1] * 24), _scores([0.1] * 24), seed=0)
    assert (same.interval.low, same.interval.high, same.p_value) == (0.0, 0.0, 1.0)
    none = stats.paired_difference({UNITS[0]: 1.0}, {UNITS[0]: 0.5, UNITS[1]: 0.1}, seed=0)
    assert none.interval.units == 1
    assert math.isnan(none.p_value)


def test_p_value_is_exact_for_few_units() -> None:
    rising = _scores([0.1, 0.2, 0.3, 0.4, 0.5])
    zero = _scores([0.0] * 5)
    assert stats.paired_difference(rising, zero, seed=0).p_value == pytest.approx(2 / 2**5)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    differences = np.random.default_rng(5).normal(0, 0.1, (1000, 24))
    p_values = stats.sign_flip_p(differences, seed=1, resamples=399)
    assert scipy_stats.kstest(p_values, "uniform").pvalue > 0.01


def test_groups_are_flipped_whole() -> None:
    units = [Unit("N", place, index) for place in range(4) for index in range(6)]
    better = dict.fromkeys(units, 0.1)
    worse = dict.fromkeys(units, 0.0)
    assert stats.paired_difference(better, worse, seed=0).p_value < 0.001
    whole = stats.paired_difference(better, worse, seed=0, by_group=True)
    assert whole.p_value == pytest.approx(2 / 2**4)  # of four groups no more can be said
    assert whole.interval.mean == pytest.approx(0.1)


def test_holm_by_hand_and_in_any_order() -> None:
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]
    assert stats.holm([]) == []
    corrected = stats.holm([math.nan, 0.02])
    assert math.isnan(corrected[0])
    assert corrected[1] == 0.02


# ---------------------------------------------------------------------------------------------------------------- ranks


def test_ranks_are_of_the_same_draw_of_units() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1.0, 24)
    rows = [_scores((base + rng.normal(shift, 0.05, 24)).tolist()) for shift in (0.2, 0.0, 0.0)]
    assert stats.rank_intervals(rows, seed=0) == [RankRange(1, 1), RankRange(2, 3), RankRange(2, 3)]
    backwards = [dict(reversed(row.items())) for row in rows]
    assert stats.rank_intervals(backwards, seed=0) == stats.rank_intervals(rows, seed=0)
    assert stats.rank_intervals(rows, seed=0, cluster=stats.group) == stats.rank_intervals(rows, seed=0)


def test_ranks_of_equal_few_and_missing_scores() -> None:
    same = _scores([0.1, 0.5, 0.3])
    assert stats.rank_intervals([same, same], seed=0) == [RankRange(1, 2)] * 2
    assert stats.rank_intervals([{UNITS[0]: 1.0}, {UNITS[0]: 0.0}], seed=0) == [RankRange(1, 2)] * 2
    assert stats.rank_intervals([], seed=0) == []
    alike = {Unit("N", 0, place): 0.1 for place in range(5)}
    assert stats.rank_intervals([alike, dict.fromkeys(alike, 0.2)], seed=0)[0] == RankRange(2, 2)
    assert stats.rank_intervals([alike, dict.fromkeys(alike, 0.2)], seed=0, cluster=stats.group)[0] == RankRange(1, 2)
    low, high = _scores([0.1] * 24), _scores([0.5] * 23)  # the last unit has no score
    assert stats.rank_intervals([low, high], seed=0) == [RankRange(2, 2), RankRange(1, 1)]


# ---------------------------------------------------------------------------------------------- how many units it takes


@pytest.mark.parametrize(("power", "alpha"), [(0.8, 0.05), (0.9, 0.01), (0.5, 0.1)])
def test_units_needed_and_the_smallest_difference_are_each_others_inverse(power: float, alpha: float) -> None:
    units = stats.units_needed(0.09, 0.05, power, alpha)
    assert stats.smallest_difference(0.09, units, power, alpha) <= 0.05
    assert stats.smallest_difference(0.09, units - 1, power, alpha) > 0.05
    assert stats.units_needed(0.09, -0.05, power, alpha) == units


def test_more_is_needed_for_less_difference_more_spread_more_power_and_fewer_false_alarms() -> None:
    usual = stats.units_needed(0.04, 0.1)
    assert stats.units_needed(0.04, 0.05) == pytest.approx(4 * usual, abs=4)
    assert stats.units_needed(0.08, 0.1) > usual
    assert stats.units_needed(0.04, 0.1, power=0.9) > usual
    assert stats.units_needed(0.04, 0.1, alpha=0.01) > usual
    assert stats.units_needed(1e-9, 0.1) == 2


def test_the_variance_lies_in_its_range_as_often_as_it_says() -> None:
    seen = np.random.default_rng(16).normal(0, 1, (BOARDS, 12)).var(axis=1, ddof=1)
    ends = [stats.variance_range(float(variance), 12) for variance in seen]
    assert 0.93 <= np.mean([low <= 1 <= high for low, high in ends]) <= 0.97


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"variance": 0.0}, "variance of the differences is 0.0"),
        ({"variance": math.nan}, "variance of the differences is nan"),
        ({"difference": 0.0}, "difference of 0.0"),
        ({"difference": math.inf}, "difference of inf"),
        ({"power": 1.0}, "power is 1.0"),
        ({"power": 0.01}, "power is 0.01"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 5}, "alpha is 5"),
    ],
)
def test_what_cannot_be_planned_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        stats.units_needed(**{"variance": 0.1, "difference": 0.1, **wrong})


def test_two_rows_differ_if_the_p_value_and_the_interval_say_so() -> None:
    apart, around_0 = Interval(0.2, 0.1, 0.3, 24), Interval(0.2, -0.1, 0.5, 24)
    assert stats.differs(apart, 0.01)
    assert stats.differs(Interval(-0.2, -0.3, -0.1, 24), 0.01)
    assert not stats.differs(apart, 0.05)
    assert not stats.differs(around_0, 0.01)
    assert not stats.differs(stats.NOTHING, math.nan)


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


def test_a_rank_is_shown_as_a_range_where_it_is_one() -> None:
    assert (stats.rank(RankRange(1, 1)), stats.rank(RankRange(1, 3))) == ("1", "1–3")
