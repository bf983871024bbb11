"""A language model shown marked train excerpts, and then a list of the marked tokens (after 2310.06200)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.highlight import Highlight
from harness.explainers.shared.levels import shown_tokens
from harness.explainers.shared.views import focused, marked, strongest
from harness.types import Evidence


@dataclass(eq=False)
class HighlightSummary(Highlight):
    """Explainer that shows the text around what is marked, and the different tokens that are marked, strongest
    first."""

    prompt: str = "highlight_summary-v2"

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return what is around the marks of each excerpt as one line, and the marked tokens (token, level)."""
        excerpts = shown_tokens(evidence.excerpts)
        firing = strongest(excerpts)
        return {
            "excerpts": [marked(focused(excerpt, self.threshold), self.threshold) for excerpt in excerpts],
            "tokens": [(fired.token, fired.level) for fired in firing if fired.level >= self.threshold],
        }
