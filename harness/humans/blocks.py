"""Balanced incomplete blocks: who is asked about what, when no person can be asked about everything.

A *treatment* is what no person may meet twice, a unit as a rule; a *block* is the questions of one person. Each
treatment stands in as many different blocks as it has copies, and loads, the numbers of questions of the blocks, differ
by at most one. Where all copies are equal and the numbers allow it, pairs of treatments meet equally often too, which
makes it a balanced incomplete block design (Yates 1936); else they meet as evenly as a greedy dealer achieves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.types import NeuroglossError


def number_of_blocks(copies: Sequence[int], most: int) -> int:
    """Return how many blocks of at most ``most`` questions hold all copies, and no treatment twice."""
    return max(math.ceil(sum(copies) / most), max(copies, default=0))


def deal(copies: Sequence[int], most: int, seed: int) -> list[list[int]]:
    """Deal the copies of treatments into blocks.

    Each treatment goes to its least loaded blocks, which keeps loads within one of each other; then treatments of two
    blocks change places wherever that evens out how often pairs of treatments meet (an exchange algorithm).

    Args:
        copies: how often each treatment is asked about [treatments].
        most: questions of a block.
        seed: of the order of treatments, of ties, of exchanges, and of the order within a block.

    Returns:
        The blocks, each with the places of its treatments in ``copies``, shuffled.

    Raises:
        NeuroglossError: a block may hold nothing, or a treatment has fewer copies than none.
    """
    if most < 1 or min(copies, default=0) < 0:
        raise NeuroglossError(f"blocks of {most} questions with {min(copies, default=0)} copies cannot be dealt.")
    rng = random.Random(seed)
    blocks: list[list[int]] = [[] for _ in range(number_of_blocks(copies, most))]
    for treatment in sorted(rng.sample(range(len(copies)), len(copies)), key=lambda treatment: -copies[treatment]):
        ties = rng.sample(range(len(blocks)), len(blocks))
        order = sorted(range(len(blocks)), key=lambda place: (len(blocks[place]), ties[place]))
        for place in order[: copies[treatment]]:
            blocks[place].append(treatment)
    _even_out(blocks, len(copies), rng)
    return [rng.sample(block, len(block)) for block in blocks]


TRIES = 20
"""Exchanges that are tried for each copy."""


def _even_out(blocks: list[list[int]], treatments: int, rng: random.Random) -> None:
    """Exchange treatments between blocks where that lowers the sum of squares of how often pairs meet."""
    meetings = np.zeros((treatments, treatments), dtype=np.int64)
    for block in blocks:
        meetings[np.ix_(block, block)] += 1
    tries = TRIES * sum(map(len, blocks)) if len(blocks) > 1 else 0
    for _ in range(tries):
        first, second = rng.sample(blocks, 2)
        if first and second:
            _exchange(first, second, meetings, rng)


def _exchange(first: list[int], second: list[int], meetings: npt.NDArray[np.int64], rng: random.Random) -> None:
    """Let a treatment of each of two blocks change places, if that is for the better."""
    one_treatment, another_treatment = rng.choice(first), rng.choice(second)
    if one_treatment in second or another_treatment in first:
        return
    beside_one = [treatment for treatment in first if treatment != one_treatment and treatment not in second]
    beside_another = [treatment for treatment in second if treatment != another_treatment and treatment not in first]
    change = (meetings[another_treatment] - meetings[one_treatment] + 1)[beside_one].sum()
    change += (meetings[one_treatment] - meetings[another_treatment] + 1)[beside_another].sum()
    if change >= 0:
        return
    for treatments, step in ((beside_one, -1), (beside_another, 1)):
        meetings[one_treatment, treatments] += step
        meetings[treatments, one_treatment] += step
        meetings[another_treatment, treatments] -= step
        meetings[treatments, another_treatment] -= step
    first[first.index(one_treatment)], second[second.index(another_treatment)] = another_treatment, one_treatment
