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
def test_intervals_do_not_depend_on_the_order_of_units(values: list[float], shuffler: random.Random) -> None:
    expected = stats.mean_interval(values), stats.median_interval(values).mean
    shuffler.shuffle(values)
    assert (stats.mean_interval(values), stats.median_interval(values).mean) == expected


@settings(max_examples=settings().max_examples // 3)
@given(some)
def test_interval_holds_the_mean_and_is_at_least_as_wide_as_students(values: list[float]) -> None:
    interval = stats.mean_interval(values)
    assert interval.units == len(values)
    assert interval.mean == pytest.approx(np.mean(values))
    assert interval.low <= interval.mean <= interval.high
    if max(values) > min(values):
        low, high = scipy_stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy_stats.sem(values))
        assert interval.low <= low + 1e-12
        assert interval.high >= high - 1e-12


@settings(max_examples=settings().max_examples // 3)
@given(some, st.floats(0.1, 10), st.floats(-1, 1))
def test_interval_moves_and_scales_with_the_values(values: list[float], scale: float, shift: float) -> None:
    plain = stats.mean_interval(values)
    moved = stats.mean_interval([scale * value + shift for value in values])
    assert moved.low == pytest.approx(scale * plain.low + shift, abs=1e-6 * scale)
    turned = stats.mean_interval([-value for value in values])
    assert (turned.low, turned.high) == pytest.approx((-plain.high, -plain.low), abs=1e-9)


def test_interval_by_hand_reaches_further_to_the_side_of_the_long_tail() -> None:
    values = np.array([0.0, 0.0, 0.0, 0.1, 0.1, 0.2, 0.9])
    skewness, deviation = scipy_stats.skew(values, bias=False), values.std(ddof=1)
    reach = scipy_stats.t.ppf(0.975, 6) / math.sqrt(7)
    inner = 1 + skewness * (-reach - skewness / 42)
    high = values.mean() - deviation * 3 / skewness * (math.copysign(abs(inner) ** (1 / 3), inner) - 1)
    interval = stats.mean_interval(values.tolist())
    assert interval.high == pytest.approx(high)
    assert interval.high - interval.mean > 1.5 * (interval.mean - interval.low)


def test_interval_without_spread_or_without_units() -> None:
    assert stats.mean_interval([0.3, 0.3, 0.3]) == Interval(0.3, 0.3, 0.3, 3)
    one = stats.mean_interval([0.4])
    assert (one.mean, one.units) == (0.4, 1)
    none = stats.mean_interval([])
    assert none.units == 0
    assert all(map(math.isnan, (one.low, one.high, none.mean, none.low, none.high)))


def test_interval_agrees_with_theory() -> None:
    values = np.random.default_rng(0).normal(0.2, 0.1, 400)
    interval = stats.mean_interval(values.tolist())
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_wider_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(0).normal(size=24).tolist()
    wide, narrow = (stats.mean_interval(values, confidence=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_clusters_of_one_unit_are_no_clusters() -> None:
    values = np.random.default_rng(0).normal(size=24).tolist()
    assert stats.mean_interval(values, clusters=range(24)) == stats.mean_interval(values)
    assert stats.median_interval(values, clusters=range(24)) == stats.median_interval(values)


def test_groups_are_the_sample() -> None:
    alike = np.repeat([0.1, 0.5, 0.3, 0.9], 6)
    groups = np.repeat([0, 1, 2, 3], 6).tolist()
    apart = stats.mean_interval(alike.tolist())
    whole = stats.mean_interval(alike.tolist(), clusters=groups)
    assert (whole.mean, whole.units) == (pytest.approx(apart.mean), 24)
    assert whole.low < apart.low < apart.high < whole.high
    one = stats.mean_interval([0.1, 0.5], clusters=[7, 7])
    assert one.mean == pytest.approx(0.3)
    assert math.isnan(one.low)


def test_the_median_and_its_interval_by_order_statistics() -> None:
    values = [100.0, *range(11)]  # of twelve the third from either end: 1 - 2 P(at most 2 of 12) = 0.961
    assert stats.median_interval(values) == Interval(5.5, 2.0, 9.0, 12)
    assert stats.median_interval(list(range(6))) == Interval(2.5, 0.0, 5.0, 6)
    few = stats.median_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert few.mean == 3.0
    assert math.isnan(few.low)
    groups = [place // 2 for place in range(12)]
    assert stats.median_interval(list(range(12)), clusters=groups) == Interval(5.5, 0.5, 10.5, 12)


def test_an_unbounded_metric_has_its_median_and_any_other_its_mean_within_its_range() -> None:
    scores = dict(zip(UNITS, [-15.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], strict=False))
    for metric in ("ablation", "ablation_loss", "explained_variance_top", "abs_dev", "r2_uncentred"):
        assert stats.unit_interval(scores, False, metric) == stats.median_interval(list(scores.values()))
    bounded = {UNITS[0]: 0.2, UNITS[1]: 1.0}
    assert stats.unit_interval(bounded, False, "auroc") == Interval(0.6, 0.0, 1.0, 2)
    assert stats.unit_interval(bounded, False, "correlation").low == -1.0
    assert stats.unit_interval(bounded, False, "margin").low < -1.0


# --------------------------------------------------------------------------------------------------------- simulations
#
# Each draws many boards from a known truth, and asks how often what is said of them is true. benchmarks/intervals.py
# has more shapes and numbers of units, and prints a table; the bounds here are four standard errors wide.

BOARDS = 2000
SEEN = (-0.038, -0.033, -0.028, -0.017, -0.013, -0.005, -0.005, -0.004, -0.002, 0.003, 0.007, 0.053)
"""The scores of a floor row, as a run left them."""


def _covers(boards: np.ndarray, counts: np.ndarray, truth: float) -> float:
    """How often the 95 % interval of a board [boards, units] holds the truth."""
    low, high = stats.mean_ends(boards, counts)
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize(
    ("shape", "units", "least"),
    [
        *[(shape, units, 0.93) for shape in ("normal", "leaning", "flat") for units in (12, 30)],
        *[("floor as seen", 12, 0.90), ("floor as seen", 30, 0.93), ("floor as seen", 120, 0.93)],
        *[("few very good", 12, 0.82), ("few very good", 30, 0.93), ("few very good", 120, 0.93)],
        *[("lognormal", 12, 0.89), ("lognormal", 30, 0.91), ("lognormal", 120, 0.93)],
    ],
)
def test_95_percent_intervals_cover_as_often_as_boards_say(shape: str, units: int, least: float) -> None:
    rng = np.random.default_rng(11)
    size = (BOARDS, units)
    boards, truth = {
        "normal": (rng.normal(0.2, 0.1, size), 0.2),
        "leaning": (rng.beta(2, 5, size), 2 / 7),
        "flat": (rng.uniform(-1, 1, size), 0.0),
        "floor as seen": (rng.choice(SEEN, size) + rng.normal(0, 0.002, size), np.mean(SEEN)),
        "few very good": (np.where(rng.random(size) < 0.15, 0.7, 0.02) + rng.normal(0, 0.02, size), 0.122),
        "lognormal": (rng.lognormal(0, 1, size), math.exp(0.5)),
    }[shape]
    assert least <= _covers(boards, np.ones(units), truth) <= 0.99


def test_where_groups_are_alike_only_intervals_over_groups_cover() -> None:
    rng = np.random.default_rng(12)
    groups, each = 20, 4
    boards = 0.2 + rng.normal(0, 0.1, (BOARDS, groups, 1)) + rng.normal(0, 0.1, (BOARDS, groups, each))
    assert 0.93 <= _covers(boards.sum(axis=-1), np.full(groups, each), 0.2) <= 0.97
    assert _covers(boards.reshape(BOARDS, -1), np.ones(groups * each), 0.2) < 0.85


def test_the_interval_of_a_median_covers_for_any_shape() -> None:
    boards = np.random.default_rng(16).standard_cauchy((500, 12))
    ends = [stats.median_interval(board.tolist()) for board in boards]
    assert 0.93 <= np.mean([interval.low <= 0 <= interval.high for interval in ends]) <= 0.99


@pytest.mark.parametrize(("units", "resamples"), [(10, 2**10), (24, 399)])  # all sign patterns, some of them
def test_two_equal_explainers_are_told_apart_4_to_6_percent_of_the_time(units: int, resamples: int) -> None:
    rng = np.random.default_rng(13)
    size = (40, BOARDS // 40, units)
    difficulty = rng.beta(2, 5, size)  # shared by both explainers, as on a board
    a, b = (difficulty * rng.beta(4, 2, size) for _ in range(2))
    # Boards of one call share their sign patterns, so each group of them draws its own.
    p_values = [flip.p_value for seed, group in enumerate(a - b) for flip in stats.sign_flips(group, seed, resamples)]
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.07


@pytest.mark.parametrize("copies", [0.0, 0.9])  # metrics that have nothing to do with each other, and near-copies
def test_of_many_metrics_that_see_nothing_one_passes_at_most_5_percent_of_the_time(copies: float) -> None:
    rng = np.random.default_rng(17)
    passed = []
    for seed in range(300):
        shared = rng.normal(size=(1, 8))
        family = copies * shared + math.sqrt(1 - copies**2) * rng.normal(size=(6, 8))
        passed.append(any(flip.corrected <= 0.05 for flip in stats.sign_flips(family, seed, 2**8)))
    assert np.mean(passed) <= 0.09


def test_near_copies_pass_where_holm_would_fail_all_of_them() -> None:
    rng = np.random.default_rng(18)
    base = 0.15 + rng.normal(0, 0.22, 12)
    family = base + rng.normal(0, 0.02, (40, 12))
    flips = stats.sign_flips(family, 0)
    assert max(flip.corrected for flip in flips) < 0.05
    assert min(flip.p_value for flip in flips) * 40 > 0.05


def test_so_many_units_as_are_needed_see_the_difference_as_often_as_was_asked() -> None:
    variance, difference = 0.04, 0.1
    units = stats.units_needed(variance, difference, power=0.8)
    assert units == 32  # (1.96 + 0.84)^2 * 4, rounded up
    seen = np.random.default_rng(14).normal(difference, math.sqrt(variance), (BOARDS, units))
    p_values = [flip.p_value for flip in stats.sign_flips(seen, seed=1, resamples=399)]
    assert 0.75 <= np.mean(np.array(p_values) <= 0.05) <= 0.83


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
        stats.mean_interval([0.1, math.nan])


# -------------------------------------------------------------------------------------------------- paired differences


def paired(first: dict[Unit, float], second: dict[Unit, float], **options: bool) -> stats.PairedDifference:
    (difference,) = stats.paired_differences([(first, second)], 0, **options)
    return difference


def _scores(values: list[float]) -> dict[Unit, float]:
    return dict(zip(UNITS, values, strict=False))


def test_pairing_sees_what_spread_between_units_hides() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1.0, 24)
    better = base + rng.normal(0.1, 0.05, 24)
    difference = paired(_scores(better.tolist()), _scores(base.tolist()))
    assert difference.p_value < 0.001
    assert 0 < difference.interval.low < 0.1 < difference.interval.high < 0.2
    apart = [stats.mean_interval(side.tolist()) for side in (better, base)]
    assert apart[0].low < apart[1].high  # unpaired, they overlap


def test_difference_is_over_common_units_whatever_their_order() -> None:
    a = dict(zip(UNITS[:20], np.linspace(0, 1, 20).tolist(), strict=True))
    b = dict(zip(UNITS[5:], np.linspace(0.5, 0, 19).tolist(), strict=True))
    found = paired(a, b)
    assert found.interval.units == 15
    assert found.interval.mean == pytest.approx(np.mean([a[unit] - b[unit] for unit in UNITS[5:20]]))
    backwards = paired(dict(reversed(a.items())), dict(reversed(b.items())))
    assert backwards == found
    swapped = paired(b, a)
    assert swapped.interval.mean == pytest.approx(-found.interval.mean)


def test_no_difference_and_no_units() -> None:
    same = paired(_scores([0.1] * 24), _scores([0.1] * 24))
    assert (same.interval.low, same.interval.high, same.p_value) == (0.0, 0.0, 1.0)
    none = paired({UNITS[0]: 1.0}, {UNITS[0]: 0.5, UNITS[1]: 0.1})
    assert none.interval.units == 1
    assert math.isnan(none.p_value)


def test_p_value_is_exact_for_few_units() -> None:
    rising = _scores([0.1, 0.2, 0.3, 0.4, 0.5])
    zero = _scores([0.0] * 5)
    assert paired(rising, zero).p_value == pytest.approx(2 / 2**5)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    differences = np.random.default_rng(5).normal(0, 0.1, (1000, 24))
    p_values = [flip.p_value for flip in stats.sign_flips(differences, seed=1, resamples=399)]
    assert scipy_stats.kstest(p_values, "uniform").pvalue > 0.01


def test_groups_are_flipped_whole() -> None:
    units = [Unit("N", place, index) for place in range(4) for index in range(6)]
    better = dict.fromkeys(units, 0.1)
    worse = dict.fromkeys(units, 0.0)
    assert paired(better, worse).p_value < 0.001
    whole = paired(better, worse, by_group=True)
    assert whole.p_value == pytest.approx(2 / 2**4)  # of four groups no more can be said
    assert whole.interval.mean == pytest.approx(0.1)


def test_corrected_p_values_by_hand() -> None:
    """Under the four patterns (+++, ++-, +-+, -++, and their negatives) the sums are 7 1 3 5, 1 7 5 3 and 3 5 7 1."""
    first, second, third = stats.sign_flips(np.array([[1.0, 2, 4], [1, 2, -4], [1, -2, 4]]), 0)
    assert (first.p_value, second.p_value, third.p_value) == (0.25, 1.0, 0.75)
    # in three of four patterns one of the rows has its largest sum; in all, one of the last two has 3 at least
    assert (first.corrected, second.corrected, third.corrected) == (0.75, 1.0, 1.0)
    assert first.least == second.least == third.least == 0.75
    assert stats.sign_flips(np.zeros((0, 3)), 0) == []


def test_the_correction_is_never_above_holms_nor_below_the_p_value() -> None:
    rng = np.random.default_rng(3)
    flips = stats.sign_flips(rng.normal(0.3, 1, (6, 9)), 0)
    ordered = sorted(flips, key=lambda flip: flip.p_value)
    holm = np.maximum.accumulate([(6 - place) * flip.p_value for place, flip in enumerate(ordered)])
    for flip, most in zip(ordered, holm, strict=True):
        assert flip.p_value <= flip.corrected <= most + 1e-12
        assert flip.least <= flip.corrected
    assert [flip.corrected for flip in ordered] == sorted(flip.corrected for flip in flips)


def test_pairs_of_one_unit_are_not_tested_and_cost_the_others_nothing() -> None:
    pair = (_scores([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), _scores([0.0] * 6))
    single = ({UNITS[0]: 1.0}, {UNITS[0]: 0.5})
    alone, (first, none) = stats.paired_differences([pair], 0), stats.paired_differences([pair, single], 0)
    assert alone == [first]
    assert all(map(math.isnan, (none.p_value, none.corrected, none.least, none.deviation)))


@pytest.mark.parametrize(("units", "enough"), [(5, False), (6, True)])
def test_five_units_can_tell_nothing_and_six_can(units: int, enough: bool) -> None:
    difference = paired(_scores([0.1 + place for place in range(units)]), _scores([0.0] * units))
    assert difference.least == difference.corrected == 2 / 2**units
    assert (difference.least < 0.05) is enough


def test_the_deviation_is_that_by_which_units_are_planned() -> None:
    values = np.random.default_rng(4).normal(0.1, 0.3, 24)
    units = [Unit("N", place % 4, place) for place in range(24)]
    zero = dict.fromkeys(units, 0.0)
    difference = paired(dict(zip(units, values.tolist(), strict=True)), zero)
    assert difference.deviation == pytest.approx(values.std(ddof=1))
    alike = {unit: (0.1, 0.5, 0.3, 0.9)[unit.place] for unit in units}
    grouped, apart = (paired(alike, zero, by_group=by_group) for by_group in (True, False))
    assert grouped.deviation == pytest.approx(math.sqrt(6) * np.std((0.1, 0.5, 0.3, 0.9), ddof=1))
    assert grouped.deviation > 2 * apart.deviation


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


def test_rows_can_be_ranked_by_their_medians() -> None:
    base = np.linspace(0.0, 0.1, 23).tolist()
    better, worse = _scores([-100.0, *(0.2 + value for value in base)]), _scores([0.0, *base])
    assert stats.rank_intervals([better, worse], seed=0, medians=True) == [RankRange(1, 1), RankRange(2, 2)]
    assert stats.rank_intervals([better, worse], seed=0)[0].worst == 2


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
    good = stats.mean_interval(values)
    assert stats.is_mean(good, values)
    assert not stats.is_mean(good, [0.1, 0.5, 0.8])
    assert not stats.is_mean(good, [])
    assert not stats.is_mean(Interval(good.mean, good.low, 0.45, 3), values)
    assert not stats.is_mean(Interval(0.3, 0.2, 0.4, 3), [0.3, 0.3, 0.3])
    assert stats.is_mean(stats.median_interval([0.1, 0.2, 0.9]), [0.1, 0.2, 0.9], "ablation")
    assert not stats.is_mean(stats.median_interval([0.1, 0.2, 0.9]), [0.1, 0.2, 0.9])
    assert not stats.is_mean(Interval(good.mean, good.low, good.high, 4), values)
    assert stats.is_mean(stats.mean_interval([0.4]), [0.4])
    assert not stats.is_mean(Interval(0.4, 0.3, 0.5, 1), [0.4])


def test_a_rank_is_shown_as_a_range_where_it_is_one() -> None:
    assert (stats.rank(RankRange(1, 1)), stats.rank(RankRange(1, 3))) == ("1", "1–3")


@pytest.mark.parametrize("medians", [False, True])
def test_what_is_drawn_in_blocks_is_what_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch, medians: bool) -> None:
    """Memory holds a block of the resamples of thousands of units, and nothing else changes."""
    scores = np.random.default_rng(5).normal([[0.1], [0.0], [0.3]], 1.0, (3, 70))
    scores[1, 3] = math.nan
    rows = [{Unit("N", 0, unit): value for unit, value in enumerate(row) if not math.isnan(value)} for row in scores]

    def figures() -> tuple[object, ...]:
        ranks = stats.rank_intervals(rows, 3, 300, medians=medians)
        return ranks, stats.sign_flips(scores[:2] - scores[1:], 3, 300)

    whole = figures()
    monkeypatch.setattr(stats, "_BLOCK", 7 * 70)
    assert figures() == whole
    assert max(size for _, size in stats._blocks(300, 70)) == 7
