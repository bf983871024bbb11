"""Sentences that put an explanation to the test: read from a model's reply, run on the subject, shown with marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.explainers.levels import levels
from harness.explainers.views import marked
from harness.types import Completion, Evidence, OpenSubject

LONGEST = 64
"""Tokens of a sentence that are run on the subject; the rest is cut off."""
_LINE = re.compile(r"\s*(yes|no)\s*:\s*(.*\S)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tried:
    """A sentence on the subject: whether the neuron ``should`` fire, the largest ``level`` it reached, and the text
    with what fires marked."""

    should: bool
    level: int
    text: str


def parsed(reply: Completion | None) -> list[tuple[bool, str]]:
    """The sentences in a reply, each with whether it should fire: the lines that begin with ``yes:`` or ``no:``."""
    lines = reply.text.splitlines() if reply is not None else []
    found = (_LINE.fullmatch(line) for line in lines)
    return [(match[1].lower() == "yes", match[2]) for match in found if match is not None]


def tried(subject: OpenSubject, known: Evidence, sentences: Sequence[tuple[bool, str]]) -> list[Tried]:
    """What the neuron does on each sentence, on the scale of its train excerpts: 10 is their largest activation.

    Leading positions are left out as in the excerpts; a sentence of no more tokens than these is passed over.
    """
    leading = max((excerpt.leading for excerpt in known.excerpts), default=0)
    encoded = [(should, subject.encode(text)[:LONGEST]) for should, text in sentences]
    asked = [(should, ids) for should, ids in encoded if len(ids) > leading]
    if not asked:
        return []
    largest = max((excerpt.maximum for excerpt in known.excerpts), default=0.0)
    found = subject.activations(known.neuron, [ids for _, ids in asked])
    return [
        _tried(should, tuple(map(subject.token_text, ids)), (0,) * leading + levels(values[leading:].tolist(), largest))
        for (should, ids), values in zip(asked, found, strict=True)
    ]


def _tried(should: bool, tokens: Sequence[str], scaled: Sequence[int]) -> Tried:
    return Tried(should, max(scaled), marked(tuple(zip(tokens, scaled, strict=True)), threshold=1))
