"""Expected levels: the original's numbers, and what is missing is NaN and named, never a zero."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.simulators.levels import expected_levels, rescaled, simulation, unasked
from harness.types import LevelReading, Message, NeuroglossError, Outcome, SlottedPrompt, Usage

ORIGINAL = json.loads((Path(__file__).parent / "openai_logprob_expected_value.json").read_text())
DEPARTURES = {"none_valid", "empty"}
NAN = math.nan


def reading(case: dict) -> LevelReading:
    """What a backend gives where these were the returned log-probabilities."""
    found = {int(token): math.exp(value) for token, value in case["top_logprobs"].items() if token in LEVELS}
    mass = sum(found.values())
    shares = tuple(found.get(level, 0.0) / mass for level in range(11)) if found else (NAN,) * 11
    return LevelReading((shares,), (mass,), (len(found),))


LEVELS = {str(level) for level in range(11)}


def prompt(slots: int, levels: int = 3) -> SlottedPrompt:
    return SlottedPrompt((Message("user", "x"),), ("\t",) * slots, "_", levels)


@pytest.mark.parametrize("name", sorted(ORIGINAL.keys() - DEPARTURES))
def test_expected_values_are_those_of_the_original(name: str) -> None:
    expected = ORIGINAL[name]["out"]["expected_value"]
    assert expected_levels(reading(ORIGINAL[name])) == pytest.approx((expected,), rel=1e-9)


@pytest.mark.parametrize("name", sorted(DEPARTURES))
def test_no_level_is_missing_where_the_original_says_zero(name: str) -> None:
    assert ORIGINAL[name]["out"]["expected_value"] == 0.0
    assert math.isnan(expected_levels(reading(ORIGINAL[name]))[0])


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=11))
def test_an_expected_level_lies_on_the_scale(weights: list[float]) -> None:
    shares = tuple(weight / sum(weights) for weight in weights)
    (expected,) = expected_levels(LevelReading((shares,), (1.0,), (len(shares),)))
    assert -1e-9 <= expected <= len(weights) - 1 + 1e-9


@pytest.mark.parametrize(
    ("levels", "shown"), [(11, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), (10, [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9])]
)
def test_examples_are_shown_on_the_scale_that_is_read(levels: int, shown: list[int]) -> None:
    assert [rescaled(level, levels) for level in range(11)] == shown


def test_readings_are_joined_with_what_they_cost() -> None:
    one = LevelReading(((0.5, 0.5, 0.0),), (0.9,), (2,), usage=Usage(1, 1, 10))
    other = LevelReading(((NAN,) * 3, (0.0, 0.0, 1.0)), (0.0, 0.2), (0, 1), usage=Usage(1, 0, 5))
    joined = simulation([prompt(1), prompt(2)], [one, other])
    assert joined.expected == pytest.approx((0.5, NAN, 2.0), nan_ok=True)
    assert joined.mass == (0.9, 0.0, 0.2)
    assert (joined.usage, joined.units, joined.outcome) == (Usage(2, 1, 15), "levels", Outcome.OK)


@pytest.mark.parametrize("given_slots", [0, 1, 2])
def test_a_failed_request_is_missing_at_each_of_its_slots(given_slots: int) -> None:
    row = (1.0, 0.0, 0.0)
    failed = LevelReading((row,) * given_slots, (1.0,) * given_slots, (3,) * given_slots, Outcome.FAILED, Usage(1))
    read = LevelReading((row,), (1.0,), (3,))
    partly = simulation([prompt(2), prompt(1)], [failed, read])
    assert partly.expected == pytest.approx((NAN, NAN, 0.0), nan_ok=True)
    assert [len(shares) for shares in partly.probabilities or ()] == [3, 3, 3]
    assert (partly.outcome, partly.usage) == (Outcome.OK, Usage(1))
    assert simulation([prompt(2)], [failed]).outcome is Outcome.FAILED


def test_a_model_that_reads_too_few_slots_is_not_believed() -> None:
    with pytest.raises(NeuroglossError, match="read 1 slots of a prompt that has 2"):
        simulation([prompt(2)], [LevelReading(((1.0, 0.0, 0.0),), (1.0,), (3,))])


@pytest.mark.parametrize(
    ("text", "outcome", "found"),
    [
        ("", Outcome.OK, Outcome.EMPTY),
        (" \n", Outcome.OK, Outcome.EMPTY),
        ("cut off", Outcome.TRUNCATED, Outcome.TRUNCATED),
        ("", Outcome.NOT_COLLECTED, Outcome.NOT_COLLECTED),
    ],
)
def test_without_an_explanation_there_is_nothing_to_ask(query, text: str, outcome: Outcome, found: Outcome) -> None:
    answer = unasked(query(text, ("a", "b"), outcome))
    assert answer is not None
    assert answer.expected == pytest.approx((NAN, NAN), nan_ok=True)
    assert answer.outcome is found
    assert unasked(query()) is None
