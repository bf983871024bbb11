from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from harness import scores
from harness.types import NeuroglossError

ASSOCIATIONS = [scores.correlation, scores.spearman, scores.cosine]
ERRORS = [scores.r2_uncentred, scores.abs_dev, scores.explained_variance]
METRICS = [*ASSOCIATIONS, *ERRORS]
Metric = Callable[..., float]
Pairs = list[tuple[float, float]]

values = st.integers(-(10**5), 10**5).map(lambda thousandths: thousandths / 1000)
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=40)

half = settings(max_examples=settings().max_examples // 2)
of_each = settings(max_examples=settings().max_examples // 3)
"""For what is tried for each of several metrics, which share most of their code."""


def _sides(drawn: Pairs) -> tuple[np.ndarray, np.ndarray]:
    real, simulated = (np.array(side) for side in zip(*drawn, strict=True))
    return real, simulated


def _varied(drawn: Pairs) -> tuple[np.ndarray, np.ndarray]:
    real, simulated = _sides(drawn)
    assume(not scores.is_degenerate(real, simulated))
    return real, simulated


# ------------------------------------------------------------------------------------------------------- correlation


@half
@given(pairs)
def test_correlation_is_scipys(drawn: Pairs) -> None:
    real, simulated = _varied(drawn)
    assert scores.correlation(real, simulated) == pytest.approx(stats.pearsonr(real, simulated).statistic, abs=1e-9)


@half
@given(pairs, st.floats(0.001, 1000), st.floats(-100, 100))
def test_correlation_does_not_change_under_positive_affine_maps(drawn: Pairs, slope: float, shift: float) -> None:
    real, simulated = _varied(drawn)
    mapped = slope * simulated + shift
    assume(not scores.is_constant(mapped))
    expected = scores.correlation(real, simulated)
    assert scores.correlation(real, mapped) == pytest.approx(expected, abs=1e-6)
    assert scores.correlation(real, -mapped) == pytest.approx(-expected, abs=1e-6)


@half
@given(pairs, st.sampled_from([1e-300, 1e-30, 1e30, 1e300]))
def test_correlation_holds_at_any_scale(drawn: Pairs, scale: float) -> None:
    real, simulated = _varied(drawn)
    assert scores.correlation(real * scale, simulated / scale) == pytest.approx(
        scores.correlation(real, simulated), abs=1e-9
    )


@half
@given(pairs, st.randoms(use_true_random=False))
def test_correlation_is_symmetric_bounded_and_blind_to_order(drawn: Pairs, random: Any) -> None:
    real, simulated = _sides(drawn)
    value = scores.correlation(real, simulated)
    assert -1.0 <= value <= 1.0
    assert scores.correlation(simulated, real) == pytest.approx(value, abs=1e-12)
    random.shuffle(drawn)
    assert scores.correlation(*_sides(drawn)) == pytest.approx(value, abs=1e-9)


# ------------------------------------------------------------------------------------------------ spearman and cosine


@half
@given(pairs)
def test_spearman_is_scipys(drawn: Pairs) -> None:
    real, simulated = _varied(drawn)
    assert scores.spearman(real, simulated) == pytest.approx(stats.spearmanr(real, simulated).statistic, abs=1e-9)


@half
@given(pairs)
def test_spearman_sees_only_the_order(drawn: Pairs) -> None:
    real, simulated = _varied(drawn)
    expected = scores.spearman(real, simulated)
    assert scores.spearman(real, np.cbrt(simulated)) == pytest.approx(expected, abs=1e-9)
    assert scores.spearman(real, -simulated) == pytest.approx(-expected, abs=1e-9)


@half
@given(pairs)
def test_cosine_is_that_of_the_angle(drawn: Pairs) -> None:
    real, simulated = _varied(drawn)
    expected = real @ simulated / np.linalg.norm(real) / np.linalg.norm(simulated)
    assert scores.cosine(real, simulated) == pytest.approx(expected, abs=1e-9)
    assert scores.cosine(real, 3 * simulated) == pytest.approx(expected, abs=1e-9)
    centred = real - real.mean(), simulated - simulated.mean()
    assert scores.cosine(*centred) == pytest.approx(scores.correlation(real, simulated), abs=1e-6)


def test_cosine_knows_where_0_is() -> None:
    assert scores.cosine([1, 0], [0, 1]) == 0.0
    assert scores.cosine([1, 1], [2, 2]) == pytest.approx(1.0)  # constant, and still in one direction
    assert not scores.is_silent([1, 1], [2, 2])
    assert scores.cosine([1, 2], [0, 0]) == 0.0
    assert scores.is_silent([1, 2], [0, 0])
    assert scores.is_silent([1, 2], [0, 5], [1, 0])  # what is not silent does not count


@pytest.mark.parametrize("metric", ASSOCIATIONS)
@of_each
@given(pairs, st.sampled_from([1e-300, 1e-30, 1e30, 1e300]), st.randoms(use_true_random=False))
def test_associations_are_bounded_symmetric_and_blind_to_order_and_scale(
    metric: Metric, drawn: Pairs, scale: float, random: Any
) -> None:
    real, simulated = _sides(drawn)
    value = metric(real, simulated)
    assert -1.0 <= value <= 1.0
    assert metric(simulated, real) == pytest.approx(value, abs=1e-9)
    assert metric(real * scale, simulated / scale) == pytest.approx(value, abs=1e-9)
    random.shuffle(drawn)
    assert metric(*_sides(drawn)) == pytest.approx(value, abs=1e-9)


# ------------------------------------------------------------------------------------------------------------ weights


def _value(metric: Metric, *arguments: Any) -> float:
    """The score; NaN where it is undefined."""
    try:
        return metric(*arguments)
    except scores.UndefinedScoreError:
        return math.nan


@pytest.mark.parametrize("metric", METRICS)
@of_each
@given(pairs, st.data())
def test_whole_weights_are_repetitions(metric: Metric, drawn: Pairs, data: Any) -> None:
    real, simulated = _sides(drawn)
    weights = data.draw(st.lists(st.integers(0, 4), min_size=len(drawn), max_size=len(drawn)).filter(any))
    repeated = np.repeat(real, weights), np.repeat(simulated, weights)
    expected = pytest.approx(_value(metric, *repeated), rel=1e-6, abs=1e-9, nan_ok=True)
    assert _value(metric, real, simulated, weights) == expected
    assert _value(metric, real, simulated, np.multiply(weights, 1e30)) == expected
    constant = scores.is_constant(repeated[0]) or scores.is_constant(repeated[1])
    assert scores.is_degenerate(real, simulated, weights) == constant
    assert scores.is_silent(real, simulated, weights) == (not (repeated[0].any() and repeated[1].any()))


@pytest.mark.parametrize("metric", METRICS)
@of_each
@given(pairs)
def test_weights_of_one_are_no_weights(metric: Metric, drawn: Pairs) -> None:
    real, simulated = _sides(drawn)
    expected = pytest.approx(_value(metric, real, simulated), rel=1e-9, abs=1e-12, nan_ok=True)
    assert _value(metric, real, simulated, np.ones(len(drawn))) == expected


def test_weighted_correlation_by_hand() -> None:
    real, simulated, weights = [0, 1, 2], [1, 3, 2], [2, 1, 1]
    a, s = 3 / 4, 7 / 4  # the weighted means
    top = sum(w * (x - a) * (y - s) for x, y, w in zip(real, simulated, weights, strict=True))
    left = sum(w * (x - a) ** 2 for x, w in zip(real, weights, strict=True))
    right = sum(w * (y - s) ** 2 for y, w in zip(simulated, weights, strict=True))
    assert scores.correlation(real, simulated, weights) == pytest.approx(top / math.sqrt(left * right), rel=1e-12)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, 1], "at least 0"),
        ([0, 0, 0], "not all 0"),
        ([1, 1], r"2 values for 3 tokens"),
        ([1, math.nan, 1], r"weights\[1\] is nan"),
    ],
)
@pytest.mark.parametrize("metric", METRICS)
def test_weights_that_are_none_are_refused(metric: Metric, weights: list[float], message: str) -> None:
    with pytest.raises(scores.ScoreInputError, match=message):
        metric([1, 2, 3], [1, 2, 4], weights)


