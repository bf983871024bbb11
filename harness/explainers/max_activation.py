"""The most-activating tokens as the explanation: a baseline without a model, hard for a weak model to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.models.prompts import visible
from harness.types import Evidence, Excerpt, Explanation, NeuroglossError, Outcome, Role


@dataclass(eq=False)
class MaxActivation:
    """Explainer that names the ``tokens`` different tokens of the train excerpts on which the neuron fires most."""

    tokens: int = 3
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise NeuroglossError(f"tokens is {self.tokens}, but an explanation names at least 1.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each neuron, in order; empty if no activation is above 0."""
        return [self._explanation(item) for item in evidence]

    def _explanation(self, evidence: Evidence) -> Explanation:
        names = strongest(evidence.excerpts)[: self.tokens]
        return Explanation(
            unit=evidence.unit,
            text=sentence(names) if names else "",
            outcome=Outcome.OK if names else Outcome.EMPTY,
        )


def sentence(tokens: Sequence[str]) -> str:
    """Return an explanation that names tokens, in the wording common to all such explainers."""
    return "the token " + " or ".join(f'"{visible(token)}"' for token in tokens)


def strongest(excerpts: Sequence[Excerpt]) -> list[str]:
    """Return the different tokens that fire, ordered by largest activation, largest first, ties by text."""
    largest: dict[str, float] = {}
    for excerpt in excerpts:
        for token, activation in zip(excerpt.tokens[excerpt.scored], excerpt.activations[excerpt.scored], strict=True):
            largest[token] = max(activation, largest.get(token, 0.0))
    firing = ((-activation, token) for token, activation in largest.items() if activation > 0)
    return [token for _, token in sorted(firing)]
