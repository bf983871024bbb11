"""A language model shown the train excerpts as plain text, and asked what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.asking import Asking
from harness.explainers.views import text
from harness.types import Evidence


@dataclass(eq=False)
class Summary(Asking):
    """Shows no activation at all: what the texts have in common is all there is to see."""

    prompt: str = "summary-v1"

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """The excerpts, each as one line of text."""
        return {"excerpts": [text(excerpt.tokens) for excerpt in evidence.excerpts]}
