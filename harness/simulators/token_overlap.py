"""Fires where a word of the text occurs in the explanation: no model, and what any simulator should beat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.simulators.levels import unasked
from harness.types import Query, Simulation

HIGHEST = 10.0
_WORD = re.compile(r"\w+")
_ENDINGS = ("ing", "ed", "es", "s", "e")
_STEM = 3  # letters that must be left of a word
_WITHOUT_MEANING = """
a an the this that these those it its and or but not no as at by for from in into of off on onto out
over to up with about after before between is are was were be been has have had do does did can could will would may
might any all every each some such other than then which who whom whose what when where how one only also e g i words
tokens texts sentences neurons mentions references fires activates describes related contains like"""


@dataclass(eq=False)
class TokenOverlap:
    """Level 10 on each token of a word that, in lower case and without its ending, occurs in the explanation.

    Words without a meaning of their own, and those that every explanation may hold ("words", "tokens"), are left out.
    """

    name: str = field(default="token_overlap", init=False)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """One simulation for each query, in order, without probabilities."""
        return [unasked(query) or _simulation(query) for query in queries]


def stem(word: str) -> str:
    """A word in lower case without one of a few English endings, where at least three letters are left."""
    lower = word.lower()
    for ending in _ENDINGS:
        if lower.endswith(ending) and len(lower) - len(ending) >= _STEM:
            return lower.removesuffix(ending)
    return lower


_EMPTY = frozenset(map(stem, _WITHOUT_MEANING.split()))


def _simulation(query: Query) -> Simulation:
    known = {stem(word) for word in _WORD.findall(query.explanation.text)} - _EMPTY
    return Simulation(tuple(HIGHEST * any(stem(word) in known for word in words) for words in _words(query.tokens)))


def _words(tokens: Sequence[str]) -> list[list[str]]:
    """The words that each token is a part of: a word that is cut into several tokens belongs to each of them."""
    found: list[list[str]] = [[] for _ in tokens]
    text = "".join(tokens)
    owner = [index for index, token in enumerate(tokens) for _ in token]
    for match in _WORD.finditer(text):
        for index in sorted(set(owner[match.start() : match.end()])):
            found[index].append(match.group())
    return found
