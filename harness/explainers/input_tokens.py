"""A language model shown the tokens whose embedding excites the neuron: from weights, without excerpts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.levels import levels
from harness.types import Evidence, OpenSubject


@dataclass(eq=False)
class InputTokens(Asking):
    """Explainer that shows the ``tokens`` tokens on which the neuron fires most when each enters its layer alone."""

    prompt: str = "input_tokens-v1"
    tokens: int = 30
    subject: OpenSubject = field(kw_only=True)

    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """Return the tokens (token, level), strongest first; None if no token excites the neuron."""
        inputs = self.subject.input_tokens(evidence.unit, self.tokens)
        values = [value for _, value in inputs]
        pairs = zip((token for token, _ in inputs), levels(values, max(values, default=0.0)), strict=True)
        return {"tokens": list(pairs)} if inputs else None
