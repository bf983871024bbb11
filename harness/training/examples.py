"""Training examples: texts cut from the sources, and groups of an explanation and the texts it is read on.

A seed and a number decide every draw. A batch is therefore the same whenever it is made, and training can continue from
any step.
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
from harness.models.tuned.text import Tokenizer
from harness.tasks.puzzles import rules
from harness.tasks.puzzles.rules import HIGHEST, PARTIAL, Text
from harness.training.concepts import Concept, worded
from harness.training.families import HELD_OUT, TRAINED, Maker, Makers
from harness.training.scenes import Kind, Scene
from harness.training.scenes import levels as levels_of_scene

IGNORED = -1
"""Level of a token that is not asked about: its word is unfinished, or its meaning is open."""

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
"""Weights by which trained families are drawn; ``tokens`` are drawn from the texts themselves."""

FIRST = frozenset(["topics", "wordnet", "words", "tokens", "after_words", "senses"])
"""Families that training begins with; the weights of the others grow."""


_RETOLD = 0.7  # share of the texts that are changed, for a concept that has such a change

# --------------------------------------------------------------------------------------------------------------- texts


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of text: its words, the ids and the ends (in characters) of its tokens, and where it begins.

    ``sentence_start`` says whether its first word begins a sentence. The text of a scene has marks.
    """

    text: Text
    ids: tuple[int, ...]
    ends: tuple[int, ...]
    sentence_start: bool
    scene: Scene | None = None

    @property
    def pieces(self) -> tuple[str, ...]:
        """Texts of the tokens."""
        return tuple(self.text.string[start:end] for start, end in pairwise((0, *self.ends)))


@dataclass(eq=False)
class Pool:
    """Windows of at most ``limit`` tokens, with an index of their words."""

    windows: list[Window]
    limit: int

    def __post_init__(self) -> None:
        holding: dict[str, list[int]] = defaultdict(list)
        for number, window in enumerate(self.windows):
            for word in {word.lower for word in window.text.words}:
                holding[word].append(number)
        self.holding = dict(holding)
        self.sentence_starts = [number for number, window in enumerate(self.windows) if window.sentence_start]

    def any(self, chance: random.Random, sentence_start: bool) -> Window:
        """Return a window drawn at random."""
        return self.windows[
            chance.choice(self.sentence_starts) if sentence_start else chance.randrange(len(self.windows))
        ]

    def near(self, anchors: Sequence[str], chance: random.Random, sentence_start: bool) -> Window | None:
        """Return a window that holds a word drawn from ``anchors``, or None if 12 draws find no such window."""
        for _ in range(12):
            numbers = self.holding.get(chance.choice(anchors), ())
            if numbers:
                window = self.windows[chance.choice(numbers)]
                if window.sentence_start or not sentence_start:
                    return window
        return None


def windows(documents: Iterable[str], tokenizer: Tokenizer, limit: int, seed: int) -> Iterator[Window]:
    """Cut documents into windows of at most ``limit`` tokens.

    Two thirds begin with a sentence; the others begin anywhere, as excerpts of a task do.
    """
    chance = random.Random(seed)
    for document in documents:
        text = rules.read(document)
        first = 0
        while first < len(text.words):
            sentence_start = first == 0 or text.words[first].sentence != text.words[first - 1].sentence
            start = text.words[first].start if sentence_start else text.words[first - 1].end
            window = window_of(document[start:], tokenizer, limit, sentence_start)
            if len(window.text.words) < 6:
                break
            yield window
            first = next(
                (index for index in range(first, len(text.words)) if text.words[index].end > start + window.ends[-1]),
                len(text.words),
            )
            if chance.random() < 0.67:  # skip to the next sentence
                while first < len(text.words) and text.words[first].sentence == text.words[first - 1].sentence:
                    first += 1


def window_of(string: str, tokenizer: Tokenizer, limit: int, sentence_start: bool = True) -> Window:
    """Return the first ``limit`` tokens of a text as a window."""
    ids, ends = tokenizer.encode(string[: 7 * limit])
    ids, ends = ids[:limit], ends[:limit]
    return Window(rules.read(string[: ends[-1]] if ends else ""), ids, ends, sentence_start)


