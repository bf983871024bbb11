"""Krippendorff's alpha: his own example, chance, and what enters from answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.humans.analysis import agreement
from harness.humans.analysis.agreement import Ratings, Scale
from harness.humans.analysis.comparisons import Preference
from harness.humans.answers import IntruderQuestion, Levels, Picked, SimulateQuestion, Wording
from harness.types import Unit

NAN = math.nan
EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
"""Four observers and twelve units (Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section D)."""
UNIT = Unit("N", 0, 3)


@pytest.mark.parametrize(
    ("scale", "published"), [(Scale.NOMINAL, 0.743), (Scale.ORDINAL, 0.815), (Scale.INTERVAL, 0.849)]
)
def test_alpha_of_the_published_example(scale: Scale, published: float) -> None:
    assert agreement.alpha(EXAMPLE, scale) == pytest.approx(published, abs=5e-4)


def test_nothing_to_disagree_on_has_no_alpha() -> None:
    assert math.isnan(agreement.alpha(np.ones((3, 4)), Scale.NOMINAL))
    assert math.isnan(agreement.alpha(np.array([[1.0, NAN], [NAN, 2.0]]), Scale.NOMINAL))


def test_the_interval_is_over_units_and_holds_0_for_chance() -> None:
    rng = np.random.default_rng(0)
    units = tuple(Unit("N", 0, place // 5) for place in range(60))
    interval = agreement.alpha_interval(Ratings(rng.integers(4, size=(3, 60)) * 1.0, units, Scale.NOMINAL), 0, 199)
    assert interval.low < 0 < interval.high
    assert interval.units == 12
    few = Ratings(rng.integers(4, size=(3, 25)) * 1.0, units[:25], Scale.NOMINAL)
    assert math.isnan(agreement.alpha_interval(few, 0).low)


def test_answers_that_go_together_on_a_unit_widen_the_interval() -> None:
    """Twelve items of twelve units, and each of them five times: the same estimate, the same number of units."""
    rng = np.random.default_rng(1)
    values = rng.integers(3, size=(3, 12)) * 1.0
    values[1] = values[0]
    units = tuple(Unit("N", 0, place) for place in range(12))
    once = agreement.alpha_interval(Ratings(values, units, Scale.NOMINAL), 4)
    often = agreement.alpha_interval(
        Ratings(np.repeat(values, 5, axis=1), tuple(np.repeat(units, 5)), Scale.NOMINAL), 4
    )
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.15)


def test_choices_of_the_same_pair_of_a_unit_are_one_item(compare) -> None:
    first, second = Preference.FIRST, Preference.SECOND
    ratings = agreement.of_choices(compare("a", "b", [first, second, first, first, second, second], units=3))
    assert ratings.values.shape == (3, 3)
    assert ratings.shared == 0
    ratings = agreement.of_choices(compare("a", "b", [first, second, first], units=1))
    assert ratings.shared == 1
    assert ratings.units == (Unit("N", 0, 0),)


def test_intruders_are_the_same_excerpt_wherever_it_stands(respond) -> None:
    answers = [
        respond("p", UNIT, IntruderQuestion(tuple("abcde"), 1), Picked(1)),
        respond("q", UNIT, IntruderQuestion(tuple("edcba"), 3), Picked(3)),
    ]
    assert agreement.of_intruders(answers).values.tolist() == [[1.0], [1.0]]


def test_levels_of_leading_tokens_do_not_count(respond) -> None:
    question = SimulateQuestion(Wording("rivers", "m", UNIT), "key", 1.0)
    answers = [
        respond(person, UNIT, question, Levels(levels)) for person, levels in [("p", (9, 0, 3)), ("q", (0, 0, 4))]
    ]
    ratings = agreement.of_levels(answers, {"key": 1})
    assert ratings.values.tolist() == [[0.0, 3.0], [0.0, 4.0]]
    assert ratings.scale is Scale.INTERVAL
    assert agreement.of_levels(answers, {}).values.shape == (2, 3)
