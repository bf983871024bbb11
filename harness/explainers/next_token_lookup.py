"""A table of the mean activation on each token by the token after it: all that the next token alone can tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.types import Evidence, Excerpt, Explanation, NeuroglossError, Role, TableKey


@dataclass(eq=False)
class NextTokenLookup:
    """Gives the table instead of a text: a neuron that predicts what comes next does well by it.

    A task holds sums by token, and none by next token, so the table is made of the train excerpts alone. What comes
    next there fewer than ``minimum_count`` times, or never, is left to the neuron's mean.
    """

    minimum_count: int = 1
    role: Role = field(default=Role.CEILING, init=False)

    def __post_init__(self) -> None:
        if self.minimum_count < 1:
            raise NeuroglossError(f"minimum_count is {self.minimum_count}, but a mean needs at least 1 token.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One table for each neuron, in order."""
        return [
            Explanation(
                neuron=known.neuron,
                explainer="",
                table=means(known.excerpts, self.minimum_count),
                default=known.mean,
                table_key=TableKey.NEXT_TOKEN,
            )
            for known in evidence
        ]


def means(excerpts: Sequence[Excerpt], minimum_count: int) -> dict[str, float]:
    """Mean activation before each token that stands after a scored one, largest first, ties by text."""
    found: dict[str, list[float]] = defaultdict(list)
    for excerpt in excerpts:
        keys = TableKey.NEXT_TOKEN.of(excerpt.tokens)
        for key, activation in zip(keys[excerpt.scored], excerpt.activations[excerpt.scored], strict=True):
            if key is not None:
                found[key].append(activation)
    table = {key: sum(values) / len(values) for key, values in found.items() if len(values) >= minimum_count}
    return dict(sorted(table.items(), key=lambda pair: (-pair[1], pair[0])))
