"""The stages of a run of puzzles, in order: task -> simulate -> explain -> simulate again -> score.

A simulator is asked about every puzzle under its true and its false explanations. An explainer is shown the first half
of each puzzle's texts, and the run's simulator is asked about its explanation on the second half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness import pipeline
from harness.puzzles import evidence, scores
from harness.types import (
    Excerpt,
    Explainer,
    Explanation,
    Knowing,
    Puzzle,
    PuzzleScore,
    ScoredExplanation,
    Simulation,
    Simulator,
    Truth,
)

Begin = Callable[[str], None]
"""Told the name of each stage as it begins."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What one simulator makes of every puzzle: simulations [puzzles][explanations][texts], the true explanation
    first, and a score for each puzzle."""

    simulations: tuple[tuple[tuple[Simulation, ...], ...], ...]
    scores: tuple[PuzzleScore, ...]


@dataclass(frozen=True, eq=False)
class Instruments:
    """What a run of puzzles works with: simulators by their name on the board, the run's own first, and explainers."""

    simulators: Mapping[str, Simulator]
    explainers: Mapping[str, Explainer | Knowing]

    @property
    def simulator(self) -> Simulator:
        """The run's own, by which explainers are scored."""
        return next(iter(self.simulators.values()))


def run(
    puzzles: Sequence[Puzzle], instruments: Instruments, maximum_missing: float, begin: Begin
) -> tuple[dict[str, Measured], dict[str, tuple[ScoredExplanation, ...]]]:
    """Measure every simulator, then every explainer by the run's own simulator.

    Args:
        puzzles: of the task, those that are asked for.
        instruments: the simulators and explainers.
        maximum_missing: share of a puzzle's tokens that may lack a simulation before it has no score.
        begin: told the name of each stage as it begins.
    """
    measured = {}
    for name, simulator in instruments.simulators.items():
        begin(stage_of(name))
        measured[name] = measure(simulator, puzzles, maximum_missing)
    begin("explain")
    shown = [evidence.evidence(puzzle, number) for number, puzzle in enumerate(puzzles)]
    dealt = {evidence.neuron(number): _dealt(puzzle) for number, puzzle in enumerate(puzzles)}
    truths = [Truth(neuron, second) for neuron, (_, second) in dealt.items()]
    said = pipeline.explain(instruments.explainers, shown, truths)
    explanations = pipeline.choose(instruments.simulator, said, {neuron: first for neuron, (first, _) in dealt.items()})
    begin("simulate explanations")
    own = next(iter(measured.values()))
    scored = explained(instruments.simulator, explanations, puzzles, own, maximum_missing)
    names = instruments.explainers
    return measured, {name: tuple(one for one in scored if one.explanation.explainer == name) for name in names}


def _dealt(puzzle: Puzzle) -> tuple[tuple[Excerpt, ...], tuple[Excerpt, ...]]:
    """The halves of a puzzle's texts as excerpts: those to explain and to choose by, and those to score on."""
    middle = len(evidence.halves(puzzle)[0])
    excerpts = tuple(evidence.excerpt(puzzle, place) for place in range(len(puzzle.texts)))
    return excerpts[:middle], excerpts[middle:]


def stage_of(name: str) -> str:
    """The name of the stage in which a simulator is measured."""
    return f"simulate by {name}"


def measure(simulator: Simulator, puzzles: Sequence[Puzzle], maximum_missing: float) -> Measured:
    """Ask a simulator about every puzzle under each of its explanations, all in one call, and score what it says."""
    said = [evidence.explanations(puzzle, number) for number, puzzle in enumerate(puzzles)]
    groups = [
        evidence.queries(explanation, puzzle.texts)
        for puzzle, explanations in zip(puzzles, said, strict=True)
        for explanation in explanations
    ]
    replies = iter(map(tuple, pipeline.answers(simulator, groups)))
    simulations = tuple(tuple(next(replies) for _ in explanations) for explanations in said)
    return Measured(
        simulations,
        tuple(scores.score(*pair, maximum_missing) for pair in zip(puzzles, simulations, strict=True)),
    )


def explained(
    simulator: Simulator,
    explanations: Sequence[Explanation],
    puzzles: Sequence[Puzzle],
    own: Measured,
    maximum_missing: float,
) -> list[ScoredExplanation]:
    """Score explanations on the second half of their puzzles' texts, beside the true ones.

    Args:
        simulator: the run's own.
        explanations: of puzzles, which they name by their number.
        puzzles: in the order of their numbers.
        own: what the same simulator makes of the puzzles themselves.
        maximum_missing: share of the tokens that may lack a simulation.
    """
    texts = [evidence.halves(puzzle)[1] for puzzle in puzzles]
    truths = [
        scores.agreement_of(some, simulations[0][-len(some) :], maximum_missing)
        for some, simulations in zip(texts, own.simulations, strict=True)
    ]
    numbers = [explanation.neuron.index for explanation in explanations]
    groups = [evidence.queries(one, texts[number]) for one, number in zip(explanations, numbers, strict=True)]
    replies = pipeline.answers(simulator, groups)
    return [
        ScoredExplanation(
            explanation,
            evidence.simulated(puzzles[number], reply),
            None,
            scores.explained(texts[number], reply, truths[number], maximum_missing),
        )
        for explanation, number, reply in zip(explanations, numbers, replies, strict=True)
    ]
