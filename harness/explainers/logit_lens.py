"""A language model shown the tokens that the neuron's output direction promotes and suppresses: no excerpt at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.explainers.asking import Asking
from harness.types import Evidence, OpenSubject


@dataclass(eq=False)
class LogitLens(Asking):
    """Shows ``tokens`` tokens of either sign, by the logit lens (the output view of Gur-Arieh et al., 2501.08319)."""

    prompt: str = "logit_lens-v1"
    tokens: int = 15
    subject: OpenSubject = field(kw_only=True)

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """The promoted and the suppressed tokens, the strongest first."""
        effects = self.subject.output_tokens(evidence.neuron, self.tokens)
        return {
            "promoted": [token for token, _ in effects.promoted],
            "suppressed": [token for token, _ in effects.suppressed],
        }
