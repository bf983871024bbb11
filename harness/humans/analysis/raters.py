"""What people say together: the answer to each question, and how far each person can be relied on.

The model is MACE (Hovy et al. 2013, "Learning whom to trust"), by its largest posterior: a person copies the true
answer with a probability of their own, the reliability, and else answers without looking, by a distribution that all
share. It has one number for each person, where Dawid and Skene (1979) have a table, which few answers cannot fill.
Unlike a majority it counts a reliable person's answer for more.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from harness.types import FloatArray

Item = TypeVar("Item", bound=Hashable)
Value = TypeVar("Value", bound=Hashable)
PRIOR = (2.0, 1.5)
"""Answers that a person is taken to have copied, and to have guessed, before any is seen (a beta
distribution, plus 1)."""
SMOOTHING = 1.0
"""Answers of each kind that are added to those of all, for the distributions of truths and of guesses."""
STEPS = 200
TOLERANCE = 1e-6
"""The search ends after so many steps, or when no probability moves by more than this."""


@dataclass(frozen=True, slots=True)
class Consensus(Generic[Item, Value]):
    """The most likely answer to each question, and what it rests on.

    Attributes:
        answers: of each item; the first in the order of values if several are as likely.
        probability: of that answer.
        reliability: of each person, from 0 to 1: the probability that an answer is not a guess.
    """

    answers: Mapping[Item, Value]
    probability: Mapping[Item, float]
    reliability: Mapping[str, float]


def consensus(ratings: Sequence[tuple[str, Item, Value]], values: Sequence[Value]) -> Consensus[Item, Value]:
    """Return what people say together.

    Args:
        ratings: the person, the item and the value of each answer.
        values: that an answer can have.
    """
    people = list(dict.fromkeys(person for person, _, _ in ratings))
    items = list(dict.fromkeys(item for _, item, _ in ratings))
    table = _Table(
        _places([answer[0] for answer in ratings], people),
        _places([answer[1] for answer in ratings], items),
        _places([answer[2] for answer in ratings], values),
        (len(people), len(items), len(values)),
    )
    truth, reliability = _most_likely(table)
    best = truth.argmax(axis=1)
    return Consensus(
        {item: values[best[place]] for place, item in enumerate(items)},
        {item: float(truth[place, best[place]]) for place, item in enumerate(items)},
        dict(zip(people, reliability.tolist(), strict=True)),
    )


def _places(names: Sequence[Hashable], order: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    position = {name: place for place, name in enumerate(order)}
    return np.array([position[name] for name in names], dtype=np.int64)


@dataclass(frozen=True)
class _Table:
    """Answers by the places of their people, items and values [answers]; ``sizes`` are the numbers of these."""

    people: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    values: npt.NDArray[np.int64]
    sizes: tuple[int, int, int]


def _most_likely(table: _Table) -> tuple[FloatArray, FloatArray]:
    """Return the probability of each truth [items, values], and the reliability of each person [people].

    Expectation and maximisation, from the shares of the answers on.
    """
    people, items, values = table.sizes
    truth = _shares(np.ones(len(table.items)), table.items, table.values, (items, values))
    reliability = np.full(people, PRIOR[0] / sum(PRIOR))
    guesses = np.asarray(np.bincount(table.values, minlength=values) + SMOOTHING, dtype=np.float64)
    for _ in range(STEPS):
        copied = _copied(table, truth, reliability, guesses / guesses.sum())
        answers = np.bincount(table.people, minlength=people)
        reliability = (np.bincount(table.people, copied, people) + PRIOR[0]) / (answers + sum(PRIOR))
        guesses = np.asarray(np.bincount(table.values, 1 - copied, values) + SMOOTHING, dtype=np.float64)
        updated = _truth(table, truth, reliability, guesses / guesses.sum())
        moved = float(np.abs(updated - truth).max(initial=0.0))
        truth = updated
        if moved < TOLERANCE:
            break
    return truth, reliability


def _shares(
    weights: FloatArray, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], shape: tuple[int, int]
) -> FloatArray:
    counts = np.zeros(shape)
    np.add.at(counts, (rows, columns), weights)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _copied(table: _Table, truth: FloatArray, reliability: FloatArray, guesses: FloatArray) -> FloatArray:
    """Return the probability that each answer was copied from the truth [answers]."""
    copying = reliability[table.people]
    right = truth[table.items, table.values]
    as_copy = copying / (copying + (1 - copying) * guesses[table.values])
    return np.asarray(right * as_copy)


def _truth(table: _Table, truth: FloatArray, reliability: FloatArray, guesses: FloatArray) -> FloatArray:
    """Return the probability of each truth, given how people answer [items, values]."""
    copying, guessed = reliability[table.people], guesses[table.values]
    logs = np.tile(np.log(truth.sum(axis=0) + SMOOTHING), (len(truth), 1))
    missed = np.log((1 - copying) * guessed)
    np.add.at(logs, table.items, missed[:, None])
    gain = np.log(copying + (1 - copying) * guessed) - missed
    np.add.at(logs, (table.items, table.values), gain)
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
