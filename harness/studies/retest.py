"""Reliability: how far the scores of one explanation move when the simulator is asked again, or on other excerpts.

A repeat is a further simulator: the run's own with another seed wherever its config has one, and with a store of its
own, so that it asks afresh. Scorers that ask a model are asked afresh too. A simulator that reads probabilities has no
seed; what then differs is the noise of arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from harness.models.store import Store
from harness.types import (
    FloatArray,
    Interval,
    Query,
    Scored,
    Scorer,
    ScorerInfo,
    SimulatedExplanation,
    Simulation,
    Simulator,
    SimulatorInfo,
)

IN_MEMORY = ":memory:"
"""The path of a store that forgets."""


@dataclass(frozen=True, eq=False)
class FreshSimulator:
    """Simulator that is built each time it is asked, with a store of its own, and let go afterwards.

    So of many repeats the weights of one are in memory at a time.
    """

    build: Callable[[Store], Simulator]

    def describe(self) -> SimulatorInfo:
        """Return which simulator this is."""
        with Store(IN_MEMORY) as store:
            return self.build(store).describe()

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        """Answer each query, in order."""
        with Store(IN_MEMORY) as store:
            return self.build(store).simulate(queries)


@dataclass(frozen=True, eq=False)
class FreshScorer:
    """Scorer that is built each time it is asked, with a store of its own, and let go afterwards."""

    build: Callable[[Store], Scorer]

    def describe(self) -> ScorerInfo:
        """Return which scorer this is."""
        with Store(IN_MEMORY) as store:
            return self.build(store).describe()

    def score(self, explanations: Sequence[SimulatedExplanation]) -> list[Scored]:
        """Score each explanation, in order."""
        with Store(IN_MEMORY) as store:
            return self.build(store).score(explanations)


def repeat_name(repeat: int) -> str:
    """Return the name of a repeat among simulators."""
    return f"repeat {repeat}"


def reseeded(node: Mapping[str, Any], repeat: int) -> dict[str, Any]:
    """Return the config of a simulator with every ``seed`` in it raised by ``repeat``."""
    return {
        key: reseeded(value, repeat)
        if isinstance(value, Mapping)
        else value + repeat
        if key == "seed" and isinstance(value, int)
        else value
        for key, value in node.items()
    }


def has_seed(node: Mapping[str, Any]) -> bool:
    """Return whether anything in the config of a simulator is seeded."""
    return reseeded(node, 0) != reseeded(node, 1)


def reliability(scores: FloatArray) -> float:
    """Return the intraclass correlation ICC(1,1) of repeated scores (Shrout & Fleiss 1979).

    ``(B - W) / (B + (k - 1) W)``, where ``B`` is the mean square between units and ``W`` that within them.

    Args:
        scores: finite scores [units, repeats].

    Returns:
        1 where repeats agree and units differ, about 0 where a repeat says nothing of another, down to
        ``-1 / (k - 1)``; NaN with fewer than two units or repeats, or where all scores are equal.
    """
    units, repeats = scores.shape
    if units < 2 or repeats < 2:
        return math.nan
    means = scores.mean(axis=1)
    between = repeats * float(np.square(means - scores.mean()).sum()) / (units - 1)
    within = float(np.square(scores - means[:, None]).sum()) / (units * (repeats - 1))
    total = between + (repeats - 1) * within
    return (between - within) / total if total > 0 else math.nan


def reliability_interval(scores: FloatArray) -> Interval:
    """Return :func:`reliability` with its 95 % interval by the F distribution (Shrout & Fleiss 1979).

    Its ends are NaN where the reliability is; scores are assumed normal.
    """
    units, repeats = scores.shape
    value = reliability(scores)
    if math.isnan(value):
        return Interval(math.nan, math.nan, math.nan, units)
    ratio = (1 + (repeats - 1) * value) / (1 - value) if value < 1 else math.inf  # B / W
    free = units - 1, units * (repeats - 1)
    ratios = ratio / stats.f.ppf(0.975, *free), ratio * stats.f.ppf(0.975, *free[::-1])
    low, high = (1.0 if math.isinf(end) else float((end - 1) / (end + repeats - 1)) for end in ratios)
    return Interval(value, low, high, units)


def spread(scores: FloatArray) -> float:
    """Return the standard deviation of a unit's score over repeats, pooled over units; NaN with fewer than two."""
    return float(np.sqrt(scores.var(axis=1, ddof=1).mean())) if scores.shape[1] > 1 else math.nan
