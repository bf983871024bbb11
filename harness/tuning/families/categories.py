"""Which of the texts' words WordNet's synsets and parts of speech hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from harness.tuning.families.tables import CLASSES
from harness.tuning.wordnet import Key, WordNet

_FEWEST: Mapping[str, int] = {"n": 5, "v": 5, "a": 4}
_MOST = 900
_SUFFIXES = ("", "s", "es", "ed", "ing")
_PARTS: Mapping[str, str] = {"n": "nouns", "v": "verbs", "a": "adjectives", "r": "adverbs"}


def keys(wordnet: WordNet, words: Iterable[str]) -> dict[str, list[Key]]:
    """Synsets by part of speech that have from 5 to 900 of the words below them; adjectives from 4.

    A word counts where at least 0.4 of its senses belong, by their weights.
    """
    home = Counter(key for word in words for key in _belongs(wordnet, word))
    return {
        part: sorted(key for key, count in home.items() if key[0] == part and fewest <= count <= _MOST)
        for part, fewest in _FEWEST.items()
    }


def _belongs(wordnet: WordNet, word: str) -> set[Key]:
    senses = [one for lemma in lemmas(wordnet, word) for one in wordnet.senses.get(lemma, ())]
    total = sum(weight for _, weight in senses)
    weight_of: dict[Key, float] = defaultdict(float)
    for key, weight in senses:
        for one in _above(wordnet, key):
            weight_of[one] += weight / total
    return {key for key, weight in weight_of.items() if weight >= 0.4}


def _above(wordnet: WordNet, key: Key) -> set[Key]:
    found, waiting = {key}, [key]
    while waiting:
        fresh = [one for one in wordnet.synsets[waiting.pop()].above if one not in found]
        found.update(fresh)
        waiting.extend(fresh)
    if key[0] == "a":
        found.update(wordnet.synsets[key].similar)
    return found


def lemmas(wordnet: WordNet, word: str) -> list[str]:
    """The word that WordNet has for a word of a text, in a list; an empty list where it has none."""
    ways = (word.removesuffix(suffix) for suffix in _SUFFIXES)
    return [one for one in ways if one in wordnet.senses][:1]


def classes(wordnet: WordNet, words: Iterable[str]) -> dict[str, frozenset[str]]:
    """Words that are of one part of speech, by what they are."""
    found: dict[str, set[str]] = {name: set() for name in CLASSES}
    for word in words:
        for part in _only_parts(wordnet, word):
            found[_PARTS[part]].add(word)
            for name in _forms(wordnet, word, part):
                found[name].add(word)
    return {name: frozenset(some) for name, some in found.items()}


def _only_parts(wordnet: WordNet, word: str) -> list[str]:
    """The part of speech of at least 0.9 of a word's senses, in a list; short words have none."""
    weight: dict[str, float] = defaultdict(float)
    for lemma in lemmas(wordnet, word):
        for key, one in wordnet.senses[lemma]:
            weight[key[0]] += one
    total = sum(weight.values())
    return [part for part in _PARTS if total and weight[part] >= 0.9 * total and len(word) > 2]


def _forms(wordnet: WordNet, word: str, part: str) -> Iterator[str]:
    if part == "n" and word.endswith("s") and not word.endswith("ss") and word[:-1] in wordnet.senses:
        yield "plurals"
    if part == "v" and word.endswith("ed"):
        yield "past verbs"
    if part == "v" and word.endswith("ing"):
        yield "ing verbs"
