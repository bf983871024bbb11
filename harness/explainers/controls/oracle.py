"""The real activations, rounded down to levels: the score of an explanation that loses nothing but this rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.explainers.shared.levels import shown_tokens
from harness.types import HIGHEST_LEVEL, Explanation, Role, TableKey, Truth


@dataclass(eq=False)
class Oracle:
    """Explainer that sees the excerpts on which it is scored: the ceiling of all explainers, with any simulator."""

    role: Role = field(default=Role.CEILING, init=False)

    def recall(self, truths: Sequence[Truth]) -> list[Explanation]:
        """Return one table for each neuron, in order: the level of each token by its place, in activation units."""
        return [Explanation(unit=truth.unit, table=table(truth), table_key=TableKey.PLACE) for truth in truths]


def table(truth: Truth) -> dict[str, float]:
    """Return ``level * m / 10`` by place, where m is the largest activation of all excerpts; 0 at leading places."""
    largest = max((excerpt.maximum for excerpt in truth.excerpts), default=0.0)
    return {
        key: level * largest / HIGHEST_LEVEL
        for excerpt in shown_tokens(truth.excerpts)
        for key, (_, level) in zip(TableKey.PLACE.of([token for token, _ in excerpt]), excerpt, strict=True)
        if key is not None
    }
