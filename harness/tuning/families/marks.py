"""Numbers and punctuation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from harness.puzzles import rules
from harness.puzzles.rules import Rule
from harness.tuning import retold
from harness.tuning.concepts import Concept
from harness.tuning.families.base import Chance, Makers
from harness.tuning.families.places import after_words
from harness.tuning.families.tables import MARKS, in_words, said, series

_LIMITS = (5, 10, 12, 20, 50, 100, 100, 500, 1000, 1000, 2000, 10_000, 100_000, 1_000_000)
_OFTEN: Mapping[str, float] = {"above": 4.0, "below": 4.0}
"""Kinds of numbers that are drawn more often: those by a limit, near which numbers are put into the texts."""

_RANGES = ((0, 11), (9, 100), (99, 1000), (4, 20), (1899, 2000), (1799, 1900), (20, 61))


def numbers(makers: Makers, chance: Chance) -> Concept:
    """Numbers of many kinds."""
    limit = chance.choice(_LIMITS) if chance.random() < 0.5 else _rounded(10 ** (chance.random() * 6))
    shown = f"{limit:,}" if chance.random() < 0.5 else in_words(limit)
    digit, by = chance.randint(1, 9), chance.choice([3, 5])
    kinds = _numbers(limit, digit, by)
    kind = chance.choices(list(kinds), [_OFTEN.get(one, 1.0) for one in kinds])[0]
    near = makers.near(numbers, numbers, punctuation)
    around = partial(retold.numbered, around=limit) if kind in _OFTEN else retold.numbered
    return Concept(
        "numbers",
        said("numbers", kind, limit=shown, digit=digit, by=in_words(by)),
        kinds[kind],
        makers.digits,
        near,
        retold=around,
    )


def _rounded(value: float) -> int:
    """To two digits."""
    return int(float(f"{value:.1e}"))


def _numbers(limit: float, digit: int, by: int) -> Mapping[str, Rule]:
    """The rule of each kind, in the order in which kinds are drawn."""
    return {
        "any": rules.number(),
        "in digits": rules.pattern(r"\d.*"),
        "in words": rules.all_of(rules.number(), rules.pattern(r"\D.*")),
        "years": rules.pattern(r"1[5-9]\d\d|20[0-4]\d"),
        "above": rules.number(above=limit),
        "below": rules.number(below=limit),
        "two digits": rules.pattern(r"\d\d"),
        "one digit": rules.pattern(r"\d"),
        "three digits": rules.pattern(r"\d\d\d"),
        "four digits": rules.pattern(r"\d,?\d\d\d"),
        "last digit": rules.pattern(rf"(\d[\d,.]*)?{digit}"),
        "multiples": _divided(by, 0),
        "decimal": rules.pattern(r"\d[\d,]*\.\d+"),
        "dollars": rules.all_of(rules.after(rules.words(["$"])), rules.pattern(r"\d.*")),
        "even": _divided(2, 0),
        "odd": _divided(2, 1),
        "round": _divided(10, 0),
        "thousands": rules.pattern(r"\d{1,3},\d{3}.*"),
    }


def _divided(by: int, left: int) -> Rule:
    """Whole numbers, in digits or in words, of which a division leaves so much."""
    return lambda text: np.where(rules.values(text) % by == left, rules.HIGHEST, 0.0)


def number_digits(makers: Makers, chance: Chance) -> Concept:
    """Numbers by the digits that they hold."""
    digit = str(chance.randint(1, 9))
    kinds: Mapping[str, Rule] = {
        "any": rules.word_where(lambda word: word.text[0].isdecimal() and digit in word.text),
        "first": rules.word_where(lambda word: word.text[0] == digit),
        "twice": rules.word_where(lambda word: any(word.text.count(one) > 1 for one in "0123456789")),
    }
    kind = chance.choice(list(kinds))
    wordings = said("number_digits", kind, digit=digit)
    near = makers.near(number_digits, numbers)
    return Concept("number_digits", wordings, kinds[kind], makers.digits, near, retold=retold.numbered)


def number_range(makers: Makers, chance: Chance) -> Concept:
    """Numbers between two limits."""
    low, high = chance.choice(_RANGES)
    wordings = said("number_range", low=low, high=high, first=low + 1, last=high - 1)
    return Concept("number_range", wordings, rules.number(low, high), makers.digits, makers.near(numbers))


def punctuation(makers: Makers, chance: Chance) -> Concept:
    """Marks of many kinds, code symbols among them."""
    names = list(MARKS)
    some = [chance.choice(names)] if chance.random() < 0.7 else chance.sample(names, 2)
    marks = [mark for name in some for mark in MARKS[name]]
    wordings = said("punctuation", "named", names=series(some, "and"))
    if len(marks) == 1:
        wordings += said("punctuation", "one mark", mark=marks[0])
    if chance.random() < 0.08:
        wordings, marks = said("punctuation", "any"), [mark for every in MARKS.values() for mark in every]
    near = makers.near(punctuation, after_words)
    more = partial(retold.inserted, some=tuple(marks))
    return Concept("punctuation", wordings, rules.words(marks), frozenset(marks), near, retold=more)
