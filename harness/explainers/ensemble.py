"""A language model shown both sides of a neuron in one prompt: tokens that excite it, and tokens it promotes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.explainers.top_tokens import TopTokens
from harness.types import Evidence, OpenSubject


@dataclass(eq=False)
class Ensemble(TopTokens):
    """Explainer that shows the most-activating tokens, and ``outputs`` tokens of either sign of the logit lens.

    One prompt for both views is the raw ensemble of Gur-Arieh et al. (2501.08319); :mod:`harness.explainers.joined`
    is the concatenated one.
    """

    prompt: str = "ensemble-v1"
    outputs: int = 10
    subject: OpenSubject = field(kw_only=True)

    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """Return the most-activating tokens (token, level, context), and the promoted and suppressed ones."""
        inputs = super().variables(evidence) or {"tokens": []}
        effects = self.subject.output_tokens(evidence.unit, self.outputs)
        return {
            **inputs,
            "promoted": [token for token, _ in effects.promoted],
            "suppressed": [token for token, _ in effects.suppressed],
        }
