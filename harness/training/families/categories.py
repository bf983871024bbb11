"""Words of the texts by WordNet's synsets and parts of speech."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from harness.training.families.tables import CLASSES
from harness.training.wordnet import Key, WordNet

_FEWEST: Mapping[str, int] = {"n": 5, "v": 5, "a": 4}
_MOST = 900
_SUFFIXES = ("", "s", "es", "ed", "ing")
_PARTS: Mapping[str, str] = {"n": "nouns", "v": "verbs", "a": "adjectives", "r": "adverbs"}


def keys(wordnet: WordNet, words: Iterable[str]) -> dict[str, list[Key]]:
    """Return the synsets, by part of speech, that hold from 5 to 900 of the words; adjectives from 4.

    A synset holds a word if at least 0.4 of its senses, by weight, are below the synset.
    """
    belonging = Counter(key for word in words for key in _belongs(wordnet, word))
    return {
        part_of_speech: sorted(
            key for key, count in belonging.items() if key[0] == part_of_speech and fewest <= count <= _MOST
        )
        for part_of_speech, fewest in _FEWEST.items()
    }


def _belongs(wordnet: WordNet, word: str) -> set[Key]:
    senses = [sense for lemma in lemmas(wordnet, word) for sense in wordnet.senses.get(lemma, ())]
    total = sum(weight for _, weight in senses)
    weight_of: dict[Key, float] = defaultdict(float)
    for key, weight in senses:
        for ancestor in _above(wordnet, key):
            weight_of[ancestor] += weight / total
    return {key for key, weight in weight_of.items() if weight >= 0.4}


def _above(wordnet: WordNet, key: Key) -> set[Key]:
    keys, queue = {key}, [key]
    while queue:
        fresh = [parent for parent in wordnet.synsets[queue.pop()].above if parent not in keys]
        keys.update(fresh)
        queue.extend(fresh)
    if key[0] == "a":
        keys.update(wordnet.synsets[key].similar)
    return keys


def lemmas(wordnet: WordNet, word: str) -> list[str]:
    """Return WordNet's lemma of a word of a text, in a list that is empty if WordNet does not have the word."""
    stems = (word.removesuffix(suffix) for suffix in _SUFFIXES)
    return [stem for stem in stems if stem in wordnet.senses][:1]


def classes(wordnet: WordNet, words: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the words of one part of speech only, by part of speech and by kinds of it, such as plurals."""
    words_by_class: dict[str, set[str]] = {name: set() for name in CLASSES}
    for word in words:
        for part_of_speech in _only_parts(wordnet, word):
            words_by_class[_PARTS[part_of_speech]].add(word)
            for name in _forms(wordnet, word, part_of_speech):
                words_by_class[name].add(word)
    return {name: frozenset(members) for name, members in words_by_class.items()}


def _only_parts(wordnet: WordNet, word: str) -> list[str]:
    """Return the part of speech of at least 0.9 of a word's senses, in a list; it is empty for short words."""
    weight: dict[str, float] = defaultdict(float)
    for lemma in lemmas(wordnet, word):
        for key, sense_weight in wordnet.senses[lemma]:
            weight[key[0]] += sense_weight
    total = sum(weight.values())
    return [
        part_of_speech for part_of_speech in _PARTS if total and weight[part_of_speech] >= 0.9 * total and len(word) > 2
    ]


def _forms(wordnet: WordNet, word: str, part_of_speech: str) -> Iterator[str]:
    if part_of_speech == "n" and word.endswith("s") and not word.endswith("ss") and word[:-1] in wordnet.senses:
        yield "plurals"
    if part_of_speech == "v" and word.endswith("ed"):
        yield "past verbs"
    if part_of_speech == "v" and word.endswith("ing"):
        yield "ing verbs"
