"""A language model shown marked train excerpts, and after them a summary of what is marked (after 2310.06200)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.highlight import Highlight
from harness.explainers.levels import shown
from harness.explainers.views import strongest
from harness.types import Evidence


@dataclass(eq=False)
class HighlightSummary(Highlight):
    """Adds to the marked excerpts the different tokens that are marked, strongest first."""

    prompt: str = "highlight_summary-v1"

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """The excerpts, each as one line of marked text, and the marked tokens (token, level)."""
        found = strongest(shown(evidence.excerpts))
        return {
            **super().variables(evidence),
            "tokens": [(one.token, one.level) for one in found if one.level >= self.threshold],
        }
