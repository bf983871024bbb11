"""A unit with calibration and valid excerpts, and simulations of it: ``simulated(values)`` makes an explanation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from harness.types import (
    Excerpt,
    ExcerptKind,
    Explanation,
    Outcome,
    Record,
    SimulatedExcerpt,
    SimulatedExplanation,
    Simulation,
    Splits,
    TokenSums,
    Unit,
)

TOP, RANDOM = ExcerptKind.TOP, ExcerptKind.RANDOM


def text(name: str, kind: ExcerptKind, *activations: float) -> Excerpt:
    tokens = tuple(f"{name}{place}" for place in range(len(activations)))
    return Excerpt(tokens, tuple(range(len(tokens))), activations, kind, source=f"{name}:0")


@pytest.fixture
def small_record() -> Record:
    """A unit with two random calibration excerpts, and a top and a random valid one of two tokens."""
    splits = Splits(
        train=(),
        calibration=(text("c", TOP, 3.0, 1.0), text("d", RANDOM, 0.5, 0.25), text("e", RANDOM, 0.75, 0.0)),
        valid=(text("v", TOP, 4.0, 1.0), text("w", RANDOM, 0.0, 1.0)),
        test=(),
    )
    sums = TokenSums((), np.zeros(0, dtype=np.int64), np.zeros(0))
    return Record(Unit("N", 1, 2), splits, (), sums, mean=0.2, corpus_mean=0.125)


Make = Callable[..., SimulatedExplanation]


@pytest.fixture
def simulated(small_record: Record) -> Make:
    """Make an explanation whose valid excerpts are simulated and calibrated by the same values."""

    def make(
        *values: Sequence[float], outcome: Outcome = Outcome.OK, calibrated: Sequence[Sequence[float]] | None = None
    ) -> SimulatedExplanation:
        excerpts = tuple(
            SimulatedExcerpt("valid", excerpt, Simulation(tuple(levels), outcome=outcome), tuple(line))
            for excerpt, levels, line in zip(small_record.splits.valid, values, calibrated or values, strict=True)
        )
        explanation = Explanation(small_record.unit, "words", explainer="x")
        return SimulatedExplanation(explanation, small_record, "s", excerpts, None)

    return make
