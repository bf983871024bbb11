"""Batches: sequences of one length, units of one place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from harness.types import NeuroglossError

Tokens = tuple[int, ...]
Address = tuple[int, int]
"""The place of a unit, and its index there."""
Item = TypeVar("Item")


def by_length(sequences: Sequence[Tokens]) -> Iterator[list[int]]:
    """Yield indices of the sequences of each length, shortest first.

    Raises:
        NeuroglossError: a sequence is empty.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for index, tokens in enumerate(sequences):
        if not tokens:
            raise NeuroglossError("an excerpt has no tokens; every excerpt needs at least one.")
        groups[len(tokens)].append(index)
    yield from (groups[length] for length in sorted(groups))


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield ``size`` items at a time, fewer at the end."""
    yield from (items[first : first + size] for first in range(0, len(items), size))


def by_place(addresses: Sequence[Address]) -> dict[int, list[int]]:
    """Return place -> positions, in ``addresses``, of the units of that place."""
    groups: dict[int, list[int]] = defaultdict(list)
    for position, (place, _) in enumerate(addresses):
        groups[place].append(position)
    return groups
