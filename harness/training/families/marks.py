"""Families of numbers and punctuation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import Rule
from harness.training import retold
from harness.training.concepts import Concept
from harness.training.families.base import Chance, Makers
from harness.training.families.places import after_words
from harness.training.families.tables import MARKS, in_words, said, series

_LIMITS = (5, 10, 12, 20, 50, 100, 100, 500, 1000, 1000, 2000, 10_000, 100_000, 1_000_000)
_OFTEN: Mapping[str, float] = {"above": 4.0, "below": 4.0}
"""Weights of kinds that are drawn more often: numbers above or below a limit; texts get numbers near the limit."""

_RANGES = ((0, 11), (9, 100), (99, 1000), (4, 20), (1899, 2000), (1799, 1900), (20, 61))


def numbers(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of a kind of numbers."""
    limit = chance.choice(_LIMITS) if chance.random() < 0.5 else _rounded(10 ** (chance.random() * 6))
    limit_text = f"{limit:,}" if chance.random() < 0.5 else in_words(limit)
    digit, divisor = chance.randint(1, 9), chance.choice([3, 5])
    kinds = _numbers(limit, digit, divisor)
    kind = chance.choices(list(kinds), [_OFTEN.get(kind, 1.0) for kind in kinds])[0]
    near = makers.near(numbers, numbers, punctuation)
    around = partial(retold.numbered, around=limit) if kind in _OFTEN else retold.numbered
    return Concept(
        "numbers",
        said("numbers", kind, limit=limit_text, digit=digit, by=in_words(divisor)),
        kinds[kind],
        makers.digits,
        near,
        retold=around,
    )


def _rounded(value: float) -> int:
    """Return a number rounded to two digits."""
    return int(float(f"{value:.1e}"))


def _numbers(limit: float, digit: int, divisor: int) -> Mapping[str, Rule]:
    """Return the rule of each kind, in the order in which kinds are drawn."""
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
        "multiples": _divided(divisor, 0),
        "decimal": rules.pattern(r"\d[\d,]*\.\d+"),
        "dollars": rules.all_of(rules.after(rules.words(["$"])), rules.pattern(r"\d.*")),
        "even": _divided(2, 0),
        "odd": _divided(2, 1),
        "round": _divided(10, 0),
        "thousands": rules.pattern(r"\d{1,3},\d{3}.*"),
    }


def _divided(divisor: int, remainder: int) -> Rule:
    """Return the rule of whole numbers, in digits or in words, that leave a remainder when divided."""
    return lambda text: np.where(rules.values(text) % divisor == remainder, rules.HIGHEST, 0.0)


def number_digits(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of numbers by their digits."""
    digit = str(chance.randint(1, 9))
    kinds: Mapping[str, Rule] = {
        "any": rules.word_where(lambda word: word.text[0].isdecimal() and digit in word.text),
        "first": rules.word_where(lambda word: word.text[0] == digit),
        "twice": rules.word_where(lambda word: any(word.text.count(figure) > 1 for figure in "0123456789")),
    }
    kind = chance.choice(list(kinds))
    wordings = said("number_digits", kind, digit=digit)
    near = makers.near(number_digits, numbers)
    return Concept("number_digits", wordings, kinds[kind], makers.digits, near, retold=retold.numbered)


def number_range(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of numbers between two limits."""
    low, high = chance.choice(_RANGES)
    wordings = said("number_range", low=low, high=high, first=low + 1, last=high - 1)
    return Concept("number_range", wordings, rules.number(low, high), makers.digits, makers.near(numbers))


def punctuation(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of one or two kinds of marks, symbols of code among them, or of all marks."""
    kinds = list(MARKS)
    names = [chance.choice(kinds)] if chance.random() < 0.7 else chance.sample(kinds, 2)
    marks = [mark for name in names for mark in MARKS[name]]
    wordings = said("punctuation", "named", names=series(names, "and"))
    if len(marks) == 1:
        wordings += said("punctuation", "one mark", mark=marks[0])
    if chance.random() < 0.08:
        wordings, marks = said("punctuation", "any"), [mark for marks in MARKS.values() for mark in marks]
    near = makers.near(punctuation, after_words)
    more = partial(retold.inserted, additions=tuple(marks))
    return Concept("punctuation", wordings, rules.words(marks), frozenset(marks), near, retold=more)
