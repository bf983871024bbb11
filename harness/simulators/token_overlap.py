"""Overlap of words between text and explanation: a baseline without a model that any simulator should beat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.simulators.levels import unasked
from harness.types import HIGHEST_LEVEL, Query, Simulation, SimulatorInfo

_WORD = re.compile(r"\w+")
_ENDINGS = ("ing", "ed", "es", "s", "e")
_STEM = 3  # fewest letters of a stem
_WITHOUT_MEANING = """
a an the this that these those it its and or but not no as at by for from in into of off on onto out
over to up with about after before between is are was were be been has have had do does did can could will would may
might any all every each some such other than then which who whom whose what when where how one only also e g i words
tokens texts sentences neurons mentions references fires activates describes related contains like"""


@dataclass(eq=False)
class TokenOverlap:
    """Simulator that gives level 10 to each token of a word whose stem occurs in the explanation, else 0.

    Words without a meaning of their own, and those common in explanations ("words", "tokens"), are left out.
    """

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is."""
        return SimulatorInfo("token_overlap")

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return one simulation for each query, in order, without probabilities."""
        return [unasked(query) or _simulation(query) for query in queries]


def stem(word: str) -> str:
    """Return a word in lower case without its ending, if it is a listed one and three letters remain."""
    lower = word.lower()
    for ending in _ENDINGS:
        if lower.endswith(ending) and len(lower) - len(ending) >= _STEM:
            return lower.removesuffix(ending)
    return lower


_EMPTY = frozenset(map(stem, _WITHOUT_MEANING.split()))


def _simulation(query: Query) -> Simulation:
    stems = {stem(word) for word in _WORD.findall(query.explanation.text)} - _EMPTY
    matches = [any(stem(word) in stems for word in words) for words in _words(query.tokens)]
    return Simulation(tuple(float(HIGHEST_LEVEL) if match else 0.0 for match in matches))


def _words(tokens: Sequence[str]) -> list[list[str]]:
    """Return the words of each token; a word of several tokens belongs to each of them."""
    words_by_token: list[list[str]] = [[] for _ in tokens]
    text = "".join(tokens)
    owner = [index for index, token in enumerate(tokens) for _ in token]
    for match in _WORD.finditer(text):
        for index in sorted(set(owner[match.start() : match.end()])):
            words_by_token[index].append(match.group())
    return words_by_token
