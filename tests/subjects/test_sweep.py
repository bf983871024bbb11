"""The table of what becomes of each causal family of transformers: a few of it each time, all by ``make sweep``."""

from __future__ import annotations

import random
import warnings

import pytest

from tests.subjects.small import FAMILIES
from tests.subjects.sweep import outcome, table

FEW = random.Random(22).sample(sorted(family for family, line in table().items() if not line.startswith("not")), 5)
TELLING = ("gemma3n_text", "gemma4_text, shared keys", "bloom, weights without a call", "bart", "xlnet")
"""Families of public reports: two or more candidates a layer, layers that cannot run alone, a call that is missing."""


def test_the_table_has_every_family() -> None:
    assert set(table()) == set(FAMILIES)


def test_no_outcome_is_wrong() -> None:
    assert [family for family, line in table().items() if "WRONGLY" in line or "CRASHES" in line] == []


@pytest.mark.parametrize("family", sorted({*FEW, *TELLING}))
def test_a_family_has_the_outcome_of_the_table(family: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(family) == table()[family]


def test_dense_models_of_the_reports_are_exact() -> None:
    """TransformerLens#953, #1646 and #1461, heretic#126: each layer of these has one dense MLP."""
    exact = ("gemma4_text", "gemma4_text, shared keys", "lfm2", "recurrent_gemma", "jamba, dense", "bamba", "bart")
    assert [family for family in exact if not table()[family].startswith("exact at ")] == []
