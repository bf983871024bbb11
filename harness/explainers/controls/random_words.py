"""Random tokens, worded like the most-activating ones: a floor with a specific but unrelated explanation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.explainers.max_activation import sentence
from harness.types import Evidence, Explanation, NeuroglossError, Outcome, Role


@dataclass(eq=False)
class RandomWords:
    """Explainer that names ``tokens`` different tokens of the corpus, drawn uniformly by ``seed`` and neuron."""

    tokens: int = 3
    seed: int = 0
    role: Role = field(default=Role.FLOOR, init=False)

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise NeuroglossError(f"tokens is {self.tokens}, but an explanation names at least 1.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each neuron, in order; empty if the corpus has no token to name."""
        return [self._explanation(item) for item in evidence]

    def _explanation(self, evidence: Evidence) -> Explanation:
        sums = evidence.token_sums
        words = sorted(sums.tokens[place] for place in np.flatnonzero(sums.counts > 0) if sums.tokens[place].strip())
        stream = hashlib.sha256(f"{self.seed} {evidence.unit}".encode()).digest()[:8]
        places = np.random.default_rng(int.from_bytes(stream)).permutation(len(words))[: self.tokens]
        if not len(places):
            return Explanation(evidence.unit, outcome=Outcome.EMPTY)
        return Explanation(evidence.unit, text=sentence([words[place] for place in places]))
