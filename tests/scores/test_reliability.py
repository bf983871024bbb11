from __future__ import annotations

import math

import numpy as np
import pytest

from harness.scores import ScoreInputError, reliability
from harness.scores.reliability import calibration_error, together
from harness.types import ReliabilityBin


def test_by_hand() -> None:
    bins = reliability([0.05, 0.0, 0.55, 1.0], [0.1, 0.0, 1.0, 1.0])
    assert bins[0] == ReliabilityBin(2, 0.05, 0.1)
    assert bins[5] == ReliabilityBin(1, 0.55, 1.0)
    assert bins[9] == ReliabilityBin(1, 1.0, 1.0)  # the last bin holds its upper end
    assert sum(one.tokens for one in bins) == 4
    # two tokens off by 0.025 on average, one by 0.45, one by 0
    assert calibration_error(bins) == pytest.approx((2 * 0.025 + 0.45 + 0.0) / 4)


def test_bins_of_parts_make_those_of_the_whole() -> None:
    draw = np.random.default_rng(0)
    predicted, actual = draw.uniform(size=60), draw.uniform(size=60)
    parts = together([reliability(predicted[:25], actual[:25]), (), reliability(predicted[25:], actual[25:])])
    whole = reliability(predicted, actual)
    assert [one.tokens for one in parts] == [one.tokens for one in whole]
    assert calibration_error(parts) == pytest.approx(calibration_error(whole))
    assert calibration_error(whole) > 0.05


def test_one_who_means_what_he_says_has_no_error_and_no_tokens_have_none_at_all() -> None:
    assert calibration_error(reliability([0.3, 0.7], [0.3, 0.7])) == pytest.approx(0.0)
    assert math.isnan(calibration_error(together([(), ()])))


@pytest.mark.parametrize(
    ("predicted", "actual"), [([1.1], [1.0]), ([float("nan")], [1.0]), ([0.5], [-1.0]), ([0.5], [])]
)
def test_what_is_no_share_is_refused(predicted: list[float], actual: list[float]) -> None:
    with pytest.raises(ScoreInputError):
        reliability(predicted, actual)


def test_float_noise_above_the_scale_is_none() -> None:
    assert reliability([1.0 + 1e-12], [1.0])[9].tokens == 1
