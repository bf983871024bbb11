"""Verdicts follow their bounds, say so in words, and never pass what has no value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness import stats
from harness.audit import verdicts
from harness.audit.labels import Drops
from harness.audit_results import Finding, Test
from harness.types import NeuronId

NEURONS = [NeuronId(layer, 1) for layer in range(24)]
BY = verdicts.Resampling(0, 300)
RNG = np.random.default_rng(3)
NOISE = dict(zip(NEURONS, RNG.normal(0.0, 0.05, len(NEURONS)).tolist(), strict=True))


def _drops(share: float, untested: int = 0) -> Drops:
    return Drops(dict.fromkeys(NEURONS, share), dict.fromkeys(NEURONS, -0.2), untested, 40.0, 20.0)


@pytest.mark.parametrize(("share", "finding"), [(0.91, Finding.PASS), (0.9, Finding.FAIL), (0.2, Finding.FAIL)])
def test_a_label_test_needs_more_than_nine_drops_in_ten(share: float, finding: Finding) -> None:
    found = verdicts.of_labels("correlation", Test.MISSING_LABELS, _drops(share, 2), BY)
    assert (found.finding, found.value) == (finding, pytest.approx(share))
    assert "from 40.0 labels to 20.0; 2 of 26 neurons have no sound score" in found.sentence


def test_a_metric_without_sound_scores_is_not_tested() -> None:
    found = verdicts.of_labels("m", Test.EXTRA_LABELS, Drops({}, {}, 5, 1.0, 2.0), BY)
    assert found.finding is Finding.UNTESTED
    assert math.isnan(found.value)


def test_a_null_is_told_apart_only_where_its_interval_leaves_0_out() -> None:
    own = {"good": {n: NOISE[n] + 0.3 for n in NEURONS}, "blind": NOISE, "misled": NOISE, "absent": NOISE}
    other = dict(zip(NEURONS, RNG.normal(0.0, 0.05, len(NEURONS)).tolist(), strict=True))
    null = {"good": other, "blind": other, "misled": {n: other[n] + 0.3 for n in NEURONS}}
    found = {one.metric: one for one in verdicts.of_null(Test.SHUFFLED, own, null, BY)}
    assert {name: one.finding for name, one in found.items()} == {
        "good": Finding.PASS,
        "blind": Finding.FAIL,
        "misled": Finding.FAIL,
    }
    assert "good tells a neuron's own explanation from the explanation of another neuron" in found["good"].sentence
    assert "cannot be told from" in found["blind"].sentence
    assert found["good"].figures["own"] - found["good"].figures["null"] == pytest.approx(found["good"].value)


def test_one_neuron_is_too_few_to_tell_anything() -> None:
    (found,) = verdicts.of_null(Test.RANDOM, {"m": {NEURONS[0]: 1.0}}, {"m": {NEURONS[0]: 0.0}}, BY)
    assert found.finding is Finding.UNTESTED


def test_a_retest_compares_only_neurons_scored_each_time() -> None:
    again = {neuron: value + 1e-9 for neuron, value in NOISE.items() if neuron != NEURONS[0]}
    found = verdicts.of_repeats("m", [NOISE, again], False, BY)
    assert found.finding is Finding.PASS
    assert found.figures["neurons"] == len(NEURONS) - 1
    assert "the simulator has no seed" in found.sentence


def test_noise_fails_the_retest() -> None:
    again = dict(zip(NEURONS, RNG.normal(0.0, 0.05, len(NEURONS)).tolist(), strict=True))
    found = verdicts.of_repeats("m", [NOISE, again], True, BY)
    assert found.finding is Finding.FAIL
    assert "with another seed" in found.sentence


def test_scores_that_are_all_one_are_not_tested() -> None:
    found = verdicts.of_repeats("m", [dict.fromkeys(NEURONS, 0.0)] * 2, False, BY)
    assert found.finding is Finding.UNTESTED


def test_p_values_are_corrected_for_the_panel() -> None:
    null = dict.fromkeys(NEURONS, 0.0)
    own = {neuron: value + 0.035 for neuron, value in NOISE.items()}
    by = verdicts.Resampling(0, 2000)
    (alone,) = verdicts.of_null(Test.RANDOM, {"m": own}, {"m": null}, by)
    many = verdicts.of_null(
        Test.RANDOM, {"m": own} | dict.fromkeys("abcdefgh", NOISE), {"m": null} | dict.fromkeys("abcdefgh", null), by
    )
    assert alone.figures["corrected"] == alone.figures["p_value"] < verdicts.SIGNIFICANT
    assert many[0].figures["p_value"] == alone.figures["p_value"]
    assert [one.figures["corrected"] for one in many] == pytest.approx(
        stats.holm([one.figures["p_value"] for one in many])
    )
    assert many[0].figures["corrected"] == pytest.approx(9 * alone.figures["p_value"])
    assert (alone.finding, many[0].finding) == (Finding.PASS, Finding.FAIL)
    assert f"{many[0].figures['corrected']:.3f} corrected for 9 metrics" in many[0].sentence


def test_where_layers_are_drawn_whole_verdicts_draw_them_too() -> None:
    neurons = [NeuronId(layer, index) for layer in range(4) for index in range(6)]
    own = {neuron: 0.1 + 0.01 * neuron.layer for neuron in neurons}
    null = dict.fromkeys(neurons, 0.0)
    apart, whole = (
        verdicts.of_null(Test.SHUFFLED, {"m": own}, {"m": null}, verdicts.Resampling(0, 2000, by_layer))[0]
        for by_layer in (False, True)
    )
    assert (apart.finding, whole.finding) == (Finding.PASS, Finding.FAIL)
    assert whole.figures["p_value"] == pytest.approx(2 / 2**4)  # of four layers no more can be said
    drops = Drops({neuron: 0.8 + 0.05 * neuron.layer for neuron in neurons}, own, 0, 2.0, 1.0)
    ends = [
        verdicts.of_labels("m", Test.EXTRA_LABELS, drops, verdicts.Resampling(0, 2000, by_layer)).interval
        for by_layer in (False, True)
    ]
    assert ends[1].low < ends[0].low < ends[0].high < ends[1].high
