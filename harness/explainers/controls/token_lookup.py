"""A table of the mean activation by token: a method without words, which looks at single tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.types import Evidence, Explanation, NeuroglossError, Role, TableKey


@dataclass(eq=False)
class TokenLookup:
    """Explainer that gives the table instead of a text, from the corpus without the valid and test excerpts.

    A token that occurs there fewer than ``minimum_count`` times gets the neuron's mean.
    """

    minimum_count: int = 3
    role: Role = field(default=Role.TABLE, init=False)
    table_key: TableKey = field(default=TableKey.TOKEN, init=False)

    def __post_init__(self) -> None:
        if self.minimum_count < 1:
            raise NeuroglossError(f"minimum_count is {self.minimum_count}, but a mean needs at least 1 token.")

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one table for each neuron, in order."""
        return [
            Explanation(
                unit=item.unit,
                table=self.table(item),
                default=item.mean,
                table_key=self.table_key,
            )
            for item in evidence
        ]

    def table(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the mean activation by token."""
        return evidence.token_sums.means(self.minimum_count)
