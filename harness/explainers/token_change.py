"""A language model shown how amplifying the neuron changes the subject's next token on the train excerpts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.types import Evidence, NeuroglossError, OpenSubject, Replacement


@dataclass(eq=False)
class TokenChange(Asking):
    """Explainer that sets all activations to ``factor`` times the largest, and shows which next tokens change most.

    A factor of 0 silences the neuron. After the token-change view of Gur-Arieh et al. (2501.08319).
    """

    prompt: str = "token_change-v1"
    tokens: int = 15
    factor: float = 2.0
    subject: OpenSubject = field(kw_only=True)

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return the tokens that become more and less likely, most changed first, and whether the neuron is silenced.

        Raises:
            NeuroglossError: the excerpts hold no token ids, so the subject cannot be run on them.
        """
        effects = self.subject.changed_tokens(replacements(evidence, self.factor), self.tokens)
        return {
            "promoted": [token for token, _ in effects.promoted],
            "suppressed": [token for token, _ in effects.suppressed],
            "silenced": self.factor == 0,
        }


def replacements(evidence: Evidence, factor: float) -> list[Replacement]:
    """Return each train excerpt with ``factor`` times the largest activation over them at every scored position.

    Raises:
        NeuroglossError: an excerpt has no token ids.
    """
    value = factor * max((excerpt.maximum for excerpt in evidence.excerpts), default=0.0)
    for excerpt in evidence.excerpts:
        if not excerpt.token_ids:
            raise NeuroglossError(
                f"an excerpt of {evidence.unit} has no token ids, so the subject cannot be run on it; "
                "collect the task again, or leave token_change out."
            )
    return [
        Replacement(evidence.unit, excerpt.token_ids, (value,) * len(excerpt.tokens), excerpt.leading)
        for excerpt in evidence.excerpts
    ]
