from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.simulators import calibration
from harness.types import Calibration, CalibrationMethod, Excerpt, ExcerptKind, NeuroglossError, Simulation

values = st.floats(-100, 100).map(lambda value: round(value, 3))
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=30)
Pairs = list[tuple[float, float]]


def _sides(drawn: Pairs) -> tuple[np.ndarray, np.ndarray]:
    real, simulated = (np.array(side) for side in zip(*drawn, strict=True))
    return real, simulated


@given(pairs)
def test_no_line_of_slope_at_least_0_fits_better(drawn: Pairs) -> None:
    real, simulated = _sides(drawn)
    line = calibration.fit(real, simulated)
    assert line.slope >= 0
    best = np.mean((real - calibration.apply(line, simulated)) ** 2)
    for slope, shift in ((0.01, 0), (-0.01, 0), (0, 0.1), (0, -0.1)):
        other = Calibration(max(0.0, line.slope + slope), line.intercept + shift)
        assert best <= np.mean((real - calibration.apply(other, simulated)) ** 2) + 1e-9


@given(pairs)
def test_a_negative_slope_is_clipped_and_says_so(drawn: Pairs) -> None:
    real, simulated = _sides(drawn)
    slope = np.cov(simulated, real)[0, 1]
    assume(abs(slope) > 1e-6)
    line = calibration.fit(real, simulated)
    assert line.clipped == (slope < 0)
    if line.clipped:
        assert (line.slope, line.intercept) == (0.0, pytest.approx(real.mean()))


@given(st.floats(0.01, 100), st.floats(-10, 10), st.sampled_from([1e-150, 1e-30, 1.0, 1e30, 1e150]))
def test_a_line_is_found_again_at_any_scale(slope: float, intercept: float, scale: float) -> None:
    simulated = np.array([0.0, 1.0, 5.0, 2.0])
    line = calibration.fit((slope * simulated + intercept) * scale, simulated / scale)
    assert line.slope / scale / scale == pytest.approx(slope, rel=1e-9)
    assert line.intercept / scale == pytest.approx(intercept, rel=1e-9, abs=1e-9 * slope)
    assert not line.clipped


def test_a_constant_simulation_says_only_the_mean() -> None:
    for simulated in ([3, 3, 3], [0.1 + 0.2, 0.3, 0.3], [0, 0, 0]):
        assert calibration.fit([0, 1, 5], simulated) == Calibration(0.0, 2.0, clipped=False)
    assert calibration.fit([2, 2], [1, 5]) == Calibration(0.0, 2.0, clipped=False)


# -------------------------------------------------------------------------------------------------- maps of other kinds

BENT = [CalibrationMethod.PERCENTILE, CalibrationMethod.ISOTONIC]


@pytest.mark.parametrize("method", CalibrationMethod)
@given(pairs)
def test_no_map_ever_falls_or_leaves_the_real_values_by_more_than_a_line_does(
    method: CalibrationMethod, drawn: Pairs
) -> None:
    real, simulated = _sides(drawn)
    fitted = calibration.fit(real, simulated, method)
    grid = np.sort(np.concatenate([simulated, np.linspace(-120, 120, 25)]))
    mapped = calibration.apply(fitted, grid)
    assert (np.diff(mapped) >= -1e-9).all()
    if method is not CalibrationMethod.LINEAR:
        assert real.min() - 1e-9 <= mapped.min() <= mapped.max() <= real.max() + 1e-9


@given(pairs)
def test_no_line_that_rises_fits_better_than_the_isotonic_map(drawn: Pairs) -> None:
    real, simulated = _sides(drawn)
    line, bent = calibration.fit(real, simulated), calibration.fit(real, simulated, CalibrationMethod.ISOTONIC)
    by_line, by_map = (np.mean((real - calibration.apply(one, simulated)) ** 2) for one in (line, bent))
    assert by_map <= by_line + 1e-9


def test_isotonic_by_hand() -> None:
    fitted = calibration.fit([1.0, 3.0, 2.0, 6.0, 0.0], [0.0, 1.0, 2.0, 3.0, 3.0], CalibrationMethod.ISOTONIC)
    assert fitted.knots == ((0.0, 1.0), (1.0, 2.5), (2.0, 2.5), (3.0, 3.0))  # 3 and 2 are out of order, 6 and 0 one
    assert calibration.apply(fitted, [-5, 0.5, 1.5, 9]).tolist() == [1.0, 1.75, 2.5, 3.0]


@given(st.lists(values, min_size=2, max_size=30, unique=True), st.data())
def test_percentile_gives_the_distribution_of_the_real_values(simulated: list[float], data: st.DataObject) -> None:
    real = data.draw(st.lists(values, min_size=len(simulated), max_size=len(simulated)))
    fitted = calibration.fit(real, simulated, CalibrationMethod.PERCENTILE)
    assert np.sort(calibration.apply(fitted, simulated)) == pytest.approx(np.sort(real))
    assert np.argsort(calibration.apply(fitted, np.sort(simulated)), kind="stable").tolist() == list(range(len(real)))


def test_percentile_maps_a_value_of_several_quantiles_to_their_mean() -> None:
    fitted = calibration.fit([5.0, 1.0, 3.0, 9.0], [0.0, 2.0, 0.0, 0.0], CalibrationMethod.PERCENTILE)
    assert fitted.knots == ((0.0, 3.0), (2.0, 9.0))  # 0 is three of four, the lowest three of the real ones


