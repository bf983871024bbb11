"""The scores equal those of the original code, number by number, except where metrics.py says that they depart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import scores

CASES = json.loads((Path(__file__).parent / "openai_scores.json").read_text())
PAIRS = {
    "correlation_score": scores.correlation,
    "rsquared_score_from_sequences": scores.r2_uncentred,
    "absolute_dev_explained_score_from_sequences": scores.abs_dev,
}
NOT_DEFINED_THERE = {
    "pred_all_zero": {"correlation_score": "constant"},
    "true_all_zero": {
        "correlation_score": "constant",
        "rsquared_score_from_sequences": scores.UndefinedScoreError,
        "absolute_dev_explained_score_from_sequences": scores.UndefinedScoreError,
    },
    "both_all_zero": {
        "correlation_score": "constant",
        "rsquared_score_from_sequences": scores.UndefinedScoreError,
        "absolute_dev_explained_score_from_sequences": scores.UndefinedScoreError,
    },
    "true_const_nonzero": {"correlation_score": "constant"},
    "single_token": {"correlation_score": "constant"},
    "inf_in_true": dict.fromkeys(PAIRS, scores.ScoreInputError),
    "length_mismatch": dict.fromkeys(PAIRS, scores.ScoreInputError),
    "empty": dict.fromkeys(PAIRS, scores.ScoreInputError),
}
"""Every departure: what the original answers with NaN, an infinity or an exception of numpy's."""


def _numbers(values: list[Any]) -> list[float]:
    return [float(value) for value in values]


@pytest.mark.parametrize("name", CASES["scores"])
@pytest.mark.parametrize("metric", PAIRS)
def test_score_is_the_original_one_or_a_named_departure(name: str, metric: str) -> None:
    case = CASES["scores"][name]
    real, simulated = _numbers(case["true"]), _numbers(case["pred"])
    expected = case[metric]
    departure = NOT_DEFINED_THERE.get(name, {}).get(metric)
    if departure is None:
        assert isinstance(expected, float)
        assert PAIRS[metric](real, simulated) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    elif departure == "constant":
        assert expected == "nan"
        assert scores.correlation(real, simulated) == 0.0
        assert scores.is_degenerate(real, simulated)
    else:
        assert not isinstance(expected, float)
        with pytest.raises(departure):
            PAIRS[metric](real, simulated)


def test_noise_that_the_original_correlates_is_constant_here() -> None:
    real, simulated = [0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0]
    original = np.corrcoef(real, simulated)[0, 1]  # what the original computes
    assert original == pytest.approx(-0.5)
    assert scores.correlation(real, simulated) == 0.0


def test_sequences_are_pooled_not_averaged() -> None:
    case = CASES["aggregate"]["two_sequences"]
    expected = case["out"]
    real, simulated = (np.concatenate([_numbers(sequence[side]) for sequence in case["sequences"]]) for side in (0, 1))
    assert scores.correlation(real, simulated) == pytest.approx(expected["ev_correlation_score"], rel=1e-9)
    assert scores.r2_uncentred(real, simulated) == pytest.approx(expected["rsquared_score"], rel=1e-9)
    assert scores.abs_dev(real, simulated) == pytest.approx(expected["absolute_dev_explained_score"], rel=1e-9)
    by_sequence = [scores.correlation(*map(_numbers, sequence)) for sequence in case["sequences"]]
    assert math.fsum(by_sequence) / 2 == pytest.approx(expected["mean_of_per_sequence"], rel=1e-9)
    assert expected["mean_of_per_sequence"] != pytest.approx(expected["ev_correlation_score"], rel=0.1)
