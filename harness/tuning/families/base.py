"""What concepts are drawn from, and what makers of families share."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import permutations
from typing import Any, TypeVar

from harness.puzzles import rules
from harness.puzzles.rules import Rule
from harness.tuning.concepts import Concept, Near
from harness.tuning.families import categories
from harness.tuning.families.tables import NAMED_NUMBERS, entries
from harness.tuning.wordnet import Category, Key, WordNet

Chance = random.Random
Maker = Callable[[Chance], Concept]
Family = Callable[["Makers", Chance], Concept]
"""Draws one concept of a family from what there is."""

T = TypeVar("T")


@dataclass(eq=False)
class Makers:
    """Everything that concepts are drawn from.

    Args:
        wordnet: categories of words.
        counts: how often each word, in lower case, stands in the texts.
    """

    wordnet: WordNet
    counts: Mapping[str, int]
    _categories: dict[Key, Category] = field(default_factory=dict, init=False)

    def of(self, families: Mapping[str, Family]) -> dict[str, Maker]:
        """The maker of each family over what is here."""
        return {name: partial(family, self) for name, family in families.items()}

    def near(self, *families: Family) -> tuple[Near, ...]:
        """Makers of concepts that are easily taken for another one: any of those families."""
        return tuple(partial(family, self) for family in families)

    # --------------------------------------------------------------------------------------------- entries of our own

    @cached_property
    def lexicon(self) -> dict[str, Mapping[str, Any]]:
        """Concepts of our own by name."""
        return {entry["name"]: entry for entry in entries("concepts_*.yaml")}

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """Concepts of the lexicon that are trained: all but every sixth, in the order of the alphabet."""
        return tuple(name for number, name in enumerate(sorted(self.lexicon)) if number % 6)

    @cached_property
    def held_topics(self) -> tuple[str, ...]:
        """Those that training never meets: the others, less those that a trained one names as its near miss, and those
        of which a trained one has three words in ten."""
        met = {near for name in self.topics for near in self.lexicon[name].get("near", ())} | set(self.topics)
        trained = [self._words(name) for name in self.topics]
        return tuple(
            name
            for name in sorted(set(self.lexicon) - met)
            if all(len(self._words(name) & some) < 0.3 * len(self._words(name)) for some in trained)
        )

    def _words(self, name: str) -> frozenset[str]:
        return frozenset(map(str, self.lexicon[name]["words"]))

    @cached_property
    def overlaps(self) -> tuple[tuple[str, str], ...]:
        """Pairs of trained topics: the first shares at least 2 of its words with the second, and 4 it does not."""
        words = {name: self._words(name) for name in self.topics}
        return tuple(
            (one, other)
            for one, other in permutations(self.topics, 2)
            if len(words[one] & words[other]) >= 2 and len(words[one] - words[other]) >= 4
        )

    @cached_property
    def sentence_sets(self) -> dict[str, Mapping[str, Any]]:
        """Sets of sentences of our own by name."""
        return {entry["name"]: entry for entry in entries("sentences*.yaml")}

    @cached_property
    def sense_words(self) -> list[Mapping[str, Any]]:
        """Ambiguous words with the senses and sentences of our own."""
        return entries("senses*.yaml")

    # -------------------------------------------------------------------------------------------- words of the texts

    @cached_property
    def common(self) -> list[str]:
        """Words that stand in the texts at least 8 times, letters only, the most common first."""
        return [word for word, count in Counter(self.counts).most_common() if count >= 8 and word.isalpha()]

    def word(self, chance: Chance, shortest: int = 1) -> str:
        """A word of at least so many letters, common ones much more often."""
        while True:
            word = self.common[int(len(self.common) * chance.random() ** 2)]
            if len(word) >= shortest:
                return word

    def some_words(self, chance: Chance, counts: Sequence[int]) -> list[str]:
        """Different words, at most one of ``counts`` of them."""
        return list(dict.fromkeys(self.word(chance) for _ in range(chance.choice(counts))))

    def fitting(self, rule: Rule) -> list[str]:
        """The common words to which a rule of single words applies."""
        return [word for word, level in zip(self.common, rule(self._common_text), strict=True) if level > 0]

    @cached_property
    def _common_text(self) -> rules.Text:
        return rules.read(" ".join(self.common))

    @cached_property
    def digits(self) -> frozenset[str]:
        """Words near which there are numbers."""
        return frozenset(word for word in self.counts if word[0].isdigit()) | NAMED_NUMBERS

    # -------------------------------------------------------------------------------------------------------- WordNet

    @cached_property
    def category_keys(self) -> dict[str, list[Key]]:
        """Synsets by part of speech (n, v, a) that have some of the texts' words below them, but not too many."""
        return categories.keys(self.wordnet, self.counts)

    @cached_property
    def near_keys(self) -> frozenset[Key]:
        """All of them."""
        return frozenset(key for some in self.category_keys.values() for key in some)

    @cached_property
    def divided(self) -> tuple[Key, ...]:
        """Categories with a category right below them."""
        return tuple(key for some in self.category_keys.values() for key in some if self.parts(key))

    def parts(self, key: Key) -> list[Key]:
        """The categories right below a category."""
        return [one for one in self.wordnet.synsets[key].below if one in self.near_keys]

    @cached_property
    def classes(self) -> dict[str, frozenset[str]]:
        """Words that are of one part of speech, by what they are."""
        return categories.classes(self.wordnet, self.counts)

    def category(self, key: Key) -> Category:
        """The words of a synset and of all below it; computed once."""
        if key not in self._categories:
            self._categories[key] = self.wordnet.category(key)
        return self._categories[key]


def each(make: Callable[[T], Concept], items: Iterable[T]) -> tuple[Near, ...]:
    """Near makers: what ``make`` makes of each item, whatever the chance."""

    def near(item: T, _: Chance) -> Concept:
        return make(item)

    return tuple(partial(near, item) for item in items)


def always(*concepts: Concept) -> tuple[Near, ...]:
    """Near makers that give these concepts."""
    return each(lambda concept: concept, concepts)


def of_words(family: str, wordings: Sequence[str], listed: Sequence[str], near: tuple[Near, ...]) -> Concept:
    """Listed words, in any case where they are listed in small letters."""
    anchors = frozenset(word.lower() for word in listed)
    return Concept(family, tuple(wordings), rules.words(listed), anchors, near, tuple(listed))
