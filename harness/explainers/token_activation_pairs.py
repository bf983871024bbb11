"""A language model shown every token of the train excerpts with its level: the form of Bills et al. (2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.levels import shown_tokens, tokens_to_repeat
from harness.types import Evidence


@dataclass(eq=False)
class TokenActivationPairs(Asking):
    """Explainer that shows one token and its level a line, and repeats the tokens above 0 if they are few."""

    prompt: str = "token_activation_pairs-v1"

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the excerpts [excerpts][tokens](token, level), and the tokens to repeat."""
        excerpts = shown_tokens(evidence.excerpts)
        return {"excerpts": excerpts, "repeated": tokens_to_repeat(excerpts)}
