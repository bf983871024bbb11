"""Two simulators compared token by token."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.simulators.agreement import agreement
from harness.types import NeuroglossError, NeuronId, Simulation

VALUES = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2, max_size=30)


def test_tokens_that_both_have_are_compared(query) -> None:
    queries = [query(tokens=("a", "b")), query(tokens=("c", "d", "e"))]
    first = [Simulation((0.0, 9.0)), Simulation((5.0, math.nan, 1.0))]
    second = [Simulation((1.0, 6.0)), Simulation((5.0, 3.0, math.nan))]
    found = agreement(queries, first, second, largest=2)
    assert (found.tokens, found.missing) == (3, 2)
    assert found.mean_absolute_difference == pytest.approx(4 / 3)
    assert found.correlation == pytest.approx(np.corrcoef([0, 9, 5], [1, 6, 5])[0, 1])
    assert [(d.query, d.position, d.token, d.first, d.second) for d in found.largest] == [
        (0, 1, "b", 9.0, 6.0),
        (0, 0, "a", 0.0, 1.0),
    ]
    assert found.largest[0].neuron == NeuronId(1, 2)


def test_a_simulator_agrees_with_itself(query) -> None:
    same = [Simulation((0.1, 0.4, 2.0))]
    found = agreement([query(tokens=("a", "b", "c"))], same, same)
    assert found.correlation == pytest.approx(1.0)
    assert found.mean_absolute_difference == 0.0


@pytest.mark.parametrize("constant", [0.0, 0.1 + 0.2, 1e30])
def test_a_constant_side_has_no_correlation(query, constant: float) -> None:
    queries = [query(tokens=("a", "b", "c"))]
    found = agreement(queries, [Simulation((constant,) * 3)], [Simulation((1.0, 2.0, 3.0))])
    assert found.correlation is None


def test_nothing_to_compare_is_said(query) -> None:
    missing = [Simulation((math.nan,))]
    found = agreement([query(tokens=("a",))], missing, missing)
    assert (found.tokens, found.missing, found.correlation, found.largest) == (0, 1, None, ())
    assert math.isnan(found.mean_absolute_difference)


@given(pairs=VALUES)
def test_it_does_not_matter_which_comes_first(query, pairs) -> None:
    first, second = ([Simulation(side)] for side in zip(*pairs, strict=True))
    queries = [query(tokens=("x",) * len(pairs))]
    one, other = agreement(queries, first, second), agreement(queries, second, first)
    assert one.correlation == pytest.approx(other.correlation)
    assert one.mean_absolute_difference == other.mean_absolute_difference
    assert one.correlation is None or abs(one.correlation) <= 1 + 1e-9


def test_other_tokens_or_units_cannot_be_compared(query) -> None:
    queries = [query(tokens=("a", "b"))]
    levels = [Simulation((0.0, 1.0))]
    for other in (Simulation((0.0,)), Simulation((0.0, 1.0), units="activations")):
        with pytest.raises(NeuroglossError, match="same tokens and in the same units"):
            agreement(queries, levels, [other])
