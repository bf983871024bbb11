"""A scorer that depends on the simulator of a row: to ask again about repeats, or about a few rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.types import Scored, Scorer, ScorerInfo, Scores, SimulatedExplanation


@dataclass(frozen=True, eq=False)
class BySimulator:
    """Scorer that hands each explanation to the scorer of its simulator; without one, it has no scores.

    Attributes:
        scorer: the run's own, which describes all of them.
        by_simulator: the scorer of each simulator that has one.
    """

    scorer: Scorer
    by_simulator: Mapping[str, Scorer]

    def describe(self) -> ScorerInfo:
        """Return which scorer this is."""
        return self.scorer.describe()

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order; each scorer is asked about all of its own in one call."""
        scored = [Scored(Scores({})) for _ in explanations]
        for scorer in {id(scorer): scorer for scorer in self.by_simulator.values()}.values():
            places = [
                place
                for place, explanation in enumerate(explanations)
                if self.by_simulator.get(explanation.simulator) is scorer
            ]
            for place, item in zip(places, scorer.score([explanations[place] for place in places]), strict=True):
                scored[place] = item
        return scored
