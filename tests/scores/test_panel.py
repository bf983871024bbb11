from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import scores
from harness.scores import panel
from harness.scores.panel import AS_CALIBRATED, AS_SIMULATED, HARD_METRICS, METRICS, SAMPLES
from harness.types import Excerpt, ExcerptKind, NeuroglossError, Outcome, SimulatedExcerpt, Simulation

Make = Callable[..., SimulatedExcerpt]
NAN = math.nan
TOP, RANDOM = ExcerptKind.TOP, ExcerptKind.RANDOM


def _made_up() -> list[SimulatedExcerpt]:
    """Two top and two random excerpts of ten tokens, made up from a seed, with different weights."""
    rng = np.random.default_rng(3)
    items = []
    for place, (kind, real) in enumerate(zip([TOP, TOP, RANDOM, RANDOM], rng.normal(0, 1, (4, 10)), strict=True)):
        raw = real + rng.normal(0, 2, 10)
        tokens, ids = tuple(f"t{index}" for index in range(10)), tuple(range(10))
        weight = 1.0 + 10 * (kind is RANDOM)
        shown = Excerpt(tokens, ids, tuple(real.tolist()), kind, weight, f"d{place}:0")
        line = tuple((0.6 * raw + 0.1).tolist())
        items.append(SimulatedExcerpt("valid", shown, Simulation(tuple(raw.tolist())), line))
    return items


@pytest.fixture
def simulated() -> list[SimulatedExcerpt]:
    return _made_up()


def _pooled(items: list[SimulatedExcerpt], kind: ExcerptKind | None = None) -> list[np.ndarray]:
    kept = [item for item in items if kind in (None, item.excerpt.kind)]
    sides = [[item.excerpt.activations, item.simulation.expected, item.calibrated] for item in kept]
    return [np.concatenate(side) for side in zip(*sides, strict=True)]


def test_every_metric_is_pooled_over_its_own_tokens(simulated: list[SimulatedExcerpt]) -> None:
    result = panel.score(simulated)
    expected: dict[str, float] = {}
    threshold = max(_pooled(simulated)[0]) / 10
    for sample, (kind, weights) in {
        "": (None, None),
        "_random": (RANDOM, None),
        "_top": (TOP, None),
        "_population": (None, [1.0] * 20 + [11.0] * 20),
    }.items():
        real, raw, calibrated = _pooled(simulated, kind)
        for metric in (scores.correlation, scores.spearman, scores.cosine):
            expected[metric.__name__ + sample] = metric(real, raw, weights)
        expected[f"correlation_clipped{sample}"] = scores.correlation(real.clip(0), raw.clip(0), weights)
        for metric in (scores.auroc, scores.auprc, scores.auprc_balanced):
            expected[metric.__name__ + sample] = metric(real >= threshold, raw, weights)
        for metric in (scores.r2_uncentred, scores.abs_dev, scores.explained_variance):
            expected[metric.__name__ + sample] = metric(real, calibrated, weights)
        expected[f"f1{sample}"] = scores.f1(real >= threshold, calibrated >= threshold, weights)
    real, *_ = _pooled(simulated)
    expected["correlation_ceiling"] = scores.correlation(real, np.floor(10 * real.clip(0) / real.max()))
    assert result.values == pytest.approx(expected)
    assert set(expected) == set(METRICS)
    assert len(set(result.values.values())) == len(METRICS)  # none stands in for another
    assert (result.tokens, result.missing_tokens) == (40, 0)
    assert (result.degenerate, result.missing) == ((), {})


def test_hard_metrics_take_hard_excerpts_in_place_of_random_ones(simulated: list[SimulatedExcerpt]) -> None:
    hard = [replace(item, excerpt=replace(item.excerpt, kind=ExcerptKind.HARD)) for item in simulated[2:]]
    both = panel.score([*simulated, *hard]).values
    easy = panel.score(simulated).values
    assert {name: both[name] for name in easy} == pytest.approx(dict(easy))
    assert {name: both[name + "_hard"] for name in (*AS_SIMULATED, *AS_CALIBRATED)} == pytest.approx(
        {name: easy[name] for name in (*AS_SIMULATED, *AS_CALIBRATED)}
    )
    assert set(both) == {*METRICS, *HARD_METRICS}


def test_hard_metrics_are_missing_where_a_unit_that_has_hard_excerpts_cannot_be_scored(excerpt: Make) -> None:
    top, hard = excerpt([1, 0], [NAN, NAN]), excerpt([0, 0], [NAN, NAN], ExcerptKind.HARD)
    assert not set(HARD_METRICS) & set(panel.score([top]).missing)
    assert set(panel.score([top, hard]).missing) == {*METRICS, *HARD_METRICS}
    without_top = panel.score([excerpt([0, 1], [0, 1], RANDOM), excerpt([0, 0], [1, 0], ExcerptKind.HARD)])
    assert without_top.missing["auroc_hard"] == "there is no valid top excerpt"


