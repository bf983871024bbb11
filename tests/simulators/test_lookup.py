"""A table gives each token its mean, in units of activations."""

from __future__ import annotations

import math

import pytest

from harness.simulators.lookup import Lookup
from harness.types import NeuroglossError, Outcome


def test_tokens_are_looked_up_and_the_rest_is_the_default(query) -> None:
    found = Lookup().simulate([query("", (" sun", "sun", " moon"), table={" sun": 7.5, " moon": 0.0})])[0]
    assert (found.expected, found.units, found.outcome) == ((7.5, -0.5, 0.0), "activations", Outcome.OK)
    assert found.probabilities is None


def test_an_explanation_that_is_missing_stays_missing(query) -> None:
    found = Lookup().simulate([query("", ("a",), Outcome.FAILED, {})])[0]
    assert math.isnan(found.expected[0])
    assert found.outcome is Outcome.FAILED


def test_an_empty_table_gives_the_default(query) -> None:
    assert Lookup().simulate([query("", ("a",), table={})])[0].expected == (-0.5,)


def test_a_text_cannot_be_looked_up(query) -> None:
    with pytest.raises(NeuroglossError, match="L1N2 is a text, not a table"):
        Lookup().simulate([query("words for weather")])
