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
    verdict = verdicts.of_repeats("m", [NOISE, repeat], False, RESAMPLING)
    assert verdict.finding is Finding.PASS
    assert verdict.figures["units"] == len(UNITS) - 1
    assert "the simulator has no seed" in verdict.sentence


def test_noise_fails_the_retest() -> None:
    repeat = dict(zip(UNITS, RNG.normal(0.0, 0.05, len(UNITS)).tolist(), strict=True))
    verdict = verdicts.of_repeats("m", [NOISE, repeat], True, RESAMPLING)
    assert verdict.finding is Finding.FAIL
    assert "with another seed" in verdict.sentence


def test_scores_that_are_all_equal_are_not_tested() -> None:
    verdict = verdicts.of_repeats("m", [dict.fromkeys(UNITS, 0.0)] * 2, False, RESAMPLING)
    assert verdict.finding is Finding.UNTESTED


def test_p_values_are_corrected_for_the_panel() -> None:
    null = dict.fromkeys(UNITS, 0.0)
    scores = {unit: value + 0.035 for unit, value in NOISE.items()}
    resampling = Resampling(0, 2000)
    (alone,) = verdicts.of_null(Test.RANDOM, {"m": scores}, {"m": null}, resampling)
    of_panel = verdicts.of_null(
        Test.RANDOM,
        {"m": scores} | dict.fromkeys("abcdefgh", NOISE),
        {"m": null} | dict.fromkeys("abcdefgh", null),
        resampling,
    )
    assert alone.figures["corrected"] == alone.figures["p_value"] < verdicts.SIGNIFICANT
    assert of_panel[0].figures["p_value"] == alone.figures["p_value"]
    assert [item.figures["corrected"] for item in of_panel] == pytest.approx(
        stats.holm([item.figures["p_value"] for item in of_panel])
    )
    assert of_panel[0].figures["corrected"] == pytest.approx(9 * alone.figures["p_value"])
    assert (alone.finding, of_panel[0].finding) == (Finding.PASS, Finding.FAIL)
    assert f"{of_panel[0].figures['corrected']:.3f} corrected for 9 metrics" in of_panel[0].sentence


def test_where_layers_are_drawn_whole_verdicts_draw_them_too() -> None:
    layers = {Unit("N", layer, index): layer for layer in range(4) for index in range(6)}
    scores = {unit: 0.1 + 0.01 * layer for unit, layer in layers.items()}
    null = dict.fromkeys(layers, 0.0)
    units, groups = (
        verdicts.of_null(Test.SHUFFLED, {"m": scores}, {"m": null}, Resampling(0, 2000, by_group))[0]
        for by_group in (False, True)
    )
    assert (units.finding, groups.finding) == (Finding.PASS, Finding.FAIL)
    assert groups.figures["p_value"] == pytest.approx(2 / 2**4)  # of four layers no more can be said
    drops = Drops({unit: 0.8 + 0.05 * layer for unit, layer in layers.items()}, scores, 0, 2.0, 1.0)
    ends = [
        verdicts.of_labels("m", Test.EXTRA_LABELS, drops, Resampling(0, 2000, by_group)).interval
        for by_group in (False, True)
    ]
    assert ends[1].low < ends[0].low < ends[0].high < ends[1].high
