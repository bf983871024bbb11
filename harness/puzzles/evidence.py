"""A puzzle as the stages of a run see it: questions to a simulator, and the evidence of an explainer.

An explainer is shown the first half of a puzzle's texts and scored on the second. The puzzles of a task are numbered,
so that puzzle k can stand where a neuron is wanted, as coordinate k of a layer 0 that does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.types import (
    Evidence,
    Excerpt,
    ExcerptKind,
    Explanation,
    NeuronId,
    Puzzle,
    PuzzleText,
    Query,
    SimulatedExcerpt,
    Simulation,
    TokenSums,
)


def neuron(number: int) -> NeuronId:
    """What stands for the ``number``-th puzzle of a task, counted from 0."""
    return NeuronId(0, number)


def halves(puzzle: Puzzle) -> tuple[tuple[PuzzleText, ...], tuple[PuzzleText, ...]]:
    """The texts that explainers are shown, and those that explanations are scored on."""
    middle = len(puzzle.texts) // 2
    return puzzle.texts[:middle], puzzle.texts[middle:]


def explanations(puzzle: Puzzle, number: int) -> list[Explanation]:
    """The true explanation, then the false ones in order."""
    said = (puzzle.explanation, *(text for _, text in puzzle.false_explanations))
    return [Explanation(neuron(number), "", text=text) for text in said]


def queries(explanation: Explanation, texts: Sequence[PuzzleText]) -> list[Query]:
    """One question for each text; it holds no level."""
    return [Query(explanation, text.tokens) for text in texts]


def evidence(puzzle: Puzzle, number: int) -> Evidence:
    """What an explainer may know: the texts of the first half that fire, and that half's sums by token."""
    shown, _ = halves(puzzle)
    excerpts = [excerpt(puzzle, place) for place, text in enumerate(shown) if any(text.levels)]
    levels = [level for text in shown for level in text.levels]
    return Evidence(
        neuron=neuron(number),
        excerpts=tuple(sorted(excerpts, key=lambda one: -one.maximum)),
        token_sums=token_sums(shown),
        mean=float(np.mean(levels)) if levels else 0.0,
    )


def excerpt(puzzle: Puzzle, place: int) -> Excerpt:
    """The text of a puzzle at a ``place``, counted from 0, its levels as activations."""
    text = puzzle.texts[place]
    kind = ExcerptKind.TOP if any(text.levels) else ExcerptKind.RANDOM
    return Excerpt(text.tokens, (), tuple(map(float, text.levels)), kind, source=f"{puzzle.key}:{place}")


def simulated(puzzle: Puzzle, simulations: Sequence[Simulation]) -> tuple[SimulatedExcerpt, ...]:
    """The texts of the second half beside their simulations; nothing is calibrated, so there are no such values."""
    first = len(puzzle.texts) - len(simulations)
    return tuple(
        SimulatedExcerpt("valid", excerpt(puzzle, first + place), simulation, (math.nan,) * len(simulation.expected))
        for place, simulation in enumerate(simulations)
    )


def token_sums(texts: Sequence[PuzzleText]) -> TokenSums:
    """How often each token stands in some texts, and the sum of its levels there; tokens in order of their text."""
    pairs = [pair for text in texts for pair in zip(text.tokens, text.levels, strict=True)]
    tokens = sorted({token for token, _ in pairs})
    place = {token: index for index, token in enumerate(tokens)}
    counts, sums = np.zeros(len(tokens), dtype=np.int64), np.zeros(len(tokens))
    for token, level in pairs:
        counts[place[token]] += 1
        sums[place[token]] += level
    return TokenSums(tuple(tokens), counts, sums)
