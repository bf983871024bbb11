"""Test sentences of an explanation: parsed from a model's reply, run on the subject, and shown with marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.explainers.shared.levels import levels
from harness.explainers.shared.views import marked
from harness.types import Completion, Evidence, OpenSubject

LONGEST = 64
"""The largest number of tokens of a sentence; longer ones are truncated before they are run."""
_LINE = re.compile(r"\s*(yes|no)\s*:\s*(.*\S)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SentenceResult:
    """Result of a sentence: whether the neuron ``should`` fire, the largest ``level``, and the text with firing tokens
    marked."""

    should: bool
    level: int
    text: str


def parse_sentences(reply: Completion | None) -> list[tuple[bool, str]]:
    """Return (should fire, sentence) for each line of a reply that begins with ``yes:`` or ``no:``."""
    lines = reply.text.splitlines() if reply is not None else []
    matches = (_LINE.fullmatch(line) for line in lines)
    return [(match[1].lower() == "yes", match[2]) for match in matches if match is not None]


def run_sentences(
    subject: OpenSubject, evidence: Evidence, sentences: Sequence[tuple[bool, str]]
) -> list[SentenceResult]:
    """Run sentences on the subject; level 10 is the largest activation of the neuron's train excerpts.

    Leading positions are left out as in the excerpts; a sentence with no other tokens is passed over.
    """
    leading = max((excerpt.leading for excerpt in evidence.excerpts), default=0)
    encoded = [(should, subject.encode(text)[:LONGEST]) for should, text in sentences]
    inputs = [(should, ids) for should, ids in encoded if len(ids) > leading]
    if not inputs:
        return []
    largest = max((excerpt.maximum for excerpt in evidence.excerpts), default=0.0)
    activations = subject.activations(evidence.unit, [ids for _, ids in inputs])
    return [
        _result(
            should, tuple(map(subject.token_text, ids)), (0,) * leading + levels(values[leading:].tolist(), largest)
        )
        for (should, ids), values in zip(inputs, activations, strict=True)
    ]


def _result(should: bool, tokens: Sequence[str], token_levels: Sequence[int]) -> SentenceResult:
    text = marked(tuple(zip(tokens, token_levels, strict=True)), threshold=1)
    return SentenceResult(should, max(token_levels), text)
