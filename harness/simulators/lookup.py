"""Simulator of explanations that are tables: it looks up the activation of each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.simulators.levels import missing_simulation
from harness.types import LOOKUP, NeuroglossError, Outcome, Query, Simulation, SimulatorInfo


@dataclass(eq=False)
class Lookup:
    """Simulator that gives each token the activation of its key in the explanation's table, else the default."""

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is."""
        return SimulatorInfo(LOOKUP)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return one simulation for each query, in order, in activation units."""
        return [_simulation(query) for query in queries]


def _simulation(query: Query) -> Simulation:
    explanation = query.explanation
    if explanation.outcome is not Outcome.OK:
        return missing_simulation(len(query.tokens), explanation.outcome)
    if explanation.table is None:
        raise NeuroglossError(
            f"the explanation of {explanation.unit} is a text, not a table; choose a simulator that reads texts."
        )
    table, default = explanation.table, explanation.default
    keys = explanation.table_key.of(query.tokens)
    expected = tuple(default if key is None else table.get(key, default) for key in keys)
    return Simulation(expected=expected, units="activations")
