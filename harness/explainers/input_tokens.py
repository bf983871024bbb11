"""A language model shown the tokens whose embedding excites the neuron: its weights, and no excerpt at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.explainers.asking import Asking
from harness.explainers.levels import levels
from harness.types import Evidence, OpenSubject


@dataclass(eq=False)
class InputTokens(Asking):
    """Shows the ``tokens`` tokens of the vocabulary on which the neuron fires most when each enters its layer alone."""

    prompt: str = "input_tokens-v1"
    tokens: int = 30
    subject: OpenSubject = field(kw_only=True)

    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """The tokens (token, level), strongest first; nothing where none excites it."""
        found = self.subject.input_tokens(evidence.neuron, self.tokens)
        values = [value for _, value in found]
        shown = zip((token for token, _ in found), levels(values, max(values, default=0.0)), strict=True)
        return {"tokens": list(shown)} if found else None
