"""Rules that compute, word by word, how strongly an explanation applies to a text; no level is typed by hand.

A rule is a function from a :class:`Text` to a level from 0 to 10 for each of its words. Rules are combined like sets:
:func:`any_of` is the maximum, :func:`all_of` the minimum, :func:`but_not` the difference. :func:`compiled` builds a
rule from plain values, as written in a file of puzzles. A rule looks only at the text so far, like a neuron of a causal
model, unless its docstring says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.types import HIGHEST_LEVEL, FloatArray, NeuroglossError

HIGHEST = float(HIGHEST_LEVEL)
"""The level of a word to which a rule applies in full."""

_WORD = re.compile(r"[^\W\d_]+|(?<=\w)['’][^\W\d_]{1,2}\b|\d+(?:[.,]\d+)*|\S")
_ENDS = frozenset(".!?")
_CLOSING = frozenset("\"'”’)]")
_APOSTROPHES = frozenset("'’")


@dataclass(frozen=True, slots=True)
class Word:
    """Word, number or punctuation mark, with its position in characters, its sentence and its place in the sentence.

    ``sentence`` and ``place`` count from 0; punctuation does not count as a place. An ending after an apostrophe within
    a word (``'s``, ``'t``) is separate, and counts as punctuation.
    """

    text: str
    start: int
    end: int
    sentence: int
    place: int

    @property
    def lower(self) -> str:
        """Text in lower case."""
        return self.text.lower()

    @property
    def spoken(self) -> bool:
        """Whether it is a word or a number, rather than punctuation or an ending after an apostrophe."""
        return self.text[-1].isalnum() and self.text[0] not in _APOSTROPHES


@dataclass(frozen=True, slots=True)
class Text:
    """Text and its words."""

    string: str
    words: tuple[Word, ...]


Rule = Callable[[Text], FloatArray]
"""Function from a text to the level of each of its words [words], 0 to 10."""


def read(string: str) -> Text:
    """Split a text into words and sentences.

    A sentence ends at a line end, and at ``.``, ``!`` or ``?`` (with closing quotes or brackets) before white space.
    """
    words: list[Word] = []
    sentence, place, sentence_ended, offset = 0, 0, False, 0
    for match in _WORD.finditer(string):
        text = match.group()
        space = string[offset : match.start()]
        if (sentence_ended and space) or (words and "\n" in space):
            sentence, place, sentence_ended = sentence + 1, 0, False
        words.append(Word(text, match.start(), match.end(), sentence, place))
        place += words[-1].spoken
        sentence_ended, offset = text in _ENDS or (sentence_ended and text in _CLOSING), match.end()
    return Text(string, tuple(words))


# ---------------------------------------------------------------------------------------------------- rules of one word


def word_where(holds: Callable[[Word], bool]) -> Rule:
    """Return the rule for words for which ``holds`` is true."""
    return lambda text: np.array([HIGHEST * holds(word) for word in text.words], dtype=np.float64)


def words(word_list: Iterable[str]) -> Rule:
    """Return the rule for words of a list; a word listed with a capital letter must have it, others match in any
    case."""
    vocabulary = frozenset(word_list)
    return word_where(lambda word: word.text in vocabulary or word.lower in vocabulary)


def prefix(*beginnings: str) -> Rule:
    """Return the rule for words that begin with one of ``beginnings`` and are longer than it."""
    return word_where(
        lambda word: any(word.lower.startswith(beginning) and word.lower != beginning for beginning in beginnings)
    )


def suffix(*endings: str) -> Rule:
    """Return the rule for words that end with one of ``endings`` and are longer than it."""
    return word_where(lambda word: any(word.lower.endswith(ending) and word.lower != ending for ending in endings))


def pattern(expression: str) -> Rule:
    """Return the rule for words that a regular expression matches completely, in their own case."""
    regex = re.compile(expression)
    return word_where(lambda word: regex.fullmatch(word.text) is not None)


def length(minimum: int = 1, maximum: int = 1000) -> Rule:
    """Return the rule for words of ``minimum`` to ``maximum`` letters."""
    return word_where(lambda word: word.text.isalpha() and minimum <= len(word.text) <= maximum)


def capital() -> Rule:
    """Return the rule for words with a capital letter followed by small ones, except at the beginning of a sentence."""
    return word_where(lambda word: word.place > 0 and word.text.istitle() and len(word.text) > 1)


def upper() -> Rule:
    """Return the rule for words of two or more letters, all capital."""
    return word_where(lambda word: len(word.text) > 1 and word.text.isupper())


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_NUMBERS = {name: float(value) for value, name in enumerate(_UNITS.split())} | {
    name: 10.0 * value for value, name in enumerate(_TENS.split(), start=2)
}


def values(text: Text) -> FloatArray:
    """Return the number that ends at each word [words], or NaN; in ``3 million`` they are 3 and 3,000,000."""
    numbers = np.full(len(text.words), np.nan)
    for index, word in enumerate(text.words):
        previous = numbers[index - 1] if index else np.nan
        if word.text[0].isdecimal():
            plain = word.text.replace(",", "")
            numbers[index] = float(plain) if plain.count(".") <= 1 else np.nan
        elif word.lower in _NUMBERS:
            numbers[index] = _NUMBERS[word.lower]
        elif word.lower in _SCALES:
            numbers[index] = _SCALES[word.lower] * (1.0 if np.isnan(previous) else previous)
    return numbers


def number(above: float = -np.inf, below: float = np.inf) -> Rule:
    """Return the rule for numbers, in digits or words, strictly between two limits."""

    def rule(text: Text) -> FloatArray:
        numbers = values(text)
        return np.where((numbers > above) & (numbers < below), HIGHEST, 0.0)

    return rule


# ------------------------------------------------------------------------------------------------------ rules of places


def first_in_sentence(count: int = 1, skip: int = 0) -> Rule:
    """Return the rule for ``count`` words of each sentence, after the first ``skip`` words."""
    return word_where(lambda word: word.spoken and skip <= word.place < skip + count)


def first_in_text(count: int, skip: int = 0) -> Rule:
    """Return the rule for ``count`` words of the text, after the first ``skip`` words."""

    def rule(text: Text) -> FloatArray:
        spoken = np.array([word.spoken for word in text.words], dtype=bool)
        place = np.cumsum(spoken) - 1
        return np.where(spoken & (place >= skip) & (place < skip + count), HIGHEST, 0.0)

    return rule


def sentence_number(first: int, last: int | None = None) -> Rule:
    """Return the rule for all words of sentences ``first`` to ``last`` (default: ``first``), counted from 1."""
    end = last or first
    return word_where(lambda word: first <= word.sentence + 1 <= end)


def repeated(minimum_length: int = 4) -> Rule:
    """Return the rule for words of at least ``minimum_length`` letters that occurred in the text before, in any
    case."""

    def rule(text: Text) -> FloatArray:
        earlier_words: set[str] = set()
        levels = np.zeros(len(text.words))
        for index, word in enumerate(text.words):
            if len(word.text) >= minimum_length and word.text.isalpha():
                levels[index] = HIGHEST * (word.lower in earlier_words)
                earlier_words.add(word.lower)
        return levels

    return rule


def inside(opening: str, closing: str) -> Rule:
    """Return the rule for words after ``opening`` up to ``closing`` or the end of the text, without these two."""

    def rule(text: Text) -> FloatArray:
        levels, within = np.zeros(len(text.words)), False
        for index, word in enumerate(text.words):
            if within and word.text == closing:
                within = False
            elif word.text == opening:
                levels[index] = HIGHEST * (within and word.spoken)
                within = True
            elif within:
                levels[index] = HIGHEST
        return levels

    return rule


# -------------------------------------------------------------------------------------------- rules made of other rules


def any_of(first: Rule, *alternatives: Rule) -> Rule:
    """Return the rule that applies if any of the rules does: the largest of their levels."""
    return lambda text: np.max([rule(text) for rule in (first, *alternatives)], axis=0)


def all_of(first: Rule, *conditions: Rule) -> Rule:
    """Return the rule that applies if all of the rules do: the smallest of their levels."""
    return lambda text: np.min([rule(text) for rule in (first, *conditions)], axis=0)


def but_not(rule: Rule, exception: Rule, *exceptions: Rule) -> Rule:
    """Return the rule that applies if ``rule`` does and no exception does."""
    return lambda text: np.where(any_of(exception, *exceptions)(text) > 0, 0.0, rule(text))


def no(rule: Rule) -> Rule:
    """Return the rule for words and numbers to which ``rule`` does not apply."""
    return but_not(word_where(lambda word: word.spoken), rule)


def graded(rule: Rule, level: float) -> Rule:
    """Return ``rule`` with levels of at most ``level``."""
    return lambda text: np.minimum(rule(text), level)


def after(rule: Rule, count: int = 1, skip: int = 0) -> Rule:
    """Return the rule for ``count`` words after a place of ``rule`` in its sentence, after the first ``skip`` of them.

    Punctuation is skipped.
    """

    def following(text: Text) -> FloatArray:
        spoken = [index for index, word in enumerate(text.words) if word.spoken]
        rank = {index: order for order, index in enumerate(spoken)}
        levels = np.zeros(len(text.words))
        source_levels = rule(text)
        for index in np.flatnonzero(source_levels):
            start = rank.get(int(index), -1) + 1 if int(index) in rank else sum(position < index for position in spoken)
            for target in spoken[start + skip : start + skip + count]:
                if text.words[target].sentence == text.words[index].sentence:
                    levels[target] = max(levels[target], source_levels[index])
        return levels

    return following


def rest_of_sentence(rule: Rule) -> Rule:
    """Return the rule for everything after a place of ``rule`` up to the end of its sentence."""

    def spread(text: Text) -> FloatArray:
        levels, source_levels = np.zeros(len(text.words)), rule(text)
        for index in range(1, len(text.words)):
            if text.words[index].sentence == text.words[index - 1].sentence:
                levels[index] = max(levels[index - 1], source_levels[index - 1])
        return levels

    return spread


def sentences_with(rule: Rule) -> Rule:
    """Return the rule for all words of the sentences in which ``rule`` applies anywhere; it also looks ahead."""

    def maxima(text: Text) -> FloatArray:
        source_levels = rule(text)
        highest: dict[int, float] = {}
        for word, level in zip(text.words, source_levels, strict=True):
            highest[word.sentence] = max(level, highest.get(word.sentence, 0.0))
        return np.array([highest[word.sentence] for word in text.words], dtype=np.float64)

    return maxima


# ---------------------------------------------------------------------------------------------------- from plain values

_OF_A_LIST: Mapping[str, Callable[..., Rule]] = {"prefix": prefix, "suffix": suffix}
_OF_OPTIONS: Mapping[str, Callable[..., Rule]] = {
    "length": length,
    "number": number,
    "first_in_sentence": first_in_sentence,
    "first_in_text": first_in_text,
    "sentence_number": sentence_number,
    "repeated": repeated,
    "inside": inside,
    "capital": capital,
    "upper": upper,
}
_OF_RULES: Mapping[str, Callable[..., Rule]] = {"any_of": any_of, "all_of": all_of, "but_not": but_not}
_OF_A_RULE: Mapping[str, Callable[..., Rule]] = {
    "not": no,
    "after": after,
    "graded": graded,
    "rest_of_sentence": rest_of_sentence,
    "sentences_with": sentences_with,
}


def compiled(node: Mapping[str, Any]) -> Rule:
    """Return the rule of a mapping with one key, which names a function of this module.

    ``{words: [dog, cat]}``, ``{suffix: [ing]}``, ``{pattern: "[aeiou].*"}``, ``{number: {above: 1000}}``,
    ``{upper: {}}``, ``{any_of: [RULE, RULE]}``, ``{not: RULE}``. A rule with options has its inner rule under ``of``:
    ``{after: {of: RULE, count: 2}}``.

    Raises:
        NeuroglossError: the key is unknown, or its options do not fit; both are named.
    """
    if not isinstance(node, Mapping) or len(node) != 1:
        raise NeuroglossError(f"a rule is a mapping with one key, such as words: [dog, cat], and not {node!r}.")
    ((name, value),) = node.items()
    try:
        return _compiled(name, value)
    except (TypeError, re.error) as error:
        raise NeuroglossError(f"the rule {name} cannot be made of {value!r}: {error}.") from error


def _compiled(name: str, value: Any) -> Rule:
    if name == "words":
        return words(_listed(value))
    if name == "pattern":
        return pattern(value)
    if name in _OF_A_LIST:
        return _OF_A_LIST[name](*_listed(value))
    if name in _OF_OPTIONS:
        return _OF_OPTIONS[name](**value)
    if name in _OF_RULES:
        return _OF_RULES[name](*map(compiled, value))
    if name in _OF_A_RULE:
        options = dict(value) if "of" in value else {"of": value}
        return _OF_A_RULE[name](compiled(options.pop("of")), **options)
    rule_names = sorted({"words", "pattern", *_OF_A_LIST, *_OF_OPTIONS, *_OF_RULES, *_OF_A_RULE})
    raise NeuroglossError(f"there is no rule {name!r}; there are {', '.join(rule_names)}.")


def _listed(value: Any) -> list[str]:
    """Return the words of a list; refuse a single text, and the truth values that YAML makes of a bare ``no`` or
    ``on``."""
    if not isinstance(value, list | tuple) or any(isinstance(item, bool) for item in value):
        raise TypeError("a list of words is wanted, with quotes around yes, no, on and off")
    return [str(item) for item in value]


# ------------------------------------------------------------------------------------------------------ onto the tokens

PARTIAL = -1.0
"""Marker for the level of a token that ends inside a word, if the rule applies to the whole word."""


def on_tokens(text: Text, levels: Sequence[float] | FloatArray, ends: Sequence[int]) -> FloatArray:
    """Return the level of each token [tokens], by the character at which it ends.

    A token has the level of the last word that ends in it. A token that ends inside a word to which the rule applies is
    :data:`PARTIAL`, because the rest of the word is not known yet. There is one exception: if the previous word has a
    level too, the rule covers a stretch of text, and the token has the level of the word.

    Args:
        text: the text.
        levels: levels of its words [words].
        ends: character at which each token ends, ascending [tokens].
    """
    token_levels = np.zeros(len(ends))
    word = -1  # the last word that ends at or before the token's end
    previous_end = 0
    for index, end in enumerate(ends):
        word_ended = False
        while word + 1 < len(text.words) and text.words[word + 1].end <= end:
            word += 1
            word_ended = True
        inside_next = word + 1 < len(text.words) and text.words[word + 1].start < end
        if inside_next:
            spreads = word >= 0 and levels[word] > 0 and levels[word + 1] > 0
            token_levels[index] = levels[word + 1] if spreads else PARTIAL if levels[word + 1] > 0 else 0.0
        elif word_ended:
            token_levels[index] = levels[word]
        elif end > previous_end and word >= 0 and word + 1 < len(text.words):  # white space between two words
            token_levels[index] = min(levels[word], levels[word + 1])
        previous_end = end
    return token_levels


_PIECES = re.compile(r" ?[^\W\d_]+| ?\d{1,3}| ?[^\s\w]+|_|\s+(?!\S)|\s+")


def pieces(string: str) -> list[str]:
    """Split a text into the tokens of a puzzle: words with the space before them, up to three digits, punctuation,
    space."""
    return _PIECES.findall(string)
