"""One call for the items of many groups: ask about all of them together, then take the replies group by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Reply = TypeVar("Reply")


def regrouped(replies: Iterable[Reply], groups: Iterable[Sequence[Item]]) -> list[list[Reply]]:
    """Return replies to the items of several groups, which were asked in one call, group by group."""
    stream = iter(replies)
    return [[next(stream) for _ in group] for group in groups]
