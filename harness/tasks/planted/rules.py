"""What planted neurons compute, as functions of token ids: the truth that the weights are held against.

A text has *features*, each true or false at each token. A rule is a conjunction of features or of their negations, or
one of several such conjunctions that never hold together. The neuron's activation is the rule's strength where it
holds, and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from harness.types import FloatArray, Unit

BoolArray = npt.NDArray[np.bool_]
EARLY = 8
"""The number of positions at the beginning of a text at which the feature ``early`` is true."""
WEAKEST = 6.0
"""The least strength: from it on GELU returns its input, and 0 for minus it, both exactly in float32."""


class Source(StrEnum):
    """What a feature is about: the token itself or the one before it being of a set, its place, or a repetition.

    ``first`` is true at the first token of a text; ``early`` at the first eight; ``repeated`` at a token that has stood
    in the text before. The first token has no token before it.
    """

    TOKEN = "token"
    PREVIOUS = "previous"
    FIRST = "first"
    EARLY = "early"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of a text: its source and, for tokens, the name of their set."""

    source: Source
    tokens: str = ""


@dataclass(frozen=True, slots=True)
class Literal:
    """A feature, or its negation."""

    feature: Feature
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Conjunction:
    """Literals that must all hold, and the activation where they do."""

    literals: tuple[Literal, ...]
    strength: float


@dataclass(frozen=True, slots=True)
class PlantedNeuron:
    """A neuron and what is true of it.

    Attributes:
        unit: which.
        family: the class of its rule, such as ``bigram``.
        cases: the conjunctions on which it fires, of which at most one holds at a token; empty for a dead neuron.
        truth: the true explanation.
        near: near misses, which are false.
        promotes: the name of the set of tokens whose chance it raises; empty if it writes nothing.
        by_output: whether the truth is about what it promotes, and not about what it fires on.
    """

    unit: Unit
    family: str
    cases: tuple[Conjunction, ...]
    truth: str
    near: tuple[str, ...]
    promotes: str = ""
    by_output: bool = False


@dataclass(frozen=True, slots=True)
class Planted:
    """All planted neurons of a model, the sets of token ids that their rules name, and the size of its vocabulary."""

    neurons: tuple[PlantedNeuron, ...]
    sets: Mapping[str, frozenset[int]] = field(default_factory=dict)
    vocabulary: int = 0


def activations(neuron: PlantedNeuron, token_ids: Sequence[int], sets: Mapping[str, frozenset[int]]) -> FloatArray:
    """Return the activation of a planted neuron on each token of a text [tokens].

    Args:
        neuron: which.
        token_ids: of the whole text, from its first position on.
        sets: name -> token ids.
    """
    total = np.zeros(len(token_ids))
    for case in neuron.cases:
        holds = np.ones(len(token_ids), dtype=bool)
        for literal in case.literals:
            holds &= feature_values(literal.feature, token_ids, sets) == literal.holds
        total[holds] = case.strength
    return total


def feature_values(feature: Feature, token_ids: Sequence[int], sets: Mapping[str, frozenset[int]]) -> BoolArray:
    """Return whether a feature is true at each token of a text [tokens]."""
    places = range(len(token_ids))
    if feature.source is Source.TOKEN:
        return np.array([token_ids[place] in sets[feature.tokens] for place in places], dtype=bool)
    if feature.source is Source.PREVIOUS:
        return np.array([place > 0 and token_ids[place - 1] in sets[feature.tokens] for place in places], dtype=bool)
    if feature.source is Source.REPEATED:
        return np.array([token_ids[place] in token_ids[:place] for place in places], dtype=bool)
    return np.arange(len(token_ids)) < (1 if feature.source is Source.FIRST else EARLY)
