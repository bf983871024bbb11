"""Sources that concepts are drawn from, and helpers that the families share."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import permutations
from typing import Any, TypeVar

from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import Rule
from harness.training.concepts import Concept, Near
from harness.training.families import categories
from harness.training.families.tables import NAMED_NUMBERS, entries
from harness.training.wordnet import Category, Key, WordNet

Chance = random.Random
Maker = Callable[[Chance], Concept]
Family = Callable[["Makers", Chance], Concept]
"""Draws a concept of a family from the sources."""

T = TypeVar("T")


@dataclass(eq=False)
class Makers:
    """Sources that concepts are drawn from.

    Args:
        wordnet: categories of words.
        counts: number of occurrences of each word, in lower case, in the texts.
    """

    wordnet: WordNet
    counts: Mapping[str, int]
    _categories: dict[Key, Category] = field(default_factory=dict, init=False)

    def of(self, families: Mapping[str, Family]) -> dict[str, Maker]:
        """Return the maker of each family over these sources."""
        return {name: partial(family, self) for name, family in families.items()}

    def near(self, *families: Family) -> tuple[Near, ...]:
        """Return makers of near misses that draw from the families."""
        return tuple(partial(family, self) for family in families)

    # ------------------------------------------------------------------------------------------- entries of data files

    @cached_property
    def lexicon(self) -> dict[str, Mapping[str, Any]]:
        """Entries of the lexicon, from the data files, by name."""
        return {entry["name"]: entry for entry in entries("concepts_*.yaml")}

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """Names of the trained entries of the lexicon: all but every sixth in alphabetical order."""
        return tuple(name for number, name in enumerate(sorted(self.lexicon)) if number % 6)

    @cached_property
    def held_topics(self) -> tuple[str, ...]:
        """Names of the entries that training never meets.

        Near misses of trained entries are left out, as are entries that share 30 % of their words with a trained one.
        """
        met = {near for name in self.topics for near in self.lexicon[name].get("near", ())} | set(self.topics)
        trained = [self._words(name) for name in self.topics]
        return tuple(
            name
            for name in sorted(set(self.lexicon) - met)
            if all(len(self._words(name) & words) < 0.3 * len(self._words(name)) for words in trained)
        )

    def _words(self, name: str) -> frozenset[str]:
        return frozenset(map(str, self.lexicon[name]["words"]))

    @cached_property
    def overlaps(self) -> tuple[tuple[str, str], ...]:
        """Pairs of trained topics; the first shares at least 2 words with the second, and has 4 others."""
        words = {name: self._words(name) for name in self.topics}
        return tuple(
            (first, second)
            for first, second in permutations(self.topics, 2)
            if len(words[first] & words[second]) >= 2 and len(words[first] - words[second]) >= 4
        )

    @cached_property
    def sentence_sets(self) -> dict[str, Mapping[str, Any]]:
        """Sets of sentences, from the data files, by name."""
        return {entry["name"]: entry for entry in entries("sentences*.yaml")}

    @cached_property
    def sense_words(self) -> list[Mapping[str, Any]]:
        """Ambiguous words with sentences for each of their senses, from the data files."""
        return entries("senses*.yaml")

    # -------------------------------------------------------------------------------------------- words of the texts

    @cached_property
    def common(self) -> list[str]:
        """Words of letters that occur in the texts at least 8 times, the most common first."""
        return [word for word, count in Counter(self.counts).most_common() if count >= 8 and word.isalpha()]

    def word(self, chance: Chance, shortest: int = 1) -> str:
        """Return a word of at least ``shortest`` letters, common ones much more often."""
        while True:
            word = self.common[int(len(self.common) * chance.random() ** 2)]
            if len(word) >= shortest:
                return word

    def some_words(self, chance: Chance, counts: Sequence[int]) -> list[str]:
        """Return distinct words, at most as many as a number drawn from ``counts``."""
        return list(dict.fromkeys(self.word(chance) for _ in range(chance.choice(counts))))

    def fitting(self, rule: Rule) -> list[str]:
        """Return the common words to which a rule of single words applies."""
        return [word for word, level in zip(self.common, rule(self._common_text), strict=True) if level > 0]

    @cached_property
    def _common_text(self) -> rules.Text:
        return rules.read(" ".join(self.common))

    @cached_property
    def digits(self) -> frozenset[str]:
        """Words of numbers, in digits and by name."""
        return frozenset(word for word in self.counts if word[0].isdigit()) | NAMED_NUMBERS

    # -------------------------------------------------------------------------------------------------------- WordNet

    @cached_property
    def category_keys(self) -> dict[str, list[Key]]:
        """Synsets by part of speech (n, v, a) that hold enough words of the texts, but not too many."""
        return categories.keys(self.wordnet, self.counts)

    @cached_property
    def near_keys(self) -> frozenset[Key]:
        """Keys of all parts of speech in ``category_keys``."""
        return frozenset(key for keys in self.category_keys.values() for key in keys)

    @cached_property
    def divided(self) -> tuple[Key, ...]:
        """Categories that have a category directly below them."""
        return tuple(key for keys in self.category_keys.values() for key in keys if self.parts(key))

    def parts(self, key: Key) -> list[Key]:
        """Return the categories directly below a category."""
        return [child for child in self.wordnet.synsets[key].below if child in self.near_keys]

    @cached_property
    def classes(self) -> dict[str, frozenset[str]]:
        """Words of one part of speech only, by part of speech."""
        return categories.classes(self.wordnet, self.counts)

    def category(self, key: Key) -> Category:
        """Return the words of a synset and of all below it, computed once."""
        if key not in self._categories:
            self._categories[key] = self.wordnet.category(key)
        return self._categories[key]


def each(make: Callable[[T], Concept], items: Iterable[T]) -> tuple[Near, ...]:
    """Return near makers, one an item, that give what ``make`` makes of it; they draw nothing."""

    def near(item: T, _: Chance) -> Concept:
        return make(item)

    return tuple(partial(near, item) for item in items)


def always(*concepts: Concept) -> tuple[Near, ...]:
    """Return near makers that give these concepts."""
    return each(lambda concept: concept, concepts)


def of_words(family: str, wordings: Sequence[str], members: Sequence[str], near: tuple[Near, ...]) -> Concept:
    """Return a concept of given words; a word in lower case stands for the word in any case."""
    anchors = frozenset(word.lower() for word in members)
    return Concept(family, tuple(wordings), rules.words(members), anchors, near, tuple(members))
