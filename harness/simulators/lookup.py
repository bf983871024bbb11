"""Reads the activation of each token from a table: how an explanation that is a table is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.simulators.levels import nothing
from harness.types import NeuroglossError, Outcome, Query, Simulation


@dataclass(eq=False)
class Lookup:
    """Gives each token the activation that the explanation's table has for its key, else the table's default."""

    name: str = field(default="lookup", init=False)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """One simulation for each query, in order, in units of activations."""
        return [_simulation(query) for query in queries]


def _simulation(query: Query) -> Simulation:
    explanation = query.explanation
    if explanation.outcome is not Outcome.OK:
        return nothing(len(query.tokens), explanation.outcome)
    if explanation.table is None:
        raise NeuroglossError(
            f"the explanation of {explanation.neuron} is a text, not a table; choose a simulator that reads texts."
        )
    table, default = explanation.table, explanation.default
    keys = explanation.table_key.of(query.tokens)
    expected = tuple(default if key is None else table.get(key, default) for key in keys)
    return Simulation(expected=expected, units="activations")
