"""Training examples: texts cut from the sources, and groups of an explanation and the texts it is read on.

Every draw is decided by a seed and a number, so that a batch is the same whenever it is made, and training can go on
from any step.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from harness.models.prompts import visible
from harness.models.tuned_text import Tokenizer
from harness.puzzles import rules
from harness.puzzles.rules import HIGHEST, PARTIAL, Text
from harness.tuning.concepts import Concept, worded
from harness.tuning.families import HELD_OUT, TRAINED, Maker, Makers

IGNORED = -1
"""Stands for the level of a token that is not asked about: its word is not finished, or its meaning is open."""

WEIGHTS: Mapping[str, float] = {
    "topics": 4.0,
    "wordnet": 3.0,
    "words": 1.2,
    "tokens": 1.2,
    "after_words": 3.5,
    "senses": 1.2,
    "sentence_sets": 2.0,
    "endings": 3.0,
    "letters": 4.6,
    "shapes": 3.2,
    "parts_of_speech": 0.6,
    "closed_classes": 1.0,
    "numbers": 3.2,
    "punctuation": 1.0,
    "phrases": 0.6,
    "neighbours": 2.2,
    "places": 3.6,
    "occurrences": 3.2,
    "echoes": 2.6,
    "repeated": 1.4,
    "number_range": 1.4,
    "starts_and_means": 2.0,
    "wrapped": 1.2,
    "spans": 1.3,
    "rests": 1.6,
    "sentence_kinds": 1.6,
    "both": 2.0,
    "exceptions": 2.4,
    "subcategories": 1.2,
    "conjunctions": 3.2,
    "negations": 0.8,
}
"""How often each trained family is drawn, in proportion; ``tokens`` are drawn from the texts themselves."""

FIRST = frozenset(["topics", "wordnet", "words", "tokens", "after_words", "senses"])
"""Families that training begins with; the others come in little by little."""


_RETOLD = 0.7  # of the texts in which a concept may apply only where they are changed

# --------------------------------------------------------------------------------------------------------------- texts


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of text: its words, its tokens, and where each token ends in characters."""

    text: Text
    ids: tuple[int, ...]
    ends: tuple[int, ...]
    whole: bool

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text of each token."""
        return tuple(self.text.string[start:end] for start, end in pairwise((0, *self.ends)))


@dataclass(eq=False)
class Pool:
    """Windows of about one length, and which of them hold a word."""

    windows: list[Window]
    limit: int

    def __post_init__(self) -> None:
        found: dict[str, list[int]] = defaultdict(list)
        for number, window in enumerate(self.windows):
            for word in {word.lower for word in window.text.words}:
                found[word].append(number)
        self.holding = dict(found)
        self.whole = [number for number, window in enumerate(self.windows) if window.whole]

    def any(self, chance: random.Random, whole: bool) -> Window:
        """Any window."""
        return self.windows[chance.choice(self.whole) if whole else chance.randrange(len(self.windows))]

    def near(self, anchors: Sequence[str], chance: random.Random, whole: bool) -> Window | None:
        """A window that holds one of the words, each word as likely as the others."""
        for _ in range(12):
            numbers = self.holding.get(chance.choice(anchors), ())
            if numbers:
                window = self.windows[chance.choice(numbers)]
                if window.whole or not whole:
                    return window
        return None


def windows(documents: Iterable[str], tokenizer: Tokenizer, limit: int, seed: int) -> Iterator[Window]:
    """Cut documents into windows of at most ``limit`` tokens.

    Two of three begin with a sentence; the others begin anywhere, as excerpts of a task do.
    """
    chance = random.Random(seed)
    for document in documents:
        text = rules.read(document)
        first = 0
        while first < len(text.words):
            whole = first == 0 or text.words[first].sentence != text.words[first - 1].sentence
            start = text.words[first].start if whole else text.words[first - 1].end
            window = window_of(document[start:], tokenizer, limit, whole)
            if len(window.text.words) < 6:
                break
            yield window
            first = next(
                (index for index in range(first, len(text.words)) if text.words[index].end > start + window.ends[-1]),
                len(text.words),
            )
            if chance.random() < 0.67:  # go on with the next sentence
                while first < len(text.words) and text.words[first].sentence == text.words[first - 1].sentence:
                    first += 1


def window_of(string: str, tokenizer: Tokenizer, limit: int, whole: bool = True) -> Window:
    """The beginning of a text, at most ``limit`` tokens of it."""
    ids, ends = tokenizer.encode(string[: 7 * limit])
    ids, ends = ids[:limit], ends[:limit]
    return Window(rules.read(string[: ends[-1]] if ends else ""), ids, ends, whole)


# ------------------------------------------------------------------------------------------------------------ examples


@dataclass(frozen=True, eq=False)
class Group:
    """An explanation, and the level of each token of some windows."""

    concept: Concept
    explanation: str
    windows: tuple[Window, ...]
    levels: tuple[np.ndarray[Any, Any], ...]


@dataclass(eq=False)
class Examples:
    """Draws groups from what concepts can be made and what texts there are."""

    pools: Sequence[Pool]
    makers: Makers
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        self.trained: dict[str, Maker] = self.makers.of(TRAINED) | {"tokens": self.token_maker}
        self.held_out: dict[str, Maker] = self.makers.of(HELD_OUT)
        self._sentences = [one for entry in self.makers.sentence_sets.values() for one in entry["sentences"]]
        self._sentences += [
            one for entry in self.makers.sense_words for sense in entry["senses"] for one in sense["sentences"]
        ]

    # ------------------------------------------------------------------------------------------------------- drawing

    def unit(self, chance: random.Random, pool: Pool, each: int, grown: float = 1.0) -> list[Group]:
        """Two explanations on the same texts: one that applies, and a near miss or an unrelated one.

        ``grown``, from 0 to 1, is how far training has come: families that are not first, and near misses, come in with
        it, since what a word means has to be found before what two conditions on it mean together.
        """
        concept = self._any(chance, grown)
        other = self._other(concept, chance, grown)
        texts = self.texts(concept, other, chance, pool, each)
        return [self.group(one, worded(one, chance), texts) for one in (concept, other)]

    def _other(self, concept: Concept, chance: random.Random, grown: float) -> Concept:
        if concept.near and chance.random() < 0.25 + 0.4 * grown:
            return chance.choice(concept.near)(chance)
        return self._any(chance, grown)

    def _any(self, chance: random.Random, grown: float) -> Concept:
        """A concept of any trained family, by the families' weights."""
        weights = [weight * (1.0 if family in FIRST else grown) for family, weight in WEIGHTS.items()]
        return self.trained[chance.choices(list(WEIGHTS), weights)[0]](chance)

    def texts(
        self, concept: Concept, other: Concept, chance: random.Random, pool: Pool, each: int
    ) -> tuple[Window, ...]:
        """One text in which the concept applies, one in which the other does, and any others."""
        found = [self._applying(concept, other, chance, pool), self._applying(other, concept, chance, pool)]
        while len(found) < each:
            draw = chance.random()
            chosen = concept if draw < 0.5 else other if draw < 0.65 else None
            found.append(
                pool.any(chance, concept.whole) if chosen is None else self._applying(chosen, concept, chance, pool)
            )
        chance.shuffle(found)
        return tuple(found)

    def _applying(self, concept: Concept, decoy: Concept, chance: random.Random, pool: Pool) -> Window:
        """A text in which a concept probably applies."""
        whole = concept.whole or decoy.whole
        if concept.own_texts:
            return self._composed(concept, decoy, chance, pool)
        if concept.listed and not whole and chance.random() < concept.listing:
            return self._word_list(concept, decoy, chance, pool)
        anchors = sorted(concept.anchors)
        for _ in range(12):
            found = (anchors and pool.near(anchors, chance, whole)) or pool.any(chance, whole)
            if concept.retold and chance.random() < _RETOLD:
                told = concept.retold(found.text.string, chance)
                found = window_of(told, self.tokenizer, pool.limit, found.whole)
            if (self.levels(concept, found) > 0).any():
                break
        return found

    def _composed(self, concept: Concept, decoy: Concept, chance: random.Random, pool: Pool) -> Window:
        """A text made of whole sentences, of the concept and of others."""
        some = [chance.choice(concept.own_texts)]
        if decoy.own_texts:
            some.append(chance.choice(decoy.own_texts))
        some += chance.sample(self._sentences, 3)
        kept, room = some[:1], pool.limit - 8
        for sentence in some[1:]:
            if len(" ".join([*kept, sentence])) < 4.3 * room:
                kept.append(sentence)
        chance.shuffle(kept)
        return window_of(" ".join(kept), self.tokenizer, pool.limit)

    def _word_list(self, concept: Concept, decoy: Concept, chance: random.Random, pool: Pool) -> Window:
        """A list of words, of the concept, of the decoy and of any kind: each word is a question of its own."""
        size = pool.limit // 3
        common = self.makers.common
        words = chance.choices(concept.listed, k=chance.randint(1, max(2, size // 3)))
        words += chance.choices(decoy.listed, k=chance.randint(1, max(2, size // 3))) if decoy.listed else []
        words += [common[int(len(common) * chance.random() ** 1.5)] for _ in range(max(3, size - len(words)))]
        chance.shuffle(words)
        return window_of(_joined(words, chance), self.tokenizer, pool.limit, whole=False)

    def group(self, concept: Concept, explanation: str, texts: Sequence[Window]) -> Group:
        """An explanation and what it says of each text."""
        return Group(concept, explanation, tuple(texts), tuple(self.levels(concept, one) for one in texts))

    def levels(self, concept: Concept, window: Window) -> np.ndarray[Any, Any]:
        """The level of each token [tokens], whole numbers; :data:`IGNORED` where it is not asked."""
        if concept.tokens:
            return self._by_token(concept.tokens, window)
        found = rules.on_tokens(window.text, concept.rule(window.text), window.ends)
        return np.where(found == PARTIAL, IGNORED, np.rint(found)).astype(np.int64)

    # -------------------------------------------------------------------------------------------------------- tokens

    def token_maker(self, chance: random.Random) -> Concept:
        """One to four tokens of the tokenizer, as the most-activating tokens of a neuron are named."""
        pool = self.pools[0]
        named: dict[str, float] = {}
        for _ in range(chance.choice([1, 2, 3, 3, 3, 4])):
            window = pool.any(chance, False)
            number = chance.randrange(len(window.ids))
            named[window.pieces[number]] = HIGHEST
        quoted = [f'"{visible(piece)}"' for piece in named]
        wordings = (
            f"the token {' or '.join(quoted)}",
            f"the token {' or '.join(quoted)}",
            f"the tokens {', '.join(quoted)}",
            " or ".join(quoted),
            ", ".join(piece.strip() or visible(piece) for piece in named),
        )
        anchors = frozenset(piece.strip().lower() for piece in named) - {""}
        return Concept("tokens", wordings, rules.words([]), anchors, (self.token_maker,), tokens=named)

    def _by_token(self, named: Mapping[str, float], window: Window) -> np.ndarray[Any, Any]:
        """Exact tokens have their level; those that differ in case or in space only are not asked about."""
        alike = {piece.strip().lower() for piece in named if piece.strip()}
        return np.array(
            [
                round(named[piece]) if piece in named else IGNORED if piece.strip().lower() in alike else 0
                for piece in window.pieces
            ],
            dtype=np.int64,
        )


def _joined(words: Sequence[str], chance: random.Random) -> str:
    style = chance.randrange(6)
    if style == 0:
        return " ".join(words)
    if style == 1:
        return "\n".join(f"- {word}" for word in words)
    if style == 2:
        return " ".join(
            f"{chance.choice(['the', 'a', 'my', 'some', 'no', 'and', 'of the', 'with'])} {word}" for word in words
        )
    if style == 3:
        shown = [word.capitalize() if chance.random() < 0.5 else word for word in words]
        return ". ".join(f"{one} {other}" for one, other in pairwise(shown)) + "."
    return ", ".join(words)
