"""A language model shown the tokens on which a neuron fires most, and the text around all that fire, with levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.levels import shown_tokens
from harness.explainers.shared.views import focused, strongest, with_levels
from harness.types import Evidence


@dataclass(eq=False)
class TokenActivation(Asking):
    """Explainer that shows the ``tokens`` different tokens on which the neuron fires most, in their contexts, and then
    the text around all that fire, with the level of each."""

    prompt: str = "token_activation-v2"
    tokens: int = 10

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what is around those that fire in each excerpt as a line of text with levels, and the strongest tokens
        (token, level, context)."""
        excerpts = shown_tokens(evidence.excerpts)
        return {
            "lines": [with_levels(focused(excerpt)) for excerpt in excerpts],
            "tokens": [(fired.token, fired.level, fired.context) for fired in strongest(excerpts)[: self.tokens]],
        }
