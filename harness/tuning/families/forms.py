"""Words as they are written: given words, endings, letters, shapes, and parts of speech."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from harness.puzzles import rules
from harness.puzzles.rules import HIGHEST, PARTIAL, Rule, Text, Word
from harness.tuning import retold
from harness.tuning.concepts import Concept
from harness.tuning.families.base import Chance, Family, Makers, of_words
from harness.tuning.families.tables import (
    BEGINNINGS,
    CLASSES,
    CLOSED_CLASSES,
    ENDINGS,
    FUNCTION_WORDS,
    option,
    said,
    series,
)
from harness.types import FloatArray

_VOWELS = "aeiou"


def words(makers: Makers, chance: Chance) -> Concept:
    """One to four given words."""
    some = makers.some_words(chance, [1, 1, 1, 2, 3, 4])
    quoted = [f'"{word}"' for word in some]
    wordings = said(
        "words",
        "one" if len(some) == 1 else "several",
        any_quoted=series(quoted, "or"),
        all_quoted=series(quoted, "and"),
        plain=", ".join(some),
        all=series(some, "and"),
    )
    return of_words("words", wordings, some, makers.near(words))


def endings(makers: Makers, chance: Chance) -> Concept:
    """Words by their ending or their beginning."""
    word, size = makers.word(chance, 6), chance.choice([2, 2, 3, 3, 4])
    if chance.random() < 0.6:
        part = chance.choice([*ENDINGS, word[-size:], word[-size:]])
        return _form(makers, "endings", endings, said("endings", "ending", part=part), rules.suffix(part))
    part = chance.choice([*BEGINNINGS, word[:size], word[:size]])
    return _form(makers, "endings", endings, said("endings", "beginning", part=part), rules.prefix(part))


def letters(makers: Makers, chance: Chance) -> Concept:
    """Words by the letters at their beginning or their end, by letters that they have, or by how often they do."""
    letter, *others = chance.sample("abcdefghiklmnoprstuvwy", 3)
    word = makers.word(chance, 4)
    first, second, third, last = (*word[:3], word[-1])
    kept, rare, different = (letter, *others), chance.sample("bfgjkpqvwxz", 3), chance.randint(4, 8)
    held = chance.sample(sorted({*word, letter, others[0]}), 2)
    values = {"letter": letter, "capital": letter.upper(), "second": others[0], "third": others[1]}
    values |= {"its_first": first, "its_second": second, "its_third": third, "its_last": last}
    values |= {"rare": rare[0], "rarer": rare[1], "rarest": rare[2]}
    values |= {"held": held[0], "held_too": held[1], "different": str(different)}
    holds: Mapping[str, tuple[float, Callable[[str], bool]]] = {
        "first": (0.3, lambda one: one[0] == letter),
        "last": (0.16, lambda one: one[-1] == letter and len(one) > 1),
        "any of several": (0.1, lambda one: one.startswith(kept)),
        "second letter": (0.08, lambda one: one[1:2] == second),
        "third letter": (0.05, lambda one: one[2:3] == third),
        "both ends": (0.08, lambda one: one[0] == first and one[-1] == last and len(one) > 1),
        "same at both ends": (0.03, lambda one: one[0] == one[-1] and len(one) > 1),
        "twice": (0.06, lambda one: one.count(second) > 1),
        "once": (0.06, lambda one: one.count(second) == 1),
        "both anywhere": (0.08, lambda one: all(some in one for some in held)),
        "rare ones": (0.06, lambda one: any(some in one for some in rare)),
        "all different": (0.04, lambda one: len(set(one)) == len(one) >= different),
        "so many different": (0.04, lambda one: len(set(one)) >= different),
        "backwards": (0.04, lambda one: one[-1] < one[0]),
    }
    kind = chance.choices(list(holds), [share for share, _ in holds.values()])[0]
    rule = rules.word_where(lambda one: one.text.isalpha() and holds[kind][1](one.lower))
    return _form(makers, "letters", letters, said("letters", kind, **values), rule)


def letters_inside(makers: Makers, chance: Chance) -> Concept:
    """Words that hold some letters anywhere: two or three given ones in a row."""
    word, size = makers.word(chance, 6), chance.choice([2, 2, 3])
    first = chance.randrange(1, len(word) - size)
    part = word[first : first + size]
    rule = rules.word_where(lambda one: part in one.lower)
    return _form(makers, "letters_inside", letters_inside, said("letters_inside", part=part), rule)


def vowels(makers: Makers, chance: Chance) -> Concept:
    """Words by how many vowels they have, or by a letter that they lack."""
    size, letter = chance.randint(3, 4), chance.choice("aeiorst")
    kinds: Mapping[str, Callable[[str], bool]] = {
        "many": lambda word: sum(word.count(one) for one in _VOWELS) >= size,
        "one": lambda word: sum(word.count(one) for one in _VOWELS) == 1,
        "lacking": lambda word: letter not in word,
    }
    kind = chance.choice(list(kinds))
    rule = rules.word_where(lambda word: word.text.isalpha() and kinds[kind](word.lower))
    return _form(makers, "vowels", vowels, said("vowels", kind, size=size, letter=letter), rule)


def _form(makers: Makers, name: str, family: Family, wordings: tuple[str, ...], rule: Rule) -> Concept:
    """Words by a rule of single words; those that the family makes else are near."""
    listed = makers.fitting(rule)
    return Concept(name, wordings, rule, frozenset(listed), makers.near(family), tuple(listed[:200]), listing=0.5)


def shapes(makers: Makers, chance: Chance) -> Concept:
    """Words by length, capitals, doubled letters, vowels."""
    size = chance.randint(3, 10)
    more = size + chance.randint(1, 4)
    wordings, rule = option("shapes", _lengths(size, more) | _SHAPES, chance, size=size, more=more)
    listed = tuple(makers.fitting(rule)[:200])
    return Concept(
        "shapes", wordings, rule, near=makers.near(shapes), listed=listed, listing=0.3, retold=retold.capitals
    )


def _lengths(size: int, more: int) -> dict[str, Rule]:
    return {
        "at least": rules.length(size),
        "at most": rules.length(1, size),
        "exactly": rules.length(size, size),
        "from to": rules.length(size, more),
    }


def _by_length(text: Text) -> FloatArray:
    """Three levels more for each letter above four."""
    letters = [len(word.text) if word.text.isalpha() else 0 for word in text.words]
    return np.clip([3.0 * (size - 4) for size in letters], 0.0, HIGHEST)


def _doubled(word: Word) -> bool:
    return word.text.isalpha() and any(one == other for one, other in pairwise(word.lower))


doubled_letter: Rule = rules.word_where(_doubled)


def _spelled(kinds: str, first: int | None = None, last: int | None = None) -> Rule:
    """Words in which vowels (v) and consonants (c) stand so in a row, anywhere or in a part of the word."""

    def holds(word: Word) -> bool:
        return (
            word.text.isalpha() and kinds in "".join("v" if one in _VOWELS else "c" for one in word.lower)[first:last]
        )

    return rules.word_where(holds)


_SHAPES: dict[str, Rule] = {
    "long": rules.any_of(rules.graded(rules.length(8), 5.0), rules.length(10)),
    "very short": rules.length(1, 2),
    "doubled letter": doubled_letter,
    "first vowel": rules.word_where(lambda word: word.lower[0] in _VOWELS and word.text.isalpha()),
    "first consonant": rules.word_where(lambda word: word.lower[0] not in _VOWELS and word.text.isalpha()),
    "last vowel": rules.word_where(lambda word: word.lower[-1] in _VOWELS and word.text.isalpha()),
    "second vowel": _spelled("v", first=1, last=2),
    "last two consonants": _spelled("cc", first=-2),
    "vowels together": _spelled("vv"),
    "consonants together": _spelled("ccc"),
    "in turns": rules.but_not(rules.length(4), _spelled("vv"), _spelled("cc")),
    "capital inside a sentence": rules.capital(),
    "first capital": rules.word_where(lambda word: word.text[0].isupper()),
    "all capitals": rules.upper(),
    "lower case": rules.word_where(lambda word: word.text.islower() and word.text.isalpha()),
    "the longer the stronger": _by_length,
}


def parts_of_speech(makers: Makers, chance: Chance) -> Concept:
    """Words of a part of speech; those that may be of several are left open."""
    name = chance.choice(CLASSES)
    kept = makers.classes[name]
    others = FUNCTION_WORDS.union(*makers.classes.values())
    near, listed = makers.near(parts_of_speech), tuple(sorted(kept)[::7][:80])
    return Concept("parts_of_speech", said("parts_of_speech", name), _class_rule(kept, others), kept, near, listed)


def closed_classes(makers: Makers, chance: Chance) -> Concept:
    """Words of a class that has few words: pronouns, prepositions and the like."""
    name = chance.choice(list(CLOSED_CLASSES))
    near = makers.near(closed_classes, parts_of_speech)
    return of_words("closed_classes", said("closed_classes", name), CLOSED_CLASSES[name], near)


def _class_rule(kept: frozenset[str], others: frozenset[str]) -> Rule:
    """Words of a class at full level; what is neither of it nor among the others, nor a number or a mark, is open."""

    def level(word: Word) -> float:
        if word.lower in kept:
            return HIGHEST
        return 0.0 if word.lower in others or not word.text.isalpha() else PARTIAL

    def rule(text: Text) -> FloatArray:
        return np.array([level(word) for word in text.words])

    return rule
