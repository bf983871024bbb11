from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness import scores
from harness.scores.panel import METRICS
from harness.types import ExcerptKind, NeuroglossError, Outcome, SimulatedExcerpt

Make = Callable[..., SimulatedExcerpt]
NAN = math.nan
TOP, RANDOM = ExcerptKind.TOP, ExcerptKind.RANDOM


@pytest.fixture
def simulated(excerpt: Make) -> list[SimulatedExcerpt]:
    """Two top and two random excerpts of ten tokens, made up from a seed, with different weights."""
    rng = np.random.default_rng(3)
    kinds = [TOP, TOP, RANDOM, RANDOM]
    return [
        excerpt(real, real + rng.normal(0, 2, 10), kind, weight=1.0 + 10 * (kind is RANDOM), source=f"d{index}:0")
        for index, (kind, real) in enumerate(zip(kinds, rng.normal(0, 1, (4, 10)), strict=True))
    ]


def _pooled(items: list[SimulatedExcerpt], kind: ExcerptKind | None = None) -> list[np.ndarray]:
    kept = [item for item in items if kind in (None, item.excerpt.kind)]
    sides = [[item.excerpt.activations, item.simulation.expected, item.calibrated] for item in kept]
    return [np.concatenate(side) for side in zip(*sides, strict=True)]


def test_every_metric_is_pooled_over_its_own_tokens(simulated: list[SimulatedExcerpt]) -> None:
    found = scores.score(simulated, [0.1, 0.2, 0.3, 0.3])
    real, raw, calibrated = _pooled(simulated)
    assert found.values == pytest.approx(
        {
            "correlation": scores.correlation(real, raw),
            "correlation_random": scores.correlation(*_pooled(simulated, RANDOM)[:2]),
            "correlation_top": scores.correlation(*_pooled(simulated, TOP)[:2]),
            "correlation_population": scores.correlation(real, raw, [1.0] * 20 + [11.0] * 20),
            "r2_uncentred": scores.r2_uncentred(real, calibrated),
            "abs_dev": scores.abs_dev(real, calibrated),
            "explained_variance": scores.explained_variance(real, calibrated),
            "ablation": 0.5,
        }
    )
    assert len(set(found.values.values())) == len(METRICS)  # none stands in for another
    assert (found.tokens, found.missing_tokens) == (40, 0)
    assert (found.degenerate, found.missing) == ((), {})


def test_the_order_of_excerpts_does_not_matter(simulated: list[SimulatedExcerpt]) -> None:
    assert scores.score(simulated[::-1]).values == pytest.approx(dict(scores.score(simulated).values), rel=1e-12)


def test_other_splits_and_leading_positions_do_not_count(excerpt: Make) -> None:
    plain = [excerpt([1, 2, 4], [1, 2, 3]), excerpt([0, 1, 0], [0, 2, 1], RANDOM)]
    padded = [
        excerpt([999, 1, 2, 4], [NAN, 1, 2, 3], leading=1),
        excerpt([999, 0, 1, 0], [-999, 0, 2, 1], RANDOM, leading=1),
        excerpt([5, 5, 6], [9, 1, 4], split="calibration"),
    ]
    assert scores.score(padded) == scores.score(plain)


def test_constant_input_is_0_and_flagged(excerpt: Make) -> None:
    found = scores.score([excerpt([1, 2, 4], [1, 2, 3]), excerpt([0, 0, 0], [0, 2, 1], RANDOM)])
    assert found.values["correlation_random"] == 0.0
    assert found.degenerate == ("correlation_random",)
    assert found.values["correlation"] > 0


def test_undefined_scores_are_named_and_have_no_value(excerpt: Make) -> None:
    found = scores.score([excerpt([0, 0], [1, 2]), excerpt([0, 0], [3, 4], RANDOM)], [0.1, 0.0])
    assert set(found.missing) == {"r2_uncentred", "abs_dev", "explained_variance", "ablation"}
    assert not set(found.missing) & set(found.values)
    assert all("undefined" in reason for reason in found.missing.values())


# ------------------------------------------------------------------------------------------------- missing simulations


