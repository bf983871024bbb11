"""A language model shown what amplifying the neuron does to the subject's next token, on the train excerpts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.explainers.asking import Asking
from harness.types import Evidence, NeuroglossError, OpenSubject, Replacement


@dataclass(eq=False)
class TokenChange(Asking):
    """Replaces the activation at every position by ``factor`` times the largest one, and shows which tokens gain.

    A factor of 0 silences the neuron instead. After the token-change view of Gur-Arieh et al. (2501.08319).
    """

    prompt: str = "token_change-v1"
    tokens: int = 15
    factor: float = 2.0
    subject: OpenSubject = field(kw_only=True)

    def variables(self, evidence: Evidence) -> Mapping[str, Any]:
        """The tokens that become likelier and less likely, the most changed first, and whether the neuron is silenced.

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
    """Each train excerpt with ``factor`` times the largest activation over them at every scored position."""
    value = factor * max((excerpt.maximum for excerpt in evidence.excerpts), default=0.0)
    for excerpt in evidence.excerpts:
        if not excerpt.token_ids:
            raise NeuroglossError(
                f"an excerpt of {evidence.neuron} has no token ids, so the subject cannot be run on it; "
                "collect the task again, or leave token_change out."
            )
    return [
        Replacement(evidence.neuron, one.token_ids, (value,) * len(one.tokens), one.leading)
        for one in evidence.excerpts
    ]
