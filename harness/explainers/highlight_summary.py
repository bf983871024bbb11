"""A language model shown marked train excerpts, and then a list of the marked tokens (after 2310.06200)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.highlight import Highlight
from harness.explainers.shared.levels import shown_tokens
from harness.explainers.shared.views import strongest
from harness.types import Evidence


@dataclass(eq=False)
class HighlightSummary(Highlight):
    """Explainer that shows marked excerpts and the different tokens that are marked, strongest first."""

    prompt: str = "highlight_summary-v1"

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the excerpts, each as one line of marked text, and the marked tokens (token, level)."""
        firing = strongest(shown_tokens(evidence.excerpts))
        return {
            **super().variables(evidence),
            "tokens": [(fired.token, fired.level) for fired in firing if fired.level >= self.threshold],
        }
