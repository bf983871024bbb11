"""A language model shown the train excerpts as plain text, and asked what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.views import text
from harness.types import Evidence


@dataclass(eq=False)
class Summary(Asking):
    """Explainer that shows the texts without activations."""

    prompt: str = "summary-v2"

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the excerpts, each as one line of text."""
        return {"excerpts": [text(excerpt.tokens) for excerpt in evidence.excerpts]}
