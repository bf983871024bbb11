"""Verdicts follow their bounds, say so in words, and never pass what has no value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness import stats
from harness.results.audit import Finding, Test
from harness.results.rows import Resampling
from harness.studies import verdicts
from harness.studies.labels import Drops
from harness.types import Unit

UNITS = [Unit("N", layer, 1) for layer in range(24)]
RESAMPLING = Resampling(0, 300)
RNG = np.random.default_rng(3)
NOISE = dict(zip(UNITS, RNG.normal(0.0, 0.05, len(UNITS)).tolist(), strict=True))


def _drops(share: float, untested: int = 0) -> Drops:
    return Drops(dict.fromkeys(UNITS, share), dict.fromkeys(UNITS, -0.2), untested, 40.0, 20.0)


@pytest.mark.parametrize(("share", "finding"), [(0.91, Finding.PASS), (0.9, Finding.FAIL), (0.2, Finding.FAIL)])
def test_a_label_test_needs_more_than_nine_drops_in_ten(share: float, finding: Finding) -> None:
    verdict = verdicts.of_labels("correlation", Test.MISSING_LABELS, _drops(share, 2), RESAMPLING)
    assert verdict.finding is finding
    assert verdict.value == pytest.approx(share)
    assert "from 40.0 labels to 20.0; 2 of 26 units have no sound score" in verdict.sentence


def test_a_metric_without_sound_scores_is_not_tested() -> None:
    verdict = verdicts.of_labels("m", Test.EXTRA_LABELS, Drops({}, {}, 5, 1.0, 2.0), RESAMPLING)
    assert verdict.finding is Finding.UNTESTED
    assert math.isnan(verdict.value)


def test_a_null_is_told_apart_only_where_its_interval_leaves_0_out() -> None:
    scores = {"good": {n: NOISE[n] + 0.3 for n in UNITS}, "blind": NOISE, "misled": NOISE, "absent": NOISE}
    noise = dict(zip(UNITS, RNG.normal(0.0, 0.05, len(UNITS)).tolist(), strict=True))
    null = {"good": noise, "blind": noise, "misled": {n: noise[n] + 0.3 for n in UNITS}}
    by_metric = {item.metric: item for item in verdicts.of_null(Test.SHUFFLED, scores, null, RESAMPLING)}
    assert {name: item.finding for name, item in by_metric.items()} == {
        "good": Finding.PASS,
        "blind": Finding.FAIL,
        "misled": Finding.FAIL,
    }
    assert "good tells a unit's own explanation from the explanation of another unit" in by_metric["good"].sentence
    assert "cannot be told from" in by_metric["blind"].sentence
    good = by_metric["good"]
    assert good.figures["own"] - good.figures["null"] == pytest.approx(good.value)


def test_one_unit_is_too_few_to_tell_anything() -> None:
    (verdict,) = verdicts.of_null(Test.RANDOM, {"m": {UNITS[0]: 1.0}}, {"m": {UNITS[0]: 0.0}}, RESAMPLING)
    assert verdict.finding is Finding.UNTESTED


def test_a_retest_compares_only_units_scored_each_time() -> None:
    repeat = {unit: value + 1e-9 for unit, value in NOISE.items() if unit != UNITS[0]}
    verdict = verdicts.of_repeats("m", [NOISE, repeat], NOISE, False, RESAMPLING)
    assert verdict.finding is Finding.PASS
    assert verdict.figures["units"] == len(UNITS) - 1


def test_asking_a_deterministic_simulator_again_says_only_that_it_is_deterministic() -> None:
    others = dict(zip(UNITS, RNG.normal(0.0, 0.05, len(UNITS)).tolist(), strict=True))
    verdict = verdicts.of_repeats("m", [NOISE, NOISE], others, False, RESAMPLING)
    assert verdict.finding is Finding.FAIL  # asked again it is the same, on other excerpts it is not
    assert verdict.value < 0.5
    assert "between the valid and the test excerpts of 24 units, below 0.75" in verdict.sentence
    assert "says only that it is deterministic" in verdict.sentence


def test_noise_fails_the_retest() -> None:
    repeat = dict(zip(UNITS, RNG.normal(0.0, 0.05, len(UNITS)).tolist(), strict=True))
    verdict = verdicts.of_repeats("m", [NOISE, repeat], NOISE, True, RESAMPLING)
    assert verdict.finding is Finding.FAIL
    assert "with another seed" in verdict.sentence


def test_scores_that_are_all_equal_are_not_tested() -> None:
    same = dict.fromkeys(UNITS, 0.0)
    verdict = verdicts.of_repeats("m", [same] * 2, same, False, RESAMPLING)
    assert verdict.finding is Finding.UNTESTED


def test_p_values_are_corrected_for_the_panel() -> None:
    null = dict.fromkeys(UNITS, 0.0)
    scores = {unit: value + 0.035 for unit, value in NOISE.items()}
    others = {name: dict(zip(UNITS, RNG.normal(0.0, 0.05, len(UNITS)).tolist(), strict=True)) for name in "abcdefgh"}
    resampling = Resampling(0, 2000)
    (alone,) = verdicts.of_null(Test.RANDOM, {"m": scores}, {"m": null}, resampling)
    of_panel = verdicts.of_null(
        Test.RANDOM, {"m": scores, **others}, {"m": null, **dict.fromkeys(others, null)}, resampling
    )
    assert alone.figures["corrected"] == alone.figures["p_value"] < stats.SIGNIFICANT
    assert of_panel[0].figures["p_value"] == alone.figures["p_value"]
    assert 5 * alone.figures["p_value"] < of_panel[0].figures["corrected"] <= 9 * alone.figures["p_value"]
    assert (alone.finding, of_panel[0].finding) == (Finding.PASS, Finding.FAIL)
    assert f"{of_panel[0].figures['corrected']:.3f} corrected" in of_panel[0].sentence


def test_forty_near_copies_pass_at_twelve_units_where_each_alone_would() -> None:
    units, rng = UNITS[:12], np.random.default_rng(18)
    base = 0.15 + rng.normal(0, 0.22, 12)
    scores = {f"m{place}": dict(zip(units, (base + rng.normal(0, 0.02, 12)).tolist(), strict=True))
              for place in range(40)}  # fmt: skip
    null = {metric: dict.fromkeys(units, 0.0) for metric in scores}
    found = verdicts.of_null(Test.SHUFFLED, scores, null, Resampling())
    assert {verdict.finding for verdict in found} == {Finding.PASS}


def test_too_few_units_to_tell_is_no_failure_and_says_how_many_it_takes() -> None:
    units = UNITS[:5]
    scores = {"m": {unit: 0.2 + 0.1 * place for place, unit in enumerate(units)}}
    (verdict,) = verdicts.of_null(Test.RANDOM, scores, {"m": dict.fromkeys(units, 0.0)}, RESAMPLING)
    assert verdict.finding is Finding.UNTESTED
    assert "too few units to tell: whatever the signs, the corrected p is at least 0.062" in verdict.sentence
    assert "a difference such as the one seen, 0.400, takes about 6" in verdict.sentence


def test_what_was_not_told_apart_says_what_would_have_been() -> None:
    (verdict,) = verdicts.of_null(Test.RANDOM, {"m": NOISE}, {"m": dict.fromkeys(UNITS, 0.0)}, RESAMPLING)
    assert verdict.finding is Finding.FAIL
    deviation = float(np.std(list(NOISE.values()), ddof=1))
    smallest = stats.smallest_difference(deviation**2, len(UNITS))
    assert f"24 units show a difference of {smallest:.3f} with a chance of 80 %" in verdict.sentence


def test_one_outlier_decides_no_null_of_an_unbounded_metric() -> None:
    scores = {unit: 0.3 + value for unit, value in NOISE.items()}
    outlier = {**scores, UNITS[0]: -400.0}
    (verdict,) = verdicts.of_null(Test.SHUFFLED, {"ablation": outlier}, {"ablation": NOISE}, RESAMPLING)
    assert verdict.value == pytest.approx(0.3)
    assert verdict.interval.low == pytest.approx(0.3)


def test_between_subjects_only_what_does_not_depend_on_how_many_tokens_fire_is_compared() -> None:
    high, low = ({unit: middle + NOISE[unit] for unit in UNITS} for middle in (0.8, 0.3))
    scores = {"auprc": low, "auprc_balanced": high, "f1_top": low, "explained_variance": low}
    null = {"auprc": high, "auprc_balanced": low, "f1_top": high, "explained_variance": dict.fromkeys(UNITS, -18.0)}
    found = {item.metric: item for item in verdicts.of_null(Test.REINITIALISED, scores, null, RESAMPLING)}
    assert found["auprc"].finding is found["auprc_balanced"].finding is Finding.PASS
    assert found["f1_top"].finding is Finding.UNTESTED
    assert "share of tokens that fire" in found["f1_top"].sentence
    assert found["explained_variance"].figures["null"] == 0.0
    usual = {item.metric: item for item in verdicts.of_null(Test.SHUFFLED, scores, null, RESAMPLING)}
    assert usual["auprc"].finding is Finding.FAIL
    assert usual["explained_variance"].figures["null"] == -18.0


def test_where_layers_are_drawn_whole_verdicts_draw_them_too() -> None:
    layers = {Unit("N", layer, index): layer for layer in range(4) for index in range(6)}
    scores = {unit: 0.1 + 0.01 * layer for unit, layer in layers.items()}
    null = dict.fromkeys(layers, 0.0)
    units, groups = (
        verdicts.of_null(Test.SHUFFLED, {"m": scores}, {"m": null}, Resampling(0, 2000, by_group))[0]
        for by_group in (False, True)
    )
    assert (units.finding, groups.finding) == (Finding.PASS, Finding.UNTESTED)
    assert "the corrected p is at least 0.125" in groups.sentence  # 2 / 2**4: of four layers no more can be said
    drops = Drops({unit: 0.8 + 0.05 * layer for unit, layer in layers.items()}, scores, 0, 2.0, 1.0)
    ends = [
        verdicts.of_labels("m", Test.EXTRA_LABELS, drops, Resampling(0, 2000, by_group)).interval
        for by_group in (False, True)
    ]
    assert ends[1].low < ends[0].low < ends[0].high < ends[1].high