# ------------------------------------------------------------------------------------------------------------ examples


@dataclass(frozen=True, eq=False)
class Group:
    """An explanation of a concept, and the level of each token [tokens] of each window."""

    concept: Concept
    explanation: str
    windows: tuple[Window, ...]
    levels: tuple[np.ndarray[Any, Any], ...]


@dataclass(eq=False)
class Examples:
    """Source of groups: concepts drawn from the makers, read on texts drawn from the pools."""

    pools: Sequence[Pool]
    makers: Makers
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        self.trained: dict[str, Maker] = self.makers.of(TRAINED) | {"tokens": self.token_maker}
        self.held_out: dict[str, Maker] = self.makers.of(HELD_OUT)
        self._sentences = [text for entry in self.makers.sentence_sets.values() for text in entry["sentences"]]
        self._sentences += [
            text for entry in self.makers.sense_words for sense in entry["senses"] for text in sense["sentences"]
        ]

    # ------------------------------------------------------------------------------------------------------- drawing

    def unit(self, chance: random.Random, pool: Pool, count: int, growth: float = 1.0) -> list[Group]:
        """Return two groups on the same texts: of a concept, and of a near miss of it or an unrelated concept.

        Args:
            chance: decides every draw.
            pool: windows to draw texts from.
            count: number of texts.
            growth: from 0 to 1; scales the weights of families beyond :data:`FIRST` and the share of near misses, since
                meanings of words have to be learned before combinations of conditions.
        """
        concept = self.any(chance, growth)
        decoy = self.decoy(concept, chance, growth)
        texts = self.texts(concept, decoy, chance, pool, count)
        return [self.group(drawn, worded(drawn, chance), texts) for drawn in (concept, decoy)]

    def decoy(self, concept: Concept, chance: random.Random, growth: float) -> Concept:
        """Return a near miss of a concept, or an unrelated concept of a trained family."""
        if concept.near and chance.random() < 0.25 + 0.4 * growth:
            return chance.choice(concept.near)(chance)
        return self.any(chance, growth)

    def any(self, chance: random.Random, growth: float) -> Concept:
        """Return a concept of a trained family, drawn by the families' weights."""
        weights = [weight * (1.0 if family in FIRST else growth) for family, weight in WEIGHTS.items()]
        return self.trained[chance.choices(list(WEIGHTS), weights)[0]](chance)

    def texts(
        self, concept: Concept, decoy: Concept, chance: random.Random, pool: Pool, count: int
    ) -> tuple[Window, ...]:
        """Return a text where the concept probably applies, one where the decoy does, and others up to ``count``."""
        texts = [self._applying(concept, decoy, chance, pool), self._applying(decoy, concept, chance, pool)]
        while len(texts) < count:
            draw = chance.random()
            target = concept if draw < 0.5 else decoy if draw < 0.65 else None
            texts.append(
                pool.any(chance, concept.sentence_start)
                if target is None
                else self._applying(target, concept, chance, pool)
            )
        chance.shuffle(texts)
        return tuple(texts)

    def _applying(self, concept: Concept, decoy: Concept, chance: random.Random, pool: Pool) -> Window:
        """Return a text in which a concept probably applies."""
        sentence_start = concept.sentence_start or decoy.sentence_start
        if concept.own_texts:
            return self._composed(concept, decoy, chance, pool)
        if concept.members and not sentence_start and chance.random() < concept.list_share:
            return self._word_list(concept, decoy, chance, pool)
        anchors = sorted(concept.anchors)
        for _ in range(12):
            window = (anchors and pool.near(anchors, chance, sentence_start)) or pool.any(chance, sentence_start)
            if concept.retold and chance.random() < _RETOLD:
                text = concept.retold(window.text.string, chance)
                window = window_of(text, self.tokenizer, pool.limit, window.sentence_start)
            if (self.levels(concept, window) > 0).any():
                break
        return window

    def _composed(self, concept: Concept, decoy: Concept, chance: random.Random, pool: Pool) -> Window:
        """Return a text of whole sentences: of the concept, of the decoy, and of any others."""
        candidates = [chance.choice(concept.own_texts)]
        if decoy.own_texts:
            candidates.append(chance.choice(decoy.own_texts))
        candidates += chance.sample(self._sentences, 3)
        sentences, room = candidates[:1], pool.limit - 8
        for sentence in candidates[1:]:
            if len(" ".join([*sentences, sentence])) < 4.3 * room:
                sentences.append(sentence)
        chance.shuffle(sentences)
        return window_of(" ".join(sentences), self.tokenizer, pool.limit)

    def _word_list(self, concept: Concept, decoy: Concept, chance: random.Random, pool: Pool) -> Window:
        """Return a list of words of the concept, of the decoy and of any kind, to be judged without context."""
        size = pool.limit // 3
        common = self.makers.common
        words = chance.choices(concept.members, k=chance.randint(1, max(2, size // 3)))
        words += chance.choices(decoy.members, k=chance.randint(1, max(2, size // 3))) if decoy.members else []
        words += [common[int(len(common) * chance.random() ** 1.5)] for _ in range(max(3, size - len(words)))]
        chance.shuffle(words)
        return window_of(_joined(words, chance), self.tokenizer, pool.limit, sentence_start=False)

    def group(self, concept: Concept, explanation: str, texts: Sequence[Window]) -> Group:
        """Return the group of an explanation of a concept: its levels on each text."""
        return Group(concept, explanation, tuple(texts), tuple(self.levels(concept, window) for window in texts))

    def levels(self, concept: Concept, window: Window) -> np.ndarray[Any, Any]:
        """Return the level of each token [tokens] as whole numbers, :data:`IGNORED` if it is not asked about."""
        if concept.tokens:
            return self._by_token(concept.tokens, window)
        if concept.kind:
            return _by_mark(concept.kind, window)
        levels = rules.on_tokens(window.text, concept.rule(window.text), window.ends)
        return np.where(levels == PARTIAL, IGNORED, np.rint(levels)).astype(np.int64)

    # -------------------------------------------------------------------------------------------------------- tokens

    def token_maker(self, chance: random.Random) -> Concept:
        """Draw a concept of one to four tokens, worded as lists of the most activating tokens of a neuron are."""
        pool = self.pools[0]
        levels: dict[str, float] = {}
        for _ in range(chance.choice([1, 2, 3, 3, 3, 4])):
            window = pool.any(chance, False)
            number = chance.randrange(len(window.ids))
            levels[window.pieces[number]] = HIGHEST
        quoted = [f'"{visible(piece)}"' for piece in levels]
        wordings = (
            f"the token {' or '.join(quoted)}",
            f"the token {' or '.join(quoted)}",
            f"the tokens {', '.join(quoted)}",
            " or ".join(quoted),
            ", ".join(piece.strip() or visible(piece) for piece in levels),
        )
        anchors = frozenset(piece.strip().lower() for piece in levels) - {""}
        return Concept("tokens", wordings, rules.words([]), anchors, (self.token_maker,), tokens=levels)

    def _by_token(self, levels: Mapping[str, float], window: Window) -> np.ndarray[Any, Any]:
        """Return the levels of exact tokens [tokens]; a token that differs only in case or space is not asked about."""
        alike = {piece.strip().lower() for piece in levels if piece.strip()}
        return np.array(
            [
                round(levels[piece]) if piece in levels else IGNORED if piece.strip().lower() in alike else 0
                for piece in window.pieces
            ],
            dtype=np.int64,
        )


def _by_mark(kind: Kind, window: Window) -> np.ndarray[Any, Any]:
    """Return the levels of a kind that is marked in scenes [tokens]; other texts are not asked about."""
    if window.scene is None:
        return np.full(len(window.ids), IGNORED, dtype=np.int64)
    marked = levels_of_scene(window.scene, kind, window.ends, full=int(HIGHEST), unknown=IGNORED)
    return np.fromiter(marked, dtype=np.int64, count=len(window.ends))


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
        cased = [word.capitalize() if chance.random() < 0.5 else word for word in words]
        return ". ".join(f"{first} {second}" for first, second in pairwise(cased)) + "."
    return ", ".join(words)