@pytest.mark.parametrize("method", BENT)
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_bent_maps_hold_at_any_scale(method: CalibrationMethod, scale: float) -> None:
    real, simulated = np.array([0.0, 2.0, 1.0, 5.0]), np.array([0.0, 1.0, 2.0, 3.0])
    usual = calibration.apply(calibration.fit(real, simulated, method), [0.5, 1.5, 4.0])
    scaled = calibration.fit(real * scale, simulated / scale, method)
    assert calibration.apply(scaled, np.array([0.5, 1.5, 4.0]) / scale) / scale == pytest.approx(usual, rel=1e-9)


@pytest.mark.parametrize("method", BENT)
def test_a_constant_simulation_is_mapped_to_the_mean(method: CalibrationMethod) -> None:
    for simulated in ([3, 3, 3], [0.1 + 0.2, 0.3, 0.3], [0, 0, 0]):
        assert calibration.apply(calibration.fit([0, 1, 5], simulated, method), [-9, 0, 9]).tolist() == [2.0] * 3


def test_what_is_missing_stays_missing() -> None:
    bent = [calibration.fit([1, 2, 5], [0, 1, 2], method) for method in BENT]
    for line in (Calibration(2.0, 1.0), Calibration(0.0, 1.0), *bent):
        applied = calibration.apply(line, [1.0, math.nan, 3.0])
        assert np.isnan(applied).tolist() == [False, True, False]
    assert calibration.apply(Calibration(2.0, 1.0), []).tolist() == []


@pytest.mark.parametrize(
    ("real", "simulated", "message"),
    [
        ([1, 2], [1], "has 2 and 1"),
        ([], [], "has 0 and 0"),
        ([1, math.nan], [1, 2], "finite"),
        ([1, 2], [1, math.inf], "finite"),
    ],
)
@pytest.mark.parametrize("method", CalibrationMethod)
def test_what_cannot_be_fitted_is_refused(
    method: CalibrationMethod, real: list[float], simulated: list[float], message: str
) -> None:
    with pytest.raises(NeuroglossError, match=message):
        calibration.fit(real, simulated, method)


def _excerpt(activations: tuple[float, ...], leading: int = 0) -> Excerpt:
    return Excerpt(("t",) * len(activations), (), activations, ExcerptKind.TOP, source="d1:0", leading=leading)


def test_excerpts_are_pooled_without_leading_and_missing_tokens() -> None:
    excerpts = [_excerpt((500, 1, 3), leading=1), _excerpt((5, 7, 70)), _excerpt((8, 9))]
    simulations = [Simulation((9, 0, 1)), Simulation((2, 3, math.nan)), Simulation(())]
    line = calibration.fit_excerpts(excerpts, simulations)
    assert line is not None
    assert line == replace(calibration.fit([1, 3, 5, 7], [0, 1, 2, 3]), error=line.error)
    assert line.error == pytest.approx(0.0, abs=1e-12)  # the points lie on a line
    assert (line.slope, line.intercept) == pytest.approx((2.0, 1.0))
    for method in BENT:
        bent = calibration.fit_excerpts(excerpts, simulations, method)
        assert bent == calibration.fit([1, 3, 5, 7], [0, 1, 2, 3], method)


def test_the_slope_of_a_few_excerpts_is_shrunk_by_its_error_over_excerpts() -> None:
    excerpts = [_excerpt((0, 4)), _excerpt((1, 1)), _excerpt((0, 8))]
    simulations = [Simulation((0, 2)), Simulation((0, 2)), Simulation((0, 2))]
    line = calibration.fit_excerpts(excerpts, simulations)
    assert line is not None
    # slope 2, mean 7/3; sums of (s - 1) e by excerpt: 1/3 - 1/3, -2/3 - 10/3, 1/3 + 11/3, so 0, -4, 4
    error = math.sqrt(3 / 2 * (0 + 16 + 16)) / 6
    assert line.error == pytest.approx(error)
    assert line.slope == pytest.approx(2 * (1 - (error / 2) ** 2))
    assert calibration.apply(line, [1.0])[0] == pytest.approx(7 / 3)  # it still passes through the means
    alone = calibration.fit_excerpts(excerpts[:1], simulations[:1])
    assert alone == calibration.fit([0, 4], [0, 2])  # of one excerpt nothing is known of others


def test_a_slope_within_its_error_is_0() -> None:
    excerpts = [_excerpt((0, 9)), _excerpt((0, -7))]
    line = calibration.fit_excerpts(excerpts, [Simulation((0, 1))] * 2)
    assert line is not None
    assert (line.slope, line.clipped) == (0.0, False)
    assert line.intercept == pytest.approx(0.5)


def test_nothing_simulated_is_no_calibration() -> None:
    assert calibration.fit_excerpts([], []) is None
    assert calibration.fit_excerpts([_excerpt((1, 2))], [Simulation((math.nan, math.nan))]) is None


def test_a_simulation_of_another_length_is_refused_by_name() -> None:
    with pytest.raises(NeuroglossError, match="excerpt d1:0 has 3 values for 2 tokens"):
        calibration.fit_excerpts([_excerpt((1, 2))], [Simulation((1, 2, 3))])
