"""A scorer for each simulator: each explanation gets the scores of its own, in order, by one call to each scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.studies.by_simulator import BySimulator
from harness.tasks.splits import deal
from harness.types import Explanation, Scored, Scorer, ScorerInfo, Scores, SimulatedExplanation, UnitRecord

Make = Callable[..., UnitRecord]


class Counting:
    """A scorer that numbers what it is asked about, from ``start``, and notes its calls."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.calls: list[int] = []

    def describe(self) -> ScorerInfo:
        return ScorerInfo(f"counting from {self.start}")

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        self.calls.append(len(explanations))
        return [Scored(Scores({"m": self.start + place})) for place in range(len(explanations))]


def _explanations(record: Make, *simulators: str) -> list[SimulatedExplanation]:
    target = deal(record())
    return [
        SimulatedExplanation(Explanation(target.unit, explainer="x"), target, name, (), None) for name in simulators
    ]


def test_each_explanation_is_scored_by_the_scorer_of_its_simulator(record: Make) -> None:
    first, second = Counting(0.0), Counting(10.0)
    scorer: Scorer = BySimulator(first, {"a": first, "b": second, "c": second})
    scored = scorer.score(_explanations(record, "c", "a", "b", "d", "a"))
    assert [item.scores.values.get("m") for item in scored] == [10.0, 0.0, 11.0, None, 1.0]
    assert scored[3] == Scored(Scores({})), "without a scorer there is no score, and no reason for its absence"
    assert (first.calls, second.calls) == ([2], [2])


def test_it_is_the_scorer_of_the_run(record: Make) -> None:
    assert BySimulator(Counting(3.0), {}).describe() == ScorerInfo("counting from 3.0")
