"""A language model shown the tokens of the train excerpts, each with its level (Bills et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.levels import shown_tokens, tokens_to_repeat
from harness.explainers.shared.views import focused, strongest, with_levels
from harness.types import Evidence


@dataclass(eq=False)
class TokenActivation(Asking):
    """Explainer that shows which tokens fire and how strongly.

    ``token_activation-v2`` shows the ``tokens`` different tokens on which the neuron fires most, in their contexts, and
    then the text around all that fire, with levels; ``token_activation-v1`` is the paper's form, one token and its
    level a line.
    """

    prompt: str = "token_activation-v2"
    tokens: int = 10

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the excerpts [excerpts][tokens](token, level), the tokens to repeat, what is around those that
        fire in each excerpt as a line of text with levels, and the strongest tokens (token, level, context)."""
        excerpts = shown_tokens(evidence.excerpts)
        return {
            "excerpts": excerpts,
            "repeated": tokens_to_repeat(excerpts),
            "lines": [with_levels(focused(excerpt)) for excerpt in excerpts],
            "tokens": [(fired.token, fired.level, fired.context) for fired in strongest(excerpts)[: self.tokens]],
        }
