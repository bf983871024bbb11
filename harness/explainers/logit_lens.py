"""A language model shown the tokens that the neuron's output direction promotes and suppresses, without excerpts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.types import Evidence, OpenSubject


@dataclass(eq=False)
class LogitLens(Asking):
    """Explainer that shows ``tokens`` tokens of either sign of the logit lens (Gur-Arieh et al., 2501.08319)."""

    prompt: str = "logit_lens-v1"
    tokens: int = 15
    subject: OpenSubject = field(kw_only=True)

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the promoted and the suppressed tokens, the strongest first."""
        effects = self.subject.output_tokens(evidence.unit, self.tokens)
        return {
            "promoted": [token for token, _ in effects.promoted],
            "suppressed": [token for token, _ in effects.suppressed],
        }
