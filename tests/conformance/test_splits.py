"""Excerpts are dealt into splits as the original code deals them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.tasks.splits import split_record
from harness.types import Excerpt, ExcerptKind, Moments, NeuroglossError, TokenSums, Unit, UnitRecord

CASES = json.loads((Path(__file__).parent / "openai_splits.json").read_text())["splits"]
SPLITS = ("train", "calibration", "valid", "test")


def record(top: int, random: int) -> UnitRecord:
    """A record whose excerpts are called as the original's are."""

    def excerpts(kind: ExcerptKind, prefix: str, number: int) -> tuple[Excerpt, ...]:
        names = [f"{prefix}{index}" for index in range(number)]
        return tuple(Excerpt((name,), (), (1.0,), kind, source=name) for name in names)

    sums = TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0))
    moments = Moments(1000, 0.0, 1.0, 0.0, 3.0, 0.5, 1.0)
    return UnitRecord(
        Unit("N", 0, 0),
        excerpts(ExcerptKind.TOP, "top", top),
        excerpts(ExcerptKind.RANDOM, "rnd", random),
        moments,
        sums,
    )


def dealt(top: int, random: int) -> dict[str, list[str]]:
    splits = split_record(record(top, random))
    return {name: [excerpt.source for excerpt in getattr(splits, name)] for name in SPLITS}


@pytest.mark.parametrize("each", [1, 2, 5])
def test_each_kind_is_dealt_in_turn(each: int) -> None:
    found = dealt(4 * each, 3 * each)
    for name in SPLITS:
        top = [f"top{index}" for index in CASES[f"4x{each}"][name]]
        random = [f"rnd{index}" for index in CASES[f"3x{each}"].get(name, [])]
        assert found[name] == top + random


def test_a_whole_record_is_dealt_top_first_and_what_is_left_over_dropped() -> None:
    assert dealt(20, 20) == CASES["neuron_record_20top_20random_n=None"]


def test_a_record_with_ten_random_excerpts_is_dealt_into_smaller_splits() -> None:
    """A departure: the original asks for five of each kind, and asserts."""
    original = CASES["neuron_record_20top_10random_n=5"]
    assert original["valid"]["raises"] == "AssertionError"
    found = dealt(20, 10)
    assert found["train"] == original["train"]
    assert found["valid"] == [*(f"top{index}" for index in (2, 6, 10, 14, 18)), "rnd1", "rnd4", "rnd7"]


def test_too_few_excerpts_are_refused_with_the_neuron() -> None:
    """Where the original asserts."""
    with pytest.raises(NeuroglossError, match="unit L0N0 has 3 different top and 15 other random excerpts"):
        split_record(record(3, 15))
