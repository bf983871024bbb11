from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.simulators import calibration
from harness.types import Calibration, Excerpt, ExcerptKind, NeuroglossError, Simulation

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


def test_what_is_missing_stays_missing() -> None:
    for line in (Calibration(2.0, 1.0), Calibration(0.0, 1.0)):
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
def test_what_can_not_be_fitted_is_refused(real: list[float], simulated: list[float], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        calibration.fit(real, simulated)


def _excerpt(activations: tuple[float, ...], leading: int = 0) -> Excerpt:
    return Excerpt(("t",) * len(activations), (), activations, ExcerptKind.TOP, source="d1:0", leading=leading)


def test_excerpts_are_pooled_without_leading_and_missing_tokens() -> None:
    excerpts = [_excerpt((500, 1, 3), leading=1), _excerpt((5, 7, 70)), _excerpt((8, 9))]
    simulations = [Simulation((9, 0, 1)), Simulation((2, 3, math.nan)), Simulation(())]
    line = calibration.fit_excerpts(excerpts, simulations)
    assert line == calibration.fit([1, 3, 5, 7], [0, 1, 2, 3])
    assert line is not None
    assert (line.slope, line.intercept) == pytest.approx((2.0, 1.0))


def test_nothing_simulated_is_no_calibration() -> None:
    assert calibration.fit_excerpts([], []) is None
    assert calibration.fit_excerpts([_excerpt((1, 2))], [Simulation((math.nan, math.nan))]) is None


def test_a_simulation_of_another_length_is_refused_by_name() -> None:
    with pytest.raises(NeuroglossError, match="excerpt d1:0 has 3 values for 2 tokens"):
        calibration.fit_excerpts([_excerpt((1, 2))], [Simulation((1, 2, 3))])
