"""A language model shown the tokens of the train excerpts, each with its level (Bills et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.asking import Asking
from harness.explainers.levels import repeated, shown
from harness.types import Evidence


@dataclass(eq=False)
class TokenActivation(Asking):
    """Shows every token on a line of its own, with its level; those above 0 once more where they are few."""

    prompt: str = "token_activation-v1"

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """The excerpts [excerpts][tokens](token, level), and the tokens to repeat."""
        excerpts = shown(evidence.excerpts)
        return {"excerpts": excerpts, "repeated": repeated(excerpts)}
