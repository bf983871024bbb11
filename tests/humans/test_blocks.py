"""Blocks: each unit meets as many different people as it should, and nobody is asked more than others."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.humans.blocks import deal, number_of_blocks
from harness.types import NeuroglossError


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 30), st.integers(0, 9))
def test_each_unit_gets_so_many_different_people_and_loads_differ_by_at_most_one(
    copies: list[int], most: int, seed: int
) -> None:
    blocks = deal(copies, most, seed)
    assert Counter(unit for block in blocks for unit in block) == Counter(dict(enumerate(copies)))
    assert all(len(set(block)) == len(block) <= most for block in blocks)
    loads = [len(block) for block in blocks]
    assert max(loads, default=0) - min(loads, default=0) <= 1
    assert len(blocks) == number_of_blocks(copies, most)


@pytest.mark.parametrize("seed", range(5))
def test_a_balanced_design_is_reached_where_there_is_one(seed: int) -> None:
    """Seven units, three people a unit, three questions a person: the Fano plane, where all pairs meet once."""
    meetings = Counter(pair for block in deal([3] * 7, 3, seed) for pair in combinations(sorted(block), 2))
    assert meetings == dict.fromkeys(combinations(range(7), 2), 1)


def test_blocks_depend_on_the_seed_alone() -> None:
    assert deal([2] * 9, 4, 1) == deal([2] * 9, 4, 1) != deal([2] * 9, 4, 2)


def test_blocks_of_nothing_are_refused() -> None:
    with pytest.raises(NeuroglossError, match="blocks of 0 questions"):
        deal([1], 0, 0)
