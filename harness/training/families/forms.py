"""Families of words by their form: given words, endings, letters, shapes, and parts of speech."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import HIGHEST, PARTIAL, Rule, Text, Word
from harness.training import retold
from harness.training.concepts import Concept
from harness.training.families.base import Chance, Family, Makers, of_words
from harness.training.families.tables import (
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
    """Draw a concept of one to four given words."""
    members = makers.some_words(chance, [1, 1, 1, 2, 3, 4])
    quoted = [f'"{word}"' for word in members]
    wordings = said(
        "words",
        "one" if len(members) == 1 else "several",
        any_quoted=series(quoted, "or"),
        all_quoted=series(quoted, "and"),
        plain=", ".join(members),
        all=series(members, "and"),
    )
    return of_words("words", wordings, members, makers.near(words))


def endings(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words with a given ending or beginning."""
    word, size = makers.word(chance, 6), chance.choice([2, 2, 3, 3, 4])
    if chance.random() < 0.6:
        suffix = chance.choice([*ENDINGS, word[-size:], word[-size:]])
        return _form(makers, "endings", endings, said("endings", "ending", part=suffix), rules.suffix(suffix))
    prefix = chance.choice([*BEGINNINGS, word[:size], word[:size]])
    return _form(makers, "endings", endings, said("endings", "beginning", part=prefix), rules.prefix(prefix))


