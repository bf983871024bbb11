"""A corpus for planted neurons: made-up sentences in which every rule holds now and then.

It is no natural text. Words of all classes stand with equal chance in it, and each pair that a bigram rule names is
drawn more often than by chance; any other corpus can be collected on instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from harness.tasks.planted.draw import vocabulary
from harness.tasks.planted.rules import Planted

DOCUMENTS = 3000
SENTENCES = 12
_PATTERNS = (
    "The {} {} was {} the {} {}.",
    "A {} and a {} had a {} of {}.",
    "She saw the {} {} on {} near the {}.",
    "He was {} about the {}, and the {} was {}.",
    "In {} they took the {} {} to a {}.",
    "Is the {} of the {} {} or {}?",
    "For the {} there is {} {} and {}.",
)
_PAIR = re.compile(r'"([^" ]+ [^" ]+)"')
_REMEMBERED = 0.2
"""The share of words that are taken from earlier in the document, so that words are repeated."""
_PAIRED = 0.15
"""The share of pairs of places side by side that get a pair of a bigram rule."""


def documents(planted: Planted, seed: int, count: int = DOCUMENTS) -> Iterator[str]:
    """Yield made-up documents of twelve sentences.

    Args:
        planted: the neurons, whose bigrams are drawn more often.
        seed: of everything that is drawn.
        count: number of documents.
    """
    rng = np.random.default_rng([seed, 1])
    pairs = [pair for neuron in planted.neurons if neuron.family == "bigram" for pair in _PAIR.findall(neuron.truth)]
    words = [word for group in ("classes", "endings") for members in vocabulary()[group].values() for word in members]
    for _ in range(count):
        earlier: list[str] = []
        yield " ".join(_sentence(rng, words, pairs, earlier) for _ in range(SENTENCES))


def _sentence(rng: np.random.Generator, words: Sequence[str], pairs: Sequence[str], earlier: list[str]) -> str:
    """Return a sentence, and add its words to those that the document has had ``earlier``."""
    pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    if pairs and rng.random() < _PAIRED and "{} {}" in pattern:
        pattern = pattern.replace("{} {}", str(rng.choice(pairs)), 1)
    while "{}" in pattern:
        source = earlier if earlier and rng.random() < _REMEMBERED else words
        earlier.append(source[int(rng.integers(len(source)))])
        pattern = pattern.replace("{}", earlier[-1], 1)
    return pattern
