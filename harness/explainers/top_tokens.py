"""A language model shown the most-activating tokens of the train excerpts, each with the words around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.levels import shown_tokens
from harness.explainers.shared.views import strongest
from harness.types import Evidence


@dataclass(eq=False)
class TopTokens(Asking):
    """Explainer that shows the ``tokens`` different tokens on which the neuron fires most, in their contexts."""

    prompt: str = "top_tokens-v2"
    tokens: int = 15

    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """Return the tokens (token, level, context), strongest first; None if the neuron is silent."""
        firing = strongest(shown_tokens(evidence.excerpts))[: self.tokens]
        return {"tokens": [(fired.token, fired.level, fired.context) for fired in firing]} if firing else None