def test_a_few_missing_tokens_are_left_out_and_counted(excerpt: Make) -> None:
    real = list(range(30))
    holed = [NAN, *(value**2 for value in real[1:])]
    found = scores.score([excerpt(real, holed), excerpt(real, real, RANDOM)])
    assert (found.tokens, found.missing_tokens) == (59, 1)
    expected = scores.correlation(real[1:] + real, holed[1:] + real)
    assert found.values["correlation"] == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_too_many_missing_tokens_are_no_score(excerpt: Make, share: float) -> None:
    items = [excerpt([1, 2, 3, 4], [1, NAN, 3, NAN]), excerpt([1, 2, 3, 4], [1, 2, 3, NAN], RANDOM)]
    found = scores.score(items, settings=scores.ScoreSettings(maximum_missing=share))
    assert bool(found.values) == (share >= 3 / 8)
    assert found.missing_tokens == 3
    assert found.tokens == (5 if share >= 3 / 8 else 0)


def test_a_perfect_simulator_whose_every_second_call_fails_has_no_score(excerpt: Make) -> None:
    real = [0.0, 1.0, 5.0, 2.0]
    perfect = [excerpt(real, real, kind) for kind in (TOP, TOP, RANDOM, RANDOM)]
    assert scores.score(perfect).values["correlation"] == pytest.approx(1.0)
    failed = excerpt(real, [NAN] * 4, RANDOM, outcome=Outcome.REFUSED)
    nothing = excerpt(real, [], RANDOM, outcome=Outcome.FAILED)
    for broken in (failed, nothing):
        settings = scores.ScoreSettings(maximum_missing=1.0)
        found = scores.score([perfect[0], perfect[1], perfect[2], broken], [0.1, 0.2], settings)
        assert found.values == {}
        assert set(found.missing) == set(METRICS)
        assert (
            f"1 of 4 valid excerpts have no simulation (outcome: {broken.simulation.outcome})" in found.missing.values()
        )
        assert (found.tokens, found.missing_tokens) == (0, 4)


def test_nothing_simulated_is_no_score(excerpt: Make) -> None:
    found = scores.score([excerpt([1, 2], [1, 2], split="calibration")])
    assert found.values == {}
    assert set(found.missing) == set(METRICS)
    assert scores.unscored("refused").missing == dict.fromkeys(METRICS, "refused")


def test_an_uncalibrated_simulation_has_correlations_only(excerpt: Make) -> None:
    items = [excerpt([1, 2, 4], [1, 2, 3], calibrated=()), excerpt([0, 1, 0], [0, 2, 1], RANDOM, calibrated=[NAN] * 3)]
    found = scores.score(items, [])
    assert set(found.missing) == {"r2_uncentred", "abs_dev", "explained_variance", "ablation"}
    assert set(found.values) == set(METRICS) - set(found.missing)


def test_a_kind_without_excerpts_leaves_the_headline_missing(excerpt: Make) -> None:
    found = scores.score([excerpt([1, 2, 4], [1, 2, 3])])
    for name in ("correlation", "correlation_random", "correlation_population"):
        assert found.missing[name] == "there is no valid random excerpt"
    assert "correlation_top" in found.values


def test_ablation_is_missing_if_not_asked_and_absent_if_not_wanted(simulated: list[SimulatedExcerpt]) -> None:
    assert scores.score(simulated, None).missing == {"ablation": "the subject was not asked"}
    assert "lacks token ids" in scores.score(simulated, []).missing["ablation"]
    found = scores.score(simulated, None, scores.ScoreSettings(ablation=False))
    assert "ablation" not in {**found.missing, **found.values}


def test_values_that_do_not_fit_the_excerpt_are_refused_by_name(excerpt: Make) -> None:
    with pytest.raises(NeuroglossError, match="simulated values of excerpt d7:0 number 3, but it has 2 tokens"):
        scores.score([excerpt([1, 2], [1, 2, 3], source="d7:0")])
    with pytest.raises(NeuroglossError, match="simulated values of excerpt d7:0 hold an infinity"):
        scores.score([excerpt([1, 2], [1, math.inf], source="d7:0")])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ablation_top": 0, "ablation_random": 0}, "ablation_top=0 and scores.ablation_random=0"),
        ({"ablation_top": -1}, "ablation_top=-1"),
        ({"calibration_top": 0, "calibration_random": 0}, "calibration_top=0"),
        ({"resamples": 10}, "resamples is 10"),
        ({"minimum_coverage": 90}, "minimum_coverage is 90"),
        ({"maximum_missing": -0.1}, "maximum_missing is -0.1"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuroglossError, match=message):
        scores.ScoreSettings(**wrong)
