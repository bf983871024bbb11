"""Records dealt into splits, and what explainers are shown of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import overload

import numpy as np

from harness.types import Evidence, Excerpt, NeuroglossError, Record, Splits, Task, Unit, UnitRecord


def deal(source: UnitRecord) -> Record:
    """Deal a collected record into splits, with all that explainers may know of it.

    Nothing that explainers may know comes from a valid or a test excerpt.

    Raises:
        NeuroglossError: there are fewer than 4 top or 3 random excerpts.
    """
    splits = split_record(source)
    hidden = (*splits.valid, *splits.test)
    return Record(
        unit=source.unit,
        splits=splits,
        shown=splits.train,
        token_sums=source.token_sums.without(hidden) if source.moments.count else source.token_sums,
        mean=_cleared_mean(source, splits, hidden),
        corpus_mean=source.moments.mean,
        source=source,
    )


KEPT = 128
"""Records of a task that are kept once they are dealt."""


class Dealt(Sequence[Record]):
    """Some records of a task, dealt when they are asked for; where they are few, at once, so that faults show early.

    Args:
        task: whose records they are.
        places: of those that are meant.

    Attributes:
        units: whose records they are, which can be told without reading them.

    Raises:
        NeuroglossError: here, or when a record is asked for: see :func:`deal`.
    """

    def __init__(self, task: Task, places: Sequence[int]) -> None:
        sources, units = task.records, task.units
        self.units = tuple(units[place] for place in places)
        self._places = places
        self._deal = lru_cache(maxsize=KEPT)(lambda place: deal(sources[place]))
        if len(places) <= KEPT:
            self[:]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> Record: ...

    @overload
    def __getitem__(self, number: slice) -> list[Record]: ...

    def __getitem__(self, number: int | slice) -> Record | list[Record]:
        """Return a record, or several."""
        if isinstance(number, slice):
            return [self._deal(place) for place in self._places[number]]
        return self._deal(self._places[number])


def units_of(records: Sequence[Record]) -> tuple[Unit, ...]:
    """Return whose records they are, without dealing any."""
    return records.units if isinstance(records, Dealt) else tuple(record.unit for record in records)


def evidence(record: Record) -> Evidence:
    """Return all that an explainer may know of a unit."""
    return Evidence(record.unit, record.shown, record.token_sums, record.mean)


def split_record(source: UnitRecord) -> Splits:
    """Deal a record's excerpts, interleaved, into four sets of equal size that share no excerpt (Bills et al., 2023).

    Top excerpts go in turn to train, calibration, valid and test; random ones to calibration, valid and test, after
    the top ones there, and hard ones after these in the same way. What does not go round evenly is left out, and so is
    a hard excerpt that is nearly the same as another (see :func:`apart`).

    Raises:
        NeuroglossError: there are fewer than 4 top or 3 random excerpts.
    """
    top, random = distinct(source)
    if len(top) < 4 or len(random) < 3:
        raise NeuroglossError(
            f"unit {source.unit} has {len(top)} different top and {len(random)} other random excerpts; "
            "at least 4 and 3 are needed to deal them into splits."
        )
    train, *top_shares = _shares(top, 4)
    hard = apart(source.hard, (*top, *random))
    shares = zip(top_shares, _shares(random, 3), _shares(hard, 3), strict=True)
    calibration, valid, test = (top + random + hard for top, random, hard in shares)
    return Splits(train, calibration, valid, test)


def distinct(source: UnitRecord) -> tuple[tuple[Excerpt, ...], tuple[Excerpt, ...]]:
    """Return top and random excerpts, each text where it stands first: a repeated one would be in two splits."""
    digests: set[str] = set()

    def first_of_each(excerpts: Sequence[Excerpt]) -> tuple[Excerpt, ...]:
        firsts = []
        for excerpt in excerpts:
            if excerpt.digest not in digests:
                firsts.append(excerpt)
            digests.add(excerpt.digest)
        return tuple(firsts)

    return first_of_each(source.top), first_of_each(source.random)


RUN = 8
"""Tokens in a row by which two excerpts are nearly the same."""


def apart(candidates: Iterable[Excerpt], excerpts: Iterable[Excerpt]) -> tuple[Excerpt, ...]:
    """Return the candidates, in order, that share no run of 8 tokens with ``excerpts`` or with a candidate before them.

    Of an excerpt that is shorter, the whole is one run.
    """
    taken = {run for excerpt in excerpts for run in _runs(excerpt)}
    distant = []
    for candidate in candidates:
        runs = _runs(candidate)
        if taken.isdisjoint(runs):
            distant.append(candidate)
            taken |= runs
    return tuple(distant)


def _runs(excerpt: Excerpt) -> set[tuple[str, ...]]:
    tokens = excerpt.tokens
    return {tokens[start : start + RUN] for start in range(max(1, len(tokens) - RUN + 1))}


def _cleared_mean(source: UnitRecord, splits: Splits, hidden: Sequence[Excerpt]) -> float:
    """Return the mean activation over the corpus without the hidden excerpts.

    An imported record does not say over how much text its mean was taken: there it is that of what is not hidden.
    """
    if not source.moments.count:
        return _mean((*splits.train, *splits.calibration))
    activations = [value for excerpt in hidden for value in excerpt.activations[excerpt.scored]]
    count = source.moments.count - len(activations)
    return (source.moments.mean * source.moments.count - sum(activations)) / count


def _mean(excerpts: Iterable[Excerpt]) -> float:
    return float(np.mean([value for excerpt in excerpts for value in excerpt.activations[excerpt.scored]]))


def _shares(excerpts: tuple[Excerpt, ...], ways: int) -> list[tuple[Excerpt, ...]]:
    """Deal excerpts in turn into so many splits.

    In its split each stands for all that the split was not dealt, so that weighted sums over one split, too, estimate
    sums over the whole corpus.
    """
    even = len(excerpts) // ways * ways
    if not even:
        return [()] * ways
    share = len(excerpts) * ways / even
    weighted = [dataclasses.replace(excerpt, weight=excerpt.weight * share) for excerpt in excerpts[:even]]
    return [tuple(weighted[first::ways]) for first in range(ways)]
