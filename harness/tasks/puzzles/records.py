"""Puzzles as records: units whose explanation is known, dealt into what explainers are shown and what is scored.

An explainer is shown the firing texts of the first half of a puzzle and scored on the second. The explanations that
come with a puzzle are scored on all of its texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.types import (
    Excerpt,
    ExcerptKind,
    Puzzle,
    PuzzleText,
    Record,
    Splits,
    TokenSums,
    ToldExplanation,
    Unit,
    Validity,
)

KIND = "puzzle"


def unit(puzzle: Puzzle) -> Unit:
    """Return the unit that a puzzle is."""
    return Unit(KIND, name=puzzle.key)


def record(puzzle: Puzzle) -> Record:
    """Return a puzzle as a record: texts are excerpts, levels are activations, its explanations are told."""
    excerpts = tuple(_excerpt(puzzle, place) for place in range(len(puzzle.texts)))
    middle = len(excerpts) // 2
    firing = [excerpt for excerpt in excerpts[:middle] if excerpt.kind is ExcerptKind.TOP]
    levels = [level for text in puzzle.texts[:middle] for level in text.levels]
    mean = float(np.mean(levels)) if levels else 0.0
    shown = tuple(sorted(firing, key=lambda excerpt: -excerpt.maximum))
    return Record(
        unit=unit(puzzle),
        splits=Splits(train=shown, calibration=excerpts[:middle], valid=excerpts[middle:], test=()),
        shown=shown,
        token_sums=token_sums(puzzle.texts[:middle]),
        mean=mean,
        corpus_mean=mean,
        told=(ToldExplanation(Validity.TRUE, puzzle.explanation), *puzzle.false_explanations),
        category=puzzle.kind,
    )


def _excerpt(puzzle: Puzzle, place: int) -> Excerpt:
    """Return the text of a puzzle at a ``place``, counted from 0, its levels as activations."""
    text = puzzle.texts[place]
    kind = ExcerptKind.TOP if any(text.levels) else ExcerptKind.RANDOM
    return Excerpt(text.tokens, (), tuple(map(float, text.levels)), kind, source=f"{puzzle.key}:{place}")


def token_sums(texts: Sequence[PuzzleText]) -> TokenSums:
    """Count each token of some texts and sum its levels; tokens stand in order of their text."""
    pairs = [pair for text in texts for pair in zip(text.tokens, text.levels, strict=True)]
    tokens = sorted({token for token, _ in pairs})
    place = {token: index for index, token in enumerate(tokens)}
    counts, sums = np.zeros(len(tokens), dtype=np.int64), np.zeros(len(tokens))
    for token, level in pairs:
        counts[place[token]] += 1
        sums[place[token]] += level
    return TokenSums(tuple(tokens), counts, sums)
