"""Rules that only concepts of training need: words that belong in part, and sentences that are known to apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

import numpy as np

from harness.puzzles.rules import HIGHEST, PARTIAL, Rule, Text, Word
from harness.types import FloatArray


def listed_rule(shares: Mapping[str, float]) -> Rule:
    """Words at full level where at least 0.4 of their senses belong, left open where fewer do."""

    def rule(text: Text) -> FloatArray:
        found = np.array([shares.get(word.lower, 0.0) for word in text.words])
        return np.where(found >= 0.4, HIGHEST, np.where(found > 0.0, PARTIAL, 0.0))

    return rule


def settled(rule: Rule) -> Rule:
    """The same rule where what it leaves open counts as not applying: for rules that are made of it."""
    return lambda text: np.maximum(rule(text), 0.0)


def otherwise(rule: Rule) -> Rule:
    """All words, punctuation too, to which a rule does not apply."""
    return lambda text: np.where(rule(text) > 0, 0.0, HIGHEST)


def phrase(words: str) -> Rule:
    """The last word of a phrase, in any case, where all of it stands in a row."""
    wanted = words.lower().split()

    def rule(text: Text) -> FloatArray:
        lower = [word.lower for word in text.words]
        ends = [lower[max(0, number + 1 - len(wanted)) : number + 1] == wanted for number in range(len(lower))]
        return np.array(ends, dtype=np.float64) * HIGHEST

    return rule


def compared(holds: Callable[[Word, Word], bool]) -> Rule:
    """Words that stand in a relation to the word before them in their sentence, punctuation passed over."""

    def rule(text: Text) -> FloatArray:
        levels = np.zeros(len(text.words))
        spoken = [number for number, word in enumerate(text.words) if word.spoken]
        for before, number in pairwise(spoken):
            one, other = text.words[before], text.words[number]
            levels[number] = HIGHEST * (one.sentence == other.sentence and holds(one, other))
        return levels

    return rule


def echoing(holds: Callable[[Word, Word], bool]) -> Rule:
    """Words and numbers that stand in a relation to any word or number before them in the text."""

    def rule(text: Text) -> FloatArray:
        words = text.words
        levels = np.zeros(len(words))
        spoken = [number for number, word in enumerate(words) if word.spoken]
        for place, number in enumerate(spoken):
            levels[number] = HIGHEST * any(holds(words[before], words[number]) for before in spoken[:place])
        return levels

    return rule


def pairs_again(text: Text) -> FloatArray:
    """The second word of two that stood side by side in the text before, punctuation between them or not."""
    levels = np.zeros(len(text.words))
    spoken = [number for number, word in enumerate(text.words) if word.spoken]
    seen: set[tuple[str, str]] = set()
    for before, number in pairwise(spoken):
        pair = text.words[before].lower, text.words[number].lower
        levels[number] = HIGHEST * (pair in seen)
        seen.add(pair)
    return levels


def record(within_sentence: bool) -> Rule:
    """Words longer than all before them in their sentence or in the text; the first one, before which is none, not."""

    def rule(text: Text) -> FloatArray:
        levels, longest, sentence = np.zeros(len(text.words)), 0, 0
        for index, word in enumerate(text.words):
            if within_sentence and word.sentence != sentence:
                longest, sentence = 0, word.sentence
            if word.text.isalpha() and word.spoken:
                levels[index] = HIGHEST * (0 < longest < len(word.text))
                longest = max(longest, len(word.text))
        return levels

    return rule


def line_beginnings(text: Text) -> FloatArray:
    """The first word of each line, whatever marks stand before it."""
    levels, waiting, before = np.zeros(len(text.words)), True, 0
    for index, word in enumerate(text.words):
        waiting |= "\n" in text.string[before : word.start]
        levels[index] = HIGHEST * (waiting and word.spoken)
        waiting &= not word.spoken
        before = word.end
    return levels


def on_line(first: int, last: int) -> Rule:
    """All words of the lines from the first to the last one, counted from 1; empty lines are passed over."""

    def rule(text: Text) -> FloatArray:
        lines: list[int] = []
        before = 0
        for word in text.words:
            lines.append((lines[-1] if lines else 1) + (bool(lines) and "\n" in text.string[before : word.start]))
            before = word.end
        return np.array([HIGHEST * (first <= line <= last) for line in lines], dtype=np.float64)

    return rule


def every(step: int) -> Rule:
    """Each ``step``-th word of a sentence: of 2, the second, the fourth and so on."""
    return lambda text: np.array(
        [HIGHEST * (word.spoken and word.place % step == step - 1) for word in text.words], dtype=np.float64
    )


def growing(text: Text) -> FloatArray:
    """A level more for each word of a sentence."""
    return np.array([min(float(word.place), HIGHEST) * word.spoken for word in text.words], dtype=np.float64)


def occurring(rule: Rule, first: int, last: int) -> Rule:
    """Where a rule applies in a text for the ``first`` to the ``last`` time, counted from 1."""

    def some(text: Text) -> FloatArray:
        found = settled(rule)(text)
        times = np.cumsum(found > 0)
        return np.where((found > 0) & (times >= first) & (times <= last), found, 0.0)

    return some


def stretches(sentences: Iterable[str]) -> Rule:
    """All words of the given sentences, wherever they stand in a text."""
    known = tuple(sentences)

    def rule(text: Text) -> FloatArray:
        levels = np.zeros(len(text.words))
        for first, last in (span for sentence in known for span in _spans(sentence, text.string)):
            levels[[number for number, word in enumerate(text.words) if first <= word.start and word.end <= last]] = (
                HIGHEST
            )
        return levels

    return rule


def _spans(sentence: str, string: str) -> Iterator[tuple[int, int]]:
    """Where a sentence begins and ends, each time that it stands in a string."""
    first = string.find(sentence)
    while first >= 0:
        yield first, first + len(sentence)
        first = string.find(sentence, first + len(sentence))
