"""Concepts: an explanation in many wordings, the rule that says where it applies, and concepts nearly the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.puzzles.rules import Rule

Near = Callable[[random.Random], "Concept"]
"""Makes a concept that is easily taken for another one."""

Retold = Callable[[str, random.Random], str]
"""Changes a text so that a concept may apply in it."""


@dataclass(frozen=True, eq=False)
class Concept:
    """What an explanation can say.

    Attributes:
        family: the kind of rule; whole families are held out from training.
        wordings: ways to say it, any of which can be the explanation.
        rule: where it applies.
        anchors: words, in lower case, near which it may apply; empty where any text may do.
        near: makers of concepts that are nearly the same.
        listed: words that fit and can stand in a list of words; empty where the rule is not about words.
        own_texts: texts of its own in which it applies, whole sentences.
        whole: whether it only makes sense in a text that begins with a sentence.
        retold: changes a text so that the concept may apply in it, where few texts are such as they stand.
        listing: share of its texts that are lists of words, where it has ``listed`` words.
        tokens: for a concept that speaks of the model's tokens, not of words: exact token texts, each with its level.
    """

    family: str
    wordings: tuple[str, ...]
    rule: Rule
    anchors: frozenset[str] = frozenset()
    near: tuple[Near, ...] = ()
    listed: tuple[str, ...] = ()
    own_texts: tuple[str, ...] = ()
    whole: bool = False
    retold: Retold | None = None
    listing: float = 0.22
    tokens: dict[str, float] = field(default_factory=dict)

    def named(self, family: str) -> Concept:
        """The same concept as one of another family."""
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
    """One explanation of a concept: one of its wordings, now and then in a sentence about a neuron, cases varied."""
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
