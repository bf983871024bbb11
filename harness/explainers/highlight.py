"""A language model shown the train excerpts with the firing tokens marked (after Lee et al., 2310.06200)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.levels import shown_tokens
from harness.explainers.shared.views import FIRING, marked
from harness.types import HIGHEST_LEVEL, Evidence, NeuroglossError


@dataclass(eq=False)
class Highlight(Asking):
    """Explainer that marks the tokens of at least level ``threshold``."""

    prompt: str = "highlight-v2"
    threshold: int = FIRING

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold > HIGHEST_LEVEL:
            raise NeuroglossError(f"threshold is {self.threshold}; write a level of at most {HIGHEST_LEVEL}.")

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the excerpts, each as one line of marked text."""
        return {"excerpts": [marked(excerpt, self.threshold) for excerpt in shown_tokens(evidence.excerpts)]}
