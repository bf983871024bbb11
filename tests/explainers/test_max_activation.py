"""The most-activating tokens, and nothing where the neuron is silent."""

from __future__ import annotations

import pytest

from harness.explainers.max_activation import MaxActivation
from harness.types import NeuroglossError, Outcome, Role


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(1, 'the token " sun"'), (2, 'the token " sun" or " moon"'), (9, 'the token " sun" or " moon" or " set"')],
)
def test_the_strongest_tokens_are_named(evidence, tokens: int, text: str) -> None:
    told = MaxActivation(tokens).explain([evidence()])[0]
    assert (told.text, told.outcome) == (text, Outcome.OK)


def test_a_token_counts_once_by_its_largest_activation(evidence, excerpt) -> None:
    known = evidence(excerpts=(excerpt(("b", 1.0), ("a", 2.0)), excerpt(("b", 3.0), ("\n", 2.0))))
    assert MaxActivation(3).explain([known])[0].text == r'the token "b" or "\n" or "a"'


def test_a_silent_neuron_has_no_explanation(evidence, excerpt) -> None:
    told = MaxActivation().explain([evidence(excerpts=(excerpt(("a", 0.0), ("b", -1.0)),))])[0]
    assert (told.text, told.outcome) == ("", Outcome.EMPTY)


def test_no_tokens_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="at least 1"):
        MaxActivation(0)
    assert MaxActivation().role is Role.EXPLAINER
