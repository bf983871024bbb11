"""A language model shown the train excerpts as text in which what fires is marked (after Lee et al., 2310.06200)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.asking import Asking
from harness.explainers.levels import LARGEST_LEVEL, shown
from harness.explainers.views import FIRING, marked
from harness.types import Evidence, NeuroglossError


@dataclass(eq=False)
class Highlight(Asking):
    """Puts marks around tokens of at least level ``threshold``."""

    prompt: str = "highlight-v1"
    threshold: int = FIRING

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold > LARGEST_LEVEL:
            raise NeuroglossError(f"threshold is {self.threshold}; write a level of at most {LARGEST_LEVEL}.")

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """The excerpts, each as one line of marked text."""
        return {"excerpts": [marked(excerpt, self.threshold) for excerpt in shown(evidence.excerpts)]}
