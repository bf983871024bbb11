"""Random levels: the floor of a board of simulators."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.simulators.levels import unasked
from harness.types import HIGHEST_LEVEL, Query, Simulation, SimulatorInfo


@dataclass(eq=False)
class Chance:
    """Simulator that draws a level uniformly from 0 to 10 for each token; equal queries get equal levels."""

    seed: int = 0

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is."""
        return SimulatorInfo("chance")

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Return one simulation for each query, in order, without probabilities; each depends on its query alone."""
        return [unasked(query) or self._simulation(query) for query in queries]

    def _simulation(self, query: Query) -> Simulation:
        key = repr((self.seed, query.explanation.text, query.tokens)).encode("utf-8", "surrogatepass")
        noise = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()))
        return Simulation(tuple(noise.uniform(0.0, HIGHEST_LEVEL, len(query.tokens)).tolist()))