def letters(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words by their first or last letters, or by letters anywhere in them and their number."""
    letter, *more_letters = chance.sample("abcdefghiklmnoprstuvwy", 3)
    word = makers.word(chance, 4)
    first, second, third, last = (*word[:3], word[-1])
    initials, rare, distinct = (letter, *more_letters), chance.sample("bfgjkpqvwxz", 3), chance.randint(4, 8)
    contained = chance.sample(sorted({*word, letter, more_letters[0]}), 2)
    values = {"letter": letter, "capital": letter.upper(), "second": more_letters[0], "third": more_letters[1]}
    values |= {"its_first": first, "its_second": second, "its_third": third, "its_last": last}
    values |= {"rare": rare[0], "rarer": rare[1], "rarest": rare[2]}
    values |= {"held": contained[0], "held_too": contained[1], "different": str(distinct)}
    kinds: Mapping[str, tuple[float, Callable[[str], bool]]] = {
        "first": (0.3, lambda word: word[0] == letter),
        "last": (0.16, lambda word: word[-1] == letter and len(word) > 1),
        "any of several": (0.1, lambda word: word.startswith(initials)),
        "second letter": (0.08, lambda word: word[1:2] == second),
        "third letter": (0.05, lambda word: word[2:3] == third),
        "both ends": (0.08, lambda word: word[0] == first and word[-1] == last and len(word) > 1),
        "same at both ends": (0.03, lambda word: word[0] == word[-1] and len(word) > 1),
        "twice": (0.06, lambda word: word.count(second) > 1),
        "once": (0.06, lambda word: word.count(second) == 1),
        "both anywhere": (0.08, lambda word: all(character in word for character in contained)),
        "rare ones": (0.06, lambda word: any(character in word for character in rare)),
        "all different": (0.04, lambda word: len(set(word)) == len(word) >= distinct),
        "so many different": (0.04, lambda word: len(set(word)) >= distinct),
        "backwards": (0.04, lambda word: word[-1] < word[0]),
    }
    kind = chance.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
    rule = rules.word_where(lambda word: word.text.isalpha() and kinds[kind][1](word.lower))
    return _form(makers, "letters", letters, said("letters", kind, **values), rule)


def letters_inside(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words that contain two or three given letters in a row."""
    word, size = makers.word(chance, 6), chance.choice([2, 2, 3])
    first = chance.randrange(1, len(word) - size)
    substring = word[first : first + size]
    rule = rules.word_where(lambda word: substring in word.lower)
    return _form(makers, "letters_inside", letters_inside, said("letters_inside", part=substring), rule)


def vowels(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words by their number of vowels, or by a letter that they do not contain."""
    size, letter = chance.randint(3, 4), chance.choice("aeiorst")
    kinds: Mapping[str, Callable[[str], bool]] = {
        "many": lambda word: sum(word.count(vowel) for vowel in _VOWELS) >= size,
        "one": lambda word: sum(word.count(vowel) for vowel in _VOWELS) == 1,
        "lacking": lambda word: letter not in word,
    }
    kind = chance.choice(list(kinds))
    rule = rules.word_where(lambda word: word.text.isalpha() and kinds[kind](word.lower))
    return _form(makers, "vowels", vowels, said("vowels", kind, size=size, letter=letter), rule)


def _form(makers: Makers, name: str, family: Family, wordings: tuple[str, ...], rule: Rule) -> Concept:
    """Return the concept of a rule of single words, with near misses of the same family."""
    members = makers.fitting(rule)
    return Concept(name, wordings, rule, frozenset(members), makers.near(family), tuple(members[:200]), list_share=0.5)


def shapes(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words by length, capitals, doubled letters or vowels."""
    size = chance.randint(3, 10)
    more = size + chance.randint(1, 4)
    wordings, rule = option("shapes", _lengths(size, more) | _SHAPES, chance, size=size, more=more)
    members = tuple(makers.fitting(rule)[:200])
    return Concept(
        "shapes", wordings, rule, near=makers.near(shapes), members=members, list_share=0.3, retold=retold.capitals
    )


def _lengths(size: int, more: int) -> dict[str, Rule]:
    return {
        "at least": rules.length(size),
        "at most": rules.length(1, size),
        "exactly": rules.length(size, size),
        "from to": rules.length(size, more),
    }


def _by_length(text: Text) -> FloatArray:
    """Return levels [words] of 3 for each letter above four, up to the highest."""
    letters = [len(word.text) if word.text.isalpha() else 0 for word in text.words]
    return np.clip([3.0 * (size - 4) for size in letters], 0.0, HIGHEST)


def _doubled(word: Word) -> bool:
    return word.text.isalpha() and any(left == right for left, right in pairwise(word.lower))


doubled_letter: Rule = rules.word_where(_doubled)


def _spelled(pattern: str, first: int | None = None, last: int | None = None) -> Rule:
    """Return the rule of words that contain a pattern of vowels (v) and consonants (c) from ``first`` to ``last``."""

    def holds(word: Word) -> bool:
        kinds = "".join("v" if letter in _VOWELS else "c" for letter in word.lower)
        return word.text.isalpha() and pattern in kinds[first:last]

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
    """Draw a concept of words of a part of speech; words that may be of several are left open."""
    name = chance.choice(CLASSES)
    words = makers.classes[name]
    classified = FUNCTION_WORDS.union(*makers.classes.values())
    near, members = makers.near(parts_of_speech), tuple(sorted(words)[::7][:80])
    rule = _class_rule(words, classified)
    return Concept("parts_of_speech", said("parts_of_speech", name), rule, words, near, members)


def closed_classes(makers: Makers, chance: Chance) -> Concept:
    """Draw a concept of words of a closed class: pronouns, prepositions and the like."""
    name = chance.choice(list(CLOSED_CLASSES))
    near = makers.near(closed_classes, parts_of_speech)
    return of_words("closed_classes", said("closed_classes", name), CLOSED_CLASSES[name], near)


def _class_rule(members: frozenset[str], classified: frozenset[str]) -> Rule:
    """Return the rule of the words of a class; other words of letters are left open unless they are classified."""

    def level(word: Word) -> float:
        if word.lower in members:
            return HIGHEST
        return 0.0 if word.lower in classified or not word.text.isalpha() else PARTIAL

    def rule(text: Text) -> FloatArray:
        return np.array([level(word) for word in text.words])

    return rule
