"""Levels: the original's numbers, its departures as departures, and what must hold for any activations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.explainers.shared.levels import levels, shown_tokens, tokens_to_repeat
from harness.types import Excerpt, ExcerptKind, NeuroglossError

ORIGINAL = json.loads((Path(__file__).parent / "openai_normalize_activations.json").read_text())
DEPARTURES = {"nan", "inf", "nan_max"}
FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


def numbers(case: dict) -> tuple[list[float], float]:
    return [float(value) for value in case["activations"]], float(case["max_activation"])


@pytest.mark.parametrize("name", sorted(ORIGINAL.keys() - DEPARTURES))
def test_levels_are_those_of_the_original(name: str) -> None:
    assert list(levels(*numbers(ORIGINAL[name]))) == ORIGINAL[name]["out"]


@pytest.mark.parametrize("name", sorted(DEPARTURES))
def test_what_is_not_a_number_is_refused_where_the_original_guesses_or_crashes(name: str) -> None:
    with pytest.raises(NeuroglossError, match=r"the activation (nan|inf) has no level"):
        levels(*numbers(ORIGINAL[name]))


@given(st.lists(FLOATS, min_size=1))
def test_levels_rise_with_activations_and_end_at_ten(activations: list[float]) -> None:
    largest = max(activations)
    found = levels(activations, largest)
    assert all(0 <= level <= 10 for level in found)
    assert [level for _, level in sorted(zip(activations, found, strict=True))] == sorted(found)
    assert found[activations.index(largest)] == (10 if largest > 0 else 0)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1), st.integers(-20, 20))
def test_levels_do_not_depend_on_the_unit(activations: list[float], power: int) -> None:
    scaled = [math.ldexp(a, power) for a in activations]
    assert levels(scaled, max(scaled)) == levels(activations, max(activations))


def test_one_scale_for_all_excerpts_and_leading_positions_do_not_count(excerpt) -> None:
    first = excerpt(("<s>", 100.0), ("a", 2.0), ("b", 0.5), leading=1)
    second = excerpt(("c", 4.0), ("d", -3.0))
    assert shown_tokens([first, second]) == ((("<s>", 0), ("a", 5), ("b", 1)), (("c", 10), ("d", 0)))


def test_an_excerpt_of_leading_positions_only_is_silent() -> None:
    only = Excerpt(("a",), (), (3.0,), ExcerptKind.TOP, leading=2)
    assert shown_tokens([only]) == ((("a", 0),),)


@pytest.mark.parametrize(("firing", "silent", "count"), [(1, 9, 1), (1, 4, 0), (2, 9, 2), (0, 5, 0), (3, 0, 0)])
def test_firing_tokens_are_repeated_only_below_a_fifth(firing: int, silent: int, count: int) -> None:
    excerpts = [(("on", 3),) * firing, (("off", 0),) * silent]
    assert tokens_to_repeat(excerpts) == (("on", 3),) * count
