"""Rules that say, word by word, how strongly an explanation applies to a text: truth that is computed, never typed.

A rule is a function from a :class:`Text` to a level from 0 to 10 for each of its words. Rules are combined like sets:
:func:`any_of` is the maximum, :func:`all_of` the minimum, :func:`but_not` the difference. :func:`compiled` makes one of
plain values, as they stand in a file of puzzles. Every rule looks only backwards, like a neuron of a causal model,
but for those that say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.types import FloatArray, NeuroglossError

HIGHEST = 10.0
"""The level of a word to which a rule applies in full."""

_WORD = re.compile(r"[^\W\d_]+|(?<=\w)['’][^\W\d_]{1,2}\b|\d+(?:[.,]\d+)*|\S")
_ENDS = frozenset(".!?")
_CLOSING = frozenset("\"'”’)]")
_APOSTROPHES = frozenset("'’")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, a number or a punctuation mark: where it stands in characters, in which sentence, and at which place.

    ``sentence`` and ``place`` (among the sentence's words and numbers, punctuation not counted) count from 0. What
    follows an apostrophe within a word (``'s``, ``'t``) stands apart, and counts as punctuation does.
    """

    text: str
    start: int
    end: int
    sentence: int
    place: int

    @property
    def lower(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @property
    def spoken(self) -> bool:
        """Whether it is a word or a number, and no punctuation, nor what an apostrophe joins to a word."""
        return self.text[-1].isalnum() and self.text[0] not in _APOSTROPHES


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its words."""

    string: str
    words: tuple[Word, ...]


Rule = Callable[[Text], FloatArray]
"""From a text to the level of each of its words [words], 0 to 10."""


def read(string: str) -> Text:
    """Find the words of a text.

    A sentence ends at ``.``, ``!`` or ``?`` with what closes it, where white space follows, and at a line end.
    """
    words: list[Word] = []
    sentence, place, ended, before = 0, 0, False, 0
    for match in _WORD.finditer(string):
        text = match.group()
        space = string[before : match.start()]
        if (ended and space) or (words and "\n" in space):
            sentence, place, ended = sentence + 1, 0, False
        words.append(Word(text, match.start(), match.end(), sentence, place))
        place += words[-1].spoken
        ended, before = text in _ENDS or (ended and text in _CLOSING), match.end()
    return Text(string, tuple(words))


# ---------------------------------------------------------------------------------------------------- rules of one word


def word_where(holds: Callable[[Word], bool]) -> Rule:
    """The words for which ``holds`` is true."""
    return lambda text: np.array([HIGHEST * holds(word) for word in text.words], dtype=np.float64)


def words(listed: Iterable[str]) -> Rule:
    """Words of a list; one that is listed with a capital letter must have it, others may stand in any case."""
    kept = frozenset(listed)
    return word_where(lambda word: word.text in kept or word.lower in kept)


def prefix(*beginnings: str) -> Rule:
    """Words that begin so and go on."""
    return word_where(lambda word: any(word.lower.startswith(one) and word.lower != one for one in beginnings))


def suffix(*endings: str) -> Rule:
    """Words that end so and have something before it."""
    return word_where(lambda word: any(word.lower.endswith(one) and word.lower != one for one in endings))


def pattern(expression: str) -> Rule:
    """Words that a regular expression matches as a whole, their case as it stands."""
    whole = re.compile(expression)
    return word_where(lambda word: whole.fullmatch(word.text) is not None)


def length(minimum: int = 1, maximum: int = 1000) -> Rule:
    """Words of so many letters."""
    return word_where(lambda word: word.text.isalpha() and minimum <= len(word.text) <= maximum)


def capital() -> Rule:
    """Words that begin with a capital letter and go on in small ones, not at the beginning of a sentence."""
    return word_where(lambda word: word.place > 0 and word.text.istitle() and len(word.text) > 1)


def upper() -> Rule:
    """Words of two or more letters, all of them capitals."""
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
    """The number that each word ends [words], NaN where it ends none: in ``3 million`` they are 3 and 3,000,000."""
    found = np.full(len(text.words), np.nan)
    for index, word in enumerate(text.words):
        before = found[index - 1] if index else np.nan
        if word.text[0].isdecimal():
            plain = word.text.replace(",", "")
            found[index] = float(plain) if plain.count(".") <= 1 else np.nan
        elif word.lower in _NUMBERS:
            found[index] = _NUMBERS[word.lower]
        elif word.lower in _SCALES:
            found[index] = _SCALES[word.lower] * (1.0 if np.isnan(before) else before)
    return found


def number(above: float = -np.inf, below: float = np.inf) -> Rule:
    """Numbers, in digits or in words, strictly between two limits."""

    def rule(text: Text) -> FloatArray:
        found = values(text)
        return np.where((found > above) & (found < below), HIGHEST, 0.0)

    return rule


# ------------------------------------------------------------------------------------------------------ rules of places


def first_in_sentence(count: int = 1, skip: int = 0) -> Rule:
    """The first ``count`` words of each sentence, after ``skip`` of them."""
    return word_where(lambda word: word.spoken and skip <= word.place < skip + count)


def first_in_text(count: int, skip: int = 0) -> Rule:
    """The first ``count`` words of the text, after ``skip`` of them."""

    def rule(text: Text) -> FloatArray:
        spoken = np.array([word.spoken for word in text.words], dtype=bool)
        place = np.cumsum(spoken) - 1
        return np.where(spoken & (place >= skip) & (place < skip + count), HIGHEST, 0.0)

    return rule


def sentence_number(first: int, last: int | None = None) -> Rule:
    """All words of the sentences from the ``first`` to the ``last`` one, counted from 1."""
    end = last or first
    return word_where(lambda word: first <= word.sentence + 1 <= end)


def repeated(minimum_length: int = 4) -> Rule:
    """Words that stood in the text before, in any case, of at least so many letters."""

    def rule(text: Text) -> FloatArray:
        seen: set[str] = set()
        levels = np.zeros(len(text.words))
        for index, word in enumerate(text.words):
            if len(word.text) >= minimum_length and word.text.isalpha():
                levels[index] = HIGHEST * (word.lower in seen)
                seen.add(word.lower)
        return levels

    return rule


def inside(opening: str, closing: str) -> Rule:
    """The words after a mark or a word, up to the one that closes it, or to the end of the text; the marks not."""

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


def any_of(first: Rule, *others: Rule) -> Rule:
    """Where one of the rules applies: the largest of their levels."""
    return lambda text: np.max([rule(text) for rule in (first, *others)], axis=0)


def all_of(first: Rule, *others: Rule) -> Rule:
    """Where all of the rules apply: the smallest of their levels."""
    return lambda text: np.min([rule(text) for rule in (first, *others)], axis=0)


def but_not(rule: Rule, excepted: Rule, *others: Rule) -> Rule:
    """Where ``rule`` applies and none of the others does."""
    return lambda text: np.where(any_of(excepted, *others)(text) > 0, 0.0, rule(text))


def no(rule: Rule) -> Rule:
    """The words and numbers to which ``rule`` does not apply."""
    return but_not(word_where(lambda word: word.spoken), rule)


def graded(rule: Rule, level: float) -> Rule:
    """The same places at a level of at most ``level``."""
    return lambda text: np.minimum(rule(text), level)


def after(rule: Rule, count: int = 1, skip: int = 0) -> Rule:
    """The ``count`` words that follow a place of ``rule`` in its sentence, after ``skip`` of them.

    Punctuation is passed over.
    """

    def following(text: Text) -> FloatArray:
        spoken = [index for index, word in enumerate(text.words) if word.spoken]
        rank = {index: order for order, index in enumerate(spoken)}
        levels = np.zeros(len(text.words))
        found = rule(text)
        for index in np.flatnonzero(found):
            start = rank.get(int(index), -1) + 1 if int(index) in rank else sum(one < index for one in spoken)
            for target in spoken[start + skip : start + skip + count]:
                if text.words[target].sentence == text.words[index].sentence:
                    levels[target] = max(levels[target], found[index])
        return levels

    return following


def rest_of_sentence(rule: Rule) -> Rule:
    """From a place of ``rule`` on, to the end of its sentence; that place itself not."""

    def rest(text: Text) -> FloatArray:
        levels, found = np.zeros(len(text.words)), rule(text)
        for index in range(1, len(text.words)):
            if text.words[index].sentence == text.words[index - 1].sentence:
                levels[index] = max(levels[index - 1], found[index - 1])
        return levels

    return rest


def sentences_with(rule: Rule) -> Rule:
    """All words of the sentences in which ``rule`` applies anywhere: it looks forward too."""

    def whole(text: Text) -> FloatArray:
        found = rule(text)
        highest: dict[int, float] = {}
        for word, level in zip(text.words, found, strict=True):
            highest[word.sentence] = max(level, highest.get(word.sentence, 0.0))
        return np.array([highest[word.sentence] for word in text.words], dtype=np.float64)

    return whole


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
    """The rule that plain values stand for: a mapping with one key, which names a function of this module.

    ``{words: [dog, cat]}``, ``{suffix: [ing]}``, ``{pattern: "[aeiou].*"}``, ``{number: {above: 1000}}``,
    ``{upper: {}}``, ``{any_of: [RULE, RULE]}``, ``{not: RULE}``, and where a rule has options, its rule stands under
    ``of``: ``{after: {of: RULE, count: 2}}``.

    Raises:
        NeuroglossError: naming the key that is unknown, or the options that do not fit.
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
    known = sorted({"words", "pattern", *_OF_A_LIST, *_OF_OPTIONS, *_OF_RULES, *_OF_A_RULE})
    raise NeuroglossError(f"there is no rule {name!r}; there are {', '.join(known)}.")


def _listed(value: Any) -> list[str]:
    """Listed words; a lone word is no list, and YAML reads a bare ``no`` or ``on`` as a truth value."""
    if not isinstance(value, list | tuple) or any(isinstance(one, bool) for one in value):
        raise TypeError("a list of words is wanted, with quotes around yes, no, on and off")
    return [str(one) for one in value]


# ------------------------------------------------------------------------------------------------------ onto the tokens

PARTIAL = -1.0
"""Stands for the level of a token that ends inside a word, where the rule speaks of the whole word."""


def on_tokens(text: Text, levels: Sequence[float] | FloatArray, ends: Sequence[int]) -> FloatArray:
    """The level of each token [tokens], by the character at which it ends.

    A token has the level of the last word that it reaches to the end. One that ends inside a word to which the rule
    applies is :data:`PARTIAL`, as nothing can know yet how the word goes on, unless the word before has a level too:
    then the rule spreads over a stretch of text, and its level goes on.

    Args:
        text: the text.
        levels: of its words [words].
        ends: where each token ends, in characters [tokens], ascending.
    """
    found = np.zeros(len(ends))
    word = -1  # the last word that ends at or before the token's end
    last = 0
    for index, end in enumerate(ends):
        reached = False
        while word + 1 < len(text.words) and text.words[word + 1].end <= end:
            word += 1
            reached = True
        inside_next = word + 1 < len(text.words) and text.words[word + 1].start < end
        if inside_next:
            spreads = word >= 0 and levels[word] > 0 and levels[word + 1] > 0
            found[index] = levels[word + 1] if spreads else PARTIAL if levels[word + 1] > 0 else 0.0
        elif reached:
            found[index] = levels[word]
        elif end > last and word >= 0 and word + 1 < len(text.words):  # white space between two words
            found[index] = min(levels[word], levels[word + 1])
        last = end
    return found


_PIECES = re.compile(r" ?[^\W\d_]+| ?\d{1,3}| ?[^\s\w]+|_|\s+(?!\S)|\s+")


def pieces(string: str) -> list[str]:
    """The tokens of a puzzle: words with the space before them, numbers by three digits, punctuation, white space."""
    return _PIECES.findall(string)
