"""Noise: the floor of a board of simulators."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.simulators.levels import unasked
from harness.types import Query, Simulation

HIGHEST = 10.0


@dataclass(eq=False)
class Chance:
    """A level drawn evenly from 0 to 10 for each token; the same question always gets the same noise."""

    seed: int = 0
    name: str = field(default="chance", init=False)

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """One simulation for each query, in order, whatever order they come in; without probabilities."""
        return [unasked(query) or self._simulation(query) for query in queries]

    def _simulation(self, query: Query) -> Simulation:
        asked = repr((self.seed, query.explanation.text, query.tokens)).encode("utf-8", "surrogatepass")
        noise = np.random.default_rng(int.from_bytes(hashlib.sha256(asked).digest()))
        return Simulation(tuple(noise.uniform(0.0, HIGHEST, len(query.tokens)).tolist()))
