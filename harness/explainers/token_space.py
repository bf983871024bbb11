"""A language model shown the tokens on which a neuron fires most on average over the corpus, out of context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explainers.asking import Asking
from harness.explainers.levels import levels
from harness.types import Evidence, NeuroglossError, TokenSums


@dataclass(eq=False)
class TokenSpace(Asking):
    """Shows at most ``tokens`` tokens: those whose mean activation is at least ``share`` of the largest one.

    A token seen fewer than ``minimum_count`` times in the corpus, cleared of valid and test excerpts, is left out.
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
        """The tokens, each with the level of its mean (token, level), highest first; nothing if no mean is above 0."""
        found = highest(evidence.token_sums, self.minimum_count, self.share)[: self.tokens]
        means = [mean for _, mean in found]
        shown = zip((token for token, _ in found), levels(means, max(means, default=0.0)), strict=True)
        return {"tokens": list(shown)} if found else None


def highest(sums: TokenSums, minimum_count: int, share: float) -> list[tuple[str, float]]:
    """The tokens whose mean activation is above 0 and at least ``share`` of the largest, with it, highest first."""
    means = sums.means(minimum_count)
    least = share * max(means.values(), default=0.0)
    return [(token, mean) for token, mean in means.items() if mean > 0 and mean >= least]
