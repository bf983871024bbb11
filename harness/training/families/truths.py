"""Rules that only training needs: words with a share of senses, relations of words, lines, and given sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

import numpy as np

from harness.tasks.puzzles.rules import HIGHEST, PARTIAL, Rule, Text, Word
from harness.types import FloatArray


def listed_rule(shares: Mapping[str, float]) -> Rule:
    """Return a rule of words by share: full level from a share of 0.4, left open if the share is smaller."""

    def rule(text: Text) -> FloatArray:
        word_shares = np.array([shares.get(word.lower, 0.0) for word in text.words])
        return np.where(word_shares >= 0.4, HIGHEST, np.where(word_shares > 0.0, PARTIAL, 0.0))

    return rule


def settled(rule: Rule) -> Rule:
    """Return the rule with words that it leaves open at level 0, for use in combined rules."""
    return lambda text: np.maximum(rule(text), 0.0)


def otherwise(rule: Rule) -> Rule:
    """Return the rule of all words, and punctuation, to which a rule does not apply."""
    return lambda text: np.where(rule(text) > 0, 0.0, HIGHEST)


def phrase(words: str) -> Rule:
    """Return the rule of the last word of a phrase, wherever the phrase occurs, in any case."""
    target = words.lower().split()

    def rule(text: Text) -> FloatArray:
        lower = [word.lower for word in text.words]
        ends = [lower[max(0, number + 1 - len(target)) : number + 1] == target for number in range(len(lower))]
        return np.array(ends, dtype=np.float64) * HIGHEST

    return rule


def compared(holds: Callable[[Word, Word], bool]) -> Rule:
    """Return the rule of words for which ``holds(previous word of the sentence, word)``; punctuation is skipped."""

    def rule(text: Text) -> FloatArray:
        levels = np.zeros(len(text.words))
        spoken = [number for number, word in enumerate(text.words) if word.spoken]
        for first, second in pairwise(spoken):
            previous, word = text.words[first], text.words[second]
            levels[second] = HIGHEST * (previous.sentence == word.sentence and holds(previous, word))
        return levels

    return rule


def echoing(holds: Callable[[Word, Word], bool]) -> Rule:
    """Return the rule of words and numbers for which ``holds(earlier, word)`` with any earlier word or number."""

    def rule(text: Text) -> FloatArray:
        words = text.words
        levels = np.zeros(len(words))
        spoken = [number for number, word in enumerate(words) if word.spoken]
        for place, number in enumerate(spoken):
            levels[number] = HIGHEST * any(holds(words[earlier], words[number]) for earlier in spoken[:place])
        return levels

    return rule


def pairs_again(text: Text) -> FloatArray:
    """Return the levels [words] of the second word of each repeated pair of neighbours; punctuation is skipped."""
    levels = np.zeros(len(text.words))
    spoken = [number for number, word in enumerate(text.words) if word.spoken]
    earlier_pairs: set[tuple[str, str]] = set()
    for first, second in pairwise(spoken):
        pair = text.words[first].lower, text.words[second].lower
        levels[second] = HIGHEST * (pair in earlier_pairs)
        earlier_pairs.add(pair)
    return levels


def record(within_sentence: bool) -> Rule:
    """Return the rule of words longer than all earlier ones of their sentence or text, of which there is at least one.

    Args:
        within_sentence: whether to compare with the words of the sentence, in place of the text.
    """

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
    """Return the levels [words] of the first word of each line; marks before it are skipped."""
    levels, at_start, end = np.zeros(len(text.words)), True, 0
    for index, word in enumerate(text.words):
        at_start |= "\n" in text.string[end : word.start]
        levels[index] = HIGHEST * (at_start and word.spoken)
        at_start &= not word.spoken
        end = word.end
    return levels


def on_line(first: int, last: int) -> Rule:
    """Return the rule of all words of lines ``first`` to ``last``, counted from 1 without empty lines."""

    def rule(text: Text) -> FloatArray:
        lines: list[int] = []
        end = 0
        for word in text.words:
            lines.append((lines[-1] if lines else 1) + (bool(lines) and "\n" in text.string[end : word.start]))
            end = word.end
        return np.array([HIGHEST * (first <= line <= last) for line in lines], dtype=np.float64)

    return rule


def every(step: int) -> Rule:
    """Return the rule of every ``step``-th word of a sentence: if it is 2, of the second, the fourth and so on."""
    return lambda text: np.array(
        [HIGHEST * (word.spoken and word.place % step == step - 1) for word in text.words], dtype=np.float64
    )


def growing(text: Text) -> FloatArray:
    """Return levels [words] that grow by 1 from word to word of a sentence, from 0 to the highest."""
    return np.array([min(float(word.place), HIGHEST) * word.spoken for word in text.words], dtype=np.float64)


def occurring(rule: Rule, first: int, last: int) -> Rule:
    """Return the rule that applies where ``rule`` does for the ``first`` to the ``last`` time in a text, from 1."""

    def limited(text: Text) -> FloatArray:
        levels = settled(rule)(text)
        times = np.cumsum(levels > 0)
        return np.where((levels > 0) & (times >= first) & (times <= last), levels, 0.0)

    return limited


def stretches(sentences: Iterable[str]) -> Rule:
    """Return the rule of all words of the given sentences, wherever they occur in a text."""
    fixed = tuple(sentences)  # rules are applied many times, an iterator would be empty after the first

    def rule(text: Text) -> FloatArray:
        levels = np.zeros(len(text.words))
        for first, last in (span for sentence in fixed for span in _spans(sentence, text.string)):
            levels[[number for number, word in enumerate(text.words) if first <= word.start and word.end <= last]] = (
                HIGHEST
            )
        return levels

    return rule


def _spans(sentence: str, string: str) -> Iterator[tuple[int, int]]:
    """Yield the begin and end, in characters, of each occurrence of a sentence in a string."""
    first = string.find(sentence)
    while first >= 0:
        yield first, first + len(sentence)
        first = string.find(sentence, first + len(sentence))
