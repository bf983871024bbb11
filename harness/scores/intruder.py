"""Intruder detection (Paulo and Belrose, arXiv 2507.08473): four excerpts of a unit and one that is none of its own.

A judge that is told nothing finds the intruder where the unit responds to something that can be seen. So the share of
trials in which it is found measures the *unit*, as that judge sees it, and no explanation: where it lies at chance, one
in five, no explanation can be expected to score well.

The active tokens of the unit's excerpts are marked, and in the intruder as many tokens drawn at random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from harness.scores.judged import active
from harness.types import Excerpt

OWN = 4
"""Excerpts of the unit in a trial."""
SIZE = OWN + 1
"""Excerpts of a trial; chance finds the intruder in one of so many."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class MarkedExcerpt:
    """An excerpt, and the places of the tokens ``marked`` in it."""

    excerpt: Excerpt
    marked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """Five marked excerpts in the order in which they are shown; the one at ``intruder``, from 0, is not the unit's."""

    excerpts: tuple[MarkedExcerpt, ...]
    intruder: int


def trials(top: Sequence[Excerpt], random: Sequence[Excerpt], level: int) -> list[Trial]:
    """Return the trials that a unit's excerpts make: as many as there are intruders, and four top excerpts for each.

    Each excerpt stands in one trial. Over the first five trials the intruder stands at each place once, so that a judge
    that always names one place is at chance.

    Args:
        top: excerpts of largest maximum; those without an active token are left out.
        random: excerpts of which those without an active token are intruders.
        level: from 1 to 10: a token is active from so many tenths of the largest activation on.
    """
    fires_in = [np.flatnonzero(fires) for fires in active([*top, *random], level)]
    members = [
        MarkedExcerpt(excerpt, tuple(map(int, places)))
        for excerpt, places in zip(top, fires_in, strict=False)
        if places.size
    ]
    intruders = [excerpt for excerpt, places in zip(random, fires_in[len(top) :], strict=True) if not places.size]
    number = min(len(members) // OWN, len(intruders), SIZE)
    return [_trial(members[first::number][:OWN], intruders[first], first, number) for first in range(number)]


def _trial(members: Sequence[MarkedExcerpt], intruder: Excerpt, first: int, number: int) -> Trial:
    """Return one of a unit's trials; the order of its excerpts is drawn by a seed that depends on them alone."""
    content = "".join([*(member.excerpt.digest for member in members), intruder.digest])
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(content.encode()).digest()[:8]))
    positions = np.arange(len(intruder.tokens))[intruder.scored]
    count = min(len(positions), int(np.median([len(member.marked) for member in members])))
    marked = tuple(map(int, np.sort(rng.choice(positions, size=count, replace=False))))
    place = (first * SIZE) // number
    shuffled = [members[position] for position in rng.permutation(OWN)]
    return Trial((*shuffled[:place], MarkedExcerpt(intruder, marked), *shuffled[place:]), place)
