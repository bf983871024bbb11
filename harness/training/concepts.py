"""Concepts: an explanation in many wordings, the rule that says where it applies, and its near misses."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.tasks.puzzles.rules import Rule
from harness.training.scenes import Kind

Near = Callable[[random.Random], "Concept"]
"""Makes a near miss of a concept: one that is easily confused with it."""

Retold = Callable[[str, random.Random], str]
"""Changes a text so that a concept may apply in it; the change is drawn."""


@dataclass(frozen=True, eq=False)
class Concept:
    """The meaning of an explanation.

    Attributes:
        family: the kind of rule; a family is either trained or held out.
        wordings: explanations that mean the concept.
        rule: gives each word of a text its level.
        anchors: words, in lower case, near which it may apply; empty if it may apply in any text.
        near: makers of near misses.
        members: words to which the rule applies, for lists of words; empty if the rule is not about single words.
        own_texts: whole sentences, written for the concept, in which it applies.
        sentence_start: whether its texts must begin with the first word of a sentence.
        retold: changes a text so that the concept may apply in it, for a concept that seldom applies in prose.
        list_share: share of its texts that are lists of words, if it has ``members``.
        tokens: the level of each exact token text, for a concept about tokens of the model in place of words.
        kind: what is marked in scenes, for a concept that is read on scenes alone; its rule is not used.
    """

    family: str
    wordings: tuple[str, ...]
    rule: Rule
    anchors: frozenset[str] = frozenset()
    near: tuple[Near, ...] = ()
    members: tuple[str, ...] = ()
    own_texts: tuple[str, ...] = ()
    sentence_start: bool = False
    retold: Retold | None = None
    list_share: float = 0.22
    tokens: dict[str, float] = field(default_factory=dict)
    kind: Kind | None = None

    def named(self, family: str) -> Concept:
        """Return the concept as a member of another family."""
        return replace(self, family=family)


WRAPPERS: Sequence[str] = (
    *["{}"] * 12,
    "{}.",
    "This neuron fires on {}.",
    "The neuron responds to {}.",
    "Activates on {}.",
    "fires for {}",
    "It looks for {}",
    "mentions of {}",
    "the neuron activates when the text has {}",
    "mostly {}",
    "detects {}",
    "{}, wherever they occur in the text",
    "Looking for {}, in any kind of text.",
    "tokens that belong to {}",
    "a feature for {}",
    "strong activation on {} and none elsewhere",
    "words or tokens: {}",
    "The main thing this neuron does is find {}.",
)


def worded(concept: Concept, chance: random.Random) -> str:
    """Return an explanation of a concept: a wording of it, sometimes inside a sentence about a neuron, in any case."""
    text = chance.choice(concept.wordings)
    if len(text) < 70:
        text = chance.choice(WRAPPERS).format(text)
    draw = chance.random()
    if draw < 0.2:
        text = text[:1].upper() + text[1:]
    elif draw < 0.3:
        text = text.rstrip(".") + "."
    elif draw < 0.36:
        text = " " + text
    return text
