"""The table holds the means of tokens seen often enough; the rest is the neuron's mean."""

from __future__ import annotations

import pytest

from harness.explainers.controls.token_lookup import TokenLookup
from harness.types import NeuroglossError, Outcome, Role


def test_the_table_holds_means_of_tokens_seen_often_enough(evidence) -> None:
    told = TokenLookup(minimum_count=3).explain([evidence()])[0]
    assert told.table == {" sun": 7.5, " moon": 4.0, " the": -0.1}
    assert (told.default, told.text, told.outcome) == (0.25, "", Outcome.OK)
    assert " rare" in (TokenLookup(minimum_count=2).explain([evidence()])[0].table or {})


def test_what_it_is_shown_of_excerpts_does_not_matter(evidence) -> None:
    assert TokenLookup().explain([evidence()])[0].table == TokenLookup().explain([evidence(excerpts=())])[0].table


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="at least 1"):
        TokenLookup(0)
    assert TokenLookup().role is Role.TABLE
