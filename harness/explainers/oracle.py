"""The real activations, rounded down to levels: what an explanation would score that lost nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.explainers.levels import LARGEST_LEVEL, shown
from harness.types import Explanation, Role, TableKey, Truth


@dataclass(eq=False)
class Oracle:
    """Is told the excerpts that it is scored on: the ceiling of all explainers, whatever the simulator."""

    role: Role = field(default=Role.CEILING, init=False)

    def recall(self, truths: Sequence[Truth]) -> list[Explanation]:
        """One table for each neuron, in order: the level of each token by its place, in units of activations."""
        return [
            Explanation(neuron=truth.neuron, explainer="", table=table(truth), table_key=TableKey.PLACE)
            for truth in truths
        ]


def table(truth: Truth) -> dict[str, float]:
    """``level * m / 10`` at each place, with m the largest activation over all the excerpts; 0 at leading places."""
    largest = max((excerpt.maximum for excerpt in truth.excerpts), default=0.0)
    return {
        key: level * largest / LARGEST_LEVEL
        for excerpt in shown(truth.excerpts)
        for key, (_, level) in zip(TableKey.PLACE.of([token for token, _ in excerpt]), excerpt, strict=True)
        if key is not None
    }