def test_what_lies_below_0_counts_for_the_headline_and_not_for_the_clipped_one(excerpt: Make) -> None:
    """A simulation that has all of the positive side right loses by the other side, which no level shows."""
    result = panel.score([excerpt([4, 0, -4, -2], [10, 0, 0, 0]), excerpt([0, 2, -3, -1], [0, 5, 0, 0], RANDOM)]).values
    assert result["correlation_clipped"] == pytest.approx(1.0)
    assert result["correlation"] == pytest.approx(result["correlation_ceiling"])
    assert result["correlation_ceiling"] < 0.9


@pytest.mark.parametrize("level", [1, 5, 10])
def test_a_token_is_active_from_the_stated_level_of_the_largest_activation_on(excerpt: Make, level: int) -> None:
    top = excerpt([10, level, level - 0.01], [9, 8, 7], calibrated=[10, 0, 0])
    result = panel.score([top, excerpt([-3, 0], [1, 2], RANDOM, calibrated=[0, 0])], active_level=level)
    assert result.values["f1"] == pytest.approx(2 / 3)  # of two active tokens one is result
    assert result.values["auroc_top"] == 1.0
    assert "no token fires" in result.missing["f1_random"]  # the threshold is the neuron's, not the half's


def test_a_neuron_that_never_fires_has_no_active_token(excerpt: Make) -> None:
    result = panel.score([excerpt([-3, -1], [1, 2]), excerpt([-2, -5], [1, 2], RANDOM)])
    assert {name for name in result.missing if "fires" in result.missing[name]} == {
        metric + sample for metric in ("auroc", "auprc", "auprc_balanced", "f1") for sample in SAMPLES
    }