def test_a_weight_lost_beside_the_others_counts_nothing() -> None:
    assert scores.correlation([0, 0, 1], [0, 0, 1], [1, 1, 1e-320]) == 0.0
    assert scores.is_degenerate([0, 0, 1], [0, 0, 1], [1, 1, 1e-320])


# ---------------------------------------------------------------------------------------------------------- constants


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_float_noise_is_constant_at_any_scale_and_real_spread_is_not(scale: float) -> None:
    assert scores.is_constant(np.array([0.1 + 0.2, 0.3]) * scale)
    assert scores.is_constant(np.array([-0.1 - 0.2, -0.3]) * scale)
    assert not scores.is_constant(np.array([1.0, 1.0 + 1e-9]) * scale)
    assert not scores.is_constant(np.array([-1.0, 1.0]) * scale)
    assert not scores.is_constant(np.array([0.0, 1.0]) * scale)


def test_constants_at_the_ends_of_the_number_line() -> None:
    assert scores.is_constant([0.0, -0.0])
    assert scores.is_constant([7.0])
    assert not scores.is_constant([0.0, 5e-324])
    assert not scores.is_constant([-1.7e308, 1.7e308])
    with pytest.raises(scores.ScoreInputError, match="empty"):
        scores.is_constant([])


@half
@given(pairs, values)
def test_constant_input_correlates_0_by_convention(drawn: Pairs, constant: float) -> None:
    real, _ = _sides(drawn)
    flat = np.full(len(real), constant)
    assert scores.correlation(real, flat) == scores.correlation(flat, real) == 0.0
    assert scores.spearman(real, flat) == scores.spearman(flat, real) == 0.0
    assert scores.is_degenerate(real, flat)
    assert scores.is_degenerate(flat, real)


