"""Calibration equals the original's, except that a slope is never negative, NaN is never fitted, and a simulated value
that stands for several quantiles is mapped to their mean."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness import scores
from harness.simulators import calibration
from harness.types import CalibrationMethod, NeuroglossError

CASES = json.loads((Path(__file__).parent / "openai_calibration.json").read_text())["calibration"]
SAME = ("gelu_like_seed0", "pred_constant_zero", "single_point", "true_all_zero")


def _linear(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return CASES[name], CASES[name]["LinearCalibratedNeuronSimulator"]


@pytest.mark.parametrize("name", SAME)
def test_line_is_the_original_one(name: str) -> None:
    case, expected = _linear(name)
    line = calibration.fit(case["true"], case["pred"])
    assert line.slope == pytest.approx(expected["coef"][0], rel=1e-9, abs=1e-12)
    assert line.intercept == pytest.approx(expected["intercept"], rel=1e-9, abs=1e-12)
    assert not line.clipped
    applied = calibration.apply(line, case["query"])
    assert applied == pytest.approx(expected["apply(query)"], rel=1e-9, abs=1e-12)
    assert calibration.apply(line, []).tolist() == expected["apply([])"]


def test_scores_after_calibration_are_the_original_ones() -> None:
    case, expected = _linear("gelu_like_seed0")
    calibrated = calibration.apply(calibration.fit(case["true"], case["pred"]), case["pred"])
    assert scores.r2_uncentred(case["true"], calibrated) == pytest.approx(expected["rsquared_after"], rel=1e-9)
    assert scores.correlation(case["true"], calibrated) == pytest.approx(expected["correlation_after"], rel=1e-9)


def test_original_end_to_end() -> None:
    case = CASES["simulate_end_to_end"]
    line = calibration.fit(case["calibration_true"], case["calibration_pred"])
    assert calibration.apply(line, case["uncalibrated"]) == pytest.approx(case["expected_activations"], abs=1e-12)


def test_departure_a_negative_slope_is_clipped() -> None:
    case, expected = _linear("anticorrelated_seed0")
    assert expected["coef"][0] < -0.4
    assert expected["correlation_after"] > 0.99  # the flattery that is not repeated
    line = calibration.fit(case["true"], case["pred"])
    assert line.slope == 0.0
    assert line.clipped
    assert line.intercept == pytest.approx(math.fsum(case["true"]) / len(case["true"]))
    assert scores.correlation(case["true"], case["pred"]) == pytest.approx(expected["correlation_before"], rel=1e-9)


def test_departure_nan_is_refused_with_a_sentence() -> None:
    case, expected = _linear("pred_nan")
    assert expected["calibrate"]["raises"] == "ValueError"
    with pytest.raises(NeuroglossError, match="finite"):
        calibration.fit(case["true"], [float(value) for value in case["pred"]])


@pytest.mark.parametrize("name", ["anticorrelated_seed0", "single_point", "true_all_zero"])
def test_percentile_matching_is_the_original_one_where_no_simulated_value_is_there_twice(name: str) -> None:
    case, expected = CASES[name], CASES[name]["PercentileMatchingCalibratedNeuronSimulator"]
    fitted = calibration.fit(case["true"], case["pred"], CalibrationMethod.PERCENTILE)
    assert calibration.apply(fitted, case["query"]) == pytest.approx(expected["apply(query)"], rel=1e-9, abs=1e-12)
    assert calibration.apply(fitted, []).tolist() == expected["apply([])"]


def test_departure_a_value_of_several_quantiles_is_mapped_to_their_mean() -> None:
    case = CASES["pred_constant_zero"]
    original = case["PercentileMatchingCalibratedNeuronSimulator"]["apply(query)"]
    assert original[:2] == [0.0, 2.0]  # of the activations 0, 1, 2 the first left of 0, the last at 0
    fitted = calibration.fit(case["true"], case["pred"], CalibrationMethod.PERCENTILE)
    assert calibration.apply(fitted, case["query"]).tolist() == [1.0] * len(original)
    tied = CASES["gelu_like_seed0"]
    fitted = calibration.fit(tied["true"], tied["pred"], CalibrationMethod.PERCENTILE)
    ends = calibration.apply(fitted, [max(tied["pred"]) + 1])
    same = [real for real, level in zip(sorted(tied["true"]), sorted(tied["pred"]), strict=True) if level == 10.0]
    assert max(tied["pred"]) == 10.0
    assert ends == pytest.approx([math.fsum(same) / len(same)])


def test_every_case_is_read() -> None:
    known = {*SAME, "anticorrelated_seed0", "pred_nan", "simulate_end_to_end", "apply_before_calibrate"}
    assert known == set(CASES)  # the last cannot happen here: a calibration is only had by fitting one
