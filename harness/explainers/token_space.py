"""A language model shown the tokens on which a neuron fires most on average over the corpus, without context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.shared.asking import Asking
from harness.explainers.shared.levels import levels
from harness.types import Evidence, NeuroglossError, TokenSums


@dataclass(eq=False)
class TokenSpace(Asking):
    """Explainer that shows at most ``tokens`` tokens whose mean activation is at least ``share`` of the largest.

    Means are over the corpus without valid and test excerpts. A token with fewer than ``minimum_count`` occurrences
    there is left out.
    """

    prompt: str = "token_space-v1"
    tokens: int = 30
    share: float = 0.2
    minimum_count: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise NeuroglossError(f"share is {self.share}; write a share above 0 and at most 1.")

    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        """Return the tokens with the level of the mean (token, level), highest first; None if no mean is above 0."""
        strongest = highest(evidence.token_sums, self.minimum_count, self.share)[: self.tokens]
        means = [mean for _, mean in strongest]
        pairs = zip((token for token, _ in strongest), levels(means, max(means, default=0.0)), strict=True)
        return {"tokens": list(pairs)} if strongest else None


def highest(sums: TokenSums, minimum_count: int, share: float) -> list[tuple[str, float]]:
    """Return (token, mean) where the mean is above 0 and at least ``share`` of the largest, highest first."""
    means = sums.means(minimum_count)
    threshold = share * max(means.values(), default=0.0)
    return [(token, mean) for token, mean in means.items() if mean > 0 and mean >= threshold]
