"""A language model shown the most-activating tokens of the train excerpts, each with the words around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.asking import Asking
from harness.explainers.levels import shown
from harness.explainers.views import strongest
from harness.types import Evidence


@dataclass(eq=False)
class TopTokens(Asking):
    """Shows the ``tokens`` different tokens on which the neuron fires most, each where it fires most."""

    prompt: str = "top_tokens-v1"
    tokens: int = 15

    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """The tokens (token, level, context), strongest first; nothing where the neuron is silent."""
        found = strongest(shown(evidence.excerpts))[: self.tokens]
        return {"tokens": [(one.token, one.level, one.context) for one in found]} if found else None
