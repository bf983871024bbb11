"""A table of the mean activation on each token: all that the token alone can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.types import Evidence, Explanation, NeuroglossError, Role, TableKey


@dataclass(eq=False)
class TokenLookup:
    """Gives the table instead of a text, from the corpus without the valid and test excerpts.

    A token seen fewer than ``minimum_count`` times there is left to the neuron's mean.
    """

    minimum_count: int = 3
    role: Role = field(default=Role.CEILING, init=False)
    table_key: TableKey = field(default=TableKey.TOKEN, init=False)

    def __post_init__(self) -> None:
        if self.minimum_count < 1:
            raise NeuroglossError(f"minimum_count is {self.minimum_count}, but a mean needs at least 1 token.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One table for each neuron, in order."""
        return [
            Explanation(
                neuron=known.neuron,
                explainer="",
                table=self.table(known),
                default=known.mean,
                table_key=self.table_key,
            )
            for known in evidence
        ]

    def table(self, evidence: Evidence) -> Mapping[str, float]:
        """Mean activation by token."""
        return evidence.token_sums.means(self.minimum_count)