@settings(max_examples=settings().max_examples // 4)
@given(st.permutations(range(4)))
def test_no_metric_sees_the_order_of_excerpts(order: list[int]) -> None:
    items = _made_up()
    expected = panel.score(items).values
    assert panel.score([items[place] for place in order]).values == pytest.approx(dict(expected), rel=1e-9, abs=1e-9)


def test_no_metric_sees_whether_all_excerpts_stand_there_twice() -> None:
    items = _made_up()
    assert panel.score(items * 2).values == pytest.approx(dict(panel.score(items).values), rel=1e-9, abs=1e-9)


def test_equal_weights_make_the_population_of_what_is_there(excerpt: Make) -> None:
    alike = [replace(item, excerpt=replace(item.excerpt, weight=3.0)) for item in _made_up()]
    result = panel.score(alike).values
    for metric in (*AS_SIMULATED, *AS_CALIBRATED):
        assert result[f"{metric}_population"] == pytest.approx(result[metric], rel=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_no_metric_sees_the_unit_of_the_activations(scale: float) -> None:
    def scaled(item: SimulatedExcerpt) -> SimulatedExcerpt:
        real = tuple(value * scale for value in item.excerpt.activations)
        calibrated = tuple(value * scale for value in item.calibrated)
        return replace(item, excerpt=replace(item.excerpt, activations=real), calibrated=calibrated)

    items = _made_up()
    expected = dict(panel.score(items).values)
    assert panel.score(list(map(scaled, items))).values == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_other_splits_and_leading_positions_do_not_count(excerpt: Make) -> None:
    plain = [excerpt([1, 2, 4], [1, 2, 3]), excerpt([0, 1, 0], [0, 2, 1], RANDOM)]
    padded = [
        excerpt([999, 1, 2, 4], [NAN, 1, 2, 3], leading=1),
        excerpt([999, 0, 1, 0], [-999, 0, 2, 1], RANDOM, leading=1),
        excerpt([5, 5, 6], [9, 1, 4], split="calibration"),
    ]
    assert panel.score(padded) == panel.score(plain)


def test_constant_input_is_0_and_flagged(excerpt: Make) -> None:
    result = panel.score([excerpt([1, 2, 4], [1, 2, 3]), excerpt([0, 0, 0], [0, 2, 1], RANDOM)])
    assert result.values["correlation_random"] == 0.0
    assert result.values["spearman_random"] == result.values["cosine_random"] == 0.0
    names = ("correlation_random", "spearman_random", "cosine_random", "correlation_clipped_random")
    assert result.degenerate == names
    assert result.values["correlation"] > 0


def test_undefined_scores_are_named_and_have_no_value(excerpt: Make) -> None:
    result = panel.score([excerpt([0, 0], [1, 2]), excerpt([0, 0], [3, 4], RANDOM)])
    assert set(result.missing) == set(METRICS) - {
        "correlation_ceiling",
        *(
            metric + sample
            for metric in ("correlation", "correlation_clipped", "spearman", "cosine")
            for sample in SAMPLES
        ),
    }
    assert not set(result.missing) & set(result.values)
    assert all("undefined" in reason for reason in result.missing.values())


# ------------------------------------------------------------------------------------------------- missing simulations


def test_a_few_missing_tokens_are_left_out_and_counted(excerpt: Make) -> None:
    real = list(range(30))
    holed = [NAN, *(value**2 for value in real[1:])]
    result = panel.score([excerpt(real, holed), excerpt(real, real, RANDOM)])
    assert (result.tokens, result.missing_tokens) == (59, 1)
    expected = scores.correlation(real[1:] + real, holed[1:] + real)
    assert result.values["correlation"] == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_too_many_missing_tokens_are_no_score(excerpt: Make, share: float) -> None:
    items = [excerpt([1, 2, 3, 4], [1, NAN, 3, NAN]), excerpt([1, 2, 3, 4], [1, 2, 3, NAN], RANDOM)]
    result = panel.score(items, maximum_missing=share)
    assert bool(result.values) == (share >= 3 / 8)
    assert result.missing_tokens == 3
    assert result.tokens == (5 if share >= 3 / 8 else 0)


def test_a_perfect_simulator_whose_every_second_call_fails_has_no_score(excerpt: Make) -> None:
    real = [0.0, 1.0, 5.0, 2.0]
    perfect = [excerpt(real, real, kind) for kind in (TOP, TOP, RANDOM, RANDOM)]
    assert panel.score(perfect).values["correlation"] == pytest.approx(1.0)
    failed = excerpt(real, [NAN] * 4, RANDOM, outcome=Outcome.REFUSED)
    nothing = excerpt(real, [], RANDOM, outcome=Outcome.FAILED)
    for broken in (failed, nothing):
        result = panel.score([perfect[0], perfect[1], perfect[2], broken], maximum_missing=1.0)
        assert result.values == {}
        assert set(result.missing) == set(METRICS)
        assert (
            f"1 of 4 valid excerpts have no simulation (outcome: {broken.simulation.outcome})"
            in result.missing.values()
        )
        assert (result.tokens, result.missing_tokens) == (0, 4)


def test_nothing_simulated_is_no_score(excerpt: Make) -> None:
    result = panel.score([excerpt([1, 2], [1, 2], split="calibration")])
    assert result.values == {}
    assert set(result.missing) == set(METRICS)
    assert set(result.missing.values()) == {"no valid excerpt was simulated"}


def test_an_uncalibrated_simulation_has_correlations_only(excerpt: Make) -> None:
    items = [excerpt([1, 2, 4], [1, 2, 3], calibrated=()), excerpt([0, 1, 0], [0, 2, 1], RANDOM, calibrated=[NAN] * 3)]
    result = panel.score(items)
    assert {name for name, why in result.missing.items() if "calibrated" in why} == {
        metric + sample for metric in AS_CALIBRATED for sample in SAMPLES
    }
    assert set(result.values) == set(METRICS) - set(result.missing)


def test_a_kind_without_excerpts_leaves_the_headline_missing(excerpt: Make) -> None:
    result = panel.score([excerpt([1, 2, 4], [1, 2, 3])])
    for name in ("correlation", "correlation_random", "correlation_population", "f1", "abs_dev_random"):
        assert result.missing[name] == "there is no valid random excerpt"
    assert "correlation_top" in result.values


def test_a_share_of_missing_tokens_is_allowed_up_to_its_bound(excerpt: Make) -> None:
    real = list(map(float, range(100)))
    items = [excerpt(real, [NAN, *real[1:]]), excerpt(real, real, RANDOM)]  # one token in 200
    assert "correlation" in panel.score(items, maximum_missing=0.005).values
    result = panel.score(items, maximum_missing=0.0049)
    assert "0.5% of the tokens have no simulation" in result.missing["correlation"]


def test_values_that_do_not_fit_the_excerpt_are_refused_by_name(excerpt: Make) -> None:
    with pytest.raises(NeuroglossError, match="simulated values of excerpt d7:0 number 3, but it has 2 tokens"):
        panel.score([excerpt([1, 2], [1, 2, 3], source="d7:0")])
    with pytest.raises(NeuroglossError, match="simulated values of excerpt d7:0 hold an infinity"):
        panel.score([excerpt([1, 2], [1, math.inf], source="d7:0")])