# ------------------------------------------------------------------------------------------------ r2, abs_dev, variance


@half
@given(pairs)
def test_perfect_and_silent_simulations(drawn: Pairs) -> None:
    real, _ = _sides(drawn)
    assume(real.any())
    for metric in (scores.r2_uncentred, scores.abs_dev):
        assert metric(real, real) == 1.0
        assert metric(real, np.zeros(len(real))) == 0.0
    assume(not scores.is_constant(real))
    assert scores.explained_variance(real, real) == 1.0
    assert scores.explained_variance(real, np.full(len(real), real.mean())) == pytest.approx(0.0, abs=1e-9)


@half
@given(pairs, st.sampled_from([1e-300, 1e-30, 1e30, 1e300]))
def test_scores_in_units_hold_at_any_scale_and_are_at_most_1(drawn: Pairs, scale: float) -> None:
    real, simulated = _varied(drawn)
    for metric in ERRORS:
        value = metric(real, simulated)
        assert value <= 1.0
        assert metric(real * scale, simulated * scale) == pytest.approx(value, rel=1e-6, abs=1e-9)


@half
@given(pairs)
def test_formulas(drawn: Pairs) -> None:
    real, simulated = _varied(drawn)
    error = np.mean((real - simulated) ** 2)
    assert scores.r2_uncentred(real, simulated) == pytest.approx(1 - error / np.mean(real**2), rel=1e-9, abs=1e-9)
    assert scores.explained_variance(real, simulated) == pytest.approx(1 - error / np.var(real), rel=1e-6, abs=1e-6)
    assert scores.abs_dev(real, simulated) == pytest.approx(
        1 - np.mean(abs(real - simulated)) / np.mean(abs(real)), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize("metric", ERRORS)
def test_undefined_is_said_and_never_a_number(metric: Callable[..., float]) -> None:
    for simulated in ([0, 0, 0], [1, 2, 3]):
        with pytest.raises(scores.UndefinedScoreError, match=metric.__name__):
            metric([0, 0, 0], simulated)


def test_constant_activations_have_no_variance_to_explain() -> None:
    assert scores.r2_uncentred([2, 2, 2], [1, 2, 3]) == pytest.approx(5 / 6)
    with pytest.raises(scores.UndefinedScoreError, match="explained_variance"):
        scores.explained_variance([0.1 + 0.2, 0.3, 0.3], [1, 2, 3])


def test_a_score_too_large_for_a_float_is_undefined() -> None:
    with pytest.raises(scores.UndefinedScoreError, match="too large"):
        scores.r2_uncentred([1e-300, 2e-300], [1e300, 0.0])


# -------------------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("real", "simulated", "message"),
    [
        ([1, 2], [1, 2, 3], "real has 2 values but simulated has 3"),
        ([], [], "real is empty"),
        ([1, math.nan], [1, 2], r"real\[1\] is nan"),
        ([1, 2, 3], [1, 2, -math.inf], r"simulated\[2\] is -inf"),
        ([1, 2], [1, None], "simulated holds something that is not a real number"),
        ([1, 2], ["1", "2"], "not a real number"),
        ([1, 2], [[1], [2, 3]], "not a list of numbers"),
        ([[1, 2]], [[1, 2]], "2 dimensions"),
        ([1, 2], [1j, 2], "not a real number"),
    ],
)
def test_bad_input_is_refused_with_its_place(
    metric: Callable[..., float], real: list[Any], simulated: list[Any], message: str
) -> None:
    with pytest.raises(NeuroglossError, match=message):
        metric(real, simulated)
    with pytest.raises(ValueError, match=message):  # the type that callers of array functions expect
        metric(real, simulated)


@pytest.mark.parametrize("metric", METRICS)
@of_each
@given(pairs)
def test_lists_tuples_and_float32_give_floats(metric: Callable[..., float], drawn: Pairs) -> None:
    real, simulated = _varied(drawn)
    narrow = real.astype(np.float32), simulated.astype(np.float32)
    wide = metric(*(side.astype(np.float64) for side in narrow))
    assert type(wide) is float
    assert metric(*narrow) == metric(*(side.tolist() for side in narrow)) == wide
    assert metric(*(tuple(side.tolist()) for side in narrow)) == wide


def test_input_is_not_changed() -> None:
    real, simulated, weights = np.arange(4.0), np.arange(4.0) ** 2, np.arange(4.0)
    for metric in METRICS:
        metric(real, simulated)
        metric(real, simulated, weights)
    assert real.tolist() == weights.tolist() == [0, 1, 2, 3]
    assert simulated.tolist() == [0, 1, 4, 9]
