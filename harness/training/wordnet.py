"""Categories of words, with glosses and example sentences, from the WordNet of Debian's package ``wordnet-base``.

WordNet is read in training only; the adapter that ships holds none of it. The share of a word in a category is that of
its senses, weighted by their counts in WordNet's tagged corpus plus 0.5 to the power of their rank.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.types import NeuroglossError

FOLDER = Path("/usr/share/wordnet")
_PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
_NUMBER = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}

Key = tuple[str, int]
"""Part of speech (n, v, a, r) and offset of a synset."""


@dataclass(frozen=True, slots=True)
class Synset:
    """Words of one meaning: lemmas and their tag counts, gloss, examples, and the keys of related synsets."""

    key: Key
    lemmas: tuple[str, ...]
    weights: tuple[float, ...]
    gloss: str
    examples: tuple[str, ...]
    below: tuple[Key, ...]
    above: tuple[Key, ...]
    similar: tuple[Key, ...]
    opposite: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Category:
    """Words of a synset and of all below it; ``shares`` gives the share of each word form's senses that belong."""

    key: Key
    names: tuple[str, ...]
    gloss: str
    shares: Mapping[str, float]
    siblings: tuple[Key, ...]


@dataclass(eq=False)
class WordNet:
    """WordNet's database in a folder.

    Raises:
        NeuroglossError: the folder holds no WordNet.
    """

    folder: Path = FOLDER
    _counts: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not (self.folder / "data.noun").is_file():
            raise NeuroglossError(f"there is no WordNet in {self.folder}; install Debian's package wordnet-base.")

    @cached_property
    def synsets(self) -> dict[Key, Synset]:
        """Synsets by key."""
        counts = self._tagged()
        return {
            synset.key: synset
            for name in _PARTS
            for line in (self.folder / f"data.{name}").read_text("utf-8").splitlines()
            if not line.startswith("  ")
            for synset in [_synset(line, counts)]
        }

    @cached_property
    def senses(self) -> dict[str, list[tuple[Key, float]]]:
        """Synsets of each single word, in lower case, and their weights."""
        senses: dict[str, list[tuple[Key, float]]] = defaultdict(list)
        for name, part_of_speech in _PARTS.items():
            for line in (self.folder / f"index.{name}").read_text("utf-8").splitlines():
                if line.startswith("  "):
                    continue
                lemma, *fields = line.split()
                if "_" in lemma or "-" in lemma:
                    continue
                offsets = fields[-int(fields[1]) :]
                for rank, offset in enumerate(offsets):
                    key = (part_of_speech, int(offset))
                    synset = self.synsets[key]
                    weights = zip(synset.lemmas, synset.weights, strict=True)
                    weight = next((weight for word, weight in weights if word.lower() == lemma), 0.0)
                    senses[lemma].append((key, weight + 0.5**rank))
        return dict(senses)

    @cached_property
    def examples(self) -> list[str]:
        """Example sentences of all glosses, in the order of the files."""
        return [example for synset in self.synsets.values() for example in synset.examples]

    def under(self, key: Key) -> set[Key]:
        """Return the keys of a synset and of all synsets below it, or of those similar to an adjective."""
        keys, queue = {key}, [key]
        while queue:
            synset = self.synsets[queue.pop()]
            related = (*synset.below, *(synset.similar if key[0] == "a" else ()))
            fresh = [neighbour for neighbour in related if neighbour not in keys]
            keys.update(fresh)
            queue.extend(fresh if key[0] != "a" else ())
        return keys

    def category(self, key: Key, vocabulary: Iterable[str] = ()) -> Category:
        """Return the words of a synset and of all below it, in all their forms.

        Args:
            key: the synset.
            vocabulary: keeps only these forms, unless it is empty.
        """
        keys = self.under(key)
        lemmas = {lemma.lower() for member in keys for lemma in self.synsets[member].lemmas if lemma.isalpha()}
        allowed = frozenset(vocabulary)
        shares: dict[str, float] = {}
        for lemma in lemmas:
            senses = self.senses.get(lemma, [])
            total = sum(weight for _, weight in senses)
            share = sum(weight for sense, weight in senses if sense in keys) / total if total else 0.0
            for form in forms(lemma, key[0], self.irregular):
                if not allowed or form in allowed:
                    shares[form] = max(share, shares.get(form, 0.0))
        synset = self.synsets[key]
        siblings = tuple(child for parent in synset.above for child in self.synsets[parent].below if child != key)
        names = tuple(lemma.replace("_", " ") for lemma in synset.lemmas)
        return Category(key, names, synset.gloss, shares, siblings + synset.opposite)

    @cached_property
    def irregular(self) -> dict[tuple[str, str], list[str]]:
        """Irregular forms by part of speech and lemma."""
        irregular: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in ("noun", "verb", "adj", "adv"):
            for line in (self.folder / f"{name}.exc").read_text("utf-8").splitlines():
                form, *lemmas = line.split()
                for lemma in lemmas:
                    irregular[_PARTS[name], lemma].append(form)
        return dict(irregular)

    def _tagged(self) -> dict[str, int]:
        """Return the count of each sense in the tagged corpus, by sense key without its head."""
        counts: dict[str, int] = {}
        for line in (self.folder / "cntlist.rev").read_text("utf-8").split("\n"):
            if not line.strip():
                continue
            sense, _, count = line.split()
            counts[":".join(sense.split(":")[:3])] = int(count)
        return counts


