"""WordNet, read from Debian's ``wordnet-base``: categories of words, with glosses and example sentences.

It is read while training only, and nothing of it ships. A word belongs to a category as far as its usual senses do:
senses are weighted by how often they are tagged in WordNet's own corpus, and by their order where they are not.
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
"""Part of speech (n, v, a, r) and offset: which synset."""


@dataclass(frozen=True, slots=True)
class Synset:
    """Words of one meaning: its lemmas, gloss and examples, and the synsets below, similar, above and opposite."""

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
    """A set of words with a meaning: the share of each word's senses that belong to it, inflected forms included."""

    key: Key
    names: tuple[str, ...]
    gloss: str
    shares: Mapping[str, float]
    siblings: tuple[Key, ...]


@dataclass(eq=False)
class WordNet:
    """The database of one folder."""

    folder: Path = FOLDER
    _counts: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not (self.folder / "data.noun").is_file():
            raise NeuroglossError(f"there is no WordNet in {self.folder}; install Debian's package wordnet-base.")

    @cached_property
    def synsets(self) -> dict[Key, Synset]:
        """Every synset by its key."""
        counts = self._tagged()
        return {
            one.key: one
            for name in _PARTS
            for line in (self.folder / f"data.{name}").read_text("utf-8").splitlines()
            if not line.startswith("  ")
            for one in [_synset(line, counts)]
        }

    @cached_property
    def senses(self) -> dict[str, list[tuple[Key, float]]]:
        """For each single word in lower case its synsets and their weights."""
        found: dict[str, list[tuple[Key, float]]] = defaultdict(list)
        for name, part in _PARTS.items():
            for line in (self.folder / f"index.{name}").read_text("utf-8").splitlines():
                if line.startswith("  "):
                    continue
                lemma, *rest = line.split()
                if "_" in lemma or "-" in lemma:
                    continue
                offsets = rest[-int(rest[1]) :]
                for rank, offset in enumerate(offsets):
                    key = (part, int(offset))
                    synset = self.synsets[key]
                    weight = next(
                        (w for one, w in zip(synset.lemmas, synset.weights, strict=True) if one.lower() == lemma), 0.0
                    )
                    found[lemma].append((key, weight + 0.5**rank))
        return dict(found)

    @cached_property
    def examples(self) -> list[str]:
        """Every example of every gloss, in the order of the files."""
        return [example for synset in self.synsets.values() for example in synset.examples]

    def under(self, key: Key) -> set[Key]:
        """A synset and all below it; for an adjective those that are similar to it."""
        found, waiting = {key}, [key]
        while waiting:
            synset = self.synsets[waiting.pop()]
            fresh = [one for one in (*synset.below, *(synset.similar if key[0] == "a" else ())) if one not in found]
            found.update(fresh)
            waiting.extend(fresh if key[0] != "a" else ())
        return found

    def category(self, key: Key, vocabulary: Iterable[str] = ()) -> Category:
        """The words of a synset and of all below it, with all their forms; ``vocabulary`` keeps those that occur."""
        kept = self.under(key)
        lemmas = {lemma.lower() for one in kept for lemma in self.synsets[one].lemmas if lemma.isalpha()}
        known = frozenset(vocabulary)
        shares: dict[str, float] = {}
        for lemma in lemmas:
            senses = self.senses.get(lemma, [])
            total = sum(weight for _, weight in senses)
            share = sum(weight for one, weight in senses if one in kept) / total if total else 0.0
            for form in forms(lemma, key[0], self.irregular):
                if not known or form in known:
                    shares[form] = max(share, shares.get(form, 0.0))
        synset = self.synsets[key]
        siblings = tuple(one for parent in synset.above for one in self.synsets[parent].below if one != key)
        names = tuple(lemma.replace("_", " ") for lemma in synset.lemmas)
        return Category(key, names, synset.gloss, shares, siblings + synset.opposite)

    @cached_property
    def irregular(self) -> dict[tuple[str, str], list[str]]:
        """Irregular forms by part of speech and lemma."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in ("noun", "verb", "adj", "adv"):
            for line in (self.folder / f"{name}.exc").read_text("utf-8").splitlines():
                form, *lemmas = line.split()
                for lemma in lemmas:
                    found[_PARTS[name], lemma].append(form)
        return dict(found)

    def _tagged(self) -> dict[str, int]:
        """How often each sense is tagged, by sense key without its head."""
        found: dict[str, int] = {}
        for line in (self.folder / "cntlist.rev").read_text("utf-8").split("\n"):
            if not line.strip():
                continue
            sense, _, count = line.split()
            found[":".join(sense.split(":")[:3])] = int(count)
        return found


def _synset(line: str, counts: Mapping[str, int]) -> Synset:
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    part, size = fields[2], int(fields[3], 16)
    names, ids = fields[4 : 4 + 2 * size : 2], fields[5 : 5 + 2 * size : 2]
    names = [re.sub(r"\(\w+\)$", "", name) for name in names]
    keys = [
        f"{name.lower()}%{_NUMBER[part]}:{fields[1]}:{int(number, 16):02d}"
        for name, number in zip(names, ids, strict=True)
    ]
    pointers = fields[5 + 2 * size : 5 + 2 * size + 4 * int(fields[4 + 2 * size])]
    linked: dict[str, list[Key]] = defaultdict(list)
    for symbol, offset, other in zip(pointers[::4], pointers[1::4], pointers[2::4], strict=True):
        linked[symbol].append(("a" if other == "s" else other, int(offset)))
    definition, *quoted = re.split(r'[;:]?\s*"([^"]*)"', gloss.strip())
    return Synset(
        key=("a" if part == "s" else part, int(fields[0])),
        lemmas=tuple(names),
        weights=tuple(float(counts.get(key, 0)) for key in keys),
        gloss=definition.strip(" ;"),
        examples=tuple(quoted[::2]),
        below=tuple(linked["~"] + linked["~i"]),
        above=tuple(linked["@"] + linked["@i"]),
        similar=tuple(linked["&"]),
        opposite=tuple(linked["!"]),
    )


def forms(lemma: str, part: str, irregular: Mapping[tuple[str, str], list[str]]) -> set[str]:
    """A lemma and its inflected forms: irregular ones where they are listed, else by the rules of spelling."""
    listed = irregular.get((part, lemma), [])
    if part == "n":
        return {lemma, *(listed or [plural(lemma)])}
    if part == "v":
        return {lemma, plural(lemma), _with(lemma, "ing"), *(listed or [_with(lemma, "ed")])}
    return {lemma, *listed}


def plural(word: str) -> str:
    """The regular plural of a noun, and the third person of a verb."""
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