def _synset(line: str, counts: Mapping[str, int]) -> Synset:
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    part_of_speech, size = fields[2], int(fields[3], 16)
    names, ids = fields[4 : 4 + 2 * size : 2], fields[5 : 5 + 2 * size : 2]
    names = [re.sub(r"\(\w+\)$", "", name) for name in names]
    keys = [
        f"{name.lower()}%{_NUMBER[part_of_speech]}:{fields[1]}:{int(number, 16):02d}"
        for name, number in zip(names, ids, strict=True)
    ]
    pointers = fields[5 + 2 * size : 5 + 2 * size + 4 * int(fields[4 + 2 * size])]
    linked: dict[str, list[Key]] = defaultdict(list)
    for symbol, offset, target in zip(pointers[::4], pointers[1::4], pointers[2::4], strict=True):
        linked[symbol].append(("a" if target == "s" else target, int(offset)))
    definition, *quoted = re.split(r'[;:]?\s*"([^"]*)"', gloss.strip())
    return Synset(
        key=("a" if part_of_speech == "s" else part_of_speech, int(fields[0])),
        lemmas=tuple(names),
        weights=tuple(float(counts.get(key, 0)) for key in keys),
        gloss=definition.strip(" ;"),
        examples=tuple(quoted[::2]),
        below=tuple(linked["~"] + linked["~i"]),
        above=tuple(linked["@"] + linked["@i"]),
        similar=tuple(linked["&"]),
        opposite=tuple(linked["!"]),
    )


def forms(lemma: str, part_of_speech: str, irregular: Mapping[tuple[str, str], list[str]]) -> set[str]:
    """Return a lemma and its inflected forms: the irregular ones if there are any, else regular ones."""
    exceptions = irregular.get((part_of_speech, lemma), [])
    if part_of_speech == "n":
        return {lemma, *(exceptions or [plural(lemma)])}
    if part_of_speech == "v":
        return {lemma, plural(lemma), _with(lemma, "ing"), *(exceptions or [_with(lemma, "ed")])}
    return {lemma, *exceptions}


def plural(word: str) -> str:
    """Return the regular plural of a noun, which is also the third person of a verb."""
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"


def _with(verb: str, ending: str) -> str:
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + ending
    if ending == "ed" and re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgkmnprt]", verb):
        return verb + verb[-1] + ending
    return verb + ending
